"""Shapes of smoke: optical density on the smoke grid, from a :class:`~wisp.smoke.noise.Dice`.

Every shape is an envelope (where smoke is) filled with domain-warped fractional Brownian motion
(how it is torn). Each returns a :class:`Field` whose density has its 98th percentile at 1, so that
the caller sets how opaque the smoke is, and is exactly 0 outside the smoke.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from wisp.smoke.noise import Dice, Floats, blur, coordinates, fbm, resize, upper, warp


@dataclasses.dataclass(frozen=True)
class Field:
    """``density`` [h, w] ≥ 0 and ``relief`` [h, w], the height of the smoke's front surface
    (fractions of the long side), from which its shading is computed."""

    density: Floats
    relief: Floats


def _field(density: Floats, relief: Floats | None = None) -> Field:
    sample = density[::2, ::2].ravel()
    inside = sample[sample > 0.02 * max(float(sample.max()), 1e-6)]
    # A small puff fills less than 2 % of the picture: take its own upper end.
    small = 0 < inside.size < 0.05 * sample.size
    top = upper(inside, 0.9) if small else upper(sample, 0.98)
    density = np.clip(density / max(top, 1e-6), 0, 2.5)
    if relief is None:
        relief = 0.10 * (1 - np.exp(-1.5 * density))
    return Field(density, relief)


def _turbulence(dice: Dice, rows: int, columns: int, cells: float) -> tuple[Floats, Floats]:
    """A displacement (dx, dy) of unit strength."""
    dx, dy = (fbm(dice, rows, columns, cells=cells, octaves=5) for _ in range(2))
    return dx, dy


def texture(dice: Dice, rows: int, columns: int, cells: float) -> Floats:
    """Domain-warped noise, billowy or wispy by chance: mean about 0, deviation about 1."""
    octaves = max(3, round(math.log2(160 / cells)))
    field = fbm(dice, rows, columns, cells=cells, octaves=octaves, billow=dice.coin(0.5))
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
    tear = dice.uniform(0.12, 0.34) * np.minimum(width + spread * np.clip(reach, 0, 1), 0.3)
    wx, wy = x + tear * dx, y + tear * dy
    along = (wx - source_x) * across + (wy - source_y) * up
    risen = np.maximum(along, 0)
    aside = (wx - source_x) * -up + (wy - source_y) * across - bend * risen * risen
    local = width + spread * risen
    distance = (aside / local) ** 2 + (np.minimum(along, 0) / width) ** 2
    far = risen / length
    thinning = (width / local) ** dice.uniform(0.0, 0.9)
    envelope = np.exp(-distance - far * far * far)

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
    boundary = fbm(dice, rows, columns, cells=dice.uniform(1.5, 4.0), octaves=6)
    ragged = dice.uniform(0.03, 0.11)
    soft = dice.log_uniform(0.05, 0.5)
    level = (depth - height + slope * (x - 0.5) + ragged * boundary) / soft
    body = texture(dice, rows, columns, dice.uniform(2.0, 6.0))
    envelope = 1 - np.exp(-np.maximum(level, 0))
    return _field(envelope * np.maximum(1 + dice.uniform(0.12, 0.45) * body, 0))


def burst(dice: Dice, rows: int, columns: int) -> Field:
    """A cloud of round heads, like cauliflower: a tree of puffs that grow from one another.

    Each puff is a ball; the optical path through the balls is the density and their common
    front surface the relief; both are torn by turbulence.
    """
    right, bottom = columns / max(rows, columns), rows / max(rows, columns)
    size = dice.log_uniform(0.06, 0.34)
    path, front = _balls(_puffs(dice, right, bottom, size), -(-rows // 2), -(-columns // 2))
    dx, dy = _turbulence(dice, -(-rows // 2), -(-columns // 2), dice.uniform(5.0, 9.0))
    tear = dice.uniform(0.008, 0.022)
    path, relief = (
        resize(warp(part, tear * dx, tear * dy), rows, columns)
        for part in (path, np.maximum(front - 0.35, 0))
    )
    body = texture(dice, rows, columns, dice.uniform(7.0, 14.0))
    soft = blur(path, dice.log_uniform(0.004, 0.03))
    edge = 0.25 * size
    density = (1 - np.exp(soft / -edge)) * (1 + dice.uniform(0.1, 0.35) * body) - 0.06
    return _field(density, blur(relief, 0.004) + 0.006 * body * (density > 0))


def _puffs(dice: Dice, right: float, bottom: float, size: float) -> list[list[float]]:
    """Centres x, y, z and radii of balls: one of ``size``, and three generations of smaller
    ones."""
    puffs = [[dice.uniform(0.0, 1.0) * right, dice.uniform(0.1, 1.0) * bottom, 0.0, size]]
    drift_x, drift_y = dice.uniform(-0.8, 0.8), dice.uniform(-1.1, 0.4)
    parents = puffs
    for children in (7, 28, 60):
        pushed = 1.3 if len(parents) == 1 else 0.3
        born = []
        for pick, turn, tilt, far, shrink in dice.numbers(children, 5).tolist():
            x, y, z, radius = parents[int(pick * len(parents))]
            angle, lift = 2 * math.pi * turn, math.asin(2 * tilt - 1)
            step, push = radius * (0.7 + 0.5 * far), pushed * radius
            x += step * math.cos(angle) * math.cos(lift) + push * drift_x
            y += step * math.sin(angle) * math.cos(lift) + push * drift_y
            born.append([x, y, z + step * math.sin(lift), radius * (0.45 + 0.4 * shrink)])
        puffs = puffs + born
        parents = born
    return puffs


def _balls(puffs: list[list[float]], rows: int, columns: int) -> tuple[Floats, Floats]:
    """How far a look goes through the balls, and how near the nearest front is, from 0.5 at the
    middle of the first: [rows, columns], 0 beside them."""
    x, y = (part.ravel() for part in coordinates(rows, columns))
    path, front = np.zeros((2, rows, columns), np.float32)
    scale = max(rows, columns)
    for cx, cy, cz, radius in puffs:
        left, right, top, bottom = (
            max(0, math.ceil((place + reach) * scale - 0.5))
            for place in (cx, cy)
            for reach in (-radius, radius)
        )
        square = radius**2 - (y[top:bottom, None] - cy) ** 2 - (x[left:right] - cx) ** 2
        cap = np.sqrt(np.maximum(square, 0))
        path[top:bottom, left:right] += cap
        near = front[top:bottom, left:right]
        np.maximum(near, (cap + (cz + 0.5)) * (cap > 0), out=near)
    return path, front


def veil(dice: Dice, rows: int, columns: int) -> Field:
    """Haze over everything, with slow changes of density: a room filled with smoke."""
    x, y = coordinates(rows, columns)
    slow = fbm(dice, rows, columns, cells=dice.uniform(1.0, 2.5), octaves=3)
    body = texture(dice, rows, columns, dice.uniform(1.5, 4.0))
    angle = dice.uniform(-math.pi, math.pi)
    ramp = math.cos(angle) * (x - x.mean()) + math.sin(angle) * (y - y.mean())
    density = (
        1 + dice.uniform(0, 0.4) * slow + dice.uniform(0, 0.3) * body + dice.uniform(0, 1.3) * ramp
    )
    return _field(np.maximum(density, 0.08))


def wisps(dice: Dice, rows: int, columns: int) -> Field:
    """Thin strands that curl upwards: ridges of stretched, strongly warped noise."""
    x, y = coordinates(rows, columns)
    right, bottom = columns / max(rows, columns), rows / max(rows, columns)
    cells = dice.uniform(2.5, 6.0)
    stretch = (1.0, dice.uniform(1.5, 4.0))
    strands = fbm(dice, rows, columns, cells=cells, octaves=4, stretch=stretch)
    dx, dy = _turbulence(dice, rows, columns, dice.uniform(2.0, 4.0))
    strength = dice.uniform(0.05, 0.12)
    ridges = 1 - np.abs(warp(strands, strength * dx, strength * dy)) / dice.uniform(0.5, 1.0)
    centre_x, centre_y = dice.uniform(0.1, 0.9) * right, dice.uniform(0.2, 0.8) * bottom
    wide, tall = dice.uniform(0.12, 0.4), dice.uniform(0.25, 0.6)
    place = np.exp(
        -(((x + 0.08 * dx - centre_x) / wide) ** 2) - ((y + 0.08 * dy - centre_y) / tall) ** 2
    )
    density = place * (np.maximum(ridges, 0) ** 1.5 + dice.uniform(0.1, 0.4)) - 0.07
    return _field(density)


SHAPES: dict[str, Callable[[Dice, int, int], Field]] = {
    "plume": plume,
    "bank": bank,
    "burst": burst,
    "veil": veil,
    "wisps": wisps,
}
"""The shapes by name."""
