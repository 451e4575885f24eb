"""Intervals by resampling groups, since frames of one scene are near-copies of each other."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

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
    drawn = _resample(statistics, groups, samples, seed)
    count = len(set(groups))
    rests_on = {name: (support or {}).get(name, count) for name in statistics}
    return {
        name: _of_share(_interval(value, values), rests_on[name])
        for name, (value, values) in drawn.items()
    }


def group_indices(groups: Sequence[Hashable]) -> tuple[NDArray[np.int64], int]:
    """The number of each picture's group [N], from 0 in the order they come, and how many groups
    there are."""
    names = {group: index for index, group in enumerate(dict.fromkeys(groups))}
    return np.array([names[group] for group in groups], dtype=np.int64), len(names)


def mean_of(statistics: Sequence[Statistic]) -> Statistic:
    """The mean of several statistics of the same pictures, such as one of each seed.

    NaN where one of them is undefined.
    """
    return lambda weights: np.asarray(np.mean([one(weights) for one in statistics], axis=0))


def difference_intervals(
    pairs: Mapping[str, tuple[Statistic, Statistic]],
    groups: Sequence[Hashable],
    samples: int = 2000,
    seed: int = 0,
) -> dict[str, Interval]:
    """Percentile intervals (95 %) of the first statistic of each pair less the second.

    Both see the same resampled groups, so that what a hard or easy group does to both of them
    cancels out (paired bootstrap); statistics that are equal differ by exactly 0, without width.
    Arguments and undefined samples as for :func:`bootstrap_intervals`.
    """
    differences = {name: _difference(*pair) for name, pair in pairs.items()}
    drawn = _resample(differences, groups, samples, seed)
    return {name: _interval(value, values) for name, (value, values) in drawn.items()}


def _difference(first: Statistic, second: Statistic) -> Statistic:
    return lambda weights: np.asarray(first(weights) - second(weights))


def _resample(
    statistics: Mapping[str, Statistic], groups: Sequence[Hashable], samples: int, seed: int
) -> dict[str, tuple[float, Floats]]:
    """Each statistic over all pictures, and over every sample [samples] (none of one group)."""
    member, count = group_indices(groups)
    ones = np.ones((1, len(member)))
    values = {name: float(statistic(ones)[0]) for name, statistic in statistics.items()}
    if count < 2:
        return {name: (value, np.zeros(0)) for name, value in values.items()}
    random = np.random.default_rng(seed)
    chance = np.full(count, 1 / count)
    drawn: dict[str, list[Floats]] = {name: [] for name in statistics}
    chunk = max(1, _CHUNK_ELEMENTS // max(1, len(member)))
    for start in range(0, samples, chunk):
        size = min(chunk, samples - start)
        counts = random.multinomial(count, chance, size=size)
        weights = counts[:, member].astype(np.float64)
        for name, statistic in statistics.items():
            drawn[name].append(statistic(weights))
    return {name: (values[name], np.concatenate(drawn[name])) for name in statistics}


def _interval(value: float, drawn: Floats) -> Interval:
    usable = drawn[np.isfinite(drawn)]
    if not np.isfinite(value) or not len(usable) or len(usable) < _MIN_DEFINED * len(drawn):
        return Interval(_defined(value))
    low, high = (float(bound) for bound in np.percentile(usable, _COVERAGE_PERCENT))
    return Interval(value, low, high)


def _of_share(found: Interval, groups: int) -> Interval:
    """The interval of a share that rests on ``groups`` groups."""
    if found.low is None or groups < 2:
        return Interval(found.value)
    # (1 - p)^n = 2.5 % has p as its largest share that may still show none in n groups.
    unseen = 1 - (_COVERAGE_PERCENT[0] / 100) ** (1 / groups)
    if found.low == found.high == 0.0:
        return Interval(found.value, 0.0, unseen)
    if found.low == found.high == 1.0:
        return Interval(found.value, 1 - unseen, 1.0)
    return found


def class_support(is_positive: Sequence[bool], groups: Sequence[Hashable]) -> dict[str, int]:
    """Groups that hold ``positive`` and ``negative`` pictures, of these two the smaller number,
    ``both``, and groups that hold both kinds, ``mixed``."""
    positive = {group for group, yes in zip(groups, is_positive, strict=True) if yes}
    negative = {group for group, yes in zip(groups, is_positive, strict=True) if not yes}
    return {
        "positive": len(positive),
        "negative": len(negative),
        "both": min(len(positive), len(negative)),
        "mixed": len(positive & negative),
    }


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
