"""What a detector trains on: labelled sets put together, and split without a leak."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from wisp import images, manifest
from wisp.config import ClassifyConfig
from wisp.data import LabelledItem, LabelledSet, Split, doubt_of_few, sets_below
from wisp.errors import InputError
from wisp.images.jpeg import Uint8Array
from wisp.progress import counted

_FEW_GROUPS = 5

Change = Callable[[Uint8Array, int, int], Uint8Array]
"""Of a picture [H, W, 3], its class index and a seed another picture of that class."""


@dataclasses.dataclass(frozen=True)
class Parts:
    """The pictures of all sets, each with its class and side."""

    classes: list[str]
    train: list[LabelledItem]
    validation: list[LabelledItem]
    files: list[dict[str, str]]
    """For ``inputs.json``: every picture, and every photo that pictures were made from."""
    skipped: list[images.Skipped]
    notes: list[str]
    change: Change | None = None
    """What makes a picture to train on of its class, each time anew."""

    def targets(self, items: Sequence[LabelledItem]) -> list[int]:
        """Class indices of ``items``."""
        return [self.classes.index(item.label) for item in items]


def read_parts(config: ClassifyConfig) -> Parts:
    """Open the sets and decide which picture is for training and which for validation.

    Raises InputError when the classes differ between sets, one is missing from a side, the
    positive class is unknown, or sets put one photo on both sides.
    """
    sets = [
        LabelledSet.open(path, config.group_by, workers=config.workers) for path in config.datasets
    ]
    classes = _agreed_classes(sets)
    if config.positive not in classes:
        below = [set_ for path in config.datasets for set_ in sets_below(path, [config.positive])]
        if below:
            raise InputError(
                f"{config.datasets[0]}: lies one folder above the class folders; give "
                f"{' '.join(str(folder) for folder in below)}"
            )
        raise InputError(
            f"--positive {config.positive}: the classes are {', '.join(classes)}; name one of them"
        )
    if len(classes) < 2:
        raise InputError(
            f"{config.datasets[0]}: holds only the class {classes[0]}; a detector needs a folder "
            "of something else too, such as clean/"
        )
    items = [item for labelled in sets for item in labelled.items]
    sides = _sides(sets, items, config)
    chosen: dict[Split, list[LabelledItem]] = {"train": [], "validation": []}
    for item, side in zip(items, sides, strict=True):
        chosen[side].append(item)
    for side, members in chosen.items():
        _require_classes(side, members, classes, config)
    notes = _leaks(chosen["train"], chosen["validation"], config)
    notes += doubt_of_few({label: _photos_of(chosen["train"], label) for label in classes})
    notes += doubt_of_places(chosen["validation"])
    return Parts(
        classes,
        chosen["train"],
        chosen["validation"],
        _file_rows(sets, items, sides),
        [skipped for labelled in sets for skipped in labelled.skipped],
        notes,
    )


def doubt_of_places(validation: Sequence[LabelledItem]) -> list[str]:
    """What to say of a validation part of few places, if it is one."""
    groups = len({item.group for item in validation})
    if groups >= _FEW_GROUPS:
        return []
    return [
        f"Validation rests on too few places ({groups}; {_FEW_GROUPS} or more are wanted): its "
        "figures and the threshold say little. Add photos of other places."
    ]


def _photos_of(items: Sequence[LabelledItem], label: str) -> int:
    """How many photos the pictures of a class are, or were made from."""
    return len({item.source_sha256 or item.sha256 for item in items if item.label == label})


def _agreed_classes(sets: Sequence[LabelledSet]) -> list[str]:
    first = sets[0]
    for other in sets[1:]:
        if other.classes != first.classes:
            raise InputError(
                f"{first.root} has the classes {', '.join(first.classes)}, but {other.root} has "
                f"{', '.join(other.classes)}; give data sets with the same class folders"
            )
    return first.classes


def _sides(
    sets: Sequence[LabelledSet], items: Sequence[LabelledItem], config: ClassifyConfig
) -> list[Split]:
    if config.split == "file":
        names = [str(item.path) for item in items]
        return list(manifest.split_groups(names, config.validation, config.seed))
    groups = [item.group for item in items]
    if config.split == "group" or not any(labelled.has_splits for labelled in sets):
        return list(manifest.split_groups(groups, config.validation, config.seed))
    # Where folders decide for some sets, the other sets follow them group by group.
    told: dict[str, Split] = {item.group: item.split for item in items if item.split is not None}
    open_groups = [group for group in groups if group not in told]
    drawn = manifest.split_groups(open_groups, config.validation, config.seed)
    told.update(zip(open_groups, drawn, strict=True))
    return [item.split or told[item.group] for item in items]


def _require_classes(
    side: str, items: Sequence[LabelledItem], classes: Sequence[str], config: ClassifyConfig
) -> None:
    missing = sorted(set(classes) - {item.label for item in items})
    if missing:
        raise InputError(
            f"the {side} part holds no picture of {', '.join(missing)} "
            f"(--split {config.split}, --validation {config.validation}, seed {config.seed}); "
            "add pictures of more places, or set another --validation, --seed or --group-by"
        )


def _leaks(
    train: Sequence[LabelledItem], validation: Sequence[LabelledItem], config: ClassifyConfig
) -> list[str]:
    if config.split == "file":
        return [
            "Split by file: versions and near-copies of one photo lie on both sides, so the "
            "validation figures are too good."
        ]

    def photos(items: Sequence[LabelledItem]) -> dict[str, str]:
        return {item.source_sha256 or item.sha256: str(item.path) for item in items}

    known, checked = photos(train), photos(validation)
    shared = sorted(known.keys() & checked.keys())
    if shared:
        raise InputError(
            f"{counted(len(shared), 'photo')} in training and in validation alike, for example "
            f"{known[shared[0]]} and {checked[shared[0]]}; take --split group to draw the parts "
            "anew"
        )
    both = {item.group for item in train} & {item.group for item in validation}
    if both:
        return [
            f"{len(both)} groups (for example {min(both)}) lie in training and in validation, as "
            "the folders say; take --split group to keep each on one side."
        ]
    return []


def _file_rows(
    sets: Sequence[LabelledSet], items: Sequence[LabelledItem], sides: Sequence[Split]
) -> list[dict[str, str]]:
    rows = [
        {
            "path": str(item.path),
            "sha256": item.sha256,
            "group": item.group,
            "phash": item.phash,
            "label": item.label,
            "split": side,
            "role": "picture",
        }
        for item, side in zip(items, sides, strict=True)
    ]
    sources = {record.sha256: record for labelled in sets for record in labelled.source_records()}
    return rows + [{**record.to_json(), "role": "source"} for record in sources.values()]
