"""Randomly chosen validation photos before and after, and look-alikes, small enough for a page."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from wisp.images import decode, encode_jpeg
from wisp.jobs.synth.plan import Photo, draw
from wisp.jobs.synth.render import Row, encode_mask
from wisp.rundir import write_bytes, write_json

_PICTURES = 12
_LONG_SIDE_PX = 960
_NEGATIVES_PER_KIND = 2
_FRAMES_SHOWN = 4
_FRAME_LONG_SIDE_PX = 320


def write_gallery(
    out: Path, photos: Sequence[Photo], rows: Sequence[Row], seed: int, workers: int
) -> None:
    """``gallery/NNN-{before,after}.jpg``, ``NNN-mask.png`` and ``index.json``; of sequences also
    ``NNN-frame-M.jpg``; of look-alikes, if there are any, ``negative-NNN.jpg`` and
    ``negatives.json``.

    Up to twelve photos, drawn from validation (from all, if there is no such part): not chosen for
    their looks. Large pictures are reduced by ``workers`` threads.
    """
    first: dict[str, Row] = {}
    sequences: dict[str, list[Row]] = {}
    for row in rows:
        if row["label"] == "smoky":
            first.setdefault(row["source"], row)
            if row.get("sequence"):
                sequences.setdefault(row["sequence"], []).append(row)
    done = [photo for photo in photos if str(photo.path) in first]
    candidates = [photo for photo in done if photo.split == "validation"] or done
    chosen = sorted(candidates, key=lambda photo: draw(seed, "gallery", photo.sha256, photo.name))
    folder = out / "gallery"
    if folder.exists():
        shutil.rmtree(folder)
    shown = chosen[:_PICTURES]
    with ThreadPoolExecutor(workers) as pool:
        index = list(
            pool.map(
                lambda number, photo: _write_example(
                    out,
                    number,
                    photo,
                    row := first[str(photo.path)],
                    sequences.get(str(row.get("sequence")), ()),
                ),
                range(len(shown)),
                shown,
            )
        )
    write_json(folder / "index.json", index)
    _write_negatives(out, chosen, rows)


def _write_example(
    out: Path, number: int, photo: Photo, row: Row, frames: Sequence[Row]
) -> dict[str, Any]:
    """The pictures of one photo; its entry of the index. ``frames`` are those of its sequence."""
    folder, name = out / "gallery", f"{number:03d}"
    # Before is the photo itself: the clean class may show it reconstructed.
    write_bytes(folder / f"{name}-before.jpg", encode_jpeg(_small(photo.path), 88))
    write_bytes(folder / f"{name}-after.jpg", encode_jpeg(_small(out / row["file_name"]), 88))
    mask = out / photo.mask_file(1, row.get("frame"))
    if mask.exists():
        write_bytes(folder / f"{name}-mask.png", encode_mask(np.asarray(_small(mask).convert("L"))))
    return {
        "name": photo.name,
        "before": f"{name}-before.jpg",
        "after": f"{name}-after.jpg",
        "mask": f"{name}-mask.png" if mask.exists() else None,
        "strength": row["strength"],
        "coverage": row["coverage"],
        **({"condition": row["condition"]} if row.get("condition") else {}),
        **({"frames": _write_frames(out, name, frames), "of": len(frames)} if frames else {}),
    }


def _write_frames(out: Path, name: str, frames: Sequence[Row]) -> list[dict[str, Any]]:
    """Some of ``frames``, evenly spread, the first and the last among them."""
    shown = min(_FRAMES_SHOWN, len(frames))
    chosen = {round(i * (len(frames) - 1) / max(1, shown - 1)) for i in range(shown)}
    written = []
    for row in (frames[i] for i in sorted(chosen)):
        picture = f"{name}-frame-{row['frame']}.jpg"
        small = _small(out / row["file_name"], _FRAME_LONG_SIDE_PX)
        write_bytes(out / "gallery" / picture, encode_jpeg(small, 88))
        written.append({"frame": row["frame"], "picture": picture})
    return written


def _write_negatives(out: Path, chosen: Sequence[Photo], rows: Sequence[Row]) -> None:
    """Two look-alikes of each kind, of the first of the photos ``chosen`` that have one."""
    by_source = {row["source"]: row for row in rows if row.get("negative")}
    index: list[dict[str, Any]] = []
    shown: Counter[str] = Counter()
    for photo in chosen:
        row = by_source.get(str(photo.path))
        if row is None or shown[row["negative"]] == _NEGATIVES_PER_KIND:
            continue
        shown[row["negative"]] += 1
        picture = f"negative-{len(index):03d}.jpg"
        small = _small(out / row["file_name"])
        write_bytes(out / "gallery" / picture, encode_jpeg(small, 88))
        index.append({"name": photo.name, "kind": row["negative"], "picture": picture})
    if index:
        write_json(out / "gallery" / "negatives.json", sorted(index, key=lambda one: one["kind"]))


def _small(path: Path, side_px: int = _LONG_SIDE_PX) -> Image.Image:
    image = decode(path, target_px=side_px)
    image.thumbnail((side_px, side_px), reducing_gap=2.0)
    return image
