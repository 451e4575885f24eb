"""Between PIL images, uint8 arrays, tensors in [-1, 1] and encoded bytes."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, JpegImagePlugin
from torch import Tensor

from wisp.images.decoding import open_lazily

Uint8Array = npt.NDArray[np.uint8]
ImageLike = Image.Image | Uint8Array | Tensor
"""PIL image; uint8 array [H, W, 3] or [H, W]; or float tensor [3, H, W] or [1, H, W] in [-1, 1]."""


def from_uint8(array: Uint8Array) -> Tensor:
    """uint8 [H, W, C] or [B, H, W, C] as float32 [C, H, W] or [B, C, H, W] in [-1, 1]."""
    if not array.flags.writeable:  # a tensor over read-only memory would be undefined behaviour
        array = array.copy()
    pixels = torch.from_numpy(array).movedim(-1, -3)
    return pixels.to(torch.float32, memory_format=torch.contiguous_format).div_(127.5).sub_(1)


def to_tensor(image: Image.Image | Uint8Array) -> Tensor:
    """A PIL image (8 bit; becomes RGB) or uint8 [H, W, 3] as float32 [3, H, W] in [-1, 1]."""
    if isinstance(image, Image.Image):
        return from_uint8(np.array(image.convert("RGB")))
    return from_uint8(image)


def to_uint8(image: Tensor) -> Uint8Array:
    """[C, H, W] or [B, C, H, W] in [-1, 1] as uint8 [H, W, C] or [B, H, W, C], rounded, clamped."""
    scaled = image.detach().to("cpu", torch.float32).clamp(-1, 1).add(1).mul_(127.5).round_()
    array: Uint8Array = scaled.to(torch.uint8).movedim(-3, -1).contiguous().numpy()
    return array


def to_pil(image: ImageLike) -> Image.Image:
    """A picture as PIL image: RGB from three channels, L from one."""
    if isinstance(image, Image.Image):
        return image
    array = to_uint8(image) if isinstance(image, Tensor) else image
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    return Image.fromarray(np.ascontiguousarray(array))


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


def encode_jpeg(image: ImageLike, quality: int | JpegRecipe = 95) -> bytes:
    """The picture as a baseline JPEG file without metadata.

    ``quality`` is 1 to 100 (with 4:2:0 chroma), or the recipe of another file.
    """
    pixels = to_pil(image)
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
