"""Random crops of clean and of smoky photos for unpaired image translation."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from wisp import images
from wisp.data.streams import CACHE_BYTES, PixelCache, StepLoader, seeded_generator, shuffled
from wisp.errors import InputError
from wisp.images import Fit
from wisp.images.jpeg import Uint8Array
from wisp.images.tensors import from_uint8
from wisp.progress import counted

Domain = Literal["clean", "smoky"]


class UnpairedFolders:
    """Random crops of clean and of smoky photos that have nothing to do with each other.

    Each domain is gone through in shuffled epochs of its own; crops and mirrorings are drawn anew
    for each (step, slot). Everything is a pure function of (seed, step).

    Args:
        clean: clean photos.
        smoky: smoky photos.
        size: crop [px].
        load_size: size photos are brought to before cropping [px].
        fit: ``short-side`` (scaled, aspect kept), ``squash`` (to a square, as in Zhu et al. 2017,
            arXiv 1703.10593) or ``none`` (original pixels). A photo that is still smaller than the
            crop is enlarged to it.
        flip: mirror half of them.
        images_per_step: photos of each domain per step.
        seed: fixes everything random.
        cache_bytes: memory for decoded photos.

    Raises:
        InputError: a domain has no photos, or (while reading) a photo is unreadable.
    """

    def __init__(
        self,
        clean: Sequence[Path],
        smoky: Sequence[Path],
        *,
        size: int,
        load_size: int,
        fit: Fit = "short-side",
        flip: bool = True,
        images_per_step: int = 1,
        seed: int = 0,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        for name, paths in (("clean", clean), ("smoky", smoky)):
            if not paths:
                raise InputError(f"no {name} photos are left to train on; add some")
        self.size, self.load_size, self.fit = size, load_size, fit
        self.flip, self.images_per_step, self.seed = flip, images_per_step, seed
        share = len(clean) / (len(clean) + len(smoky))
        self._photos = {
            "clean": PixelCache(clean, self._read, int(cache_bytes * share)),
            "smoky": PixelCache(smoky, self._read, int(cache_bytes * (1 - share))),
        }

    def _read(self, path: Path) -> Uint8Array:
        photo = images.decode_fitted(path, self.load_size, self.fit)
        return np.asarray(images.enlarge_to(photo, self.size))

    def crop(self, domain: Domain, step: int, slot: int) -> Tensor:
        """The crop [3, S, S] in [-1, 1] that ``slot`` of ``step`` gets."""
        photos = self._photos[domain]
        position = step * self.images_per_step + slot
        index = shuffled(len(photos), position, self.seed, domain)
        generator = seeded_generator(self.seed, domain, "crop", step, slot)
        pixels = images.random_crop(photos[index], self.size, generator)
        if self.flip:
            pixels = images.random_flip(pixels, generator)
        return from_uint8(np.ascontiguousarray(pixels))

    def batch(self, step: int, rank: int = 0, ranks: int = 1) -> dict[str, Tensor]:
        """``{"clean", "smoky"}``: float32 [B, 3, S, S] in [-1, 1] each, of step 0, 1, …

        Of ``ranks`` processes, each takes every ``ranks``-th slot from ``rank`` on.
        """
        slots = range(rank, self.images_per_step, ranks)
        if not slots:
            raise InputError(
                f"--images-per-step {self.images_per_step} is below the number of processes "
                f"({ranks}); raise it, or start fewer"
            )
        return {
            "clean": torch.stack([self.crop("clean", step, slot) for slot in slots]),
            "smoky": torch.stack([self.crop("smoky", step, slot) for slot in slots]),
        }

    def preload(self) -> None:
        """Decode now what fits into memory, so that worker processes inherit it."""
        for domain, photos in self._photos.items():
            photos.preload(f"reading {domain} photos")

    def loader(
        self, start_step: int, steps: int, workers: int = 0, rank: int = 0, ranks: int = 1
    ) -> StepLoader[dict[str, Tensor]]:
        """Batches of steps ``start_step`` to ``start_step + steps - 1``, for any ``workers``."""
        if workers > 0:
            self.preload()
        return StepLoader(_RankBatch(self, rank, ranks), start_step, steps, workers)


@dataclasses.dataclass(frozen=True)
class _RankBatch:
    """``UnpairedFolders.batch`` for one rank (a class, so that it can be sent to workers)."""

    folders: UnpairedFolders
    rank: int
    ranks: int

    def __call__(self, step: int) -> dict[str, Tensor]:
        return self.folders.batch(step, self.rank, self.ranks)


class _Hashed(Protocol):
    @property
    def path(self) -> Path | str: ...

    @property
    def sha256(self) -> str: ...


def find_shared(clean: Sequence[_Hashed], smoky: Sequence[_Hashed]) -> None:
    """Raise InputError, naming examples, if the same file is in both lists (by its bytes)."""
    known = {file.sha256: file.path for file in clean}
    shared = [(known[file.sha256], file.path) for file in smoky if file.sha256 in known]
    if shared:
        first, second = shared[0]
        raise InputError(
            f"CLEAN and SMOKY share {counted(len(shared), 'photo')}, for example {first} and "
            f"{second} are the same file; remove them from one of the two folders"
        )
