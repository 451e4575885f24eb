"""Random textures and resampling: what smoke fields are built of.

All textures live on a fixed grid whose long side is :data:`GRID_PX`, whatever the picture's size,
and all random numbers are drawn for that grid: a field therefore looks the same at every
resolution. Coordinates are fractions of the picture's long side.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

GRID_PX = 384
"""Long side of the grid that smoke is computed on [px]."""
_PART = 256


@dataclasses.dataclass(frozen=True)
class Dice:
    """Readable draws from a CPU ``torch.Generator``."""

    generator: torch.Generator

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """A number from [low, high)."""
        return low + (high - low) * float(torch.rand((), generator=self.generator))

    def log_uniform(self, low: float, high: float) -> float:
        """A number from [low, high), equally often per octave."""
        return math.exp(self.uniform(math.log(low), math.log(high)))

    def coin(self, probability: float) -> bool:
        """True with ``probability``."""
        return self.uniform() < probability

    def pick(self, names: Sequence[str], weights: Sequence[float]) -> str:
        """One of ``names``, as often as ``weights`` say."""
        index = torch.multinomial(torch.tensor(weights), 1, generator=self.generator)
        return names[int(index)]

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers of ``shape``."""
        return torch.randn(shape, generator=self.generator)

    def numbers(self, *shape: int) -> Tensor:
        """Uniform numbers from [0, 1) of ``shape``."""
        return torch.rand(shape, generator=self.generator)


def grid_shape(height: int, width: int, grid_px: int = GRID_PX) -> tuple[int, int]:
    """Rows and columns of the smoke grid of a picture of ``height`` x ``width`` px."""
    long_side = max(height, width)
    return max(8, round(grid_px * height / long_side)), max(8, round(grid_px * width / long_side))


def coordinates(rows: int, columns: int) -> tuple[Tensor, Tensor]:
    """x and y [rows, columns] of pixel centres, as fractions of the grid's long side."""
    y = (torch.arange(rows) + 0.5) / max(rows, columns)
    x = (torch.arange(columns) + 0.5) / max(rows, columns)
    return x.expand(rows, columns), y[:, None].expand(rows, columns)


def resize(field: Tensor, rows: int, columns: int, mode: str = "bicubic") -> Tensor:
    """``field`` [h, w] brought to [rows, columns]."""
    return F.interpolate(field[None, None], (rows, columns), mode=mode, align_corners=False)[0, 0]


def fbm(
    dice: Dice,
    rows: int,
    columns: int,
    *,
    cells: float = 4.0,
    octaves: int = 6,
    gain: float = 0.5,
    stretch: tuple[float, float] = (1.0, 1.0),
    billow: bool = False,
) -> Tensor:
    """Fractional Brownian motion [rows, columns], mean about 0, standard deviation about 1.

    A sum of smooth noise of ``cells``, 2·cells, 4·cells … cells along the long side, each octave
    ``gain`` times as strong as the one before (Perlin 1985; Musgrave, Texturing and Modeling,
    ch. 14). ``stretch`` (x, y) scales the cells' size. ``billow`` folds each octave about zero,
    which makes round heads with sharp valleys between them, like cumulus.
    """
    frequencies = [cells * 2**octave for octave in range(octaves)]
    # The lattice always covers the whole square, so that draws do not depend on the aspect.
    across, down = (
        [max(2, math.ceil(frequency / part)) + 4 for frequency in frequencies] for part in stretch
    )
    lattices, shifts = [], []
    for size in zip(down, across, strict=True):
        lattices.append(dice.normal(*size))
        shifts.append((dice.uniform(), dice.uniform()))
    shift_x, shift_y = zip(*shifts, strict=True)
    long_side = max(rows, columns)
    columns_of = _taps(columns, long_side, [f / stretch[0] for f in frequencies], shift_x, across)
    rows_of = _taps(rows, long_side, [f / stretch[1] for f in frequencies], shift_y, down)
    total = torch.zeros(rows, columns)
    power = 0.0
    amplitude = 1.0
    for down_taps, lattice, across_taps in zip(rows_of, lattices, columns_of, strict=True):
        layer = down_taps @ lattice @ across_taps.T
        if billow:
            layer = 0.9 - 1.6 * layer.abs()
        total += amplitude * layer
        power += (0.65 * amplitude) ** 2
        amplitude *= gain
    return total / math.sqrt(power)


def _taps(
    points: int,
    long_side: int,
    frequencies: Sequence[float],
    shifts: Sequence[float],
    counts: Sequence[int],
) -> list[Tensor]:
    """Per octave, the Catmull-Rom interpolation from a lattice of ``counts`` points to ``points``
    of the grid, as a matrix [points, count]; the lattice is moved by ``shifts`` in [0, 1).

    All octaves at once: on a small grid, calls cost more than what they compute.
    """
    scaled = (torch.arange(points) + 0.5) / long_side
    positions = scaled * torch.tensor(frequencies)[:, None] + 1 + torch.tensor(shifts)[:, None]
    index = positions.floor()[..., None] + torch.arange(-1, 3)
    weights = _catmull_rom((positions[..., None] - index).abs())
    return [
        torch.zeros(points, count).scatter_(1, neighbours, own)
        for count, neighbours, own in zip(counts, index.long(), weights, strict=True)
    ]


def _catmull_rom(distance: Tensor) -> Tensor:
    near = (1.5 * distance - 2.5) * distance * distance + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    return torch.where(distance < 1, near, torch.where(distance < 2, far, 0.0))


def warp(field: Tensor, dx: Tensor, dy: Tensor) -> Tensor:
    """``field`` [h, w] read at positions moved by ``dx``, ``dy`` [h, w] (fractions of long side).

    Domain warping (Quilez 2002): noise displaced by noise folds as turbulent gas does. Positions
    outside are mirrored.
    """
    rows, columns = field.shape
    x, y = coordinates(rows, columns)
    long_side = max(rows, columns)
    grid = torch.stack(
        [
            (x + dx) * (2 * long_side / columns) - 1,
            (y + dy) * (2 * long_side / rows) - 1,
        ],
        dim=-1,
    )
    return F.grid_sample(
        field[None, None],
        grid[None],
        mode="bilinear",
        padding_mode="reflection",
        align_corners=False,
    )[0, 0]


def blur(field: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of ``field`` [h, w]; ``sigma`` as a fraction of the long side."""
    sigma_px = sigma * max(field.shape)
    if sigma_px < 0.3:
        return field
    rows, columns = field.shape
    down = _gauss_matrix(rows, sigma_px)
    across = down if rows == columns else _gauss_matrix(columns, sigma_px)
    return down @ field @ across.T


def _gauss_matrix(count: int, sigma_px: float) -> Tensor:
    index = torch.arange(count, dtype=torch.float32)
    distance = (index[:, None] - index).abs() / sigma_px
    weights = torch.where(distance < 3.5, torch.exp(-0.5 * distance.clamp(max=4) ** 2), 0.0)
    return weights / weights.sum(1, keepdim=True)


class RowBlocks:
    """``grid`` [..., h, w] resampled to ``height`` x ``width``, a block of rows at a time."""

    def __init__(self, grid: Tensor, height: int, width: int, sharp: bool = False) -> None:
        self._grid, self._height, self._width, self._sharp = grid, height, width, sharp
        self._down = resample_matrix(grid.shape[-2], height, sharp)
        self._wide = resample_lines(grid, width, sharp)

    def __call__(self, top: int, bottom: int, left: int = 0, right: int | None = None) -> Tensor:
        """Rows from ``top`` to below ``bottom``: [..., bottom - top, width], or of them the columns
        from ``left`` to before ``right``."""
        first, last = self._sources(top, bottom)
        return self._down[top:bottom, first:last] @ self._wide[..., first:last, left:right]

    def columns(self, top: int, bottom: int) -> tuple[int, int]:
        """First column and one past the last, outside of which these rows of a ``grid`` [h, w] ≥ 0
        are 0, perhaps one or two too many at each end; (0, 0) if all are 0."""
        first, last = self._sources(top, bottom)
        used = self._grid[first:last].amax(0).nonzero()
        if not len(used):
            return 0, 0
        cells = self._grid.shape[-1]
        scale, reach = cells / self._width, 2 * _kernel_width(cells, self._width, self._sharp)
        left = math.floor((int(used[0]) - reach + 0.5) / scale - 0.5)
        right = math.ceil((int(used[-1]) + reach + 0.5) / scale - 0.5) + 1
        return max(0, left), min(self._width, right)

    def _sources(self, top: int, bottom: int) -> tuple[int, int]:
        return _sources(self._down.shape[1], self._height, top, bottom, self._sharp)


def resample_lines(lines: Tensor, target: int, sharp: bool = False) -> Tensor:
    """``lines`` [..., h, w] resampled along the last axis: [..., h, target].

    Each point depends on a few neighbours only: done in parts, most of the zeros of
    :func:`resample_matrix` are never multiplied.
    """
    source = lines.shape[-1]
    matrix = resample_matrix(source, target, sharp)
    result = lines.new_empty(*lines.shape[:-1], target)
    for start in range(0, target, _PART):
        stop = min(target, start + _PART)
        first, last = _sources(source, target, start, stop, sharp)
        result[..., start:stop] = lines[..., first:last] @ matrix[start:stop, first:last].T
    return result


def _kernel_width(source: int, target: int, sharp: bool) -> float:
    """Half the reach of the kernel that resamples ``source`` points to ``target``, in points."""
    return max(1.0, (1.0 if sharp else 0.75) * source / target)


def _sources(source: int, target: int, start: int, stop: int, sharp: bool) -> tuple[int, int]:
    """First and one past the last of ``source`` points that count from ``start`` to before ``stop``
    of ``target``: outside of them :func:`resample_matrix` is 0."""
    reach = 2 * _kernel_width(source, target, sharp)
    first = math.ceil((start + 0.5) * source / target - 0.5 - reach)
    last = math.floor((stop - 0.5) * source / target - 0.5 + reach)
    return min(max(first, 0), source - 1), min(max(last, 0), source - 1) + 1


@functools.lru_cache(maxsize=48)  # photos of one camera need the same few; crops pass through
def resample_matrix(source: int, target: int, sharp: bool = False) -> Tensor:
    """Matrix [target, source] that resamples a line of ``source`` points to ``target``.

    Plain: cubic B-spline, smooth and without negative weights: what is ≥ 0 (densities) stays so.
    ``sharp``: Catmull-Rom, the identity when nothing changes. Both are widened to a low-pass when
    shrinking; rows sum to 1. The matrix is shared between callers: do not write to it.
    """
    scale = source / target
    width = _kernel_width(source, target, sharp)
    centre = (torch.arange(target, dtype=torch.float64)[:, None] + 0.5) * scale - 0.5
    # Only the points within reach of the kernel, 2 widths to each side, are looked at.
    index = (centre - 2 * width).ceil() + torch.arange(math.floor(4 * width) + 1)
    distance = (centre - index).abs() / width
    if sharp:
        weights = _catmull_rom(distance)
    else:
        near = 2 / 3 - distance**2 + distance**3 / 2
        far = (2 - distance).clamp(min=0) ** 3 / 6
        weights = torch.where(distance < 1, near, far)
    weights = (weights / weights.sum(1, keepdim=True)).float()
    # What falls off an end is given to the end.
    index = index.long().clamp_(0, source - 1)
    return torch.zeros(target, source).scatter_add_(1, index, weights)
