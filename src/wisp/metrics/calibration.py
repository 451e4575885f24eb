"""Whether a probability means what it says."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from wisp.metrics.ranking import Floats, _binary, _divide


@dataclass(frozen=True)
class CalibrationBin:
    """Pictures whose probability lies in (low, high] (the first bin also holds its low end)."""

    low: float
    high: float
    count: int
    confidence: float | None
    """Their mean probability; None in an empty bin."""
    frequency: float | None
    """The share of them that is positive; None in an empty bin."""


@dataclass(frozen=True)
class Calibration:
    """Reliability diagram with its summary figures."""

    bins: tuple[CalibrationBin, ...]
    ece: float
    """Expected calibration error: mean |confidence - frequency| over pictures (Guo et al. 2017)."""
    brier: float


def brier_score(scores: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None) -> Floats:
    """Mean squared difference of probability [N] and label [N]; 0 is best. Brier 1950."""
    score, positive = _binary(scores, labels)
    weight = np.ones(score.shape) if weights is None else np.asarray(weights, dtype=np.float64)
    return _divide((weight * (score - positive) ** 2).sum(-1), weight.sum(-1))


def calibration(scores: ArrayLike, labels: ArrayLike, bins: int = 10) -> Calibration:
    """Compare probabilities [N] in [0, 1] with labels [N] in ``bins`` bins of equal width.

    Raises ValueError without pictures or with a score outside [0, 1].
    """
    score, positive = _binary(scores, labels)
    if not len(score) or score.min() < 0 or score.max() > 1:
        raise ValueError("calibration needs at least one score, all within [0, 1]")
    edges = np.linspace(0, 1, bins + 1)
    place = np.clip(np.searchsorted(edges, score, side="left") - 1, 0, bins - 1)
    counts = np.bincount(place, minlength=bins)
    shares = np.bincount(place, weights=positive, minlength=bins)
    means = np.bincount(place, weights=score, minlength=bins)
    rows = tuple(
        CalibrationBin(
            float(edges[i]),
            float(edges[i + 1]),
            int(counts[i]),
            float(means[i] / counts[i]) if counts[i] else None,
            float(shares[i] / counts[i]) if counts[i] else None,
        )
        for i in range(bins)
    )
    ece = float(np.abs(means - shares).sum() / len(score))
    return Calibration(rows, ece, float(brier_score(score, positive)))
