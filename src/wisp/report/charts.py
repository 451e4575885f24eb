"""The charts: each takes plain numbers and returns inline SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from wisp.report import wording
from wisp.report.evaluation import Bin, Curve, Names, Scores, Tally
from wisp.report.read import Estimate
from wisp.report.svg import Frame, dot, element, label, nice_ticks, segment

FIFTHS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


def thin(values: Sequence[float], most: int) -> list[float]:
    """At most ``most`` of the values, evenly by rank; always with both ends."""
    if len(values) <= most:
        return list(values)
    return [values[round(i * (len(values) - 1) / (most - 1))] for i in range(most)]


def _shares(frame: Frame, x_title: str, y_title: str) -> Markup:
    """Axes of two shares."""

    def written(value: float) -> str:
        return f"{100 * value:.0f} %"

    return frame.axes(x_title, y_title, FIFTHS, FIFTHS, written, written)


def roc(curve: Curve, tally: Tally | None, area: Estimate, names: Names) -> Markup:
    """ROC curve with the working point at the threshold."""
    frame = Frame()
    fpr, tpr = thin(curve.fpr, 400), thin(curve.tpr, 400)
    parts = [
        _shares(frame, f"{names[1]} photos that raise an alarm", f"{names[0]} photos found"),
        frame.line([0, 1], [0, 1], "chance"),
        frame.area(fpr, tpr, "fill-smoky"),
        frame.line(fpr, tpr, "stroke-smoky"),
        _working_point(frame, tally.fpr, tally.tpr) if tally else "",
    ]
    spoken = f"ROC curve; area {wording.score(area.value)} {wording.interval(area)}".strip()
    return frame.drawing(spoken, *parts, class_="chart", data_chart="roc")


def precision_recall(curve: Curve, tally: Tally | None, names: Names) -> Markup:
    """Precision over recall, with the precision of guessing (the positive share) as a line."""
    frame = Frame()
    parts = [_shares(frame, f"{names[0]} photos found", "alarms that are right")]
    if tally and tally.images:
        share = tally.positives / tally.images
        parts.append(frame.line([0, 1], [share, share], "chance"))
    parts.append(frame.line(thin(curve.recall, 400), thin(curve.precision, 400), "stroke-smoky"))
    if tally:
        parts.append(_working_point(frame, tally.tpr, tally.precision))
    spoken, kind = "Precision over recall", "precision-recall"
    return frame.drawing(spoken, *parts, class_="chart", data_chart=kind)


def _working_point(frame: Frame, x: float | None, y: float | None) -> Markup:
    """A ring that the page's script can move, within the corners it is given."""
    if x is None or y is None:
        return Markup("")
    corners = {f"data_x{end}": frame.x(end) for end in (0, 1)}
    corners |= {f"data_y{end}": frame.y(end) for end in (0, 1)}
    title = f"at the threshold: {x:.2f}, {y:.2f}"
    return dot(frame.x(x), frame.y(y), 6, "working-point", title, **corners)


def histogram(scores: Scores, threshold: float | None, names: Names) -> Markup:
    """Scores of both classes, smoky upwards and clean downwards, each as a share of its class."""
    shares = [
        [number / (len(values) or 1) for number in _counts(values, 25)]
        for values in (scores.positive, scores.negative)
    ]
    # One scale for both, but no more room for a side than it needs.
    up, down = (max(*side, 0.04) for side in shares)
    frame = Frame(y_range=(-down * 1.15, up), height=300, left=14, top=26)
    middle, bottom = frame.y(0), frame.height - frame.bottom
    parts = [
        frame.axes("score the detector gave", "", FIFTHS, ()),
        *frame.columns(shares[0], "bar-smoky"),
        *frame.columns(shares[1], "bar-clean", down=True),
        segment(frame.x(0), middle, frame.x(1), middle, "axis"),
        # The labels go where the distributions are usually thin: smoky scores are high.
        label(f"{names[0]} ↑", frame.x(0) + 2, frame.top + 10, "key-smoky"),
        label(f"{names[1]} ↓", frame.x(1) - 2, bottom - 8, "key-clean", "end"),
    ]
    if threshold is not None:
        anchor = "end" if threshold > 0.75 else "start" if threshold < 0.25 else "middle"
        words = f"threshold {wording.score(threshold)}"
        mark = [
            segment(0, frame.top - 6, 0, bottom, "threshold"),
            label(words, 0, 12, "threshold-text", anchor),
        ]
        place = f"translate({frame.x(threshold):.1f} 0)"
        ends = {"data_x0": frame.x(0), "data_x1": frame.x(1)}
        parts.append(element("g", *mark, transform=place, class_="threshold-mark", **ends))
    spoken = (
        f"Scores of {len(scores.positive)} {names[0]} photos (upwards) and "
        f"{len(scores.negative)} {names[1]} ones (downwards)"
    )
    return frame.drawing(spoken, *parts, class_="chart", data_chart="histogram")


def _counts(values: Sequence[float], bins: int, high: float = 1.0) -> list[int]:
    """How many values lie in each of ``bins`` equal parts of 0 to ``high``."""
    found = [0] * bins
    for value in values:
        share = min(1.0, max(0.0, value / high))
        found[min(bins - 1, int(share * bins))] += 1
    return found


def strip(scores: Scores, threshold: float | None, names: Names) -> Markup:
    """One group's scores as dots on a line from 0 to 1 (at most 60 of each class)."""
    frame = Frame(width=220, height=26, left=6, right=6, top=2, bottom=2)
    parts = [segment(6, 13, 214, 13, "grid")]
    if threshold is not None:
        parts.append(segment(frame.x(threshold), 1, frame.x(threshold), 25, "threshold"))
    for values, y, class_ in (
        (scores.negative, 17, "dot-clean"),
        (scores.positive, 9, "dot-smoky"),
    ):
        parts += [dot(frame.x(value), y, 3.4, class_) for value in thin(sorted(values), 60)]
    counts = f"{len(scores.positive)} {names[0]} and {len(scores.negative)} {names[1]} scores"
    return frame.drawing(counts, *parts, class_="strip")


def reliability(bins: Sequence[Bin], names: Names) -> Markup:
    """How often it was positive, over how sure the detector was; dot area grows with the count."""
    frame = Frame()
    most = max([bin_.count for bin_ in bins] or [1])
    parts = [
        _shares(frame, "how sure the detector was", f"how often it was {names[0]}"),
        frame.line([0, 1], [0, 1], "chance"),
    ]
    for bin_ in bins:
        x, y = frame.x(bin_.confidence), frame.y(bin_.frequency)
        said = f"said {bin_.confidence:.0%}, was {names[0]} {bin_.frequency:.0%}"
        radius = 3 + 9 * math.sqrt(bin_.count / most)
        parts.append(segment(x, frame.y(bin_.confidence), x, y, "stem"))
        parts.append(dot(x, y, radius, "dot-smoky", f"{bin_.count} photos: {said}"))
    return frame.drawing("Calibration diagram", *parts, class_="chart")


def gap(rows: Sequence[tuple[str, Estimate, Estimate]]) -> Markup:
    """Synthetic validation beside real test, one line per measure, on an axis from 0.4 to 1."""
    ends = [one.lower_end for _, synthetic, real in rows for one in (synthetic, real)]
    low = 0.4 if min([end for end in ends if end is not None], default=0.4) >= 0.4 else 0.0
    frame = Frame((low, 1.0), height=44.0 + 56 * len(rows), left=16, right=16, top=4, bottom=34)
    ticks = [tick for tick in FIFTHS if tick >= low]
    parts = [frame.axes("", "", ticks, (), lambda value: f"{value:.1f}")]
    parts.append(segment(frame.x(0.5), 8, frame.x(0.5), frame.height - 34, "chance"))
    for index, (name, synthetic, real) in enumerate(rows):
        y = 34.0 + 56.0 * index
        parts.append(label(name, frame.left, y - 16, "row-name"))
        if synthetic.value is not None and real.value is not None:
            parts.append(segment(frame.x(synthetic.value), y, frame.x(real.value), y, "gap"))
        parts += frame.estimate(synthetic, y - 5.0, "synthetic")
        parts += frame.estimate(real, y + 5.0, "smoky")
    spoken = "; ".join(
        f"{name}: {wording.score(a.value)} on synthetic validation, {wording.score(b.value)} on "
        "the test photos"
        for name, a, b in rows
    )
    return frame.drawing(spoken, *parts, class_="chart")


def bars(values: Sequence[float], title: str, top: float | None = None) -> Markup:
    """A small histogram of non-negative numbers."""
    high = top if top is not None else max([*values, 1e-9])
    counts = _counts(values, 20, high)
    y_range = (0.0, float(max(counts) or 1))
    frame = Frame((0.0, high), y_range, width=300, height=140, left=10, right=14, top=8)
    parts = [frame.axes(title, "", nice_ticks(0, high), ()), *frame.columns(counts, "bar-smoky")]
    spoken = f"{title}: distribution over {len(values)} pictures"
    return frame.drawing(spoken, *parts, class_="chart")
