"""Sets for detection in YOLO's layout, whose pictures are smoky or clean by their boxes."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import yaml

from wisp.errors import InputError
from wisp.images import ImageFile, find_images
from wisp.progress import say

_IMAGES, _LABELS = f"{os.sep}images{os.sep}", f"{os.sep}labels{os.sep}"
_NO_SMOKE = re.compile(r"\b(no|non|not|without)[-_ ]?smok")


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

    A file of YAML with ``names`` beside them, or ``classes.txt``, says which boxes are of smoke, if
    they are of several classes. Raises InputError where none of several is called smoke.
    """
    smoke = _smoke_ids(root, tell)
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


def _smoke_ids(root: Path, tell: bool) -> frozenset[str] | None:
    """The numbers of the classes called smoke; None where every box counts."""
    file, names = _class_names(root)
    smoke = frozenset(
        number
        for number, name in names.items()
        if "smok" in name.lower() and not _NO_SMOKE.search(name.lower())
    )
    called = ", ".join(names.values())
    if smoke or not names:
        return smoke or None
    if len(names) > 1:
        raise InputError(
            f"{file}: its classes are {called}, none of them smoke; sort the pictures into smoky/ "
            "and clean/"
        )
    if tell:
        say(f"{file}: boxes of its one class, {called}, are taken for smoke")
    return None


def _class_names(root: Path) -> tuple[Path, dict[str, str]]:
    """The file that names the classes of boxes, and their names by number; none without one."""
    for file in sorted((*root.glob("*.yaml"), *root.glob("*.yml"))):
        try:
            said = yaml.safe_load(file.read_bytes())
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            words = " ".join(str(error).split())
            raise InputError(f"{file}: cannot be read as YAML ({words})") from None
        names = said.get("names") if isinstance(said, dict) else None
        if isinstance(names, list):
            names = dict(enumerate(names))
        if isinstance(names, dict):
            return file, {str(number): str(name) for number, name in names.items()}
    for file in (root / "classes.txt", root / "labels" / "classes.txt"):
        if file.is_file():
            lines = file.read_text(errors="replace").split("\n")
            return file, {str(n): name.strip() for n, name in enumerate(lines) if name.strip()}
    return root, {}
