"""The models that lay smoke over a photo by Beer-Lambert, behind the common protocol."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wisp.config import parse_source
from wisp.errors import InputError
from wisp.models.base import (
    Computing,
    ImageInput,
    Rendered,
    SmokeModel,
    check_batch,
    check_strength,
    pixels_of,
    require_finite,
)
from wisp.smoke import Dice, PlaceableSmoke, RandomSmoke, SourceBox, sequence

if TYPE_CHECKING:
    from torch import Tensor

    from wisp.smoke.batches import SmokyBatch


class DrawnModel(SmokeModel):
    """Smoke drawn from ``smoke``; masks are exact, and where there is none the photo is itself."""

    exact_mask = True
    can_reconstruct = True
    computing = Computing(why="cpu, float32 (equations, no network)")

    def __init__(self, name: str, kind: str, smoke: RandomSmoke) -> None:
        self.name, self.kind = name, kind
        self._smoke = smoke

    def render(
        self, pixels: NDArray[np.uint8], strength: float, seed: int, keep_density: bool = False
    ) -> Rendered:
        """Smoke over ``pixels``, in place."""
        layer = self._smoke.layer(pixels, Dice(seed))
        require_finite(self.name, layer.density, layer.airlight)
        return Rendered(pixels, *layer.lay(pixels, strength, keep_density))

    def placed(self, source: str) -> SmokeModel:
        """This model, with all smoke rising from ``source``."""
        box = SourceBox(*parse_source(source))
        if not isinstance(self._smoke, PlaceableSmoke):
            return super().placed(source)
        return DrawnModel(self.name, self.kind, self._smoke.rising_from(box))

    def sequence(
        self, pixels: NDArray[np.uint8], strength: float, seed: int, frames: int
    ) -> Iterator[Rendered]:
        """Smoke that moves over ``pixels``, which are kept."""
        check_strength(strength)
        if not isinstance(self._smoke, PlaceableSmoke):
            yield from super().sequence(pixels, strength, seed, frames)
            return
        if frames < 1:
            raise InputError(f"frames {frames}: give at least 1")
        for layer in sequence(self._smoke, pixels, Dice(seed), frames):
            smoky = pixels.copy()
            yield Rendered(smoky, *layer.lay(smoky, strength))

    def add_batch(self, batch: Tensor, strength: float | Tensor = 1.0, seed: int = 0) -> SmokyBatch:
        """Another smoke for each picture of ``batch``."""
        from wisp.smoke.batches import add_to_batch

        check_batch(batch)
        return add_to_batch(self._smoke, batch, seed, strength)

    def translate(self, batch: Tensor) -> Tensor:
        """Smoke at strength 1 with seed 0."""
        return self.add_batch(batch).image.to(batch.dtype)

    def reconstruct(self, image: ImageInput, seed: int = 0) -> Image.Image:
        """The photo itself: what Beer-Lambert adds, it can take away without a trace."""
        return Image.fromarray(pixels_of(image))
