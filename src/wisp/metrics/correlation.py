"""Whether one figure orders things as another does."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from wisp.metrics.ranking import Floats

_FEWEST = 3


def rank_correlation(first: ArrayLike, second: ArrayLike) -> float | None:
    """Spearman's rank correlation of two figures [N] of the same N things, in [-1, 1].

    Ties get the mean of their ranks (Spearman 1904). None where it says nothing: of fewer than
    three things, or where one of the figures is the same for all.
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.ndim != 1 or a.shape != b.shape:
        raise ValueError(f"the figures {a.shape} and {b.shape} must both be [N]")
    if len(a) < _FEWEST or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return float(np.clip(np.corrcoef(_ranks(a), _ranks(b))[0, 1], -1.0, 1.0))


def _ranks(values: Floats) -> Floats:
    """Ranks from 0, the mean rank where values are equal."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = counts.cumsum() - 1
    return np.asarray((last - (counts - 1) / 2)[place])
