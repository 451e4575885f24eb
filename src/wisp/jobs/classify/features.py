"""Backbone features of pictures, computed once, for training a head alone."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from wisp.data import PictureDataset, start_worker
from wisp.detectors import worker_count
from wisp.engine import Engine
from wisp.networks.backbone import Backbone
from wisp.progress import progress

AUGMENTED_COPIES = 4
"""Differently augmented versions of each training picture whose features are computed."""
_BATCH = 64


class _Versions(Dataset[Tensor]):
    """Every picture ``copies`` times augmented, or once as it is (copies = 0)."""

    def __init__(self, pictures: PictureDataset, copies: int) -> None:
        self._pictures, self._copies = pictures, copies

    def __len__(self) -> int:
        return len(self._pictures) * max(1, self._copies)

    def __getitem__(self, position: int) -> Tensor:
        copy, index = divmod(position, len(self._pictures))
        if self._copies:
            return self._pictures.augmented(index, step=copy, slot=0)
        return self._pictures[index][0]


def compute_features(
    backbone: Backbone,
    pictures: PictureDataset,
    copies: int,
    engine: Engine,
    workers: int | None,
    label: str,
) -> Tensor:
    """Pooled features [max(copies, 1), N, D] float32 on the CPU, of N pictures.

    ``copies`` augmented versions of each, or with 0 the picture as it is.
    """
    backbone.to(engine.device).eval()
    versions = _Versions(pictures, copies)
    loader = DataLoader(
        versions,
        batch_size=_BATCH,
        num_workers=worker_count(workers),
        worker_init_fn=start_worker,
    )
    rows = []
    with progress(label, len(versions), unit="img") as bar, torch.no_grad():
        for batch in loader:
            with engine.autocast():
                rows.append(backbone.pooled(batch.to(engine.device)).float().cpu())
            bar.advance(len(batch))
    return torch.cat(rows).reshape(max(1, copies), len(pictures), -1)


def feature_batches(
    features: Tensor, pictures: PictureDataset, steps: int, images_per_step: int, balance: bool
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches (features [B, D], class indices [B]) in the order the pictures would be drawn.

    ``features`` is [copies, N, D]; with each shuffled epoch another copy is shown.
    """
    targets = torch.tensor(pictures.targets)
    shown = [0] * len(pictures)
    for step in range(steps):
        slots = range(step * images_per_step, (step + 1) * images_per_step)
        indices = [pictures.drawn_index(position, balance) for position in slots]
        copies = []
        for index in indices:
            copies.append(shown[index] % len(features))
            shown[index] += 1
        yield features[copies, indices], targets[indices]
