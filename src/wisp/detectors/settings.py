"""A trained detector on disk, and what asking it comes to; no network."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wisp import images
from wisp.errors import InputError
from wisp.metrics.ranking import Floats
from wisp.rundir import RunDir, read_json

MODEL_FILE = "model.safetensors"
SETTINGS_FILE = "detector.json"
_MAX_WORKERS = 8


def worker_count(workers: int | None) -> int:
    """Processes or threads that decode pictures: as told, or one less than the cores, from 1 to
    8."""
    if workers is not None:
        return max(0, workers)
    return min(_MAX_WORKERS, max(1, (os.cpu_count() or 1) - 1))


@dataclasses.dataclass(frozen=True)
class DetectorSettings:
    """``detector.json``: all that is needed to rebuild a detector and to read its scores."""

    backbone: str
    hidden: int
    classes: list[str]
    positive: str
    size: int
    """Side of the square pictures are brought to [px]."""
    threshold: float
    """Probability of the positive class from which a picture is called positive."""
    threshold_rule: str
    mean: list[float]
    std: list[float]
    validation: dict[str, Any]
    """Figures on the validation part: intervals, images, groups."""
    members: int = 1
    """Detectors whose logits are averaged."""

    @property
    def positive_index(self) -> int:
        """Where the positive class stands in ``classes`` and in the logits."""
        return self.classes.index(self.positive)

    @classmethod
    def read(cls, path: Path) -> DetectorSettings:
        """The settings in ``path``; InputError names what is missing. Other keys are ignored."""
        saved: Mapping[str, Any] = read_json(path)
        if not isinstance(saved, dict):
            raise InputError(f"{path}: holds no detector settings; train the detector again")
        fields = dataclasses.fields(cls)
        for field in fields:
            if field.name not in saved and field.default is dataclasses.MISSING:
                raise InputError(f"{path}: lacks '{field.name}'; train the detector again")
        settings = cls(**{field.name: saved[field.name] for field in fields if field.name in saved})
        if settings.members < 1:
            raise InputError(f"{path}: has {settings.members} members; train the detector again")
        return settings


def open_settings(folder: Path) -> DetectorSettings:
    """The settings of the detector in ``folder``, a run of ``wisp classify``.

    Raises InputError when ``folder`` is no such run, or the run did not finish.
    """
    if not folder.is_dir():
        raise InputError(
            f"DETECTOR {folder}: no such run directory; give the --out folder of a wisp classify, "
            "or smoke-detector, which ships with wisp"
        )
    RunDir.open(folder, "classify", "DETECTOR")
    for name in (SETTINGS_FILE, MODEL_FILE):
        if not (folder / name).exists():
            raise InputError(
                f"{folder}: holds no {name}, its training did not finish; run wisp classify again"
            )
    return DetectorSettings.read(folder / SETTINGS_FILE)


@dataclasses.dataclass(frozen=True)
class Scores:
    """What a detector says about pictures."""

    readable: NDArray[np.bool_]
    """[N], whether each picture could be read."""
    probabilities: Floats
    """[N, K]; rows of unreadable pictures mean nothing."""
    skipped: list[images.Skipped]


def scores_of(
    paths: list[Path], probabilities: list[Floats], faults: list[str], classes: int, named: str
) -> Scores:
    """What was said about ``paths``, batch by batch, and why others could not be read.

    Raises InputError where what ``named`` says is not finite.
    """
    said = np.concatenate(probabilities) if probabilities else np.zeros((0, classes))
    if not np.isfinite(said).all():
        raise InputError(
            f"{named}: what it says is not finite; its training went wrong, so train it anew"
        )
    skipped = [
        images.Skipped(path, fault) for path, fault in zip(paths, faults, strict=True) if fault
    ]
    return Scores(np.array([not fault for fault in faults], dtype=bool), said, skipped)
