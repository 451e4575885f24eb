"""Smoke that rises from a chosen place, such as a burner.

A plume begins as wide as its source, widens linearly as it rises and thins as it widens, so that as
much smoke passes at every height. It has coordinates of its own, across in half-widths from its
axis and along in half-widths travelled, so that its eddies grow as it does. What fills it, noise or
real smoke, is read at these coordinates.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from wisp.smoke.fields import Field
from wisp.smoke.noise import MOST_CELLS, Dice, Floats, coordinates, fbm, noise_at, read

# Above the floor a plume comes to its full density within so much of its box.
_ONSET = 0.5
_LEAST_HALF_WIDTH = 0.008
_EDGE = 0.1


@dataclasses.dataclass(frozen=True)
class SourceBox:
    """Where smoke comes from: left ``x``, top ``y``, ``width`` and ``height``, in fractions of the
    picture's width and height; of some area. A box that a user names is inside the picture."""

    x: float
    y: float
    width: float
    height: float


@dataclasses.dataclass(frozen=True)
class Plume:
    """A plume's geometry on the smoke grid, [h, w] or [h, 1].

    ``across`` and ``along`` are its own coordinates (half-widths), torn by turbulence;
    ``half_width`` is in fractions of the long side; ``onset`` rises from exactly 0 at the bottom of
    the source's box to 1 inside it; ``calm`` falls from 1 at the source, where the flow is smooth,
    to 0; ``thinning`` is 1 at the source and falls as 1 / width.
    """

    across: Floats
    along: Floats
    half_width: Floats
    onset: Floats
    calm: Floats
    thinning: Floats

    def fill(self, texture: Floats) -> Field:
        """The plume, filled with ``texture`` [h, w] ≥ 0, mean about 1: density 1 at the source."""
        profile = np.exp(-(np.abs(self.across) ** 2.5))
        body = profile * (texture + self.calm * (1 - texture)) - _EDGE
        body = np.maximum(body, 0) * self.onset / (1 - _EDGE)
        # Seen from the front a plume is as deep as it is wide.
        relief = 0.5 * self.half_width * np.sqrt(np.minimum(body, 1.5))
        return Field(body * self.thinning, relief)

    def read(self, picture: Floats, across: float, along: float, shift: float = 0.0) -> Floats:
        """``picture`` [h, w, …], laid into the plume: [rows, columns, …].

        Its width spans ``across`` half-widths about the axis, its height ``along`` of them from the
        source up; it goes on mirrored. ``shift`` in [0, 1) begins higher up in it.
        """
        height, width = (side / max(picture.shape[:2]) for side in picture.shape[:2])
        x = width * (self.across / across + 0.5)
        return read(picture, x, height * (1 - self.along / along - shift))


def rising_plume(dice: Dice, rows: int, columns: int, source: SourceBox) -> Plume:
    """A plume that rises from ``source``, bends in the draught and meanders."""
    x, y = coordinates(rows, columns)
    right, bottom = columns / max(rows, columns), rows / max(rows, columns)
    width, height = source.width * right, source.height * bottom
    half = max(0.42 * width, _LEAST_HALF_WIDTH)
    floor = _floor(source, rows, columns)
    # Over a wide box it takes longer, lest its bottom show as a line, but within a flat one, too,
    # smoke must become dense.
    fade = max(min(_ONSET * height, half), min(0.15 * half, 0.75 * height), 0.015)

    spread = dice.log_uniform(0.08, 0.27)
    lean, bend = dice.uniform(-0.25, 0.25), dice.uniform(-0.45, 0.45)
    height_up = np.maximum(floor - 0.5 * fade - y, 0)
    half_width = half + spread * height_up
    along = np.log(half_width / half) / spread
    calm = np.exp(-0.5 * along)
    centre = (source.x + 0.5 * source.width) * right + 0.08 * width * dice.uniform(-1, 1)
    axis = centre + lean * height_up + bend * height_up**2
    still = Plume((x - axis) / half_width, along, half_width, calm, calm, half / half_width)

    # One large field for the meanders, a finer one for the eddies: both grow with the plume.
    meander, tear = dice.uniform(0.2, 0.6), dice.uniform(0.16, 0.34)
    slow = _noise_in(dice, still, cells=0.35, octaves=2)
    slow_axis = slow.mean(1, keepdims=True)
    across = still.across + meander * (1 - calm) * (0.6 * slow_axis + 0.5 * slow)
    bent = dataclasses.replace(still, across=across)
    dx, dy = (_noise_in(dice, bent, cells=0.8, octaves=5) for _ in range(2))
    rough = tear * (0.12 + 0.88 * (1 - calm))
    across, along = across + rough * dx, np.maximum(along + rough * dy, 0)

    # The base is round and ragged: no line shows where the box ends.
    ragged = fbm(dice, rows, columns, cells=min(max(0.5 / fade, 4.0), 20.0), octaves=4)
    rise = (floor - y) / fade - 0.25 * np.clip(across, -1.5, 1.5) ** 2
    rise = np.clip(rise - 0.2 * np.clip(1.5 + ragged, 0, 4), 0, 1) * (y < floor)
    onset = (rise * rise * (3 - 2 * rise)) ** 2
    return Plume(across, along, half_width, onset, calm, half / half_width)


def _floor(source: SourceBox, rows: int, columns: int) -> float:
    """y below which there is no smoke, in fractions of the grid's long side."""
    return (source.y + source.height) * rows / max(rows, columns) - _margin(rows, columns)


def _margin(rows: int, columns: int) -> float:
    """How far above the bottom of its box smoke ends, for the pixels below it to have none.

    A grid of few cells is that of a small picture, cell for pixel. Others are enlarged by curves
    that reach two cells far, and their last cell may reach over the picture's border.
    """
    long_side = max(rows, columns)
    return (3 if long_side > MOST_CELLS // 2 else 1) / long_side


def _noise_in(
    dice: Dice, plume: Plume, *, cells: float, octaves: int, billow: bool = False
) -> Floats:
    """Noise [h, w], mean about 0 and deviation about 1, of ``cells`` to a half-width."""
    across, along = cells * plume.across, cells * plume.along
    return noise_at(dice, across, along, octaves=octaves, billow=billow)


def smoke_texture(dice: Dice, plume: Plume) -> Floats:
    """A texture [h, w] ≥ 0 of mean about 1 for :meth:`Plume.fill`: billows or wisps by chance."""
    body = _noise_in(dice, plume, cells=dice.uniform(0.6, 1.2), octaves=6, billow=dice.coin(0.5))
    return np.maximum(1 + dice.uniform(0.25, 0.55) * body, 0)


def mobility(source: SourceBox, rows: int, columns: int) -> Floats:
    """How freely smoke from ``source`` moves, [rows, 1]: 0 below and where the plume begins, so
    that the source never runs dry, whatever is carried off above; 1 well above."""
    _, y = coordinates(rows, columns)
    height = source.height * rows / max(rows, columns)
    full = _floor(source, rows, columns) - _ONSET * height - _margin(rows, columns)
    part = np.clip((full - y) / (height + 0.1), 0, 1)
    return part * (2 - part)
