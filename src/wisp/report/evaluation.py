"""What an evaluation run found, as plain values."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable

from pydantic import Field

from wisp.report.read import UNKNOWN, Measured, Number, Prediction, RunFiles, Saved
from wisp.rundir import readable

Names = tuple[str, str]  # what the class to detect is called, and what all else is called


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
        sides: dict[bool, list[float]] = {True: [], False: []}
        for row in predictions:
            sides[row.label == positive].append(row.score or 0.0)
        return cls(tuple(sorted(sides[True])), tuple(sorted(sides[False])))

    @property
    def known(self) -> bool:
        """Whether there are any."""
        return bool(self.positive or self.negative)

    def at(self, threshold: float) -> Tally:
        """Counts when scores from ``threshold`` on are alarms."""
        return Tally(
            sum(score >= threshold for score in self.positive),
            len(self.positive),
            sum(score >= threshold for score in self.negative),
            len(self.negative),
        )

    def tally(self, threshold: float | None) -> Tally | None:
        """The same; None where there is no threshold or no score."""
        return self.at(threshold) if self.known and threshold is not None else None


class Measures(Saved):
    """The numbers of one set of photos."""

    images: int = 0
    groups: int = 0
    groups_of_both: int = 0
    """Groups that show both classes: what ``auroc_within_groups`` rests on."""
    auroc: Measured = UNKNOWN
    auroc_within_groups: Measured = UNKNOWN
    average_precision: Measured = UNKNOWN
    balanced_accuracy: Measured = UNKNOWN
    tpr_at_fpr_01: Measured = UNKNOWN
    tpr_at_fpr_05: Measured = UNKNOWN


class GroupRow(Saved):
    """One group of photos that belong together, as in ``per_group``, and its scores."""

    group: str = ""
    set: str = ""
    images: int = 0
    tpr: Number | None = None
    fpr: Number | None = None
    scores: Scores = Scores()
    tally: Tally | None = None

    @property
    def errors(self) -> int:
        """Misses and false alarms; 0 where single scores are unknown."""
        return 0 if self.tally is None else self.tally.errors

    @property
    def classes(self) -> tuple[bool, bool]:
        """Whether it shows positives, and whether it shows negatives."""
        return (
            bool(self.scores.positive) or self.tpr is not None,
            bool(self.scores.negative) or self.fpr is not None,
        )


class Confusion(Saved):
    """How many photos of each class (rows) were called what (columns)."""

    classes: tuple[str, ...] = ()
    counts: tuple[tuple[int, ...], ...] = ()

    def tally(self, positive: str) -> Tally | None:
        """Of one class against all else; None where the matrix is not whole."""
        size = len(self.classes)
        if positive not in self.classes or [len(row) for row in self.counts] != [size] * size:
            return None
        at = self.classes.index(positive)
        own, rest = self.counts[at], [*self.counts[:at], *self.counts[at + 1 :]]
        return Tally(own[at], sum(own), sum(row[at] for row in rest), sum(map(sum, rest)))


class Bin(Saved):
    """One bin of a calibration diagram."""

    count: int = 0
    confidence: Number = 0.0
    frequency: Number = 0.0


class Calibration(Saved):
    """How far scores are probabilities."""

    bins: tuple[Bin, ...] = ()
    ece: Measured = UNKNOWN
    brier: Measured = UNKNOWN


class Curve(Saved):
    """The points of a curve, by what the axes show."""

    fpr: tuple[Number, ...] = ()
    tpr: tuple[Number, ...] = ()
    recall: tuple[Number, ...] = ()
    precision: tuple[Number, ...] = ()


class Curves(Saved):
    """Of all thresholds."""

    roc: Curve = Curve()
    pr: Curve = Curve()


class Overlap(Saved):
    """A test photo that was also seen in training."""

    kind: str = ""
    train: str = ""
    test: str = ""


class Distance(Saved):
    """One class of one test set beside the same class in training."""

    set: str = ""
    label: str = ""
    train: int = 0
    test: int = 0
    kid: Measured = UNKNOWN
    fid: Number | None = None


class Metrics(Measures):
    """All of metrics.json."""

    positive: str = "smoky"
    classes: tuple[str, ...] = ()
    threshold: Number | None = None
    threshold_source: str = ""
    per_set: dict[str, Measures] = Field(default_factory=dict)
    per_group: tuple[GroupRow, ...] = ()
    confusion: Confusion = Confusion()
    calibration: Calibration = Calibration()
    curves: Curves = Curves()
    overlaps: tuple[Overlap, ...] | None = None
    """None where nothing was looked for."""
    distances: tuple[Distance, ...] = ()
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class SetRow:
    """One test set."""

    name: str
    measures: Measures
    tally: Tally | None


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What metrics.json says, and what follows from predictions.csv."""

    measures: Metrics
    names: Names
    sets: tuple[SetRow, ...]
    groups: tuple[GroupRow, ...]
    positive_groups: int
    negative_groups: int
    shared_groups: int
    """Groups with photos of both classes."""
    scores: Scores
    tally: Tally | None
    rendered: bool


def class_names(classes: Iterable[str], positive: str, alone: str) -> Names:
    """What the class to detect is called, and what all else is; ``alone`` where nothing else is."""
    others = [name for name in classes if name != positive]
    return positive, others[0] if len(others) == 1 else "other" if others else alone


def load_evaluation(run: RunFiles) -> Evaluation:
    """Read an evaluation run; anything missing is empty or None."""
    saved = run.json("metrics.json")
    metrics = Metrics.model_validate(saved)
    predictions = [
        _on_its_side(row, metrics.threshold, metrics.positive)
        for row in run.predictions("predictions.csv")
    ]
    scores, groups = Scores.of(predictions, metrics.positive), _groups(metrics, predictions)
    known = {"images": metrics.images or len(predictions), "groups": metrics.groups or len(groups)}
    shown = [row.classes for row in groups]
    return Evaluation(
        measures=metrics.model_copy(update=known),
        names=class_names(metrics.classes, metrics.positive, "clean"),
        sets=_sets(metrics, predictions),
        groups=groups,
        positive_groups=sum(positive for positive, _ in shown),
        negative_groups=sum(negative for _, negative in shown),
        shared_groups=sum(positive and negative for positive, negative in shown),
        scores=scores,
        tally=scores.tally(metrics.threshold) or metrics.confusion.tally(metrics.positive),
        rendered=any(
            source.get("rendered_world") is True
            for source in (run.json("banner.json"), run.environment, run.config, saved)
        ),
    )


def _on_its_side(row: Prediction, threshold: float | None, positive: str) -> Prediction:
    """``row`` with its score on the side of the threshold that was decided.

    Scores are saved rounded, the threshold is not: one that was the threshold itself may have
    slipped to the other side.
    """
    score = row.score or 0.0
    if threshold is None or not row.predicted or abs(score - threshold) > 1e-5:
        return row
    above = row.predicted == positive
    decided = max(score, threshold) if above else min(score, threshold - 1e-7)
    return row.model_copy(update={"score": decided})


def _sets(metrics: Metrics, predictions: list[Prediction]) -> tuple[SetRow, ...]:
    rows = []
    for name, measures in metrics.per_set.items():
        scores = Scores.of((row for row in predictions if row.set == name), metrics.positive)
        rows.append(SetRow(name, measures, scores.tally(metrics.threshold)))
    return tuple(rows)


def _groups(metrics: Metrics, predictions: list[Prediction]) -> tuple[GroupRow, ...]:
    by_group: dict[tuple[str, str], list[Prediction]] = defaultdict(list)
    for prediction in predictions:
        by_group[prediction.set, prediction.group].append(prediction)
    rows = []
    listed = metrics.per_group or [GroupRow(group=group, set=set_) for set_, group in by_group]
    for row in listed:
        photos = by_group.get((readable(row.set), readable(row.group)), [])  # as the table has them
        scores = Scores.of(photos, metrics.positive)
        known: dict[str, object] = {"images": row.images or len(photos), "scores": scores}
        if tally := scores.tally(metrics.threshold):
            known |= {"tally": tally, "tpr": tally.tpr, "fpr": tally.fpr}
        rows.append(row.model_copy(update=known))
    return tuple(sorted(rows, key=lambda row: (-row.errors, -row.images, row.group)))
