"""Smoke without training: random shapes, densities and colours, laid on by Beer-Lambert.

The smoke of a picture is drawn on a small grid (:class:`SmokeLayer`) and rendered in blocks of
rows, so that a picture of any size costs little memory.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from wisp.smoke.detail import BLOCK_ROWS, Detail
from wisp.smoke.fields import SHAPES, Field
from wisp.smoke.noise import GRID_PX, Dice, RowBlocks, blur, grid_shape, resample_lines
from wisp.smoke.optics import coverage, opacity
from wisp.smoke.placement import SourceBox, mobility, rising_plume, smoke_texture
from wisp.smoke.shading import shading

_TILE_PX = 256
MIN_COVERAGE = 0.05
"""At strength 1 at least this part of a picture under procedural smoke without a source has an
opacity above 0.1."""
SOURCE_DENSITY = (2.0, 6.0)
"""Optical density of a plume right above its source."""


@dataclasses.dataclass(frozen=True)
class SmokyBatch:
    """Pictures with known smoke: ``image`` [B,3,H,W] in [-1,1]; ``density`` [B,1,H,W], optical
    density τ ≥ 0 at the strength that was asked for; ``airlight`` [B,3,H,W] in [-1,1]."""

    image: Tensor
    density: Tensor
    airlight: Tensor


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
            grid_density, grid_airlight, self.tile, self.height, self.width, self.scatter, risen
        )

    def _tau(self, top: int, bottom: int, left: int, right: int) -> Tensor:
        """τ of one block of rows, in the columns from ``left`` to before ``right``."""
        block = self._density(top, bottom, left, right)
        if self._detail.visible:
            block.mul_(self._detail(top, bottom, left, right))
        return block

    def airlight_rows(self, top: int, bottom: int) -> Tensor:
        """A [3, bottom - top, width] of the rows from ``top`` to below ``bottom``."""
        airlight = RowBlocks(self.grid_airlight.clamp(-1, 1), self.height, self.width)
        return airlight(top, bottom).clamp_(-1, 1)

    def apply(
        self, image: Tensor, strength: float = 1.0, keep_density: bool = True
    ) -> tuple[Tensor | None, Tensor]:
        """Lay the smoke over ``image`` in place; (τ·strength [H, W] or None, opacity uint8 [H, W]).

        ``image`` is [3, H, W], float32 in [-1, 1], or uint8 [H, W, 3] (a decoded picture), of this
        layer's size. Works in blocks of rows: memory beyond the results is a few megabytes.
        """
        eight_bit = image.dtype == torch.uint8
        planes = image.permute(2, 0, 1) if eight_bit else image
        # In the units of the pixels; half a level more, for cutting off then rounds.
        scale, shift = (127.5, 128.0) if eight_bit else (1.0, 0.0)
        behind = None
        if self.scatter > 0:
            behind = RowBlocks(self._backdrop(image) * scale + shift, self.height, self.width)
        grid_airlight = self.grid_airlight.clamp(-1, 1) * scale + shift
        airlight = RowBlocks(grid_airlight, self.height, self.width)
        mask = torch.zeros(self.height, self.width, dtype=torch.uint8)
        kept = torch.zeros(self.height, self.width) if keep_density else None
        for top in range(0, self.height, BLOCK_ROWS):
            bottom = min(self.height, top + BLOCK_ROWS)
            left, right = self._density.columns(top, bottom)
            if left == right or strength == 0:
                continue
            window = (slice(top, bottom), slice(left, right))
            tau = self._tau(top, bottom, left, right)
            if kept is not None:
                torch.mul(tau, strength, out=kept[window])
            if eight_bit:
                # A quarter of the time of expm1, and 0 where there is none, too: what it lacks in
                # thin smoke is far below a level.
                cover = tau.mul_(-strength).exp_().neg_().add_(1)
            else:
                cover = opacity(tau, strength)
            # numpy cuts off to 8 bits, and puts colours side by side, faster than torch does.
            mask.numpy()[window] = (cover * 255).add_(0.5).numpy()
            rows = planes[:, *window]
            if eight_bit:
                rows = rows.to(torch.float32, memory_format=torch.contiguous_format).add_(0.5)
            if behind is not None:
                rows.lerp_(behind(top, bottom, left, right), self.scatter * cover)
            rows.lerp_(airlight(top, bottom, left, right), cover)
            if eight_bit:
                np.stack(list(rows.numpy().astype(np.uint8)), axis=-1, out=image[window].numpy())
        return kept, mask

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


def size_of(image: Tensor) -> tuple[int, int]:
    """Height and width [px] of ``image``: float [3,H,W] or uint8 [H,W,3]."""
    height, width = image.shape[:2] if image.dtype == torch.uint8 else image.shape[1:]
    return height, width


def scene_of(image: Tensor) -> Tensor:
    """``image`` (float [3,H,W] in [-1,1] or uint8 [H,W,3]) in small: [3, 24, 24] in [0, 1]."""
    return thumbnail(image, (24, 24)).add_(1).div_(2).clamp_(0, 1)


class RandomSmoke(abc.ABC):
    """Smoke that can be drawn for a picture: a pure function of it and a generator's state."""

    @abc.abstractmethod
    def draw(self, image: Tensor, dice: Dice) -> tuple[Tensor, Tensor]:
        """τ [h, w] and airlight [3, h, w] in [-1, 1], on a grid of its own, for one picture."""

    def layer(self, image: Tensor, generator: torch.Generator) -> SmokeLayer:
        """Draw the smoke for one picture: float [3,H,W] in [-1,1] or uint8 [H,W,3]."""
        height, width = size_of(image)
        dice = Dice(generator)
        tau, airlight = self.draw(image, dice)
        scatter = dice.uniform(0.3, 0.8) if dice.coin(0.4) else 0.0
        return SmokeLayer(tau, airlight, dice.normal(_TILE_PX, _TILE_PX), height, width, scatter)

    def add(
        self, clean: Tensor, generator: torch.Generator, strength: float | Tensor = 1.0
    ) -> SmokyBatch:
        """Smoke for each picture of ``clean`` [B,3,H,W] in [-1,1].

        ``strength`` ≥ 0 is a number or one per picture [B]; it multiplies optical density. Drawn
        from the CPU ``generator``; results are on the device of ``clean``.
        """
        batch, height = clean.shape[0], clean.shape[2]
        strengths = torch.as_tensor(strength, dtype=torch.float32).flatten().expand(batch).tolist()
        images, densities, airlights = [], [], []
        for image, factor in zip(clean, strengths, strict=True):
            picture = image.detach().float().cpu().clone()
            layer = self.layer(picture, generator)
            tau, _ = layer.apply(picture, factor)
            assert tau is not None
            images.append(picture)
            densities.append(tau[None])
            airlights.append(layer.airlight_rows(0, height))
        device = clean.device
        if batch == 0:
            return SmokyBatch(clean, clean[:, :1], clean)
        return SmokyBatch(
            torch.stack(images).to(device),
            torch.stack(densities).to(device),
            torch.stack(airlights).to(device),
        )


class GridSmoke(RandomSmoke):
    """Random smoke that is drawn on a grid of one size, of the photo's aspect."""

    grid_px: int = GRID_PX
    """Long side of the grid."""

    def draw(self, image: Tensor, dice: Dice) -> tuple[Tensor, Tensor]:
        """As :meth:`_draw` draws it, on the grid of the picture's aspect."""
        rows, columns = grid_shape(*size_of(image), self.grid_px)
        return self._draw(dice, rows, columns, scene_of(image))

    @abc.abstractmethod
    def _draw(self, dice: Dice, rows: int, columns: int, scene: Tensor) -> tuple[Tensor, Tensor]:
        """τ [rows, columns] and airlight [3, rows, columns] in [-1, 1] for ``scene`` [3, 24, 24] in
        [0, 1], the photo in small."""


class PlaceableSmoke(GridSmoke):
    """Random smoke that can be told where to rise."""

    source: SourceBox | None = None
    """Where all smoke rises from; None: anywhere."""

    @abc.abstractmethod
    def rising_from(self, source: SourceBox) -> PlaceableSmoke:
        """The same smoke, but a plume that rises from ``source``, and none below it."""

    def mobility(self, rows: int, columns: int) -> Tensor:
        """How freely smoke moves at each place of the grid, [rows, columns] or [rows, 1] in [0, 1]:
        not at all at the bottom of a source."""
        if self.source is None:
            return torch.ones(rows, 1)
        return mobility(self.source, rows, columns)


@dataclasses.dataclass(frozen=True)
class ProceduralSmoke(PlaceableSmoke):
    """Random smoke, a pure function of the generator's state and the picture.

    ``shapes`` are the names of :data:`wisp.smoke.fields.SHAPES` to draw from and ``weights`` how
    often. One to three shapes make one picture's smoke. ``grid_px`` is the long side of the grid it
    is computed on: the same smoke, and four times as fast at half of it, for small pictures. With a
    ``source`` all smoke is one plume that rises from there.
    """

    shapes: tuple[str, ...] = ("plume", "bank", "burst", "veil", "wisps")
    weights: tuple[float, ...] = (0.34, 0.16, 0.27, 0.16, 0.07)
    grid_px: int = GRID_PX
    source: SourceBox | None = None

    def rising_from(self, source: SourceBox) -> ProceduralSmoke:
        """The same colours, in a plume that rises from ``source``."""
        return dataclasses.replace(self, source=source)

    def _draw(self, dice: Dice, rows: int, columns: int, scene: Tensor) -> tuple[Tensor, Tensor]:
        if self.source is not None:
            return _rising(dice, rows, columns, scene, self.source)
        # A few attempts: smoke that misses the picture, or is too thin to see, is drawn anew.
        for attempt in range(4):
            tau, airlight = self._attempt(dice, rows, columns, scene)
            if coverage(opacity(tau)) >= MIN_COVERAGE:
                break
            if attempt == 3:
                tau = tau + 0.25 * SHAPES["veil"](dice, rows, columns).density
        return tau, airlight.mul_(2).sub_(1)

    def _attempt(self, dice: Dice, rows: int, columns: int, scene: Tensor) -> tuple[Tensor, Tensor]:
        """τ [h, w] and airlight [3, h, w] in [0, 1] of one to three shapes together."""
        count = int(dice.pick("123", (0.62, 0.28, 0.10)))
        base = _colour(dice, scene)
        light = dice.uniform(-1.0, 1.0)
        total = torch.zeros(rows, columns)
        mixed = torch.zeros(3, rows, columns)
        for index in range(count):
            name = dice.pick(self.shapes, self.weights)
            field = SHAPES[name](dice, rows, columns)
            tau = _peak(dice, name) * (0.6 if index else 1.0) * field.density
            own = base if index == 0 or dice.coin(0.7) else _colour(dice, scene)
            shaded = own[:, None, None] * shading(dice, Field(tau, field.relief), light)
            total += tau
            mixed += tau * shaded
        # Well-mixed smokes glow in proportion to their densities.
        airlight = torch.where(total > 1e-4, mixed / total.clamp(min=1e-4), base[:, None, None])
        return total, airlight.clamp(0, 1)


def _rising(
    dice: Dice, rows: int, columns: int, scene: Tensor, source: SourceBox
) -> tuple[Tensor, Tensor]:
    """τ [h, w] and airlight [3, h, w] in [-1, 1] of a plume from ``source``."""
    plume = rising_plume(dice, rows, columns, source)
    field = plume.fill(smoke_texture(dice, plume))
    tau = dice.log_uniform(*SOURCE_DENSITY) * field.density
    colour = _colour(dice, scene)[:, None, None]
    airlight = colour * shading(dice, Field(tau, field.relief), dice.uniform(-1.0, 1.0))
    return tau, airlight.clamp(0, 1).mul_(2).sub_(1)


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


def ambient_light(scene: Tensor) -> Tensor:
    """The light [3] in [0, 1] of ``scene`` [3, h, w]: the mean colour of its brightest quarter."""
    luminance = scene.mean(0).flatten()
    brightest = luminance.topk(max(1, luminance.numel() // 4)).indices
    return scene.flatten(1)[:, brightest].mean(1)


def _colour(dice: Dice, scene: Tensor) -> Tensor:
    """Airlight [3] in [0, 1]: white, grey, brown or black, lit as ``scene`` [3, h, w] is."""
    luminance, ambient = scene.mean(0).flatten(), ambient_light(scene)
    kind = dice.pick(("white", "grey", "brown", "black"), (0.56, 0.23, 0.09, 0.12))
    if kind == "white":
        base = torch.full((3,), dice.uniform(0.8, 1.02))
    elif kind == "grey":
        base = torch.full((3,), dice.uniform(0.42, 0.78))
    elif kind == "brown":
        base = dice.uniform(0.35, 0.8) * torch.tensor(
            [1.0, dice.uniform(0.82, 0.95), dice.uniform(0.55, 0.85)]
        )
    else:
        base = torch.full((3,), dice.uniform(0.04, 0.26))
    base = base * (1 + 0.03 * dice.normal(3))
    if kind != "black":
        tint = ambient / ambient.mean().clamp(min=0.05)
        share = dice.uniform(0.0, 0.6 if kind != "brown" else 0.2)
        base = base * torch.lerp(torch.ones(3), tint.clamp(0.7, 1.3), share)
        # Smoke in a dark room is dark; a flash or a lamp may still light it.
        base = torch.lerp(base, base * ambient.mean().clamp(min=0.25), dice.uniform(0.0, 0.6))
    # Smoke as bright as the scene behind it could not be seen.
    difference = float(base.mean() - luminance.mean())
    if abs(difference) < 0.15:
        away = 1.0 if float(luminance.mean()) < 0.6 and kind != "black" else -1.0
        base = base + (away * 0.2 - difference)
    return base.clamp(0.02, 1.0)
