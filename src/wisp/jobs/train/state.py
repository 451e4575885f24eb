"""A trainer as a checkpoint and back: everything an exact resume needs."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from wisp.checkpoint import Checkpoint, load_checkpoint, pointed_to, save_checkpoint
from wisp.errors import InputError
from wisp.jobs.train.trainer import Trainer
from wisp.progress import say
from wisp.rundir import RunDir, write_json

KEPT = 2


def checkpoints_folder(run: RunDir) -> Path:
    """Where a run keeps its checkpoints."""
    return run.path / "checkpoints"


def _model_tensors(trainer: Trainer) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for name, network in trainer.networks.named_children():
        tensors |= {f"{name}.{key}": value for key, value in network.state_dict().items()}
    for name, average in trainer.averages.items():
        tensors |= {f"ema.{name}.{k}": v for k, v in average.network.state_dict().items()}
    return tensors


def _training_tensors(trainer: Trainer) -> dict[str, Tensor]:
    tensors = {"loss_sums": trainer.loss_sums}
    for name, (optimizer, names) in trainer.optimizers.items():
        parameters = optimizer.param_groups[0]["params"]
        for key, parameter in zip(names, parameters, strict=True):
            for quantity, value in optimizer.state.get(parameter, {}).items():
                tensors[f"{name}.{key}.{quantity}"] = value
    return tensors | trainer.extra_state()


def save_training(run: RunDir, trainer: Trainer, extra: dict[str, Any]) -> Path:
    """Write the checkpoint of the trainer's step, name it the latest, drop those older than two.

    ``extra`` are JSON values to find again in the checkpoint's state. ``best`` is always kept.
    """
    name = f"step-{trainer.step:07d}"
    folder = checkpoints_folder(run)
    scaler = trainer.engine.scaler
    state = {
        "kind": trainer.kind,
        **trainer.description(),
        "size": trainer.config.size,
        "load_size": trainer.config.load_size_px,
        "fit": trainer.config.fit,
        "step": trainer.step,
        "loss_count": trainer.loss_count,
        "scaler": None if scaler is None else scaler.state_dict(),
        **extra,
    }
    save_checkpoint(
        folder / name,
        {"model": _model_tensors(trainer), "state": _training_tensors(trainer)},
        state,
    )
    write_json(folder / "latest.json", {"step": trainer.step, "path": f"checkpoints/{name}"})
    return folder / name


def named_checkpoint(run: RunDir, name: str) -> Path | None:
    """The folder that ``checkpoints/NAME.json`` names ("latest", "best"), if there is one."""
    file = checkpoints_folder(run) / f"{name}.json"
    return pointed_to(file) if file.exists() else None


def prune(run: RunDir) -> None:
    """Keep the latest two checkpoints and the best one."""
    folders = sorted(checkpoints_folder(run).glob("step-*"))
    best = named_checkpoint(run, "best")
    for folder in folders[:-KEPT]:
        if best is None or folder.name != best.name:
            with contextlib.suppress(OSError):
                shutil.rmtree(folder)


def latest_checkpoint(run: RunDir) -> Checkpoint | None:
    """The newest whole checkpoint, None before the first.

    One that was damaged later is passed over with a word to the user; InputError when all are.
    """
    latest = named_checkpoint(run, "latest")
    if latest is None:
        return None
    older = (folder for folder in checkpoints_folder(run).glob("step-*") if folder < latest)
    for folder in (latest, *sorted(older, reverse=True)):
        try:
            return load_checkpoint(folder)
        except InputError as error:
            say(str(error))
    raise InputError(
        f"--resume {run.path}: none of its checkpoints is whole; restore one, or begin a new run"
    )


def restore_training(trainer: Trainer, checkpoint: Checkpoint) -> None:
    """Bring a new trainer of the same configuration to the state that was saved.

    Raises InputError when the checkpoint belongs to another configuration.
    """
    model, saved = checkpoint.tensors["model"], checkpoint.tensors["state"]
    try:
        for name, network in trainer.networks.named_children():
            network.load_state_dict(_below(model, f"{name}."))
        for name, average in trainer.averages.items():
            average.network.load_state_dict(_below(model, f"ema.{name}."))
    except RuntimeError as error:
        detail = " ".join(str(error).split())[:300]
        raise InputError(
            f"{checkpoint.path}: does not fit the run's config.json ({detail})"
        ) from None
    for name, (optimizer, names) in trainer.optimizers.items():
        for key, parameter in zip(names, optimizer.param_groups[0]["params"], strict=True):
            entries = _below(saved, f"{name}.{key}.")
            if entries:
                optimizer.state[parameter] = {
                    quantity: _like(parameter, value) for quantity, value in entries.items()
                }
    trainer.load_extra_state(saved)
    if saved["loss_sums"].shape == trainer.loss_sums.shape:  # earlier versions had other losses
        trainer.loss_sums.copy_(saved["loss_sums"])
        trainer.loss_count = int(checkpoint.state["loss_count"])
    trainer.step = int(checkpoint.state["step"])
    if trainer.engine.scaler is not None and checkpoint.state["scaler"] is not None:
        trainer.engine.scaler.load_state_dict(checkpoint.state["scaler"])


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _like(parameter: Tensor, value: Tensor) -> Tensor:
    """``value`` on the device and in the layout of ``parameter``, which the fused Adam needs."""
    if value.shape != parameter.shape:
        return value.to(parameter.device)  # the step count
    return torch.empty_like(parameter, dtype=value.dtype).copy_(value)
