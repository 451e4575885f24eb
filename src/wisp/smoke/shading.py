"""How smoke shades itself."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from wisp.smoke.fields import Field
from wisp.smoke.noise import Dice, blur, warp


def shading(dice: Dice, field: Field, light: float) -> Tensor:
    """Gain [h, w], about 1, of the airlight of smoke that is lit from one side.

    Two terms: light lost on the way through the smoke (a march through the blurred density
    towards the light) and the slope of the front surface. ``light`` in [-1, 1] is the light's
    side; it comes from above, now and then from below.
    """
    rows, columns = field.density.shape
    height = -0.9 if dice.coin(0.88) else 0.7
    norm = math.hypot(light, height)
    to_x, to_y = light / norm, height / norm
    soft = blur(field.density, 0.012)
    shadow = torch.zeros_like(soft)
    for distance in (0.02, 0.05, 0.1, 0.17):
        moved = torch.full_like(soft, distance)
        shadow += warp(soft, moved * to_x, moved * to_y)
    lit = torch.exp(-dice.uniform(0.05, 0.3) * shadow)

    # Some smoke shows every fold, some only its large masses.
    softness = dice.log_uniform(0.004, 0.03)
    relief = blur(field.relief, softness)
    scale = max(rows, columns)
    slope_y, slope_x = torch.gradient(relief)
    slope_x, slope_y = slope_x * scale, slope_y * scale
    facing = (0.6 - slope_x * to_x - slope_y * to_y) / torch.sqrt(1 + slope_x**2 + slope_y**2)
    facing = blur(facing.clamp(-1, 1.2), 0.4 * softness)

    # Dark smoke absorbs, bright smoke scatters until shadows fill up.
    contrast = dice.uniform(0.05, 0.42)
    gain = 1 + contrast * (0.9 * (lit - 0.6) + 0.8 * (facing - 0.5))
    deep = dice.uniform(0.9, 1.0) + (1 - dice.uniform(0.9, 1.0)) * lit
    return gain * deep
