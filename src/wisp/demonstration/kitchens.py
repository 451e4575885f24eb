"""Cooktops from above: places, and what stands on them, drawn with light and shadow."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

Array = npt.NDArray[np.float32]
Colour = tuple[int, int, int]


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


def draw_counter(kitchen: Kitchen, rng: np.random.Generator, size_px: int) -> Image.Image:
    """The worktop, a square of ``size_px``."""
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


def draw_hob(image: Image.Image, kitchen: Kitchen) -> Image.Image:
    """``image`` with the hob and its burners on it."""
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


def draw_pan(
    image: Image.Image,
    kitchen: Kitchen,
    rng: np.random.Generator,
    x: float,
    y: float,
    radius: float,
) -> Image.Image:
    """``image`` with a pan of ``radius`` px at (x, y), mostly with food in it."""
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


def draw_clutter(image: Image.Image, kitchen: Kitchen, rng: np.random.Generator) -> Image.Image:
    """``image`` with up to three things that lie about, mostly near its edge."""
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
