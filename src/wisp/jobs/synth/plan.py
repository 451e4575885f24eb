"""Which photos go where: names, groups, splits and seeds, before a pixel is computed."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from wisp.config import LOOKALIKES, SynthConfig, parse_negatives, parse_strength
from wisp.images import Scanned
from wisp.manifest import FileRecord, make_groups, split_groups

_USUAL_VALIDATION = 0.2


@dataclasses.dataclass(frozen=True)
class Photo:
    """One clean photo and its place in the data set."""

    path: Path
    name: str
    """Path below the class folder without suffix, with ``/``; unique in the data set."""
    source: str
    """Path relative to the folder that was given: what seeds depend on."""
    sha256: str
    phash: str
    group: str
    split: str

    def record(self) -> dict[str, str]:
        """The photo as ``inputs.json`` lists it."""
        record = FileRecord(str(self.path), self.sha256, self.group, self.phash)
        return {**record.to_json(), "split": self.split}

    def clean_file(self) -> str:
        """Path of the clean picture, relative to the data set."""
        return f"{self.split}/clean/{self.name}.jpg"

    def negative_file(self, kind: str) -> str:
        """Path of the look-alike ``kind``, labelled clean."""
        return f"{self.split}/clean/{self.name}~{kind}.jpg"

    def smoky_file(self, copy: int, frame: int | None = None) -> str:
        """Path of smoky picture number ``copy`` (from 1), or of a ``frame`` (from 1) of it."""
        return f"{self.split}/smoky/{self.name}-{copy}{_frame_part(frame)}.jpg"

    def mask_file(self, copy: int, frame: int | None = None) -> str:
        """Path of its mask."""
        return f"masks/{self.split}/{self.name}-{copy}{_frame_part(frame)}.png"

    def sequence(self, copy: int) -> str:
        """Name of the sequence that takes the place of smoky picture number ``copy``."""
        return f"{self.name}-{copy}"


def _frame_part(frame: int | None) -> str:
    return "" if frame is None else f"/frame-{frame:04d}"


def draw(seed: int, *parts: object) -> int:
    """A number in [0, 2^53) that depends on ``seed`` and ``parts`` only: exact in any JSON."""
    text = "/".join(str(part) for part in (seed, *parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 11


def picture_seed(config: SynthConfig, photo: Photo, copy: int) -> int:
    """Seed of a smoky picture: whatever the order, the workers or the other photos."""
    return draw(config.seed, photo.sha256, photo.source, copy)


def picture_strength(config: SynthConfig, photo: Photo, copy: int) -> float:
    """Strength of a smoky picture, drawn from the range that was asked for."""
    low, high = parse_strength(config.strength)
    part = draw(config.seed, "strength", photo.sha256, photo.source, copy) / 2**53
    return low + (high - low) * part


def picture_negative(config: SynthConfig, photo: Photo) -> tuple[str, int] | None:
    """Kind and seed of the photo's look-alike, drawn evenly from ``--negatives``; None without."""
    kinds = parse_negatives(config.negatives)
    if not kinds:
        return None
    seed = draw(config.seed, "negative", photo.sha256, photo.source)
    return kinds[draw(seed, "kind") % len(kinds)], seed


def picture_condition(config: SynthConfig, seed: int) -> tuple[str, int] | None:
    """What the camera does to the photo under the smoke of the smoky picture with ``seed``, and
    the seed of that; None for nothing.

    Half of all clean pictures are look-alikes: each of the n kinds makes 1 / 2n of them. A fault of
    the camera gives no class away only if it is as frequent in the other one, so each kind but
    steam, which is no fault of the camera, is drawn with the same probability.
    """
    kinds = parse_negatives(config.negatives)
    number = draw(seed, "condition") % (2 * len(kinds)) if kinds else len(kinds)
    if number >= len(kinds) or kinds[number] == "steam":
        return None
    return kinds[number], draw(seed, "condition", kinds[number])


def make_plan(config: SynthConfig, scanned: Sequence[Scanned]) -> list[Photo]:
    """Choose, name, group and split the photos; the order of ``scanned`` is kept.

    Raises InputError from grouping and splitting, see :mod:`wisp.manifest`.
    """
    chosen = list(scanned)
    if config.limit is not None and config.limit < len(chosen):
        lots = sorted(chosen, key=lambda photo: draw(config.seed, photo.sha256, photo.name))
        kept = {photo.path for photo in lots[: config.limit]}
        chosen = [photo for photo in chosen if photo.path in kept]
    root = Path(os.path.commonpath({str(photo.root.absolute()) for photo in chosen}))
    groups = make_groups(
        [photo.path.absolute() for photo in chosen],
        root,
        config.group_by,
        [photo.phash for photo in chosen],
    )
    part = config.validation
    if part is None:
        part = _USUAL_VALIDATION if len(set(groups)) > 1 else 0.0
    splits = split_groups(groups, part, config.seed)
    return [
        Photo(photo.path, name, photo.name, photo.sha256, photo.phash, group, split)
        for photo, name, group, split in zip(
            chosen, _names(chosen, config, part > 0), groups, splits, strict=True
        )
    ]


# Hugging Face `datasets` takes a folder of such a name, at any depth, for a split.
_TEST_FOLDER = re.compile(r"(?<![^-._ 0-9])(test|testing|eval|evaluation)(?![^-._ 0-9])")
_SPLIT_FOLDER = re.compile(r"(?<![^-._ 0-9])(validation|valid|dev|val)(?![^-._ 0-9])")


def _safe_folder(name: str, has_validation: bool) -> str:
    """``name``, so that it is not taken for a split that the data set has not: test → tests."""
    name = _TEST_FOLDER.sub(r"\1s", name)
    return name if has_validation else _SPLIT_FOLDER.sub(r"\1s", name)


# A photo of such a name could take the place of another one's look-alike.
_LIKE_A_NEGATIVE = re.compile(f"~({'|'.join(LOOKALIKES)})$", re.IGNORECASE)


def _names(photos: Sequence[Scanned], config: SynthConfig, has_validation: bool) -> list[str]:
    """Names without suffix. With sequences their last part names a folder, too.

    Where two photos would share one (``a.png`` and ``a.jpg``, or the same name below two folders),
    each gets a piece of its hash; copies of one file are numbered.
    """
    sequences = config.frames > 1
    stems = []
    for photo in photos:
        *folders, last = PurePosixPath(photo.name).with_suffix("").parts
        safe = [_safe_folder(folder, has_validation) for folder in folders]
        stems.append("/".join([*safe, _safe_folder(last, has_validation) if sequences else last]))
    # Upper and lower case are the same file on some systems.
    count = Counter(stem.lower() for stem in stems)
    names = [
        f"{stem}~{photo.sha256[:8]}"
        if count[stem.lower()] > 1 or (config.negatives and _LIKE_A_NEGATIVE.search(stem))
        else stem
        for stem, photo in zip(stems, photos, strict=True)
    ]
    seen: Counter[str] = Counter()
    unique = []
    for name in names:
        seen[name.lower()] += 1
        unique.append(name if seen[name.lower()] == 1 else f"{name}~{seen[name.lower()]}")
    return unique
