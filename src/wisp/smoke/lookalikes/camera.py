"""Pictures that hide their scene as smoke does, by the camera's fault: blurred, dark, glaring,
or seen through a lens that has steamed up.

All is computed on light, which a picture's values stand for to the power of 1/2: near enough to
sRGB, and quick. Whatever is smooth is computed on a reduced picture and enlarged.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np

from wisp.smoke.noise import (
    MOST_CELLS,
    Dice,
    Floats,
    Pixels,
    cell_px,
    coordinates,
    enlarged_rows,
    fbm,
    grid_shape,
    upper,
)
from wisp.smoke.noise import blur as gauss

_BLOCK_ROWS = 128
_KERNEL_PX = 6
"""Radius that a blur has on the reduced picture, at least, where the picture is large enough."""
_BLOTCH_CELLS = 70
_LIGHT = (np.arange(256, dtype=np.float32) / 255) ** 2

Change = Callable[[Floats, int, int], Floats]
"""Light [bottom - top, W, 3] in [0, 1], ``top``, ``bottom`` → light of any range."""


def blur(dice: Dice, pixels: Pixels) -> None:
    """Out of focus, or moved while the shutter was open; light is moved, none is made or lost."""
    long_side = max(pixels.shape[:2])
    if dice.coin(0.5):
        radius_px = dice.log_uniform(0.004, 0.013) * long_side
        factor = max(1, int(radius_px / _KERNEL_PX))
        kernel = disc_kernel(radius_px / factor)
    else:
        length_px = dice.log_uniform(0.012, 0.045) * long_side
        factor = max(1, int(length_px / 2 / _KERNEL_PX))
        angle, bend = dice.uniform(-math.pi, math.pi), dice.uniform(-0.4, 0.4)
        kernel = path_kernel(length_px / factor, angle, bend)
    small = reduced_light(pixels, factor)
    soft = cv2.filter2D(small, -1, kernel, borderType=cv2.BORDER_REPLICATE)
    _change_light(
        pixels, lambda light, top, bottom: enlarged_rows(soft, factor, top, bottom, light.shape[1])
    )


def lowlight(dice: Dice, pixels: Pixels) -> None:
    """Too little light: dark, noisy, tinted by the lamp that is left, blotchy in its colours."""
    small, _ = _reduced(pixels)
    wanted = dice.uniform(0.12, 0.28)
    exposure = min(0.5, (wanted / max(float(np.sqrt(small).mean()), 0.02)) ** 2)
    lamp = (1.25, 0.95, 0.6) if dice.coin(0.65) else (0.75, 0.98, 1.2)
    tint = 1 + dice.uniform(0.1, 0.9) * (np.array(lamp, np.float32) - 1)
    # Counting photons: of the same size everywhere once the square root of light is taken.
    grain, colour_grain = dice.uniform(0.012, 0.035), dice.uniform(0.008, 0.025)
    blotches = dice.uniform(0.004, 0.011) * _blotches(dice, *grid_shape(*pixels.shape[:2]))
    side = cell_px(*pixels.shape[:2])
    lamps = dice.uniform(0.0, 0.7)
    gain = exposure * tint

    def change(light: Floats, top: int, bottom: int) -> Floats:
        # What is bright by itself, a lamp or a window, stays bright.
        dark = light * gain
        value = np.sqrt(dark + lamps * light**8 * (light - dark))
        value += grain * dice.normal(*value.shape[:2], 1)
        value += colour_grain * dice.normal(*value.shape)
        value += enlarged_rows(blotches, side, top, bottom, value.shape[1])
        squared: Floats = np.maximum(value, 0) ** 2
        return squared

    _change_light(pixels, change)


def overexposed(dice: Dice, pixels: Pixels) -> None:
    """Too much light: highlights are clipped, and spill over what is next to them."""
    small, factor = _reduced(pixels)
    # So many of the pixels keep their drawing; a picture that is bright already gets a little more.
    kept = upper(small.max(-1).ravel(), dice.uniform(0.45, 0.85))
    gain = min(6.0, max(1.25, 1 / max(kept, 1e-3)))
    spilled = np.clip(gain * small - 1, 0, 2)
    glow = dice.uniform(0.1, 0.35) * gauss(spilled, dice.uniform(0.008, 0.02))
    glow += dice.uniform(0.05, 0.2) * gauss(spilled, dice.uniform(0.04, 0.1))
    width = pixels.shape[1]

    def change(light: Floats, top: int, bottom: int) -> Floats:
        result: Floats = gain * light + enlarged_rows(glow, factor, top, bottom, width)
        return result

    _change_light(pixels, change)


def fog_lens(dice: Dice, pixels: Pixels) -> None:
    """A lens that has steamed up, in blotches, towards the rim, or both: part of the light of each
    point is scattered around it, part over the whole picture."""
    small, factor = _reduced(pixels)
    near = gauss(small, dice.log_uniform(0.012, 0.04))
    far = gauss(small, dice.uniform(0.12, 0.25))
    scattered = (near + dice.uniform(0.25, 0.6) * (far - near)) * dice.uniform(1.0, 1.2)
    cover = _condensation(dice, *small.shape[:2])

    def change(light: Floats, top: int, bottom: int) -> Floats:
        fogged, share = (
            enlarged_rows(part, factor, top, bottom, light.shape[1]) for part in (scattered, cover)
        )
        result: Floats = light + share[..., None] * (fogged - light)
        return result

    _change_light(pixels, change)


def disc_kernel(radius_px: float) -> Floats:
    """A disc [k, k] that sums to 1: what a point out of focus becomes."""
    reach = math.ceil(radius_px) + 1
    steps = np.arange(-reach, reach + 1, dtype=np.float32)
    weights: Floats = np.clip(radius_px + 0.5 - np.hypot(steps[:, None], steps), 0, 1)
    weights /= weights.sum()
    return weights


def path_kernel(length_px: float, angle: float, bend: float) -> Floats:
    """A bent line [k, k] that sums to 1: the way of the picture while the shutter was open.

    ``bend`` is its sagitta over half its length.
    """
    part = np.linspace(-1, 1, 65, dtype=np.float32)
    along = part * length_px / 2
    aside = bend * length_px / 2 * (part**2 - 1 / 3)
    x = along * math.cos(angle) - aside * math.sin(angle)
    y = along * math.sin(angle) + aside * math.cos(angle)
    reach = math.ceil(float(np.hypot(x, y).max())) + 1
    steps = np.arange(-reach, reach + 1, dtype=np.float32)
    across = np.maximum(1 - np.abs(x[:, None] - steps), 0)
    down = np.maximum(1 - np.abs(y[:, None] - steps), 0)
    weights: Floats = np.einsum("ni,nj->ij", down, across)
    weights /= weights.sum()
    return weights


def reduced_light(pixels: Pixels, factor: int) -> Floats:
    """Mean light [⌈H / factor⌉, ⌈W / factor⌉, 3] in [0, 1] of ``pixels`` [H, W, 3]."""
    height, width = pixels.shape[:2]
    columns = -(-width // factor)
    rows = max(1, _BLOCK_ROWS // factor) * factor
    parts = []
    for top in range(0, height, rows):
        light: Floats = _LIGHT[pixels[top : top + rows]]
        tall = -(-len(light) // factor)
        over = (0, tall * factor - len(light), 0, columns * factor - width)
        light = cv2.copyMakeBorder(light, *over, cv2.BORDER_REPLICATE)
        parts.append(cv2.resize(light, (columns, tall), interpolation=cv2.INTER_AREA))
    return np.concatenate(parts)


def _reduced(pixels: Pixels) -> tuple[Floats, int]:
    """The light of a picture in small, and by what it is smaller."""
    factor = -(-max(pixels.shape[:2]) // MOST_CELLS)
    return reduced_light(pixels, factor), factor


def _change_light(pixels: Pixels, change: Change) -> None:
    """Replace ``pixels`` [H, W, 3] by what ``change`` makes of their light."""
    for top in range(0, len(pixels), _BLOCK_ROWS):
        rows = pixels[top : top + _BLOCK_ROWS]
        light = change(_LIGHT[rows], top, top + len(rows))
        rows[:] = np.sqrt(np.clip(light, 0, 1)) * 255 + 0.5


def _blotches(dice: Dice, rows: int, columns: int) -> Floats:
    """Colour noise [rows, columns, 3] as coarse as a camera's denoising leaves it; deviation about
    1."""
    across = max(2, round(_BLOTCH_CELLS * columns / max(rows, columns)))
    down = max(2, round(_BLOTCH_CELLS * rows / max(rows, columns)))
    return 1.3 * cv2.resize(
        dice.normal(down, across, 3), (columns, rows), interpolation=cv2.INTER_CUBIC
    )


def _condensation(dice: Dice, rows: int, columns: int) -> Floats:
    """How much of the light the droplets scatter: [rows, columns] in [0, 0.9]."""
    x, y = coordinates(rows, columns)
    right, bottom = columns / max(rows, columns), rows / max(rows, columns)
    where = dice.pick(("blotches", "rim", "both"), (0.4, 0.3, 0.3))
    cover = np.zeros((rows, columns), np.float32)
    if where != "rim":
        cloud = fbm(dice, rows, columns, cells=dice.uniform(1.2, 3.0), octaves=3)
        soft = dice.uniform(0.25, 0.7)
        cover = _sigmoid((cloud - dice.uniform(-1.2, 0.2)) / soft)
    if where != "blotches":
        edge = 0.06 * fbm(dice, rows, columns, cells=dice.uniform(2.0, 4.0), octaves=3)
        from_middle = np.hypot(
            (x - right * dice.uniform(0.35, 0.65)) / right,
            (y - bottom * dice.uniform(0.35, 0.65)) / bottom,
        )
        rim = _sigmoid((from_middle + edge - dice.uniform(0.15, 0.38)) / 0.06)
        cover = np.maximum(cover, rim)
    return dice.uniform(0.55, 0.9) * cover


def _sigmoid(values: Floats) -> Floats:
    return 1 / (1 + np.exp(-values))
