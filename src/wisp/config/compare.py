"""What ``wisp compare`` takes."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Annotated, Final, Literal

from tyro.conf import Positional

from wisp.config.checks import (
    BACKBONE,
    Device,
    Precision,
    check_common,
    normalise,
    optional,
    parse_negatives,
    parse_strength,
    require,
    require_at_least,
    required,
)
from wisp.config.classify import DEFAULT_STEPS, check_pretrained_share

REAL: Final = "real"
"""The source of smoke that is no model: the smoky photos themselves."""
_NAME = re.compile(r"\w[\w.+-]*")
_FILES = (".zip", ".pth", ".pt", ".safetensors")


@dataclasses.dataclass(frozen=True)
class Contender:
    """One source of smoke: a model, the real photos, or a mixture."""

    name: str
    """What it is called in tables and on disk."""
    source: str
    """``real``, or what ``wisp synth --model`` takes; of a mixture its parts with ``+``."""
    parts: tuple[Contender, ...] = ()
    """What is mixed, in equal shares; none: this is no mixture."""


def parse_models(text: str) -> tuple[Contender, ...]:
    """The sources of smoke that ``--models`` names.

    Entries stand between commas: ``procedural``, ``real``, a path, or ``a+b`` for a mixture in
    equal shares, whose parts may be names of other entries. ``name=`` in front gives an entry a
    name; a path is else called as its last part.

    >>> [model.name for model in parse_models('procedural,own=runs/smoke,own+real')]
    ['procedural', 'own', 'own+real']

    Raises InputError for fewer than two entries, for names that are no names or are given twice,
    and for a mixture of one thing with itself.
    """
    entries = [entry.strip() for entry in text.split(",")]
    require(
        len(entries) > 1 and all(entries),
        f"--models {text}: name at least two sources of smoke, such as procedural,real",
    )
    named = [entry.partition("=") if "=" in entry else ("", "", entry) for entry in entries]
    single = {
        source: Contender(name or _name_of(source), source)
        for name, _, source in named
        if "+" not in source
    }
    called = {one.name: one for one in single.values()}
    models = tuple(
        _mixture(name, source, called, single) if "+" in source else single[source]
        for name, _, source in named
    )
    everyone = list(models) + [part for model in models for part in model.parts]
    sources: dict[str, str] = {}
    for model in everyone:
        require(
            _NAME.fullmatch(model.name) is not None,
            f"--models {text}: '{model.name}' is no name; give one of letters, digits and ._-, "
            f"as in smoke={model.source or 'PATH'}",
        )
        clash = sources.setdefault(model.name, model.source)
        require(
            clash == model.source,
            f"--models {text}: {clash} and {model.source} are both called {model.name}; "
            f"name one of them, as in other={model.source}",
        )
    require(
        len({model.name for model in models}) == len(models),
        f"--models {text}: names one source twice; leave it out once",
    )
    return models


def _name_of(source: str) -> str:
    path = Path(source)
    return path.stem if path.suffix.lower() in _FILES else path.name


def _mixture(
    name: str, source: str, called: dict[str, Contender], single: dict[str, Contender]
) -> Contender:
    words = [word.strip() for word in source.split("+")]
    parts = tuple(
        called.get(word) or single.get(word) or Contender(_name_of(word), word) for word in words
    )
    require(
        len(set(parts)) == len(parts),
        f"--models {source}: mixes one thing with itself; name different ones",
    )
    mixed = "+".join(part.name for part in parts)
    return Contender(name or mixed, "+".join(part.source for part in parts), parts)


@dataclasses.dataclass(frozen=True)
class CompareConfig:
    """Find out which smoke teaches a detector best: one detector per source, scored on real photos.

    All get the same clean photos, the same budget and the same seeds. The reference that they are
    measured against is a detector trained on the smoky photos themselves. A compare that was
    stopped goes on when its command is repeated.
    """

    clean: Positional[Annotated[Path, required("CLEAN")]]
    """Folder of clean photos (searched recursively)."""
    smoky: Positional[Annotated[Path, required("SMOKY")]]
    """Folder of real smoky photos to train on, of any places."""
    real: Positional[Annotated[tuple[Path, ...], required("REAL")]]
    """Test sets: folders that hold one folder per class, or a folder of such folders."""
    out: Path
    """Run directory to make."""
    models: str = "procedural,layered,real"
    """Sources of smoke: procedural, layered (as shipped), real
    (SMOKY itself), runs or files, mixtures a+b; name=PATH."""
    seeds: int = 3
    """Repetitions, each with its own data sets and trainings."""
    backbone: str = BACKBONE
    """Any timm model."""
    weights: str = "imagenet"
    """imagenet, hub, none, or a file (see classify)."""
    size: int = 160
    """Pictures are brought to size x size [px]."""
    members: int = 1
    """Detectors of each seed whose logits are averaged (see classify)."""
    steps: int = DEFAULT_STEPS["full"]
    """Optimizer steps of each detector."""
    images_per_step: int = 32
    """Pictures per step."""
    pretrained_share: float = 0.0
    """Part of the pretrained weights in the backbone's final ones (see classify)."""
    strength: str = "1"
    """Optical density of added smoke relative to the model's own: a number, or a range."""
    negatives: Annotated[str, optional("KINDS")] = ""
    """Look-alikes labelled clean, of the same photos for all sources: see synth; default: none."""
    limit: Annotated[int | None, optional("INT")] = None
    """Use at most so many pictures of a class, drawn at random; default: one per clean photo."""
    threshold: Literal["balanced", "fpr01", "fpr02", "fpr05"] = "balanced"
    """Threshold on validation: best balanced accuracy, or at most 1, 2 or 5 % false alarms."""
    group_by: str = "auto"
    """What belongs together (splits and intervals are by group): see synth."""
    seed: int = 0
    """The first seed; the others follow it."""
    precision: Precision = "auto"
    """Arithmetic of trainings, as for classify, and of a CycleGAN; scores are in float32."""
    device: Device = "auto"
    """Where to compute."""
    workers: Annotated[int | None, optional("INT")] = None
    """Processes that decode pictures; default: by the number of cores."""

    def __post_init__(self) -> None:
        normalise(self)
        check_common(self)
        parse_models(self.models)
        parse_strength(self.strength)
        object.__setattr__(self, "negatives", ",".join(parse_negatives(self.negatives)))
        check_pretrained_share(self.pretrained_share, self.weights)
        require(len(self.real) > 0, "REAL: name at least one folder with a folder per class")
        require_at_least(self, 32, "size")
        require_at_least(self, 1, "seeds", "members", "steps", "images_per_step", "limit")

    @property
    def contenders(self) -> tuple[Contender, ...]:
        """The sources of smoke, in the order given."""
        return parse_models(self.models)

    @property
    def reference(self) -> str:
        """The source that the others are measured against: the real photos, or else the first."""
        named = self.contenders
        return next((one.name for one in named if one.source == REAL), named[0].name)
