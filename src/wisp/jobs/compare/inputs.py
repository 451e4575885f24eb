"""What a comparison needs, checked before hours are spent on it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from wisp.config import REAL, CompareConfig, EvaluateConfig
from wisp.data import is_detection_set, sets_below
from wisp.errors import InputError
from wisp.images import Skipped
from wisp.jobs.compare.datasets import Photos, synth_config
from wisp.jobs.evaluate.testsets import RealPicture, read_test_sets, set_names
from wisp.manifest import FileRecord, find_overlaps
from wisp.models import load, lookalike_parents, parents_of
from wisp.networks.backbone import Backbone, load_backbone
from wisp.rundir import RunDir

CLASSES = ("clean", "smoky")


@dataclasses.dataclass(frozen=True)
class Inputs:
    """Everything that is read, and found usable."""

    photos: Photos
    roots: tuple[Path, ...]
    tests: list[RealPicture]
    skipped: list[Skipped]
    backbone: Backbone
    """As the detectors start from it: what distances are measured on."""

    @property
    def sets(self) -> list[str]:
        """Names of the test sets."""
        return set_names(self.roots)


def read_inputs(config: CompareConfig) -> Inputs:
    """Open photos, test sets, models and weights.

    Raises InputError for each of them that cannot be used, where test photos are among those to
    learn from or among those that a model's smoke comes from, and where ``--out`` lies among the
    photos.
    """
    for folder in (config.clean, config.smoky, *config.real):
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder; give a folder of photos")
        if config.out.resolve().is_relative_to(folder.resolve()):
            raise InputError(
                f"--out {config.out} lies in {folder}; name a folder beside the photos"
            )
    roots = test_roots(config.real)
    _require_models(config)
    # "none" is other weights for every seed; what is measured on must be the same for all.
    weights = "random" if config.weights == "none" else config.weights
    backbone = load_backbone(config.backbone, weights, config.size)
    photos = Photos.read(config)
    tests, skipped = read_test_sets(evaluate_config(config, config.out, roots, config.out), CLASSES)
    if not tests:
        raise InputError(f"{roots[0]}: no picture could be read; see {skipped[0].path}")
    _require_unseen(photos, tests)
    _require_unseen_by_models(config, tests)
    return Inputs(photos, roots, tests, skipped, backbone)


def evaluate_config(
    config: CompareConfig, detector: Path, roots: Sequence[Path], out: Path
) -> EvaluateConfig:
    """How ``detector`` is scored; distances are measured on a backbone that all share instead."""
    return EvaluateConfig(
        detector,
        tuple(roots),
        out=out,
        group_by=config.group_by,
        distances=False,
        seed=config.seed,
        device=config.device,
        workers=config.workers,
    )


def test_roots(folders: Sequence[Path]) -> tuple[Path, ...]:
    """The folders that hold ``clean`` or ``smoky``, or a detection set: those given, or those with
    classes right below them."""
    roots: list[Path] = []
    for folder in folders:
        if is_detection_set(folder) or any((folder / name).is_dir() for name in CLASSES):
            roots.append(folder)
            continue
        below = sets_below(folder, CLASSES)
        if not below:
            raise InputError(
                f"REAL {folder}: holds no folder clean or smoky, nor do the folders in it; give "
                "test sets with one folder per class"
            )
        roots += below
    return tuple(roots)


def _sources(config: CompareConfig) -> list[str]:
    """What the smoke of all contenders comes from, those mixed included, each once."""
    return list(
        dict.fromkeys(
            part.source for model in config.contenders for part in model.parts or (model,)
        )
    )


def _require_models(config: CompareConfig) -> None:
    for source in _sources(config):
        if source == REAL:
            continue
        try:
            load(source)
        except InputError as error:
            said = str(error).replace("--model ", "--models ", 1)
            raise InputError(f"{said}; or real, or a mixture such as procedural+real") from None


def _require_unseen(photos: Photos, tests: Sequence[RealPicture]) -> None:
    seen = [
        FileRecord(str(photo.path), photo.sha256, "", photo.phash)
        for photo in (*photos.clean, *photos.smoky)
    ]
    overlaps = find_overlaps(seen, [picture.record() for picture in tests])
    if overlaps:
        first = overlaps[0]
        raise InputError(
            f"REAL: {len(overlaps)} of {len(tests)} test pictures are among the photos to learn "
            f"from, for example {first.test} ({first.kind} of {first.train}); remove them on one "
            "side"
        )


def _require_unseen_by_models(config: CompareConfig, tests: Sequence[RealPicture]) -> None:
    """``evaluate`` would refuse them as well, but only after the first detector was trained."""
    records = [picture.record() for picture in tests]
    for source in _sources(config):
        made = synth_config(config, source, config.seed, config.out)
        parents = lookalike_parents(made.negatives)
        if source != REAL:
            parents |= parents_of(made.model, made.negatives)
        for name, run in parents.items():
            overlaps = find_overlaps(RunDir(run).files_seen(), records)
            if overlaps:
                first = overlaps[0]
                learned, flag = (
                    (f"{source} learned its smoke", "--models")
                    if name == "model"
                    else ("look-alikes of steam have their folds", "--negatives")
                )
                raise InputError(
                    f"REAL: {len(overlaps)} of {len(tests)} test pictures are among the photos "
                    f"that {learned} from, for example {first.test} ({first.kind} of "
                    f"{first.train}); remove them from the test sets, or change {flag}"
                )
