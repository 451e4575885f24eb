"""Steam over a pot: thin, white and soft; it spreads as it rises, and is gone.

Its folds are those of real smoke. A detector that knew smoke by the folds of real smoke, and steam
by those of noise, would not have learned what tells them apart.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from wisp.smoke.drawn import GridSmoke
from wisp.smoke.layer import SmokeLayer, coverage
from wisp.smoke.lifted import fill_plume, folded_window, folds_of
from wisp.smoke.noise import FEWER_CELLS, Dice, Floats, Pixels, coordinates, upper
from wisp.smoke.placement import SourceBox
from wisp.smoke.procedural import ambient_light, tint_of
from wisp.smoke.visibility import drawn_until_seen, prominence

STEAM_COVERAGE = (0.03, 0.35)
"""The part of a picture in which steam has an opacity above 0.1."""
STEAM_PEAK = (0.45, 0.8)
"""The opacity of steam where it is densest; the wider it has spread, the less."""
_PLAIN_CHANGE = 0.08
"""The change of a pixel, as a part of the range, by which steam is seen."""
_PROMINENT = 0.04
"""The part of a picture that steam should change so: what nobody sees teaches nothing."""
_LARGEST = 2.0
_SOURCE_HEIGHT = 0.05
"""Of the long side: steam begins within so much of the pot's mouth."""
_ATTEMPTS = 12


@dataclasses.dataclass(frozen=True)
class Steam(GridSmoke):
    """Steam that rises from one or two pots; ``layers`` of real smoke lend it their folds."""

    layers: Sequence[SmokeLayer]

    @property
    def cells(self) -> int:
        """Few: it is soft."""
        return FEWER_CELLS

    def drawn(self, dice: Dice, rows: int, columns: int, scene: Floats) -> SmokeLayer:
        """See :meth:`GridSmoke.drawn`."""
        # The steam of a pot, near or far, just risen or spread through half the room.
        size = dice.log_uniform(0.8, _LARGEST)
        peak = min(STEAM_PEAK[1], dice.uniform(*STEAM_PEAK) / size**0.3)
        airlight = np.full((rows, columns, 3), _airlight(dice, scene), np.float32)
        least, most = STEAM_COVERAGE
        folds = folds_of(folded_window(dice, self.layers))

        # Drawn anew, elsewhere, larger or smaller, until it can be seen and does not fill the view.
        def draw() -> tuple[SmokeLayer, float]:
            nonlocal size
            tau = _rising(dice, folds, rows, columns, scene, size)
            if dice.coin(0.3):
                tau = tau + 0.7 * _rising(dice, folds, rows, columns, scene, 0.7 * size)
            layer = SmokeLayer(tau * (-math.log1p(-peak) / max(float(tau.max()), 1e-6)), airlight)
            covered = coverage(layer.opacity)
            size *= 1.25 if covered < least else 0.8 if covered > most else 1.0
            return layer, covered

        def shown(drawn: tuple[SmokeLayer, float]) -> float:
            layer, covered = drawn
            if not least <= covered <= most:
                return -math.inf
            return prominence(layer, scene, _PLAIN_CHANGE, darkens=False)

        return drawn_until_seen(draw, shown, _PROMINENT, _ATTEMPTS)[0]


def _rising(
    dice: Dice, folds: Floats, rows: int, columns: int, scene: Floats, size: float
) -> Floats:
    """Density [rows, columns] ≥ 0 of the steam of one pot, of order 1."""
    x, y = _place(dice, rows, columns, scene)
    right, bottom = columns / max(rows, columns), rows / max(rows, columns)
    wide, tall = size * dice.uniform(0.1, 0.3), math.sqrt(size) * dice.uniform(0.35, 0.8)
    height = _SOURCE_HEIGHT
    box = SourceBox((x - wide / 2) / right, (y - height) / bottom, wide / right, height / bottom)
    density = fill_plume(dice, folds, rows, columns, box).density
    up = np.maximum(y - coordinates(rows, columns)[1], 0) / tall
    # It stays about as dense while it rises, and then is gone.
    density = density * (np.exp(-(up**2)) * (1 + 1.2 * up))
    # Relative to what all but half a percent of the picture stays below: one dense knot in a
    # plume would leave nothing of the rest.
    top = upper(density[::2, ::2].ravel(), 0.995)
    return np.minimum(density / max(top, 1e-6), 1.3)


def _place(dice: Dice, rows: int, columns: int, scene: Floats) -> tuple[float, float]:
    """x, y of a pot: of six places the one with the darkest view above it, where steam shows."""
    right, bottom = columns / max(rows, columns), rows / max(rows, columns)
    luminance = scene.mean(-1)
    places: list[tuple[float, float, float]] = []
    for _ in range(6):
        across, down = dice.uniform(0.1, 0.9), dice.uniform(0.45, 0.95)
        row, column = int(down * luminance.shape[0]), int(across * luminance.shape[1])
        above = luminance[max(0, row - 9) : row, max(0, column - 2) : column + 3]
        places.append((float(above.mean()), across * right, down * bottom))
    _, x, y = min(places)
    return x, y


def _airlight(dice: Dice, scene: Floats) -> Floats:
    """The colour [3] in [0, 1] of steam: brighter than the scene, tinted a little as its light."""
    ambient = ambient_light(scene)
    mean = float(ambient.mean())
    brightness = mean + dice.uniform(0.4, 0.9) * (1 - mean)
    return np.minimum(brightness * tint_of(ambient, 0.92, 1.08), 1.0)


def steam(dice: Dice, pixels: Pixels, layers: Sequence[SmokeLayer]) -> None:
    """Steam over ``pixels`` [H, W, 3], in place, with the folds of ``layers``; it makes no pixel
    darker."""
    before = pixels.copy()
    Steam(layers).layer(pixels, dice).lay(pixels)
    np.maximum(pixels, before, out=pixels)
