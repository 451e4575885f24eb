"""A labelled data set from each source of smoke: the same clean photos, the same split."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from wisp.config import REAL, CompareConfig, Contender, SynthConfig, to_json
from wisp.data import find_photos
from wisp.errors import InputError
from wisp.images import Scanned, Skipped, decode, encode_jpeg, scan
from wisp.jobs import synth
from wisp.jobs.synth.annotations import write_metadata
from wisp.jobs.synth.plan import Photo, draw, make_plan, picture_seed
from wisp.jobs.synth.render import (
    Row,
    add_condition,
    faint_count,
    metadata_row,
    quality_of,
    write_negative,
)
from wisp.models import lookalike_parents
from wisp.progress import progress
from wisp.rundir import RunDir, read_jsonl, write_bytes, write_json


@dataclasses.dataclass(frozen=True)
class Photos:
    """The photos to learn from, each decoded once."""

    clean: list[Scanned]
    smoky: list[Scanned]
    skipped: list[Skipped]

    @classmethod
    def read(cls, config: CompareConfig) -> Photos:
        """CLEAN and SMOKY; InputError where one holds no usable picture."""
        found, skipped = [], []
        for folder, kind in ((config.clean, "clean"), (config.smoky, "smoky")):
            good, bad = scan(find_photos([folder]), config.workers, f"reading {kind} photos")
            if not good:
                raise InputError(
                    f"{folder}: none of {len(bad)} pictures can be used; the first: "
                    f"{bad[0].path}: {bad[0].reason}"
                )
            found.append(good)
            skipped += bad
        return cls(found[0], found[1], skipped)


def synth_config(config: CompareConfig, source: str, seed: int, out: Path) -> SynthConfig:
    """How the data set of ``source`` is made: between contenders only the source
    differs (and, for a CycleGAN that composes, the folds of every third steam)."""
    return SynthConfig(
        (str(config.clean),),
        out=out,
        model=source,
        strength=config.strength,
        negatives=config.negatives,
        limit=config.limit,
        group_by=config.group_by,
        # The making is the same for every seed: to probe one set of each source is enough.
        probe=seed == config.seed,
        seed=seed,
        workers=config.workers,
        device=config.device,
        precision=config.precision,
    )


def make_dataset(
    config: CompareConfig, model: Contender, seed: int, folder: Path, photos: Photos
) -> Path:
    """The data set ``folder/NAME/dataset`` of ``model``, unless it is finished already.

    Raises InputError where it was made of other photos than ``photos``.
    """
    out = folder / model.name / "dataset"
    made, finished = synth_config(config, model.source, seed, out), (out / "result.json").exists()
    if model.parts:
        parts = [make_dataset(config, part, seed, folder, photos) for part in model.parts]
        if not finished:
            _mix(made, model, parts)
    elif model.source == REAL:
        planned = plan_real(made, str(config.smoky), photos)
        if not finished:
            _collect(made, *planned)
        require_made_of(out, [photo.record() for part in planned for photo in part], out.parent)
    else:
        if not finished:
            synth.run(made)
        plan = make_plan(made, photos.clean)
        require_made_of(out, [photo.record() for photo in plan], out.parent)
    return out


def require_made_of(run: Path, photos: Sequence[Mapping[str, str]], anew: Path) -> None:
    """Raise InputError unless the files of ``run`` are these (rows with ``path`` and ``sha256``).

    Some may have come, gone or changed since the comparison began, or while it went on.
    """
    of, now = (
        sorted((row["path"], row["sha256"]) for row in rows)
        for rows in (RunDir(run).inputs["files"], photos)
    )
    if of != now:
        path, _ = min(set(of) ^ set(now))
        raise InputError(
            f"{run}: was made of {len(of)} photos that are not the {len(now)} of now, for example "
            f"{path}; bring them back, or remove {anew} and repeat the command"
        )


def _begin(config: SynthConfig) -> RunDir:
    RunDir.require_free(config.out, replaces="synth")
    folder = RunDir.create(config.out, "synth", to_json(config))
    folder.write_environment(model=config.model)
    return folder


def _finish(folder: RunDir, rows: Sequence[Row], start_s: float) -> None:
    write_metadata(folder.path, rows)
    write_json(
        folder.path / "result.json",
        {
            "clean": sum(row["label"] == "clean" for row in rows),
            "smoky": sum(row["label"] == "smoky" for row in rows),
            "train": sum(row["split"] == "train" for row in rows),
            "validation": sum(row["split"] == "validation" for row in rows),
            "clean_class": "pixels",
            "masks": False,
            "faint": faint_count(rows),
            "seconds": round(time.monotonic() - start_s, 2),
        },
    )


def plan_real(config: SynthConfig, smoky: str, photos: Photos) -> tuple[list[Photo], list[Photo]]:
    """The clean photos as ``wisp synth`` places them, and at most as many smoky ones, by group.

    A group of smoky photos that is also one of the clean ones lies on their side.
    """
    clean = make_plan(config, photos.clean)
    own = dataclasses.replace(config, photos=(smoky,), limit=len(clean))
    sides = {photo.group: photo.split for photo in clean}
    return clean, [
        dataclasses.replace(photo, split=sides.get(photo.group, photo.split))
        for photo in make_plan(own, photos.smoky)
    ]


def _collect(config: SynthConfig, clean: Sequence[Photo], real: Sequence[Photo]) -> None:
    """A data set whose smoky class are the ``real`` photos.

    Every smoky photo is encoded as a clean one of its side is, so that the quantisation of the
    files cannot tell the classes apart.
    """
    start_s = time.monotonic()
    folder = _begin(config)
    records = [photo.record() for photo in [*clean, *real]]
    folder.write_inputs(records, parents=lookalike_parents(config.negatives))
    jobs = [(photo, "clean", photo.clean_file(), photo.path) for photo in clean]
    for split in ("train", "validation"):
        partners = [photo for photo in clean if photo.split == split]
        own = [photo for photo in real if photo.split == split]
        jobs += [
            (photo, "smoky", f"{split}/smoky/{photo.name}.jpg", partners[i % len(partners)].path)
            for i, photo in enumerate(own)
        ]

    def write(job: tuple[Photo, str, str, Path]) -> list[Row]:
        photo, label, name, encoded_as = job
        image, quality = decode(photo.path), quality_of(config, encoded_as)
        if label == "smoky":
            pixels = np.array(image)
            condition = add_condition(config, picture_seed(config, photo, 1), pixels)
            write_bytes(folder.path / name, encode_jpeg(Image.fromarray(pixels), quality))
            # How much smoke there is nobody knows.
            unknown = dict.fromkeys(("strength", "coverage", "mean_opacity", "visible"))
            return [
                metadata_row(config, photo, name, label, model=REAL, condition=condition, **unknown)
            ]
        write_bytes(folder.path / name, encode_jpeg(image, quality))
        row, pixels = metadata_row(config, photo, name, label), np.asarray(image)
        return [row, *write_negative(config, folder.path, photo, pixels, quality)]

    rows: list[Row] = []
    with (
        progress("collecting real photos", len(jobs), unit="img") as bar,
        ThreadPoolExecutor(config.workers or os.cpu_count() or 1) as pool,
    ):
        for written in pool.map(write, jobs):
            rows += written
            bar.advance()
    _finish(folder, rows, start_s)


def _mix(config: SynthConfig, model: Contender, parts: Sequence[Path]) -> None:
    """A data set that takes an equal share of each class and side from every part.

    Shares are drawn by the photo: parts that were made of the same photos give disjoint ones, and
    each smoky picture comes with the clean one it was made of.
    """
    start_s = time.monotonic()
    folder = _begin(config)
    names = [part.name for part in model.parts]
    folder.write_inputs([], parents=dict(zip(names, parts, strict=True)))
    rows: list[Row] = []
    for position, (name, part) in enumerate(zip(names, parts, strict=True)):
        for row in _share(read_jsonl(part / "metadata.jsonl"), position, len(parts), config.seed):
            split, label, rest = row["file_name"].split("/", 2)
            file_name = f"{split}/{label}/{name}/{rest}"
            write_bytes(folder.path / file_name, (part / row["file_name"]).read_bytes())
            rows.append({**row, "file_name": file_name})
    _finish(folder, rows, start_s)


def _share(rows: Sequence[Row], position: int, parts: int, seed: int) -> list[Row]:
    """Every ``parts``-th of ``rows``, by class and side, in an order drawn from the photos.

    Look-alikes are shared like a class of their own.
    """
    lots = sorted(rows, key=lambda row: draw(seed, "share", row["source_sha256"], row["source"]))
    chosen = []
    places = [(row["split"], row["label"], bool(row.get("negative"))) for row in lots]
    for place in dict.fromkeys(places):
        own = [row for row, at in zip(lots, places, strict=True) if at == place]
        chosen += own[position::parts]
    return chosen
