"""Charts of what changed while something learned."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from markupsafe import Markup

from wisp.report import wording
from wisp.report.charts import thin
from wisp.report.read import Estimate, Number, Saved, mapping, number
from wisp.report.svg import Frame, dot, element, label, nice_ticks


class Learned(Saved):
    """How far something learned, and what there is to say of it."""

    steps: int = 0
    seconds: Number | None = None
    notes: tuple[str, ...] = ()

    @property
    def duration(self) -> str:
        """``20 000 steps in 3 h``."""
        took = f" in {wording.duration(self.seconds)}" if self.seconds else ""
        return f"{wording.plural(self.steps, 'step')}{took}"


def logged(rows: Iterable[dict[str, object]]) -> list[dict[str, object]]:
    """Steps and seconds of rows of metrics.jsonl: how far it came, where there is no result yet."""
    return [{"steps": row.get("step"), "seconds": row.get("seconds")} for row in rows]


@dataclasses.dataclass(frozen=True)
class Series:
    """A line of a training chart."""

    name: str
    steps: Sequence[float]
    values: Sequence[float]
    class_: str = "smoky"
    raw: bool = True  # draw the unsmoothed values faintly behind

    @classmethod
    def of(
        cls,
        rows: Iterable[dict[str, object]],
        key: str,
        name: str,
        class_: str = "smoky",
        *,
        inside: str = "",
    ) -> Series:
        """From rows of metrics.jsonl; what stands ``inside`` another key is measured rarely."""
        steps, values = [], []
        for row in rows:
            value = Estimate.of((mapping(row.get(inside)) if inside else row).get(key)).value
            step = number(row.get("step"))
            if step is not None and value is not None:
                steps.append(step)
                values.append(value)
        return cls(name, steps, values, class_, raw=not inside)


@dataclasses.dataclass(frozen=True)
class Figure:
    """A chart and the heading over it."""

    title: str
    chart: Markup

    @classmethod
    def all_of(cls, *plans: tuple[str, Sequence[Series]]) -> list[Figure]:
        """Those with anything to show; a term that is off is 0 throughout."""
        kept = [(title, [one for one in series if any(one.values)]) for title, series in plans]
        return [
            cls(title, curves(f"{title} over steps", series)) for title, series in kept if series
        ]


def _smooth(values: Sequence[float], window: int) -> list[float]:
    half = window // 2
    parts = [values[max(0, i - half) : i + half + 1] for i in range(len(values))]
    return [sum(part) / len(part) for part in parts]


def curves(
    title: str, series: Sequence[Series], y_range: tuple[float, float] | None = None
) -> Markup:
    """Lines over steps, smoothed over 1/25 of the run, the raw values faint behind them."""
    drawn: list[tuple[Series, list[float], list[float], list[float]]] = []
    for one in series:
        smooth = _smooth(one.values, max(1, len(one.values) // 25)) if one.raw else one.values
        kept = [round(i) for i in thin(range(len(smooth)), 300)]
        steps, fine, raw = ([all_[i] for i in kept] for all_ in (one.steps, smooth, one.values))
        drawn.append((one, steps, fine, raw))
    every = sorted(value for _, _, _, raw in drawn for value in raw)
    last = max([steps[-1] for _, steps, _, _ in drawn if steps] or [1.0])
    if y_range is None:
        # One early spike must not flatten the rest.
        most = every[int(0.99 * (len(every) - 1))] * 1.08 if every else 1.0
        y_range = 0.0, max([most, 1e-9] + [max(smooth) for _, _, smooth, _ in drawn if smooth])
    frame = Frame((0.0, last), y_range, height=240, left=48, top=14 + 18 * (len(series) > 1))

    def steps_text(step: float) -> str:
        return wording.count(step) if step < 1e5 else f"{step / 1000:g} k"

    parts = [frame.axes("step", "", nice_ticks(0, last), nice_ticks(*y_range), steps_text)]
    for one, steps, smooth, raw in drawn:
        if one.raw:
            below = [min(value, y_range[1]) for value in raw]
            parts.append(frame.line(steps, below, f"raw-{one.class_}"))
        parts.append(frame.line(steps, smooth, f"stroke-{one.class_}"))
        if len(steps) == 1:
            parts.append(dot(frame.x(steps[0]), frame.y(smooth[0]), 3.5, f"dot-{one.class_}"))
    x = frame.left
    for one in series if len(series) > 1 else ():
        parts.append(
            element("rect", x=x, y=6, width=14, height=4, rx=2, class_=f"bar-{one.class_}")
        )
        parts.append(label(one.name, x + 19, 12, "tick"))
        x += 40 + 6.4 * len(one.name)
    return frame.drawing(title, *parts, class_="chart")
