"""What a detector decides: thresholds, confusion, and the rates that follow."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wisp.metrics.ranking import Floats, _binary, _divide, _level_counts

ThresholdRule = Literal["balanced", "fpr01", "fpr02", "fpr05"]
_MAX_FPR: dict[ThresholdRule, float] = {"fpr01": 0.01, "fpr02": 0.02, "fpr05": 0.05}


def decide(probabilities: ArrayLike, positive: int, threshold: float) -> NDArray[np.int64]:
    """The class each picture is given.

    Args:
        probabilities: [N, K].
        positive: index of the class to detect.
        threshold: that class is chosen from this probability on; below it, the likeliest other.

    Returns:
        [N] class indices.
    """
    probability = np.asarray(probabilities, dtype=np.float64)
    others = probability.copy()
    others[:, positive] = -np.inf
    chosen = np.where(probability[:, positive] >= threshold, positive, others.argmax(1))
    return chosen.astype(np.int64)


def confusion(labels: ArrayLike, predicted: ArrayLike, classes: int) -> NDArray[np.int64]:
    """Counts [classes, classes]; row: what it is, column: what it was called."""
    label, call = np.asarray(labels, dtype=np.int64), np.asarray(predicted, dtype=np.int64)
    counts = np.bincount(label * classes + call, minlength=classes * classes)
    return counts.reshape(classes, classes).astype(np.int64)


def rate(hits: ArrayLike, among: ArrayLike, weights: ArrayLike | None = None) -> Floats:
    """Share of ``hits`` [N] in those pictures where ``among`` [N] is true; NaN if there are none.

    The true-positive rate is ``rate(called, is_positive)``, the false-positive rate
    ``rate(called, ~is_positive)``.
    """
    hit, chosen = np.asarray(hits, dtype=bool), np.asarray(among, dtype=bool)
    weight = np.ones(hit.shape) if weights is None else np.asarray(weights, dtype=np.float64)
    return _divide((weight * (hit & chosen)).sum(-1), (weight * chosen).sum(-1))


def accuracy(labels: ArrayLike, predicted: ArrayLike, weights: ArrayLike | None = None) -> Floats:
    """Share of pictures called what they are, [...] in [0, 1]."""
    label, call = np.asarray(labels), np.asarray(predicted)
    return rate(label == call, np.ones(label.shape, dtype=bool), weights)


def balanced_accuracy(
    labels: ArrayLike, predicted: ArrayLike, weights: ArrayLike | None = None
) -> Floats:
    """Mean over the classes present of the share called right; chance is 1/classes.

    Returns [...] in [0, 1]; NaN where only one class is present.
    """
    label, call = np.asarray(labels), np.asarray(predicted)
    present = np.unique(label)
    recalls = [rate(call == index, label == index, weights) for index in present]
    value = np.asarray(np.mean(recalls, axis=0))
    return value if len(present) > 1 else np.full_like(value, np.nan)


def choose_threshold(scores: ArrayLike, labels: ArrayLike, rule: ThresholdRule) -> float:
    """The threshold a rule picks; it lies between two scores, in the widest gap that is as good.

    Args:
        scores: [N] probabilities of the positive class.
        labels: [N], true for positives.
        rule: ``balanced``: highest balanced accuracy. ``fpr01``, ``fpr02``, ``fpr05``:
            highest true-positive rate with at most 1, 2 or 5 % false positives.

    Returns:
        Threshold in [0, 1]. Raises ValueError when one class is missing.
    """
    score, positive = _binary(scores, labels)
    if positive.all() or not positive.any():
        raise ValueError("a threshold needs pictures of both classes")
    levels, positives, negatives = _level_counts(score, positive, None)
    tpr = np.r_[0.0, positives.cumsum() / positives.sum()]
    fpr = np.r_[0.0, negatives.cumsum() / negatives.sum()]
    goal = tpr - fpr if rule == "balanced" else np.where(fpr <= _MAX_FPR[rule] + 1e-9, tpr, -1.0)
    best = np.flatnonzero(goal >= goal.max() - 1e-12)
    above, below = np.r_[1.0, levels], np.r_[levels, 0.0]
    place = best[np.argmax((above - below)[best])]
    return float((above[place] + below[place]) / 2)
