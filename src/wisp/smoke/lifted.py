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

import cv2
import numpy as np

from wisp.smoke.drawn import PlaceableSmoke
from wisp.smoke.fields import Field
from wisp.smoke.layer import SmokeLayer, coverage, density_of, mix
from wisp.smoke.noise import FEWER_CELLS, MOST_CELLS, Dice, Floats, blur, fbm, resize, warp
from wisp.smoke.placement import SourceBox, rising_plume
from wisp.smoke.procedural import MIN_COVERAGE, SOURCE_DENSITY, ambient_light, tint_of
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
_WINDOW = (120, 80)
"""Rows and columns of a layer's piece that is laid into a plume."""


def smooth_airlight(layer: SmokeLayer, sigma: float = 0.04) -> SmokeLayer:
    """``layer`` with its airlight blurred over ``sigma`` (a fraction of the long side).

    Each cell takes the mean colour of the smoke around it, weighted by opacity. Smoke is lit evenly
    over such distances; what is finer in an airlight is, more often than not, the scene behind.
    """
    weight = layer.opacity + 1e-3
    airlight = blur(layer.airlight * weight[..., None], sigma) / blur(weight, sigma)[..., None]
    return SmokeLayer(layer.density, airlight)


def crop(
    dice: Dice, layer: SmokeLayer, rows: int, columns: int, smallest: float = 0.6
) -> SmokeLayer:
    """A window of ``layer`` of the aspect of [rows, columns], brought to that grid.

    Its sides are ``smallest`` to 1 times those of the largest such window. The window, never the
    layer's border, ends the smoke: an edge of the photo it came from would show as a straight line.
    """
    height, width = layer.density.shape
    fit = min(height / rows, width / columns) * math.sqrt(dice.uniform(smallest**2, 1.0))
    tall, wide = max(2, round(rows * fit)), max(2, round(columns * fit))
    top, left = dice.index(height - tall + 1), dice.index(width - wide + 1)
    window = (slice(top, top + tall), slice(left, left + wide))
    return layer.with_each(lambda part: resize(part[window], rows, columns))


def mirror(layer: SmokeLayer) -> SmokeLayer:
    """Left and right exchanged."""
    return layer.with_each(lambda part: cv2.flip(part, 1))


def shrink(dice: Dice, layer: SmokeLayer, rows: int, columns: int, scale: float) -> SmokeLayer:
    """A piece of ``layer`` as smoke that is far away, or only begins: ``scale`` times as large as
    the grid [rows, columns], somewhere on it.

    It is cut out by a ragged ellipse within which its opacity fades, to nothing at the piece's
    border. (Were it the density that fades, dense smoke would stay opaque almost up to there, and
    the border would show as a straight edge.)
    """
    tall, wide = (min(side, max(4, round(side * scale))) for side in (rows, columns))
    piece = crop(dice, layer, tall, wide, 0.7)
    y, x = (np.linspace(-1, 1, side, dtype=np.float32) for side in (tall, wide))
    ragged = fbm(dice, tall, wide, cells=dice.uniform(2.0, 5.0), octaves=4)
    within = 1 - np.sqrt(x**2 + y[:, None] ** 2) + 0.2 * np.clip(ragged, -2, 2)
    # Zero at the piece's own border, whatever the noise.
    border = np.minimum(1 - np.abs(x), 0.2) * np.minimum(1 - np.abs(y), 0.2)[:, None] / 0.04
    fade = np.clip(within / 0.45, 0, 1) * border
    fade = fade * fade * (3 - 2 * fade)
    top, left = dice.index(rows - tall + 1), dice.index(columns - wide + 1)
    around = (top, rows - tall - top, left, columns - wide - left)
    return SmokeLayer(
        cv2.copyMakeBorder(density_of(piece.opacity * fade), *around, cv2.BORDER_CONSTANT),
        cv2.copyMakeBorder(piece.airlight, *around, cv2.BORDER_REPLICATE),
    )


def stir(dice: Dice, layer: SmokeLayer, strength: float) -> SmokeLayer:
    """The layer displaced by smooth noise of ``strength`` (fractions of the long side)."""
    rows, columns = layer.density.shape
    cells = dice.uniform(2.0, 5.0)
    dx, dy = (strength * fbm(dice, rows, columns, cells=cells, octaves=3) for _ in range(2))
    return layer.with_each(lambda part: warp(part, dx, dy))


def shade(dice: Dice, layer: SmokeLayer) -> SmokeLayer:
    """The layer with the folds of its own density, and fainter ones of noise, lit from one side."""
    cells, billow = dice.log_uniform(3.0, 8.0), dice.coin(0.5)
    folds = fbm(dice, *layer.density.shape, cells=cells, billow=billow)
    relief = 0.1 * layer.opacity * (1 + dice.uniform(0.0, 0.1) * folds)
    gain = shading(dice, Field(layer.density, relief), dice.uniform(-1.0, 1.0))
    return SmokeLayer(layer.density, np.clip(layer.airlight * gain[..., None], 0, 1))


def relight(dice: Dice, layer: SmokeLayer, scene: Floats) -> SmokeLayer:
    """The layer lit as ``scene`` [h, w, 3] in [0, 1] is, more or less, and told apart from it."""
    luminance, ambient = float(scene.mean()), ambient_light(scene)
    light = 1 + dice.uniform(0.0, 0.6) * (tint_of(ambient) - 1)
    # The photo it came from was most likely taken in daylight: a dim room dims smoke, too.
    dim = min(max(float(ambient.mean()) / 0.8, 0.3), 1.2)
    light = light * np.float32(1 + dice.uniform(0.0, 0.7) * (dim - 1))
    mean = float((mean_colour(layer) * light).mean())
    away = 0.0
    if abs(mean - luminance) < _VISIBLE:
        away = (1.5 if luminance < 0.6 else -1.5) * _VISIBLE - (mean - luminance)
    return SmokeLayer(layer.density, np.clip(layer.airlight * light + np.float32(away), 0.01, 1.0))


def mean_colour(layer: SmokeLayer) -> Floats:
    """The airlight [3] in [0, 1] of all of ``layer``, weighted by opacity."""
    cover = layer.opacity
    seen: Floats = (layer.airlight * cover[..., None]).sum((0, 1))
    return seen / max(float(cover.sum()), 1e-6)


@dataclasses.dataclass(frozen=True)
class LiftedSmoke(PlaceableSmoke):
    """Smoke drawn from ``layers``.

    ``mixed`` is how often two layers are laid over each other, ``distant`` how often there is only
    a small cloud, far away or just beginning; ``shaded`` gives their smooth airlight the light and
    shadow of billows. With a ``source`` all smoke is one plume from there, made of one layer.
    """

    layers: Sequence[SmokeLayer]
    mixed: float = 0.25
    distant: float = SMALL_SHARE
    shaded: bool = True
    source: SourceBox | None = None

    @property
    def cells(self) -> int:
        """Few, but for a plume, which begins in a box that may be small."""
        return FEWER_CELLS if self.source is None else MOST_CELLS

    def rising_from(self, source: SourceBox) -> LiftedSmoke:
        """The same layers, each laid into a plume that rises from ``source``."""
        return dataclasses.replace(self, source=source)

    def drawn(self, dice: Dice, rows: int, columns: int, scene: Floats) -> SmokeLayer:
        """See :meth:`GridSmoke.drawn`."""
        if self.source is not None:  # its plume may be as small as it is
            window = folded_window(dice, self.layers)
            plume = fill_plume(dice, folds_of(window), rows, columns, self.source)
            drawn = relight(dice, plume, scene)
        else:
            distant = dice.coin(self.distant)
            drawn = drawn_until_seen(
                lambda: self._lit(dice, rows, columns, scene, distant),
                lambda layer: prominence(layer, scene),
                SMALL if distant else LARGE,
                ATTEMPTS,
            )
        return shade(dice, drawn) if self.shaded else drawn

    def _lit(self, dice: Dice, rows: int, columns: int, scene: Floats, distant: bool) -> SmokeLayer:
        """One draw of smoke, in the light of ``scene``."""
        return relight(dice, self.unlit(dice, rows, columns, distant), scene)

    def unlit(self, dice: Dice, rows: int, columns: int, distant: bool) -> SmokeLayer:
        """One draw of smoke in the light it was lifted in; ``distant``: a small cloud."""
        if distant:
            return self._far(dice, rows, columns)
        drawn = self._one(dice, rows, columns)
        return mix(drawn, self._one(dice, rows, columns)) if dice.coin(self.mixed) else drawn

    def _one(self, dice: Dice, rows: int, columns: int) -> SmokeLayer:
        """A window of a layer that holds some smoke."""
        for _ in range(ATTEMPTS):
            source = self.layers[dice.index(len(self.layers))]
            found = crop(dice, source, rows, columns)
            if coverage(found.opacity) >= MIN_COVERAGE:
                break
        if dice.coin(0.5):
            found = mirror(found)
        found = stir(dice, found, dice.uniform(0.0, 0.03))
        return SmokeLayer(dice.log_uniform(0.7, 1.5) * found.density, found.airlight)

    def _far(self, dice: Dice, rows: int, columns: int) -> SmokeLayer:
        """A small part of the picture under smoke of one layer."""
        for _ in range(ATTEMPTS):
            source = self.layers[dice.index(len(self.layers))]
            scale = dice.log_uniform(*_FAR)
            found = shrink(dice, source, rows, columns, scale)
            if coverage(found.opacity, 0.2) >= 0.25 * scale**2:
                break
        if dice.coin(0.5):
            found = mirror(found)
        found = stir(dice, found, dice.uniform(0.0, 0.02))
        return SmokeLayer(dice.log_uniform(1.0, 2.0) * found.density, found.airlight)


def folded_window(dice: Dice, layers: Sequence[SmokeLayer]) -> SmokeLayer:
    """A piece of the smoke in one of ``layers`` that has folds to give to a plume."""
    windows = [crop(dice, layers[dice.index(len(layers))], *_WINDOW, 0.5) for _ in range(ATTEMPTS)]
    # Haze has no folds to give, and what surrounds the smoke none at all.
    window = max(windows, key=lambda one: coverage(one.opacity, 0.3) * folding(one).std())
    return mirror(window) if dice.coin(0.5) else window


def folds_of(window: SmokeLayer) -> Floats:
    """How the smoke in ``window`` is folded, and its colours, [h, w, 4]: see :func:`fill_plume`."""
    return np.dstack([folding(window), colours(window)])


def fill_plume(dice: Dice, folds: Floats, rows: int, columns: int, source: SourceBox) -> SmokeLayer:
    """A plume from ``source`` on the grid [rows, columns], with ``folds`` [h, w, 4] of real
    smoke."""
    plume = rising_plume(dice, rows, columns, source)
    across = dice.uniform(2.6, 3.6)
    along = across * _WINDOW[0] / _WINDOW[1] * dice.uniform(1.0, 1.5)
    laid = plume.read(folds, across, along, dice.uniform())
    density = dice.log_uniform(*SOURCE_DENSITY) * plume.fill(laid[..., 0]).density
    return SmokeLayer(density, laid[..., 1:])


def folding(layer: SmokeLayer) -> Floats:
    """How the smoke is folded, [h, w] in [0.25, 2]: its density relative to that around."""
    around = blur(layer.density, 0.1)
    little = 0.2 * max(float(layer.density.mean()), 1e-3)
    return np.clip((layer.density + little) / (around + little), 0.25, 2.0)


def colours(layer: SmokeLayer) -> Floats:
    """The smoke's airlight [h, w, 3], where there is little smoke that of the smoke around."""
    cover, little = layer.opacity[..., None], 1e-3
    near = blur(layer.opacity, 0.06)[..., None] + little
    around = (blur(layer.airlight * cover, 0.06) + little * mean_colour(layer)) / near
    return around + np.minimum(cover / 0.4, 1) * (layer.airlight - around)
