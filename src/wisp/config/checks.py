"""What the configurations share: flags of one meaning, and the refusal of what cannot work."""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

from tyro.conf import arg

from wisp.errors import InputError

Precision = Literal["auto", "32", "bf16", "16"]
Device = Literal["auto", "cpu", "cuda", "mps"]
BACKBONE: Final = "mobilenetv2_100"
"""The network that wisp starts from and measures on unless told otherwise; its ImageNet weights
ship with wisp (:data:`wisp.networks.imagenet.SHIPPED`)."""


def required(metavar: str) -> Any:  # noqa: ANN401 - tyro's own type
    """A positional argument that must be given, called ``metavar`` in the help."""
    return arg(metavar=metavar, help_behavior_hint="(required)")


def optional(metavar: str) -> Any:  # noqa: ANN401 - tyro's own type
    """A value that may be left out; its help text says what happens then."""
    return arg(metavar=metavar, help_behavior_hint="")


def require(ok: bool, message: str) -> None:
    """Raise InputError with ``message`` unless ``ok``."""
    if not ok:
        raise InputError(message)


_POSITIONAL = ("photos", "clean", "smoky", "real")
"""What is given without a flag."""


def flag_of(name: str) -> str:
    """What a user calls a field: ``load_size`` is ``--load-size``, ``clean`` CLEAN."""
    return name.upper() if name in _POSITIONAL else "--" + name.replace("_", "-")


def _without_marks(kind: Any) -> Any:  # noqa: ANN401 - a type
    """``kind`` without Annotated and None: ``Annotated[Path | None, …]`` is ``Path``."""
    if typing.get_origin(kind) is typing.Annotated:
        return _without_marks(typing.get_args(kind)[0])
    parts = [part for part in typing.get_args(kind) if part is not type(None)]
    if len(parts) == 1 and type(None) in typing.get_args(kind):
        return _without_marks(parts[0])
    return kind


def normalise(config: Any) -> None:  # noqa: ANN401 - a configuration
    """Let Python callers write ``"photos"`` for ``Path("photos")`` and one item for a tuple.

    Where a string may be a name or a path, ``Path("x")`` becomes ``"./x"``: the path, in JSON too.
    """
    for name, hint in typing.get_type_hints(type(config), include_extras=True).items():
        value, kind = getattr(config, name), _without_marks(hint)
        if typing.get_origin(kind) is tuple:
            (item, _) = typing.get_args(kind)
            value = value if isinstance(value, (tuple, list)) else (value,)
            value = tuple(item(part) for part in value)
        elif kind is Path and value is not None:
            value = Path(value)
        elif kind == str | Path and isinstance(value, Path):
            value = f"./{value}" if len(value.parts) == 1 else str(value)
        elif typing.get_origin(kind) is Literal:
            choices = typing.get_args(kind)
            require(value in choices, f"{flag_of(name)} {value}: one of {', '.join(choices)}")
        object.__setattr__(config, name, value)


def check_common(config: Any) -> None:  # noqa: ANN401 - a configuration
    """Refuse what is wrong for every command: seeds, worker counts and numbers out of range."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        given = f"{flag_of(field.name)} {value}"
        if field.name == "seed":
            require(0 <= value < 2**63, f"{given}: from 0 to below 2^63")
        elif field.name == "workers":
            require(value is None or 0 <= value <= 1024, f"{given}: from 0 to 1024")
        elif isinstance(value, float):
            require(math.isfinite(value), f"{given}: must be a finite number")


def require_at_least(config: Any, least: int, *names: str) -> None:  # noqa: ANN401
    """Refuse a field of ``names`` whose value is below ``least``."""
    for name in names:
        value = getattr(config, name)
        limit = "not below 0" if least == 0 else f"at least {least}"
        require(value is None or value >= least, f"{flag_of(name)} {value}: {limit}")


def apply_recipe(config: Any, recipe: Mapping[str, Any], flag: str) -> None:  # noqa: ANN401
    """Set the fields of ``recipe``; InputError where ``config`` says neither default nor recipe."""
    defaults = {field.name: field.default for field in dataclasses.fields(config)}
    for name, value in recipe.items():
        given = getattr(config, name)
        if given not in (defaults[name], value):
            raise InputError(
                f"{flag_of(name)} {given} contradicts {flag}, which sets it to {value}; "
                "leave one of the two out"
            )
        object.__setattr__(config, name, value)


def require_probability(name: str, value: float | None) -> None:
    """Refuse a threshold outside [0, 1]; None is none given."""
    require(value is None or 0 <= value <= 1, f"{flag_of(name)} {value}: between 0 and 1")


_ROOM_ABOVE = 0.15


def parse_source(text: str) -> tuple[float, float, float, float]:
    """``'0.4,0.7,0.1,0.1'`` as left, top, width, height; InputError unless it is a box of some area
    inside the picture, whose width and height are 1.

    >>> parse_source('0.4,0.7,0.1,0.1')
    (0.4, 0.7, 0.1, 0.1)
    """
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    require(
        len(values) == 4 and all(map(math.isfinite, values)),
        f"--source {text}: give x,y,w,h as fractions of the photo's width and height, such as "
        "0.4,0.7,0.1,0.1",
    )
    x, y, width, height = values
    require(
        width > 0 and height > 0,
        f"--source {text}: a box of width {width:g} and height {height:g} has no area; give both "
        "above 0",
    )
    # A little more than 1 is what sums of decimal fractions come to.
    require(
        x >= 0 and y >= 0 and x + width <= 1 + 1e-6 and y + height <= 1 + 1e-6,
        f"--source {text}: the box reaches from {x:g} to {x + width:g} across and from {y:g} to "
        f"{y + height:g} down, outside the picture; give fractions of its width and height, "
        "from 0 to 1",
    )
    require(
        y + height >= _ROOM_ABOVE,
        f"--source {text}: the box ends at {y + height:g} of the height from the top; smoke rises "
        f"and needs room above, so let it end at {_ROOM_ABOVE:g} or lower",
    )
    return x, y, width, height


def parse_strength(text: str) -> tuple[float, float]:
    """``'1'`` as (1, 1), ``'0.4:1.6'`` as (0.4, 1.6); InputError unless 0 ≤ low ≤ high < ∞.

    >>> parse_strength('0.4:1.6')
    (0.4, 1.6)
    """
    try:
        values = [float(part) for part in str(text).split(":")]
    except ValueError:
        values = []
    low, high = (values * 2)[:2] if len(values) in (1, 2) else (math.nan, math.nan)
    require(
        not 0 <= high < low < math.inf,
        f"--strength {text}: {low:g} is above {high:g}; give {high:g}:{low:g}",
    )
    require(
        0 <= low <= high < math.inf,
        f"--strength {text}: give a number such as 1, or a range such as 0.4:1.6, not below 0",
    )
    return low, high


LOOKALIKES = ("steam", "blur", "lowlight", "overexposed", "fog-lens")
"""What is taken for smoke and is none, as :mod:`wisp.smoke.lookalikes` makes it."""


def parse_negatives(text: str) -> tuple[str, ...]:
    """``'blur,steam'`` as ('steam', 'blur'), in the order of :data:`LOOKALIKES`; ``''`` as ().

    Raises InputError for a kind that is unknown or named twice.

    >>> parse_negatives('blur,steam')
    ('steam', 'blur')
    """
    kinds = [part.strip() for part in text.split(",")] if text.strip() else []
    for kind in kinds:
        require(
            kind in LOOKALIKES,
            f"--negatives {text}: '{kind}' is no look-alike; name some of {', '.join(LOOKALIKES)}",
        )
        require(kinds.count(kind) == 1, f"--negatives {text}: '{kind}' is named twice")
    return tuple(kind for kind in LOOKALIKES if kind in kinds)
