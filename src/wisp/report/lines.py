"""Charts of what changed while something learned."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from markupsafe import Markup

from wisp.report import wording
from wisp.report.charts import thin
from wisp.report.svg import Frame, element, group, nice_ticks


@dataclasses.dataclass(frozen=True)
class Figure:
    """A chart and the heading over it."""

    title: str
    chart: Markup


@dataclasses.dataclass(frozen=True)
class Series:
    """A line of a training chart."""

    name: str
    steps: Sequence[float]
    values: Sequence[float]
    class_: str = "smoky"
    raw: bool = True  # draw the unsmoothed values faintly behind


def _smooth(values: Sequence[float], window: int) -> list[float]:
    half = window // 2
    return [
        sum(part) / len(part)
        for i in range(len(values))
        if (part := values[max(0, i - half) : i + half + 1])
    ]


def curves(
    title: str,
    series: Sequence[Series],
    x_title: str = "step",
    y_range: tuple[float, float] | None = None,
) -> Markup:
    """Lines over steps, smoothed over 1/25 of the run, the raw values faint behind them."""
    drawn: list[tuple[Series, list[float], list[float], list[float]]] = []
    for one in series:
        smooth = _smooth(one.values, max(1, len(one.values) // 25)) if one.raw else one.values
        kept = [round(i) for i in thin(range(len(smooth)), 300)]
        drawn.append(
            (
                one,
                [one.steps[i] for i in kept],
                [smooth[i] for i in kept],
                [one.values[i] for i in kept],
            )
        )
    every = sorted(value for _, _, _, raw in drawn for value in raw)
    last = max([steps[-1] for _, steps, _, _ in drawn if steps] or [1.0])
    # One early spike must not flatten the rest.
    top = (
        y_range[1]
        if y_range
        else max(
            [every[int(0.99 * (len(every) - 1))] * 1.08 if every else 1.0, 1e-9]
            + [max(smooth) for _, _, smooth, _ in drawn if smooth]
        )
    )
    bottom = y_range[0] if y_range else 0.0
    frame = Frame(
        (0.0, last), (bottom, top), width=420, height=240, left=48, top=14 + 18 * (len(series) > 1)
    )
    parts = [
        frame.axes(
            x_title,
            "",
            nice_ticks(0, last),
            nice_ticks(bottom, top),
            lambda v: wording.count(v) if v < 1e5 else f"{v / 1000:g} k",
        )
    ]
    for one, steps, smooth, raw in drawn:
        if one.raw:
            parts.append(frame.line(steps, [min(v, top) for v in raw], f"raw-{one.class_}"))
        parts.append(frame.line(steps, smooth, f"stroke-{one.class_}"))
        if len(steps) == 1:
            parts.append(
                element(
                    "circle",
                    cx=frame.x(steps[0]),
                    cy=frame.y(smooth[0]),
                    r=3.5,
                    class_=f"dot-{one.class_}",
                )
            )
    if len(series) > 1:
        parts.append(_key(frame, series))
    return frame.drawing(title, *parts, class_="chart")


def _key(frame: Frame, series: Sequence[Series]) -> Markup:
    x, parts = frame.left, []
    for one in series:
        parts.append(
            element("rect", x=x, y=6, width=14, height=4, rx=2, class_=f"bar-{one.class_}")
        )
        parts.append(element("text", one.name, x=x + 19, y=12, class_="tick"))
        x += 40 + 6.4 * len(one.name)
    return group(parts)
