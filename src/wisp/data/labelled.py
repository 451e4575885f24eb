"""Class folders of labelled pictures, with groups and sources."""

from __future__ import annotations

import dataclasses
import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath
from typing import Literal

from wisp import images, manifest
from wisp.data.detection import detection_pictures, is_detection_set
from wisp.errors import InputError
from wisp.manifest import FileRecord
from wisp.progress import counted, say

Split = Literal["train", "validation"]


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
    "training": "train",
    "validation": "validation",
    "val": "validation",
    "valid": "validation",
}
"""In lower case."""
_MOST_DOUBLES = 0.05
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
        cls.require_folder(root)
        found = list(_class_files(root))
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
        _require_distinct(root, items)
        return cls(root, items, skipped)

    @staticmethod
    def require_folder(path: Path) -> None:
        """Raise InputError unless ``path`` holds class folders with pictures.

        Quick, before anything is read.
        """
        if not Path(path).is_dir():
            raise InputError(f"{path}: no such folder; {_LAYOUT}")
        if next(_class_files(Path(path), tell=False), None) is None:
            endings = [file.suffix.lower() for file in Path(path).iterdir() if file.is_file()]
            loose = sum(ending in images.EXTENSIONS for ending in endings)
            raise InputError(
                f"{path}: holds no class folders with pictures; "
                + (f"pictures that lie in none: {loose}; " if loose else "")
                + _LAYOUT
            )

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

    def source_records(self) -> list[FileRecord]:
        """Every photo that the pictures were made from, once, as far as metadata.jsonl says."""
        sources: dict[str, FileRecord] = {}
        for item in self.items:
            if item.source_sha256:
                record = FileRecord(item.source or "", item.source_sha256, item.group)
                sources.setdefault(item.source_sha256, record)
        return list(sources.values())


def split_of(folder: str) -> Split | None:
    """Which part of a set a folder of this name holds, whatever its case: ``Val``, ``valid``."""
    return _SPLIT_NAMES.get(folder.casefold())


def _require_distinct(root: Path, items: Sequence[LabelledItem]) -> None:
    """Raise InputError where pictures lie in two classes: they can be of one only.

    A few may do so by right, as smoke drawn so thin that it changes nothing.
    """
    by_file: dict[str, dict[str, LabelledItem]] = defaultdict(dict)
    for item in items:
        by_file[item.sha256].setdefault(item.label, item)
    doubles = [list(found.values()) for found in by_file.values() if len(found) > 1]
    smallest = min(Counter(item.label for item in items).values())
    if len(doubles) > _MOST_DOUBLES * smallest:
        one, other = doubles[0][:2]
        raise InputError(
            f"{root}: of {smallest} pictures in a class {len(doubles)} lie in another as well, for "
            f"example {one.name} and {other.name}; leave each in the class that it shows"
        )


_LAYOUT = (
    "a labelled set has one folder per class, such as clean/ for photos without smoke and smoky/ "
    "for those with it, or train/clean/, train/smoky/, validation/clean/ and validation/smoky/, or "
    "YOLO's images/ beside labels/"
)


def sets_below(root: Path, classes: Sequence[str]) -> list[Path]:
    """Folders right below ``root`` that hold one of ``classes``: what was meant, if ``root`` was
    given one folder too high."""
    return [
        folder
        for folder in _subfolders(Path(root))
        if any((folder / name).is_dir() for name in classes)
    ]


def _subfolders(folder: Path, *, tell: bool = False) -> list[Path]:
    """The folders in ``folder`` that may be a class or a part of a set, sorted."""
    found = []
    for entry in sorted(folder.iterdir()):
        if entry.name in _NO_CLASSES or not entry.is_dir():
            continue
        reason = images.passed_over(entry)
        if reason is None:
            found.append(entry)
        elif reason and tell:
            say(reason)
    return found


def _class_files(
    root: Path, *, tell: bool = True
) -> Iterator[tuple[images.ImageFile, str, Split | None]]:
    """(file, class, split) of every picture, by folder; files that lie loose are passed over."""
    if is_detection_set(root):
        yield from _detected(root, tell)
        return
    tops = _subfolders(root, tell=tell)
    parts: list[tuple[Path, Split | None]] = [
        (folder, split)
        for top in tops
        if (split := split_of(top.name))
        for folder in _subfolders(top, tell=tell)
    ]
    others = [f"{top.name}/" for top in tops if not split_of(top.name)]
    if parts and others and tell:
        say(f"{root}: left out, being neither training nor validation: {', '.join(others)}")
    for folder, split in parts or [(top, None) for top in tops]:
        try:
            found = images.find_images([folder], tell=tell)
        except InputError:  # an empty class folder is no class
            continue
        for file in found:
            yield dataclasses.replace(file, root=root), folder.name, split


def _detected(root: Path, tell: bool) -> Iterator[tuple[images.ImageFile, str, Split | None]]:
    """As :func:`_class_files`, of a detection set."""
    found: list[tuple[images.ImageFile, str, Split | None]] = []
    for file, label in detection_pictures(root, tell):
        splits = [split_of(folder) for folder in PurePath(file.name).parts[:-1]]
        found.append((file, label, next((split for split in splits if split), None)))
    divided = [one for one in found if one[2]]
    if divided and len(divided) < len(found) and tell:
        others = counted(len(found) - len(divided), "picture")
        say(f"{root}: left out, being neither training nor validation: {others}")
    yield from divided or found


def _read_metadata(root: Path) -> dict[str, dict[str, str]]:
    """Rows of metadata.jsonl by normalised path; only text values are kept.

    A damaged line is an error: without its row, groups would be guessed and the split could leak.
    """
    rows: dict[str, dict[str, str]] = {}
    for folder in [root, *filter(lambda top: split_of(top.name), _subfolders(root))]:
        file = folder / "metadata.jsonl"
        if not file.is_file():
            continue
        for number, line in enumerate(file.read_bytes().splitlines(), start=1):
            try:
                row = json.loads(line) if line.strip() else None
            except ValueError as error:
                raise InputError(
                    f"{file}: line {number} is not JSON ({error}); make the data set anew, or "
                    "remove the file to go without its groups"
                ) from None
            if isinstance(row, dict) and isinstance(row.get("file_name"), str):
                text = {key: value for key, value in row.items() if isinstance(value, str)}
                rows[os.path.normpath(folder / row["file_name"])] = text
    return rows
