"""What ``wisp train`` takes: a class per recipe, on top of what all share, and which one it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from wisp.config.checks import flag_of, require
from wisp.config.saved import from_json
from wisp.config.train.composing import ComposingConfig
from wisp.config.train.layered import LayeredConfig
from wisp.config.train.repainting import RepaintingConfig
from wisp.config.train.shared import TrainConfig

__all__ = [
    "ComposingConfig",
    "LayeredConfig",
    "RepaintingConfig",
    "TrainConfig",
    "saved_train_config",
    "train_config",
    "train_config_taking",
    "train_kinds",
]

GENERATORS: Final[dict[str, type[TrainConfig]]] = {
    "composing": ComposingConfig,
    "resnet9": RepaintingConfig,
    "resnet6": RepaintingConfig,
}
"""By ``--generator`` of ``--model cyclegan``."""
MODELS: Final[dict[str, type[TrainConfig]]] = {
    "cyclegan": ComposingConfig,
    "layered": LayeredConfig,
}
"""By ``--model``; the first is the default."""
_RETIRED: Final = ("lift_cycle", "lift_adversarial")
"""Weights of losses that trainings of earlier versions had, most of them 0."""


def train_config(
    model: str | None = None, generator: str | None = None, reference: bool = False
) -> type[TrainConfig]:
    """The class that ``--model``, ``--generator`` and ``--reference`` ask for.

    Raises InputError for a model or a generator that there is not.

    >>> train_config("layered").__name__
    'LayeredConfig'
    """
    model = model or next(iter(MODELS))
    require(model in MODELS, f"--model {model}: there are {' and '.join(MODELS)}")
    if model == "cyclegan" and (reference or generator):
        generator = generator or RepaintingConfig.generator
        there = " and ".join(GENERATORS)
        require(generator in GENERATORS, f"--generator {generator}: there are {there}")
        return GENERATORS[generator]
    return MODELS[model]


def train_kinds() -> dict[type[TrainConfig], str]:
    """Every class, and the flag that asks for it."""
    kinds: dict[type[TrainConfig], str] = {}
    for name, by_value in (("model", MODELS), ("generator", GENERATORS)):
        for value, kind in by_value.items():
            kinds.setdefault(kind, f"{flag_of(name)} {value}")
    return kinds


def train_config_taking(given: Mapping[str, Any]) -> type[TrainConfig]:
    """The class that takes what is ``given`` by name; InputError for what another one takes."""
    kind = train_config(given.get("model"), given.get("generator"), bool(given.get("reference")))
    for name in given:
        owner = next((other for other in train_kinds() if name in _names(other)), kind)
        if name in _names(kind) or owner is kind:  # what nobody takes is refused when it is made
            continue
        for choice in ("model", "generator"):
            theirs, chosen = getattr(owner, choice), getattr(kind, choice)
            require(
                theirs == chosen,
                f"{flag_of(name)}: is for {flag_of(choice)} {theirs}, not {chosen}; leave it out",
            )
    return kind


def saved_train_config(values: Mapping[str, Any]) -> TrainConfig:
    """What a run's ``config.json`` holds.

    One of before each model had its own class also holds what is the other model's, and may leave
    the generator to the size. InputError for one that needs what trainings no longer have.
    """
    for name in _RETIRED:
        weight = values.get(name, 0)
        require(weight == 0, f"{flag_of(name)} {weight}: this version has no such loss")
    generator, size = values.get("generator"), values.get("size")
    if generator == "auto":
        generator = "resnet6" if size in range(256) else "resnet9"
        values = {**values, "generator": generator}
    kind = train_config(values.get("model"), generator, bool(values.get("reference")))
    others = set(_RETIRED).union(*map(_names, train_kinds())) - _names(kind)
    return from_json(kind, {name: value for name, value in values.items() if name not in others})


def _names(kind: type[TrainConfig]) -> set[str]:
    return {field.name for field in dataclasses.fields(kind)}
