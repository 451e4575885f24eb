"""Training data as pure functions of (seed, step), so that an exact resume has no state to save.

:class:`UnpairedFolders` draws crops of two unpaired sets of photos for image translation;
:class:`LabelledSet` reads class folders; :class:`PictureDataset` draws class-balanced, augmented
batches from them. The loaders yield the same batches for any number of workers.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Generic, Literal, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from wisp import images, manifest, rundir
from wisp.errors import InputError
from wisp.images.convert import Uint8Array, from_uint8
from wisp.images.transforms import BILINEAR
from wisp.manifest import FileRecord
from wisp.progress import progress

Fit = Literal["short-side", "squash", "none"]
Split = Literal["train", "validation"]
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


class _PixelCache:
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
        if pixels.nbytes <= self._left_bytes:
            self._left_bytes -= pixels.nbytes
            self._kept[index] = pixels
        return pixels

    def preload(self, label: str) -> None:
        """Fill the budget in parallel threads, so that worker processes inherit the photos."""
        missing = [index for index in range(len(self)) if index not in self._kept]
        if not missing or self._left_bytes <= 0:
            return
        pool = ThreadPoolExecutor(max(1, os.cpu_count() or 1))
        try:
            with progress(label, len(missing), unit="img") as bar:
                batches = (missing[at : at + 64] for at in range(0, len(missing), 64))
                for batch in batches:  # in batches, so that no more is decoded than can be kept
                    list(pool.map(self.__getitem__, batch))
                    bar.advance(len(batch))
                    if self._left_bytes < 1 << 20:
                        return
        finally:
            pool.shutdown(cancel_futures=True)


class _Steps(Dataset[B], Generic[B]):
    """Batches by step number, for a DataLoader to fetch in order."""

    def __init__(self, batch: Callable[[int], B], start: int, steps: int) -> None:
        self._batch, self._start, self._steps = batch, start, steps

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, index: int) -> B:
        return self._batch(self._start + index)


def _one_thread(_worker: int) -> None:
    torch.set_num_threads(1)


def _step_loader(batch: Callable[[int], B], start: int, steps: int, workers: int) -> DataLoader[B]:
    # Forked workers share the cached photos; elsewhere they are sent a copy each.
    context = "fork" if workers > 0 and sys.platform == "linux" else None
    return DataLoader(
        _Steps(batch, start, steps),
        batch_size=None,
        shuffle=False,
        num_workers=workers,
        multiprocessing_context=context,
        worker_init_fn=_one_thread,
        prefetch_factor=4 if workers > 0 else None,
        pin_memory=torch.cuda.is_available(),
    )


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
            "clean": _PixelCache(clean, self._read, int(cache_bytes * share)),
            "smoky": _PixelCache(smoky, self._read, int(cache_bytes * (1 - share))),
        }

    def _read(self, path: Path) -> Uint8Array:
        # Twice the size that is needed: a JPEG decoded at reduced scale then looks the same.
        photo = images.decode(path, None if self.fit == "none" else 2 * self.load_size)
        if self.fit == "squash":
            photo = images.squash(photo, self.load_size)
        elif self.fit == "short-side":
            photo = images.resize_short_side(photo, self.load_size)
        return np.asarray(images.enlarge_to(photo, self.size))

    def crop(self, domain: Literal["clean", "smoky"], step: int, slot: int) -> Tensor:
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
        return {
            "clean": torch.stack([self.crop("clean", step, slot) for slot in slots]),
            "smoky": torch.stack([self.crop("smoky", step, slot) for slot in slots]),
        }

    def loader(
        self, start_step: int, steps: int, workers: int = 0, rank: int = 0, ranks: int = 1
    ) -> DataLoader[dict[str, Tensor]]:
        """Batches of steps ``start_step`` to ``start_step + steps - 1``, for any ``workers``."""
        if workers > 0:
            for domain, photos in self._photos.items():
                photos.preload(f"reading {domain} photos")
        return _step_loader(_RankBatch(self, rank, ranks), start_step, steps, workers)


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
            f"CLEAN and SMOKY share {len(shared)} photos, for example {first} and {second} are the "
            "same file; remove them from one of the two folders"
        )


@dataclasses.dataclass(frozen=True)
class LabelledItem:
    """One picture of a labelled set."""

    path: Path
    name: str
    """Path relative to the set, with ``/``."""
    label: str
    split: Split | None
    group: str
    sha256: str
    phash: str
    source: str | None = None
    """The photo it was made from, as metadata.jsonl names it."""
    source_sha256: str | None = None


_SPLIT_NAMES: dict[str, Split] = {
    "train": "train",
    "validation": "validation",
    "val": "validation",
    "valid": "validation",
}
_NO_CLASSES = frozenset({"masks", "annotations", "gallery", "labels", "samples", "checkpoints"})


@dataclasses.dataclass(frozen=True)
class LabelledSet:
    """Pictures in class folders: ``train/CLASS`` and ``validation/CLASS``, or ``CLASS`` only."""

    root: Path
    items: list[LabelledItem]
    skipped: list[images.Skipped]

    @classmethod
    def open(cls, path: Path, group_by: str = "auto", *, workers: int | None = None) -> LabelledSet:
        """Read the set in ``path``; each picture is decoded once, the bad ones go to ``skipped``.

        ``metadata.jsonl`` (here, or in the split folders) gives groups and sources where it names a
        picture; the other groups come from :func:`wisp.manifest.make_groups` with ``group_by``.
        Folders ``masks``, ``annotations``, ``gallery`` and hidden ones are no classes. If only
        one of the two splits is there, the splits are None: draw them.

        Raises:
            InputError: no class folder with a usable picture.
        """
        root = Path(path)
        if not root.is_dir():
            raise InputError(f"{root}: no such folder; {_LAYOUT}")
        found = list(_class_files(root))
        if not found:
            raise InputError(f"{root}: holds no class folders with pictures; {_LAYOUT}")
        scanned, skipped = images.scan([file for file, _, _ in found], workers)
        if not scanned:
            raise InputError(
                f"{root}: none of {len(found)} pictures can be read, the first: "
                f"{skipped[0].path} {skipped[0].reason}"
            )
        places = {file.path: (label, split) for file, label, split in found}
        if len({split for _, split in places.values()}) == 1:
            places = {file: (label, None) for file, (label, _) in places.items()}
        metadata = _read_metadata(root)
        drawn = manifest.make_groups(
            [file.path for file in scanned], root, group_by, [file.phash for file in scanned]
        )
        items = []
        for file, group in zip(scanned, drawn, strict=True):
            label, split = places[file.path]
            row = metadata.get(os.path.normpath(file.path), {})
            items.append(
                LabelledItem(
                    path=file.path,
                    name=file.path.relative_to(root).as_posix(),
                    label=label,
                    split=split,
                    group=row.get("group", group),
                    sha256=file.sha256,
                    phash=file.phash,
                    source=row.get("source"),
                    source_sha256=row.get("source_sha256"),
                )
            )
        return cls(root, items, skipped)

    @property
    def classes(self) -> list[str]:
        """The labels that occur, sorted."""
        return sorted({item.label for item in self.items})

    @property
    def has_splits(self) -> bool:
        """Whether the folders say what is training and what is validation."""
        return all(item.split is not None for item in self.items)

    def part(self, split: Split) -> list[LabelledItem]:
        """The items of one split, in order."""
        return [item for item in self.items if item.split == split]

    def records(self) -> list[FileRecord]:
        """Every picture, for ``inputs.json``; paths are relative to the set."""
        return [FileRecord(item.name, item.sha256, item.group, item.phash) for item in self.items]

    def source_records(self) -> list[FileRecord]:
        """Every photo that the pictures were made from, once, as far as metadata.jsonl says."""
        sources: dict[str, FileRecord] = {}
        for item in self.items:
            if item.source_sha256:
                record = FileRecord(item.source or "", item.source_sha256, item.group)
                sources.setdefault(item.source_sha256, record)
        return list(sources.values())


_LAYOUT = (
    "a labelled set has one folder per class, such as clean/ and smoky/, or train/clean/, "
    "train/smoky/, validation/clean/ and validation/smoky/"
)


def _subfolders(folder: Path) -> list[Path]:
    return sorted(
        entry
        for entry in folder.iterdir()
        if entry.is_dir() and not entry.name.startswith(".") and entry.name not in _NO_CLASSES
    )


def _class_files(root: Path) -> Iterator[tuple[images.ImageFile, str, Split | None]]:
    """(file, class, split) of every picture, by folder; files that lie loose are passed over."""
    tops = _subfolders(root)
    splits = [top for top in tops if top.name in _SPLIT_NAMES and _subfolders(top)]
    places: list[tuple[Path, Split | None]] = [
        (folder, _SPLIT_NAMES[top.name]) for top in splits for folder in _subfolders(top)
    ]
    for folder, split in places or [(top, None) for top in tops]:
        try:
            found = images.find_images([folder])
        except InputError:  # an empty class folder is no class
            continue
        for file in found:
            yield dataclasses.replace(file, root=root), folder.name, split


def _read_metadata(root: Path) -> dict[str, dict[str, str]]:
    """Rows of metadata.jsonl by normalised path; only text values are kept."""
    rows: dict[str, dict[str, str]] = {}
    for folder in [root, *(root / name for name in _SPLIT_NAMES)]:
        for row in rundir.read_jsonl(folder / "metadata.jsonl"):
            if isinstance(row, dict) and isinstance(row.get("file_name"), str):
                text = {key: value for key, value in row.items() if isinstance(value, str)}
                rows[os.path.normpath(folder / row["file_name"])] = text
    return rows


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
    ) -> None:
        if len(paths) != len(targets):
            raise ValueError(f"{len(paths)} paths, but {len(targets)} targets")
        self.size, self.augment, self.seed = size, augment, seed
        self.targets = list(targets)
        self._paths = list(paths)
        # Crops of at least 60 % of 1.25² the area are not enlarged (much) to fill the square.
        self._stored_px = round(size * 1.25) if augment else size
        self._pixels = _PixelCache(self._paths, self._read, cache_bytes)
        self._by_class = [
            [index for index, target in enumerate(self.targets) if target == wanted]
            for wanted in sorted(set(self.targets))
        ]

    def _read(self, path: Path) -> Uint8Array:
        return self._squashed(path, self._stored_px)

    @staticmethod
    def _squashed(path: Path, px: int) -> Uint8Array:
        return np.asarray(images.squash(images.decode(path, 2 * px), px, BILINEAR))

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> tuple[Tensor, int, int]:
        pixels = (
            self._pixels[index]
            if self._stored_px == self.size
            else self._squashed(self._paths[index], self.size)
        )
        return from_uint8(pixels), self.targets[index], index

    def augmented(self, index: int, step: int, slot: int) -> Tensor:
        """Picture ``index`` as ``slot`` of ``step`` shows it: [3, S, S] in [-1, 1]."""
        from PIL import Image

        generator = seeded_generator(self.seed, "augment", step, slot, index)
        picture = Image.fromarray(self._pixels[index])
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
            self.augmented(index, step, slot) if self.augment else self[index][0]
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
    ) -> DataLoader[LabelledBatch]:
        """:meth:`batch` of ``steps`` steps from ``start_step`` on, for any ``workers``."""
        if workers > 0:
            self.preload()
        return _step_loader(
            _TrainingBatch(self, images_per_step, balance), start_step, steps, workers
        )

    def ordered_loader(
        self, images_per_batch: int = 64, *, workers: int = 0
    ) -> DataLoader[LabelledBatch]:
        """Every picture once, in order, not augmented."""
        batches = len(range(0, len(self), images_per_batch))
        return _step_loader(_OrderedBatch(self, images_per_batch), 0, batches, workers)


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
