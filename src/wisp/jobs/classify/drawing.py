"""Photos without a data set: smoke is laid over them as they are learned from."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from wisp import images, manifest
from wisp.config import ClassifyConfig, parse_negatives, parse_strength
from wisp.data import LabelledItem, derive_seed, doubt_of_few, find_photos
from wisp.detectors import worker_count
from wisp.errors import InputError
from wisp.images import Scanned, Skipped, UnreadableImageError, encode_jpeg, scan
from wisp.images.jpeg import Uint8Array
from wisp.jobs.classify.parts import Parts, doubt_of_places
from wisp.models import SmokeModel, load, shipped_layers
from wisp.progress import progress
from wisp.rundir import RunDir, write_bytes
from wisp.smoke import Dice, add_lookalike

CLEAN = "clean"
VALIDATION_FOLDER = "validation"
"""In the run: the pictures that it validates on, as labelled sets lie on disk."""
_QUALITY = 95
_ALIKE = 0.5
"""How often a clean picture is a look-alike: as in the data sets of `wisp synth`."""


@dataclasses.dataclass(frozen=True)
class Drawing:
    """What makes one of the two classes of a photo, each time anew."""

    model: SmokeModel
    strength: tuple[float, float]
    kinds: tuple[str, ...]
    """Of look-alikes, for clean pictures."""

    @classmethod
    def of(cls, config: ClassifyConfig) -> Drawing:
        """As ``config.smoke`` says; InputError for a model that there is not, or that repaints."""
        assert config.smoke is not None
        model = load(config.smoke)
        if not model.exact_mask:
            raise InputError(
                f"--smoke {config.smoke}: repaints photos, and a detector would learn its traces; "
                "make a data set with wisp synth, whose clean pictures have them, too"
            )
        return cls(model, parse_strength(config.strength), parse_negatives(config.negatives))

    def __call__(self, pixels: Uint8Array, smoky: bool, seed: int) -> Uint8Array:
        """``pixels`` [H, W, 3], which are kept, with the smoke of ``seed``, or without: half of
        these are look-alikes, and the photo under smoke has the camera's faults as often."""
        dice, pixels = Dice(seed), pixels.copy()
        if self.kinds and dice.coin(_ALIKE):
            kind = self.kinds[dice.index(len(self.kinds))]
            if kind != "steam" or not smoky:
                add_lookalike(kind, pixels, dice.seed(), shipped_layers())
        if not smoky:
            return pixels
        return self.model.render(pixels, dice.uniform(*self.strength), dice.seed()).pixels


@dataclasses.dataclass(frozen=True)
class Photos:
    """Photos of a place, each on one side, and what is laid over them."""

    drawing: Drawing
    train: list[LabelledItem]
    """Each photo twice, as either class."""
    validation: list[tuple[Scanned, str]]
    """Photos and their groups."""
    files: list[dict[str, str]]
    skipped: list[Skipped]


def read_photos(config: ClassifyConfig) -> Photos:
    """Find the photos in ``config.datasets`` and split them by group.

    Raises InputError where there are none, or all show one place.
    """
    drawing = Drawing.of(config)
    found = find_photos([str(path) for path in config.datasets], besides=config.out)
    scanned, skipped = scan(found, config.workers or os.cpu_count() or 1, "reading photos")
    if not scanned:
        first = skipped[0]
        raise InputError(
            f"{config.datasets[0]}: none of {len(skipped)} pictures can be used; the first: "
            f"{first.path}: {first.reason}"
        )
    root = Path(os.path.commonpath({str(photo.root.absolute()) for photo in scanned}))
    groups = manifest.make_groups(
        [photo.path.absolute() for photo in scanned],
        root,
        config.group_by,
        [photo.phash for photo in scanned],
    )
    sides = manifest.split_groups(groups, config.validation, config.seed)
    together = list(zip(scanned, groups, sides, strict=True))
    train = [
        LabelledItem(photo.path, photo.name, label, side, group, photo.sha256, photo.phash)
        for photo, group, side in together
        for label in (CLEAN, config.positive)
        if side == "train"
    ]
    files = [
        {
            "path": str(photo.path), "sha256": photo.sha256, "phash": photo.phash, "group": group,
            "label": CLEAN, "split": side, "role": "source",
        }
        for photo, group, side in together
    ]  # fmt: skip
    validation = [(photo, group) for photo, group, side in together if side == "validation"]
    return Photos(drawing, train, validation, files, skipped)


def parts_of(photos: Photos, run: RunDir, config: ClassifyConfig) -> Parts:
    """The parts of a training on ``photos``; what it validates on is written into ``run``."""
    validation = _write_validation(run, photos.validation, photos.drawing, config)
    classes = sorted((CLEAN, config.positive))
    notes = doubt_of_few({CLEAN: len(photos.train) // 2}) + doubt_of_places(validation)
    change = _Change(photos.drawing, classes.index(config.positive))
    return Parts(classes, photos.train, validation, photos.files, photos.skipped, notes, change)


@dataclasses.dataclass(frozen=True)
class _Change:
    """A drawing by class index; worker processes are sent it."""

    drawing: Drawing
    smoky: int

    def __call__(self, pixels: Uint8Array, target: int, seed: int) -> Uint8Array:
        return self.drawing(pixels, target == self.smoky, seed)


def _write_validation(
    run: RunDir, photos: Sequence[tuple[Scanned, str]], drawing: Drawing, config: ClassifyConfig
) -> list[LabelledItem]:
    """Write each of ``photos`` in both classes, in small, with smoke that stays; what they are."""

    def make(job: tuple[int, Scanned, str]) -> list[LabelledItem]:
        number, photo, group = job
        try:
            whole = np.asarray(images.decode_fitted(photo.path, 2 * config.size, "short-side"))
        except UnreadableImageError as error:
            raise InputError(f"{error.path}: could no longer be read ({error.reason})") from None
        made = []
        for label in (CLEAN, config.positive):
            name = f"{VALIDATION_FOLDER}/{label}/{number:05d}.jpg"
            seed = derive_seed(config.seed, "validation", photo.sha256, label)
            data = encode_jpeg(drawing(whole, label != CLEAN, seed), _QUALITY)
            write_bytes(run.path / name, data)
            made.append(
                LabelledItem(
                    run.path / name, name, label, "validation", group, photo.sha256, photo.phash
                )
            )
        return made

    jobs = [(number, photo, group) for number, (photo, group) in enumerate(photos, start=1)]
    items: list[LabelledItem] = []
    with (
        ThreadPoolExecutor(max(1, worker_count(config.workers))) as pool,
        progress("adding smoke to validate on", len(jobs), unit="img") as bar,
    ):
        for made in pool.map(make, jobs):
            items += made
            bar.advance()
    return items
