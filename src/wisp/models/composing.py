"""A trained CycleGAN whose generators compose, applied to photos of any size.

The networks say density and airlight at the scale they were trained at; the smoke is laid over the
full photo as all other smoke is. Imports timm, which other models do without.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from wisp.engine import Engine
from wisp.errors import InputError
from wisp.images.tensors import from_uint8
from wisp.models.base import Computing, ImageInput, pixels_of, require_finite
from wisp.models.drawn import DrawnModel
from wisp.models.scale import WorkingScale
from wisp.networks.backbone import Backbone, load_backbone
from wisp.networks.composing import SmokeAdder
from wisp.networks.lifter import LayerDecoder, inside, mirrored, seen
from wisp.networks.weights import weights_of
from wisp.resources import threads
from wisp.smoke import Dice, RandomSmoke, SmokeLayer, opacity
from wisp.smoke.layer import scene_of, thumbnail
from wisp.smoke.noise import Pixels
from wisp.smoke.optics import density_of, take_off
from wisp.smoke.visibility import (
    LARGE,
    SMALL,
    SMALL_SHARE,
    drawn_until_seen,
    prominence,
)

_AIRLIGHT_ERROR = 0.3
"""Of F, as a part of what scenes vary by."""
_LENT = 3
_DENSER = 1.3
"""Times the density that G learned to make, so that it is seen. Trained with such amounts, G
taught detectors less."""
_ATTEMPTS = 12
"""Twice those of other smoke: its airlight is drawn, too, and what only darkens is drawn anew."""
_IN_DOUBT = 0.001
"""What darkening counts, beside brightening: it decides where nothing can be brightened."""
_LOOKS = 2
"""Of dense smoke F finds too little at first. A third look finds hardly more, and tints."""


class ComposingPair(RandomSmoke):
    """G, which puts smoke into a photo, and F, which takes it off, on the features of ``backbone``.

    What G adds is a pure function of the photo and a seed. ``autocast`` sets the
    arithmetic of the networks.
    """

    def __init__(
        self,
        backbone: Backbone,
        adder: SmokeAdder,
        lifter: LayerDecoder,
        scale: WorkingScale,
        autocast: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext,
    ) -> None:
        self._backbone, self._adder, self._lifter = backbone, adder, lifter
        self._scale, self._autocast = scale, autocast

    def draw(self, pixels: Pixels, dice: Dice) -> SmokeLayer:
        """The smoke that is added, at half the scale of training.

        As for layered smoke, what cannot be seen is wished for anew, here also what brightens too
        little: R and detectors take it for a dim photo.
        """
        photo, scene, adder = self._small(pixels), scene_of(pixels), self._adder
        random = torch.Generator().manual_seed(dice.seed())

        def wished() -> SmokeLayer:
            cover, airlight = adder(maps, adder.wish(photo, random))
            return _layer(_DENSER * density_of(cover), airlight)

        def shown(layer: SmokeLayer) -> float:
            brightened = prominence(layer, scene, darkens=False)
            return brightened + _IN_DOUBT * prominence(layer, scene)

        with torch.inference_mode(), self._autocast():
            maps = self._backbone.maps(photo)
            enough = SMALL if dice.coin(SMALL_SHARE) else LARGE
            return drawn_until_seen(wished, shown, enough, _ATTEMPTS)

    def found_in(self, pixels: Pixels) -> SmokeLayer:
        """The smoke that F finds in ``pixels`` [H, W, 3]."""
        with torch.inference_mode(), self._autocast():
            cover, airlight = self._lifter.decode(self._backbone.maps(self._small(pixels)))
            return _layer(density_of(seen(cover)), airlight)

    def _small(self, pixels: Pixels) -> Tensor:
        small = from_uint8(thumbnail(pixels, *self._scale.size(*pixels.shape[:2])))
        device = self._adder.palette.device
        return mirrored(small[None]).to(device).contiguous(memory_format=torch.channels_last)


def _layer(density: Tensor, airlight: Tensor) -> SmokeLayer:
    density, airlight = (part[0].float().cpu() for part in inside(density, airlight))
    light = np.ascontiguousarray(airlight.movedim(0, -1).numpy())
    return SmokeLayer(density[0].numpy().copy(), (light + 1) / 2)


class ComposedModel(DrawnModel):
    """Zhu et al. 2017 (arXiv 1703.10593) with generators that compose: masks are exact."""

    def __init__(self, name: str, pair: ComposingPair, engine: Engine | None) -> None:
        super().__init__(name, "cyclegan", pair)
        self._pair = pair
        self.computing = Computing()
        if engine is not None:
            self.computing = Computing(str(engine.device), engine.precision, engine.why)

    def layers(self, pixels: NDArray[np.uint8], seed: int) -> Sequence[SmokeLayer]:
        """A few draws of G."""
        dice = Dice(seed)
        with threads(1):
            return [self._pair.draw(pixels, dice) for _ in range(_LENT)]

    def reconstruct(self, image: ImageInput, seed: int = 0) -> Image.Image:
        """Clean → smoky → clean: the smoke of ``seed`` laid, then found and taken off again, and
        what a second look still finds."""
        pixels = self.render(pixels_of(image), 1.0, seed).pixels
        with threads(1):
            for _ in range(_LOOKS):
                found = self._pair.found_in(pixels)
                require_finite(self.name, found.density, found.airlight)
                _take_off(pixels, found)
        return Image.fromarray(pixels)


def _take_off(pixels: Pixels, layer: SmokeLayer) -> None:
    """The scene behind ``layer`` over ``pixels`` [H, W, 3], in place, in blocks of rows."""
    height, width = pixels.shape[:2]
    small = thumbnail(pixels, *layer.density.shape).astype(np.float32)
    clear = np.exp(-2 * layer.density)
    mean = (small * clear[..., None]).sum((0, 1)) / clear.sum()
    for window, tau, light in layer.blocks(height, width, finer=False):
        scene = take_off(
            pixels[window].astype(np.float32), opacity(tau)[..., None], light, mean, _AIRLIGHT_ERROR
        )
        pixels[window] = np.clip(np.rint(scene), 0, 255)


def load_composing(
    name: str, tensors: Mapping[str, Tensor], state: Mapping[str, Any], engine: Engine | None
) -> ComposedModel:
    """The model in a checkpoint: its ``tensors`` and JSON ``state``.

    Raises InputError when the tensors are not those of the networks that the state names.
    """
    backbone = load_backbone(str(state["backbone"]), "none")
    features = backbone.channels()
    adder, lifter = SmokeAdder(features), LayerDecoder(features)
    networks = {"backbone": backbone, "clean_to_smoky": adder, "smoky_to_clean": lifter}
    for key, network in networks.items():
        try:
            network.load_state_dict(weights_of(tensors, key))
        except RuntimeError as error:
            detail = " ".join(str(error).split())[:300]
            raise InputError(f"{name}: does not hold the network it names ({detail})") from None
        network.eval().requires_grad_(False).to(engine.device if engine else "cpu")
    scale = WorkingScale(state["fit"], int(state["load_size"]))
    autocast = engine.autocast if engine else contextlib.nullcontext
    return ComposedModel(name, ComposingPair(backbone, adder, lifter, scale, autocast), engine)
