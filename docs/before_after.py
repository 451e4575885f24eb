"""Make `docs/before-after.jpg` and `docs/cyclegan.jpg`.

    python docs/before_after.py runs/gan

The photos are those of `wisp demo`, CC0 or in the public domain (src/wisp/demonstration/photos says
whose). Columns of the first: the photo, layered smoke as it ships (seed 0), smoke of the CycleGAN
`runs/gan` (`wisp train`, seed 1). Two rows each of the second: the photo, the CycleGAN's seeds 0 to
14. None was left out.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

import wisp
from wisp.demonstration.first import PHOTOS

TILE_PX, GAP_PX = (180, 120), 4
ROW = 8
HERE = Path(__file__).parent


def sheet(rows: list[list[Image.Image]], path: Path, tile_px: tuple[int, int]) -> None:
    """Write ``rows`` of pictures as one."""
    wide, tall = (side + GAP_PX for side in tile_px)
    size = (len(rows[0]) * wide - GAP_PX, len(rows) * tall - GAP_PX)
    whole = Image.new("RGB", size, "white")
    for down, row in enumerate(rows):
        for across, picture in enumerate(row):
            tile = picture.resize(tile_px, Image.Resampling.LANCZOS)
            whole.paste(tile, (across * wide, down * tall))
    whole.save(path, quality=88)


def main(run: Path) -> None:
    """Read the photos, write both sheets beside this file."""
    photos = [Image.open(path).convert("RGB") for path in sorted(PHOTOS.glob("*.jpg"))]
    layered, gan = wisp.load("layered"), wisp.load(run)
    first = [
        [photo, layered.add_smoke(photo, seed=0).image, gan.add_smoke(photo, seed=1).image]
        for photo in photos
    ]
    sheet(
        [list(column) for column in zip(*first, strict=True)], HERE / "before-after.jpg", (280, 187)
    )
    drawn = [
        picture
        for photo in photos
        for picture in (photo, *(gan.add_smoke(photo, seed=seed).image for seed in range(15)))
    ]
    second = [drawn[start : start + ROW] for start in range(0, len(drawn), ROW)]
    sheet(second, HERE / "cyclegan.jpg", TILE_PX)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
