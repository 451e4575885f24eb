"""How plainly smoke can be seen: white smoke before a white wall is there, and nobody sees it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

from torch import Tensor

from wisp.smoke.noise import resample_matrix
from wisp.smoke.optics import coverage

PLAIN = 0.12
"""The change of a pixel, as a part of the range, that is seen plainly (of smoke)."""

FAINT = 0.01
"""Smoke that changes a smaller part of a picture plainly is hardly seen there (looked at, 450 px:
of pictures at 0.006 half show their smoke)."""

LARGE, SMALL = 0.12, 0.03
"""The part of a picture that smoke has to change plainly to be kept, and that a small cloud has."""
SMALL_SHARE = 0.3
"""How often there is only a small cloud, far away or just beginning."""
ATTEMPTS = 6

Drawn = TypeVar("Drawn")


def prominence(
    cover: Tensor, airlight: Tensor, scene: Tensor, level: float = PLAIN, *, darkens: bool = True
) -> float:
    """Part of ``scene`` [3, h, w] in [0, 1] that smoke changes by more than ``level`` of the range.

    ``cover`` [H, W] is the smoke's opacity in [0, 1), ``airlight`` [3, H, W] in [-1, 1]. With
    ``darkens=False`` only what it makes brighter counts.
    """
    rows, columns = scene.shape[-2:]
    down = resample_matrix(cover.shape[-2], rows)
    across = resample_matrix(cover.shape[-1], columns)
    small, colour = (down @ part @ across.T for part in (cover, (airlight + 1) / 2))
    change = colour - scene
    change = change.abs() if darkens else change.clamp(min=0)
    return coverage(small * change.mean(0), level)


def changed(before: Tensor, after: Tensor, level: float = PLAIN) -> float:
    """Part of the pixels whose colour differs by more than ``level`` of the range in some channel.

    ``before`` and ``after`` are uint8 [H, W, 3].
    """
    difference = (after.short() - before.short()).abs().amax(-1)
    return float((difference > level * 255).double().mean())


def drawn_until_seen(
    draw: Callable[[], Drawn], shown: Callable[[Drawn], float], enough: float, attempts: int
) -> Drawn:
    """The first of at most ``attempts`` draws that is ``shown`` at least ``enough``, or else the
    one that is shown most, of equals the last."""
    best, most = draw(), -math.inf
    for attempt in range(attempts):
        other = best if attempt == 0 else draw()
        value = shown(other)
        if value >= most:
            best, most = other, value
        if most >= enough:
            break
    return best
