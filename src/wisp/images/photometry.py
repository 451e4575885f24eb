"""Random exposure, colour and softness of crops, for networks that must not learn one camera's."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_LUMA = (0.299, 0.587, 0.114)


def _uniform(generator: torch.Generator, low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))


def vary_photo(image: Tensor, generator: torch.Generator) -> Tensor:
    """``image`` [3, H, W] in [-1, 1] as another camera, at another exposure, might have taken it.

    Gamma, contrast and saturation, now and then blur and noise: one in three pictures stays as
    it is. What is black stays black: a photo whose shadows are lifted looks as if it were taken
    through a veil, and a network could learn nothing about veils from it. A pure function of the
    picture and the generator's state.
    """
    from torchvision.transforms.v2 import functional as tv  # a second of start-up

    keep, soft, noisy = torch.rand(3, generator=generator).tolist()
    if keep < 1 / 3:
        return image
    light = ((image + 1) / 2).clamp(0, 1)
    gamma = math.exp(_uniform(generator, math.log(0.75), math.log(2.0)))
    light = light.clamp(min=1e-4) ** gamma
    luma = (light * light.new_tensor(_LUMA)[:, None, None]).sum(0, keepdim=True)
    light = torch.lerp(luma.expand_as(light), light, _uniform(generator, 0.5, 1.3))
    light = torch.lerp(luma.mean().expand_as(light), light, _uniform(generator, 1.0, 1.2))
    if soft < 0.25:
        light = tv.gaussian_blur(light, [7, 7], [_uniform(generator, 0.4, 1.5)])
    if noisy < 0.25:
        sigma = _uniform(generator, 0.005, 0.03)
        light = light + sigma * torch.randn(light.shape, generator=generator)
    return light.clamp(0, 1) * 2 - 1


def colour_cast(generator: torch.Generator) -> Tensor:
    """Gain of red, green and blue [3] in [0.4, 1]: evening light, a lamp, a white balance.

    Multiplying light keeps the law of smoke: a cast of the smoky photo is the smoky photo of the
    cast scene under smoke of the cast airlight.
    """
    if float(torch.rand((), generator=generator)) < 0.4:
        return torch.ones(3)
    gains = torch.tensor([_uniform(generator, 0.7, 1.0) for _ in range(3)])
    if float(torch.rand((), generator=generator)) < 0.2:  # a low sun, or a fire's glow
        gains = gains * torch.tensor([1.0, 0.85, _uniform(generator, 0.58, 0.8)])
    return gains.div(gains.max()).mul(_uniform(generator, 0.75, 1.0)).clamp(min=0.4)


def apply_cast(image: Tensor, gains: Tensor) -> Tensor:
    """``image`` [B, 3, H, W] in [-1, 1], the light of each multiplied by ``gains`` [B, 3]."""
    return (image + 1) * gains[:, :, None, None].to(image) - 1
