"""Make `docs/lifting.jpg` and `docs/adding.jpg` with the shipped models: rendered scenes only.

    python docs/layered.py

The scenes and the smoke in them are those of `wisp demo`, drawn by a program that R never learned
from. Seeds are counted from 0; none was left out.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

import wisp
from wisp import images
from wisp.demonstration.kitchens import random_kitchen
from wisp.demonstration.world import render
from wisp.models.loading import load_lifter
from wisp.networks.lifter import lift_steadily
from wisp.smoke import LiftedLayer, opacity, remove_smoke, smooth_airlight

TILE_PX, GAP_PX, ROWS = 192, 4, 3
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


def scene(seed: int, *, smoke: bool) -> tuple[Image.Image, np.ndarray | None]:
    """A rendered cooktop, and the true opacity of its smoke."""
    rng = np.random.default_rng(seed)
    photo = render(random_kitchen(rng), rng, smoke=smoke)
    return photo.image, photo.opacity


def grey(opacities: torch.Tensor) -> Image.Image:
    """Opacity [h, w] as a picture."""
    return Image.fromarray((opacities * 255).round().to(torch.uint8).numpy())


def lifting() -> None:
    """Photo, its true smoke, what R sees of it, the layer on grey, and the photo without it."""
    lifter = load_lifter("layered")
    rows = []
    for seed in range(ROWS):
        picture, true = scene(seed, smoke=True)
        assert true is not None
        photo = images.to_tensor(picture.resize((TILE_PX, TILE_PX)))[None]
        (density, airlight), _ = lift_steadily(lifter, photo)
        layer = smooth_airlight(LiftedLayer(density[0, 0], airlight[0]))
        parts = [layer.density[None, None], layer.airlight[None]]
        tau, air = (F.interpolate(part, photo.shape[-2:], mode="bilinear") for part in parts)
        on_grey = torch.zeros_like(photo).lerp(air, opacity(tau))
        clear = remove_smoke(photo, tau, air, t_min=0.1).clamp(-1, 1)
        seen = [grey(torch.from_numpy(true)), grey(layer.opacity)]
        rows.append([picture, *seen, images.to_pil(on_grey[0]), images.to_pil(clear[0])])
    sheet(rows, HERE / "lifting.jpg")


def adding() -> None:
    """Clean, under a layer of the bank at strengths 0.5, 1 and 2, and the mask at 1."""
    model = wisp.load("layered")
    rows = []
    for seed in range(ROWS):
        picture, _ = scene(seed + ROWS, smoke=False)
        made = [model.add_smoke(picture, strength, seed) for strength in (0.5, 1.0, 2.0)]
        rows.append([picture, *(one.image for one in made), made[1].mask])
    sheet(rows, HERE / "adding.jpg")


if __name__ == "__main__":
    lifting()
    adding()
