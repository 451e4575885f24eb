"""The sections of an evaluation that hold its numbers."""

from __future__ import annotations

import json

from wisp.report import charts, wording
from wisp.report.detector import Validation
from wisp.report.evaluation import Evaluation
from wisp.report.page import Section, Tile, section
from wisp.report.pictures import Pictures
from wisp.report.read import Number, RunFiles, Saved

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


def gap_section(evaluation: Evaluation, promised: Validation) -> Section | None:
    """What synthetic validation promised beside what the test photos gave."""
    measures, auroc, balanced = evaluation.measures, promised.auroc, promised.balanced_accuracy
    if auroc.value is None or measures.auroc.value is None:
        return None
    rows = [("AUROC", auroc, measures.auroc)]
    if balanced.known and measures.balanced_accuracy.known:
        rows.append(("Balanced accuracy", balanced, measures.balanced_accuracy))
    lost = auroc.value - measures.auroc.value
    if (auroc.lower_end or 0.0) <= 0.5:
        between = f" ({wording.interval(auroc)})" if auroc.has_interval else ""
        below = auroc.high is not None and auroc.high < 0.5
        sentence = (
            f"On its own synthetic photos it scores {wording.score(auroc.value)}{between}, "
            f"{'less than' if below else 'which may be no more than'} guessing does: that promises "
            "nothing."
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
    return section(
        "gap",
        "Synthetic promise, real result",
        "Promise and result",
        chart=charts.gap(rows),
        sentence=sentence,
        promised=promised,
    )


class Mistake(Saved):
    """One photo the detector got wrong; its pictures are file names, then addresses."""

    kind: str = ""
    file: str = ""
    set: str = ""
    group: str = ""
    score: Number | None = None
    picture: str | None = None
    saliency: str | None = None

    @property
    def name(self) -> str:
        """The file's, without its folders."""
        return self.file.replace("\\", "/").rsplit("/", 1)[-1]


def mistakes_section(run: RunFiles, pictures: Pictures, evaluation: Evaluation) -> Section | None:
    """The worst mistakes, each with a map of where the detector looked."""
    listed, shown = run.json_list("worst/index.json", Mistake), []
    if not listed:
        return None
    for one in listed:
        picture = pictures.photo(run.path, one.picture, 480)
        if picture is not None and one.kind in ("miss", "false alarm"):
            saliency = pictures.photo(run.path, one.saliency, 480)
            shown.append(one.model_copy(update={"picture": picture, "saliency": saliency}))
    shown.sort(key=lambda one: 0.5 if one.score is None else one.score)
    tally = evaluation.tally
    return section(
        "mistakes",
        "Where it goes wrong",
        "Mistakes",
        misses=[one for one in shown if one.kind == "miss"],
        false_alarms=[one for one in reversed(shown) if one.kind == "false alarm"],
        names=evaluation.names,
        positives=tally is None or tally.positives > 0,
        negatives=tally is None or tally.negatives > 0,
        any_saliency=any(one.saliency for one in shown),
        left_out=len(listed) - len(shown),
    )


def sets_section(evaluation: Evaluation) -> Section | None:
    """One row per test set."""
    rows = evaluation.sets
    if not rows:
        return None
    within = any(row.measures.auroc_within_groups.known for row in rows)
    return section("sets", "Set by set", rows=rows, names=evaluation.names, within_groups=within)


def groups_section(evaluation: Evaluation) -> Section | None:
    """One row per group of photos that belong together."""
    groups = evaluation.groups
    if not groups:
        return None
    return section(
        "groups",
        "Scene by scene",
        rows=groups[:GROUPS_DRAWN],
        total=len(groups),
        flawless=sum(row.errors == 0 for row in groups),
        names=evaluation.names,
        threshold=evaluation.measures.threshold,
        several_sets=len({row.set for row in groups}) > 1,
    )


def scores_section(evaluation: Evaluation) -> Section | None:
    """Where the scores lie, and what the threshold makes of them."""
    scores, confusion = evaluation.scores, evaluation.measures.confusion
    threshold, explorer = evaluation.measures.threshold, ""
    if not scores.known and not confusion.counts:
        return None
    if scores.known and threshold is not None:
        explorer = json.dumps(
            {"positive": scores.positive, "negative": scores.negative, "threshold": threshold}
        ).replace("<", "\\u003c")
    return section(
        "scores",
        "Scores and the threshold",
        "Scores, threshold",
        histogram=scores.known and charts.histogram(scores, threshold, evaluation.names),
        explorer=explorer,
        threshold=threshold,
        positive=evaluation.names[0],
        classes=confusion.classes,
        matrix=[
            (name, [(cell, cell / (sum(row) or 1)) for cell in row])
            for name, row in zip(confusion.classes, confusion.counts, strict=False)
        ],
    )


def curves_section(evaluation: Evaluation) -> Section | None:
    """ROC, precision over recall, calibration."""
    tally, measures, names = evaluation.tally, evaluation.measures, evaluation.names
    curves, roc, pr, reliability = measures.curves, None, None, None
    if len(curves.roc.fpr) > 1:
        roc = charts.roc(curves.roc, tally, measures.auroc, names)
    if len(curves.pr.recall) > 1:
        pr = charts.precision_recall(curves.pr, tally, names)
    if bins := [one for one in measures.calibration.bins if one.count > 0]:
        reliability = charts.reliability(bins, names)
    if roc is None and pr is None and reliability is None:
        return None
    return section(
        "curves",
        "Every threshold at once",
        "Curves",
        roc=roc,
        pr=pr,
        reliability=reliability,
        auroc=measures.auroc,
        positive=names[0],
        calibration=measures.calibration,
        calibration_words=_calibration_words(evaluation),
    )


def _calibration_words(evaluation: Evaluation) -> str:
    tally, calibration = evaluation.tally, evaluation.measures.calibration
    ece = calibration.ece.value
    if ece is None or (tally and not (tally.positives and tally.negatives)):
        return ""
    off = wording.percent(ece)
    if ece < 0.05:
        return f"Its scores can be read as probabilities: they are off by {off} on average."
    surer = sum(one.count * (one.confidence - one.frequency) for one in calibration.bins)
    side = f"too {'ready' if surer > 0 else 'reluctant'} to call {evaluation.names[0]}"
    return (
        f"Its scores are not probabilities: they are off by {off} on average, and on the whole it "
        f"is {side} on these photos."
    )


def distance_section(evaluation: Evaluation) -> Section | None:
    """How far the training pictures are from the test photos, or None if not measured."""
    rows = evaluation.measures.distances
    if not rows:
        return None
    return section("distance", "How far is synthetic from real?", "Distance", rows=rows)


def leak_section(evaluation: Evaluation) -> Section:
    """Whether a test photo was seen in training."""
    measures = evaluation.measures
    return section(
        "leak",
        "Was anything seen before?",
        "Leak check",
        overlaps=measures.overlaps,
        notes=measures.notes,
    )
