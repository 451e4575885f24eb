"""Which files belong together, on which side of a split they go, and whether two lists overlap.

Groups (a house, a camera scene, a burst) are the unit of every split and every interval: frames of
one group are near-copies, so a split by file would leak. Plain Python: no array library is needed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from wisp.errors import InputError

NEAR_DIFFERENCE = 0.08
"""Part of differing bits up to which two perceptual hashes count as the same picture.

Measured on 2500 photos with hashes of 256 bits: the seven pairs of different name that are in truth
the same photo differ in at most 0.055, all others in at least 0.117 (frames full of fog with the
same caption, which 64 bits do not tell apart); of photos that were resized, recompressed and made
brighter, 19 of 20 differ in less than 0.08 from the original."""
_FLAT_PART = 1 / 8  # fewer ones (or zeros) than this: a bare gradient or one colour, says nothing
_CHUNK_BYTES = 1 << 20
_WORDS = ("auto", "folder", "prefix", "name", "near-duplicate")


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes as 64 hex digits; InputError if it cannot be read."""
    digest = hashlib.sha256()
    try:
        with Path(path).open("rb") as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                digest.update(chunk)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    return digest.hexdigest()


@dataclasses.dataclass(frozen=True)
class FileRecord:
    """One input file as ``inputs.json`` lists it."""

    path: str
    sha256: str
    group: str
    phash: str = ""
    """Perceptual hash in hex digits, as of ``images.perceptual_hash``; empty if unknown."""

    def to_json(self) -> dict[str, str]:
        """This record as a JSON object."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> FileRecord:
        """The record in a JSON object; further keys are ignored.

        Raises InputError naming the key that is missing.
        """
        try:
            return cls(
                path=str(value["path"]),
                sha256=str(value["sha256"]),
                group=str(value["group"]),
                phash=str(value.get("phash", "")),
            )
        except KeyError as error:
            raise InputError(f"inputs.json: a file record has no {error}") from None


class _Joiner:
    """Disjoint sets of integers (union by smaller root, path halving)."""

    def __init__(self, count: int) -> None:
        self._parent = list(range(count))

    def root(self, item: int) -> int:
        while self._parent[item] != item:
            self._parent[item] = self._parent[self._parent[item]]
            item = self._parent[item]
        return item

    def join(self, first: int, second: int) -> None:
        low, high = sorted((self.root(first), self.root(second)))
        self._parent[high] = low


def _is_flat(value: int, bits: int) -> bool:
    return not _FLAT_PART * bits <= value.bit_count() <= (1 - _FLAT_PART) * bits


class _NearIndex:
    """Finds hashes that differ in at most ``max_difference`` of their bits.

    Hashes with at most d differing bits agree in one of any d + 1 bands, so that only those are
    compared. Unknown and flat hashes, and hashes of different lengths, are never near.
    """

    def __init__(self, hashes: Iterable[str], max_difference: float) -> None:
        self._max_difference = max_difference
        self._buckets: dict[tuple[int, int, int], list[int]] = defaultdict(list)
        self._texts: dict[tuple[int, int], str] = {}
        for text in hashes:
            value, bits = self._parse(text)
            if bits == 0 or (bits, value) in self._texts:
                continue
            self._texts[bits, value] = text
            for key in self._keys(value, bits):
                self._buckets[key].append(value)

    @staticmethod
    def _parse(text: str) -> tuple[int, int]:
        """(value, bits); 0 bits if there is nothing to compare."""
        value, bits = int(text or "0", 16), 4 * len(text)
        return (value, 0) if _is_flat(value, bits) else (value, bits)

    def _keys(self, value: int, bits: int) -> Iterator[tuple[int, int, int]]:
        bands = min(bits, int(self._max_difference * bits) + 1)
        edges = [bits * band // bands for band in range(bands + 1)]
        for low, high in itertools.pairwise(edges):
            yield bits, low, (value >> low) & ((1 << (high - low)) - 1)

    def near(self, text: str) -> list[tuple[float, str]]:
        """(part of differing bits, hash) of every indexed hash near ``text``, nearest first."""
        value, bits = self._parse(text)
        if bits == 0:
            return []
        candidates = {
            other for key in self._keys(value, bits) for other in self._buckets.get(key, ())
        }
        limit = self._max_difference * bits
        distances = [((value ^ other).bit_count(), other) for other in candidates]
        return sorted(
            (distance / bits, self._texts[bits, other])
            for distance, other in distances
            if distance <= limit
        )


def _relative_stem(path: Path, root: Path) -> str:
    try:
        relative = Path(path).relative_to(root)
    except ValueError:
        relative = Path(path)
    return relative.with_suffix("").as_posix()


def _pattern_groups(paths: Sequence[Path], root: Path, group_by: str) -> list[str]:
    try:
        pattern = re.compile(group_by)
    except re.error as error:
        raise InputError(
            f"--group-by {group_by}: neither one of {', '.join(_WORDS)} nor a regular expression "
            f"({error})"
        ) from None
    if pattern.groups < 1:
        raise InputError(
            f"--group-by {group_by}: give one of {', '.join(_WORDS)}, or a regular expression with "
            "a group in parentheses, such as '(house-[0-9]+)'"
        )
    groups, matched = [], False
    for path in paths:
        stem = _relative_stem(path, root)
        match = pattern.search(stem + Path(path).suffix)
        found = match.group(1) if match else None
        matched = matched or found is not None
        groups.append(stem if found is None else found)
    if paths and not matched:
        raise InputError(
            f"--group-by {group_by}: matches none of {len(paths)} paths, for example "
            f"{_relative_stem(paths[0], root) + Path(paths[0]).suffix}; change the expression"
        )
    return groups


def _join_near(groups: list[str], phashes: Sequence[str]) -> list[str]:
    """Give groups one name if any of their members are near-duplicates."""
    names = sorted(set(groups))
    number = {name: index for index, name in enumerate(names)}
    holder: dict[str, int] = {}
    joined = _Joiner(len(names))
    index = _NearIndex(phashes, NEAR_DIFFERENCE)
    for group, text in zip(groups, phashes, strict=True):
        holder.setdefault(text, number[group])
    for group, text in zip(groups, phashes, strict=True):
        for _, other in index.near(text):
            joined.join(number[group], holder[other])
    return [names[joined.root(number[group])] for group in groups]


def make_groups(
    paths: Sequence[Path], root: Path, group_by: str, phashes: Sequence[str] | None
) -> list[str]:
    """The group of each file: what must stay on one side of a split.

    Args:
        paths: the files.
        root: the folder that names are relative to.
        group_by: ``folder`` (relative to root), ``prefix`` (of the name, before ``__``), ``name``
            (without folder and suffix), ``near-duplicate`` (perceptual hashes differ in at most
            ``NEAR_DIFFERENCE`` of the bits, transitively), ``auto`` (prefix where there is one,
            else the file alone; groups with near-duplicate members are joined), or a regular
            expression whose first group is taken from the path relative to root.
        phashes: perceptual hash of each file (hex digits or empty), or None if unknown.

    Raises:
        InputError: ``group_by`` is none of these, or an expression that matches no path.
    """
    stems = [_relative_stem(path, root) for path in paths]
    names = [stem.rsplit("/", 1)[-1] for stem in stems]
    if group_by == "folder":
        return [stem.rpartition("/")[0] or "." for stem in stems]
    if group_by == "name":
        return names
    if group_by in ("prefix", "auto"):
        groups = [
            name.split("__", 1)[0] if "__" in name.lstrip("_") else stem
            for name, stem in zip(names, stems, strict=True)
        ]
        return groups if group_by == "prefix" or phashes is None else _join_near(groups, phashes)
    if group_by == "near-duplicate":
        if phashes is None:
            raise InputError("--group-by near-duplicate: the pictures have not been hashed")
        return _join_near(stems, phashes)
    return _pattern_groups(paths, root, group_by)


def are_named(paths: Sequence[Path]) -> bool:
    """Whether some name says what its file belongs to, as ``auto`` reads it: ``cam3__0017.jpg``."""
    return any("__" in path.name.lstrip("_") for path in paths)


def split_groups(
    groups: Sequence[str], validation: float, seed: int
) -> list[Literal["train", "validation"]]:
    """The side of each item: whole groups, chosen by a hash of (seed, group).

    The part of items that goes to validation is as near to ``validation`` as a first fit of whole
    groups allows (off by at most half the smallest group left over); if ``validation`` > 0, each
    side gets at least one group. The order of the items does not matter.

    Args:
        groups: group of each item.
        validation: part for validation, from 0 to below 1.
        seed: another seed, another choice.

    Raises:
        InputError: both sides are wanted but there is one group only.
    """
    if validation <= 0 or not groups:
        return ["train"] * len(groups)
    sizes: dict[str, int] = defaultdict(int)
    for group in groups:
        sizes[group] += 1
    if len(sizes) < 2:
        raise InputError(
            f"--validation {validation}: all {len(groups)} pictures are one group "
            f"({next(iter(sizes))}), which cannot be split; add photos of other places, or set "
            "--group-by"
        )

    def lot(group: str) -> bytes:
        return hashlib.sha256(f"{seed}/{group}".encode(errors="surrogateescape")).digest()

    order = sorted(sizes, key=lot)
    target = validation * len(groups)
    chosen: set[str] = set()
    count = 0
    for group in order:
        if count + sizes[group] <= target:
            chosen.add(group)
            count += sizes[group]
    left = [group for group in order if group not in chosen]
    nearest = min(left, key=lambda group: abs(count + sizes[group] - target))
    closer = abs(count + sizes[nearest] - target) < abs(count - target)
    if not chosen or (closer and len(left) > 1):
        chosen.add(nearest)
    return ["validation" if group in chosen else "train" for group in groups]


@dataclasses.dataclass(frozen=True)
class Overlap:
    """A test picture that is, or nearly is, a training picture."""

    kind: Literal["same file", "near-duplicate"]
    train: str
    test: str

    def to_json(self) -> dict[str, str]:
        """This overlap as a JSON object."""
        return dataclasses.asdict(self)


def find_overlaps(
    train: Sequence[FileRecord],
    test: Sequence[FileRecord],
    max_difference: float = NEAR_DIFFERENCE,
) -> list[Overlap]:
    """Test files that were seen in training, at most one overlap per test file.

    Equal bytes come first, then the nearest perceptual hash, if at most ``max_difference`` of its
    bits differ. Hashes of flat pictures (one colour, a bare gradient) are not compared.
    """
    by_sha: dict[str, str] = {}
    by_hash: dict[str, str] = {}
    for record in train:
        if record.sha256:
            by_sha.setdefault(record.sha256, record.path)
        by_hash.setdefault(record.phash, record.path)
    index = _NearIndex(by_hash, max_difference)
    found = []
    for record in test:
        if record.sha256 in by_sha:
            found.append(Overlap("same file", by_sha[record.sha256], record.path))
        elif near := index.near(record.phash):
            found.append(Overlap("near-duplicate", by_hash[near[0][1]], record.path))
    return found
