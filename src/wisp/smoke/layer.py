"""The smoke of one picture: drawn on a small grid, laid over any number of pixels."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Iterator

import cv2
import numpy as np

from wisp.smoke.noise import (
    REACH,
    Dice,
    Floats,
    Pixels,
    Slices,
    blur,
    cell_px,
    enlarged,
    grid_shape,
    resize,
)

_BLOCK_PX = (256, 2048)
"""Rows and columns that are computed together: a processor's cache holds them."""
BACKDROP_BLUR = 0.006
"""Of the scene behind scattering smoke (a fraction of the long side)."""
DETAIL_PX = 512
"""After so many pixels finer detail repeats."""
SCENE = (24, 24)
"""Rows and columns of a photo in small, by which smoke is lit."""
_DETAIL_SEED = 1968
# (cells along the long side, relative change of density)
_DETAIL = ((320.0, 0.055), (800.0, 0.035), (2000.0, 0.022))


def opacity(density: Floats, strength: float = 1.0) -> Floats:
    """α = 1 - exp(-s·τ) in [0, 1) of optical density τ ≥ 0 at strength s; shaped as it."""
    return -np.expm1(-strength * density)


def density_of(cover: Floats) -> Floats:
    """τ = -log(1 - α) of an opacity α in [0, 1), shaped as it: inverse of :func:`opacity`."""
    return -np.log1p(-cover)


def coverage(cover: Floats, level: float = 0.1) -> float:
    """Part of the values, such as opacities, above ``level``."""
    return int(np.count_nonzero(cover > level)) / cover.size


@dataclasses.dataclass(frozen=True)
class SmokeLayer:
    """``density`` τ [h, w] ≥ 0 and ``airlight`` A [h, w, 3] in [0, 1] on a grid of any size.

    ``scatter`` in [0, 1] says how much the smoke blurs what lies behind it. Where the picture is
    large enough to show it, the density has finer detail, taken from ``place``; this has moved up
    by ``risen`` (fractions of the long side).
    """

    density: Floats
    airlight: Floats
    scatter: float = 0.0
    place: tuple[float, float] = (0.0, 0.0)
    risen: float = 0.0

    @property
    def opacity(self) -> Floats:
        """1 - exp(-τ) [h, w]."""
        return opacity(self.density)

    def with_each(self, change: Callable[[Floats], Floats]) -> SmokeLayer:
        """What ``change`` makes of density and airlight."""
        density, airlight = change(self.density), change(self.airlight)
        return dataclasses.replace(self, density=density, airlight=airlight)

    def lay(
        self, pixels: Pixels, strength: float = 1.0, keep_density: bool = False
    ) -> tuple[Pixels, Floats | None]:
        """Lay the smoke over ``pixels`` [H, W, 3] in place; its opacity [H, W] in 255ths, and τ·s
        [H, W] if it is to be kept.

        Beer-Lambert, t = exp(-s·τ), I' = t·I + (1 - t)·A; bit for bit the picture where s·τ is 0.
        Scattering smoke shows I + c·(1 - t)·(B - I) in place of I, B being I blurred. Memory beyond
        the results is a few megabytes.
        """
        strength = float(strength)  # one of numpy's would make all of it float64
        height, width = pixels.shape[:2]
        mask = np.zeros((height, width), np.uint8)
        kept = np.zeros((height, width), np.float32) if keep_density else None
        seen = dataclasses.replace(self, airlight=self.glow(pixels, strength))
        for window, tau, light in seen.blocks(height, width):
            if kept is not None:
                kept[window] = strength * tau
            clear = cv2.exp(-strength * tau)
            mask[window] = cv2.convertScaleAbs(clear, alpha=-255, beta=255)
            if self.scatter:
                clear = clear * (1 - self.scatter + self.scatter * clear)
            pixels[window] = cv2.blendLinear(pixels[window], light, clear, 1 - clear)
        return mask, kept

    def glow(self, pixels: Pixels, strength: float) -> Floats:
        """What is seen in place of the scene, [h, w, 3] in [0, 1]: the airlight, and the light of
        the scene that scatters.

        G of I' = w·I + (1 - w)·G, w = t·(1 - c·(1 - t)): G = (A + c·t·B) / (1 + c·t). It varies as
        slowly as the smoke and the blurred scene B do.
        """
        if not self.scatter:
            return self.airlight
        rows, columns = self.density.shape
        behind = blur(thumbnail(pixels, rows, columns), BACKDROP_BLUR) / np.float32(255)
        share = (self.scatter * np.exp(-strength * self.density))[..., None]
        return (self.airlight + share * behind) / (1 + share)

    def fitted(self, height: int, width: int) -> tuple[SmokeLayer, int]:
        """This layer on a grid of a picture of ``height`` x ``width`` px, in its range, and the
        side [px] of its cells."""
        most = max(self.density.shape)
        shape = grid_shape(height, width, most)
        density = np.maximum(resize(self.density, *shape), 0)
        airlight = np.clip(resize(self.airlight, *shape), 0, 1)
        fitted = dataclasses.replace(self, density=density, airlight=airlight)
        return fitted, cell_px(height, width, most)

    def blocks(
        self, height: int, width: int, finer: bool = True
    ) -> Iterator[tuple[Slices, Floats, Pixels]]:
        """Blocks of a picture's pixels that hold all smoke: where, τ [h, w], with detail ``finer``
        than the grid, and airlight [h, w, 3] in 255ths."""
        grid, side = self.fitted(height, width)
        # (Cells of a handmade layer may be larger than what the tile covers.)
        finer = finer and side <= _BLOCK_PX[0]
        detail = detail_tile(max(height, width)) if finer else None
        light = (255 * grid.airlight + 0.5).astype(np.uint8)
        top, left = (int(place * DETAIL_PX) for place in self.place)
        top += round(self.risen * max(height, width))
        for cells in _blocks(grid.density, side):
            rows, columns = (
                slice(part.start * side, min(part.stop * side, most))
                for part, most in zip(cells, (height, width), strict=True)
            )
            own = slice(rows.stop - rows.start), slice(columns.stop - columns.start)
            tau = enlarged(grid.density, side, cells, smooth=True)[own]
            if detail is not None:
                down, across = (top + rows.start) % DETAIL_PX, (left + columns.start) % DETAIL_PX
                tau = tau * detail[down : down + len(tau), across : across + tau.shape[1]]
            yield (rows, columns), tau, enlarged(light, side, cells)[own]


def _blocks(density: Floats, side: int) -> Iterator[Slices]:
    """Blocks of cells of ``side`` px that hold all smoke."""
    left, top, across, down = cv2.boundingRect((density > 0).view(np.uint8))
    ranges = []
    for first, count, cells, most_px in zip(
        (top, left), (down, across), density.shape, _BLOCK_PX, strict=True
    ):
        start, stop = max(0, first - REACH), min(cells, first + count + REACH) if count else 0
        step = max(1, most_px // side)
        ranges.append([slice(at, min(stop, at + step)) for at in range(start, stop, step)])
    yield from itertools.product(*ranges)


def detail_tile(long_side_px: int) -> Floats | None:
    """What the density of a picture is multiplied by, about 1, ≥ 0: texture finer than the grid.

    It repeats every 512 px and is as large as a block at any place. None where the picture is too
    small to show any. Shared, do not write to it. One serves pictures of about the same size.
    """
    return _detail_tile(round(2 ** (round(4 * math.log2(long_side_px)) / 4)))


@functools.lru_cache(maxsize=16)
def _detail_tile(long_side_px: int) -> Floats | None:
    change = np.zeros((DETAIL_PX, DETAIL_PX), np.float32)
    for octave, (cells, amount) in enumerate(_DETAIL):
        # Shown only as far as the picture can: two pixels per cell, faded in.
        visible = min(1.0, long_side_px / cells - 1.0)
        if visible <= 0:
            break
        count = round(DETAIL_PX * cells / long_side_px)
        lattice = np.pad(Dice(_DETAIL_SEED + octave).normal(count, count), 2, mode="wrap")
        step = count / DETAIL_PX
        change += (amount * visible) * cv2.warpAffine(
            lattice,
            np.array([[step, 0, 1.5], [0, step, 1.5]]),
            change.shape,
            flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        )
    if not change.any():
        return None
    return np.tile(np.maximum(1 + change, 0), [-(-px // DETAIL_PX) + 1 for px in _BLOCK_PX])


def mix(first: SmokeLayer, second: SmokeLayer) -> SmokeLayer:
    """Both smokes in one place: densities add, and each glows in proportion to its density."""
    total = first.density + second.density
    share = (first.density + 5e-5) / (total + 1e-4)
    airlight = second.airlight + share[..., None] * (first.airlight - second.airlight)
    return SmokeLayer(total, airlight)


def thumbnail(pixels: Pixels, rows: int, columns: int, samples: int = 2) -> Pixels:
    """``pixels`` [H, W, 3] as [rows, columns, 3], by means of at least ``samples`` pixels along
    each axis, where there are so many."""
    step = max(1, min(pixels.shape[0] // rows, pixels.shape[1] // columns) // samples)
    return resize(np.ascontiguousarray(pixels[::step, ::step]), rows, columns)


def scene_of(pixels: Pixels) -> Floats:
    """``pixels`` [H, W, 3] in small: [24, 24, 3] in [0, 1]."""
    return thumbnail(pixels, *SCENE, samples=3).astype(np.float32) / 255
