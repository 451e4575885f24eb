"""What every smoke model offers."""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wisp.errors import InputError
from wisp.images import decode
from wisp.smoke import SmokeLayer

if TYPE_CHECKING:
    from torch import Tensor

    from wisp.smoke.batches import SmokyBatch

ImageInput = Image.Image | str | Path | NDArray[np.uint8]
"""A PIL image, a path, or uint8 [H, W, 3] (or [H, W], grey)."""


@dataclasses.dataclass(frozen=True)
class Smoky:
    """A photo with smoke in it.

    ``image`` is RGB and of the photo's size; ``density`` float32 [H, W] is the optical density
    τ ≥ 0 of the smoke that was added; ``mask`` ('L', same size) its opacity 1 - exp(-τ), 255 for 1.
    """

    image: Image.Image
    density: NDArray[np.float32]
    mask: Image.Image


@dataclasses.dataclass(frozen=True)
class Rendered:
    """``pixels`` uint8 [H, W, 3], ``mask`` (opacity) uint8 [H, W], ``density`` float32 [H, W]."""

    pixels: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    density: NDArray[np.float32] | None
    flat: bool = False
    """Whether a generator painted one colour over the photo."""


@dataclasses.dataclass(frozen=True)
class Computing:
    """Where and how a model computes, and why so."""

    device: str = "cpu"
    precision: str = "32"
    why: str = "cpu, float32 (the default of wisp.load)"


class SmokeModel(abc.ABC):
    """Adds smoke to photos; made by :func:`wisp.load`."""

    name: str
    """What it was loaded from."""
    kind: str
    """``procedural``, ``layered`` or ``cyclegan``."""
    exact_mask: bool
    """Whether density and mask are the truth, or estimated from the change of the pixels."""
    can_reconstruct: bool
    """Whether :meth:`reconstruct` is possible."""
    computing: Computing

    @abc.abstractmethod
    def render(
        self, pixels: NDArray[np.uint8], strength: float, seed: int, keep_density: bool = False
    ) -> Rendered:
        """Smoke over ``pixels`` uint8 [H, W, 3]; the array may be overwritten."""

    def placed(self, source: str) -> SmokeModel:
        """This model, with all smoke rising from ``source``: ``"x,y,w,h"``, a box in fractions of
        the picture's width and height.

        Raises InputError for a box without area or outside the picture, and for a CycleGAN, which
        nothing can steer.
        """
        raise InputError(
            f"--source {source}: {self.name} places smoke itself and cannot be steered; take "
            "--model procedural or a layered model"
        )

    def sequence(
        self, pixels: NDArray[np.uint8], strength: float, seed: int, frames: int
    ) -> Iterator[Rendered]:
        """Smoke that moves over ``pixels`` uint8 [H, W, 3], which are kept: ``frames`` pictures.

        The first is that of :meth:`render`. Raises InputError for a CycleGAN, and
        for a strength that is no number ≥ 0 or fewer frames than one.
        """
        raise InputError(f"{self.name} makes smoke for a still picture and cannot move it")

    def layers(self, pixels: NDArray[np.uint8], seed: int) -> Sequence[SmokeLayer]:
        """Smoke as this model makes it for ``pixels`` [H, W, 3], to lend look-alikes its texture:
        what only smoke has, a detector takes for smoke. Empty where real layers serve as well."""
        return ()

    @abc.abstractmethod
    def translate(self, batch: Tensor) -> Tensor:
        """Clean pictures [B, 3, H, W] in [-1, 1] as smoky ones: the same shape and range."""

    @abc.abstractmethod
    def add_batch(self, batch: Tensor, strength: float | Tensor = 1.0, seed: int = 0) -> SmokyBatch:
        """Smoke, density and airlight for clean pictures [B, 3, H, W] in [-1, 1]."""

    @abc.abstractmethod
    def reconstruct(self, image: ImageInput, seed: int = 0) -> Image.Image:
        """The photo sent clean → smoky → clean: it carries the model's traces but no smoke."""

    def add_smoke(self, image: ImageInput, strength: float = 1.0, seed: int = 0) -> Smoky:
        """Smoke in a photo of any size, which is kept, as is the aspect.

        ``strength`` ≥ 0 multiplies the smoke's optical density (1: as the model makes it); ``seed``
        draws another smoke from a random model. Raises InputError for an unreadable picture or a
        strength that is no number ≥ 0.
        """
        check_strength(strength)
        result = self.render(pixels_of(image), strength, seed, keep_density=True)
        assert result.density is not None
        return Smoky(Image.fromarray(result.pixels), result.density, Image.fromarray(result.mask))


def check_strength(strength: float) -> None:
    """Raise InputError unless ``strength`` is finite and not below 0."""
    if not math.isfinite(strength) or strength < 0:
        raise InputError(f"strength {strength}: give a finite number, not below 0")


def require_finite(name: str, *made: NDArray[np.float32]) -> None:
    """Raise InputError where what the networks of model ``name`` made is not finite: smoke of it
    would be black."""
    if not all(bool(np.isfinite(values).all()) for values in made):
        raise InputError(
            f"--model {name}: its pictures are not finite numbers; take another checkpoint"
        )


def pixels_of(image: ImageInput) -> NDArray[np.uint8]:
    """The picture as a new, writable uint8 array [H, W, 3].

    Raises InputError for an unreadable file or an array of another shape or type.
    """
    if isinstance(image, (str, Path)):
        image = decode(Path(image))
    if isinstance(image, Image.Image):
        return np.array(image.convert("RGB"), dtype=np.uint8)
    array = np.asarray(image)
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or array.shape[2:] not in ((), (3,)):
        raise InputError(
            f"image: an array of {array.dtype} {array.shape} was given; pass uint8 [H, W, 3] or "
            "[H, W], a PIL image or a path"
        )
    if array.ndim == 2:
        array = np.repeat(array[..., None], 3, axis=2)
    return array.copy()


def check_batch(batch: Tensor) -> None:
    """Raise InputError unless ``batch`` is floating point [B, 3, H, W]."""
    if batch.ndim != 4 or batch.shape[1] != 3 or not batch.is_floating_point():
        raise InputError(
            f"batch: {batch.dtype} {tuple(batch.shape)} was given; pass floats [B, 3, H, W] "
            "in [-1, 1]"
        )
