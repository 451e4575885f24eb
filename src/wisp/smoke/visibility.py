"""How plainly smoke can be seen: white smoke before a white wall is there, and nobody sees it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

import cv2
import numpy as np

from wisp.smoke.layer import SmokeLayer, coverage
from wisp.smoke.noise import Floats, Pixels, resize

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
    layer: SmokeLayer, scene: Floats, level: float = PLAIN, *, darkens: bool = True
) -> float:
    """Part of ``scene`` [h, w, 3] in [0, 1] that ``layer`` changes by more than ``level`` of the
    range. With ``darkens=False`` only what it makes brighter counts."""
    cover, colour = (resize(part, *scene.shape[:2]) for part in (layer.opacity, layer.airlight))
    change = (colour - scene).mean(-1)
    change = np.abs(change) if darkens else np.maximum(change, 0)
    return coverage(cover * change, level)


def changed(before: Pixels, after: Pixels, level: float = PLAIN) -> float:
    """Part of the pixels [H, W, 3] whose colour differs by more than ``level`` of the range in some
    channel."""
    red, green, blue = cv2.split(cv2.absdiff(before, after))
    return coverage(cv2.max(cv2.max(red, green), blue), level * 255)


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
