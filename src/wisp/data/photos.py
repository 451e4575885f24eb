"""Photos to learn from: pictures, but none that wisp itself has made, and enough of them."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

from wisp.errors import InputError
from wisp.images import ImageFile, find_images
from wisp.rundir import RunDir

# Their pictures are made ones. The demo's folder holds rendered photos as well, in place of real.
_KINDS = frozenset({"train", "synth", "classify", "evaluate", "compare"})
_FEW = 60


def find_photos(sources: Sequence[str | Path], besides: Path | None = None) -> list[ImageFile]:
    """The picture files that ``sources`` name, as :func:`wisp.images.find_images` finds them.

    Args:
        sources: folders, files or globs.
        besides: a folder whose pictures are passed over, such as one that is being written.

    Raises:
        InputError: nothing found, or pictures among it that a run of wisp made: masks, smoke,
            samples, and clean pictures that are copies of photos, by whose hashes a test photo
            that was learned from could no longer be told.
    """
    found = find_images(sources)
    if besides is not None:
        out = besides.resolve()
        found = [file for file in found if out not in (file.path.parent.resolve() / "_").parents]
        if not found:
            raise InputError(f"{sources[0]}: holds no pictures besides --out {besides}")
    run_of = functools.cache(_run_of)
    made = [(file, run) for file in found if (run := run_of(file.path.parent)) is not None]
    if made:
        file, run = made[-1]
        raise InputError(
            f"{file.root}: {len(made)} of {len(found)} pictures were made by wisp "
            f"{RunDir(run).kind}, such as {file.path}; give the photos themselves, without {run}"
        )
    return found


def doubt_of_few(counts: Mapping[str, int]) -> list[str]:
    """What to say, if anything, of ``counts``, photos to learn from by domain or class."""
    few = [f"{n} {kind}" for kind, n in counts.items() if n < _FEW]
    if not few:
        return []
    return [
        f"Photos to learn from: {' and '.join(few)}. What is learned of so few holds for them "
        "and little else; give hundreds, of as many places as possible."
    ]


def _run_of(folder: Path) -> Path | None:
    """The run of wisp that ``folder`` lies in or is, the innermost one."""
    place = folder.resolve()
    for inside in (place, *place.parents):
        if (inside / "config.json").is_file():
            try:
                kind = RunDir(inside).kind
            except InputError:  # another program's file
                continue
            if kind in _KINDS:
                return inside
    return None
