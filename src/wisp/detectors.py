"""A trained detector on disk, and asking it about pictures."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from wisp import images
from wisp.data import read_squashed, start_worker
from wisp.engine import Engine
from wisp.errors import InputError
from wisp.images import UnreadableImageError
from wisp.images.tensors import from_uint8
from wisp.metrics.ranking import Floats
from wisp.networks.backbone import load_backbone
from wisp.networks.detector import Detector, Ensemble, together
from wisp.networks.weights import check_fit, read_state
from wisp.progress import progress
from wisp.rundir import RunDir, read_json, write_bytes, write_json

MODEL_FILE = "model.safetensors"
SETTINGS_FILE = "detector.json"
_MAX_WORKERS = 8
_BATCH = 32
_FEW_PICTURES = 64


def worker_count(workers: int | None) -> int:
    """Processes that decode pictures: as told, or one less than the cores, from 1 to 8."""
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


def save_detector(folder: Path, detector: Detector | Ensemble, settings: DetectorSettings) -> None:
    """Write the whole detector to ``folder``, each file atomically, the settings last."""
    tensors = {name: value.cpu().contiguous() for name, value in detector.state_dict().items()}
    write_bytes(folder / MODEL_FILE, save(tensors))
    write_json(folder / SETTINGS_FILE, dataclasses.asdict(settings))


def load_detector(folder: Path) -> tuple[Detector | Ensemble, DetectorSettings]:
    """A detector in evaluation mode, float32 on the CPU, from a run of ``wisp classify``.

    Raises InputError when ``folder`` is no such run, the run did not finish, or a file is damaged.
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
    settings = DetectorSettings.read(folder / SETTINGS_FILE)
    state = read_state(folder / MODEL_FILE, flag="DETECTOR")
    with torch.random.fork_rng(devices=[]):
        detector = together(
            [
                Detector(
                    load_backbone(settings.backbone, "none", settings.size),
                    settings.classes,
                    settings.hidden,
                )
                for _ in range(settings.members)
            ]
        )
    check_fit(
        detector.state_dict(),
        state,
        f"{folder / MODEL_FILE} does not fit {SETTINGS_FILE}",
        "train the detector again",
    )
    detector.load_state_dict(state, strict=False)
    return detector.eval(), settings


def read_square(path: Path, size: int) -> Tensor:
    """A picture as detectors see it: squashed to [3, size, size] in [-1, 1].

    Raises UnreadableImageError.
    """
    return from_uint8(read_squashed(path, size))


class _Squares(Dataset[tuple[Tensor, str]]):
    """(picture, reason why it is unreadable or '') of each path."""

    def __init__(self, paths: Sequence[Path], size: int) -> None:
        self._paths, self._size = list(paths), size

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> tuple[Tensor, str]:
        try:
            return read_square(self._paths[index], self._size), ""
        except UnreadableImageError as error:
            return torch.zeros(3, self._size, self._size), error.reason


@dataclasses.dataclass(frozen=True)
class Scores:
    """What a detector says about pictures."""

    readable: NDArray[np.bool_]
    """[N], whether each picture could be read."""
    probabilities: Floats
    """[N, K]; rows of unreadable pictures mean nothing."""
    skipped: list[images.Skipped]


def logits_of(detector: Detector | Ensemble, pictures: Tensor) -> Tensor:
    """Logits [B, K] of ``pictures`` [B, 3, S, S] in [-1, 1]: each and its mirror image averaged.

    Smoke is smoke in the mirror; what sways a detector one way only cancels out in part.
    """
    seen, mirrored = (detector(view).float() for view in (pictures, pictures.flip(-1)))
    logits: Tensor = (seen + mirrored) / 2
    return logits


def score_pictures(
    detector: Detector | Ensemble,
    paths: Sequence[Path],
    size: int,
    engine: Engine,
    workers: int | None = None,
    label: str = "asking the detector",
    named: str = "the detector",
) -> Scores:
    """Class probabilities of pictures (see :func:`logits_of`), in order.

    Unreadable pictures are listed, not fatal. Raises InputError where what the detector says is not
    finite.

    Args:
        detector: moved to the engine's device and to evaluation mode.
        paths: picture files.
        size: side of the square they are brought to [px].
        engine: device and precision.
        workers: decoding processes, see :func:`worker_count`.
        label: for the progress bar.
        named: what errors call the detector.
    """
    detector.to(engine.device).eval()
    loader = DataLoader(
        _Squares(paths, size),
        batch_size=_BATCH,
        # Starting processes takes longer than decoding a few pictures.
        num_workers=worker_count(workers) if len(paths) > _FEW_PICTURES else 0,
        worker_init_fn=start_worker,
    )
    rows: list[Floats] = []
    reasons: list[str] = []
    with progress(label, len(paths), unit="img") as bar, torch.inference_mode():
        for pictures, faults in loader:
            with engine.autocast():
                logits = logits_of(detector, pictures.to(engine.device))
            # In float64 confident scores stay apart; in float32 they would all be exactly 1.
            if not bool(torch.isfinite(logits).all()):
                raise InputError(
                    f"{named}: what it says is not finite; its training went wrong, so train it "
                    "anew"
                )
            rows.append(logits.double().softmax(1).cpu().numpy())
            reasons.extend(faults)
            bar.advance(len(faults))
    skipped = [
        images.Skipped(path, fault) for path, fault in zip(paths, reasons, strict=True) if fault
    ]
    probabilities = np.concatenate(rows) if rows else np.zeros((0, len(detector.classes)))
    return Scores(np.array([not fault for fault in reasons], dtype=bool), probabilities, skipped)
