"""The sections of an evaluation that hold its numbers."""

from __future__ import annotations

import dataclasses
import json

from markupsafe import Markup

from wisp.report import charts, wording
from wisp.report.evaluation import DistanceRow, Evaluation, GroupRow, SetRow
from wisp.report.page import Section, Tile
from wisp.report.read import Estimate

GROUPS_DRAWN = 400  # beyond, the table would be longer than anyone reads


def tiles(evaluation: Evaluation) -> tuple[Tile, ...]:
    """The key numbers, each with its interval and a sentence."""
    measures, (positive, negative) = evaluation.measures, evaluation.names
    return (
        Tile.rate(
            "AUROC",
            measures.auroc,
            f"how often a {positive} photo scores above a {negative} one; 0.5 is guessing",
            chance=0.5,
        ),
        Tile.rate(
            "Average precision",
            measures.average_precision,
            "how pure the list of alarms is, over all thresholds",
        ),
        Tile.rate(
            "Balanced accuracy",
            measures.balanced_accuracy,
            f"at the threshold: the mean of {positive} photos found and {negative} ones left alone",
            chance=0.5,
        ),
        Tile.rate(
            "Found at 1 % false alarms",
            measures.tpr_at_fpr_01,
            f"of the {positive} photos, if only one {negative} photo in 100 may raise an alarm",
            as_percent=True,
        ),
        Tile.rate(
            "Found at 5 % false alarms",
            measures.tpr_at_fpr_05,
            "the same with five in 100",
            as_percent=True,
        ),
    )


@dataclasses.dataclass(frozen=True)
class GapData:
    """Synthetic validation beside the test photos."""

    chart: Markup
    sentence: str
    synthetic_images: int
    synthetic_groups: int


def gap_section(
    evaluation: Evaluation, auroc: Estimate, balanced: Estimate, images: int, groups: int
) -> Section | None:
    """What synthetic validation promised beside what the test photos gave."""
    measures = evaluation.measures
    if auroc.value is None or measures.auroc.value is None:
        return None
    rows = [("AUROC", auroc, measures.auroc)]
    if balanced.known and measures.balanced_accuracy.known:
        rows.append(("Balanced accuracy", balanced, measures.balanced_accuracy))
    lost = auroc.value - measures.auroc.value
    if (auroc.low if auroc.low is not None else auroc.value) <= 0.5:
        sentence = (
            f"On its own synthetic photos it scores {wording.score(auroc.value)}, no better than "
            "guessing could: there is nothing to carry over to these."
        )
    elif lost > 0.1:
        sentence = (
            f"A detector that scores {wording.score(auroc.value)} on its own synthetic photos "
            f"scores {wording.score(measures.auroc.value)} here. Whoever stops at the synthetic "
            "score believes in a detector that does not exist."
        )
    elif lost > 0.02:
        sentence = (
            f"{wording.score(auroc.value)} on synthetic validation becomes "
            f"{wording.score(measures.auroc.value)} here: most of what it learned carries over."
        )
    else:
        sentence = (
            "The AUROC here is no lower than on synthetic validation: what it learned carries over."
        )
    fallen = (balanced.value or 0.0) - (measures.balanced_accuracy.value or 1.0)
    if lost <= 0.1 < fallen:
        sentence += (
            f" But balanced accuracy falls from {wording.score(balanced.value)} to "
            f"{wording.score(measures.balanced_accuracy.value)}: the threshold that fitted the "
            "synthetic photos does not fit these."
        )
    return Section(
        "gap",
        "Synthetic promise, real result",
        "Promise and result",
        "gap.html.j2",
        GapData(charts.gap(rows), sentence, images, groups),
    )


@dataclasses.dataclass(frozen=True)
class SetsData:
    """Rows of the per-set table."""

    rows: tuple[SetRow, ...]
    names: charts.Names

    @property
    def within_groups(self) -> bool:
        """Whether any set has groups of both classes."""
        return any(row.measures.auroc_within_groups.known for row in self.rows)


def sets_section(evaluation: Evaluation) -> Section | None:
    """One row per test set."""
    if not evaluation.sets:
        return None
    return Section(
        "sets",
        "Set by set",
        "Set by set",
        "sets.html.j2",
        SetsData(evaluation.sets, evaluation.names),
    )


@dataclasses.dataclass(frozen=True)
class GroupsData:
    """Rows of the per-group table."""

    rows: tuple[GroupRow, ...]
    total: int
    flawless: int
    names: charts.Names
    threshold: float | None
    several_sets: bool


def groups_section(evaluation: Evaluation) -> Section | None:
    """One row per group of photos that belong together."""
    if not evaluation.groups:
        return None
    return Section(
        "groups",
        "Scene by scene",
        "Scene by scene",
        "groups.html.j2",
        GroupsData(
            evaluation.groups[:GROUPS_DRAWN],
            len(evaluation.groups),
            sum(row.errors == 0 for row in evaluation.groups),
            evaluation.names,
            evaluation.threshold,
            len({row.set for row in evaluation.groups}) > 1,
        ),
    )


@dataclasses.dataclass(frozen=True)
class ScoresData:
    """Histogram, confusion and the threshold explorer."""

    histogram: Markup | None
    explorer: str
    evaluation: Evaluation
    matrix: tuple[tuple[str, tuple[tuple[int, float], ...]], ...]


def scores_section(evaluation: Evaluation) -> Section | None:
    """Where the scores lie, and what the threshold makes of them."""
    scores = evaluation.scores
    any_score = bool(scores.positive or scores.negative)
    if not any_score and not evaluation.confusion:
        return None
    explorer = ""
    if any_score and evaluation.threshold is not None:
        explorer = json.dumps(
            {
                "positive": scores.positive,
                "negative": scores.negative,
                "threshold": evaluation.threshold,
            }
        ).replace("<", "\\u003c")
    matrix = tuple(
        (name, tuple((cell, cell / (sum(row) or 1)) for cell in row))
        for name, row in zip(evaluation.confusion_classes, evaluation.confusion, strict=False)
    )
    return Section(
        "scores",
        "Scores and the threshold",
        "Scores, threshold",
        "scores.html.j2",
        ScoresData(
            charts.histogram(
                scores.positive, scores.negative, evaluation.threshold, evaluation.names
            )
            if any_score
            else None,
            explorer,
            evaluation,
            matrix,
        ),
    )


@dataclasses.dataclass(frozen=True)
class CurvesData:
    """ROC, PR and calibration."""

    roc: Markup | None
    pr: Markup | None
    reliability: Markup | None
    evaluation: Evaluation
    calibration: str


def curves_section(evaluation: Evaluation) -> Section | None:
    """ROC, precision over recall, calibration."""
    tally = evaluation.tally
    roc_point = pr_point = None
    if tally is not None and tally.tpr is not None:
        if tally.fpr is not None:
            roc_point = (tally.fpr, tally.tpr)
        if tally.precision is not None:
            pr_point = (tally.tpr, tally.precision)
    share = tally.positives / tally.images if tally is not None and tally.images else None
    roc = pr = reliability = None
    if len(evaluation.roc[0]) > 1:
        roc = charts.roc(*evaluation.roc, roc_point, evaluation.measures.auroc, evaluation.names)
    if len(evaluation.pr[0]) > 1:
        pr = charts.precision_recall(*evaluation.pr, pr_point, share, evaluation.names)
    if evaluation.bins:
        reliability = charts.reliability(evaluation.bins, evaluation.names)
    if roc is None and pr is None and reliability is None:
        return None
    return Section(
        "curves",
        "Every threshold at once",
        "Curves",
        "curves.html.j2",
        CurvesData(roc, pr, reliability, evaluation, _calibration_words(evaluation)),
    )


def _calibration_words(evaluation: Evaluation) -> str:
    tally = evaluation.tally
    if evaluation.ece is None or (tally and not (tally.positives and tally.negatives)):
        return ""
    off = wording.percent(evaluation.ece)
    if evaluation.ece < 0.05:
        return f"Its scores can be read as probabilities: they are off by {off} on average."
    surer = sum(bin_.count * (bin_.confidence - bin_.frequency) for bin_ in evaluation.bins)
    side = (
        f"too ready to call {evaluation.positive}"
        if surer > 0
        else f"too reluctant to call {evaluation.positive}"
    )
    return (
        f"Its scores are not probabilities: they are off by {off} on average, and on the whole it "
        f"is {side} on these photos."
    )


@dataclasses.dataclass(frozen=True)
class DistanceData:
    """Kernel distances between training and test pictures."""

    rows: tuple[DistanceRow, ...]


def distance_section(evaluation: Evaluation) -> Section | None:
    """How far the training pictures are from the test photos, or None if not measured."""
    if not evaluation.distances:
        return None
    data = DistanceData(evaluation.distances)
    return Section(
        "distance", "How far is synthetic from real?", "Distance", "distance.html.j2", data
    )


@dataclasses.dataclass(frozen=True)
class LeakData:
    """The leak check's finding."""

    evaluation: Evaluation


def leak_section(evaluation: Evaluation) -> Section:
    """Whether a test photo was seen in training."""
    return Section(
        "leak", "Was anything seen before?", "Leak check", "leak.html.j2", LeakData(evaluation)
    )
