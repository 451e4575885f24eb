"""The figures of an evaluation: with intervals over groups, in all, per set and per group."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wisp import metrics
from wisp.jobs.evaluate.testsets import RealPicture
from wisp.metrics import Curve, Interval
from wisp.metrics.bootstrap import Statistic
from wisp.metrics.ranking import Floats

_MAX_CURVE_POINTS = 400


@dataclasses.dataclass(frozen=True)
class Scored:
    """Test pictures with what the detector said about them."""

    pictures: list[RealPicture]
    classes: list[str]
    positive: int
    """Index of the class to detect."""
    threshold: float
    probabilities: Floats
    """[N, K]."""

    @property
    def labels(self) -> NDArray[np.int64]:
        """[N] class indices."""
        return np.array([self.classes.index(p.label) for p in self.pictures], dtype=np.int64)

    @property
    def is_positive(self) -> NDArray[np.bool_]:
        """[N], whether the picture shows the class to detect."""
        return np.asarray(self.labels == self.positive)

    @property
    def scores(self) -> Floats:
        """[N], probability of the class to detect."""
        return self.probabilities[:, self.positive]

    @property
    def called(self) -> NDArray[np.int64]:
        """[N], the class each picture is given."""
        return metrics.decide(self.probabilities, self.positive, self.threshold)

    def part(self, chosen: NDArray[np.bool_]) -> Scored:
        """The pictures where ``chosen`` [N] is true."""
        pictures = [p for p, keep in zip(self.pictures, chosen, strict=True) if keep]
        return dataclasses.replace(
            self, pictures=pictures, probabilities=self.probabilities[chosen]
        )


_OF_BOTH_CLASSES = (
    "auroc",
    "average_precision",
    "balanced_accuracy",
    "tpr_at_fpr_01",
    "tpr_at_fpr_05",
)


def _statistics(scored: Scored) -> dict[str, Statistic]:
    labels, positive, called = scored.labels, scored.is_positive, scored.called
    scores, said = scored.scores, scored.called == scored.positive
    groups = [picture.group for picture in scored.pictures]

    def tpr_at(max_fpr: float) -> Statistic:
        return ranking(lambda s, y, w: metrics.tpr_at_fpr(s, y, max_fpr, w))

    def ranking(statistic: metrics.RankingStatistic) -> Statistic:
        if len(scored.classes) == 2:
            return lambda weights: statistic(scores, positive, weights)
        return lambda weights: metrics.macro(statistic, scored.probabilities, labels, weights)

    return {
        "auroc": ranking(metrics.auroc),
        "auroc_within_groups": lambda w: metrics.auroc_within(scores, positive, groups, w),
        "average_precision": ranking(metrics.average_precision),
        "balanced_accuracy": lambda w: metrics.balanced_accuracy(labels, called, w),
        "tpr_at_fpr_01": tpr_at(0.01),
        "tpr_at_fpr_05": tpr_at(0.05),
        "accuracy": lambda w: metrics.accuracy(labels, called, w),
        "tpr": lambda w: metrics.rate(said, positive, w),
        "fpr": lambda w: metrics.rate(said, ~positive, w),
    }


def intervals(scored: Scored, samples: int, seed: int) -> dict[str, Interval]:
    """Every figure with its 95 % interval over groups.

    Ranking figures (``auroc``, ``average_precision``, ``tpr_at_fpr_*``) and balanced accuracy are
    undefined for one class alone; with more than two classes they are macro averages of each
    against the rest. ``auroc_within_groups`` is that of the positive class against all others,
    undefined where no group holds both; ``tpr`` and ``fpr`` are its rates at the threshold.
    """
    groups = [picture.group for picture in scored.pictures]
    rests_on = metrics.class_support(scored.is_positive.tolist(), groups)
    support = dict.fromkeys(_OF_BOTH_CLASSES, rests_on["both"])
    support |= {"tpr": rests_on["positive"], "fpr": rests_on["negative"]}
    support["auroc_within_groups"] = rests_on["mixed"]
    return metrics.bootstrap_intervals(_statistics(scored), groups, samples, seed, support)


def summary(scored: Scored, found: dict[str, Interval]) -> dict[str, Any]:
    """Figures and counts of a set, for ``metrics.json``."""
    groups = [picture.group for picture in scored.pictures]
    return {
        **{name: interval.to_json() for name, interval in found.items()},
        "images": len(scored.pictures),
        "positives": int(scored.is_positive.sum()),
        "groups": len(set(groups)),
        "groups_of_both": metrics.class_support(scored.is_positive.tolist(), groups)["mixed"],
    }


def group_rows(scored: Scored) -> list[dict[str, Any]]:
    """One row per group and set, in the order they come."""
    keys = [(picture.set_name, picture.group) for picture in scored.pictures]
    scores, positive, said = scored.scores, scored.is_positive, scored.called == scored.positive
    rows = []
    for set_name, group in dict.fromkeys(keys):
        member = np.array([key == (set_name, group) for key in keys])
        rows.append(
            {
                "group": group,
                "set": set_name,
                "images": int(member.sum()),
                "positives": int((member & positive).sum()),
                "mean_score": float(scores[member].mean()),
                "tpr": _number(metrics.rate(said, member & positive)),
                "fpr": _number(metrics.rate(said, member & ~positive)),
                "auroc": _number(metrics.auroc(scores[member], positive[member])),
            }
        )
    return rows


def _number(value: Floats) -> float | None:
    return float(value) if np.isfinite(value) else None


def confusion_json(scored: Scored) -> dict[str, Any]:
    """Counts by what a picture shows (rows) and what it was called (columns)."""
    counts = metrics.confusion(scored.labels, scored.called, len(scored.classes))
    return {"classes": scored.classes, "counts": counts.tolist()}


def calibration_json(scored: Scored) -> dict[str, Any]:
    """Reliability of the positive class's probability."""
    return dataclasses.asdict(metrics.calibration(scored.scores, scored.is_positive))


def curves_json(scored: Scored) -> dict[str, Any]:
    """ROC and precision-recall curve of the positive class; empty where a class is missing."""
    positive = scored.is_positive
    if positive.all() or not positive.any():
        return {"roc": {"fpr": [], "tpr": []}, "pr": {"recall": [], "precision": []}}
    fpr, tpr = _thinned(metrics.roc_curve(scored.scores, positive))
    recall, precision = _thinned(metrics.precision_recall_curve(scored.scores, positive))
    return {
        "roc": {"fpr": fpr, "tpr": tpr},
        "pr": {"recall": recall, "precision": precision},
    }


def _thinned(curve: Curve) -> tuple[list[float], list[float]]:
    """At most 400 points of a curve, both ends among them."""
    count = len(curve.x)
    kept = np.unique(np.linspace(0, count - 1, min(count, _MAX_CURVE_POINTS)).round().astype(int))
    return curve.x[kept].tolist(), curve.y[kept].tolist()
