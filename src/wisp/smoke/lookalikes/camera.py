"""Pictures that hide their scene as smoke does, by the camera's fault: blurred, dark, glaring,
or seen through a lens that has steamed up.

All is computed on light, which a picture's values stand for to the power of 1/2: near enough to
sRGB, and quick. Whatever is smooth is computed on a reduced picture and enlarged.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from wisp.smoke.noise import GRID_PX, Dice, RowBlocks, coordinates, fbm, grid_shape
from wisp.smoke.noise import blur as gauss

_BLOCK_ROWS = 128
_KERNEL_PX = 6
"""Radius that a blur has on the reduced picture, at least, where the picture is large enough."""

Change = Callable[[Tensor, int, int], Tensor]
"""Light [3, bottom - top, W] in [0, 1], ``top``, ``bottom`` → light of any range."""


def blur(dice: Dice, pixels: Tensor) -> None:
    """Out of focus, or moved while the shutter was open; light is moved, none is made or lost."""
    height, width = pixels.shape[:2]
    long_side = max(height, width)
    if dice.coin(0.5):
        radius_px = dice.log_uniform(0.004, 0.013) * long_side
        factor = max(1, int(radius_px / _KERNEL_PX))
        kernel = disc_kernel(radius_px / factor)
    else:
        length_px = dice.log_uniform(0.012, 0.045) * long_side
        factor = max(1, int(length_px / 2 / _KERNEL_PX))
        angle, bend = dice.uniform(-math.pi, math.pi), dice.uniform(-0.4, 0.4)
        kernel = path_kernel(length_px / factor, angle, bend)
    soft = RowBlocks(_convolve(reduced_light(pixels, factor), kernel), height, width)
    _change_light(pixels, lambda _, top, bottom: soft(top, bottom))


def lowlight(dice: Dice, pixels: Tensor) -> None:
    """Too little light: dark, noisy, tinted by the lamp that is left, blotchy in its colours."""
    height, width = pixels.shape[:2]
    small = reduced_light(pixels, -(-max(height, width) // GRID_PX))
    wanted = dice.uniform(0.12, 0.28)
    exposure = min(0.5, (wanted / float(small.sqrt().mean().clamp(min=0.02))) ** 2)
    warm, cold = torch.tensor([1.25, 0.95, 0.6]), torch.tensor([0.75, 0.98, 1.2])
    tint = torch.lerp(torch.ones(3), warm if dice.coin(0.65) else cold, dice.uniform(0.1, 0.9))
    # Counting photons: of the same size everywhere once the square root of light is taken.
    grain, colour_grain = dice.uniform(0.012, 0.035), dice.uniform(0.008, 0.025)
    blotches = RowBlocks(_blotches(dice, height, width), height, width)
    depth = dice.uniform(0.004, 0.011)
    lamps = dice.uniform(0.0, 0.7)
    gain = (exposure * tint)[:, None, None]

    def change(light: Tensor, top: int, bottom: int) -> Tensor:
        # What is bright by itself, a lamp or a window, stays bright.
        value = (light * gain).lerp_(light, lamps * light**8).sqrt_()
        value.add_(dice.normal(bottom - top, width), alpha=grain)
        value.add_(dice.normal(3, bottom - top, width), alpha=colour_grain)
        value.add_(blotches(top, bottom), alpha=depth)
        return value.clamp_(min=0).square_()

    _change_light(pixels, change)


def overexposed(dice: Dice, pixels: Tensor) -> None:
    """Too much light: highlights are clipped, and spill over what is next to them."""
    height, width = pixels.shape[:2]
    small = reduced_light(pixels, -(-max(height, width) // GRID_PX))
    # So many of the pixels keep their drawing; a picture that is bright already gets a little more.
    kept = torch.quantile(small.amax(0).flatten(), dice.uniform(0.45, 0.85))
    gain = min(6.0, max(1.25, 1 / float(kept.clamp(min=1e-3))))
    spilled = (gain * small - 1).clamp(0, 2)
    glow = dice.uniform(0.1, 0.35) * _blurred(spilled, dice.uniform(0.008, 0.02))
    glow += dice.uniform(0.05, 0.2) * _blurred(spilled, dice.uniform(0.04, 0.1))
    bloom = RowBlocks(glow, height, width)
    _change_light(pixels, lambda light, top, bottom: light.mul_(gain).add_(bloom(top, bottom)))


def fog_lens(dice: Dice, pixels: Tensor) -> None:
    """A lens that has steamed up, in blotches, towards the rim, or both: part of the light of each
    point is scattered around it, part over the whole picture."""
    height, width = pixels.shape[:2]
    small = reduced_light(pixels, -(-max(height, width) // GRID_PX))
    near = _blurred(small, dice.log_uniform(0.012, 0.04))
    far = _blurred(small, dice.uniform(0.12, 0.25))
    scattered = torch.lerp(near, far, dice.uniform(0.25, 0.6)) * dice.uniform(1.0, 1.2)
    fogged = RowBlocks(scattered, height, width)
    cover = RowBlocks(_condensation(dice, *grid_shape(height, width)), height, width)
    _change_light(
        pixels,
        lambda light, top, bottom: torch.lerp(light, fogged(top, bottom), cover(top, bottom)),
    )


def disc_kernel(radius_px: float) -> Tensor:
    """A disc [k, k] that sums to 1: what a point out of focus becomes."""
    reach = math.ceil(radius_px) + 1
    steps = torch.arange(-reach, reach + 1)
    weights = (radius_px + 0.5 - torch.hypot(steps[:, None].float(), steps.float())).clamp(0, 1)
    return weights / weights.sum()


def path_kernel(length_px: float, angle: float, bend: float) -> Tensor:
    """A bent line [k, k] that sums to 1: the way of the picture while the shutter was open.

    ``bend`` is its sagitta over half its length.
    """
    along = torch.linspace(-1, 1, 65) * length_px / 2
    aside = bend * length_px / 2 * (torch.linspace(-1, 1, 65) ** 2 - 1 / 3)
    x = along * math.cos(angle) - aside * math.sin(angle)
    y = along * math.sin(angle) + aside * math.cos(angle)
    reach = math.ceil(float(torch.hypot(x, y).max())) + 1
    steps = torch.arange(-reach, reach + 1)
    across = (1 - (x[:, None] - steps).abs()).clamp(min=0)
    down = (1 - (y[:, None] - steps).abs()).clamp(min=0)
    weights = down.T @ across
    return weights / weights.sum()


def reduced_light(pixels: Tensor, factor: int) -> Tensor:
    """Mean light [3, ⌈H / factor⌉, ⌈W / factor⌉] in [0, 1] of uint8 [H, W, 3]."""
    rows = max(1, _BLOCK_ROWS // factor) * factor
    parts = [
        F.avg_pool2d(_light(pixels[top : top + rows]), factor, ceil_mode=True)
        for top in range(0, pixels.shape[0], rows)
    ]
    return torch.cat(parts, 1)


def _light(rows: Tensor) -> Tensor:
    return rows.permute(2, 0, 1).float().div_(255).square_()


def _change_light(pixels: Tensor, change: Change) -> None:
    """Replace ``pixels`` uint8 [H, W, 3] by what ``change`` makes of their light."""
    for top in range(0, pixels.shape[0], _BLOCK_ROWS):
        rows = pixels[top : top + _BLOCK_ROWS]
        light = change(_light(rows), top, top + rows.shape[0])
        value = light.clamp(0, 1).sqrt_().mul_(255).add_(0.5)
        rows.copy_(value.to(torch.uint8).permute(1, 2, 0))


def _convolve(light: Tensor, kernel: Tensor) -> Tensor:
    """``light`` [3, h, w] under ``kernel`` [k, k]; the border is continued outwards."""
    reach = kernel.shape[0] // 2
    padded = F.pad(light[None], (reach, reach, reach, reach), mode="replicate")
    return F.conv2d(padded, kernel.expand(3, 1, -1, -1), groups=3)[0]


def _blurred(light: Tensor, sigma: float) -> Tensor:
    return torch.stack([gauss(channel, sigma) for channel in light])


def _blotches(dice: Dice, height: int, width: int) -> Tensor:
    """Colour noise [3, h, w] as coarse as a camera's denoising leaves it; deviation about 1."""
    rows, columns = grid_shape(height, width)
    return torch.stack([fbm(dice, rows, columns, cells=70.0, octaves=2) for _ in range(3)])


def _condensation(dice: Dice, rows: int, columns: int) -> Tensor:
    """How much of the light the droplets scatter: [rows, columns] in [0, 0.9]."""
    x, y = coordinates(rows, columns)
    right, bottom = columns / max(rows, columns), rows / max(rows, columns)
    where = dice.pick(("blotches", "rim", "both"), (0.4, 0.3, 0.3))
    cover = torch.zeros(rows, columns)
    if where != "rim":
        cloud = fbm(dice, rows, columns, cells=dice.uniform(1.2, 3.0), octaves=3, gain=0.4)
        soft = dice.uniform(0.25, 0.7)
        cover = torch.sigmoid((cloud - dice.uniform(-1.2, 0.2)) / soft)
    if where != "blotches":
        edge = 0.06 * fbm(dice, rows, columns, cells=dice.uniform(2.0, 4.0), octaves=3, gain=0.45)
        from_middle = torch.hypot(
            (x - right * dice.uniform(0.35, 0.65)) / right,
            (y - bottom * dice.uniform(0.35, 0.65)) / bottom,
        )
        rim = torch.sigmoid((from_middle + edge - dice.uniform(0.15, 0.38)) / 0.06)
        cover = torch.maximum(cover, rim)
    return dice.uniform(0.55, 0.9) * cover
