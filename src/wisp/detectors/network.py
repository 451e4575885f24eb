"""A trained detector as a network of torch: saved, loaded, and asked about pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from wisp.data import start_worker
from wisp.detectors.settings import (
    MODEL_FILE,
    SETTINGS_FILE,
    DetectorSettings,
    Scores,
    open_settings,
    scores_of,
    worker_count,
)
from wisp.engine import Engine
from wisp.images import UnreadableImageError, from_uint8, read_squashed
from wisp.metrics.ranking import Floats
from wisp.networks.backbone import load_backbone
from wisp.networks.detector import Detector, Ensemble, together
from wisp.networks.weights import check_fit, read_state
from wisp.progress import progress
from wisp.rundir import write_bytes, write_json

_BATCH = 32
_FEW_PICTURES = 64


def save_detector(folder: Path, detector: Detector | Ensemble, settings: DetectorSettings) -> None:
    """Write the whole detector to ``folder``, each file atomically, the settings last."""
    tensors = {name: value.cpu().contiguous() for name, value in detector.state_dict().items()}
    write_bytes(folder / MODEL_FILE, save(tensors))
    write_json(folder / SETTINGS_FILE, dataclasses.asdict(settings))


def load_detector(folder: Path) -> tuple[Detector | Ensemble, DetectorSettings]:
    """A detector in evaluation mode, float32 on the CPU, from a run of ``wisp classify``.

    Raises InputError when ``folder`` is no such run, the run did not finish, or a file is damaged.
    """
    settings = open_settings(folder)
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
    faults: list[str] = []
    with progress(label, len(paths), unit="img") as bar, torch.inference_mode():
        for pictures, unreadable in loader:
            with engine.autocast():
                logits = logits_of(detector, pictures.to(engine.device))
            # In float64 confident scores stay apart; in float32 they would all be exactly 1.
            rows.append(logits.double().softmax(1).cpu().numpy())
            faults.extend(unreadable)
            bar.advance(len(unreadable))
    return scores_of(list(paths), rows, faults, len(detector.classes), named)
