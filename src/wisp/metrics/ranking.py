"""How well scores rank positives over negatives, whatever the threshold.

Ties are handled exactly: pictures with equal scores are passed by a threshold together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

RankingStatistic = Callable[[ArrayLike, ArrayLike, ArrayLike | None], Floats]
"""Scores [N], labels [N] and weights [..., N] or None to values [...]."""


@dataclass(frozen=True)
class Curve:
    """Points of a curve, both axes in [0, 1], in the order of falling thresholds."""

    x: Floats
    y: Floats
    thresholds: Floats
    """A picture is called positive when its score is at least this; the first may be infinite."""


def _binary(scores: ArrayLike, labels: ArrayLike) -> tuple[Floats, NDArray[np.bool_]]:
    score = np.asarray(scores, dtype=np.float64)
    label = np.asarray(labels)
    if score.ndim != 1 or score.shape != label.shape:
        raise ValueError(f"scores {score.shape} and labels {label.shape} must both be [N]")
    if not np.isfinite(score).all():
        raise ValueError("scores must be finite")
    return score, label.astype(bool)


def _level_counts(
    scores: ArrayLike, labels: ArrayLike, weights: ArrayLike | None
) -> tuple[Floats, Floats, Floats]:
    """Score levels [L], falling, and the weight of positives and negatives on each [..., L]."""
    score, positive = _binary(scores, labels)
    weight = np.ones(score.shape) if weights is None else np.asarray(weights, dtype=np.float64)
    if weight.shape[-1:] != score.shape:
        raise ValueError(f"weights {weight.shape} must end in the number of scores {score.shape}")
    order = np.argsort(-score, kind="stable")
    ordered = score[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(score) else order
    weight = weight[..., order]
    if not len(score):
        empty = np.zeros((*weight.shape[:-1], 0))
        return ordered, empty, empty
    positives = np.add.reduceat(weight * positive[order], starts, axis=-1)
    negatives = np.add.reduceat(weight * ~positive[order], starts, axis=-1)
    return ordered[starts], positives, negatives


def _divide(numerator: Floats, denominator: Floats) -> Floats:
    """``numerator / denominator``, NaN where the denominator is 0."""
    missing = denominator == 0
    return np.where(missing, np.nan, numerator / np.where(missing, 1.0, denominator))


def auroc(scores: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None) -> Floats:
    """Area under the ROC curve: the chance that a positive outscores a negative, ties half.

    Args:
        scores: [N], higher means more positive.
        labels: [N], true or 1 for positives.
        weights: [..., N] counts, default 1.

    Returns:
        [...] in [0, 1]; NaN where one class is missing. Hanley & McNeil 1982.
    """
    _, positives, negatives = _level_counts(scores, labels, weights)
    total_positive, total_negative = positives.sum(-1), negatives.sum(-1)
    # Falling scores: the negatives below a level are those not yet passed.
    below = total_negative[..., None] - negatives.cumsum(-1)
    wins = (positives * (below + 0.5 * negatives)).sum(-1)
    return _divide(wins, total_positive * total_negative)


def average_precision(
    scores: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None
) -> Floats:
    """Sum over thresholds of the recall gained times the precision there (no interpolation).

    Arguments as :func:`auroc`. Returns [...] in [0, 1]; NaN where one class is missing (without
    negatives it would be 1 whatever the detector says).
    """
    _, positives, negatives = _level_counts(scores, labels, weights)
    passed = positives.cumsum(-1)
    precision = np.nan_to_num(_divide(passed, passed + negatives.cumsum(-1)))
    total_positive = positives.sum(-1)
    value = _divide((positives * precision).sum(-1), total_positive)
    return np.where(negatives.sum(-1) == 0, np.nan, value)


def tpr_at_fpr(
    scores: ArrayLike, labels: ArrayLike, max_fpr: float, weights: ArrayLike | None = None
) -> Floats:
    """Highest true-positive rate of all thresholds whose false-positive rate is ≤ ``max_fpr``.

    Arguments as :func:`auroc`. Returns [...] in [0, 1]; NaN where one class is missing. With
    fewer than 1/max_fpr negatives this allows no false alarm at all.
    """
    _, positives, negatives = _level_counts(scores, labels, weights)
    total_positive, total_negative = positives.sum(-1), negatives.sum(-1)
    # The margin keeps 1 of 20 within 5 % although 0.05 · 20 is not exactly 1.
    allowed = negatives.cumsum(-1) <= max_fpr * total_negative[..., None] + 1e-9
    found = np.where(allowed, positives.cumsum(-1), 0.0).max(-1, initial=0.0)
    return np.where(total_negative == 0, np.nan, _divide(found, total_positive))


def macro(
    statistic: RankingStatistic,
    probabilities: ArrayLike,
    labels: ArrayLike,
    weights: ArrayLike | None = None,
) -> Floats:
    """Mean of a ranking statistic over the classes present, each against the rest.

    Args:
        statistic: such as :func:`auroc`.
        probabilities: [N, K].
        labels: [N] class indices.
        weights: [..., N] counts, default 1.

    Returns:
        [...]; NaN where fewer than two classes are present.
    """
    probability, label = np.asarray(probabilities, dtype=np.float64), np.asarray(labels)
    values = [
        statistic(probability[:, index], label == index, weights) for index in np.unique(label)
    ]
    return np.asarray(np.mean(values, axis=0))


def roc_curve(scores: ArrayLike, labels: ArrayLike) -> Curve:
    """False-positive rate (x) against true-positive rate (y), from (0, 0) to (1, 1).

    An axis is NaN where its class is missing.
    """
    levels, positives, negatives = _level_counts(scores, labels, None)
    fpr = _divide(np.r_[0.0, negatives.cumsum()], np.asarray(negatives.sum()))
    tpr = _divide(np.r_[0.0, positives.cumsum()], np.asarray(positives.sum()))
    return Curve(fpr, tpr, np.r_[np.inf, levels])


def precision_recall_curve(scores: ArrayLike, labels: ArrayLike) -> Curve:
    """Recall (x, NaN without positives) against precision (y), from the highest score down."""
    levels, positives, negatives = _level_counts(scores, labels, None)
    passed = positives.cumsum()
    recall = _divide(passed, np.asarray(positives.sum()))
    return Curve(recall, _divide(passed, passed + negatives.cumsum()), levels)
