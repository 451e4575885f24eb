"""Random textures and resampling on the smoke grid: what smoke is built of.

Fields are float32 arrays [rows, columns], and pictures [rows, columns, channels], on a grid whose
cells are a whole number of pixels. Coordinates are fractions of the grid's long side, and what is
drawn does not depend on its size: smoke looks the same at every resolution.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

# Threads that OpenCV keeps do not survive a fork, and loaders fork; grids are too small for any.
cv2.setNumThreads(1)

Floats = NDArray[Any]  # OpenCV's annotations know no float32
"""A field or picture of float32."""
Pixels = NDArray[np.uint8]
"""A picture of 8 bits."""

MOST_CELLS = 384
"""Cells along the long side of a grid, at most."""
FEWER_CELLS = 192
"""As many for smoke that has no finer folds: that of real photos, which R lifts in small."""
REACH = 2
"""Cells within which a pixel depends on the grid."""
_TILE_CELLS = 24
_TILE_SEED = 1985
_GAIN = 0.55
_MOST_OCTAVES = 6
_LINES_PX = 4
_TRACE = 1e-6
_BLUR_CELLS = 2.5


class Dice:
    """Readable draws, fixed by a ``seed``."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed % 2**64)

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """A number from [low, high)."""
        return low + (high - low) * self._random.random()

    def log_uniform(self, low: float, high: float) -> float:
        """A number from [low, high), equally often per octave."""
        return math.exp(self.uniform(math.log(low), math.log(high)))

    def coin(self, probability: float) -> bool:
        """True with ``probability``."""
        return self._random.random() < probability

    def index(self, count: int) -> int:
        """A number from 0 to ``count - 1``."""
        return int(self._random.random() * count)

    def pick(self, names: Sequence[str], weights: Sequence[float]) -> str:
        """One of ``names``, as often as ``weights`` say."""
        left = self._random.random() * sum(weights)
        for name, weight in zip(names, weights, strict=True):  # noqa: B007
            left -= weight
            if left < 0:
                break
        return name

    def seed(self) -> int:
        """A seed for draws that others do not depend on."""
        return int(self._random.random() * 2**53)

    def normal(self, *shape: int) -> Floats:
        """Standard normal numbers of ``shape``."""
        return self._random.standard_normal(shape, np.float32)

    def numbers(self, *shape: int) -> Floats:
        """Uniform numbers from [0, 1) of ``shape``."""
        return self._random.random(shape, np.float32)


def cell_px(height: int, width: int, most: int = MOST_CELLS) -> int:
    """Side [px] of a cell of the smoke grid of a picture of ``height`` x ``width`` px, which has
    at most ``most`` along its long side."""
    side = -(-max(height, width) // most)
    return side if side <= 2 * _LINES_PX else -(-side // _LINES_PX) * _LINES_PX


def grid_shape(height: int, width: int, most: int = MOST_CELLS) -> tuple[int, int]:
    """Rows and columns of the smoke grid; the last of them may reach over the picture's border."""
    side = cell_px(height, width, most)
    return -(-height // side), -(-width // side)


@functools.lru_cache(maxsize=32)
def coordinates(rows: int, columns: int) -> tuple[Floats, Floats]:
    """x [1, columns] and y [rows, 1] of the cells' centres; shared, do not write to them."""
    x, y = (
        (np.arange(count, dtype=np.float32) + 0.5) / max(rows, columns) for count in (columns, rows)
    )
    return x[None], y[:, None]


def resize(field: Floats, rows: int, columns: int) -> Floats:
    """``field`` [h, w, …] brought to [rows, columns, …]: means where it shrinks, straight lines
    where it grows."""
    smaller = min(rows, field.shape[0]), min(columns, field.shape[1])
    if field.shape[:2] != smaller:
        field = cv2.resize(field, smaller[::-1], interpolation=cv2.INTER_AREA)
    if smaller != (rows, columns):
        field = cv2.resize(field, (columns, rows), interpolation=cv2.INTER_LINEAR)
    return field


def magnified(field: Floats, side: int, smooth: bool = False) -> Floats:
    """``field`` [h, w, …], ``side`` times as large, by straight lines.

    If ``smooth``, without their bends: means over about a cell make quadratic B-splines of the
    lines. Straight ones stay, what is ≥ 0 stays so, and what is 0 becomes more only next to what is
    not. Of cells larger than 8 px, lines of 4 px join points of the curve.
    """
    steps = side // _LINES_PX if smooth and side > 2 * _LINES_PX else side
    rows, columns = field.shape[:2]
    large = resize(field, steps * rows, steps * columns)
    if smooth and side > 1:
        width = (steps - 1) // 2 * 2 + 1
        large = cv2.blur(large, (width, width), borderType=cv2.BORDER_REPLICATE)
        # Its running sums leave a trace of what has passed.
        large = cv2.threshold(large, _TRACE, 0, cv2.THRESH_TOZERO)[1]
    return resize(large, side * rows, side * columns)


Slices = tuple[slice, slice]


def enlarged(field: Floats, side: int, cells: Slices, smooth: bool = False) -> Floats:
    """The part ``cells`` (rows, columns) of ``field`` [h, w, …], ``side`` times as large: exactly
    as :func:`magnified` makes it of the whole."""
    if side == 1:
        return field[cells]
    around, own = [], []
    for part, count in zip(cells, field.shape, strict=False):
        start, stop = max(0, part.start - REACH), min(count, part.stop + REACH)
        around.append(slice(start, stop))
        own.append(slice((part.start - start) * side, (part.stop - start) * side))
    return magnified(field[tuple(around)], side, smooth)[tuple(own)]


def rows_of(field: Floats, height: int, width: int, top: int, bottom: int) -> Floats:
    """Rows ``top`` to before ``bottom`` of ``field`` [h, w, …], brought to [height, width, …]:
    means where it shrinks, cubic curves, which overshoot, where it grows."""
    rows, columns = field.shape[:2]
    if height < rows and width < columns:
        return resize(field, height, width)[top:bottom]
    across, down = columns / width, rows / height
    return cv2.warpAffine(
        field,
        np.array([[across, 0, 0.5 * across - 0.5], [0, down, (top + 0.5) * down - 0.5]]),
        (width, bottom - top),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )


def enlarged_rows(field: Floats, side: int, top: int, bottom: int, width: int) -> Floats:
    """Rows ``top`` to before ``bottom`` [px] of ``field`` [h, w, …], ``side`` times as large, cut
    to ``width`` px."""
    first, last = top // side, -(-bottom // side)
    block = enlarged(field, side, (slice(first, last), slice(0, field.shape[1])))
    return block[top - first * side : bottom - first * side, :width]


def fbm(
    dice: Dice,
    rows: int,
    columns: int,
    *,
    cells: float = 4.0,
    octaves: int = 6,
    stretch: tuple[float, float] = (1.0, 1.0),
    billow: bool = False,
) -> Floats:
    """Fractional Brownian motion [rows, columns], mean about 0, standard deviation about 1.

    A sum of smooth noise of ``cells``, 2·cells, 4·cells … cells along the long side, each octave
    0.55 times as strong as the one before (Perlin 1985; Musgrave, Texturing and Modeling, ch. 14);
    octaves too fine for the grid are left out. ``stretch`` (x, y) scales the cells' size.
    ``billow`` folds each octave about zero, which makes round heads with sharp valleys between
    them, like cumulus.

    It is a window, turned or mirrored, of a tile that a process makes once.
    """
    long_side = max(rows, columns)
    shown = 1 + math.floor(math.log2(max(1.0, 0.5 * long_side / cells)))
    tile = _tile(min(octaves, shown, _MOST_OCTAVES), billow)
    side = len(tile) / _TILE_CELLS
    turned, from_right, from_below = dice.coin(0.5), dice.coin(0.5), dice.coin(0.5)
    window = np.zeros((2, 3))
    for axis, mirrored in enumerate((from_right, from_below)):
        across = min(cells / stretch[axis], _TILE_CELLS - 1.0)
        start = dice.uniform(0.0, _TILE_CELLS - across)
        step = side * across / long_side
        if mirrored:
            start, step = start + across, -step
        window[1 - axis if turned else axis, [axis, 2]] = step, start * side + 0.5 * step - 0.5
    return cv2.warpAffine(
        tile,
        window,
        (columns, rows),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT,
    )


def noise_at(dice: Dice, x: Floats, y: Floats, *, octaves: int = 6, billow: bool = False) -> Floats:
    """The same noise at any places ``x``, ``y``, which are counted in cells of the first octave."""
    tile = _tile(octaves, billow)
    across, down = dice.uniform(), dice.uniform()
    return read(tile, x / _TILE_CELLS + across, y / _TILE_CELLS + down)


@functools.lru_cache(maxsize=16)
def _tile(octaves: int, billow: bool) -> Floats:
    """Noise [n, n] of :data:`_TILE_CELLS` cells a side and as many ``octaves``; each is the same
    in every tile that has it."""
    side = _TILE_CELLS * 2 ** max(octaves, 5)
    total = np.zeros((side, side), np.float32)
    for octave in range(octaves):
        cells = _TILE_CELLS * 2**octave
        lattice = Dice(_TILE_SEED + octave).normal(cells + 4, cells + 4)
        step = cells / side
        layer = cv2.warpAffine(
            lattice,
            np.array([[step, 0, 1.5], [0, step, 1.5]]),
            (side, side),
            flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        )
        total += _GAIN**octave * (-np.abs(layer) if billow else layer)
    tile: Floats = (total - total.mean()) / total.std()
    return tile


def warp(field: Floats, dx: Floats | float, dy: Floats | float) -> Floats:
    """``field`` [h, w, …] read at positions moved by ``dx``, ``dy`` (fractions of the long side).

    Domain warping (Quilez 2002): noise displaced by noise folds as turbulent gas does. Positions
    outside are mirrored.
    """
    rows, columns = field.shape[:2]
    x, y = coordinates(rows, columns)
    return read(field, x + dx, y + dy)


def read(field: Floats, x: Floats, y: Floats) -> Floats:
    """``field`` [h, w, …] at the places ``x``, ``y`` [rows, columns]: fractions of its long side.

    Outside it goes on mirrored.
    """
    long_side, shape = np.float32(max(field.shape[:2])), np.broadcast_shapes(x.shape, y.shape)
    right, down = (np.broadcast_to(part * long_side - 0.5, shape) for part in (x, y))
    return cv2.remap(
        field,
        np.ascontiguousarray(right, np.float32),
        np.ascontiguousarray(down, np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT,
    )


def blur(field: Floats, sigma: float) -> Floats:
    """Gaussian blur of ``field`` [h, w, …]; ``sigma`` as a fraction of the long side.

    A wide one is made on a reduced field: it leaves nothing that would be lost there.
    """
    rows, columns = field.shape[:2]
    sigma_px = sigma * max(rows, columns)
    if sigma_px < 0.3:
        return field
    factor = min(sigma_px / _BLUR_CELLS, min(rows, columns) / 4)
    if factor < 2:
        return cv2.GaussianBlur(field, (0, 0), sigma_px, borderType=cv2.BORDER_REFLECT)
    small = resize(field, round(rows / factor), round(columns / factor))
    # Means over cells, and straight lines between them, blur by themselves.
    left = math.sqrt((sigma_px / factor) ** 2 - 1 / 12 - 1 / 6)
    small = cv2.GaussianBlur(small, (0, 0), left, borderType=cv2.BORDER_REFLECT)
    return resize(small, rows, columns)


def upper(values: Floats, share: float) -> float:
    """What ``share`` of ``values`` [n] lie below; a quantile."""
    rank = min(values.size - 1, int(share * values.size))
    return float(np.partition(values, rank)[rank])
