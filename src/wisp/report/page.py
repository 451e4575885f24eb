"""A page: its parts as plain values, and how they become one HTML file."""

from __future__ import annotations

import base64
import dataclasses
import functools
import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from wisp.report import charts, wording
from wisp.report.read import UNKNOWN, Estimate

_HERE = Path(__file__).parent


@dataclasses.dataclass(frozen=True)
class Tile:
    """One key number; ``scale`` draws its interval on a line from 0 to 1."""

    label: str
    value: str
    note: str
    estimate: Estimate = UNKNOWN
    as_percent: bool = False
    scale: bool = False
    chance: float | None = None

    @classmethod
    def rate(
        cls,
        label: str,
        estimate: Estimate,
        note: str,
        *,
        as_percent: bool = False,
        chance: float | None = None,
    ) -> Tile:
        """A measure from 0 to 1 with its interval."""
        shown = wording.percent(estimate.value) if as_percent else wording.score(estimate.value)
        return cls(label, shown, note, estimate, as_percent, estimate.known, chance)


@dataclasses.dataclass(frozen=True)
class Step:
    """One link of the chain that led to the result."""

    name: str
    fact: str
    anchor: str


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of the page; ``template`` is rendered with ``d`` = data."""

    anchor: str
    title: str
    short: str
    template: str
    data: Mapping[str, Any]


def section(
    anchor: str, title: str, short: str = "", template: str = "", **data: object
) -> Section:
    """A section that is called ``short`` in the contents; its template is that of ``anchor``."""
    return Section(anchor, title, short or title, f"{template or anchor}.html.j2", data)


@dataclasses.dataclass(frozen=True)
class Verdict:
    """A headline, what stands behind it, and what to keep in mind."""

    headline: str
    lead: Sequence[str] = ()
    caveats: Sequence[str] = ()
    tone: str = "open"  # or "good", "middling", "poor"


@dataclasses.dataclass(frozen=True)
class Page:
    """A whole report; ``banner``: a notice above everything, a command for one's own photos."""

    kind: str
    made: str
    verdict: Verdict
    tiles: Sequence[Tile]
    sections: Sequence[Section]
    steps: Sequence[Step] = ()
    banner: tuple[str, str] = ("", "")
    next_command: str = ""
    problems: Sequence[str] = ()


def _breakable(name: str) -> Markup:
    """``name`` with places to break a line at: behind each ``_``, ``-``, ``.`` and ``/``."""
    return Markup(re.sub(r"([_\-./]+)", r"\1<wbr>", str(escape(name))))


def _linked(sentence: str, sections: Sequence[Section]) -> Markup:
    """``sentence`` with the title of the section it calls ``report.html#anchor``, as a link.

    Without such a section the sentence comes from the training of the model, whose report has it.
    """
    titles = {section.anchor: section.title for section in sections}

    def link(found: re.Match[str]) -> str:
        name = found[1]
        if name not in titles:
            return "the report of the training"
        return f'<a href="#{name}">“{escape(titles[name])}”</a>'

    return Markup(re.sub(r"report\.html#([a-z-]+)", link, str(escape(sentence))))


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "score": wording.score,
        "percent": wording.percent,
        "signed": wording.signed,
        "count": wording.count,
        "interval": wording.interval,
        "duration": wording.duration,
        "config_value": wording.value,
        "breakable": _breakable,
        "linked": _linked,
    }
    environment.globals |= {"plural": wording.plural, "of": wording.of, "strip": charts.strip}
    return environment


def render(page: Page) -> str:
    """The page as one self-contained HTML document.

    A content security policy inside it forbids every request and every script but its own (by
    hash), so that not even a hostile file name could run code.
    """
    script = (_HERE / "static" / "report.js").read_text(encoding="utf-8")
    style = (_HERE / "static" / "report.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        _environment()
        .get_template("page.html.j2")
        .render(page=page, script=Markup(script), style=Markup(style), script_hash=digest)
    )
