"""The scale a generator was trained at, and photos brought to it."""

from __future__ import annotations

import dataclasses
from typing import Literal

_MAX_WORKING_PX = 1024 * 1024
MIN_SIDE_PX = 32
"""Networks that halve the picture five times see nothing in less."""


@dataclasses.dataclass(frozen=True)
class WorkingScale:
    """How photos were brought to the generator in training: ``fit`` and ``load_size`` [px]."""

    fit: Literal["short-side", "squash", "none"] = "squash"
    load_size: int = 286

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width [px], multiples of 4, at which a photo is translated."""
        if self.fit == "squash":
            scale_y, scale_x = self.load_size / height, self.load_size / width
        else:
            scale = self.load_size / min(height, width) if self.fit == "short-side" else 1.0
            scale_y = scale_x = min(scale, (_MAX_WORKING_PX / (height * width)) ** 0.5)
        return (
            max(MIN_SIDE_PX, 4 * round(height * scale_y / 4)),
            max(MIN_SIDE_PX, 4 * round(width * scale_x / 4)),
        )
