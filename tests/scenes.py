"""A picture to test on, and the smoke laid over one."""

from __future__ import annotations

import numpy as np
from PIL import Image

from wisp.smoke import SmokeLayer
from wisp.smoke.noise import Floats


def scene(width: int = 96, height: int = 64, seed: int = 0) -> Image.Image:
    """A picture with structure at every scale."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


def tau_of(layer: SmokeLayer, height: int, width: int) -> Floats:
    """τ [height, width] of ``layer`` over a picture of that size."""
    _, tau = layer.lay(np.zeros((height, width, 3), np.uint8), keep_density=True)
    assert tau is not None
    return tau
