"""A small rendered world: pans and food on cooktops seen from above, with and without smoke.

It stands in for photos where none may be shipped. The smoke that is learned from is wisp's
``procedural`` smoke. That of the “real” test set is *not*: it is a cloud of Gaussian puffs that
leave a pan, drift, are stirred by a turbulent velocity field and grow (a Lagrangian
puff model, as in atmospheric dispersion), and it is laid over the picture in linear light. So what
is tested on is made by a process that nothing learned from.
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from wisp.demonstration.kitchens import (
    Kitchen,
    draw_clutter,
    draw_counter,
    draw_hob,
    draw_pan,
    random_kitchen,
)
from wisp.demonstration.puffs import puff_density
from wisp.models import load

Array = npt.NDArray[np.float32]

SIZE_PX = 160
_SUPERSAMPLING = 2
_GAMMA = 2.2


@dataclasses.dataclass(frozen=True)
class Photo:
    """One rendered picture."""

    image: Image.Image
    opacity: Array | None
    """True opacity of the smoke [H, W] in [0, 1], or None without smoke."""


def _linear(image: Image.Image) -> Array:
    return np.asarray(np.asarray(image, np.float32) / 255, np.float32) ** _GAMMA


def _photograph(light: Array, kitchen: Kitchen, rng: np.random.Generator) -> Image.Image:
    """Exposure, lamp colour, fall-off, lens and sensor: linear light [H, W, 3] to a picture."""
    size_px = light.shape[0]
    y, x = (np.mgrid[:size_px, :size_px].astype(np.float32) + 0.5) / size_px - 0.5
    along = x * math.cos(kitchen.lamp_direction) + y * math.sin(kitchen.lamp_direction)
    exposure = kitchen.brightness * rng.uniform(0.8, 1.2) * (1 + 0.5 * along)
    exposure = exposure * (1 - kitchen.vignette * 2 * (x**2 + y**2))
    warmth = kitchen.lamp_warmth + rng.normal(0, 0.1)
    balance = np.array([1 + 0.12 * warmth, 1, 1 - 0.16 * warmth], np.float32)
    exposed = np.clip(light * exposure[..., None] * balance, 0, 1)
    display = exposed ** (1 / _GAMMA) + rng.normal(0, kitchen.noise, exposed.shape)
    picture = Image.fromarray((np.clip(display, 0, 1) * 255).astype(np.uint8))
    if rng.random() < 0.3:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 0.8)))
    return picture


def render(kitchen: Kitchen, rng: np.random.Generator, *, smoke: bool) -> Photo:
    """Take one photo of ``kitchen`` with pans placed anew, with or without smoke."""
    side = SIZE_PX * _SUPERSAMPLING
    # The surfaces of a place are the same in all its photos, so they have their own generator.
    surface_rng = np.random.default_rng(round((kitchen.zoom - 1) * 1e9))
    image = draw_counter(kitchen, surface_rng, side)
    image = draw_hob(image, kitchen)
    image = draw_clutter(image, kitchen, rng)
    order = rng.permutation(len(kitchen.burners))[: int(rng.integers(1, 4))]
    sources = []
    for index in order:
        x, y, radius = kitchen.burners[int(index)]
        offset = rng.normal(0, 0.012, 2)
        x, y = x + offset[0], y + offset[1]
        image = draw_pan(
            image, kitchen, rng, x * side, y * side, radius * rng.uniform(0.9, 1.15) * side
        )
        sources.append((x, y))
    crop = side / kitchen.zoom
    shift = rng.normal(0, 0.015, 2) * side
    centre = side / 2 + shift
    rotation_deg = kitchen.rotation_deg + rng.normal(0, 1)
    image = image.rotate(
        rotation_deg,
        Image.Resampling.BICUBIC,
        center=tuple(centre),
        fillcolor=kitchen.counter_colour,
    )
    image = image.crop(
        (
            round(centre[0] - crop / 2),
            round(centre[1] - crop / 2),
            round(centre[0] + crop / 2),
            round(centre[1] + crop / 2),
        )
    )
    image = image.resize((SIZE_PX, SIZE_PX), Image.Resampling.LANCZOS)
    light = _linear(image)
    opacity: Array | None = None
    if smoke:
        x, y = sources[int(rng.integers(len(sources)))]
        angle = math.radians(-rotation_deg)
        dx, dy = x * side - centre[0], y * side - centre[1]
        source = (
            (math.cos(angle) * dx - math.sin(angle) * dy) / crop + 0.5,
            (math.sin(angle) * dx + math.cos(angle) * dy) / crop + 0.5,
        )
        density = puff_density(rng, source, kitchen.draught, SIZE_PX)
        opacity = 1 - np.exp(-density)
        behind = float((light * opacity[..., None]).sum() / (3 * opacity.sum() + 1e-6))
        # Lit smoke is bright before a dark hob; before a white one it can only darken.
        grey = rng.uniform(0.4, 0.9) if behind < 0.35 else rng.uniform(0.1, 0.3)
        tint = np.array([1, 1, 1], np.float32) + rng.normal(0, 0.03, 3).astype(np.float32)
        airlight = np.clip(grey * tint, 0, 1).astype(np.float32)
        light = light * (1 - opacity[..., None]) + airlight * opacity[..., None]
    return Photo(_photograph(light, kitchen, rng), opacity)


@dataclasses.dataclass(frozen=True)
class WorldSize:
    """How many places, and photos of each."""

    clean_kitchens: int = 50
    smoky_kitchens: int = 30
    test_kitchens: int = 30
    photos_per_kitchen: int = 4


def build_world(folder: Path, *, seed: int = 0, size: WorldSize | None = None) -> None:
    """Render ``clean/``, ``smoky/``, ``real/{clean,smoky}/`` and ``real_masks/`` into ``folder``.

    No place appears in two of them. File names carry the place before ``__``, as wisp's default
    grouping expects.
    """
    size, known = size or WorldSize(), load("procedural")
    plan = [
        ("clean", size.clean_kitchens),
        ("smoky", size.smoky_kitchens),
        ("real", size.test_kitchens),
    ]
    place = 0
    for part, kitchens in plan:
        for _ in range(kitchens):
            rng = np.random.default_rng([seed, place])
            kitchen = random_kitchen(rng)
            for shot in range(size.photos_per_kitchen):
                smoky = part == "real" and bool(shot % 2)
                photo = render(kitchen, rng, smoke=smoky)
                name = f"kitchen-{place:03d}__{shot:02d}"
                target = folder / part
                if part == "real":
                    target /= "smoky" if smoky else "clean"
                target.mkdir(parents=True, exist_ok=True)
                image = photo.image
                if part == "smoky":
                    image = known.add_smoke(image, seed=int(rng.integers(2**31))).image
                image.save(target / f"{name}.jpg", quality=92)
                if part == "real" and photo.opacity is not None:
                    masks = folder / "real_masks"
                    masks.mkdir(exist_ok=True)
                    Image.fromarray((photo.opacity * 255).astype(np.uint8)).save(
                        masks / f"{name}.png"
                    )
            place += 1
    (folder / "README.txt").write_text(
        "Every picture here is rendered by wisp's demo; none is a photo. real/ stands in for real\n"
        "smoke: its smoke is a puff simulation that wisp's own smoke models know nothing of.\n"
        "smoky/ holds wisp's procedural smoke.\n",
        encoding="utf-8",
    )
