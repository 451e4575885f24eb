"""The few SVG parts the charts are drawn with.

Colours and fonts are classes, so that the page's style sheet decides them for light and dark.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence

from markupsafe import Markup, escape

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


def group(children: Iterable[str]) -> Markup:
    """Several elements as one."""
    return Markup("").join(escape(child) for child in children)


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
            parts.append(element("line", x1=x0, x2=x1, y1=y, y2=y, class_="grid"))
            parts.append(
                element("text", y_text(tick), x=x0 - 8, y=y + 4, class_="tick", text_anchor="end")
            )
        for tick in x_ticks:
            x = self.x(tick)
            parts.append(element("line", x1=x, x2=x, y1=y0, y2=y0 + 4, class_="axis"))
            parts.append(
                element("text", x_text(tick), x=x, y=y0 + 18, class_="tick", text_anchor="middle")
            )
        parts.append(element("line", x1=x0, x2=x1, y1=y0, y2=y0, class_="axis"))
        parts.append(
            element(
                "text",
                x_title,
                x=(x0 + x1) / 2,
                y=self.height - 6,
                class_="title",
                text_anchor="middle",
            )
        )
        if y_title:
            middle = (y0 + y1) / 2
            parts.append(
                element(
                    "text",
                    y_title,
                    x=12,
                    y=middle,
                    class_="title",
                    text_anchor="middle",
                    transform=f"rotate(-90 12 {middle:.1f})",
                )
            )
        return group(parts)

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
