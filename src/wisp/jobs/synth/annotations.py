"""What describes the pictures: metadata, boxes for COCO and YOLO, and the data set's card."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from wisp.config import SynthConfig
from wisp.jobs.synth.render import Row, faint_count
from wisp.progress import say
from wisp.rundir import readable, write_json, write_jsonl, write_text
from wisp.smoke import FAINT, PLAIN

SPLITS = ("train", "validation")
_PRIVATE = ("flat", "width", "height")
_TEXT_OR_NULL = ("negative", "condition")


def write_metadata(out: Path, rows: Sequence[Row]) -> None:
    """``metadata.jsonl`` of the whole set, and one below each split for Hugging Face `datasets`,
    which reads only those; file names are relative to the folder the file is in.

    `datasets` takes a column's type from its values, and refuses splits that differ: what may be
    null in all rows of a split is an empty text below the splits."""
    public = [
        {k: readable(v) if isinstance(v, str) else v for k, v in row.items() if k not in _PRIVATE}
        for row in rows
    ]
    write_jsonl(out / "metadata.jsonl", public)
    for split in SPLITS:
        own = [
            {
                **row,
                **{key: row[key] or "" for key in _TEXT_OR_NULL if key in row},
                "file_name": row["file_name"].removeprefix(f"{split}/"),
            }
            for row in public
            if row["split"] == split
        ]
        if own:
            write_jsonl(out / split / "metadata.jsonl", own)


def write_boxes(out: Path, rows: Sequence[Row]) -> None:
    """``annotations/coco_SPLIT.json``, and what YOLO wants, of the smoky and clean pictures."""
    size = {row["source"]: (row["width"], row["height"]) for row in rows if row["label"] == "smoky"}
    for split in SPLITS:
        own = [row for row in rows if row["split"] == split]
        if own:
            write_json(out / "annotations" / f"coco_{split}.json", _coco(own, size))
    _write_yolo(out, rows)


def _coco(rows: Sequence[Row], size: Mapping[str, tuple[int, int]]) -> dict[str, Any]:
    pictures: list[dict[str, Any]] = []
    boxes: list[dict[str, Any]] = []
    for number, row in enumerate(rows, start=1):
        width, height = size[row["source"]]
        pictures.append(
            {"id": number, "file_name": row["file_name"], "width": width, "height": height}
        )
        if row["box"] is not None:
            boxes.append(
                {
                    "id": len(boxes) + 1,
                    "image_id": number,
                    "category_id": 1,
                    "bbox": row["box"],
                    "area": row["box"][2] * row["box"][3],
                    "iscrowd": 0,
                    "segmentation": [],
                }
            )
    return {
        "info": {"description": "made by wisp synth; file names are relative to the data set"},
        "images": pictures,
        "annotations": boxes,
        "categories": [{"id": 1, "name": "smoke"}],
    }


def _write_yolo(out: Path, rows: Sequence[Row]) -> None:
    """Labels and lists for YOLO, without links, which zip, FAT and ``cp -rL`` do not keep.

    A label lies beside its picture, where Ultralytics looks if no folder in its path is called
    ``images``; the lists lie in the data set, because what stands in them is relative to them.
    """
    lists: dict[str, list[str]] = {split: [] for split in SPLITS}
    for row in rows:
        lists[row["split"]].append(f"./{row['file_name']}\n")
        if row["label"] == "smoky":
            write_text(out / PurePosixPath(row["file_name"]).with_suffix(".txt"), _yolo_line(row))
    if "images" in out.resolve().parts:
        say(
            f"{out}: lies below a folder called images, so YOLO would look for its labels below "
            "one called labels; move the data set before you train YOLO on it"
        )
    used = [split for split in SPLITS if lists[split]]
    for split in used:
        write_text(out / f"yolo_{split}.txt", "".join(lists[split]))
    first, last = (f"../../yolo_{split}.txt" for split in (used[0], used[-1]))
    alone = "  # there is no validation part" if len(used) == 1 else ""
    write_text(
        out / "annotations" / "yolo" / "data.yaml",
        # No "path": Ultralytics takes the folder of this file, not the one it was started in.
        f"train: {first}\nval: {last}{alone}\nnames:\n  0: smoke\n",
    )


def _yolo_line(row: Row) -> str:
    if row["box"] is None:
        return ""
    x, y, width, height = row["box"]
    across, down = row["width"], row["height"]
    centre_x, centre_y = (x + width / 2) / across, (y + height / 2) / down
    return f"0 {centre_x:.6f} {centre_y:.6f} {width / across:.6f} {height / down:.6f}\n"


def write_card(
    out: Path,
    config: SynthConfig,
    rows: Sequence[Row],
    *,
    exact_mask: bool,
    reconstructed: bool,
    skipped: int,
    probe: Mapping[str, Any] | None,
) -> None:
    """``card.md``: what the set is, how it was made, how to open it, what to beware of."""
    counts = Counter((row["split"], row["label"]) for row in rows)
    groups = {
        split: len({row["group"] for row in rows if row["split"] == split}) for split in SPLITS
    }
    table = "\n".join(
        f"| {split} | {counts[split, 'clean']} | {counts[split, 'smoky']} | {groups[split]} |"
        for split in SPLITS
        if groups[split]
    )
    clean = (
        "the photos sent through the generator pair (clean → smoky → clean), so that both classes "
        "carry the generator's traces"
        if reconstructed
        else "the photos' own pixels, decoded and encoded exactly as the smoky ones"
    )
    opacity = "`masks/` holds the opacity of the smoke (8 bit, 255 opaque), " * config.masks
    masks = (
        f"{opacity}`annotations/` its boxes (COCO, YOLO; opacity above 5 %). They are exact: they "
        "say what was laid on."
        if exact_mask
        else "This model repaints pixels, so there are no masks or boxes; `coverage` and "
        "`mean_opacity` are estimated from the change."
    )
    options = ""
    if config.source is not None:
        options += (
            f"- All smoke rises from the box {config.source} (x, y, width, height, as fractions of "
            "the picture).\n"
        )
    if config.frames > 1:
        options += (
            f"- Each folder of smoky pictures is a sequence of {config.frames} frames, in which "
            "the smoke moves and the scene stands still; strength is the same throughout. "
            "`metadata.jsonl` names the `sequence` and the `frame` (from 1). Each photo has one "
            "clean picture: it does not move.\n"
        )
    auroc = (probe or {}).get("auroc")
    if isinstance(auroc, Mapping) and auroc.get("value") is not None:
        told = (
            f"A small network tells the set's clean pictures from the original photos with AUROC "
            f"{auroc['value']:.2f} (chance: 0.50)."
        )
    else:
        told = f"Not measured: {(probe or {}).get('description', 'switched off')}"
    write_text(
        out / "card.md",
        f"""# A synthetic smoke data set

Made by `wisp synth` with model `{config.model}`, strength {config.strength}, seed {config.seed}.
The smoke is synthetic; the photos behind it are the maker's, and so are the rights to them.

| split | clean | smoky | groups |
| --- | --- | --- | --- |
{table}

- A group (camera, place, near-duplicates; `--group-by {config.group_by}`) is on one side only, with
  all that was made of it. Photos that could not be read: {skipped}.
- The clean class shows {clean} (JPEG quality: {config.quality or "that of each photo"}).
- {masks}{_on_faint(rows)}{_on_negatives(rows)}
{options}- `metadata.jsonl`: file_name, label, split, group, source, source_sha256, model, strength
  (times the model's own optical density), seed, coverage (part of the pixels with opacity above
  10 %), mean_opacity, visible (part of the pixels that the smoke changes by more than
  {PLAIN:.0%} of the range), box ([x, y, width, height] in px).

## Fingerprint
{told}

## Open it
```python
torchvision.datasets.ImageFolder("{out.name}/train")
datasets.load_dataset("imagefolder", data_dir="{out.name}")
pycocotools.coco.COCO("{out.name}/annotations/coco_train.json")  # masks must be exact
```
Ultralytics: classify with `data={out.name}`, detect with
`data={out.name}/annotations/yolo/data.yaml`.

## Beware
A detector that does well on this set's validation part has shown that it finds *synthetic* smoke.
Measure it on real photos: `wisp evaluate`.
""",
    )


def _on_faint(rows: Sequence[Row]) -> str:
    """What the card says of smoke that is hardly seen; nothing without it."""
    faint = faint_count(rows)
    return (
        f"""
- In {faint} of the smoky pictures the smoke is hardly seen (`visible` below {FAINT:g}): it is thin,
  or white before white. They are labelled smoky all the same."""
        if faint
        else ""
    )


def _on_negatives(rows: Sequence[Row]) -> str:
    """What the card says of look-alikes; nothing without them."""
    kinds = Counter(row["negative"] for row in rows if row.get("negative"))
    if not kinds:
        return ""
    said = f"""
- {kinds.total()} of the clean pictures, one of each photo, are look-alikes of smoke
  (`NAME~KIND.jpg`, `negative` in the metadata): {_counted(kinds)}. They have no mask and no box."""
    if set(kinds) == {"steam"}:  # no fault of the camera
        return said
    conditions = Counter(row["condition"] for row in rows if row.get("condition"))
    return f"""{said}
- So that no fault of the camera gives the class away, the photo under the smoke shows it as often
  (`condition` in the metadata): {_counted(conditions) or "none"} of the smoky pictures."""


def _counted(kinds: Counter[str]) -> str:
    """``12 blur, 9 steam``, the most frequent first."""
    return ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
