"""Real pictures to test on: read, checked against the detector's classes and training inputs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from wisp import images
from wisp.config import EvaluateConfig
from wisp.data import LabelledItem, LabelledSet, sets_below
from wisp.errors import InputError
from wisp.manifest import FileRecord, Overlap, find_overlaps
from wisp.rundir import RunDir

_SHOWN = 3


@dataclasses.dataclass(frozen=True)
class RealPicture:
    """One picture of a test set."""

    path: Path
    set_name: str
    group: str
    label: str
    sha256: str
    phash: str

    def record(self) -> FileRecord:
        """As ``inputs.json`` lists it."""
        return FileRecord(str(self.path), self.sha256, self.group, self.phash)


def set_names(roots: Sequence[Path]) -> list[str]:
    """A short name for each set: its folder's, with as many parents as tell them apart.

    >>> set_names([Path("a/indoor"), Path("b/indoor"), Path("b/steam")])
    ['a/indoor', 'b/indoor', 'steam']
    """
    parts = [Path(root).resolve().parts for root in roots]
    names = []
    for own in parts:
        length = 1
        others = [other for other in parts if other != own]
        while length < len(own) and any(o[-length:] == own[-length:] for o in others):
            length += 1
        names.append("/".join(own[-length:]))
    return names


def read_test_sets(
    config: EvaluateConfig, classes: Sequence[str]
) -> tuple[list[RealPicture], list[images.Skipped]]:
    """The pictures of all sets; a set may hold only some of the detector's ``classes``.

    A group name without ``/`` (a prefix, or one from metadata) means the same group in every set;
    a group that is a file's own name counts for its set only.

    Raises InputError when a class folder is unknown to the detector or a set is given twice.
    """
    resolved = [root.resolve() for root in config.real]
    if len(set(resolved)) < len(resolved):
        raise InputError("REAL: the same folder is given twice; name each test set once")
    pictures: list[RealPicture] = []
    skipped: list[images.Skipped] = []
    for root, name in zip(config.real, set_names(config.real), strict=True):
        labelled = LabelledSet.open(root, config.group_by, workers=config.workers)
        unknown = [label for label in labelled.classes if label not in classes]
        if unknown:
            below = sets_below(root, classes)
            if below and len(unknown) == len(labelled.classes):
                raise InputError(
                    f"{root}: lies one folder above the class folders; give "
                    f"{' '.join(str(folder) for folder in below)}"
                )
            raise InputError(
                f"{root}: holds the class folders {', '.join(labelled.classes)}, but the detector "
                f"knows {', '.join(classes)}; rename {', '.join(unknown)} or leave it out"
            )
        pictures += [_picture(item, name) for item in labelled.items]
        skipped += labelled.skipped
    return pictures, skipped


def _picture(item: LabelledItem, set_name: str) -> RealPicture:
    group = f"{set_name}/{item.group}" if "/" in item.group else item.group
    return RealPicture(item.path, set_name, group, item.label, item.sha256, item.phash)


def check_overlap(
    detector: Path, pictures: Sequence[RealPicture], allowed: bool
) -> tuple[list[Overlap], str | None]:
    """Test pictures that the detector has seen, by bytes or by look, and a note about them.

    Compared are all pictures the detector was trained or validated on, the photos those were made
    from, and the photos their smoke was learned from. Raises InputError with examples if there are
    any and they are not ``allowed``.
    """
    seen = RunDir(detector).files_seen()
    overlaps = find_overlaps(seen, [picture.record() for picture in pictures])
    if not overlaps:
        return [], None
    examples = "; ".join(f"{o.test} ({o.kind} of {o.train})" for o in overlaps[:_SHOWN])
    count = f"{len(overlaps)} of {len(pictures)} test pictures were seen in training"
    if not allowed:
        raise InputError(
            f"{count}: {examples}; remove them from the test sets, or give --allow-overlap to go "
            "on and have them reported"
        )
    return overlaps, f"{count}; the figures are too good."
