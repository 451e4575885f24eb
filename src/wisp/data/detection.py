"""Sets for detection in YOLO's layout, whose pictures are smoky or clean by their boxes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import yaml

from wisp.errors import InputError
from wisp.images import ImageFile, find_images

_IMAGES, _LABELS = f"{os.sep}images{os.sep}", f"{os.sep}labels{os.sep}"


def is_detection_set(root: Path) -> bool:
    """Whether ``root``, or each part in it, holds ``images`` beside ``labels``."""
    return any(
        # (Of a folder that may not be looked at, pathlib's question raises.)
        all(os.path.isdir(place / name) for name in ("images", "labels"))  # noqa: PTH112
        for place in (root, *root.iterdir())
    )


def detection_pictures(root: Path, tell: bool = True) -> Iterator[tuple[ImageFile, str]]:
    """Every picture below a folder ``images``, and ``smoky`` if it has a box of smoke, else
    ``clean``.

    ``data.yaml`` says which boxes are of smoke, if they are of several classes. Raises InputError
    where it names several and none of them smoke.
    """
    smoke = _smoke_ids(root / "data.yaml")
    for file in find_images([root], tell=tell):
        below = f"{os.sep}{file.path.relative_to(root)}"
        before, found, after = below.rpartition(_IMAGES)
        if found:
            label = Path(f"{root}{before}{_LABELS}{after}").with_suffix(".txt")
            yield file, "smoky" if _has_box(label, smoke) else "clean"


def _has_box(label: Path, smoke: frozenset[str] | None) -> bool:
    if not label.is_file():
        return False
    boxes = filter(None, map(str.split, label.read_text(errors="replace").splitlines()))
    return any(smoke is None or kind in smoke for kind, *_ in boxes)


def _smoke_ids(file: Path) -> frozenset[str] | None:
    """The numbers of the classes called smoke in ``data.yaml``; None where every box counts."""
    try:
        said = yaml.safe_load(file.read_bytes()) if file.is_file() else None
    except yaml.YAMLError as error:
        words = " ".join(str(error).split())
        raise InputError(f"{file}: cannot be read as YAML ({words})") from None
    names = said.get("names") if isinstance(said, dict) else None
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or len(names) < 2:
        return None
    smoke = frozenset(str(number) for number, name in names.items() if "smok" in str(name).lower())
    if not smoke:
        raise InputError(
            f"{file}: its classes are {', '.join(map(str, names.values()))}, none of them smoke; "
            "sort the pictures into smoky/ and clean/"
        )
    return smoke
