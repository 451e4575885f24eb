"""Train a smoke detector: ``run`` does what ``wisp classify`` does."""

from __future__ import annotations

import copy
import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from wisp.config import ClassifyConfig, to_json
from wisp.data import LabelledItem, LabelledSet, PictureDataset, seeded_generator
from wisp.detectors import DetectorSettings, save_detector, worker_count
from wisp.engine import Engine, make_engine
from wisp.jobs.classify.drawing import parts_of, read_photos
from wisp.jobs.classify.features import AUGMENTED_COPIES, compute_features, feature_batches
from wisp.jobs.classify.fit import Check, Outcome, Stopped, fit, head_groups, network_groups
from wisp.jobs.classify.parts import Change, Parts, read_parts
from wisp.jobs.classify.validation import Validated, validate_detector
from wisp.metrics import Interval
from wisp.models import parents_of
from wisp.networks.backbone import Backbone, load_backbone, mix_in
from wisp.networks.detector import Detector, together
from wisp.progress import counted, format_duration, say
from wisp.rundir import RunDir, write_json

__all__ = ["ClassifyResult", "run"]

_CHECKED_PICTURES = 512


@dataclasses.dataclass(frozen=True)
class ClassifyResult:
    """What ``wisp classify`` hands back; also ``result.json``."""

    run: Path
    classes: list[str]
    positive: str
    threshold: float
    """Probability of the positive class, chosen on the validation part."""
    auroc: Interval
    """On the validation part, with its 95 % interval over groups, as the next two."""
    balanced_accuracy: Interval
    accuracy: Interval
    training_images: int
    validation_images: int
    validation_groups: int
    skipped: int
    steps: int
    best_step: int
    """Of the first member, as ``steps``."""
    stopped: Stopped
    seconds: float
    notes: list[str]
    member_steps: list[int]
    """Steps of each detector whose logits are averaged."""

    def summary(self) -> str:
        """A few lines for the user."""
        lines = [
            f"{self._trained} in {format_duration(self.seconds)} on "
            f"{self.training_images} pictures: {self.run}",
            f"validation ({counted(self.validation_images, 'picture')}, "
            f"{counted(self.validation_groups, 'group')}): "
            f"AUROC {self.auroc}, balanced accuracy {self.balanced_accuracy}",
            f"threshold {self.threshold:.3f}, best step {self.best_step}"
            + (" (of the first member)" if len(self.member_steps) > 1 else ""),
            *self.notes,
        ]
        return "\n".join(lines)

    @property
    def _trained(self) -> str:
        if len(self.member_steps) == 1:
            return f"Detector trained for {counted(self.steps, 'step')}"
        steps = " and ".join(str(steps) for steps in self.member_steps)
        return f"Detector of {len(self.member_steps)} members trained for {steps} steps"


def run(config: ClassifyConfig) -> ClassifyResult:
    """Train a detector on labelled sets and choose its threshold on their validation part.

    Writes the run directory ``config.out``: ``model.safetensors``, ``detector.json``,
    ``metrics.jsonl``, ``validation_predictions.csv``, ``result.json`` and what every run holds.

    Raises:
        InputError: sets, weights or settings that cannot be used.
        TrainingDivergedError: the loss became NaN or infinite.
    """
    start_s = time.monotonic()
    RunDir.require_free(config.out, replaces="classify")
    engine = make_engine(config.device, config.precision, config.seed)
    if config.smoke is None:
        for path in config.datasets:
            LabelledSet.require_folder(path)
    # The weights first: a wrong name should not cost the reading of all pictures.
    backbone = load_backbone(config.backbone, config.weights, config.size)
    read = read_parts(config) if config.smoke is None else read_photos(config)
    folder = RunDir.create(config.out, "classify", to_json(config))
    parts = read if isinstance(read, Parts) else parts_of(read, folder, config)
    say(f"computing on {engine.why}")
    folder.write_environment(device=str(engine.device), precision=engine.precision, why=engine.why)
    folder.write_inputs(
        parts.files,
        parents=_parents(config),
        skipped=[skipped.to_json() for skipped in parts.skipped],
    )
    _announce(parts)
    members: list[Detector] = []
    outcomes: list[Outcome] = []
    left_out: int | None = None
    for number in range(config.members):
        try:
            own = _of_member(config, number)
            member = _new_member(backbone, parts, own, number, engine)
            outcome = _Training(member, parts, own, engine, folder, number).run()
            if config.pretrained_share:
                mix_in(member.backbone, backbone, config.pretrained_share)
        except KeyboardInterrupt:
            if not members:
                raise
            left_out = number
            break
        # Half a training beside a whole one: the others are better without it.
        if outcome.stopped == "interrupted" and members:
            left_out = number
            break
        members.append(member)
        outcomes.append(outcome)
        if outcome.stopped == "interrupted":
            say(f"going on with the best weights so far (step {outcome.best_step})")
            break
    detector = together(members)
    # The threshold is one for scores as `predict` and `evaluate` give them.
    asking = make_engine(config.device, seed=None, answers=True)
    validated = validate_detector(
        detector, parts.validation, parts.targets(parts.validation), config, asking
    )
    validated.write_predictions(folder.path / "validation_predictions.csv")
    settings = DetectorSettings(
        backbone=config.backbone,
        hidden=config.hidden,
        classes=parts.classes,
        positive=config.positive,
        size=config.size,
        threshold=validated.threshold,
        threshold_rule=config.threshold,
        mean=list(backbone.mean),
        std=list(backbone.std),
        validation=validated.to_json(),
        members=len(members),
    )
    save_detector(folder.path, detector, settings)
    result = _result(config, parts, outcomes, left_out, validated, time.monotonic() - start_s)
    write_json(folder.path / "result.json", {**dataclasses.asdict(result), "run": str(config.out)})
    return result


def _parents(config: ClassifyConfig) -> dict[str, Path]:
    """The runs that the pictures come from, for ``inputs.json``."""
    if config.smoke is not None:
        return parents_of(config.smoke, config.negatives)
    names = [f"dataset-{i}" for i in range(len(config.datasets))]
    return dict(zip(names if len(names) > 1 else ["dataset"], config.datasets, strict=True))


def _of_member(config: ClassifyConfig, number: int) -> ClassifyConfig:
    """What member ``number`` is trained with: another seed for every one but the first."""
    if number == 0:
        return config
    generator = seeded_generator(config.seed, "member", number)
    return dataclasses.replace(
        config, seed=int(torch.randint(2**31, (), generator=generator)), members=1
    )


def _new_member(
    backbone: Backbone, parts: Parts, config: ClassifyConfig, number: int, engine: Engine
) -> Detector:
    """An untrained detector on a backbone of its own."""
    own = copy.deepcopy(backbone)
    if number:
        torch.manual_seed(config.seed)
        if config.weights == "none":
            own = load_backbone(config.backbone, "none", config.size)
    freeze = config.freeze_norm or config.finetune == "head"
    return Detector(own, parts.classes, config.hidden, freeze).to(engine.device)


def _announce(parts: Parts) -> None:
    say(
        f"{len(parts.train)} pictures to train on, {len(parts.validation)} to validate on, "
        f"classes {', '.join(parts.classes)}"
        + (f"; {len(parts.skipped)} unreadable files skipped" if parts.skipped else "")
    )


def _pictures(
    parts: Parts,
    items: Sequence[LabelledItem],
    config: ClassifyConfig,
    *,
    augment: bool,
    change: Change | None = None,
) -> PictureDataset:
    return PictureDataset(
        [item.path for item in items],
        parts.targets(items),
        size=config.size,
        augment=augment,
        seed=config.seed,
        change=change,
    )


def _checked_items(parts: Parts, seed: int) -> list[LabelledItem]:
    """Validation pictures that are looked at during training: all, or an even sample of them."""
    items = parts.validation
    if len(items) <= _CHECKED_PICTURES:
        return items
    order = np.random.default_rng(seed).permutation(len(items))[:_CHECKED_PICTURES]
    chosen = [items[i] for i in sorted(order)]
    # A rare class may have been missed altogether; one picture of it keeps the AUROC defined.
    for label in sorted(set(parts.classes) - {item.label for item in chosen}):
        chosen.append(next(item for item in items if item.label == label))
    return chosen


@dataclasses.dataclass(frozen=True)
class _Training:
    """What both ways of training share."""

    detector: Detector
    parts: Parts
    config: ClassifyConfig
    engine: Engine
    folder: RunDir
    number: int
    """Of the member, from 0."""

    def log(self, row: Mapping[str, object]) -> None:
        """A row for ``metrics.jsonl``; members count from 0, and the first is not named."""
        self.folder.log({**row, "member": self.number} if self.number else row)

    @property
    def _label(self) -> str:
        which = f" (member {self.number + 1})" if self.number else ""
        return f"training the detector{which}"

    def run(self) -> Outcome:
        """Train as ``--finetune`` says."""
        parts, config = self.parts, self.config
        train = _pictures(parts, parts.train, config, augment=config.augment, change=parts.change)
        return self._head(train) if config.finetune == "head" else self._network(train)

    @property
    def _positive(self) -> int:
        return self.parts.classes.index(self.config.positive)

    def _features(self, pictures: PictureDataset, copies: int, what: str) -> Tensor:
        return compute_features(
            self.detector.backbone, pictures, copies, self.engine, self.config.workers,
            f"features for {what}",
        )  # fmt: skip

    def _head(self, train: PictureDataset) -> Outcome:
        """Train the head on features that are computed once."""
        config, head = self.config, self.detector.head
        varied = config.augment or self.parts.change is not None
        learned = self._features(train, AUGMENTED_COPIES if varied else 0, "training")
        held = _pictures(self.parts, self.parts.validation, config, augment=False)
        features = self._features(held, 0, "validation")[0].to(self.engine.device)
        targets = torch.tensor(held.targets)

        def check() -> Check:
            head.eval()
            with torch.no_grad():
                return Check.of(head(features), targets, self._positive)

        batches = feature_batches(
            learned, train, config.most_steps, config.images_per_step, config.balance
        )
        groups = head_groups(head, config)
        return fit(head, groups, batches, check, config, self.engine, self.log, self._label)

    def _network(self, train: PictureDataset) -> Outcome:
        """Train backbone and head."""
        config, detector = self.config, self.detector
        # Convolutions are about a fifth faster in this layout; the numbers stay the same.
        detector.to(memory_format=torch.channels_last)
        held = _pictures(self.parts, _checked_items(self.parts, config.seed), config, augment=False)

        def check() -> Check:
            # Without the mirror image, for speed: it only has to order the steps.
            detector.eval()
            logits, targets = [], []
            with torch.inference_mode():
                for pictures, labels, _ in held.ordered_loader():
                    with self.engine.autocast():
                        logits.append(detector(pictures.to(self.engine.device)).float().cpu())
                    targets.append(labels)
            return Check.of(torch.cat(logits), torch.cat(targets), self._positive)

        # Made here, not when first asked for: it reads all pictures and shows how far it is.
        loader = train.training_loader(
            0,
            config.most_steps,
            config.images_per_step,
            balance=config.balance,
            workers=worker_count(config.workers),
        )

        def batches() -> Iterator[tuple[Tensor, Tensor]]:
            for pictures, labels, _ in loader:
                yield pictures.contiguous(memory_format=torch.channels_last), labels

        groups = network_groups(detector.backbone, detector.head, config)
        return fit(detector, groups, batches(), check, config, self.engine, self.log, self._label)


def _result(
    config: ClassifyConfig,
    parts: Parts,
    outcomes: Sequence[Outcome],
    left_out: int | None,
    validated: Validated,
    seconds: float,
) -> ClassifyResult:
    notes = list(parts.notes)
    first, stopped = outcomes[0], outcomes[-1].stopped
    several = config.members > 1
    if left_out is not None:
        stopped = "interrupted"
        notes.append(
            f"Stopped by Ctrl-C in member {left_out + 1} of {config.members}, which is left out."
        )
    elif stopped == "interrupted":
        which = f" of member 1 of {config.members}" if several else ""
        notes.append(f"Stopped by Ctrl-C at step {first.steps} of {config.most_steps}{which}.")
    return ClassifyResult(
        run=config.out,
        classes=parts.classes,
        positive=config.positive,
        threshold=validated.threshold,
        auroc=validated.intervals["auroc"],
        balanced_accuracy=validated.intervals["balanced_accuracy"],
        accuracy=validated.intervals["accuracy"],
        training_images=len(parts.train),
        validation_images=len(parts.validation),
        validation_groups=len({item.group for item in parts.validation}),
        skipped=len(parts.skipped),
        steps=first.steps,
        best_step=first.best_step,
        stopped=stopped,
        seconds=round(seconds, 1),
        notes=notes,
        member_steps=[outcome.steps for outcome in outcomes],
    )
