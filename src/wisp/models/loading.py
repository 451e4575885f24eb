"""From a name, a run or a file to a smoke model. Nothing in a file is executed."""

from __future__ import annotations

import functools
from pathlib import Path

from wisp import shipped
from wisp.config import Device, Precision, parse_negatives
from wisp.data import BANK_FILE, LayerBank
from wisp.errors import InputError
from wisp.models.base import SmokeModel
from wisp.models.drawn import DrawnModel
from wisp.rundir import RunDir
from wisp.smoke import LiftedSmoke, ProceduralSmoke

POSSIBLE = (
    "give procedural, layered (ships with wisp), a run of `wisp train`, one of its checkpoints, "
    "a generator file (*_net_G_*.pth, .pt, .safetensors) or a layer bank (.zip)"
)
"""What a model may be."""


def load(model: str | Path, *, device: Device = "cpu", precision: Precision = "32") -> SmokeModel:
    """The smoke model that ``model`` names.

    Args:
        model: ``procedural``; ``layered``, which ships with wisp (a folder of your own of that name
            is ``./layered``); a run of ``wisp train`` (its best checkpoint if it measured a
            distance, else its latest); a checkpoint folder; or a file with a generator, such as the
            public reference's ``*_net_G_*.pth`` (one direction only). Where weights were averaged
            (EMA), the average is used. Or a layer bank, or the layered run that holds one.
        device: where a network computes.
        precision: in which arithmetic.

    Raises:
        InputError: ``model`` is none of these, or a file in it is damaged or holds code.
    """
    if str(model) == "procedural":
        return DrawnModel("procedural", "procedural", ProceduralSmoke())
    ships = shipped.find(model)
    path = ships or Path(model)
    if path.is_dir() and (path / BANK_FILE).exists():
        return from_bank(path / BANK_FILE, str(model) if ships else None)
    if path.is_file() and path.suffix.lower() == ".zip":
        return from_bank(path)
    if not path.exists():
        raise InputError(f"--model {model}: there is no such model, run or file; {POSSIBLE}")
    from wisp.models.trained import load_trained  # torch, which drawn smoke does without

    return load_trained(path, device, precision)


@functools.cache
def shipped_layers() -> LayerBank:
    """The layers of real smoke that ship with wisp; InputError where they are not installed."""
    return LayerBank(shipped.resolve("layered") / BANK_FILE)


def parents_of(model: str, negatives: str) -> dict[str, Path]:
    """The runs that smoke of ``model`` and look-alikes come from, for ``inputs.json``: the photos
    of both count as seen. Raises InputError where what ships is not installed."""
    parents: dict[str, Path] = {}
    if model != "procedural":
        found = shipped.resolve(model)
        for place in (found, *found.absolute().parents[:3]):
            if (place / "config.json").exists() and RunDir(place).kind == "train":
                parents["model"] = place
                break
    return parents | lookalike_parents(negatives)


def lookalike_parents(negatives: str) -> dict[str, Path]:
    """Where look-alikes come from: the photos that lent steam its folds count as seen."""
    steams = "steam" in parse_negatives(negatives)
    return {"lookalikes": shipped.resolve("layered")} if steams else {}


def from_bank(path: Path, name: str | None = None) -> SmokeModel:
    """The layers in ``path``, as a model called ``name`` or as its file is."""
    return DrawnModel(name or str(path), "layered", LiftedSmoke(LayerBank(path)))
