"""JPEG files, encoded as others were."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image, JpegImagePlugin

from wisp.images.decoding import open_lazily

Uint8Array = npt.NDArray[np.uint8]


@dataclasses.dataclass(frozen=True)
class JpegRecipe:
    """How a JPEG file was encoded: its quantisation tables and Pillow's chroma subsampling."""

    tables: tuple[tuple[int, ...], ...]
    subsampling: int


def jpeg_recipe(path: Path) -> JpegRecipe | None:
    """How the JPEG file ``path`` was encoded; None for another format or an unusual JPEG.

    Encoding decoded pixels again by the same recipe changes next to nothing, whereas any other
    quantisation leaves a trace that networks find.
    """
    try:
        with path.open("rb") as stream:
            image = open_lazily(stream)
            if not isinstance(image, JpegImagePlugin.JpegImageFile) or image.mode not in (
                "RGB",
                "L",
            ):
                return None
            tables = tuple(tuple(table) for _, table in sorted(image.quantization.items()))
            subsampling = JpegImagePlugin.get_sampling(image)
    except Exception:  # decoders raise almost anything on damaged data
        return None
    if not 1 <= len(tables) <= 2 or any(len(table) != 64 for table in tables):
        return None
    return JpegRecipe((tables * 2)[:2], max(0, subsampling))


def _memory_file() -> BinaryIO:
    """A file in memory; where the system has some with a descriptor, one of those: Pillow encodes
    into such files while other threads go on, and into a BytesIO while they wait."""
    if hasattr(os, "memfd_create"):
        with contextlib.suppress(OSError):  # not everywhere does the kernel allow what libc offers
            return os.fdopen(os.memfd_create("picture"), "w+b")
    return io.BytesIO()


def encode_jpeg(image: Image.Image | Uint8Array, quality: int | JpegRecipe = 95) -> bytes:
    """The picture as a baseline JPEG file without metadata.

    ``quality`` is 1 to 100 (with 4:2:0 chroma), or the recipe of another file.
    """
    pixels = image if isinstance(image, Image.Image) else Image.fromarray(image)
    if pixels.mode not in ("RGB", "L"):
        pixels = pixels.convert("RGB")
    how: dict[str, Any] = {"quality": quality}
    if isinstance(quality, JpegRecipe):
        tables = [list(table) for table in quality.tables]
        how = {"qtables": tables, "subsampling": quality.subsampling}
    with _memory_file() as stream:
        # Unless told otherwise Pillow keeps the comment of the file that a picture comes from: a
        # clean one would have it, the same under smoke not.
        pixels.save(stream, "JPEG", comment=b"", **how)
        stream.seek(0)
        return stream.read()
