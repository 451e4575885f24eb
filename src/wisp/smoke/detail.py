"""Texture finer than the smoke grid, for pictures large enough to show it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

BLOCK_ROWS = 32
"""Rows that are computed together: at 4000 px a processor's cache holds them."""

# (cells along the long side, relative change of density)
_OCTAVES = ((320.0, 0.055), (800.0, 0.035), (2000.0, 0.022))


class Detail:
    """What the density of a picture of ``height`` x ``width`` px is multiplied by: about 1, ≥ 0.

    ``tile`` [n, n] is standard normal noise, repeated over the picture in octaves. Rows come in
    blocks of :data:`BLOCK_ROWS`: each is one product of a narrow matrix, which interpolates between
    a few lines of the tile, with those lines. The texture lies ``risen_px`` above its place.
    """

    def __init__(self, tile: Tensor, height: int, width: int, risen_px: float = 0.0) -> None:
        period = tile.shape[0]
        long_side = max(height, width)
        lines, weights, index = [], [], []
        for octave, (cells, amount) in enumerate(_OCTAVES):
            # Shown only as far as the picture can: two pixels per cell, faded in.
            visible = min(1.0, max(0.0, long_side / cells - 1.0))
            if visible == 0:
                break
            across, points = _between(width, cells / long_side)
            near = tile.roll(37 * octave, 0)[:, points % period].movedim(1, 0)
            lines.append((near @ across.mT).movedim(0, 1).reshape(period, -1)[:, :width])
            down, points = _between(height, cells / long_side, risen_px)
            weights.append(down.mul_(amount * visible))
            index.append(points % period + octave * period)
        self.visible = bool(lines)
        """Whether the picture is large enough to show any."""
        if lines:
            self._lines = torch.cat(lines)
            self._weights, self._index = torch.cat(weights, 2), torch.cat(index, 1)

    def __call__(self, top: int, bottom: int, left: int, right: int) -> Tensor:
        """[bottom - top, right - left]: the block of rows that begins with ``top``, a multiple of
        :data:`BLOCK_ROWS`, in the columns from ``left`` to before ``right``."""
        block = top // BLOCK_ROWS
        lines = self._lines[:, left:right].index_select(0, self._index[block])
        change = self._weights[block, : bottom - top] @ lines
        return change.add_(1).clamp_(min=0)


def _between(count: int, step: float, start: float = 0.0) -> tuple[Tensor, Tensor]:
    """Smooth interpolation at ``count`` places from ``start``, ``step`` points apart.

    For each block of places a matrix of weights, together [blocks, BLOCK_ROWS, n], and the points
    they weigh [blocks, n].
    """
    places = torch.arange(math.ceil(count / BLOCK_ROWS) * BLOCK_ROWS).view(-1, BLOCK_ROWS)
    position = (places + start + 0.5) * step
    low = position.floor()
    part = (position - low)[..., None]
    part = part * part * (3 - 2 * part)
    first = low[:, :1].long()
    below = (low.long() - first)[..., None]
    weights = torch.zeros(*places.shape, int(below.max()) + 2)
    weights.scatter_(2, below, 1 - part).scatter_(2, below + 1, part)
    return weights, first + torch.arange(weights.shape[2])
