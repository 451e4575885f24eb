"""Make `docs/lifting.jpg` and `docs/adding.jpg` with the shipped models.

    python docs/layered.py coffee.png chelsea.png rocket.jpg

The photos are those of scikit-image's `skimage/data` (all CC0: Rachel Michetti, Stéfan van der
Walt, SpaceX). The smoke that is lifted is procedural. Seeds are counted from 0 (lifting) and 1
(adding: with a small cloud among them), none was left out.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

import wisp
from wisp import images
from wisp.models.lifters import load_lifter
from wisp.networks.lifter import lift_steadily, take_apart
from wisp.smoke import SmokeLayer, smooth_airlight
from wisp.smoke.optics import opacity

TILE_PX, GAP_PX = 192, 4
HERE = Path(__file__).parent


def sheet(rows: list[list[Image.Image]], path: Path) -> None:
    """Write ``rows`` of pictures as one."""
    step = TILE_PX + GAP_PX
    size = (len(rows[0]) * step - GAP_PX, len(rows) * step - GAP_PX)
    whole = Image.new("RGB", size, "white")
    for down, row in enumerate(rows):
        for across, picture in enumerate(row):
            tile = picture.convert("RGB").resize((TILE_PX, TILE_PX), Image.Resampling.BICUBIC)
            whole.paste(tile, (across * step, down * step))
    whole.save(path, quality=88)


def grey(opacities: np.ndarray) -> Image.Image:
    """Opacity [h, w] as a picture."""
    return Image.fromarray(np.rint(opacities * 255).astype(np.uint8))


def lifting(photos: list[Image.Image]) -> None:
    """Photo, its true smoke, what R sees of it, the layer on grey, and the photo without it."""
    lifter = load_lifter("layered")
    rows = []
    for seed, clean in enumerate(photos):
        smoky = wisp.load("procedural").add_smoke(clean, 1.0, seed)
        photo = images.to_tensor(smoky.image)[None]
        (density, airlight), _ = lift_steadily(lifter, photo)
        light = np.ascontiguousarray(airlight[0].permute(1, 2, 0).numpy() + 1) / 2
        layer = smooth_airlight(SmokeLayer(density[0, 0].numpy(), light))
        smooth = torch.from_numpy(2 * layer.airlight - 1).permute(2, 0, 1)[None]
        tau, air = (
            F.interpolate(part, photo.shape[-2:], mode="bilinear") for part in (density, smooth)
        )
        on_grey = torch.zeros_like(photo).lerp(air, opacity(tau))
        clear = take_apart(photo, opacity(tau), air)
        shown = [images.to_pil(part[0]) for part in (on_grey, clear)]
        rows.append([smoky.image, smoky.mask, grey(layer.opacity), *shown])
    sheet(rows, HERE / "lifting.jpg")


def adding(photos: list[Image.Image]) -> None:
    """Clean, under a layer of the bank at strengths 0.5, 1 and 2, and the mask at 1."""
    model = wisp.load("layered")
    rows = []
    for seed, picture in enumerate(photos, start=1):
        made = [model.add_smoke(picture, strength, seed) for strength in (0.5, 1.0, 2.0)]
        rows.append([picture, *(one.image for one in made), made[1].mask])
    sheet(rows, HERE / "adding.jpg")


if __name__ == "__main__":
    photos = [images.decode(Path(name)) for name in sys.argv[1:]]
    middles = [images.center_crop(photo, min(photo.size)) for photo in photos]
    squares = [images.squash(photo, TILE_PX) for photo in middles]
    lifting(squares)
    adding(squares)
