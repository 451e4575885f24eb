"""AUROC within groups: pairs of one place only."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wisp import metrics


@st.composite
def grouped(draw):
    count = draw(st.integers(4, 24))
    random = np.random.default_rng(draw(st.integers(0, 10_000)))
    scores = random.integers(0, 8, count) / 8  # with ties
    return scores, random.integers(0, 2, count).astype(bool), random.integers(0, 4, count).tolist()


@given(grouped())
def test_it_is_the_share_of_pairs_of_one_group_that_are_in_order(case):
    scores, labels, groups = case
    pairs = [
        0.5 if p == n else float(p > n)
        for p, one, positive in zip(scores, groups, labels, strict=True)
        for n, other, also in zip(scores, groups, labels, strict=True)
        if one == other and positive and not also
    ]
    found = float(metrics.auroc_within(scores, labels, groups))
    if pairs:
        assert found == pytest.approx(np.mean(pairs), abs=1e-12)
    else:
        assert np.isnan(found)


@given(grouped(), st.integers(0, 1000))
def test_what_is_particular_to_a_group_does_not_count(case, seed):
    scores, labels, groups = case
    offsets = np.random.default_rng(seed).normal(0, 10, 4)
    moved = scores + offsets[groups]
    found, same = (metrics.auroc_within(one, labels, groups) for one in (scores, moved))
    assert float(found) == pytest.approx(float(same), abs=1e-9, nan_ok=True)


@given(grouped(), st.integers(0, 1000))
def test_a_group_that_counts_twice_is_two_groups(case, seed):
    scores, labels, groups = case
    often = np.random.default_rng(seed).integers(0, 3, (2, 4))
    weighted = metrics.auroc_within(scores, labels, groups, often[:, groups])
    for counts, value in zip(often, weighted, strict=True):
        rows = [(i, copy) for i, group in enumerate(groups) for copy in range(counts[group])]
        index = [i for i, _ in rows]
        repeated = metrics.auroc_within(
            scores[index], labels[index], [(groups[i], copy) for i, copy in rows]
        )
        assert float(repeated) == pytest.approx(float(value), abs=1e-12, nan_ok=True)


def test_knowing_the_place_is_worth_nothing():
    groups = ["smoky place"] * 10 + ["clean place"] * 10
    labels = np.array([True] * 8 + [False] * 2 + [True] * 2 + [False] * 8)
    scores = np.array([0.9] * 10 + [0.1] * 10)
    assert float(metrics.auroc(scores, labels)) == pytest.approx(0.8)
    assert float(metrics.auroc_within(scores, labels, groups)) == 0.5


def test_every_picture_needs_a_group_and_a_finite_score():
    with pytest.raises(ValueError, match="2 groups and 3 scores"):
        metrics.auroc_within([0.1, 0.2, 0.3], [0, 1, 0], ["a", "a"])
    with pytest.raises(ValueError, match="finite"):
        metrics.auroc_within([0.1, np.nan], [0, 1], ["a", "b"])
