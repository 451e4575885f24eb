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

HASH_BITS = 64
NEAR_DISTANCE = 4
"""Differing bits up to which two perceptual hashes count as the same picture."""
_FLAT_BITS = 8  # fewer ones (or zeros) than this: a bare gradient or one colour, says nothing
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
    """Perceptual hash, 16 hex digits; empty if unknown."""

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


def _parse_hash(text: str) -> int | None:
    """The hash as a number; None if it is unknown or too flat to say anything."""
    if not text:
        return None
    value = int(text, 16)
    return value if _FLAT_BITS <= value.bit_count() <= HASH_BITS - _FLAT_BITS else None


class _NearIndex:
    """Finds hashes within ``max_distance`` bits: such hashes agree in one of distance + 1 bands."""

    def __init__(self, hashes: Iterable[int], max_distance: int) -> None:
        self._max_distance = max_distance
        bands = max_distance + 1
        edges = [HASH_BITS * band // bands for band in range(bands + 1)]
        self._bands = [(low, (1 << (high - low)) - 1) for low, high in itertools.pairwise(edges)]
        self._buckets: list[dict[int, list[int]]] = [defaultdict(list) for _ in self._bands]
        for value in hashes:
            for bucket, (shift, mask) in zip(self._buckets, self._bands, strict=True):
                bucket[(value >> shift) & mask].append(value)

    def near(self, value: int) -> Iterator[tuple[int, int]]:
        """(distance, hash) of every indexed hash that is near ``value``; some come repeatedly."""
        for bucket, (shift, mask) in zip(self._buckets, self._bands, strict=True):
            for other in bucket.get((value >> shift) & mask, ()):
                distance = (value ^ other).bit_count()
                if distance <= self._max_distance:
                    yield distance, other


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
    members: dict[int, int] = {}
    joined = _Joiner(len(names))
    for group, text in zip(groups, phashes, strict=True):
        value = _parse_hash(text)
        if value is not None:
            joined.join(members.setdefault(value, number[group]), number[group])
    index = _NearIndex(members, NEAR_DISTANCE)
    for value, group_number in members.items():
        for _, other in index.near(value):
            joined.join(group_number, members[other])
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
            ``NEAR_DISTANCE`` bits, transitively), ``auto`` (prefix where there is one, else the
            file alone; groups with near-duplicate members are joined), or a regular expression
            whose first group is taken from the path relative to root.
        phashes: perceptual hash of each file (16 hex digits or empty), or None if unknown.

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
    order = sorted(sizes, key=lambda group: hashlib.sha256(f"{seed}/{group}".encode()).digest())
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
    train: Sequence[FileRecord], test: Sequence[FileRecord], max_distance: int = NEAR_DISTANCE
) -> list[Overlap]:
    """Test files that were seen in training, at most one overlap per test file.

    Equal bytes come first, then the nearest perceptual hash of at most ``max_distance`` differing
    bits. Hashes of flat pictures (one colour, a bare gradient) are not compared.
    """
    by_sha: dict[str, str] = {}
    by_hash: dict[int, str] = {}
    for record in train:
        if record.sha256:
            by_sha.setdefault(record.sha256, record.path)
        value = _parse_hash(record.phash)
        if value is not None:
            by_hash.setdefault(value, record.path)
    index = _NearIndex(by_hash, max_distance)
    found = []
    for record in test:
        if record.sha256 in by_sha:
            found.append(Overlap("same file", by_sha[record.sha256], record.path))
            continue
        value = _parse_hash(record.phash)
        nearest = min(index.near(value), default=None) if value is not None else None
        if nearest is not None:
            found.append(Overlap("near-duplicate", by_hash[nearest[1]], record.path))
    return found
