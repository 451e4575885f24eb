"""The smoke of one picture: drawn on a small grid, laid over any number of pixels."""

from __future__ import annotations

import dataclasses
import functools
import itertools
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
    """Part of the pixels whose opacity is above ``level``."""
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
        Memory beyond the results is a few megabytes.
        """
        height, width = pixels.shape[:2]
        mask = np.zeros((height, width), np.uint8)
        kept = np.zeros((height, width), np.float32) if keep_density else None
        grid = self.fitted(height, width)
        behind = None
        if self.scatter:
            behind = blur(thumbnail(pixels, *grid.density.shape), BACKDROP_BLUR)
        light = (grid.airlight * 255 + 0.5).astype(np.uint8)
        side = cell_px(height, width)
        for cells, window in _blocks(grid.density, side, height, width):
            tau = grid._tau(cells, window, side)
            if kept is not None:
                kept[window] = strength * tau
            clear = cv2.exp(-strength * tau)
            cover = 1 - clear
            mask[window] = cv2.convertScaleAbs(clear, alpha=-255, beta=255)
            seen: Floats = pixels[window]
            if behind is not None:
                back = enlarged(behind, side, cells)[: len(tau), : tau.shape[1]]
                lost = self.scatter * cover
                seen = cv2.blendLinear(seen, back, 1 - lost, lost)
            over = enlarged(light, side, cells)[: len(tau), : tau.shape[1]]
            pixels[window] = cv2.blendLinear(seen, over, clear, cover)
        return mask, kept

    def fitted(self, height: int, width: int) -> SmokeLayer:
        """This layer on the smoke grid of a picture of ``height`` x ``width`` px, in its range."""
        shape = grid_shape(height, width)
        density = np.maximum(resize(self.density, *shape), 0)
        return dataclasses.replace(
            self, density=density, airlight=np.clip(resize(self.airlight, *shape), 0, 1)
        )

    def _tau(self, cells: Slices, window: Slices, side: int) -> Floats:
        """τ of the pixels in ``window``, those of ``cells``, whose sides are ``side`` px."""
        rows, columns = window
        block = enlarged(self.density, side, cells, smooth=True)
        tau = block[: rows.stop - rows.start, : columns.stop - columns.start]
        long_side = side * max(self.density.shape)
        detail = detail_tile(long_side)
        if detail is not None:
            top, left = (int(part * DETAIL_PX) for part in self.place)
            top = (top + rows.start + round(self.risen * long_side)) % DETAIL_PX
            left = (left + columns.start) % DETAIL_PX
            tau = tau * detail[top : top + len(tau), left : left + tau.shape[1]]
        return tau


def _blocks(density: Floats, side: int, height: int, width: int) -> Iterator[tuple[Slices, Slices]]:
    """Blocks of cells that hold all smoke, and the pixels of each."""
    left, top, across, down = cv2.boundingRect((density > 0).view(np.uint8))
    if not across:
        return
    ranges = []
    for first, count, cells, most_px in zip(
        (top, left), (down, across), density.shape, _BLOCK_PX, strict=True
    ):
        start, stop = max(0, first - REACH), min(cells, first + count + REACH)
        step = max(1, most_px // side)
        ranges.append([slice(at, min(stop, at + step)) for at in range(start, stop, step)])
    for rows, columns in itertools.product(*ranges):
        yield (
            (rows, columns),
            (
                slice(rows.start * side, min(rows.stop * side, height)),
                slice(columns.start * side, min(columns.stop * side, width)),
            ),
        )


@functools.lru_cache(maxsize=8)
def detail_tile(long_side_px: int) -> Floats | None:
    """What the density of a picture is multiplied by, about 1, ≥ 0: texture finer than the grid.

    It repeats every 512 px and is as large as a block at any place. None where the picture is too
    small to show any. Shared, do not write to it.
    """
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
