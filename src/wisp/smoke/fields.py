"""Shapes of smoke: optical density on the smoke grid, from a ``torch.Generator``.

Every shape is an envelope (where smoke is) filled with domain-warped fractional Brownian motion
(how it is torn). Each returns a :class:`Field` whose density has its 98th percentile at 1, so that
the caller sets how opaque the smoke is, and is exactly 0 outside the smoke.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import torch
from torch import Tensor

from wisp.smoke.noise import Dice, blur, coordinates, fbm, resize, warp


@dataclasses.dataclass(frozen=True)
class Field:
    """``density`` [h, w] ≥ 0 and ``relief`` [h, w], the height of the smoke's front surface
    (fractions of the long side), from which its shading is computed."""

    density: Tensor
    relief: Tensor


def _field(density: Tensor, relief: Tensor | None = None) -> Field:
    density = density.clamp(min=0)
    top = torch.quantile(density.flatten(), 0.98)
    inside = density > 0.02 * density.max().clamp(min=1e-6)
    # A small puff fills less than 2 % of the picture: take its own upper end.
    if inside.float().mean() < 0.05 and bool(inside.any()):
        top = torch.quantile(density[inside], 0.9)
    density = density / top.clamp(min=1e-6)
    density = density.clamp(max=2.5)
    if relief is None:
        relief = 0.10 * (1 - torch.exp(-1.5 * density))
    return Field(density, relief)


def _turbulence(dice: Dice, rows: int, columns: int, cells: float) -> tuple[Tensor, Tensor]:
    """A displacement (dx, dy) of unit strength."""
    return (
        fbm(dice, rows, columns, cells=cells, octaves=5, gain=0.55),
        fbm(dice, rows, columns, cells=cells, octaves=5, gain=0.55),
    )


def texture(dice: Dice, rows: int, columns: int, cells: float, gain: float = 0.55) -> Tensor:
    """Domain-warped noise, billowy or wispy by chance: mean about 0, deviation about 1."""
    octaves = max(3, round(math.log2(160 / cells)))
    billow = dice.coin(0.5)
    field = fbm(dice, rows, columns, cells=cells, octaves=octaves, gain=gain, billow=billow)
    dx, dy = _turbulence(dice, rows, columns, cells)
    strength = dice.uniform(0.15, 0.45) / cells
    return warp(field, strength * dx, strength * dy)


def plume(dice: Dice, rows: int, columns: int) -> Field:
    """Smoke that rises from a source, widens, bends in the draught and tears at its edge.

    Now and then it shoots sideways, as from a fog machine or a pipe.
    """
    x, y = coordinates(rows, columns)
    right, bottom = columns / max(rows, columns), rows / max(rows, columns)
    jet = dice.coin(0.25)
    source_x = dice.uniform(-0.05, 1.05) * right
    source_y = dice.uniform(0.15, 1.05) * bottom
    if jet:
        angle = dice.uniform(-math.pi, math.pi)
        width, spread = dice.log_uniform(0.01, 0.04), dice.uniform(0.25, 0.6)
        length = dice.uniform(0.3, 1.0)
    else:
        source_y = max(source_y, dice.uniform(0.4, 1.05) * bottom)
        angle = math.pi / 2 + dice.uniform(-0.6, 0.6)
        width, spread = dice.log_uniform(0.012, 0.12), dice.uniform(0.12, 0.55)
        length = dice.uniform(0.35, 1.6)
    across, up = math.cos(angle), -math.sin(angle)
    bend = dice.uniform(-0.7, 0.7)

    dx, dy = _turbulence(dice, rows, columns, dice.uniform(3.0, 7.0))
    reach = (x - source_x) * across + (y - source_y) * up
    tear = dice.uniform(0.12, 0.34) * (width + spread * reach.clamp(0, 1.0)).clamp(max=0.3)
    wx, wy = x + tear * dx, y + tear * dy
    along = (wx - source_x) * across + (wy - source_y) * up
    aside = (wx - source_x) * -up + (wy - source_y) * across - bend * along.clamp(min=0) ** 2
    local = width + spread * along.clamp(min=0)
    distance = (aside / local) ** 2 + (along.clamp(max=0) / width) ** 2
    thinning = (width / local) ** dice.uniform(0.0, 0.9)
    envelope = torch.exp(-distance) * torch.exp(-((along.clamp(min=0) / length) ** 3))

    body = texture(dice, rows, columns, dice.uniform(3.5, 9.0))
    rough = dice.uniform(0.25, 0.6)
    density = (envelope * (1 + rough * body) - dice.uniform(0.06, 0.2)) * thinning
    return _field(density)


def bank(dice: Dice, rows: int, columns: int) -> Field:
    """A layer that hangs under the ceiling, or lies on the floor, with a torn boundary."""
    x, y = coordinates(rows, columns)
    bottom = rows / max(rows, columns)
    high = dice.coin(0.55)
    depth = dice.uniform(0.2, 0.85) * bottom
    height = y if high else bottom - y
    slope = dice.uniform(-0.35, 0.35)
    boundary = fbm(dice, rows, columns, cells=dice.uniform(1.5, 4.0), octaves=6, gain=0.5)
    ragged = dice.uniform(0.03, 0.11)
    soft = dice.log_uniform(0.05, 0.5)
    level = (depth - height + slope * (x - 0.5) + ragged * boundary) / soft
    body = texture(dice, rows, columns, dice.uniform(2.0, 6.0))
    envelope = 1 - torch.exp(-level.clamp(min=0))
    return _field(envelope * (1 + dice.uniform(0.12, 0.45) * body).clamp(min=0.0))


def burst(dice: Dice, rows: int, columns: int) -> Field:
    """A cloud of round heads, like cauliflower: a tree of puffs that grow from one another.

    Each puff is a ball; the optical path through the balls is the density and their common
    front surface the relief.
    """
    coarse_rows, coarse_columns = rows // 2, columns // 2
    x, y = coordinates(coarse_rows, coarse_columns)
    right, bottom = columns / max(rows, columns), rows / max(rows, columns)
    dx, dy = _turbulence(dice, coarse_rows, coarse_columns, dice.uniform(5.0, 9.0))
    tear = dice.uniform(0.008, 0.022)
    x, y = x + tear * dx, y + tear * dy

    size = dice.log_uniform(0.06, 0.34)
    centres = [(dice.uniform(0.0, 1.0) * right, dice.uniform(0.1, 1.0) * bottom, 0.0, size)]
    drift_x, drift_y = dice.uniform(-0.8, 0.8), dice.uniform(-1.1, 0.4)
    parents = 1
    for generation, children in enumerate((7, 28, 60)):
        numbers = dice.numbers(children, 5).tolist()
        first = len(centres) - parents
        for pick, turn, tilt, far, shrink in numbers:
            px, py, pz, pr = centres[first + int(pick * parents)]
            radius = pr * (0.45 + 0.4 * shrink)
            angle, lift = 2 * math.pi * turn, math.asin(2 * tilt - 1)
            step = pr * (0.7 + 0.5 * far)
            push = 1.3 * pr if generation == 0 else 0.3 * pr
            centres.append(
                (
                    px + step * math.cos(angle) * math.cos(lift) + push * drift_x,
                    py + step * math.sin(angle) * math.cos(lift) + push * drift_y,
                    pz + step * math.sin(lift),
                    radius,
                )
            )
        parents = children
    path = torch.zeros_like(x)
    front = torch.zeros_like(x)
    scale = max(coarse_rows, coarse_columns)
    margin = tear * float(torch.maximum(dx.abs().max(), dy.abs().max()))
    for cx, cy, cz, radius in centres:
        reach = radius + margin
        window = (
            slice(max(0, int((cy - reach) * scale)), max(0, int((cy + reach) * scale) + 2)),
            slice(max(0, int((cx - reach) * scale)), max(0, int((cx + reach) * scale) + 2)),
        )
        cap = (radius**2 - (x[window] - cx) ** 2 - (y[window] - cy) ** 2).clamp(min=0).sqrt()
        path[window] += cap
        front[window] = torch.maximum(front[window], torch.where(cap > 0, (cz + 0.5 + cap), 0.0))
    relief = torch.where(path > 0, front - 0.35, 0.0).clamp(min=0)

    path, relief = resize(path, rows, columns).clamp(min=0), resize(relief, rows, columns)
    body = texture(dice, rows, columns, dice.uniform(7.0, 14.0))
    soft = blur(path, dice.log_uniform(0.004, 0.03))
    edge = 0.25 * size
    density = (1 - torch.exp(-soft / edge)) * (1 + dice.uniform(0.1, 0.35) * body) - 0.06
    return _field(density, blur(relief, 0.004) + 0.006 * body * (density > 0))


def veil(dice: Dice, rows: int, columns: int) -> Field:
    """Haze over everything, with slow changes of density: a room filled with smoke."""
    x, y = coordinates(rows, columns)
    slow = fbm(dice, rows, columns, cells=dice.uniform(1.0, 2.5), octaves=3, gain=0.5)
    body = texture(dice, rows, columns, dice.uniform(1.5, 4.0), gain=0.5)
    angle = dice.uniform(-math.pi, math.pi)
    ramp = math.cos(angle) * (x - x.mean()) + math.sin(angle) * (y - y.mean())
    density = (
        1 + dice.uniform(0, 0.4) * slow + dice.uniform(0, 0.3) * body + dice.uniform(0, 1.3) * ramp
    )
    return _field(density.clamp(min=0.08))


def wisps(dice: Dice, rows: int, columns: int) -> Field:
    """Thin strands that curl upwards: ridges of stretched, strongly warped noise."""
    x, y = coordinates(rows, columns)
    right, bottom = columns / max(rows, columns), rows / max(rows, columns)
    cells = dice.uniform(2.5, 6.0)
    strands = fbm(
        dice,
        rows,
        columns,
        cells=cells,
        octaves=4,
        gain=0.5,
        stretch=(1.0, dice.uniform(1.5, 4.0)),
    )
    dx, dy = _turbulence(dice, rows, columns, dice.uniform(2.0, 4.0))
    strength = dice.uniform(0.05, 0.12)
    ridges = 1 - warp(strands, strength * dx, strength * dy).abs() / dice.uniform(0.5, 1.0)
    centre_x, centre_y = dice.uniform(0.1, 0.9) * right, dice.uniform(0.2, 0.8) * bottom
    wide, tall = dice.uniform(0.12, 0.4), dice.uniform(0.25, 0.6)
    place = torch.exp(
        -(((x + 0.08 * dx - centre_x) / wide) ** 2) - ((y + 0.08 * dy - centre_y) / tall) ** 2
    )
    density = place * (ridges.clamp(min=0) ** 1.5 + dice.uniform(0.1, 0.4)) - 0.07
    return _field(density)


SHAPES: dict[str, Callable[[Dice, int, int], Field]] = {
    "plume": plume,
    "bank": bank,
    "burst": burst,
    "veil": veil,
    "wisps": wisps,
}
"""The shapes by name."""
