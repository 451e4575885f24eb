"""Smoke models that are networks, from the runs and files that hold their weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from wisp.checkpoint import STATE_FILE, pointed_to, read_tensors
from wisp.config import Device, Precision
from wisp.data import BANK_FILE
from wisp.engine import make_engine
from wisp.errors import InputError
from wisp.models.base import SmokeModel
from wisp.models.cyclegan import CycleGANModel
from wisp.models.loading import POSSIBLE, from_bank
from wisp.models.scale import WorkingScale
from wisp.networks.public import UnetGenerator, generator_of
from wisp.networks.weights import is_weights_file, weights_of, what_else
from wisp.rundir import RunDir, read_json

WEIGHTS_FILE = "model.safetensors"
"""The weights in a checkpoint's folder."""


def load_trained(path: Path, device: Device, precision: Precision) -> SmokeModel:
    """The model in ``path``, a run, a checkpoint or a file; see :func:`wisp.load`."""
    if path.is_dir():
        return _from_checkpoint(checkpoint_of(path), device, precision)
    if path.name == WEIGHTS_FILE and (path.parent / STATE_FILE).exists():
        return _from_checkpoint(path.parent, device, precision)
    if not is_weights_file(path):
        raise InputError(
            f"--model {path}: {what_else(path) or f'is no file of weights; {POSSIBLE}'}"
        )
    return _assemble(str(path), read_tensors(path, "--model"), {}, device, precision)


def checkpoint_of(run: Path) -> Path:
    """The checkpoint to use of a training run: its best, else its latest, or the one it is.

    Raises InputError when ``run`` is none, or has none yet.
    """
    if (run / STATE_FILE).exists():
        return run
    if not (run / "config.json").exists():
        raise InputError(f"--model {run}: is a folder, but no run or checkpoint; {POSSIBLE}")
    kind = RunDir.open(run).kind
    if kind != "train":
        raise InputError(f"--model {run}: is a '{kind}' run, which holds no smoke; {POSSIBLE}")
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
        return from_bank(run / BANK_FILE)
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
