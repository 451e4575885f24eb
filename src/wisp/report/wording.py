"""Numbers as a person reads them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from datetime import datetime

from wisp.report.read import Estimate

NO_VALUE = "–"


def score(value: float | None) -> str:
    """A number from 0 to 1 with two decimals, three near the ends where they matter.

    >>> score(0.934), score(0.9968), score(None)
    ('0.93', '0.997', '–')
    """
    if value is None:
        return NO_VALUE
    if 0.99 <= value < 0.9995 or 0 < value < 0.01:
        return f"{value:.3f}"
    return f"{value:.2f}"


def signed(value: float | None, places: int = 3) -> str:
    """A difference with its sign.

    >>> signed(0.0214), signed(-0.3, 2), signed(0.0), signed(None)
    ('+0.021', '−0.30', '0.000', '–')
    """
    if value is None:
        return NO_VALUE
    written = f"{abs(value):.{places}f}"
    if float(written) == 0:
        return written
    return f"{'+' if value > 0 else '−'}{written}"


def percent(value: float | None) -> str:
    r"""A share as whole per cent; one decimal below 1 % and above 99 %.

    >>> percent(0.934), percent(0.9968), percent(1.0)
    ('93\u202f%', '99.7\u202f%', '100\u202f%')
    """
    if value is None:
        return NO_VALUE
    share = 100 * value
    near_end = 0 < share < 0.95 or 99.05 < share < 99.95
    return f"{share:.1f}\u202f%" if near_end else f"{share:.0f}\u202f%"


def interval(estimate: Estimate, *, as_percent: bool = False) -> str:
    """The 95 % interval as ``0.88 – 0.98``; empty where unknown."""
    if estimate.low is None or estimate.high is None:
        return ""
    if as_percent:
        return f"{percent(estimate.low)[:-2]}\u202f–\u202f{percent(estimate.high)}"
    if estimate.high > 1:
        return f"{estimate.low:.3g}\u202f–\u202f{estimate.high:.3g}"
    places = 3 if estimate.low >= 0.985 else 2
    return f"{estimate.low:.{places}f}\u202f–\u202f{estimate.high:.{places}f}"


def count(value: int | float | None) -> str:
    r"""A whole number with thin spaces between thousands.

    >>> count(12345)
    '12\u202f345'
    """
    return NO_VALUE if value is None else f"{round(value):,}".replace(",", "\u202f")


def plural(number: int, one: str, many: str | None = None) -> str:
    """``1 photo``, ``2 photos``.

    >>> plural(1, 'photo'), plural(2, 'photo'), plural(2, 'box', 'boxes')
    ('1 photo', '2 photos', '2 boxes')
    """
    return f"{count(number)} {one if number == 1 else many or one + 's'}"


def of(part: int, total: int) -> str:
    """``3 of 17``."""
    return f"{count(part)} of {count(total)}"


def listed(words: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    if len(words) < 2:
        return "".join(words)
    return ", ".join(words[:-1]) + " and " + words[-1]


def duration(seconds: float | None) -> str:
    """Seconds in the unit a person would use.

    >>> duration(42), duration(125), duration(7300)
    ('42 s', '2 min', '2 h 2 min')
    """
    if seconds is None:
        return NO_VALUE
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest} min" if rest else f"{hours} h"


def day(stamp: str) -> str:
    """``2026-11-23T06:12:21+0000`` as ``23 November 2026``; the text itself if it is no date."""
    try:
        moment = datetime.fromisoformat(stamp)
    except ValueError:
        return stamp
    return f"{moment.day} {moment:%B %Y}"


def shell(command: object) -> str:
    """A recorded command line as one would type it; the program's path is left out."""
    if isinstance(command, list) and command:
        words = [str(word) for word in command]
        if words[0] in ("", "-", "-c"):
            return ""  # not started from a command line
        program = words[0].replace("\\", "/").rsplit("/", 1)[-1]
        return shlex.join([program, *words[1:]])
    return "" if command is None else str(command)


def value(item: object) -> str:
    """A configuration value as text."""
    if isinstance(item, str):
        return item
    if item is None:
        return "none"
    if isinstance(item, bool):
        return "yes" if item else "no"
    return json.dumps(item, ensure_ascii=False)
