"""Which photos a training run uses: scanned, checked, split, and written into the run."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wisp import images
from wisp.config import TrainConfig
from wisp.data import UnpairedFolders, derive_seed, find_photos, find_shared
from wisp.errors import InputError
from wisp.images.tensors import from_uint8
from wisp.manifest import FileRecord, make_groups
from wisp.progress import say
from wisp.rundir import RunDir

_BIG_GROUP = 0.05


@dataclasses.dataclass(frozen=True)
class Photo:
    """One photo of a run; ``domain`` is "clean" or "smoky", ``split`` "train" or "validation"."""

    record: FileRecord
    domain: str
    split: str

    def to_json(self) -> dict[str, str]:
        """The row of ``inputs.json``."""
        return {**self.record.to_json(), "domain": self.domain, "split": self.split}

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Photo:
        """What :meth:`to_json` gave."""
        return cls(FileRecord.from_json(row), str(row["domain"]), str(row["split"]))


@dataclasses.dataclass(frozen=True)
class Photos:
    """All photos of a run, and how many files were skipped."""

    items: list[Photo]
    skipped: list[dict[str, str]]

    def paths(self, domain: str, split: str) -> list[Path]:
        """Files of one domain and split, in order."""
        return [
            Path(item.record.path)
            for item in self.items
            if (item.domain, item.split) == (domain, split)
        ]

    def training_set(self, config: TrainConfig) -> UnpairedFolders:
        """The endless stream of crops to train on."""
        return UnpairedFolders(
            self.paths("clean", "train"),
            self.paths("smoky", "train"),
            size=config.size,
            load_size=config.load_size_px,
            fit=config.fit,
            flip=config.flip,
            images_per_step=config.images_per_step,
            seed=config.seed,
        )


def choose_validation(groups: list[str], count: int, seed: int) -> tuple[set[int], set[int]]:
    """(validation, unused) indices: ``count`` photos of as many groups, and their siblings.

    Siblings, the other photos of the same groups, would leak and are not used. Groups with more
    than 5 % of all photos are left to training unless there is nothing else. At most a quarter of
    the photos goes. The choice depends on the group names and ``seed`` only.
    """
    count = min(count, len(groups) // 4)
    members: dict[str, list[int]] = defaultdict(list)
    for index, group in enumerate(groups):
        members[group].append(index)
    drawn = sorted(members, key=lambda group: derive_seed(seed, "validation", group))
    limit = max(1.0, _BIG_GROUP * len(groups))
    drawn.sort(key=lambda group: len(members[group]) > limit)
    validation: set[int] = set()
    unused: set[int] = set()
    for group in drawn:
        # Whatever the groups are, half of the photos must be left to train on.
        lost = len(validation) + len(unused) + len(members[group])
        if len(validation) < count and lost <= len(groups) // 2:
            first, *rest = members[group]
            validation.add(first)
            unused.update(rest)
    return validation, unused


def gather_photos(config: TrainConfig) -> Photos:
    """Find, read and split the photos of both folders; each file is decoded once to see if it can.

    Raises InputError when a folder has no usable photo, or both share photos.
    """
    assert config.clean is not None and config.smoky is not None
    scans = {}
    skipped = []
    for domain, folder in (("clean", config.clean), ("smoky", config.smoky)):
        found, bad = images.scan(find_photos([folder]), config.workers)
        skipped += [dict(one.to_json(), domain=domain) for one in bad]
        if not found:
            raise InputError(
                f"{folder}: none of its {len(bad)} pictures can be read, the first: "
                f"{bad[0].path} {bad[0].reason}"
            )
        scans[domain] = (folder, found)
    find_shared(scans["clean"][1], scans["smoky"][1])
    items = []
    for domain, (folder, found) in scans.items():
        groups = make_groups(
            [one.path for one in found], folder, "auto", [one.phash for one in found]
        )
        validation, unused = choose_validation(groups, config.validation_photos, config.seed)
        for index, (one, group) in enumerate(zip(found, groups, strict=True)):
            split = "train"
            if index in validation:
                split = "validation"
            elif index in unused:
                split = "unused"
            record = FileRecord(str(one.path.absolute()), one.sha256, group, one.phash)
            items.append(Photo(record, domain, split))
    if skipped:
        say(
            f"{len(skipped)} files skipped (listed in inputs.json), the first: "
            f"{skipped[0]['path']} {skipped[0]['reason']}"
        )
    return Photos(items, skipped)


def write_photos(run: RunDir, photos: Photos, parents: Mapping[str, Path]) -> None:
    """Write ``inputs.json``; ``parents`` are runs whose photos count as seen, too."""
    files = [item.to_json() for item in photos.items]
    run.write_inputs(files, parents=parents, skipped=photos.skipped)


def read_photos(run: RunDir) -> Photos:
    """The photos a run was begun with; InputError names the first one that is gone."""
    saved = run.inputs
    photos = Photos([Photo.from_json(row) for row in saved["files"]], saved["skipped"])
    for item in photos.items:
        if item.split != "unused" and not Path(item.record.path).is_file():
            raise InputError(
                f"{item.record.path}: is gone, but the run needs it to go on exactly; put it back"
            )
    return photos


def load_middle(paths: list[Path], config: TrainConfig) -> Tensor:
    """The middle ``config.size`` px square of each photo, fitted as in training but not cropped at
    random: [N, 3, S, S] in [-1, 1]."""
    squares = []
    for path in paths:
        photo = images.decode_fitted(path, config.size, config.fit)
        squares.append(from_uint8(np.asarray(images.center_crop(photo, config.size))))
    return torch.stack(squares) if squares else torch.empty(0, 3, config.size, config.size)
