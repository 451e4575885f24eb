"""The first pictures: smoke in three real photos, and what the shipped detector says of both."""

from __future__ import annotations

import shutil
from pathlib import Path

from PIL import Image

from wisp.config import Device, PredictConfig
from wisp.images import decode
from wisp.jobs import predict
from wisp.models import load
from wisp.progress import say

PHOTOS = Path(__file__).parent / "photos"
"""CC0 and public domain: ``README.txt`` there says whose."""
SHEET = "first.jpg"
_TILE_PX = (400, 267)
_GAP_PX = 6
_FIRST_SEED = 18
"""Of a haze, a bank and a cloud: three kinds of smoke to begin with."""


def first_pictures(out: Path, seed: int, device: Device) -> Path:
    """Lay layered smoke over photos that ship with wisp, ask the shipped detector about both, and
    say what it answers; the sheet of pictures, below ``out``."""
    model, files = load("layered"), []
    out.mkdir(parents=True, exist_ok=True)
    for number, photo in enumerate(sorted(PHOTOS.glob("*.jpg"))):
        clean, smoky = out / photo.name, out / f"{photo.stem}-smoky.jpg"
        shutil.copyfile(photo, clean)
        model.add_smoke(photo, seed=_FIRST_SEED + seed + number).image.save(smoky, quality=92)
        files += [clean, smoky]
    answers = predict.run(PredictConfig("smoke-detector", tuple(map(str, files)), device=device))
    for path, score, label in answers.rows:
        say(f"     {path.name:<20} {score:.2f}  {label}")
    sheet = out / SHEET
    _sheet([decode(file) for file in files]).save(sheet, quality=90)
    return sheet


def _sheet(pictures: list[Image.Image]) -> Image.Image:
    """Every second picture above the one after it."""
    wide, tall = (side + _GAP_PX for side in _TILE_PX)
    columns = len(pictures) // 2
    sheet = Image.new("RGB", (columns * wide - _GAP_PX, 2 * tall - _GAP_PX), "white")
    for number, picture in enumerate(pictures):
        tile = picture.resize(_TILE_PX, Image.Resampling.BICUBIC)
        sheet.paste(tile, (number // 2 * wide, number % 2 * tall))
    return sheet
