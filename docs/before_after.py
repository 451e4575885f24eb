"""Make `docs/before-after.jpg` from a finished `wisp demo`: rendered pictures only.

    python docs/before_after.py wisp-demo

Columns are the first validation pictures of the demo's gallery (drawn at random there); rows are
the picture itself and with procedural smoke.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from PIL import Image

TILE_PX, GAP_PX, COLUMNS = 160, 4, 6


def main(demo: Path) -> None:
    """Read the gallery of ``demo``, write the picture beside this file."""
    gallery = demo / "dataset-procedural" / "gallery"
    entries = json.loads((gallery / "index.json").read_text())[:COLUMNS]
    step = TILE_PX + GAP_PX
    sheet = Image.new("RGB", (len(entries) * step - GAP_PX, 2 * step - GAP_PX), "white")
    for column, entry in enumerate(entries):
        for row, state in enumerate(("before", "after")):
            with Image.open(gallery / entry[state]) as picture:
                sheet.paste(picture.resize((TILE_PX, TILE_PX)), (column * step, row * step))
    sheet.save(Path(__file__).parent / "before-after.jpg", quality=88)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
