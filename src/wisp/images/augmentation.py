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

from wisp.images.jpeg import Uint8Array
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


def overexpose(image: Image.Image, generator: torch.Generator) -> Image.Image:
    """Too much light: 15 to 55 % of the pixels are clipped, and spill over what is next to them.

    In dark and in bright pictures less or more, because light is multiplied by 1.25 to 6. Computed
    on light, which a picture's values stand for to the power of 1/2, as the look-alike of the same
    name is, for pictures that are small.
    """
    light = (np.asarray(image).astype(np.float32) / 255) ** 2
    kept = float(np.quantile(light.max(axis=2), _uniform(generator, 0.45, 0.85)))
    light *= min(6.0, max(1.25, 1 / max(kept, 1e-3)))
    spilled = Image.fromarray(np.rint(127.5 * (light - 1).clip(0, 2)).astype(np.uint8))
    for most, near, far in ((0.35, 0.008, 0.02), (0.2, 0.04, 0.1)):
        radius_px = _uniform(generator, near, far) * max(image.size)
        spread = np.asarray(spilled.filter(ImageFilter.GaussianBlur(radius_px)))
        light += _uniform(generator, most / 4, most) * spread.astype(np.float32) / 127.5
    return Image.fromarray(np.rint(255 * np.sqrt(light.clip(0, 1))).astype(np.uint8))


def underexpose(image: Image.Image, generator: torch.Generator) -> Image.Image:
    """Too little light: values at 25 to 70 %."""
    dimmed = _uniform(generator, 0.25, 0.7)
    return image.point([round(dimmed * value) for value in range(256)] * 3)


def letterbox(image: Image.Image, generator: torch.Generator) -> Image.Image:
    """Squeezed to 40 to 80 % of the width, or the height, between dark bars: a video's frame."""
    shade = int(_uniform(generator, 0, 30))
    frame = Image.new("RGB", image.size, (shade, shade, shade))
    part, beside = _uniform(generator, 0.4, 0.8), float(torch.rand((), generator=generator)) < 0.6
    width = max(1, round(image.width * (part if beside else 1)))
    height = max(1, round(image.height * (1 if beside else part)))
    corner = ((image.width - width) // 2, (image.height - height) // 2)
    frame.paste(image.resize((width, height), BILINEAR), corner)
    return frame


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
    """An RGB picture, randomly cropped, mirrored, recoloured, exposed too long or too briefly,
    softened, put between bars, made noisy, recompressed.

    A pure function of the picture and the generator's state; returns px x px pixels.
    """
    image = resized_crop(image, px, generator)
    flip, colour, light, soft, thumbnail, bars, noise, jpeg = torch.rand(
        8, generator=generator
    ).tolist()
    if flip < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if colour < 0.8:
        image = jitter_colour(image, generator)
    if light < 0.25:
        image = overexpose(image, generator)
    elif light < 0.4:
        image = underexpose(image, generator)
    if soft < 0.2:
        image = image.filter(ImageFilter.GaussianBlur(_uniform(generator, 0.3, 1.6)))
    if thumbnail < 0.25:
        image = down_and_up(image, generator)
    if bars < 0.15:
        image = letterbox(image, generator)
    if noise < 0.3:
        image = add_noise(image, generator)
    if jpeg < 0.6:
        image = recompress(image, generator)
    return image
