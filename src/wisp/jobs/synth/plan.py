"""Which photos go where: names, groups, splits and seeds, before a pixel is computed."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from wisp.config import SynthConfig, parse_negatives, parse_strength
from wisp.images import Scanned
from wisp.jobs.synth.names import file_stems
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
    bits = hashlib.sha256(text.encode(errors="surrogateescape")).digest()  # names that are no UTF-8
    return int.from_bytes(bits[:8], "big") >> 11


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
            chosen,
            file_stems(
                [(photo.name, photo.sha256) for photo in chosen],
                has_validation=part > 0,
                has_negatives=bool(config.negatives),
                has_sequences=config.frames > 1,
            ),
            groups,
            splits,
            strict=True,
        )
    ]
