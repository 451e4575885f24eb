"""Smoke without training: random shapes, densities and colours, laid on by Beer-Lambert."""

from __future__ import annotations

import dataclasses
import functools

import cv2
import numpy as np

from wisp.smoke.drawn import PlaceableSmoke
from wisp.smoke.fields import SHAPES, Field
from wisp.smoke.layer import SmokeLayer, coverage, mix
from wisp.smoke.noise import Dice, Floats
from wisp.smoke.placement import SourceBox, rising_plume, smoke_texture
from wisp.smoke.shading import shading

MIN_COVERAGE = 0.05
"""At strength 1 at least this part of a picture under procedural smoke without a source has an
opacity above 0.1."""
SOURCE_DENSITY = (2.0, 6.0)
"""Optical density of a plume right above its source."""


@dataclasses.dataclass(frozen=True)
class ProceduralSmoke(PlaceableSmoke):
    """Random smoke of ``shapes``, the names of :data:`wisp.smoke.fields.SHAPES`, one to three in a
    picture, as often as ``weights`` say. With a ``source`` all smoke is one plume from there.
    """

    shapes: tuple[str, ...] = ("plume", "bank", "burst", "veil", "wisps")
    weights: tuple[float, ...] = (0.34, 0.16, 0.27, 0.16, 0.07)
    source: SourceBox | None = None

    def rising_from(self, source: SourceBox) -> ProceduralSmoke:
        """The same colours, in a plume that rises from ``source``."""
        return dataclasses.replace(self, source=source)

    def drawn(self, dice: Dice, rows: int, columns: int, scene: Floats) -> SmokeLayer:
        """See :meth:`GridSmoke.drawn`."""
        if self.source is not None:
            return _rising(dice, rows, columns, scene, self.source)
        # A few attempts: smoke that misses the picture, or is too thin to see, is drawn anew.
        for _ in range(4):
            layer = self._attempt(dice, rows, columns, scene)
            if coverage(layer.opacity[::2, ::2]) >= MIN_COVERAGE:
                return layer
        veil = 0.25 * SHAPES["veil"](dice, rows, columns).density
        return SmokeLayer(layer.density + veil, layer.airlight)

    def _attempt(self, dice: Dice, rows: int, columns: int, scene: Floats) -> SmokeLayer:
        """One to three shapes together."""
        count = int(dice.pick("123", (0.62, 0.28, 0.10)))
        base = _colour(dice, scene)
        light = dice.uniform(-1.0, 1.0)
        layers = []
        for index in range(count):
            name = dice.pick(self.shapes, self.weights)
            field = SHAPES[name](dice, rows, columns)
            tau = (_peak(dice, name) * (0.6 if index else 1.0)) * field.density
            own = base if index == 0 or dice.coin(0.7) else _colour(dice, scene)
            layers.append(_lit(dice, Field(tau, field.relief), own, light))
        return functools.reduce(mix, layers)


def _lit(dice: Dice, field: Field, colour: Floats, light: float) -> SmokeLayer:
    """Smoke of one ``colour`` [3] in [0, 1], lit from one side."""
    gain = shading(dice, field, light)
    airlight = cv2.merge([np.clip(float(part) * gain, 0, 1) for part in colour])
    return SmokeLayer(field.density, airlight)


def _rising(dice: Dice, rows: int, columns: int, scene: Floats, source: SourceBox) -> SmokeLayer:
    """A plume from ``source``."""
    plume = rising_plume(dice, rows, columns, source)
    field = plume.fill(smoke_texture(dice, plume))
    tau = dice.log_uniform(*SOURCE_DENSITY) * field.density
    return _lit(dice, Field(tau, field.relief), _colour(dice, scene), dice.uniform(-1.0, 1.0))


def _peak(dice: Dice, shape: str) -> float:
    """Optical density that a shape's dense parts reach."""
    low, high = {
        "plume": (0.5, 5.0),
        "bank": (0.6, 5.0),
        "burst": (0.9, 6.0),
        "veil": (0.3, 4.5),
        "wisps": (0.35, 1.6),
    }[shape]
    return dice.log_uniform(low, high)


def ambient_light(scene: Floats) -> Floats:
    """The light [3] in [0, 1] of ``scene`` [h, w, 3]: the mean colour of its brightest quarter."""
    luminance = scene.mean(-1).ravel()
    count = max(1, luminance.size // 4)
    brightest = np.argpartition(luminance, -count)[-count:]
    light: Floats = scene.reshape(-1, 3)[brightest].mean(0)
    return light


def tint_of(ambient: Floats, low: float = 0.7, high: float = 1.3) -> Floats:
    """The hue [3] of light, about 1, within ``low`` and ``high``."""
    return np.clip(ambient / max(float(ambient.mean()), 0.05), low, high)


def _colour(dice: Dice, scene: Floats) -> Floats:
    """Airlight [3] in [0, 1]: white, grey, brown or black, lit as ``scene`` [h, w, 3] is."""
    luminance, ambient = float(scene.mean()), ambient_light(scene)
    kind = dice.pick(("white", "grey", "brown", "black"), (0.56, 0.23, 0.09, 0.12))
    low, high = {
        "white": (0.8, 1.02), "grey": (0.42, 0.78), "brown": (0.35, 0.8), "black": (0.04, 0.26)
    }[kind]  # fmt: skip
    base = np.full(3, dice.uniform(low, high), np.float32)
    if kind == "brown":
        base *= np.array([1.0, dice.uniform(0.82, 0.95), dice.uniform(0.55, 0.85)], np.float32)
    base *= 1 + 0.03 * dice.normal(3)
    if kind != "black":
        share = dice.uniform(0.0, 0.6 if kind != "brown" else 0.2)
        base *= 1 + share * (tint_of(ambient) - 1)
        # Smoke in a dark room is dark; a flash or a lamp may still light it.
        base *= 1 + dice.uniform(0.0, 0.6) * (max(float(ambient.mean()), 0.25) - 1)
    # Smoke as bright as the scene behind it could not be seen.
    difference = float(base.mean()) - luminance
    if abs(difference) < 0.15:
        away = 1.0 if luminance < 0.6 and kind != "black" else -1.0
        base += away * 0.2 - difference
    return np.clip(base, 0.02, 1.0)
