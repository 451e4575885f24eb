"""How far the pictures that a detector was trained on are from the real ones, class by class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from wisp.data import derive_seed
from wisp.detectors import read_square
from wisp.engine import Engine
from wisp.images import UnreadableImageError
from wisp.jobs.evaluate.testsets import RealPicture
from wisp.metrics import frechet_distance, kernel_distance
from wisp.metrics.ranking import Floats
from wisp.networks.detector import Detector
from wisp.progress import progress
from wisp.rundir import RunDir

_PICTURES = 300
_FEWEST = 8
_BATCH = 32


def _features(detector: Detector, paths: Sequence[Path], size: int, engine: Engine) -> Floats:
    """Pooled backbone features [N, D]; pictures that are gone or unreadable are left out."""
    rows: list[Floats] = []
    with progress("comparing with the training pictures", len(paths), unit="img") as bar:
        for start in range(0, len(paths), _BATCH):
            batch = []
            for path in paths[start : start + _BATCH]:
                try:
                    batch.append(read_square(path, size))
                except UnreadableImageError:
                    continue
            if batch:
                with torch.inference_mode(), engine.autocast():
                    pooled = detector.backbone.pooled(torch.stack(batch).to(engine.device))
                rows.append(pooled.double().cpu().numpy())
            bar.advance(len(paths[start : start + _BATCH]))
    return np.concatenate(rows) if rows else np.zeros((0, detector.backbone.dim))


def _drawn(paths: Sequence[Path], seed: int, *key: str) -> list[Path]:
    random = np.random.default_rng(derive_seed(seed, "distance", *key))
    return [paths[int(index)] for index in random.permutation(len(paths))[:_PICTURES]]


def measure_distances(
    run: Path,
    pictures: Sequence[RealPicture],
    detector: Detector,
    size: int,
    engine: Engine,
    seed: int,
) -> list[dict[str, Any]]:
    """Kernel distance (KID) of each class of each test set to the same class in training.

    On the features of the detector's own backbone, as it was trained, of up to 300 pictures a side
    drawn by ``seed``. Rows: {"set", "label", "train", "test" (numbers of pictures), "kid":
    {"value", "low", "high"}, "fid"}; FID is biased for sets this small. A class with fewer than 8
    pictures on either side has no row.
    """
    detector.to(engine.device).eval()
    trained = [
        row
        for row in RunDir(run).inputs["files"]
        if row.get("role") == "picture" and row.get("split") == "train"
    ]
    rows = []
    for label in dict.fromkeys(picture.label for picture in pictures):
        paths = [Path(row["path"]) for row in trained if row["label"] == label]
        learned = _features(detector, _drawn(paths, seed, label), size, engine)
        if len(learned) < _FEWEST:
            continue
        for name in dict.fromkeys(p.set_name for p in pictures if p.label == label):
            own = [p.path for p in pictures if p.label == label and p.set_name == name]
            real = _features(detector, _drawn(own, seed, name, label), size, engine)
            if len(real) < _FEWEST:
                continue
            rows.append(
                {
                    "set": name,
                    "label": label,
                    "train": len(learned),
                    "test": len(real),
                    "kid": kernel_distance(learned, real, seed=seed).to_json(),
                    "fid": round(frechet_distance(learned, real), 4),
                }
            )
    return rows
