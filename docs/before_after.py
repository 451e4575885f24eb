"""Make `docs/before-after.jpg` from a finished `wisp demo`: rendered pictures only.

    python docs/before_after.py wisp-demo

Columns are the first validation pictures of the demo's galleries (drawn at random there); rows are
the picture itself, with the CycleGAN's smoke, and with procedural smoke.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from PIL import Image

TILE_PX, GAP_PX, COLUMNS = 160, 4, 6


def main(demo: Path) -> None:
    """Read the galleries of ``demo``, write the picture beside this file."""
    galleries = [demo / name / "gallery" for name in ("dataset", "dataset-procedural")]
    indices = [
        {entry["name"]: entry for entry in json.loads((folder / "index.json").read_text())}
        for folder in galleries
    ]
    names = [name for name in indices[0] if name in indices[1]][:COLUMNS]
    step = TILE_PX + GAP_PX
    sheet = Image.new("RGB", (len(names) * step - GAP_PX, 3 * step - GAP_PX), "white")
    for column, name in enumerate(names):
        files = [
            galleries[0] / indices[0][name]["before"],
            galleries[0] / indices[0][name]["after"],
            galleries[1] / indices[1][name]["after"],
        ]
        for row, file in enumerate(files):
            with Image.open(file) as picture:
                sheet.paste(picture.resize((TILE_PX, TILE_PX)), (column * step, row * step))
    sheet.save(Path(__file__).parent / "before-after.jpg", quality=88)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
