"""Differentiable augmentation for few photos (Zhao et al. 2020, arXiv 2006.10738)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

SHIFT = 1 / 8
CUTOUT = 1 / 2


def augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """Change colour, place and a square hole of each of ``images`` [B, 3, H, W] in [-1, 1] alike.

    The result has the same shape and lets gradients through; values may leave [-1, 1]. The draws
    come from ``generator`` (on the CPU): the same state gives the same change.
    """
    images = _colour(images, generator)
    images = _shift(images, generator)
    return _cut_out(images, generator)


def _uniform(images: Tensor, generator: torch.Generator, low: float, high: float) -> Tensor:
    draws = torch.rand((len(images), 1, 1, 1), generator=generator) * (high - low) + low
    return draws.to(images.device, images.dtype)


def _colour(images: Tensor, generator: torch.Generator) -> Tensor:
    images = images + _uniform(images, generator, -0.5, 0.5)
    grey = images.mean(dim=1, keepdim=True)
    images = (images - grey) * _uniform(images, generator, 0.0, 2.0) + grey
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return (images - mean) * _uniform(images, generator, 0.5, 1.5) + mean


def _shift(images: Tensor, generator: torch.Generator) -> Tensor:
    height, width = images.shape[-2:]
    down, right = int(height * SHIFT + 0.5), int(width * SHIFT + 0.5)
    padded = F.pad(images, (right, right, down, down))
    shifted = []
    for one in torch.split(padded, 1):
        top = int(torch.randint(2 * down + 1, (), generator=generator))
        left = int(torch.randint(2 * right + 1, (), generator=generator))
        shifted.append(one[..., top : top + height, left : left + width])
    return torch.cat(shifted)


def _cut_out(images: Tensor, generator: torch.Generator) -> Tensor:
    count, _, height, width = images.shape
    hole_height, hole_width = int(height * CUTOUT + 0.5), int(width * CUTOUT + 0.5)
    keep = torch.ones(count, 1, height, width)
    for one in keep:
        top = int(torch.randint(height + (1 - hole_height % 2), (), generator=generator))
        left = int(torch.randint(width + (1 - hole_width % 2), (), generator=generator))
        top, left = top - hole_height // 2, left - hole_width // 2
        one[
            :,
            max(0, top) : max(0, top + hole_height),
            max(0, left) : max(0, left + hole_width),
        ] = 0.0
    return images * keep.to(images.device, images.dtype)
