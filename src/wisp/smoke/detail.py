"""Texture finer than the smoke grid, for pictures large enough to show it."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

BLOCK_ROWS = 32
"""Rows that are computed together: at 4000 px a processor's cache holds them."""
_PART_PX = 256

# (cells along the long side, relative change of density)
_OCTAVES = ((320.0, 0.055), (800.0, 0.035), (2000.0, 0.022))


class Detail:
    """What the density of a picture of ``height`` x ``width`` px is multiplied by: about 1, ≥ 0.

    ``tile`` [n, n] is standard normal noise, repeated over the picture in octaves. Rows come in
    blocks of :data:`BLOCK_ROWS`: each is, for every octave, one product of a narrow matrix, which
    interpolates between a few lines of the tile, with those lines. The texture lies ``risen_px``
    above its place.
    """

    def __init__(self, tile: Tensor, height: int, width: int, risen_px: float = 0.0) -> None:
        period, long_side = tile.shape[0], max(height, width)
        self._octaves: list[_Octave] = []
        for octave, (cells, amount) in enumerate(_OCTAVES):
            # Shown only as far as the picture can: two pixels per cell, faded in.
            visible = min(1.0, max(0.0, long_side / cells - 1.0))
            if visible == 0:
                break
            step = cells / long_side
            weights, first = _between(height, step, BLOCK_ROWS, risen_px)
            lines = torch.empty(period + weights.shape[2], width)
            _stretch(tile.roll(37 * octave, 0), step, lines[:period])
            lines[period:] = lines[: weights.shape[2]]  # the tile goes on: no block is cut in two
            self._octaves.append(
                _Octave(lines, weights.mul_(amount * visible), [n % period for n in first])
            )
        self.visible = bool(self._octaves)
        """Whether the picture is large enough to show any."""

    def __call__(self, top: int, bottom: int, left: int, right: int) -> Tensor:
        """[bottom - top, right - left]: the block of rows that begins with ``top``, a multiple of
        :data:`BLOCK_ROWS`, in the columns from ``left`` to before ``right``."""
        block, change = top // BLOCK_ROWS, torch.ones(bottom - top, right - left)
        for octave in self._octaves:
            weights, first = octave.weights[block, : bottom - top], octave.first[block]
            change.addmm_(weights, octave.lines[first : first + weights.shape[1], left:right])
        return change.clamp_(min=0)


class _Octave(NamedTuple):
    """``lines`` of the tile, as wide as the picture, and for each block of rows the ``weights``
    [blocks, rows, n] of the n lines from ``first`` [blocks] on."""

    lines: Tensor
    weights: Tensor
    first: list[int]


def _stretch(tile: Tensor, step: float, lines: Tensor) -> None:
    """Write to ``lines`` [h, width] those of ``tile`` [h, n], repeated, ``step`` points a px."""
    period, width = tile.shape[1], lines.shape[1]
    weights, first = _between(width, step, _PART_PX)
    points = torch.arange(weights.shape[2])
    for start, part, low in zip(range(0, width, _PART_PX), weights, first, strict=True):
        stop = min(width, start + _PART_PX)
        lines[:, start:stop] = tile[:, (low + points) % period] @ part[: stop - start].mT


def _between(count: int, step: float, block: int, start: float = 0.0) -> tuple[Tensor, list[int]]:
    """Smooth interpolation at ``count`` places from ``start``, ``step`` points apart.

    For each ``block`` of places a matrix of weights, together [blocks, block, n], and the first of
    the n points that they weigh.
    """
    places = torch.arange(math.ceil(count / block) * block).view(-1, block)
    position = (places + start + 0.5) * step
    low = position.floor()
    part = (position - low)[..., None]
    part = part * part * (3 - 2 * part)
    first = low[:, :1].long()
    below = (low.long() - first)[..., None]
    weights = torch.zeros(*places.shape, int(below.max()) + 2)
    weights.scatter_(2, below, 1 - part).scatter_(2, below + 1, part)
    return weights, first[:, 0].tolist()
