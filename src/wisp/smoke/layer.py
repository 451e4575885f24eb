"""The smoke of one picture, drawn on a small grid and rendered in blocks of rows, so that a large
picture costs little memory beyond its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from wisp.smoke.detail import BLOCK_ROWS, Detail
from wisp.smoke.noise import RowBlocks, blur, resample_lines
from wisp.smoke.optics import opacity

_Plane = Literal["tau", "spare", "colour", "light"]
_PLANES: tuple[_Plane, ...] = get_args(_Plane)
TILE_PX = 256
"""Side of the noise that detail finer than the grid is taken from."""


class _Memory:
    """Room for what is computed of one block of at most ``rows`` x ``columns`` px, used again for
    the next: memory fresh from the system takes longer than the sums done in it."""

    def __init__(self, rows: int, columns: int) -> None:
        self._room = {name: torch.empty(rows * columns) for name in _PLANES}

    def plane(self, name: _Plane, shape: tuple[int, int]) -> Tensor:
        """A tensor of ``shape``, at most the block's; it is the same memory at each call with this
        name, and what that held is lost."""
        return self._room[name][: math.prod(shape)].view(shape)


class SmokeLayer:
    """The smoke of one picture of ``height`` x ``width`` px, rendered on demand.

    ``grid_density`` [h, w] ≥ 0 and ``grid_airlight`` [3, h, w] in [-1, 1] are on the smoke grid;
    ``tile`` [256, 256] is the noise that finer detail is taken from; ``scatter`` in [0, 1] says
    how much the smoke blurs what lies behind it; ``risen`` is how far its finer detail has moved up
    (fractions of the long side).
    """

    def __init__(
        self,
        grid_density: Tensor,
        grid_airlight: Tensor,
        tile: Tensor,
        height: int,
        width: int,
        scatter: float = 0.0,
        risen: float = 0.0,
    ) -> None:
        self.grid_density, self.grid_airlight, self.scatter = grid_density, grid_airlight, scatter
        self.tile, self.height, self.width = tile, height, width
        self._density = RowBlocks(grid_density.clamp(min=0), height, width)
        self._detail = Detail(tile, height, width, risen * max(height, width))

    def changed(self, grid_density: Tensor, grid_airlight: Tensor, risen: float) -> SmokeLayer:
        """The same smoke at another time, ``risen`` since."""
        return SmokeLayer(
            grid_density,
            grid_airlight,
            self.tile,
            self.height,
            self.width,
            self.scatter,
            risen,
        )

    def density_rows(self, top: int, bottom: int) -> Tensor:
        """τ [bottom - top, width] of the rows from ``top`` to below ``bottom``."""
        first = top // BLOCK_ROWS * BLOCK_ROWS
        memory = _Memory(BLOCK_ROWS, self.width)
        blocks = [
            self._tau(*block, 0, self.width, memory).clone()
            for block in self._blocks(first, bottom)
        ]
        return torch.cat(blocks)[top - first : bottom - first]

    def _blocks(self, top: int, bottom: int) -> list[tuple[int, int]]:
        """First row and one past the last of each block from ``top``, until ``bottom`` is in."""
        return [(row, min(self.height, row + BLOCK_ROWS)) for row in range(top, bottom, BLOCK_ROWS)]

    def _tau(self, top: int, bottom: int, left: int, right: int, memory: _Memory) -> Tensor:
        """τ of one block of rows, in the columns from ``left`` to before ``right``: the "tau" of
        ``memory``; its "spare" is used up."""
        shape = (bottom - top, right - left)
        tau = self._density(top, bottom, left, right, memory.plane("tau", shape))
        if self._detail.visible:
            tau.mul_(self._detail(top, bottom, left, right, memory.plane("spare", shape)))
        return tau

    def airlight_rows(self, top: int, bottom: int) -> Tensor:
        """A [3, bottom - top, width] of the rows from ``top`` to below ``bottom``."""
        airlight = RowBlocks(self.grid_airlight.clamp(-1, 1), self.height, self.width)
        return airlight(top, bottom).clamp_(-1, 1)

    def apply(
        self, image: Tensor, strength: float = 1.0, keep_density: bool = True
    ) -> tuple[Tensor | None, Tensor]:
        """Lay the smoke over ``image`` in place; (τ·strength [H, W] or None, opacity uint8 [H, W]).

        ``image`` is [3, H, W], float32 in [-1, 1], or uint8 [H, W, 3] (a decoded picture), of this
        layer's size. Works in blocks of rows: memory beyond the results is tens of megabytes where
        a picture has twelve megapixels.
        """
        eight_bit = image.dtype == torch.uint8
        planes = image.permute(2, 0, 1) if eight_bit else image
        # In the units of the pixels; half a level more, for cutting off then rounds.
        scale, shift = (127.5, 128.0) if eight_bit else (1.0, 0.0)
        behind = None
        if self.scatter > 0:
            behind = self._by_colour(self._backdrop(image) * scale + shift)
        airlight = self._by_colour(self.grid_airlight.clamp(-1, 1) * scale + shift)
        mask = torch.zeros(self.height, self.width, dtype=torch.uint8)
        kept = torch.zeros(self.height, self.width) if keep_density else None
        one, half = torch.tensor(1.0), torch.tensor(0.5)
        memory = _Memory(min(BLOCK_ROWS, self.height), self.width)
        for top, bottom in self._blocks(0, self.height):
            left, right = self._density.columns(top, bottom)
            if left == right or strength == 0:
                continue
            window = (slice(top, bottom), slice(left, right))
            shape = (bottom - top, right - left)
            tau = self._tau(top, bottom, left, right, memory)
            if kept is not None:
                torch.mul(tau, strength, out=kept[window])
            if eight_bit:
                # A quarter of the time of expm1, and 0 where there is none, too: what it lacks in
                # thin smoke is far below a level.
                cover = torch.sub(one, tau.mul_(-strength).exp_(), out=tau)
            else:
                cover = opacity(tau, strength)
            # numpy cuts off to 8 bits faster than torch does.
            level = torch.add(half, cover, alpha=255, out=memory.plane("spare", shape))
            np.copyto(mask.numpy()[window], level.numpy(), casting="unsafe")
            if behind is not None:
                veiled = torch.mul(cover, self.scatter, out=memory.plane("spare", shape))
            for number, plane in enumerate(planes):
                rows, light = plane[window], memory.plane("light", shape)
                if eight_bit:
                    rows = memory.plane("colour", shape).copy_(rows).add_(0.5)
                if behind is not None:
                    rows.lerp_(behind[number](top, bottom, left, right, light), veiled)
                rows.lerp_(airlight[number](top, bottom, left, right, light), cover)
                if eight_bit:
                    np.copyto(plane.numpy()[window], rows.numpy(), casting="unsafe")
        return kept, mask

    def _by_colour(self, grid: Tensor) -> list[RowBlocks]:
        return [RowBlocks(colour, self.height, self.width) for colour in grid]

    def _backdrop(self, image: Tensor) -> Tensor:
        """The scene as it looks through scattering smoke, on the grid [3, h, w]: blurred."""
        small = thumbnail(image, self.grid_density.shape, samples=2)
        return torch.stack([blur(channel, 0.006) for channel in small]).clamp_(-1, 1)


def thumbnail(image: Tensor, shape: Sequence[int], samples: int = 3) -> Tensor:
    """``image`` (float [3,H,W] in [-1,1] or uint8 [H,W,3]) as float [3, *shape], by means of at
    least ``samples`` pixels along each axis, where there are so many."""
    if image.dtype == torch.uint8:
        step = max(1, min(image.shape[0] // shape[0], image.shape[1] // shape[1]) // samples)
        image = image[::step, ::step].permute(2, 0, 1).float().div_(127.5).sub_(1)
    rows, columns = shape
    return resample_lines(resample_lines(image, columns).mT, rows).mT
