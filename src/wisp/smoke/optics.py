"""Beer-Lambert for networks: what a layer of smoke does to the light of the scene behind it.

Images and airlight lie in [-1, 1], optical density τ in [0, ∞). Formation model, as for haze
(Koschmieder 1924; Narasimhan and Nayar, IJCV 2002)::

    t = exp(-s·τ)          transmission at strength s
    I' = t·I + (1 - t)·A    A: the airlight, the colour of the smoke itself

The airlight is [B, 3, 1, 1] or, for smoke that shades itself, [B, 3, H, W].
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

T = TypeVar("T", Tensor, NDArray[np.float32])


def opacity(density: Tensor, strength: float | Tensor = 1.0) -> Tensor:
    """1 - exp(-strength·τ) in [0, 1), exact for thin smoke too; shaped as ``density``."""
    return -torch.expm1(-strength * density)


def density_of(smoke_opacity: Tensor) -> Tensor:
    """τ = -log(1 - α) of an opacity α in [0, 1), shaped as it: inverse of :func:`opacity`."""
    return -torch.log1p(-smoke_opacity)


def add_smoke(
    image: Tensor, density: Tensor, airlight: Tensor, strength: float | Tensor = 1.0
) -> Tensor:
    """Lay smoke over ``image`` [B, 3, H, W]; bit for bit ``image`` where strength·τ is 0.

    ``density`` [B, 1, H, W] ≥ 0; ``airlight`` [B, 3, 1|H, 1|W]; ``strength`` a number or [B,1,1,1].
    """
    return torch.lerp(image, airlight.expand_as(image), opacity(density, strength))


def take_off(image: T, smoke_opacity: T, airlight: T, mean: T, error: float = 0.0) -> T:
    """The scene behind smoke of opacity α in [0, 1); all are tensors or arrays and broadcast,
    colours in one unit.

    Wiener's filter: J = μ + (I - α·A - t·μ)·t / (t² + (e·α)²), t = 1 - α, for scenes that vary
    around ``mean`` and airlights known to ``error``, a part of that variation. Without error the
    inverse of :func:`add_smoke`, which before dense smoke is the error many times: J tends to μ.
    """
    left = 1 - smoke_opacity
    varies = image - smoke_opacity * airlight - left * mean
    scene: T = mean + varies * left / (left**2 + (error * smoke_opacity) ** 2)
    return scene
