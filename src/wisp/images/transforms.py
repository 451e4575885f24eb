"""Resizing, cropping and mirroring, as pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image

from wisp.images.jpeg import Uint8Array

if TYPE_CHECKING:
    import torch

BICUBIC = Image.Resampling.BICUBIC
BILINEAR = Image.Resampling.BILINEAR


def resize_short_side(image: Image.Image, px: int) -> Image.Image:
    """Scaled so that the short side has ``px`` pixels, aspect kept (bicubic, antialiased)."""
    width, height = image.size
    scale = px / min(width, height)
    size = (max(px, round(width * scale)), max(px, round(height * scale)))
    return image if size == image.size else image.resize(size, BICUBIC)


def squash(
    image: Image.Image, px: int, resample: Image.Resampling = Image.Resampling.BICUBIC
) -> Image.Image:
    """Resized to ``px`` x ``px``, aspect not kept (antialiased)."""
    return image if image.size == (px, px) else image.resize((px, px), resample)


def center_crop(image: Image.Image, px: int) -> Image.Image:
    """The middle ``px`` x ``px`` pixels; a smaller picture is enlarged first."""
    if min(image.size) < px:
        image = resize_short_side(image, px)
    left, top = (image.width - px) // 2, (image.height - px) // 2
    return image.crop((left, top, left + px, top + px))


def enlarge_to(image: Image.Image, px: int) -> Image.Image:
    """The picture itself, or enlarged to a short side of ``px`` pixels if that is shorter."""
    return resize_short_side(image, px) if min(image.size) < px else image


def _draw(count: int, generator: torch.Generator) -> int:
    """A whole number from 0 to ``count`` - 1."""
    import torch

    return int(torch.randint(count, (), generator=generator))


def random_crop(array: Uint8Array, px: int, generator: torch.Generator) -> Uint8Array:
    """A ``px`` x ``px`` window of uint8 [H, W, C], every position equally likely (a view).

    Raises ValueError if a side is shorter than ``px``.
    """
    height, width = array.shape[:2]
    if min(height, width) < px:
        raise ValueError(f"cannot crop {px} px from {width}×{height} px")
    top, left = _draw(height - px + 1, generator), _draw(width - px + 1, generator)
    return array[top : top + px, left : left + px]


def random_flip(array: Uint8Array, generator: torch.Generator) -> Uint8Array:
    """uint8 [H, W, C], mirrored left to right in half of the cases (a view)."""
    return array[:, ::-1] if _draw(2, generator) else array
