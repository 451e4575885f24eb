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
from wisp.networks.backbone import Backbone
from wisp.networks.detector import Detector, Ensemble
from wisp.progress import progress
from wisp.rundir import RunDir

_PICTURES = 300
FEWEST_PICTURES = 8
"""Below, a distance says too little."""
_BATCH = 32


def pooled_features(
    backbone: Backbone, paths: Sequence[Path], size: int, engine: Engine, label: str
) -> Floats:
    """Pooled features [N, D] of a backbone that is ready on the engine's device.

    Pictures that are gone or unreadable are left out; ``label`` is for the progress bar.
    """
    rows: list[Floats] = []
    with progress(label, len(paths), unit="img") as bar:
        for start in range(0, len(paths), _BATCH):
            batch = []
            for path in paths[start : start + _BATCH]:
                try:
                    batch.append(read_square(path, size))
                except UnreadableImageError:
                    continue
            if batch:
                with torch.inference_mode(), engine.autocast():
                    pooled = backbone.pooled(torch.stack(batch).to(engine.device))
                rows.append(pooled.double().cpu().numpy())
            bar.advance(len(paths[start : start + _BATCH]))
    return np.concatenate(rows) if rows else np.zeros((0, backbone.dim))


def drawn_pictures(paths: Sequence[Path], seed: int, *key: str) -> list[Path]:
    """At most 300 of ``paths``, drawn by ``seed`` and ``key``."""
    random = np.random.default_rng(derive_seed(seed, "distance", *key))
    return [paths[int(index)] for index in random.permutation(len(paths))[:_PICTURES]]


def measure_distances(
    run: Path,
    pictures: Sequence[RealPicture],
    detector: Detector | Ensemble,
    size: int,
    engine: Engine,
    seed: int,
) -> list[dict[str, Any]]:
    """Kernel distance (KID) of each class of each test set to the same class in training.

    On the features of the detector's own backbone (of its first member's), as it was trained, of
    up to 300 pictures a side drawn by ``seed``. Rows: {"set", "label", "train", "test" (numbers of
    pictures), "kid": {"value", "low", "high"}, "fid"}; FID is biased for sets this small. A class
    with fewer than 8 pictures on either side has no row.
    """
    detector.to(engine.device).eval()

    def features(paths: Sequence[Path], *key: str) -> Floats:
        chosen = drawn_pictures(paths, seed, *key)
        return pooled_features(
            detector.backbone, chosen, size, engine, "comparing with the training pictures"
        )

    trained = [
        row
        for row in RunDir(run).inputs["files"]
        if row.get("role") == "picture" and row.get("split") == "train"
    ]
    rows = []
    for label in dict.fromkeys(picture.label for picture in pictures):
        paths = [Path(row["path"]) for row in trained if row["label"] == label]
        learned = features(paths, label)
        if len(learned) < FEWEST_PICTURES:
            continue
        for name in dict.fromkeys(p.set_name for p in pictures if p.label == label):
            own = [p.path for p in pictures if p.label == label and p.set_name == name]
            real = features(own, name, label)
            if len(real) < FEWEST_PICTURES:
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
