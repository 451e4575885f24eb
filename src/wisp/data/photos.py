"""Finding photos to learn from: pictures, but none that wisp itself has made."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

from wisp.errors import InputError
from wisp.images import ImageFile, find_images
from wisp.rundir import RunDir

# Their pictures are made ones. The demo's folder holds rendered photos as well, in place of real.
_KINDS = frozenset({"train", "synth", "classify", "evaluate", "compare"})


def find_photos(
    sources: Sequence[str | Path], domain: str, besides: Path | None = None
) -> list[ImageFile]:
    """The picture files that ``sources`` name, as :func:`wisp.images.find_images` finds them.

    Args:
        sources: folders, files or globs.
        domain: what they are used as, clean or smoky. Pictures of this class in a data set that
            ``wisp synth`` made may be used again.
        besides: a folder whose pictures are passed over, such as one that is being written.

    Raises:
        InputError: nothing found, or pictures among it that a run of wisp made: masks, smoky
            pictures given as clean ones, samples.
    """
    found = find_images(sources)
    if besides is not None:
        inside = besides.resolve()
        found = [file for file in found if inside not in file.path.absolute().parents]
        if not found:
            raise InputError(f"{sources[0]}: holds no pictures besides --out {besides}")
    run_of = functools.cache(_run_of)
    made: dict[Path, list[ImageFile]] = {}
    for file in found:
        run = run_of(file.path.parent)
        if run is not None and not _is_photo(file.path, run, domain):
            made.setdefault(run, []).append(file)
    if made:
        (run, files), whole = next(iter(made.items())), len(found)
        kind = RunDir(run).kind
        raise InputError(
            f"{sources[0]}: {len(files)} of {whole} pictures were made by wisp {kind}, such as "
            f"{files[-1].path}; give photos only"
            + (f", or {run / 'train' / domain}" if kind == "synth" else "")
        )
    return found


def _run_of(folder: Path) -> Path | None:
    """The run of wisp that ``folder`` belongs to, the innermost one."""
    for place in (folder, *folder.absolute().parents):
        if (place / "config.json").is_file():
            try:
                kind = RunDir(place).kind
            except InputError:  # another program's file
                continue
            if kind in _KINDS:
                return place
    return None


def _is_photo(path: Path, run: Path, domain: str) -> bool:
    """Whether ``path`` in ``run`` is a picture of the class ``domain`` of a data set."""
    split, label, *_ = (*path.absolute().relative_to(run.absolute()).parts, "")
    return split in ("train", "validation") and label == domain
