"""Intervals by resampling groups, since frames of one scene are near-copies of each other."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from wisp.metrics.ranking import Floats, auroc

Statistic = Callable[[Floats], Floats]
"""From weights [B, N] to values [B], NaN where undefined."""

_CHUNK_ELEMENTS = 4_000_000
_COVERAGE_PERCENT = (2.5, 97.5)
_MIN_DEFINED = 0.5


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval; None where it is undefined."""

    value: float | None
    low: float | None = None
    high: float | None = None

    def to_json(self) -> dict[str, float | None]:
        """``{"value", "low", "high"}``."""
        return {"value": self.value, "low": self.low, "high": self.high}

    def __str__(self) -> str:
        if self.value is None:
            return "undefined"
        if self.low is None or self.high is None:
            return f"{self.value:.3f}"
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


def _defined(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def bootstrap_intervals(
    statistics: Mapping[str, Statistic],
    groups: Sequence[Hashable],
    samples: int = 2000,
    seed: int = 0,
    support: Mapping[str, int] | None = None,
) -> dict[str, Interval]:
    """Percentile intervals (95 %) of statistics, resampling whole groups with replacement.

    Args:
        statistics: functions of weights [B, N] (how often each picture counts) to values [B].
        groups: [N], the group of each picture.
        samples: bootstrap samples.
        seed: fixes the draw; all statistics see the same samples.
        support: on how many groups each statistic really rests, where that is fewer than all: a
            share of found positives rests on those that hold positives. See :func:`class_support`.

    Returns:
        One :class:`Interval` per statistic. Samples on which a statistic is undefined (a class
        was not drawn) are left out. There is no interval on a single group, nor when more than
        half of the samples are undefined. Where every sample is 0, or every one 1, resampling has
        nothing to vary; the interval then is that of none in n groups (Clopper & Pearson 1934).
        Efron 1979; Field & Welsh 2007 for clusters.
    """
    names = {group: index for index, group in enumerate(dict.fromkeys(groups))}
    member = np.array([names[group] for group in groups], dtype=np.int64)
    ones = np.ones((1, len(member)))
    values = {name: float(statistic(ones)[0]) for name, statistic in statistics.items()}
    if len(names) < 2:
        return {name: Interval(_defined(value)) for name, value in values.items()}
    random = np.random.default_rng(seed)
    chance = np.full(len(names), 1 / len(names))
    drawn: dict[str, list[Floats]] = {name: [] for name in statistics}
    chunk = max(1, _CHUNK_ELEMENTS // max(1, len(member)))
    for start in range(0, samples, chunk):
        size = min(chunk, samples - start)
        counts = random.multinomial(len(names), chance, size=size)
        weights = counts[:, member].astype(np.float64)
        for name, statistic in statistics.items():
            drawn[name].append(statistic(weights))
    rests_on = {name: (support or {}).get(name, len(names)) for name in statistics}
    return {
        name: _interval(values[name], np.concatenate(drawn[name]), samples, rests_on[name])
        for name in statistics
    }


def _interval(value: float, drawn: Floats, samples: int, groups: int) -> Interval:
    usable = drawn[np.isfinite(drawn)]
    if not np.isfinite(value) or len(usable) < _MIN_DEFINED * samples or groups < 2:
        return Interval(_defined(value))
    low, high = (float(bound) for bound in np.percentile(usable, _COVERAGE_PERCENT))
    # (1 - p)^n = 2.5 % has p as its largest share that may still show none in n groups.
    unseen = 1 - (_COVERAGE_PERCENT[0] / 100) ** (1 / groups)
    if low == high == 0.0:
        high = unseen
    elif low == high == 1.0:
        low = 1 - unseen
    return Interval(value, low, high)


def class_support(is_positive: Sequence[bool], groups: Sequence[Hashable]) -> dict[str, int]:
    """Groups that hold ``positive``, ``negative`` pictures, and the smaller number, ``both``."""
    positive = len({group for group, yes in zip(groups, is_positive, strict=True) if yes})
    negative = len({group for group, yes in zip(groups, is_positive, strict=True) if not yes})
    return {"positive": positive, "negative": negative, "both": min(positive, negative)}


def auroc_interval(
    scores: ArrayLike,
    labels: ArrayLike,
    groups: Sequence[Hashable],
    samples: int = 2000,
    seed: int = 0,
) -> Interval:
    """AUROC of scores [N] against labels [N], with its interval over groups [N]."""
    statistics: dict[str, Statistic] = {"auroc": lambda weights: auroc(scores, labels, weights)}
    both = class_support([bool(label) for label in np.asarray(labels)], groups)["both"]
    return bootstrap_intervals(statistics, groups, samples, seed, {"auroc": both})["auroc"]
