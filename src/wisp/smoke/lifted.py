"""Smoke lifted from real photos, laid over other ones.

A layer is what the network R saw in a smoky photo: optical density and airlight. Here it is
cropped, mirrored, warped, scaled, mixed with others and lit as its new scene is, then rendered by
Beer-Lambert exactly as procedural smoke is. All of it happens on the smoke grid: a photo of any
size costs hardly more than to decode and encode it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from wisp.smoke.fields import Field, texture
from wisp.smoke.noise import GRID_PX, Dice, blur, fbm, resample_matrix, warp
from wisp.smoke.optics import coverage, density_of, opacity
from wisp.smoke.placement import SourceBox, rising_plume
from wisp.smoke.procedural import MIN_COVERAGE, SOURCE_DENSITY, PlaceableSmoke, ambient_light
from wisp.smoke.shading import shading
from wisp.smoke.visibility import (
    ATTEMPTS,
    LARGE,
    SMALL,
    SMALL_SHARE,
    drawn_until_seen,
    prominence,
)

_VISIBLE = 0.12
_FAR = (0.3, 0.7)
_WINDOW_PX = (240, 160)
"""Rows and columns of a layer's piece that is laid into a plume."""


@dataclasses.dataclass(frozen=True)
class LiftedLayer:
    """``density`` τ [h, w] ≥ 0 and ``airlight`` [3, h, w] in [-1, 1] of the smoke in one photo."""

    density: Tensor
    airlight: Tensor

    @property
    def opacity(self) -> Tensor:
        """1 - exp(-τ) [h, w]."""
        return opacity(self.density)


def smooth_airlight(layer: LiftedLayer, sigma: float = 0.04) -> LiftedLayer:
    """``layer`` with its airlight blurred over ``sigma`` (a fraction of the long side).

    Each cell takes the mean colour of the smoke around it, weighted by opacity. Smoke is lit evenly
    over such distances; what is finer in an airlight is, more often than not, the scene behind.
    """
    weight = layer.opacity + 1e-3
    spread = blur(weight, sigma)
    return LiftedLayer(
        layer.density,
        torch.stack([blur(channel * weight, sigma) / spread for channel in layer.airlight]),
    )


def crop(
    dice: Dice, layer: LiftedLayer, rows: int, columns: int, smallest: float = 0.6
) -> LiftedLayer:
    """A window of ``layer`` of the aspect of [rows, columns], brought to that grid.

    Its sides are ``smallest`` to 1 times those of the largest such window. The window, never the
    layer's border, ends the smoke: an edge of the photo it came from would show as a straight line.
    """
    height, width = layer.density.shape
    fit = min(height / rows, width / columns) * math.sqrt(dice.uniform(smallest**2, 1.0))
    tall, wide = max(2, round(rows * fit)), max(2, round(columns * fit))
    top = int(dice.uniform() * (height - tall + 1))
    left = int(dice.uniform() * (width - wide + 1))
    down, across = resample_matrix(tall, rows), resample_matrix(wide, columns)
    return LiftedLayer(
        (down @ layer.density[top : top + tall, left : left + wide] @ across.T).clamp(min=0),
        down @ layer.airlight[:, top : top + tall, left : left + wide] @ across.T,
    )


def mirror(layer: LiftedLayer) -> LiftedLayer:
    """Left and right exchanged."""
    return LiftedLayer(layer.density.flip(-1), layer.airlight.flip(-1))


def shrink(dice: Dice, layer: LiftedLayer, rows: int, columns: int, scale: float) -> LiftedLayer:
    """A piece of ``layer`` as smoke that is far away, or only begins: ``scale`` times as large as
    the grid [rows, columns], somewhere on it.

    It is cut out by a ragged ellipse within which its opacity fades, to nothing at the piece's
    border. (Were it the density that fades, dense smoke would stay opaque almost up to there, and
    the border would show as a straight edge.)
    """
    tall, wide = max(4, round(rows * scale)), max(4, round(columns * scale))
    piece = crop(dice, layer, tall, wide, 0.7)
    y, x = (torch.linspace(-1, 1, side) for side in (tall, wide))
    ragged = fbm(dice, tall, wide, cells=dice.uniform(2.0, 5.0), octaves=4)
    within = 1 - (x**2 + y[:, None] ** 2).sqrt() + 0.2 * ragged.clamp(-2, 2)
    # Zero at the piece's own border, whatever the noise.
    border = (1 - x.abs()).clamp(max=0.2) * (1 - y.abs()).clamp(max=0.2)[:, None] / 0.04
    fade = (within / 0.45).clamp(0, 1) * border
    fade = fade * fade * (3 - 2 * fade)
    top = int(dice.uniform() * (rows - tall + 1))
    left = int(dice.uniform() * (columns - wide + 1))
    around = (left, columns - wide - left, top, rows - tall - top)
    return LiftedLayer(
        F.pad(density_of(piece.opacity * fade), around),
        F.pad(piece.airlight[None], around, mode="replicate")[0],
    )


def stir(dice: Dice, layer: LiftedLayer, strength: float) -> LiftedLayer:
    """The layer displaced by smooth noise of ``strength`` (fractions of the long side)."""
    rows, columns = layer.density.shape
    cells = dice.uniform(2.0, 5.0)
    dx, dy = (strength * fbm(dice, rows, columns, cells=cells, octaves=3) for _ in range(2))
    return LiftedLayer(
        warp(layer.density, dx, dy).clamp(min=0),
        torch.stack([warp(channel, dx, dy) for channel in layer.airlight]),
    )


def mix(first: LiftedLayer, second: LiftedLayer) -> LiftedLayer:
    """Both smokes in one place: densities add, and each glows in proportion to its density."""
    total = first.density + second.density
    share = torch.where(total > 1e-4, first.density / total.clamp(min=1e-4), 0.5)
    return LiftedLayer(total, torch.lerp(second.airlight, first.airlight, share))


def shade(dice: Dice, layer: LiftedLayer) -> LiftedLayer:
    """The layer with the folds of its own density, and fainter ones of noise, lit from one side."""
    rows, columns = layer.density.shape
    folds = texture(dice, rows, columns, cells=dice.log_uniform(3.0, 8.0))
    relief = 0.1 * layer.opacity * (1 + dice.uniform(0.0, 0.1) * folds)
    gain = shading(dice, Field(layer.density, relief), dice.uniform(-1.0, 1.0))
    return LiftedLayer(layer.density, ((layer.airlight + 1) * gain - 1).clamp(-1, 1))


def relight(dice: Dice, layer: LiftedLayer, scene: Tensor) -> LiftedLayer:
    """The layer lit as ``scene`` [3, h, w] in [0, 1] is, more or less, and told apart from it."""
    luminance, ambient = scene.mean(0), ambient_light(scene)
    colour = (layer.airlight + 1) / 2
    tint = (ambient / ambient.mean().clamp(min=0.05)).clamp(0.7, 1.3)
    colour = colour * torch.lerp(torch.ones(3), tint, dice.uniform(0.0, 0.6))[:, None, None]
    # The photo it came from was most likely taken in daylight: a dim room dims smoke, too.
    dim = (ambient.mean() / 0.8).clamp(0.3, 1.2)
    colour = colour * torch.lerp(torch.ones(()), dim, dice.uniform(0.0, 0.7))
    weight = layer.opacity
    mean = float((colour.mean(0) * weight).sum() / weight.sum().clamp(min=1e-6))
    difference = mean - float(luminance.mean())
    if abs(difference) < _VISIBLE:
        away = 1.0 if float(luminance.mean()) < 0.6 else -1.0
        colour = colour + (away * 1.5 * _VISIBLE - difference)
    return LiftedLayer(layer.density, colour.clamp(0.01, 1.0) * 2 - 1)


@dataclasses.dataclass(frozen=True)
class LiftedSmoke(PlaceableSmoke):
    """Smoke drawn from ``layers``, a pure function of the generator's state and the picture.

    ``mixed`` is how often two layers are laid over each other, ``distant`` how often there is only
    a small cloud, far away or just beginning; ``shaded`` gives their smooth airlight the light and
    shadow of billows; ``grid_px`` is the long side of the grid. With a ``source`` all smoke is one
    plume from there, made of one layer.
    """

    layers: Sequence[LiftedLayer]
    mixed: float = 0.25
    distant: float = SMALL_SHARE
    shaded: bool = True
    grid_px: int = GRID_PX
    source: SourceBox | None = None

    def rising_from(self, source: SourceBox) -> LiftedSmoke:
        """The same layers, each laid into a plume that rises from ``source``."""
        return dataclasses.replace(self, source=source)

    def _draw(self, dice: Dice, rows: int, columns: int, scene: Tensor) -> tuple[Tensor, Tensor]:
        if self.source is not None:  # its plume may be as small as it is
            window = folded_window(dice, self.layers)
            plume = fill_plume(dice, folds_of(window), rows, columns, self.source)
            drawn = relight(dice, plume, scene)
        else:
            distant = dice.coin(self.distant)
            drawn = drawn_until_seen(
                lambda: self._lit(dice, rows, columns, scene, distant),
                lambda layer: prominence(layer.opacity, layer.airlight, scene),
                SMALL if distant else LARGE,
                ATTEMPTS,
            )
        if self.shaded:
            drawn = shade(dice, drawn)
        return drawn.density, drawn.airlight

    def _lit(
        self, dice: Dice, rows: int, columns: int, scene: Tensor, distant: bool
    ) -> LiftedLayer:
        """One draw of smoke, in the light of ``scene``."""
        return relight(dice, self.unlit(dice, rows, columns, distant), scene)

    def unlit(self, dice: Dice, rows: int, columns: int, distant: bool) -> LiftedLayer:
        """One draw of smoke in the light it was lifted in; ``distant``: a small cloud."""
        if distant:
            return self._far(dice, rows, columns)
        drawn = self._one(dice, rows, columns)
        return mix(drawn, self._one(dice, rows, columns)) if dice.coin(self.mixed) else drawn

    def _one(self, dice: Dice, rows: int, columns: int) -> LiftedLayer:
        """A window of a layer that holds some smoke."""
        for _ in range(ATTEMPTS):
            source = self.layers[int(dice.uniform() * len(self.layers))]
            found = crop(dice, source, rows, columns)
            if coverage(found.opacity) >= MIN_COVERAGE:
                break
        if dice.coin(0.5):
            found = mirror(found)
        found = stir(dice, found, dice.uniform(0.0, 0.03))
        return LiftedLayer(dice.log_uniform(0.7, 1.5) * found.density, found.airlight)

    def _far(self, dice: Dice, rows: int, columns: int) -> LiftedLayer:
        """A small part of the picture under smoke of one layer."""
        for _ in range(ATTEMPTS):
            source = self.layers[int(dice.uniform() * len(self.layers))]
            scale = dice.log_uniform(*_FAR)
            found = shrink(dice, source, rows, columns, scale)
            if coverage(found.opacity, 0.2) >= 0.25 * scale**2:
                break
        if dice.coin(0.5):
            found = mirror(found)
        found = stir(dice, found, dice.uniform(0.0, 0.02))
        return LiftedLayer(dice.log_uniform(1.0, 2.0) * found.density, found.airlight)


def folded_window(dice: Dice, layers: Sequence[LiftedLayer]) -> LiftedLayer:
    """A piece of the smoke in one of ``layers`` that has folds to give to a plume."""
    windows = [
        crop(dice, layers[int(dice.uniform() * len(layers))], *_WINDOW_PX, 0.5)
        for _ in range(ATTEMPTS)
    ]
    # Haze has no folds to give, and what surrounds the smoke none at all.
    window = max(windows, key=lambda one: coverage(one.opacity, 0.3) * folding(one).std())
    return mirror(window) if dice.coin(0.5) else window


def folds_of(window: LiftedLayer) -> Tensor:
    """How the smoke in ``window`` is folded, and its colours, [4, h, w]: see :func:`fill_plume`."""
    return torch.cat([folding(window)[None], colours(window)])


def fill_plume(
    dice: Dice, folds: Tensor, rows: int, columns: int, source: SourceBox
) -> LiftedLayer:
    """A plume from ``source`` on the grid [rows, columns], with ``folds`` [4, h, w] of real
    smoke."""
    plume = rising_plume(dice, rows, columns, source)
    across = dice.uniform(2.6, 3.6)
    along = across * _WINDOW_PX[0] / _WINDOW_PX[1] * dice.uniform(1.0, 1.5)
    laid = plume.read(folds, across, along, dice.uniform())
    density = dice.log_uniform(*SOURCE_DENSITY) * plume.fill(laid[0]).density
    return LiftedLayer(density, laid[1:])


def folding(layer: LiftedLayer) -> Tensor:
    """How the smoke is folded, [h, w] in [0.25, 2]: its density relative to that around."""
    around = blur(layer.density, 0.1)
    little = 0.2 * layer.density.mean().clamp(min=1e-3)
    return ((layer.density + little) / (around + little)).clamp(0.25, 2.0)


def colours(layer: LiftedLayer) -> Tensor:
    """The smoke's airlight [3, h, w], where there is little smoke that of the smoke around."""
    cover = layer.opacity
    mean = (layer.airlight * cover).sum((1, 2)) / cover.sum().clamp(min=1e-6)
    little = 1e-3
    near = blur(cover, 0.06) + little
    around = torch.stack(
        [
            (blur(channel * cover, 0.06) + little * usual) / near
            for channel, usual in zip(layer.airlight, mean, strict=True)
        ]
    )
    return torch.lerp(around, layer.airlight, (cover / 0.4).clamp(max=1))
