"""The charts: each takes plain numbers and returns inline SVG."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from markupsafe import Markup

from wisp.report import wording
from wisp.report.read import Estimate
from wisp.report.svg import Frame, element, nice_ticks

FIFTHS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
Names = tuple[str, str]  # what the class to detect is called, and what all else is called
NAMES: Names = ("smoky", "clean")


def _shares(value: float) -> str:
    return f"{100 * value:.0f} %"


def thin(values: Sequence[float], most: int) -> list[float]:
    """At most ``most`` of the values, evenly by rank; always with both ends."""
    if len(values) <= most:
        return list(values)
    return [values[round(i * (len(values) - 1) / (most - 1))] for i in range(most)]


def roc(
    fpr: Sequence[float],
    tpr: Sequence[float],
    point: tuple[float, float] | None,
    area: Estimate,
    names: Names = NAMES,
) -> Markup:
    """ROC curve with the working point (fpr, tpr) at the threshold."""
    frame = Frame()
    fpr, tpr = thin(fpr, 400), thin(tpr, 400)
    parts = [
        frame.axes(
            f"{names[1]} photos that raise an alarm",
            f"{names[0]} photos found",
            FIFTHS,
            FIFTHS,
            _shares,
            _shares,
        ),
        frame.line([0, 1], [0, 1], "chance"),
        frame.area(fpr, tpr, "fill-smoky"),
        frame.line(fpr, tpr, "stroke-smoky"),
    ]
    if point is not None:
        parts.append(_working_point(frame, *point))
    label = f"ROC curve; area {wording.score(area.value)} {wording.interval(area)}".strip()
    return frame.drawing(label, *parts, class_="chart", data_chart="roc")


def precision_recall(
    recall: Sequence[float],
    precision: Sequence[float],
    point: tuple[float, float] | None,
    share: float | None,
    names: Names = NAMES,
) -> Markup:
    """Precision over recall, with the precision of guessing (the positive share) as a line."""
    frame = Frame()
    recall, precision = thin(recall, 400), thin(precision, 400)
    parts = [
        frame.axes(
            f"{names[0]} photos found", "alarms that are right", FIFTHS, FIFTHS, _shares, _shares
        )
    ]
    if share is not None:
        parts.append(frame.line([0, 1], [share, share], "chance"))
    parts.append(frame.line(recall, precision, "stroke-smoky"))
    if point is not None:
        parts.append(_working_point(frame, *point))
    return frame.drawing(
        "Precision over recall", *parts, class_="chart", data_chart="precision-recall"
    )


def _working_point(frame: Frame, x: float, y: float) -> Markup:
    return element(
        "circle",
        element("title", f"at the threshold: {x:.2f}, {y:.2f}"),
        cx=frame.x(x),
        cy=frame.y(y),
        r=6,
        class_="working-point",
        data_x0=frame.x(0),
        data_x1=frame.x(1),
        data_y0=frame.y(0),
        data_y1=frame.y(1),
    )


def histogram(
    positive: Sequence[float],
    negative: Sequence[float],
    threshold: float | None,
    names: Names = NAMES,
    bins: int = 25,
) -> Markup:
    """Scores of both classes, smoky upwards and clean downwards, each as a share of its class."""
    counts = [_counts(values, bins) for values in (positive, negative)]
    # One scale for both, but no more room for a side than it needs.
    up, down = (max(max(shares, default=0.0), 0.04) for shares in counts)
    frame = Frame(y_range=(-down * 1.15, up), width=420, height=300, left=14, top=26)
    middle = frame.y(0)
    parts = [frame.axes("score the detector gave", "", FIFTHS, ())]
    for shares, sign, class_ in ((counts[0], 1, "bar-smoky"), (counts[1], -1, "bar-clean")):
        for index, share in enumerate(shares):
            if share == 0:
                continue
            x0, x1 = frame.x(index / bins) + 0.8, frame.x((index + 1) / bins) - 0.8
            y = min(middle, frame.y(sign * share))
            parts.append(
                element(
                    "rect",
                    x=x0,
                    width=x1 - x0,
                    y=y,
                    height=middle - frame.y(share),
                    rx=1.5,
                    class_=class_,
                )
            )
    parts.append(element("line", x1=frame.x(0), x2=frame.x(1), y1=middle, y2=middle, class_="axis"))
    # The labels go where the distributions are usually thin: smoky scores are high.
    parts.append(
        element("text", f"{names[0]} ↑", x=frame.x(0) + 2, y=frame.top + 10, class_="key-smoky")
    )
    parts.append(
        element(
            "text",
            f"{names[1]} ↓",
            x=frame.x(1) - 2,
            y=frame.height - frame.bottom - 8,
            class_="key-clean",
            text_anchor="end",
        )
    )
    if threshold is not None:
        x = frame.x(threshold)
        parts.append(
            element(
                "g",
                element(
                    "line",
                    x1=0,
                    x2=0,
                    y1=frame.top - 6,
                    y2=frame.height - frame.bottom,
                    class_="threshold",
                ),
                element(
                    "text",
                    f"threshold {wording.score(threshold)}",
                    x=0,
                    y=12,
                    class_="threshold-text",
                    text_anchor="end"
                    if threshold > 0.75
                    else "start"
                    if threshold < 0.25
                    else "middle",
                ),
                transform=f"translate({x:.1f} 0)",
                class_="threshold-mark",
                data_x0=frame.x(0),
                data_x1=frame.x(1),
            )
        )
    label = (
        f"Scores of {len(positive)} {names[0]} photos (upwards) and {len(negative)} {names[1]} "
        "ones (downwards)"
    )
    return frame.drawing(label, *parts, class_="chart", data_chart="histogram")


def _counts(values: Sequence[float], bins: int) -> list[float]:
    if not values:
        return []
    found = [0] * bins
    for value in values:
        found[min(bins - 1, max(0, int(value * bins)))] += 1
    return [number / len(values) for number in found]


def strip(
    positive: Sequence[float],
    negative: Sequence[float],
    threshold: float | None,
    names: Names = NAMES,
) -> Markup:
    """One group's scores as dots on a line from 0 to 1 (at most 60 of each class)."""
    frame = Frame(width=220, height=26, left=6, right=6, top=2, bottom=2)
    parts = [element("line", x1=6, x2=214, y1=13, y2=13, class_="grid")]
    if threshold is not None:
        x = frame.x(threshold)
        parts.append(element("line", x1=x, x2=x, y1=1, y2=25, class_="threshold"))
    for values, y, class_ in ((negative, 17, "dot-clean"), (positive, 9, "dot-smoky")):
        parts += [
            element("circle", cx=frame.x(value), cy=y, r=3.4, class_=class_)
            for value in thin(sorted(values), 60)
        ]
    label = f"{len(positive)} {names[0]} and {len(negative)} {names[1]} scores"
    return frame.drawing(label, *parts, class_="strip")


@dataclasses.dataclass(frozen=True)
class Bin:
    """One bin of a calibration diagram."""

    count: int
    confidence: float
    frequency: float


def reliability(bins: Sequence[Bin], names: Names = NAMES) -> Markup:
    """How often it was positive, over how sure the detector was; dot area grows with the count."""
    frame = Frame()
    most = max([bin_.count for bin_ in bins] or [1])
    parts = [
        frame.axes(
            "how sure the detector was",
            f"how often it was {names[0]}",
            FIFTHS,
            FIFTHS,
            _shares,
            _shares,
        ),
        frame.line([0, 1], [0, 1], "chance"),
    ]
    for bin_ in bins:
        x, y = frame.x(bin_.confidence), frame.y(bin_.frequency)
        level = frame.y(bin_.confidence)
        parts.append(element("line", x1=x, x2=x, y1=level, y2=y, class_="stem"))
        parts.append(
            element(
                "circle",
                element(
                    "title",
                    f"{bin_.count} photos: said {bin_.confidence:.0%}, "
                    f"was {names[0]} {bin_.frequency:.0%}",
                ),
                cx=x,
                cy=y,
                r=3 + 9 * math.sqrt(bin_.count / most),
                class_="dot-smoky",
            )
        )
    return frame.drawing("Calibration diagram", *parts, class_="chart")


def gap(rows: Sequence[tuple[str, Estimate, Estimate]]) -> Markup:
    """Synthetic validation beside real test, one line per measure, on an axis from 0.4 to 1."""
    values = [e.low if e.low is not None else e.value for _, a, b in rows for e in (a, b)]
    known = [value for value in values if value is not None]
    low = 0.4 if min(known, default=0.4) >= 0.4 else 0.0
    height = 44.0 + 56.0 * len(rows)
    frame = Frame(x_range=(low, 1.0), width=420, height=height, left=16, right=16, top=4, bottom=34)
    ticks = [tick for tick in FIFTHS if tick >= low]
    parts = [frame.axes("", "", ticks, (), lambda value: f"{value:.1f}")]
    if low < 0.5:
        x = frame.x(0.5)
        parts.append(element("line", x1=x, x2=x, y1=8, y2=height - 34, class_="chance"))
    for index, (name, synthetic, real) in enumerate(rows):
        y = 34.0 + 56.0 * index
        parts.append(element("text", name, x=frame.left, y=y - 16, class_="row-name"))
        if synthetic.value is not None and real.value is not None:
            parts.append(
                element(
                    "line",
                    x1=frame.x(synthetic.value),
                    x2=frame.x(real.value),
                    y1=y,
                    y2=y,
                    class_="gap",
                )
            )
        for estimate, class_, shift in ((synthetic, "synthetic", -5.0), (real, "smoky", 5.0)):
            if estimate.value is None:
                continue
            if estimate.low is not None and estimate.high is not None:
                parts.append(
                    element(
                        "line",
                        x1=frame.x(max(low, estimate.low)),
                        x2=frame.x(estimate.high),
                        y1=y + shift,
                        y2=y + shift,
                        class_=f"whisker-{class_}",
                    )
                )
            parts.append(
                element(
                    "circle",
                    element("title", f"{estimate.value:.3f}"),
                    cx=frame.x(estimate.value),
                    cy=y + shift,
                    r=5.5,
                    class_=f"dot-{class_}",
                )
            )
    spoken = "; ".join(
        f"{name}: {wording.score(a.value)} on synthetic validation, {wording.score(b.value)} on "
        "the test photos"
        for name, a, b in rows
    )
    return frame.drawing(spoken, *parts, class_="chart")


def bars(values: Sequence[float], title: str, top: float | None = None, bins: int = 20) -> Markup:
    """A small histogram of non-negative numbers."""
    high = top if top is not None else max([*values, 1e-9])
    counts = [0] * bins
    for value in values:
        counts[min(bins - 1, max(0, int(value / high * bins)))] += 1
    peak = float(max(counts) or 1)
    frame = Frame((0.0, high), (0.0, peak), width=300, height=140, left=10, right=14, top=8)
    parts = [frame.axes(title, "", nice_ticks(0, high), ())]
    for index, number in enumerate(counts):
        x0, x1 = frame.x(index * high / bins) + 0.8, frame.x((index + 1) * high / bins) - 0.8
        parts.append(
            element(
                "rect",
                x=x0,
                width=x1 - x0,
                y=frame.y(number),
                height=frame.y(0) - frame.y(number),
                rx=1.5,
                class_="bar-smoky",
            )
        )
    return frame.drawing(
        f"{title}: distribution over {len(values)} pictures", *parts, class_="chart"
    )
