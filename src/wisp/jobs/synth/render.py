"""One photo in, its clean and smoky pictures out, each file whole or absent."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from wisp.config import SynthConfig
from wisp.images import JpegRecipe, decode, encode_jpeg, jpeg_recipe
from wisp.jobs.synth.plan import Photo, picture_seed, picture_strength
from wisp.models import SmokeModel
from wisp.rundir import write_bytes
from wisp.smoke import box_of

_COVERED = 0.1
_BOX_LEVEL = 0.05
_QUALITY_OF_OTHER_FORMATS = 95

Row = dict[str, Any]
"""A row of ``metadata.jsonl``."""


@dataclasses.dataclass(frozen=True)
class Job:
    """What is the same for every photo."""

    config: SynthConfig
    out: Path
    model: SmokeModel
    reconstruct: bool


def render_photo(job: Job, photo: Photo) -> list[Row]:
    """Write all pictures made of ``photo``; their metadata rows, the clean one first.

    Raises UnreadableImageError if the photo has gone bad, WispError if the disk is full.
    """
    image = decode(photo.path)
    quality = quality_of(job.config, photo.path)
    if job.reconstruct:
        clean = encode_jpeg(job.model.reconstruct(image), quality)
    else:
        clean = encode_jpeg(image, quality)
    write_bytes(job.out / photo.clean_file(), clean)
    del clean
    rows = [metadata_row(photo, photo.clean_file(), "clean")]
    pixels = np.array(image)
    del image
    for copy in range(1, job.config.per_photo + 1):
        last = copy == job.config.per_photo
        rows.append(_render_smoky(job, photo, copy, pixels if last else pixels.copy(), quality))
    return rows


def quality_of(config: SynthConfig, path: Path) -> int | JpegRecipe:
    """How every picture made of the photo ``path`` is encoded, clean and smoky alike."""
    if config.quality is not None:
        return config.quality
    return jpeg_recipe(path) or _QUALITY_OF_OTHER_FORMATS


def _render_smoky(
    job: Job, photo: Photo, copy: int, pixels: NDArray[np.uint8], quality: int | JpegRecipe
) -> Row:
    seed = picture_seed(job.config, photo, copy)
    strength = picture_strength(job.config, photo, copy)
    rendered = job.model.render(pixels, strength, seed)
    write_bytes(job.out / photo.smoky_file(copy), encode_jpeg(rendered.pixels, quality))
    box = None
    if job.model.exact_mask:
        write_bytes(job.out / photo.mask_file(copy), encode_mask(rendered.mask))
        box = box_of(torch.from_numpy(rendered.mask), _BOX_LEVEL * 255)
    return metadata_row(
        photo,
        photo.smoky_file(copy),
        "smoky",
        model=job.config.model,
        strength=round(strength, 6),
        seed=seed,
        coverage=round(float((rendered.mask > _COVERED * 255).mean()), 6),
        mean_opacity=round(float(rendered.mask.mean()) / 255, 6),
        box=None if box is None else list(box),
        width=pixels.shape[1],
        height=pixels.shape[0],
    )


def metadata_row(photo: Photo, file_name: str, label: str, **values: Any) -> Row:  # noqa: ANN401
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
        "box": None,
    }
    return {**row, **values}


def encode_mask(mask: NDArray[np.uint8]) -> bytes:
    """An opacity mask uint8 [H, W] as PNG, compressed quickly rather than tightly."""
    stream = io.BytesIO()
    Image.fromarray(mask).save(stream, "PNG", compress_level=1)
    return stream.getvalue()
