"""Photos at the scale a network is trained at."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from wisp.images.decoding import decode
from wisp.images.jpeg import Uint8Array
from wisp.images.transforms import BILINEAR, resize_short_side, squash

Fit = Literal["short-side", "squash", "none"]
"""Scaled with its aspect kept, squashed to a square (Zhu et al. 2017), or left as it is."""


def decode_fitted(path: Path, size_px: int, fit: Fit) -> Image.Image:
    """The photo in ``path``, brought to ``size_px`` as ``fit`` says; UnreadableImageError."""
    if fit == "none":
        return decode(path)
    # Twice the size that is needed: a JPEG decoded at reduced scale then looks the same.
    photo = decode(path, 2 * size_px)
    return squash(photo, size_px) if fit == "squash" else resize_short_side(photo, size_px)


def read_squashed(path: Path, px: int) -> Uint8Array:
    """A picture as detectors see it: squashed to uint8 [px, px, 3]. Raises UnreadableImageError."""
    return np.asarray(squash(decode(path, 2 * px), px, BILINEAR))
