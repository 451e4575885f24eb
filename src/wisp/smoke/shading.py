"""How smoke shades itself."""

from __future__ import annotations

import math

import cv2
import numpy as np

from wisp.smoke.fields import Field
from wisp.smoke.noise import Dice, Floats, blur, resize, warp

_COARSER = 3


def shading(dice: Dice, field: Field, light: float) -> Floats:
    """Gain [h, w], about 1, of the airlight of smoke that is lit from one side.

    Two terms: light lost on the way through the smoke (a march through the blurred density
    towards the light) and the slope of the front surface. ``light`` in [-1, 1] is the light's
    side; it comes from above, now and then from below.
    """
    height = -0.9 if dice.coin(0.88) else 0.7
    norm = math.hypot(light, height)
    to_x, to_y = light / norm, height / norm
    rows, columns = field.density.shape
    # Shadows are soft: a coarser grid holds them.
    coarse = resize(field.density, -(-rows // _COARSER), -(-columns // _COARSER))
    soft = blur(coarse, 0.012)
    shadow = sum(warp(soft, far * to_x, far * to_y) for far in (0.02, 0.05, 0.1, 0.17))
    lit = resize(np.exp(-dice.uniform(0.05, 0.3) * shadow), rows, columns)

    # Some smoke shows every fold, some only its large masses.
    softness = dice.log_uniform(0.004, 0.03)
    relief = blur(field.relief, softness) * max(rows, columns)
    slope_x, slope_y = (
        cv2.Sobel(relief, cv2.CV_32F, *axis, ksize=1, scale=0.5) for axis in ((1, 0), (0, 1))
    )
    facing = (0.6 - slope_x * to_x - slope_y * to_y) / np.sqrt(1 + slope_x**2 + slope_y**2)
    facing = blur(np.clip(facing, -1, 1.2), 0.4 * softness)

    # Dark smoke absorbs, bright smoke scatters until shadows fill up.
    contrast = dice.uniform(0.05, 0.42)
    gain = 1 + contrast * (0.9 * (lit - 0.6) + 0.8 * (facing - 0.5))
    deep = dice.uniform(0.9, 1.0) + (1 - dice.uniform(0.9, 1.0)) * lit
    return gain * deep
