"""Smoke against no smoke of the same place: what is left when places cannot be told apart."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from wisp.metrics.bootstrap import group_indices
from wisp.metrics.ranking import Floats, _binary, _divide, auroc


def auroc_within(
    scores: ArrayLike,
    labels: ArrayLike,
    groups: Sequence[Hashable],
    weights: ArrayLike | None = None,
) -> Floats:
    """The chance that a positive outscores a negative *of its own group*, ties half.

    Over all such pairs: a group with more of them counts for more. A detector that has learned
    which places are smoky, instead of smoke, ranks well across groups and badly within them.

    Args:
        scores: [N], higher means more positive.
        labels: [N], true or 1 for positives.
        groups: [N], what belongs together, such as a camera.
        weights: [..., N] how often each picture's group counts, the same for all of a group;
            default 1. A group that is drawn twice is two groups, without pairs between them.

    Returns:
        [...] in [0, 1]; NaN where no group holds both classes. Raises ValueError when a score is
        not finite or lengths differ.
    """
    score, positive = _binary(scores, labels)
    if len(groups) != len(score):
        raise ValueError(f"{len(groups)} groups and {len(score)} scores: each picture needs one")
    weight = np.ones(score.shape) if weights is None else np.asarray(weights, dtype=np.float64)
    member, groups_in_all = group_indices(groups)
    won, pairs = np.zeros(weight.shape[:-1]), np.zeros(weight.shape[:-1])
    for index in range(groups_in_all):
        own = np.flatnonzero(member == index)
        count = positive[own].sum() * (~positive[own]).sum()
        if count:
            often = weight[..., own[0]]
            pairs = pairs + often * count
            won = won + often * count * auroc(score[own], positive[own])
    return _divide(won, pairs)
