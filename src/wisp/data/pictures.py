"""Class-balanced, augmented batches of pictures for a detector."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from wisp import images
from wisp.data.streams import (
    CACHE_BYTES,
    PixelCache,
    StepLoader,
    derive_seed,
    seeded_generator,
    shuffled,
)
from wisp.images.jpeg import Uint8Array
from wisp.images.tensors import from_uint8

LabelledBatch = tuple[Tensor, Tensor, Tensor]
"""Pictures float32 [B, 3, S, S] in [-1, 1], class indices int64 [B], picture indices int64 [B]."""


class PictureDataset(Dataset[tuple[Tensor, int, int]]):
    """Pictures for a detector: squashed to a square, all classes alike, augmented if asked for.

    ``dataset[index]`` is (picture [3, S, S] in [-1, 1], class index, index), never augmented.

    Args:
        paths: picture files.
        targets: class index of each.
        size: side of the square [px].
        augment: change pictures at random in :meth:`batch`, see :mod:`wisp.images.augmentation`.
        seed: fixes everything random.
        cache_bytes: memory for decoded pictures.
        change: what makes a picture of its class, each time anew: of uint8 [H, W, 3], class index
            and seed another such array. Before :mod:`wisp.images.augmentation`.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        targets: Sequence[int],
        *,
        size: int,
        augment: bool = False,
        seed: int = 0,
        cache_bytes: int = CACHE_BYTES,
        change: Callable[[Uint8Array, int, int], Uint8Array] | None = None,
    ) -> None:
        self._change = change
        if len(paths) != len(targets):
            raise ValueError(f"{len(paths)} paths, but {len(targets)} targets")
        self.size, self.augment, self.seed = size, augment, seed
        self.targets = list(targets)
        self._paths = list(paths)
        # Crops of at least 60 % of 1.25² the area are not enlarged (much) to fill the square.
        self._stored_px = round(size * 1.25) if augment else size
        self._pixels = PixelCache(self._paths, self._read, cache_bytes)
        self._by_class = [
            [index for index, target in enumerate(self.targets) if target == wanted]
            for wanted in sorted(set(self.targets))
        ]

    def _read(self, path: Path) -> Uint8Array:
        return images.read_squashed(path, self._stored_px)

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> tuple[Tensor, int, int]:
        pixels = (
            self._pixels[index]
            if self._stored_px == self.size
            else images.read_squashed(self._paths[index], self.size)
        )
        return from_uint8(pixels), self.targets[index], index

    def augmented(self, index: int, step: int, slot: int) -> Tensor:
        """Picture ``index`` as ``slot`` of ``step`` shows it: [3, S, S] in [-1, 1]."""
        pixels = self._pixels[index]
        if self._change is not None:
            seed = derive_seed(self.seed, "change", step, slot, index)
            pixels = self._change(pixels, self.targets[index], seed)
        if not self.augment:
            return from_uint8(pixels)
        generator = seeded_generator(self.seed, "augment", step, slot, index)
        picture = Image.fromarray(pixels)
        return from_uint8(np.asarray(images.augment(picture, self.size, generator)))

    def drawn_index(self, position: int, balance: bool) -> int:
        """The picture at ``position`` of the endless training stream.

        Shuffled epochs over all pictures, or, with ``balance``, the classes in turn and shuffled
        epochs in each.
        """
        if not balance:
            return shuffled(len(self), position, self.seed, "all")
        round_number, turn = divmod(position, len(self._by_class))
        members = self._by_class[turn]
        return members[shuffled(len(members), round_number, self.seed, "class", turn)]

    def batch(self, step: int, images_per_step: int, *, balance: bool = True) -> LabelledBatch:
        """The training batch of ``step``: a pure function of (seed, step)."""
        first = step * images_per_step
        indices = [self.drawn_index(first + slot, balance) for slot in range(images_per_step)]
        pictures = [
            self.augmented(index, step, slot)
            if self.augment or self._change is not None
            else self[index][0]
            for slot, index in enumerate(indices)
        ]
        targets = [self.targets[index] for index in indices]
        return torch.stack(pictures), torch.tensor(targets), torch.tensor(indices)

    def ordered_batch(self, number: int, images_per_batch: int) -> LabelledBatch:
        """Batch ``number`` of all pictures in order, not augmented; the last may be smaller."""
        first = number * images_per_batch
        rows = [self[index] for index in range(first, min(len(self), first + images_per_batch))]
        pictures, targets, indices = zip(*rows, strict=True)
        return torch.stack(pictures), torch.tensor(targets), torch.tensor(indices)

    def preload(self, label: str = "reading pictures") -> None:
        """Decode now what fits into memory, in parallel threads."""
        self._pixels.preload(label)

    def training_loader(
        self,
        start_step: int,
        steps: int,
        images_per_step: int,
        *,
        balance: bool = True,
        workers: int = 0,
    ) -> StepLoader[LabelledBatch]:
        """:meth:`batch` of ``steps`` steps from ``start_step`` on, for any ``workers``."""
        if workers > 0:
            self.preload()
        return StepLoader(
            _TrainingBatch(self, images_per_step, balance), start_step, steps, workers
        )

    def ordered_loader(
        self, images_per_batch: int = 64, *, workers: int = 0
    ) -> StepLoader[LabelledBatch]:
        """Every picture once, in order, not augmented."""
        batches = len(range(0, len(self), images_per_batch))
        return StepLoader(_OrderedBatch(self, images_per_batch), 0, batches, workers)


@dataclasses.dataclass(frozen=True)
class _TrainingBatch:
    dataset: PictureDataset
    images_per_step: int
    balance: bool

    def __call__(self, step: int) -> LabelledBatch:
        return self.dataset.batch(step, self.images_per_step, balance=self.balance)


@dataclasses.dataclass(frozen=True)
class _OrderedBatch:
    dataset: PictureDataset
    images_per_batch: int

    def __call__(self, number: int) -> LabelledBatch:
        return self.dataset.ordered_batch(number, self.images_per_batch)
