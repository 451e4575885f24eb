"""The charts of a comparison: ladders of models, margins around 0, distance against detection."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from wisp.report import wording
from wisp.report.comparison import Margin, Standing
from wisp.report.svg import Frame, dot, label, nice_ticks, segment

_ROW_PX = 44.0
_LABEL_PX = 15.0


def _class_of(model: str, reference: str) -> str:
    return "clean" if model == reference else "smoky"


def _ladder_frame(rows: int, x_range: tuple[float, float]) -> Frame:
    return Frame(x_range, height=_ROW_PX * rows + 56, left=16, right=16, top=4)


def ladder(rows: Sequence[Standing], reference: str) -> Markup | None:
    """AUROC of each model with its interval, small dots for seeds; None if it is undefined."""
    if not any(row.auroc.known for row in rows):
        return None
    ends = [end for row in rows for end in (row.auroc.value, row.auroc.low, *row.scores)]
    # The axis begins at a round tenth, so that close models can be told apart.
    low = max(0.0, min(int(min(end for end in ends if end is not None) * 10) / 10, 0.9))
    frame = _ladder_frame(len(rows), (low, 1.0))
    parts = [frame.axes("AUROC", "", nice_ticks(low, 1.0, 5), ())]
    for index, row in enumerate(rows):
        y, class_ = 34.0 + _ROW_PX * index, _class_of(row.model, reference)
        parts.append(label(row.model, frame.left, y - 14, "row-name"))
        parts.append(segment(frame.x(low), y, frame.x(1), y, "grid"))
        parts += frame.estimate(row.auroc, y, class_)
        seeds = row.scores if len(row.scores) > 1 else []
        parts += [dot(frame.x(score), y + 8, 2.2, f"dot-{class_}") for score in seeds]
    spoken = "; ".join(
        f"{row.model}: AUROC {wording.score(row.auroc.value)} {wording.interval(row.auroc)}".strip()
        for row in rows
    )
    return frame.drawing(spoken, *parts, class_="chart")


def margins(rows: Sequence[Margin], reference: str, widest: float) -> Markup:
    """Differences in AUROC to the reference, around a line at 0; ``widest`` sets the axis."""
    end = max(widest * 1.08, 0.01)
    frame = _ladder_frame(len(rows), (-end, end))
    title, ticks = f"AUROC less that of {reference}", nice_ticks(-end, end, 4)
    parts = [
        frame.axes(title, "", ticks, (), lambda value: wording.signed(value, 2)),
        segment(frame.x(0), 8, frame.x(0), frame.height - frame.bottom, "threshold"),
    ]
    for index, row in enumerate(rows):
        y = 34.0 + _ROW_PX * index
        parts.append(label(row.model, frame.left, y - 14, "row-name"))
        parts += frame.estimate(row.auroc, y, "smoky")
    spoken = "; ".join(f"{row.model}: {wording.signed(row.auroc.value)}" for row in rows)
    return frame.drawing(spoken, *parts, class_="chart")


def scatter(rows: Sequence[Standing], reference: str) -> Markup:
    """AUROC over kernel distance, one named dot for each model."""
    points = [
        (row.kid.value, row.auroc.value, row.model)
        for row in rows
        if row.kid.value is not None and row.auroc.value is not None
    ]
    xs, ys = [x for x, _, _ in points], [y for _, y, _ in points]
    x_range, y_range = _around(min(xs), max(xs)), _around(min(ys), max(ys), 1.0)
    frame = Frame(x_range, y_range, height=280)
    ticks = nice_ticks(*x_range), nice_ticks(*y_range)
    parts = [frame.axes("kernel distance to real smoke", "AUROC", *ticks)]
    last = frame.height
    # From the bottom up, so that names which would lie over each other move apart.
    for x, y, model in sorted(points, key=lambda point: point[1]):
        place_x, place_y = frame.x(x), frame.y(y)
        parts.append(dot(place_x, place_y, 5.5, f"dot-{_class_of(model, reference)}"))
        last = min(place_y + 4, last - _LABEL_PX)
        left = x > (x_range[0] + x_range[1]) / 2
        beside, anchor = (place_x - 11, "end") if left else (place_x + 11, "start")
        parts.append(label(model, beside, last, "tick", anchor))
    spoken = "; ".join(f"{model}: distance {x:.3g}, AUROC {y:.3f}" for x, y, model in points)
    return frame.drawing(spoken, *parts, class_="chart")


def _around(low: float, high: float, ceiling: float | None = None) -> tuple[float, float]:
    """A range with some air, not above ``ceiling``."""
    air = 0.15 * (high - low) or 0.05 * abs(high) or 0.05
    top = high + air
    return low - air, top if ceiling is None else min(top, max(ceiling, high))
