"""Randomly chosen validation photos before and after, small enough to show in a page."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from wisp.images import decode, encode_jpeg, encode_png
from wisp.jobs.synth.plan import Photo, draw
from wisp.jobs.synth.render import Row
from wisp.rundir import write_bytes, write_json

_PICTURES = 12
_LONG_SIDE_PX = 960


def write_gallery(out: Path, photos: Sequence[Photo], rows: Sequence[Row], seed: int) -> None:
    """``gallery/NNN-{before,after}.jpg``, ``NNN-mask.png`` and ``index.json``.

    Up to twelve photos, drawn from validation (from all, if there is no such part): not chosen for
    their looks.
    """
    first: dict[str, Row] = {}
    for row in rows:
        if row["label"] == "smoky":
            first.setdefault(row["source"], row)
    done = [photo for photo in photos if str(photo.path) in first]
    candidates = [photo for photo in done if photo.split == "validation"] or done
    chosen = sorted(candidates, key=lambda photo: draw(seed, "gallery", photo.sha256, photo.name))
    folder = out / "gallery"
    if folder.exists():
        shutil.rmtree(folder)
    index: list[dict[str, Any]] = []
    for number, photo in enumerate(chosen[:_PICTURES]):
        row = first[str(photo.path)]
        name = f"{number:03d}"
        # Before is the photo itself: the clean class may show it reconstructed.
        before = decode(photo.path, target_px=_LONG_SIDE_PX)
        before.thumbnail((_LONG_SIDE_PX, _LONG_SIDE_PX), reducing_gap=2.0)
        write_bytes(folder / f"{name}-before.jpg", encode_jpeg(before, 88))
        write_bytes(folder / f"{name}-after.jpg", encode_jpeg(_small(out / row["file_name"]), 88))
        mask = out / photo.mask_file(1, row.get("frame"))
        if mask.exists():
            write_bytes(folder / f"{name}-mask.png", encode_png(_small(mask)))
        index.append(
            {
                "name": photo.name,
                "before": f"{name}-before.jpg",
                "after": f"{name}-after.jpg",
                "mask": f"{name}-mask.png" if mask.exists() else None,
                "strength": row["strength"],
                "coverage": row["coverage"],
            }
        )
    write_json(folder / "index.json", index)


def _small(path: str | os.PathLike[str]) -> Image.Image:
    with Image.open(path) as image:
        image.draft(image.mode, (_LONG_SIDE_PX, _LONG_SIDE_PX))
        image.load()
        image.thumbnail((_LONG_SIDE_PX, _LONG_SIDE_PX), reducing_gap=2.0)
        return image.copy()
