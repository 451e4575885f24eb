"""A picture to test on, and the smoke laid over one."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from wisp.smoke import SmokeLayer


def scene(width: int = 96, height: int = 64, seed: int = 0) -> Image.Image:
    """A picture with structure at every scale."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


def tau_of(layer: SmokeLayer) -> torch.Tensor:
    """τ [H, W] of all of ``layer``."""
    density, _ = layer.apply(torch.zeros(3, layer.height, layer.width))
    assert density is not None
    return density
