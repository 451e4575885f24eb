"""Augmentation for detectors: what cameras and web sites do to pictures, alike for every class.

Synthetic smoke must not be told by a trace of how it was made, so each picture is cropped, resized,
blurred, made noisy and compressed anew at random, whatever its class.
"""

from __future__ import annotations

import io
import math

import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageFilter

from wisp.images.convert import Uint8Array
from wisp.images.transforms import BILINEAR


def _uniform(generator: torch.Generator, low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))


def resized_crop(image: Image.Image, px: int, generator: torch.Generator) -> Image.Image:
    """A window of 60 to 100 % of the area, aspect 3:4 to 4:3 of the picture's, as px x px."""
    area = _uniform(generator, 0.6, 1.0)
    stretch = math.exp(0.5 * _uniform(generator, math.log(3 / 4), math.log(4 / 3)))
    width = min(1.0, math.sqrt(area) * stretch) * image.width
    height = min(1.0, math.sqrt(area) / stretch) * image.height
    left = _uniform(generator, 0, image.width - width)
    top = _uniform(generator, 0, image.height - height)
    return image.resize((px, px), BILINEAR, box=(left, top, left + width, top + height))


def jitter_colour(image: Image.Image, generator: torch.Generator) -> Image.Image:
    """Brightness, contrast, saturation and white balance changed a little."""
    gain, contrast = _uniform(generator, 0.75, 1.25), _uniform(generator, 0.75, 1.25)
    saturation = _uniform(generator, 0.6, 1.4)
    ramp = (np.arange(256) - 127.5) * contrast + 127.5
    table: list[int] = []
    for _ in range(3):
        balance = _uniform(generator, 0.93, 1.07)
        table += np.clip(np.rint(ramp * gain * balance), 0, 255).astype(int).tolist()
    return ImageEnhance.Color(image).enhance(saturation).point(table)


def down_and_up(image: Image.Image, generator: torch.Generator) -> Image.Image:
    """Resized to 40 to 90 % and back: the softness of an enlarged thumbnail."""
    scale = _uniform(generator, 0.4, 0.9)
    small = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(small, BILINEAR).resize(image.size, BILINEAR)


def add_noise(image: Image.Image, generator: torch.Generator) -> Image.Image:
    """Gaussian pixel noise with a standard deviation of 1 to 8 grey levels."""
    sigma = _uniform(generator, 1, 8)
    pixels = torch.from_numpy(np.array(image)).to(torch.float32)
    pixels.add_(torch.randn(pixels.shape, generator=generator), alpha=sigma)
    noisy: Uint8Array = pixels.round_().clamp_(0, 255).to(torch.uint8).numpy()
    return Image.fromarray(noisy)


def recompress(image: Image.Image, generator: torch.Generator) -> Image.Image:
    """Through JPEG of quality 35 to 95."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=round(_uniform(generator, 35, 95)))
    return Image.open(stream).convert("RGB")


def augment(image: Image.Image, px: int, generator: torch.Generator) -> Image.Image:
    """An RGB picture, randomly cropped, mirrored, recoloured, softened, made noisy, recompressed.

    A pure function of the picture and the generator's state; returns px x px pixels.
    """
    image = resized_crop(image, px, generator)
    flip, colour, soft, thumbnail, noise, jpeg = torch.rand(6, generator=generator).tolist()
    if flip < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if colour < 0.8:
        image = jitter_colour(image, generator)
    if soft < 0.2:
        image = image.filter(ImageFilter.GaussianBlur(_uniform(generator, 0.3, 1.6)))
    if thumbnail < 0.25:
        image = down_and_up(image, generator)
    if noise < 0.3:
        image = add_noise(image, generator)
    if jpeg < 0.6:
        image = recompress(image, generator)
    return image
