"""From a name, a run or a file to a smoke model. Nothing in a file is executed."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from wisp import shipped
from wisp.checkpoint import STATE_FILE, pointed_to, read_tensors
from wisp.config import Device, Precision
from wisp.data import BANK_FILE, LayerBank
from wisp.engine import make_engine
from wisp.errors import InputError
from wisp.models.base import SmokeModel
from wisp.models.cyclegan import CycleGANModel
from wisp.models.drawn import DrawnModel
from wisp.models.scale import WorkingScale
from wisp.networks.public import UnetGenerator, generator_of
from wisp.networks.weights import is_weights_file, weights_of, what_else
from wisp.rundir import RunDir, read_json
from wisp.smoke import LiftedSmoke, ProceduralSmoke

_POSSIBLE = (
    "give procedural, layered (ships with wisp), a run of `wisp train`, one of its checkpoints, "
    "a generator file (*_net_G_*.pth, .pt, .safetensors) or a layer bank (.zip)"
)
WEIGHTS_FILE = "model.safetensors"
"""The weights in a checkpoint's folder."""


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
    if path.is_dir():
        if (path / BANK_FILE).exists():
            return _from_bank(path / BANK_FILE, str(model) if ships else None)
        return _from_checkpoint(checkpoint_of(path), device, precision)
    if path.is_file():
        if path.name == WEIGHTS_FILE and (path.parent / STATE_FILE).exists():
            return _from_checkpoint(path.parent, device, precision)
        if not is_weights_file(path):
            if path.suffix.lower() == ".zip":
                return _from_bank(path)
            reason = what_else(path) or f"is no file of weights; {_POSSIBLE}"
            raise InputError(f"--model {model}: {reason}")
        return _assemble(str(model), read_tensors(path, "--model"), {}, device, precision)
    raise InputError(f"--model {model}: there is no such model, run or file; {_POSSIBLE}")


@functools.cache
def shipped_layers() -> LayerBank:
    """The layers of real smoke that ship with wisp; InputError where they are not installed."""
    return LayerBank(shipped.resolve("layered") / BANK_FILE)


def _from_bank(path: Path, name: str | None = None) -> SmokeModel:
    return DrawnModel(name or str(path), "layered", LiftedSmoke(LayerBank(path)))


def checkpoint_of(run: Path) -> Path:
    """The checkpoint to use of a training run: its best, else its latest, or the one it is.

    Raises InputError when ``run`` is none, or has none yet.
    """
    if (run / STATE_FILE).exists():
        return run
    if not (run / "config.json").exists():
        raise InputError(f"--model {run}: is a folder, but no run or checkpoint; {_POSSIBLE}")
    kind = RunDir.open(run).kind
    if kind != "train":
        raise InputError(f"--model {run}: is a '{kind}' run, which holds no smoke; {_POSSIBLE}")
    for name in ("best", "latest"):
        pointer = run / "checkpoints" / f"{name}.json"
        if pointer.exists():
            return pointed_to(pointer)
    raise InputError(f"--model {run}: has no checkpoint yet; train it longer (wisp train --resume)")


def _from_checkpoint(folder: Path, device: Device, precision: Precision) -> SmokeModel:
    state = read_json(folder / STATE_FILE)
    if isinstance(state, dict) and state.get("kind") == "layered":
        run = folder.parent.parent
        if not (run / BANK_FILE).exists():
            raise InputError(
                f"--model {run}: its layers are not lifted yet; finish it with wisp train --resume "
                f"{run}"
            )
        return _from_bank(run / BANK_FILE)
    weights = folder / WEIGHTS_FILE
    wanted = state.get("files", {}).get(WEIGHTS_FILE) if isinstance(state, dict) else None
    found = weights.stat().st_size if weights.exists() else 0
    if wanted is not None and found != wanted:
        raise InputError(
            f"{weights}: is truncated ({found} of {wanted} bytes); use an earlier checkpoint"
        )
    return _assemble(str(folder), read_tensors(weights), state, device, precision)


def _assemble(
    name: str,
    tensors: Mapping[str, Tensor],
    state: Mapping[str, Any],
    device: Device,
    precision: Precision,
) -> SmokeModel:
    engine, composes = None, state.get("generator") == "composing"
    if (device, precision) != ("cpu", "32"):
        engine = make_engine(device, precision, seed=None, light=composes)
    if composes:
        from wisp.models.composing import load_composing  # timm, whose import takes a second

        return load_composing(name, tensors, state, engine)
    forward = weights_of(tensors, "clean_to_smoky") or tensors
    backward = weights_of(tensors, "smoky_to_clean")
    clean_to_smoky = generator_of(forward, f"--model {name}")
    smoky_to_clean = generator_of(backward, f"--model {name}") if backward else None
    scale = WorkingScale()
    if isinstance(clean_to_smoky, UnetGenerator):  # which knows one size
        scale = WorkingScale("squash", clean_to_smoky.multiple_px)
    if "load_size" in state:
        scale = WorkingScale(state.get("fit", "squash"), int(state["load_size"]))
    return CycleGANModel(name, clean_to_smoky, smoky_to_clean, scale, engine)
