"""A small rendered world: pans and food on cooktops seen from above, with and without smoke.

It stands in for photos where none may be shipped. Its smoke is *not* wisp's ``procedural`` smoke:
it is a cloud of Gaussian puffs that leave a pan, drift with the draught, are stirred by a turbulent
velocity field and grow (a Lagrangian puff model, as in atmospheric dispersion), and it is laid over
the picture in linear light. So a detector trained on wisp's smoke meets something it has not seen.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

Array = npt.NDArray[np.float32]
Colour = tuple[int, int, int]

SIZE_PX = 160
_SUPERSAMPLING = 2
_GAMMA = 2.2


@dataclasses.dataclass(frozen=True)
class Kitchen:
    """What stays the same in all photos of one place: surfaces, hob, lamp and camera."""

    counter: str
    counter_colour: Colour
    hob: str
    hob_colour: Colour
    burners: tuple[tuple[float, float, float], ...]
    """x, y, radius in units of the picture's side."""
    lamp_direction: float
    """Where the light comes from [rad]."""
    lamp_warmth: float
    """-1 (cold) … 1 (warm)."""
    brightness: float
    rotation_deg: float
    zoom: float
    draught: tuple[float, float]
    """Mean drift of smoke in units of the side per life of a puff."""
    noise: float
    vignette: float


@dataclasses.dataclass(frozen=True)
class Photo:
    """One rendered picture."""

    image: Image.Image
    opacity: Array | None
    """True opacity of the smoke [H, W] in [0, 1], or None without smoke."""


def _jitter(rng: np.random.Generator, colour: Colour, spread: float) -> Colour:
    r, g, b = (int(np.clip(c + rng.normal(0, spread), 0, 255)) for c in colour)
    return r, g, b


def _pick(rng: np.random.Generator, options: tuple[Colour, ...], spread: float = 10) -> Colour:
    return _jitter(rng, options[int(rng.integers(len(options)))], spread)


def random_kitchen(rng: np.random.Generator) -> Kitchen:
    """Draw a place."""
    hob = str(rng.choice(["ceramic", "gas", "induction"]))
    columns, rows = (2, 2) if rng.random() < 0.7 else (3, 2)
    burners = tuple(
        (
            0.5 + (i - (columns - 1) / 2) * 0.72 / columns + rng.normal(0, 0.01),
            0.5 + (j - (rows - 1) / 2) * 0.42 + rng.normal(0, 0.01),
            float(rng.uniform(0.10, 0.155) * (1 if columns == 2 else 0.8)),
        )
        for i in range(columns)
        for j in range(rows)
    )
    return Kitchen(
        counter=str(rng.choice(["wood", "stone", "tiles", "plain"])),
        counter_colour=_pick(
            rng,
            (
                (176, 134, 92),
                (205, 200, 190),
                (92, 88, 86),
                (228, 224, 216),
                (140, 150, 150),
                (120, 78, 50),
            ),
        ),
        hob=hob,
        hob_colour=_pick(
            rng, ((28, 28, 30), (40, 42, 46), (150, 152, 156), (214, 214, 212)), spread=6
        ),
        burners=burners,
        lamp_direction=float(rng.uniform(0, 2 * math.pi)),
        lamp_warmth=float(rng.uniform(-0.6, 1)),
        brightness=float(rng.uniform(0.7, 1.15)),
        rotation_deg=float(rng.normal(0, 6)),
        zoom=float(rng.uniform(1.0, 1.25)),
        draught=(float(rng.normal(0, 0.45)), float(rng.normal(-0.1, 0.45))),
        noise=float(rng.uniform(0.005, 0.03)),
        vignette=float(rng.uniform(0.0, 0.35)),
    )


def _smooth_noise(rng: np.random.Generator, size_px: int, cells: tuple[int, int]) -> Array:
    grid = rng.standard_normal((cells[1] + 1, cells[0] + 1)).astype(np.float32)
    resized = Image.fromarray(grid).resize((size_px, size_px), Image.Resampling.BICUBIC)
    return np.asarray(resized, dtype=np.float32)


def _draw_counter(kitchen: Kitchen, rng: np.random.Generator, size_px: int) -> Image.Image:
    base = np.ones((size_px, size_px, 3), np.float32) * np.array(kitchen.counter_colour, np.float32)
    if kitchen.counter == "wood":
        base += 11 * _smooth_noise(rng, size_px, (90, 3))[..., None]
        base += 6 * _smooth_noise(rng, size_px, (12, 2))[..., None]
    elif kitchen.counter == "stone":
        base += 9 * _smooth_noise(rng, size_px, (120, 120))[..., None]
        base += 7 * _smooth_noise(rng, size_px, (10, 10))[..., None]
    elif kitchen.counter == "tiles":
        tile_px = size_px // 7
        y, x = np.mgrid[:size_px, :size_px]
        base[(x % tile_px < 3) | (y % tile_px < 3)] *= 0.72
        base += 4 * _smooth_noise(rng, size_px, (7, 7))[..., None]
    else:
        base += 3 * _smooth_noise(rng, size_px, (5, 5))[..., None]
    return Image.fromarray(np.clip(base, 0, 255).astype(np.uint8))


Box = tuple[float, float, float, float]


def _disc(x: float, y: float, radius: float) -> Box:
    return (x - radius, y - radius, x + radius, y + radius)


def _shadow(
    image: Image.Image,
    kitchen: Kitchen,
    draw_shape: Callable[[ImageDraw.ImageDraw], None],
    height_px: float,
) -> Image.Image:
    mask = Image.new("L", image.size)
    draw_shape(ImageDraw.Draw(mask))
    shift = (
        int(-math.cos(kitchen.lamp_direction) * height_px),
        int(-math.sin(kitchen.lamp_direction) * height_px),
    )
    moved = Image.new("L", image.size)
    moved.paste(mask, shift)
    moved = moved.filter(ImageFilter.GaussianBlur(height_px * 0.6)).point(lambda v: v * 0.5)
    return Image.composite(Image.new("RGB", image.size), image, moved)


def _draw_hob(image: Image.Image, kitchen: Kitchen) -> Image.Image:
    side = image.width
    plate = (0.08 * side, 0.1 * side, 0.92 * side, 0.9 * side)
    image = _shadow(
        image, kitchen, lambda d: d.rounded_rectangle(plate, 0.03 * side, fill=255), 0.008 * side
    )
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle(plate, 0.03 * side, fill=kitchen.hob_colour)
    line = tuple(
        min(255, c + 50) if sum(kitchen.hob_colour) < 380 else c - 60 for c in kitchen.hob_colour
    )
    for x, y, radius in kitchen.burners:
        centre = (x * side, y * side)
        if kitchen.hob == "gas":
            draw.ellipse(_disc(*centre, radius * 0.45 * side), fill=(50, 48, 46))
            draw.ellipse(_disc(*centre, radius * 0.25 * side), fill=(24, 24, 24))
            for angle in np.arange(4) * math.pi / 2 + 0.3:
                end = (
                    centre[0] + math.cos(angle) * radius * side,
                    centre[1] + math.sin(angle) * radius * side,
                )
                draw.line((*centre, *end), fill=(20, 20, 20), width=max(2, side // 70))
        else:
            rings = (1.0, 0.6) if kitchen.hob == "ceramic" else (1.0,)
            for ring in rings:
                draw.ellipse(
                    _disc(*centre, radius * ring * side), outline=line, width=max(1, side // 160)
                )
    return image


_FOODS: tuple[tuple[Colour, ...], ...] = (
    ((250, 248, 240), (246, 196, 40)),  # eggs
    ((116, 62, 40), (142, 84, 52), (92, 46, 30)),  # meat
    ((70, 130, 50), (196, 54, 40), (232, 170, 50)),  # vegetables
    ((236, 208, 130), (226, 196, 116)),  # pasta
    ((198, 84, 34), (210, 108, 44)),  # stew
    ((240, 236, 226), (232, 226, 210)),  # rice, milk
)


def _draw_food(
    draw: ImageDraw.ImageDraw, rng: np.random.Generator, x: float, y: float, radius: float
) -> None:
    colours = _FOODS[int(rng.integers(len(_FOODS)))]
    if rng.random() < 0.3:  # a liquid fills the pan
        draw.ellipse(_disc(x, y, radius * 0.97), fill=_jitter(rng, colours[0], 8))
    for _ in range(int(rng.integers(2, 16))):
        distance, angle = radius * 0.7 * math.sqrt(rng.random()), rng.uniform(0, 2 * math.pi)
        piece = radius * rng.uniform(0.1, 0.35)
        px, py = x + distance * math.cos(angle), y + distance * math.sin(angle)
        stretch = rng.uniform(0.6, 1.4)
        draw.ellipse(
            (px - piece * stretch, py - piece, px + piece * stretch, py + piece),
            fill=_jitter(rng, colours[int(rng.integers(len(colours)))], 14),
        )


def _draw_pan(
    image: Image.Image,
    kitchen: Kitchen,
    rng: np.random.Generator,
    x: float,
    y: float,
    radius: float,
) -> Image.Image:
    side = image.width
    angle = rng.uniform(0, 2 * math.pi)
    end = (x + math.cos(angle) * radius * 2.1, y + math.sin(angle) * radius * 2.1)
    handle_px = max(3, round(radius * 0.2))

    def shape(draw: ImageDraw.ImageDraw) -> None:
        draw.ellipse(_disc(x, y, radius), fill=255)
        draw.line((x, y, *end), fill=255, width=handle_px)

    image = _shadow(image, kitchen, shape, 0.025 * side)
    draw = ImageDraw.Draw(image)
    metal = _pick(rng, ((40, 40, 42), (172, 174, 178), (150, 60, 44), (96, 98, 102)))
    draw.line((x, y, *end), fill=_jitter(rng, (38, 34, 32), 8), width=handle_px)
    draw.ellipse(_disc(x, y, radius), fill=metal)
    inner = tuple(max(0, c - 36) for c in metal)
    draw.ellipse(_disc(x, y, radius * 0.9), fill=inner)
    # The lamp's reflection on the rim keeps pans from looking flat.
    lamp_deg = math.degrees(kitchen.lamp_direction)
    draw.arc(
        _disc(x, y, radius * 0.95),
        lamp_deg - 50,
        lamp_deg + 50,
        fill=tuple(min(255, c + 70) for c in metal),
        width=max(1, round(radius * 0.06)),
    )
    if rng.random() < 0.85:
        _draw_food(draw, rng, x, y, radius * 0.88)
    return image


def _draw_clutter(image: Image.Image, kitchen: Kitchen, rng: np.random.Generator) -> Image.Image:
    side = image.width
    for _ in range(int(rng.integers(0, 4))):
        x, y = rng.uniform(0, 1, 2) * side
        if min(abs(x - side / 2), abs(y - side / 2)) < 0.3 * side and rng.random() < 0.7:
            x = rng.choice([0.04, 0.96]) * side
        kind = rng.choice(["spoon", "plate", "board", "jar", "cloth"])
        colour = _pick(rng, ((230, 226, 220), (180, 140, 90), (70, 90, 120), (190, 60, 50)), 16)
        angle = rng.uniform(0, math.pi)
        reach = side * rng.uniform(0.12, 0.22)
        ends = (
            x - math.cos(angle) * reach,
            y - math.sin(angle) * reach,
            x + math.cos(angle) * reach,
            y + math.sin(angle) * reach,
        )

        def shape(draw: ImageDraw.ImageDraw, fill: Colour | int) -> None:
            if kind == "spoon":  # noqa: B023 - drawn before the loop goes on
                draw.line(ends, fill=fill, width=max(2, side // 60))  # noqa: B023
                draw.ellipse(_disc(ends[2], ends[3], side * 0.03), fill=fill)  # noqa: B023
            elif kind in ("plate", "jar"):  # noqa: B023
                radius = side * (0.12 if kind == "plate" else 0.05)  # noqa: B023
                draw.ellipse(_disc(x, y, radius), fill=fill)  # noqa: B023
            else:
                draw.line(ends, fill=fill, width=round(side * 0.14))  # noqa: B023

        image = _shadow(image, kitchen, lambda d: shape(d, 255), 0.012 * side)
        shape(ImageDraw.Draw(image), colour)
    return image


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


def puff_density(
    rng: np.random.Generator,
    source: tuple[float, float],
    draught: tuple[float, float],
    size_px: int = SIZE_PX,
) -> Array:
    """Optical density [H, W] of puffs that leave ``source`` (x, y in units of the side).

    Each puff is a Gaussian whose width grows with age (turbulent diffusion); its path follows the
    draught and a frozen turbulent velocity field (a sum of random divergence-free waves).
    """
    coarse_px = size_px // 2
    puffs = int(rng.integers(120, 320))
    age = np.sort(rng.uniform(0, 1, puffs)).astype(np.float32)
    position = np.array(source, np.float32) + rng.normal(0, 0.015, (puffs, 2)).astype(np.float32)
    waves = rng.normal(0, 9, (10, 2)).astype(np.float32)
    phases = rng.uniform(0, 2 * math.pi, 10).astype(np.float32)
    # Velocity across each wave's direction: no divergence, so puffs are stirred, not squeezed.
    across = np.stack([-waves[:, 1], waves[:, 0]], 1) / np.linalg.norm(waves, axis=1)[:, None]
    gusts = rng.uniform(0.7, 1.3)
    steps = 12
    for _ in range(steps):
        turbulent = np.sin(position @ waves.T + phases) @ across
        velocity = np.array(draught, np.float32) * gusts + 0.22 * turbulent
        position = position + velocity * (age / steps)[:, None]
    width = rng.uniform(0.012, 0.025) + rng.uniform(0.03, 0.10) * age ** rng.uniform(0.6, 1.0)
    mass = rng.uniform(0.6, 1.4, puffs).astype(np.float32) * np.exp(-rng.uniform(0, 1.0) * age)
    grid = (np.arange(coarse_px, dtype=np.float32) + 0.5) / coarse_px
    # A Gaussian is separable: rows and columns are multiplied instead of a full exponential.
    columns = np.exp(-((grid[None] - position[:, :1]) ** 2) / (2 * width[:, None] ** 2))
    rows = np.exp(-((grid[None] - position[:, 1:]) ** 2) / (2 * width[:, None] ** 2))
    density = np.einsum("n,nh,nw->hw", mass / width**2, rows, columns)
    # The densest spot is at the source; the scale is set where the cloud is well mixed.
    density = density / np.quantile(density, 0.96)
    density = rng.uniform(0.9, 2.6) * density / (1 + 0.3 * density)
    resized = Image.fromarray(density.astype(np.float32)).resize(
        (size_px, size_px), Image.Resampling.BICUBIC
    )
    return np.maximum(np.asarray(resized, np.float32), 0)


def render(kitchen: Kitchen, rng: np.random.Generator, *, smoke: bool) -> Photo:
    """Take one photo of ``kitchen`` with pans placed anew, with or without smoke."""
    side = SIZE_PX * _SUPERSAMPLING
    # The surfaces of a place are the same in all its photos, so they have their own generator.
    surface_rng = np.random.default_rng(round((kitchen.zoom - 1) * 1e9))
    image = _draw_counter(kitchen, surface_rng, side)
    image = _draw_hob(image, kitchen)
    image = _draw_clutter(image, kitchen, rng)
    order = rng.permutation(len(kitchen.burners))[: int(rng.integers(1, 4))]
    sources = []
    for index in order:
        x, y, radius = kitchen.burners[int(index)]
        offset = rng.normal(0, 0.012, 2)
        x, y = x + offset[0], y + offset[1]
        image = _draw_pan(
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
        density = puff_density(rng, source, kitchen.draught)
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

    clean_kitchens: int = 60
    smoky_kitchens: int = 50
    test_kitchens: int = 30
    photos_per_kitchen: int = 4


def build_world(folder: Path, *, seed: int = 0, size: WorldSize | None = None) -> None:
    """Render ``clean/``, ``smoky/``, ``real/{clean,smoky}/`` and ``real_masks/`` into ``folder``.

    No place appears in two of them. File names carry the place before ``__``, as wisp's default
    grouping expects.
    """
    size = size or WorldSize()
    plan = [
        ("clean", size.clean_kitchens, False),
        ("smoky", size.smoky_kitchens, True),
        ("real", size.test_kitchens, None),
    ]
    place = 0
    for part, kitchens, smoke in plan:
        for _ in range(kitchens):
            rng = np.random.default_rng([seed, place])
            kitchen = random_kitchen(rng)
            for shot in range(size.photos_per_kitchen):
                smoky = bool(shot % 2) if smoke is None else smoke
                photo = render(kitchen, rng, smoke=smoky)
                name = f"kitchen-{place:03d}__{shot:02d}"
                target = folder / part
                if smoke is None:
                    target /= "smoky" if smoky else "clean"
                target.mkdir(parents=True, exist_ok=True)
                photo.image.save(target / f"{name}.jpg", quality=92)
                if part == "real" and photo.opacity is not None:
                    masks = folder / "real_masks"
                    masks.mkdir(exist_ok=True)
                    Image.fromarray((photo.opacity * 255).astype(np.uint8)).save(
                        masks / f"{name}.png"
                    )
            place += 1
    (folder / "README.txt").write_text(
        "Every picture here is rendered by wisp's demo; none is a photo. real/ stands in for real\n"
        "smoke: its smoke is a puff simulation that wisp's own smoke models know nothing of.\n",
        encoding="utf-8",
    )
