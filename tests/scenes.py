"""A picture to test on."""

from __future__ import annotations

import numpy as np
from PIL import Image


def scene(width: int = 96, height: int = 64, seed: int = 0) -> Image.Image:
    """A picture with structure at every scale."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)
