"""Scan, plan, render, describe. A run that was killed goes on where it stopped.

``result.json`` is written last: a data set without it is not finished. Until then
``.journal.jsonl`` says which photos are.
"""

from __future__ import annotations

import dataclasses
import json
import os
import time
import zlib
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from wisp.config import Precision, SynthConfig, defaults, parse_strength, to_json
from wisp.data import find_photos
from wisp.errors import InputError, StoppedError
from wisp.images import Skipped, UnreadableImageError, scan
from wisp.jobs.synth.annotations import write_boxes, write_card, write_metadata
from wisp.jobs.synth.gallery import write_gallery
from wisp.jobs.synth.plan import Photo, make_plan
from wisp.jobs.synth.render import Job, Row, faint_count, flat_count, render_photo
from wisp.manifest import are_named
from wisp.models import SmokeModel, load, parents_of
from wisp.progress import counted, format_duration, progress, say
from wisp.resources import set_threads, threads
from wisp.rundir import (
    RunDir,
    append_jsonl,
    precision_so_far,
    read_json,
    read_jsonl,
    write_json,
    write_jsonl,
)
from wisp.smoke import FAINT

_JOURNAL = ".journal.jsonl"
_RESULT = "result.json"


@dataclasses.dataclass(frozen=True)
class SynthResult:
    """What ``wisp synth`` made: ``run`` is the data set, the rest are counts."""

    run: Path
    photos: int
    clean: int
    smoky: int
    train: int
    validation: int
    groups: int
    skipped: int
    masks: bool
    clean_class: str
    probe_auroc: float | None
    seconds: float
    negatives: int = 0
    faint: int = 0
    """Smoky pictures in which the smoke is hardly seen, see :data:`wisp.smoke.FAINT`."""
    flat: int = 0
    """Smoky pictures in which the generator painted one colour over the photo."""
    guessed_groups: bool = False
    """Whether nothing but near copies told which photos belong together."""

    def summary(self) -> str:
        """A few lines for the user."""
        lines = [
            f"{self.clean} clean and {self.smoky} smoky pictures of "
            f"{counted(self.photos, 'photo')} ({counted(self.groups, 'group')}) in "
            f"{format_duration(self.seconds)}: {self.run}"
        ]
        if self.guessed_groups:
            lines.append(
                "no file name says which photos show one place (PLACE__0001.jpg), so only near "
                "copies were kept together; --group-by folder, or a regular expression, says more"
            )
        if self.negatives:
            lines.append(f"look-alikes among the clean pictures: {self.negatives}")
        if self.faint:
            lines.append(
                f"smoke that is hardly seen: {self.faint} of {self.smoky} smoky pictures (under "
                f"{FAINT:.1%} of the picture changes plainly; --strength makes it denser)"
            )
        if self.flat:
            lines.append(
                f"smoky pictures that the generator paints in one colour: {self.flat} of "
                f"{self.smoky}; take another --model"
            )
        if self.skipped:
            lines.append(f"files skipped: {self.skipped} (inputs.json lists them)")
        if self.probe_auroc is not None:
            lines.append(f"fingerprint probe: AUROC {self.probe_auroc:.2f} (chance: 0.50)")
        return "\n".join(lines)


def run(config: SynthConfig) -> SynthResult:
    """Make the data set that ``config`` describes, or finish one that was begun.

    Raises InputError when nothing is usable, when ``--out`` holds something else, and for the
    mistakes named in :mod:`wisp.models` and :mod:`wisp.manifest`; WispError when the disk is full.
    """
    start_s = time.monotonic()
    folder = RunDir.unfinished(config.out, "synth", to_json(config), defaults(SynthConfig))
    resumed = folder is not None
    begun_with = precision_so_far(config.out, config.precision) if resumed else None
    model = _load_model(config, begun_with or config.precision)
    _repeat_doubts(config)
    reconstruct = _reconstructs(config, model)
    workers = config.workers or os.cpu_count() or 1
    files = find_photos(config.photos, besides=config.out)
    scanned, skipped = scan(files, workers, "reading photos")
    if not scanned:
        raise InputError(
            f"{config.photos[0]}: none of {len(skipped)} pictures can be used; the first: "
            f"{skipped[0].path}: {skipped[0].reason}"
        )
    photos = make_plan(config, scanned)
    if folder is None:
        folder = RunDir.create(config.out, "synth", to_json(config))
    if parse_strength(config.strength)[1] == 0:
        say(f"--strength {config.strength} lays no smoke: the pictures called smoky show none")
    journal = _Journal(folder.path / _JOURNAL, model.name)
    finished = journal.open(photos) if resumed else journal.start()
    folder.write_environment(
        model=model.name, kind=model.kind, **dataclasses.asdict(model.computing)
    )
    _write_inputs(folder, config, photos, skipped)

    job = Job(config, folder.path, model, reconstruct)
    bad = _render_all(job, photos, finished, journal, workers)
    photos = [photo for photo in photos if photo.path not in {b.path for b in bad}]
    if not photos:
        raise InputError(f"{bad[0].path}: {bad[0].reason}, and no other photo is left")
    skipped += bad
    rows = [row for photo in photos for row in finished[photo.name]]
    _write_inputs(folder, config, photos, skipped)
    probe = _describe(job, photos, rows, len(skipped), workers)
    result = _result(job, photos, rows, skipped, probe, time.monotonic() - start_s)
    summary = dataclasses.asdict(result)
    summary.pop("run")
    write_json(folder.path / _RESULT, summary)
    journal.path.unlink(missing_ok=True)
    if skipped:
        say(
            f"{len(skipped)} files were skipped (inputs.json lists them), for example "
            f"{skipped[0].path}: {skipped[0].reason}"
        )
    return result


def _load_model(config: SynthConfig, precision: Precision) -> SmokeModel:
    if config.model == "procedural":
        model = load(config.model)
    else:
        model = load(config.model, device=config.device, precision=precision)
    if config.frames > 1 and model.kind == "cyclegan":
        raise InputError(
            f"--frames {config.frames}: {model.name} makes smoke for a still picture and cannot "
            "move it; take --model procedural or a layered model"
        )
    return model if config.source is None else model.placed(config.source)


def _repeat_doubts(config: SynthConfig) -> None:
    """Say again what the training of the model said of itself, to whom may not have read it."""
    run = parents_of(config.model, config.negatives).get("model")
    if run is not None and (run / _RESULT).exists():
        for note in read_json(run / _RESULT).get("notes", []):
            say(f"of {run}: {note.replace('report.html', str(run / 'report.html'))}")


def _reconstructs(config: SynthConfig, model: SmokeModel) -> bool:
    """Whether the clean class is sent through the generator pair."""
    if config.clean_class == "pixels" or (model.exact_mask and config.clean_class == "auto"):
        return False
    if not model.can_reconstruct and config.clean_class == "auto":
        say(
            f"{model.name} has one direction only: the clean class keeps the photos' own pixels, "
            "so a detector may learn the generator's traces (see the fingerprint probe)"
        )
        return False
    if not model.can_reconstruct:
        raise InputError(
            f"--clean-class reconstructed: {model.name} has one direction only; take "
            "--clean-class pixels, or a run of `wisp train`, which holds both"
        )
    return True


def _write_inputs(
    folder: RunDir, config: SynthConfig, photos: Sequence[Photo], skipped: Sequence[Skipped]
) -> None:
    folder.write_inputs(
        [photo.record() for photo in photos],
        parents=parents_of(config.model, config.negatives),
        skipped=[entry.to_json() for entry in skipped],
    )


class _Journal:
    """Which photos are finished, with their metadata rows; survives a kill."""

    def __init__(self, path: Path, model: str) -> None:
        self.path, self._model = path, model

    def start(self) -> dict[str, list[Row]]:
        """Begin; nothing is finished."""
        write_jsonl(self.path, [{"model": self._model}])
        return {}

    def open(self, photos: Sequence[Photo]) -> dict[str, list[Row]]:
        """Rows by photo name; InputError if model or photos are others than before."""
        if not self.path.exists():
            return self.start()
        head, *entries = read_jsonl(self.path) or [{"model": self._model}]
        out = self.path.parent
        if head.get("model") != self._model:
            raise InputError(
                f"--out {out} was begun with {head.get('model')}, but the model is now "
                f"{self._model}; remove {out} and start again"
            )
        known = {(photo.name, photo.sha256, photo.split) for photo in photos}
        for entry in entries:
            if entry.get("check") != _check(entry):
                raise InputError(f"{self.path}: is damaged, or of an earlier wisp; remove {out}")
            if (entry["name"], entry["sha256"], entry["split"]) not in known:
                raise InputError(
                    f"--out {out}: {entry['name']} is no longer among the photos, or has changed; "
                    f"remove {out} and start again"
                )
        # A killed append may have left half a line: write the whole ones anew.
        write_jsonl(self.path, [head, *entries])
        return {entry["name"]: entry["rows"] for entry in entries}

    def add(self, photo: Photo, rows: list[Row]) -> None:
        """Note that ``photo`` is finished."""
        entry = {"name": photo.name, "sha256": photo.sha256, "split": photo.split, "rows": rows}
        append_jsonl(self.path, {**entry, "check": _check(entry)})


def _check(entry: Row) -> int:
    """A sum over a line of the journal, by which damage shows that JSON has no word against."""
    words = [entry.get(name) for name in ("name", "sha256", "split", "rows")]
    return zlib.crc32(json.dumps(words).encode())


def _render_all(
    job: Job,
    photos: Sequence[Photo],
    finished: dict[str, list[Row]],
    journal: _Journal,
    workers: int,
) -> list[Skipped]:
    """Render what is not in ``finished`` yet, and add it there; photos that have gone bad."""
    left = [photo for photo in photos if photo.name not in finished]
    bad: list[Skipped] = []
    # Decoding, encoding and arithmetic release the interpreter lock: threads keep all cores busy.
    # What computes gets one thread: sums must not depend on how many workers there are.
    pool = ThreadPoolExecutor(workers, initializer=set_threads, initargs=(1,))
    try:
        with (
            threads(1),
            progress("adding smoke", len(photos), done=len(finished), unit="img") as bar,
        ):
            waiting: dict[Future[list[Row]], Photo] = {}
            queue = iter(left)
            while True:
                # A short queue: an error stops the work soon.
                while len(waiting) < 2 * workers and (photo := next(queue, None)) is not None:
                    waiting[pool.submit(render_photo, job, photo)] = photo
                if not waiting:
                    break
                for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                    photo = waiting.pop(future)
                    try:
                        finished[photo.name] = future.result()
                        journal.add(photo, finished[photo.name])
                    except UnreadableImageError as error:
                        bad.append(Skipped(photo.path, error.reason))
                    bar.advance()
    except KeyboardInterrupt:
        raise StoppedError(
            f"stopped by Ctrl-C with {len(finished)} of {len(photos)} photos finished; repeat the "
            "command to go on"
        ) from None
    finally:
        job.stop.set()  # or a photo of which many pictures are made would be gone through
        pool.shutdown(cancel_futures=True)
    return bad


def _describe(
    job: Job, photos: Sequence[Photo], rows: Sequence[Row], skipped: int, workers: int
) -> dict[str, Any] | None:
    """Write all that is not pictures; the probe's result, if it is wanted."""
    out, config = job.out, job.config
    write_metadata(out, rows)
    if job.model.exact_mask:
        write_boxes(out, rows)
    if config.gallery:
        write_gallery(out, photos, rows, config.seed, workers)
    probe = None
    if config.probe:
        from wisp.jobs.synth.probe import measure_fingerprint  # torch, which smoke does without

        probe = measure_fingerprint(out, photos, config.seed)
        write_json(out / "probe.json", probe)
    write_card(
        out,
        config,
        rows,
        exact_mask=job.model.exact_mask,
        reconstructed=job.reconstruct,
        skipped=skipped,
        probe=probe,
    )
    return probe


def _result(
    job: Job,
    photos: Sequence[Photo],
    rows: Sequence[Row],
    skipped: Sequence[Skipped],
    probe: dict[str, Any] | None,
    seconds: float,
) -> SynthResult:
    auroc = (probe or {}).get("auroc")
    return SynthResult(
        run=job.out,
        photos=len(photos),
        clean=sum(row["label"] == "clean" for row in rows),
        smoky=sum(row["label"] == "smoky" for row in rows),
        train=sum(row["split"] == "train" for row in rows),
        validation=sum(row["split"] == "validation" for row in rows),
        groups=len({photo.group for photo in photos}),
        skipped=len(skipped),
        masks=job.model.exact_mask and job.config.masks,
        clean_class="reconstructed" if job.reconstruct else "pixels",
        probe_auroc=None if auroc is None else auroc["value"],
        seconds=round(seconds, 2),
        negatives=sum(row.get("negative") is not None for row in rows),
        faint=faint_count(rows),
        flat=flat_count(rows),
        guessed_groups=job.config.group_by == "auto"
        and len(photos) > 1
        and not are_named([photo.path for photo in photos]),
    )
