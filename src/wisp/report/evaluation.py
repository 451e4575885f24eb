"""What an evaluation run found, as plain values."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Mapping

from wisp.report.charts import Bin, Names
from wisp.report.read import (
    Estimate,
    Prediction,
    RunFiles,
    mapping,
    number,
    numbers,
    sequence,
    text,
    whole,
)


@dataclasses.dataclass(frozen=True)
class Tally:
    """Counts at a threshold."""

    found: int = 0
    positives: int = 0
    false_alarms: int = 0
    negatives: int = 0

    @property
    def missed(self) -> int:
        """Positive photos below the threshold."""
        return self.positives - self.found

    @property
    def images(self) -> int:
        """All photos."""
        return self.positives + self.negatives

    @property
    def errors(self) -> int:
        """Misses and false alarms."""
        return self.missed + self.false_alarms

    @property
    def tpr(self) -> float | None:
        """Share of positives found."""
        return self.found / self.positives if self.positives else None

    @property
    def fpr(self) -> float | None:
        """Share of negatives that raise an alarm."""
        return self.false_alarms / self.negatives if self.negatives else None

    @property
    def precision(self) -> float | None:
        """Share of alarms that are right."""
        alarms = self.found + self.false_alarms
        return self.found / alarms if alarms else None


@dataclasses.dataclass(frozen=True)
class Scores:
    """Scores of positive and negative photos."""

    positive: tuple[float, ...] = ()
    negative: tuple[float, ...] = ()

    @classmethod
    def of(cls, predictions: Iterable[Prediction], positive: str) -> Scores:
        """By label."""
        rows = list(predictions)
        return cls(
            tuple(sorted(row.score for row in rows if row.label == positive)),
            tuple(sorted(row.score for row in rows if row.label != positive)),
        )

    def at(self, threshold: float) -> Tally:
        """Counts when scores from ``threshold`` on are alarms."""
        return Tally(
            sum(score >= threshold for score in self.positive),
            len(self.positive),
            sum(score >= threshold for score in self.negative),
            len(self.negative),
        )


@dataclasses.dataclass(frozen=True)
class Measures:
    """The numbers of one set of photos."""

    images: int
    groups: int
    groups_of_both: int
    """Groups that show both classes: what ``auroc_within_groups`` rests on."""
    auroc: Estimate
    auroc_within_groups: Estimate
    average_precision: Estimate
    balanced_accuracy: Estimate
    tpr_at_fpr_01: Estimate
    tpr_at_fpr_05: Estimate

    @classmethod
    def of(cls, source: Mapping[str, object]) -> Measures:
        """From a JSON object as in metrics.json."""
        return cls(
            whole(source.get("images")),
            whole(source.get("groups")),
            whole(source.get("groups_of_both")),
            Estimate.of(source.get("auroc")),
            Estimate.of(source.get("auroc_within_groups")),
            Estimate.of(source.get("average_precision")),
            Estimate.of(source.get("balanced_accuracy")),
            Estimate.of(source.get("tpr_at_fpr_01")),
            Estimate.of(source.get("tpr_at_fpr_05")),
        )


@dataclasses.dataclass(frozen=True)
class SetRow:
    """One test set."""

    name: str
    measures: Measures
    scores: Scores
    tally: Tally | None


@dataclasses.dataclass(frozen=True)
class GroupRow:
    """One group of photos that belong together."""

    name: str
    set: str
    images: int
    scores: Scores
    tally: Tally | None
    tpr: float | None
    fpr: float | None

    @property
    def errors(self) -> int:
        """Misses and false alarms; 0 where single scores are unknown."""
        return 0 if self.tally is None else self.tally.errors


@dataclasses.dataclass(frozen=True)
class Overlap:
    """A test photo that was also seen in training."""

    kind: str
    train: str
    test: str


@dataclasses.dataclass(frozen=True)
class DistanceRow:
    """One class of one test set beside the same class in training."""

    set: str
    label: str
    train: int
    test: int
    kid: Estimate
    fid: float | None


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Everything metrics.json and predictions.csv say."""

    measures: Measures
    threshold: float | None
    threshold_source: str
    names: Names
    classes: tuple[str, ...]
    sets: tuple[SetRow, ...]
    groups: tuple[GroupRow, ...]
    positive_groups: int
    negative_groups: int
    shared_groups: int
    """Groups with photos of both classes."""
    scores: Scores
    tally: Tally | None
    confusion: tuple[tuple[int, ...], ...]
    confusion_classes: tuple[str, ...]
    bins: tuple[Bin, ...]
    ece: float | None
    brier: float | None
    roc: tuple[list[float], list[float]]
    pr: tuple[list[float], list[float]]
    overlaps: tuple[Overlap, ...]
    leak_checked: bool
    distances: tuple[DistanceRow, ...]
    notes: tuple[str, ...]
    rendered: bool

    @property
    def positive(self) -> str:
        """The class to detect."""
        return self.names[0]


def load_evaluation(run: RunFiles) -> Evaluation:
    """Read an evaluation run; anything missing is empty or None."""
    metrics = run.json("metrics.json")
    positive = text(metrics.get("positive"), "smoky")
    classes = tuple(text(name) for name in sequence(metrics.get("classes")))
    others = [name for name in classes if name != positive]
    names = (positive, others[0] if len(others) == 1 else "clean" if not others else "other")
    threshold = number(metrics.get("threshold"))
    predictions = [
        _on_its_side(row, threshold, positive) for row in run.predictions("predictions.csv")
    ]
    scores = Scores.of(predictions, positive)
    confusion = mapping(metrics.get("confusion"))
    confusion_classes = tuple(text(name) for name in sequence(confusion.get("classes")))
    counts = tuple(
        tuple(round(cell) for cell in numbers(row)) for row in sequence(confusion.get("counts"))
    )
    tally = scores.at(threshold) if predictions and threshold is not None else None
    if tally is None:
        tally = _tally_of(counts, confusion_classes, positive)
    groups = _groups(metrics, predictions, positive, threshold)
    measures = Measures.of(metrics)
    calibration = mapping(metrics.get("calibration"))
    curves = mapping(metrics.get("curves"))
    roc, pr = mapping(curves.get("roc")), mapping(curves.get("pr"))
    return Evaluation(
        measures=dataclasses.replace(
            measures,
            images=measures.images or len(predictions),
            groups=measures.groups or len(groups),
        ),
        threshold=threshold,
        threshold_source=text(metrics.get("threshold_source")),
        names=names,
        classes=classes,
        sets=_sets(metrics, predictions, positive, threshold),
        groups=groups,
        positive_groups=sum(bool(row.scores.positive) or row.tpr is not None for row in groups),
        negative_groups=sum(bool(row.scores.negative) or row.fpr is not None for row in groups),
        shared_groups=sum(
            (bool(row.scores.positive) or row.tpr is not None)
            and (bool(row.scores.negative) or row.fpr is not None)
            for row in groups
        ),
        scores=scores,
        tally=tally,
        confusion=counts,
        confusion_classes=confusion_classes,
        bins=tuple(_bins(calibration.get("bins"))),
        ece=Estimate.of(calibration.get("ece")).value,
        brier=Estimate.of(calibration.get("brier")).value,
        roc=(numbers(roc.get("fpr")), numbers(roc.get("tpr"))),
        pr=(numbers(pr.get("recall")), numbers(pr.get("precision"))),
        overlaps=tuple(
            Overlap(text(row.get("kind")), text(row.get("train")), text(row.get("test")))
            for row in map(mapping, sequence(metrics.get("overlaps")))
        ),
        leak_checked=isinstance(metrics.get("overlaps"), list),
        distances=tuple(
            DistanceRow(
                text(row.get("set")),
                text(row.get("label")),
                whole(row.get("train")),
                whole(row.get("test")),
                Estimate.of(row.get("kid")),
                number(row.get("fid")),
            )
            for row in map(mapping, sequence(metrics.get("distances")))
        ),
        notes=tuple(text(note) for note in sequence(metrics.get("notes"))),
        rendered=any(
            source.get("rendered_world") is True
            for source in (run.json("banner.json"), run.environment, run.config, metrics)
        ),
    )


def _on_its_side(row: Prediction, threshold: float | None, positive: str) -> Prediction:
    """``row`` with its score on the side of the threshold that was decided.

    Scores are saved rounded, the threshold is not: one that was the threshold itself may have
    slipped to the other side.
    """
    if threshold is None or not row.predicted or abs(row.score - threshold) > 1e-5:
        return row
    if row.predicted == positive:
        return dataclasses.replace(row, score=max(row.score, threshold))
    return dataclasses.replace(row, score=min(row.score, threshold - 1e-7))


def _tally_of(
    counts: tuple[tuple[int, ...], ...], classes: tuple[str, ...], positive: str
) -> Tally | None:
    if positive not in classes or any(len(row) != len(classes) for row in counts):
        return None
    if len(counts) != len(classes):
        return None
    at = classes.index(positive)
    rest = [row for index, row in enumerate(counts) if index != at]
    return Tally(counts[at][at], sum(counts[at]), sum(row[at] for row in rest), sum(map(sum, rest)))


def _sets(
    metrics: Mapping[str, object],
    predictions: list[Prediction],
    positive: str,
    threshold: float | None,
) -> tuple[SetRow, ...]:
    by_set: dict[str, list[Prediction]] = defaultdict(list)
    for prediction in predictions:
        by_set[prediction.set].append(prediction)
    rows = []
    for name, fields in mapping(metrics.get("per_set")).items():
        scores = Scores.of(by_set.get(name, []), positive)
        known = threshold is not None and bool(by_set.get(name))
        measures = Measures.of(mapping(fields))
        rows.append(
            SetRow(
                name,
                dataclasses.replace(measures, images=measures.images or len(by_set.get(name, []))),
                scores,
                scores.at(threshold) if known and threshold is not None else None,
            )
        )
    return tuple(rows)


def _groups(
    metrics: Mapping[str, object],
    predictions: list[Prediction],
    positive: str,
    threshold: float | None,
) -> tuple[GroupRow, ...]:
    by_group: dict[tuple[str, str], list[Prediction]] = defaultdict(list)
    for prediction in predictions:
        by_group[prediction.set, prediction.group].append(prediction)
    listed = [mapping(row) for row in sequence(metrics.get("per_group"))]
    if not listed:
        listed = [{"group": group, "set": set_} for set_, group in by_group]
    rows = []
    for fields in listed:
        name, set_ = text(fields.get("group")), text(fields.get("set"))
        members = by_group.get((set_, name), [])
        scores = Scores.of(members, positive)
        tally = scores.at(threshold) if members and threshold is not None else None
        rows.append(
            GroupRow(
                name,
                set_,
                whole(fields.get("images"), len(members)),
                scores,
                tally,
                tally.tpr if tally else number(fields.get("tpr")),
                tally.fpr if tally else number(fields.get("fpr")),
            )
        )
    return tuple(sorted(rows, key=lambda row: (-row.errors, -row.images, row.name)))


def _bins(source: object) -> Iterable[Bin]:
    for fields in map(mapping, sequence(source)):
        count = whole(fields.get("count"))
        confidence, frequency = number(fields.get("confidence")), number(fields.get("frequency"))
        if count > 0 and confidence is not None and frequency is not None:
            yield Bin(count, confidence, frequency)
