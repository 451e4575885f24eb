"""Seeds, endless shuffled streams, decoded photos in memory, and loaders over step numbers."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Generic, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from wisp.errors import WispError
from wisp.images.jpeg import Uint8Array
from wisp.progress import progress

B = TypeVar("B")

CACHE_BYTES = 4 << 30
"""Decoded photos are kept in memory up to so many bytes; the rest is decoded when needed."""


def derive_seed(*parts: int | str) -> int:
    """A 63-bit seed that depends on every part, and in order; the same on every machine."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def seeded_generator(*parts: int | str) -> torch.Generator:
    """A CPU generator that starts at :func:`derive_seed`."""
    return torch.Generator().manual_seed(derive_seed(*parts))


@lru_cache(maxsize=64)
def _permutation(count: int, seed: int) -> tuple[int, ...]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randperm(count, generator=generator).tolist())


def shuffled(count: int, position: int, *key: int | str) -> int:
    """The item at ``position`` of an endless stream of shuffled epochs over ``count`` items.

    Every run of ``count`` positions that starts at a multiple of ``count`` is a permutation.
    """
    epoch, place = divmod(position, count)
    return _permutation(count, derive_seed(*key, epoch))[place]


class PixelCache:
    """Decoded uint8 photos [H, W, 3], kept up to a byte budget."""

    def __init__(
        self, paths: Sequence[Path], read: Callable[[Path], Uint8Array], budget_bytes: int
    ) -> None:
        self._paths, self._read = list(paths), read
        self._kept: dict[int, Uint8Array] = {}
        self._left_bytes = budget_bytes

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> Uint8Array:
        kept = self._kept.get(index)
        if kept is not None:
            return kept
        pixels = self._read(self._paths[index])
        self._keep(index, pixels)
        return pixels

    def _keep(self, index: int, pixels: Uint8Array) -> bool:
        fits = pixels.nbytes <= self._left_bytes
        if fits:
            self._left_bytes -= pixels.nbytes
            self._kept[index] = pixels
        return fits

    def preload(self, label: str) -> None:
        """Fill the budget in parallel threads, so that worker processes inherit the photos."""
        missing = [index for index in range(len(self)) if index not in self._kept]
        if not missing or self._left_bytes <= 0:
            return
        pool = ThreadPoolExecutor(max(1, os.cpu_count() or 1))
        try:
            with progress(label, len(missing), unit="img") as bar:
                # In batches, so that hardly more is decoded than can be kept.
                for at in range(0, len(missing), 64):
                    batch = missing[at : at + 64]
                    paths = [self._paths[index] for index in batch]
                    for index, pixels in zip(batch, pool.map(self._read, paths), strict=True):
                        if not self._keep(index, pixels):
                            return
                    bar.advance(len(batch))
        finally:
            pool.shutdown(cancel_futures=True)


def start_worker(_worker: int) -> None:
    """``worker_init_fn`` of a DataLoader: one thread each, and Ctrl-C is the parent's business."""
    torch.set_num_threads(1)
    # A terminal sends Ctrl-C to workers too, where handlers inherited from the parent would speak
    # up or end the worker before the parent has finished its step.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


class _Failed:
    """An error on its way from a worker process; DataLoader would lose its type and text."""

    def __init__(self, error: WispError) -> None:
        self.error = error


class _Steps(Dataset[B | _Failed], Generic[B]):
    """Batches by step number, for a DataLoader to fetch in order."""

    def __init__(self, batch: Callable[[int], B], start: int, steps: int) -> None:
        self._batch, self._start, self._steps = batch, start, steps

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, index: int) -> B | _Failed:
        try:
            return self._batch(self._start + index)
        except WispError as error:
            return _Failed(error)


class StepLoader(DataLoader[B]):
    """A torch DataLoader whose batches are numbered steps; WispErrors arrive as they were raised.

    Args:
        batch: makes the batch of a step; must be a pure function of it.
        start: first step.
        steps: number of steps.
        workers: processes that make batches ahead of time; 0 makes them when asked.
    """

    def __init__(self, batch: Callable[[int], B], start: int, steps: int, workers: int) -> None:
        # Forked workers share the cached photos; elsewhere they are sent a copy each.
        context = "fork" if workers > 0 and sys.platform == "linux" else None
        super().__init__(
            _Steps(batch, start, steps),  # type: ignore[arg-type]
            batch_size=None,
            shuffle=False,
            num_workers=workers,
            multiprocessing_context=context,
            worker_init_fn=start_worker,
            prefetch_factor=4 if workers > 0 else None,
            pin_memory=torch.cuda.is_available(),
            # Without its own, every new iterator would advance torch's global generator, and a
            # resumed run would differ from one that never stopped.
            generator=torch.Generator(),
        )

    def __iter__(self) -> Iterator[B]:  # type: ignore[override]
        for batch in super().__iter__():
            if isinstance(batch, _Failed):
                raise batch.error
            yield batch
