"""How plainly smoke can be seen: white smoke before a white wall is there, and nobody sees it."""

from __future__ import annotations

from torch import Tensor

from wisp.smoke.noise import resample_matrix
from wisp.smoke.optics import coverage

PLAIN = 0.12
"""The change of a pixel, as a part of the range, that is seen plainly (of smoke)."""


def prominence(cover: Tensor, airlight: Tensor, scene: Tensor, level: float = PLAIN) -> float:
    """Part of ``scene`` [3, h, w] in [0, 1] that smoke changes by more than ``level`` of the range.

    ``cover`` [H, W] is the smoke's opacity in [0, 1), ``airlight`` [3, H, W] in [-1, 1].
    """
    rows, columns = scene.shape[-2:]
    down = resample_matrix(cover.shape[-2], rows)
    across = resample_matrix(cover.shape[-1], columns)
    small, colour = (down @ part @ across.T for part in (cover, (airlight + 1) / 2))
    return coverage(small * (colour - scene).abs().mean(0), level)
