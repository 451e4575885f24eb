"""One photo in, its clean and smoky pictures out, each file whole or absent."""

from __future__ import annotations

import dataclasses
import functools
import struct
import threading
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray
from PIL import Image

from wisp.config import SynthConfig
from wisp.errors import StoppedError
from wisp.images import JpegRecipe, decode, encode_jpeg, jpeg_recipe
from wisp.jobs.synth.plan import (
    Photo,
    picture_condition,
    picture_negative,
    picture_seed,
    picture_strength,
)
from wisp.models import Rendered, SmokeModel, shipped_layers
from wisp.rundir import write_bytes
from wisp.smoke import FAINT, SmokeLayer, add_lookalike, changed, coverage

_COVERED = 0.1
_LATTICE_PX = 128
_BOX_LEVEL = 0.05
_QUALITY_OF_OTHER_FORMATS = 95
_PNG_FILTER_UP = 2
_STRIP_ROWS = 256

Row = dict[str, Any]
"""A row of ``metadata.jsonl``."""


@dataclasses.dataclass(frozen=True)
class Job:
    """What is the same for every photo."""

    config: SynthConfig
    out: Path
    model: SmokeModel
    reconstruct: bool
    stop: threading.Event = dataclasses.field(default_factory=threading.Event)
    """Once set no further picture with smoke is written, not even of a photo that is begun."""


def render_photo(job: Job, photo: Photo) -> list[Row]:
    """Write all pictures made of ``photo``; their metadata rows, the clean ones first.

    Raises UnreadableImageError if the photo has gone bad, WispError if the disk is full, and
    StoppedError once ``job.stop`` is set.
    """
    image = decode(photo.path)
    quality = quality_of(job.config, photo.path)
    repaint = None
    if job.reconstruct:
        repaint = functools.partial(job.model.reconstruct, seed=picture_seed(job.config, photo, 0))
    clean = encode_jpeg(image if repaint is None else repaint(image), quality)
    write_bytes(job.out / photo.clean_file(), clean)
    del clean
    # One clean picture of a sequence: without smoke nothing moves, and copies count as evidence.
    rows = [metadata_row(job.config, photo, photo.clean_file(), "clean")]
    pixels = _pixels(image)
    del image
    rows += write_negative(job.config, job.out, photo, pixels, quality, repaint, job.model)
    for copy in range(1, job.config.per_photo + 1):
        last = copy == job.config.per_photo
        rows += _render_smoky(job, photo, copy, pixels if last else pixels.copy(), quality)
    return rows


def _pixels(image: Image.Image) -> NDArray[np.uint8]:
    """``image`` (RGB) as an array [H, W, 3]; in strips, as np.array makes two more whole copies."""
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    for top in range(0, image.height, _STRIP_ROWS):
        strip = (0, top, image.width, min(image.height, top + _STRIP_ROWS))
        pixels[top : top + _STRIP_ROWS] = np.asarray(image.crop(strip))
    return pixels


def quality_of(config: SynthConfig, path: Path) -> int | JpegRecipe:
    """How every picture made of the photo ``path`` is encoded, clean and smoky alike."""
    if config.quality is not None:
        return config.quality
    return jpeg_recipe(path) or _QUALITY_OF_OTHER_FORMATS


def write_negative(
    config: SynthConfig,
    out: Path,
    photo: Photo,
    pixels: NDArray[np.uint8],
    quality: int | JpegRecipe,
    repaint: Callable[[Image.Image], Image.Image] | None = None,
    model: SmokeModel | None = None,
) -> list[Row]:
    """Write the look-alike of ``photo`` that ``config`` asks for; its row, or none if it does not.

    ``pixels`` are kept. Steam has the folds of smoke that ships, every third that of ``model``'s
    own, if it has any. ``repaint`` sends a picture through a generator pair.
    That comes last, as with the smoky pictures: a blur over a generator's traces, or traces over a
    blur, would give the class away.
    """
    drawn = picture_negative(config, photo)
    if drawn is None:
        return []
    kind, seed = drawn
    changed = pixels.copy()
    layers: Sequence[SmokeLayer] = ()
    if kind == "steam":
        own = model.layers(pixels, seed) if model is not None and seed % 3 == 0 else ()
        layers = own or shipped_layers()
    add_lookalike(kind, changed, seed, layers)
    image = Image.fromarray(changed)
    if repaint is not None:
        image = repaint(image)
    file_name = photo.negative_file(kind)
    write_bytes(out / file_name, encode_jpeg(image, quality))
    return [metadata_row(config, photo, file_name, "clean", negative=kind, seed=seed)]


def add_condition(config: SynthConfig, seed: int, pixels: NDArray[np.uint8]) -> str | None:
    """Give ``pixels`` the camera's fault that a smoky picture of this ``seed`` has, if any, in
    place; its kind."""
    drawn = picture_condition(config, seed)
    if drawn is None:
        return None
    add_lookalike(drawn[0], pixels, drawn[1])
    return drawn[0]


def _render_smoky(
    job: Job, photo: Photo, copy: int, pixels: NDArray[np.uint8], quality: int | JpegRecipe
) -> list[Row]:
    """Write smoky picture number ``copy``, or the frames in its place; ``pixels`` are used up."""
    config = job.config
    seed, strength = picture_seed(config, photo, copy), picture_strength(config, photo, copy)
    drawn = {
        "condition": add_condition(config, seed, pixels),
        "model": config.model,
        "strength": round(strength, 6),
        "seed": seed,
    }
    before = _lattice(pixels).copy()
    if config.frames == 1:
        rendered = job.model.render(pixels, strength, seed)
        drawn["visible"] = _visible(before, rendered)
        return [_write_smoky(job, photo, copy, None, rendered, quality, drawn)]
    drawn["sequence"] = photo.sequence(copy)
    return [
        _write_smoky(
            job,
            photo,
            copy,
            number,
            rendered,
            quality,
            {**drawn, "visible": _visible(before, rendered), "frame": number},
        )
        for number, rendered in enumerate(
            job.model.sequence(pixels, strength, seed, config.frames), start=1
        )
    ]


def _lattice(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Evenly spread pixels of a picture: enough to measure it on, 128 or more along a side."""
    step = max(1, min(pixels.shape[:2]) // _LATTICE_PX)
    return pixels[::step, ::step]


def _visible(before: NDArray[np.uint8], rendered: Rendered) -> float:
    """Part of the pixels that the smoke changes plainly, from those of :func:`_lattice`
    ``before``."""
    return round(changed(before, _lattice(rendered.pixels).copy()), 6)


def _write_smoky(
    job: Job,
    photo: Photo,
    copy: int,
    frame: int | None,
    rendered: Rendered,
    quality: int | JpegRecipe,
    drawn: Row,
) -> Row:
    """Write a smoky picture, or a ``frame`` of a sequence, and its mask; its row."""
    if job.stop.is_set():
        raise StoppedError(f"stopped before {photo.smoky_file(copy, frame)}")
    write_bytes(job.out / photo.smoky_file(copy, frame), encode_jpeg(rendered.pixels, quality))
    box = None
    if job.model.exact_mask:
        box = _box_of(rendered.mask)
        if job.config.masks:
            write_bytes(job.out / photo.mask_file(copy, frame), encode_mask(rendered.mask))
    covered = coverage(rendered.mask, _COVERED * 255)
    measured = {
        "coverage": round(covered, 6),
        "mean_opacity": round(cv2.mean(rendered.mask)[0] / 255, 6),
        "box": None if box is None else list(box),
        "flat": rendered.flat,
        "width": rendered.pixels.shape[1],
        "height": rendered.pixels.shape[0],
    }
    return metadata_row(
        job.config, photo, photo.smoky_file(copy, frame), "smoky", **drawn, **measured
    )


def _box_of(mask: NDArray[np.uint8]) -> tuple[int, int, int, int] | None:
    """(x, y, width, height) [px] around opacity above :data:`_BOX_LEVEL`; None if there is none."""
    x, y, width, height = map(int, cv2.boundingRect((mask > _BOX_LEVEL * 255).view(np.uint8)))
    return (x, y, width, height) if width else None


def flat_count(rows: Sequence[Row]) -> int:
    """Smoky pictures among ``rows`` for which the generator painted one colour."""
    return sum(bool(row.get("flat")) for row in rows)


def faint_count(rows: Sequence[Row]) -> int:
    """Smoky pictures among ``rows`` in which the smoke is hardly seen: white before white, say."""
    shares = [row.get("visible") for row in rows if row["label"] == "smoky"]
    return sum(share is not None and share < FAINT for share in shares)


def metadata_row(
    config: SynthConfig,
    photo: Photo,
    file_name: str,
    label: str,
    negative: str | None = None,
    condition: str | None = None,
    **values: Any,  # noqa: ANN401 - JSON
) -> Row:
    """The row of a picture made of ``photo``; ``values`` say what it differs in from no smoke."""
    row: Row = {
        "file_name": file_name,
        "label": label,
        "split": photo.split,
        "group": photo.group,
        "source": str(photo.path),
        "source_sha256": photo.sha256,
        "model": None,
        "strength": 0.0,
        "seed": None,
        "coverage": 0.0,
        "mean_opacity": 0.0,
        "visible": 0.0,
        "box": None,
    }
    if config.negatives:
        row |= {"negative": negative, "condition": condition}
    if config.frames > 1:
        row |= {"sequence": None, "frame": None}
    return {**row, **values}


def encode_mask(mask: NDArray[np.uint8]) -> bytes:
    """An opacity mask uint8 [H, W] as PNG, compressed quickly rather than tightly.

    Opacity changes slowly: the difference to the pixel above always predicts it well. Pillow would
    try five filters on every row, and zlib takes three times as long as Intel's ISA-L.
    """
    height, width = mask.shape
    lines = np.empty((height, width + 1), np.uint8)
    lines[:, 0] = _PNG_FILTER_UP
    lines[0, 1:] = mask[0]
    np.subtract(mask[1:], mask[:-1], out=lines[1:, 1:])
    pixels = isal_zlib.compress(lines.data, 1)
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)  # 8 bit grey, not interlaced
    chunks = ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )
