"""The charts of a comparison: ladders of models, margins around 0, distance against detection."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from wisp.report import wording
from wisp.report.comparison import Standing
from wisp.report.read import Estimate
from wisp.report.svg import Attribute, Frame, element, nice_ticks

_ROW_PX = 44.0
_LABEL_PX = 15.0


def _marked(frame: Frame, estimate: Estimate, y: float, class_: str) -> list[Markup]:
    """A dot with its interval."""
    parts: list[Markup] = []
    if estimate.low is not None and estimate.high is not None:
        x1, x2 = frame.x(max(estimate.low, frame.x_range[0])), frame.x(estimate.high)
        parts.append(element("line", x1=x1, x2=x2, y1=y, y2=y, class_=f"whisker-{class_}"))
    if estimate.value is not None:
        title = element("title", f"{estimate.value:.3f} {wording.interval(estimate)}".strip())
        x = frame.x(estimate.value)
        parts.append(element("circle", title, cx=x, cy=y, r=5.5, class_=f"dot-{class_}"))
    return parts


def _class_of(model: str, reference: str) -> str:
    return "clean" if model == reference else "smoky"


def _ladder_frame(rows: int, x_range: tuple[float, float]) -> Frame:
    return Frame(
        x_range, height=_ROW_PX * rows + 56, left=16, right=16, top=4, bottom=46, width=420
    )


def ladder(rows: Sequence[Standing], reference: str) -> Markup | None:
    """AUROC of each model with its interval, small dots for seeds; None if it is undefined."""
    values = [
        value for row in rows for value in (row.auroc.value, row.auroc.low, *row.seeds)
        if value is not None
    ]  # fmt: skip
    if not any(row.auroc.known for row in rows):
        return None
    # The axis begins at a round tenth, so that close models can be told apart.
    low = max(0.0, min(int(min(values) * 10) / 10, 0.9))
    frame = _ladder_frame(len(rows), (low, 1.0))
    ticks = nice_ticks(low, 1.0, 5)
    parts = [frame.axes("AUROC", "", ticks, (), lambda value: f"{value:g}")]
    for index, row in enumerate(rows):
        y = 34.0 + _ROW_PX * index
        class_ = _class_of(row.model, reference)
        parts.append(element("text", row.model, x=frame.left, y=y - 14, class_="row-name"))
        parts.append(element("line", x1=frame.x(low), x2=frame.x(1), y1=y, y2=y, class_="grid"))
        parts += _marked(frame, row.auroc, y, class_)
        parts += [
            element("circle", cx=frame.x(value), cy=y + 8, r=2.2, class_=f"dot-{class_}")
            for value in row.seeds
            if len(row.seeds) > 1
        ]
    spoken = "; ".join(
        f"{row.model}: AUROC {wording.score(row.auroc.value)} {wording.interval(row.auroc)}".strip()
        for row in rows
    )
    return frame.drawing(spoken, *parts, class_="chart")


def margins(rows: Sequence[tuple[str, Estimate]], reference: str, widest: float) -> Markup:
    """Differences in AUROC to the reference, around a line at 0; ``widest`` sets the axis."""
    end = max(widest * 1.08, 0.01)
    frame = _ladder_frame(len(rows), (-end, end))
    ticks = nice_ticks(-end, end, 4)
    parts = [
        frame.axes(f"AUROC less that of {reference}", "", ticks, (), lambda v: wording.signed(v, 2))
    ]
    x = frame.x(0)
    bottom = frame.height - frame.bottom
    parts.append(element("line", x1=x, x2=x, y1=8, y2=bottom, class_="threshold"))
    for index, (model, estimate) in enumerate(rows):
        y = 34.0 + _ROW_PX * index
        parts.append(element("text", model, x=frame.left, y=y - 14, class_="row-name"))
        parts += _marked(frame, estimate, y, "smoky")
    spoken = "; ".join(f"{model}: {wording.signed(one.value)}" for model, one in rows)
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
    parts = [
        frame.axes(
            "kernel distance to real smoke",
            "AUROC",
            nice_ticks(*x_range),
            nice_ticks(*y_range),
        )
    ]
    last = frame.height
    # From the bottom up, so that names which would lie over each other move apart.
    for x, y, model in sorted(points, key=lambda point: point[1]):
        class_ = _class_of(model, reference)
        place_x, place_y = frame.x(x), frame.y(y)
        parts.append(element("circle", cx=place_x, cy=place_y, r=5.5, class_=f"dot-{class_}"))
        level = min(place_y + 4, last - _LABEL_PX)
        last = level
        left = x > (x_range[0] + x_range[1]) / 2
        where: dict[str, Attribute] = {
            "x": place_x - 11 if left else place_x + 11,
            "text_anchor": "end" if left else "start",
        }
        parts.append(element("text", model, y=level, class_="tick", **where))
    spoken = "; ".join(f"{model}: distance {x:.3g}, AUROC {y:.3f}" for x, y, model in points)
    return frame.drawing(spoken, *parts, class_="chart")


def _around(low: float, high: float, ceiling: float | None = None) -> tuple[float, float]:
    """A range with some air, not above ``ceiling``."""
    air = 0.15 * (high - low) or 0.05 * abs(high) or 0.05
    top = high + air
    return low - air, top if ceiling is None else min(top, max(ceiling, high))
