"""The few SVG parts the charts are drawn with.

Colours and fonts are classes, so that the page's style sheet decides them for light and dark.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

from markupsafe import Markup, escape

from wisp.report import wording
from wisp.report.read import Estimate

Attribute = str | float | int


def element(name: str, *children: str, **attributes: Attribute) -> Markup:
    """An SVG element; ``class_`` becomes class, other underscores dashes; text is escaped."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_attribute(value)}"'
        for key, value in attributes.items()
    )
    inner = Markup("").join(escape(child) for child in children)
    return Markup(f"<{name}{written}>{inner}</{name}>")


def _attribute(value: Attribute) -> str:
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return str(escape(value))


def segment(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """A straight line."""
    return element("line", x1=x1, x2=x2, y1=y1, y2=y2, class_=class_)


def dot(x: float, y: float, r: float, class_: str, title: str = "", **more: Attribute) -> Markup:
    """A circle; its title shows where the pointer rests on it."""
    titles = [element("title", title)] if title else []
    return element("circle", *titles, cx=x, cy=y, r=r, class_=class_, **more)


def label(
    words: str, x: float, y: float, class_: str, anchor: str = "", **more: Attribute
) -> Markup:
    """Text that begins at ``x``, or is anchored there as SVG says."""
    where: dict[str, Attribute] = {"text_anchor": anchor} if anchor else {}
    return element("text", words, x=x, y=y, class_=class_, **where, **more)


@dataclasses.dataclass(frozen=True)
class Frame:
    """A plot area in a drawing of ``width`` x ``height`` units and its data ranges."""

    x_range: tuple[float, float] = (0.0, 1.0)
    y_range: tuple[float, float] = (0.0, 1.0)
    width: float = 420.0
    height: float = 320.0
    left: float = 60.0
    right: float = 14.0
    top: float = 14.0
    bottom: float = 46.0

    def x(self, value: float) -> float:
        """Data to drawing, horizontally."""
        low, high = self.x_range
        share = (value - low) / ((high - low) or 1.0)
        return self.left + share * (self.width - self.left - self.right)

    def y(self, value: float) -> float:
        """Data to drawing, vertically (up is more)."""
        low, high = self.y_range
        share = (value - low) / ((high - low) or 1.0)
        return self.height - self.bottom - share * (self.height - self.top - self.bottom)

    def axes(
        self,
        x_title: str,
        y_title: str,
        x_ticks: Sequence[float],
        y_ticks: Sequence[float],
        x_text: Callable[[float], str] = lambda value: f"{value:g}",
        y_text: Callable[[float], str] = lambda value: f"{value:g}",
    ) -> Markup:
        """Grid lines, tick labels and titles."""
        x0, x1 = self.x(self.x_range[0]), self.x(self.x_range[1])
        y0, y1 = self.y(self.y_range[0]), self.y(self.y_range[1])
        parts: list[Markup] = []
        for tick in y_ticks:
            y = self.y(tick)
            parts.append(segment(x0, y, x1, y, "grid"))
            parts.append(label(y_text(tick), x0 - 8, y + 4, "tick", "end"))
        for tick in x_ticks:
            x = self.x(tick)
            parts.append(segment(x, y0, x, y0 + 4, "axis"))
            parts.append(label(x_text(tick), x, y0 + 18, "tick", "middle"))
        parts.append(segment(x0, y0, x1, y0, "axis"))
        parts.append(label(x_title, (x0 + x1) / 2, self.height - 6, "title", "middle"))
        if y_title:
            middle = (y0 + y1) / 2
            turned = f"rotate(-90 12 {middle:.1f})"
            parts.append(label(y_title, 12, middle, "title", "middle", transform=turned))
        return Markup("").join(parts)

    def columns(self, heights: Sequence[float], class_: str, down: bool = False) -> list[Markup]:
        """Bars side by side over the whole x range, from 0 upwards or downwards."""
        low, high = self.x_range
        width = (high - low) / (len(heights) or 1)
        drawn = []
        for index, height in enumerate(heights):
            x0, x1 = self.x(low + index * width), self.x(low + (index + 1) * width)
            y, tall = self.y(0) if down else self.y(height), self.y(0) - self.y(height)
            if height:
                place: dict[str, Attribute] = {"x": x0 + 0.8, "width": x1 - x0 - 1.6, "y": y}
                drawn.append(element("rect", **place, height=tall, rx=1.5, class_=class_))
        return drawn

    def estimate(self, estimate: Estimate, y: float, class_: str) -> list[Markup]:
        """A dot at the height ``y`` with its interval, as far as they are known."""
        parts: list[Markup] = []
        if estimate.low is not None and estimate.high is not None:
            x1, x2 = self.x(max(estimate.low, self.x_range[0])), self.x(estimate.high)
            parts.append(segment(x1, y, x2, y, f"whisker-{class_}"))
        if estimate.value is not None:
            title = f"{estimate.value:.3f} {wording.interval(estimate)}".strip()
            parts.append(dot(self.x(estimate.value), y, 5.5, f"dot-{class_}", title))
        return parts

    def line(self, xs: Sequence[float], ys: Sequence[float], class_: str) -> Markup:
        """A line through the points."""
        points = " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in zip(xs, ys, strict=False))
        return element("polyline", points=points, class_=class_)

    def area(self, xs: Sequence[float], ys: Sequence[float], class_: str) -> Markup:
        """The area between the points and the bottom of the plot."""
        base = self.y(self.y_range[0])
        points = [f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in zip(xs, ys, strict=False)]
        if not points:
            return Markup("")
        closed = [f"{self.x(xs[0]):.1f},{base:.1f}", *points, f"{self.x(xs[-1]):.1f},{base:.1f}"]
        return element("polygon", points=" ".join(closed), class_=class_)

    def drawing(self, label: str, *children: str, **attributes: Attribute) -> Markup:
        """The whole SVG, announced to screen readers as ``label``."""
        return element(
            "svg",
            *children,
            viewBox=f"0 0 {self.width:g} {self.height:g}",
            role="img",
            aria_label=label,
            **attributes,
        )


def nice_ticks(low: float, high: float, wanted: int = 4) -> list[float]:
    """Round numbers from ``low`` to ``high``, about ``wanted`` of them.

    >>> nice_ticks(0, 9.3)
    [0.0, 2.0, 4.0, 6.0, 8.0]
    """
    span = high - low
    if not span > 0:
        return [low]
    power: float = 10.0 ** (len(f"{int(span / wanted)}") - 1) if span / wanted >= 1 else 1.0
    while span / wanted < power:
        power /= 10
    step = min((factor * power for factor in (1, 2, 5, 10)), key=lambda s: abs(span / s - wanted))
    first = math.ceil(low / step - 1e-9)
    ticks: list[float] = []
    while (tick := first * step) <= high + step * 1e-9:
        ticks.append(round(tick, 10))
        first += 1
    return ticks
