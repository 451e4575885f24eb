import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional import classification as reference
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from wisp import metrics


@st.composite
def scored(draw):
    """Scores with many ties and labels of both classes."""
    count = draw(st.integers(2, 40))
    seed = draw(st.integers(0, 10_000))
    levels = draw(st.sampled_from([2, 5, 1000]))
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, count)
    labels[:2] = [0, 1]
    return random.integers(0, levels + 1, count) / levels, labels


@given(scored())
def test_ranking_metrics_agree_with_torchmetrics(case):
    scores, labels = case
    p, y = torch.tensor(scores, dtype=torch.float64), torch.tensor(labels)
    assert float(metrics.auroc(scores, labels)) == pytest.approx(
        float(reference.binary_auroc(p, y)), abs=1e-6
    )
    assert float(metrics.average_precision(scores, labels)) == pytest.approx(
        float(reference.binary_average_precision(p, y)), abs=1e-6
    )
    # torchmetrics compares specificity in float32, so levels exactly on the limit are avoided.
    for max_fpr in (0.0101, 0.0503, 0.3003):
        sensitivity, _ = reference.binary_sensitivity_at_specificity(p, y, 1 - max_fpr)
        assert float(metrics.tpr_at_fpr(scores, labels, max_fpr)) == pytest.approx(
            float(sensitivity), abs=1e-6
        )


@given(scored())
def test_curves_agree_with_torchmetrics_and_with_the_areas(case):
    scores, labels = case
    p, y = torch.tensor(scores, dtype=torch.float64), torch.tensor(labels)
    roc = metrics.roc_curve(scores, labels)
    fpr, tpr, thresholds = reference.binary_roc(p, y)
    np.testing.assert_allclose(roc.x, fpr, atol=1e-6)
    np.testing.assert_allclose(roc.y, tpr, atol=1e-6)
    np.testing.assert_allclose(roc.thresholds[1:], thresholds[1:])
    assert np.trapezoid(roc.y, roc.x) == pytest.approx(float(metrics.auroc(scores, labels)))
    pr = metrics.precision_recall_curve(scores, labels)
    precision, recall, _ = reference.binary_precision_recall_curve(p, y)
    np.testing.assert_allclose(pr.x[::-1], recall[:-1], atol=1e-6)
    np.testing.assert_allclose(pr.y[::-1], precision[:-1], atol=1e-6)


@given(scored(), st.integers(0, 100))
def test_weights_are_repetitions(case, seed):
    scores, labels = case
    weights = np.random.default_rng(seed).integers(0, 4, (3, len(scores)))
    called = (scores > 0.5).astype(int)
    statistics = {
        metrics.auroc: (scores, labels),
        metrics.average_precision: (scores, labels),
        metrics.balanced_accuracy: (labels, called),
        metrics.accuracy: (labels, called),
        metrics.brier_score: (scores, labels),
    }
    for statistic, arguments in statistics.items():
        weighted = statistic(*arguments, weights)
        for row, value in zip(weights, weighted, strict=True):
            repeated = [np.repeat(argument, row) for argument in arguments]
            if len(set(np.repeat(labels, row))) == 2:
                assert float(statistic(*repeated)) == pytest.approx(value, abs=1e-12)


@given(scored())
def test_auroc_is_antisymmetric_and_ignores_monotone_maps(case):
    scores, labels = case
    value = float(metrics.auroc(scores, labels))
    assert float(metrics.auroc(-scores, labels)) == pytest.approx(1 - value)
    assert float(metrics.auroc(np.exp(3 * scores), labels)) == pytest.approx(value)


def test_known_values():
    scores, labels = [0.9, 0.8, 0.7, 0.6], [1, 0, 1, 0]
    assert float(metrics.auroc(scores, labels)) == 0.75
    assert float(metrics.average_precision(scores, labels)) == pytest.approx((1 + 2 / 3) / 2)
    assert float(metrics.tpr_at_fpr(scores, labels, 0.05)) == 0.5
    assert float(metrics.tpr_at_fpr(scores, labels, 0.5)) == 1.0


def test_one_of_twenty_is_five_percent():
    scores = np.r_[0.9, np.linspace(0, 0.5, 19), 0.8]
    labels = np.r_[np.zeros(20), 1]
    assert float(metrics.tpr_at_fpr(scores, labels, 0.05)) == 1.0
    assert float(metrics.tpr_at_fpr(scores, labels, 0.049)) == 0.0


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_leaves_rankings_undefined(label):
    scores, labels = [0.1, 0.7, 0.4], [label] * 3
    assert np.isnan(metrics.auroc(scores, labels))
    assert np.isnan(metrics.average_precision(scores, labels))
    assert np.isnan(metrics.tpr_at_fpr(scores, labels, 0.05))
    assert np.isnan(metrics.balanced_accuracy(labels, labels))
    interval = metrics.auroc_interval(scores, labels, ["a", "b", "c"])
    assert interval == metrics.Interval(None) and str(interval) == "undefined"


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="finite"):
        metrics.auroc([0.1, np.nan], [0, 1])
    with pytest.raises(ValueError, match=r"\[N\]"):
        metrics.auroc([0.1, 0.2], [0, 1, 1])
    with pytest.raises(ValueError, match="weights"):
        metrics.auroc([0.1, 0.2], [0, 1], np.ones(3))
    with pytest.raises(ValueError, match="within"):
        metrics.calibration([1.2], [1])
    with pytest.raises(ValueError, match="both classes"):
        metrics.choose_threshold([0.2, 0.3], [1, 1], "balanced")
    with pytest.raises(ValueError, match="columns"):
        metrics.kernel_distance(np.zeros((3, 2)), np.zeros((3, 4)))


def test_macro_average_agrees_with_torchmetrics():
    random = np.random.default_rng(0)
    logits = torch.tensor(random.normal(size=(60, 4)))
    labels = torch.tensor(np.r_[np.arange(4), random.integers(0, 4, 56)])
    p = logits.softmax(1)
    for ours, theirs in (
        (metrics.auroc, reference.multiclass_auroc),
        (metrics.average_precision, reference.multiclass_average_precision),
    ):
        expected = float(theirs(p, labels, num_classes=4, average="macro"))
        assert float(metrics.macro(ours, p, labels)) == pytest.approx(expected, abs=1e-6)
    predicted = p.argmax(1)
    expected = float(reference.multiclass_accuracy(predicted, labels, 4, average="macro"))
    assert float(metrics.balanced_accuracy(labels, predicted)) == pytest.approx(expected, abs=1e-6)
    counts = reference.multiclass_confusion_matrix(predicted, labels, 4)
    np.testing.assert_array_equal(metrics.confusion(labels, predicted, 4), counts)


def test_decide_prefers_the_positive_class_from_its_threshold_on():
    p = np.array([[0.5, 0.3, 0.2], [0.1, 0.3, 0.6], [0.6, 0.1, 0.3]])
    np.testing.assert_array_equal(metrics.decide(p, 1, 0.3), [1, 1, 0])
    np.testing.assert_array_equal(metrics.decide(p, 1, 0.9), [0, 2, 0])


@given(scored(), st.sampled_from(["balanced", "fpr01", "fpr02", "fpr05"]))
def test_no_threshold_does_better_than_the_chosen_one(case, rule):
    scores, labels = case
    chosen = metrics.choose_threshold(scores, labels, rule)

    def worth(threshold):
        called = scores >= threshold
        tpr, fpr = called[labels == 1].mean(), called[labels == 0].mean()
        if rule == "balanced":
            return tpr - fpr
        return tpr if fpr <= {"fpr01": 0.01, "fpr02": 0.02, "fpr05": 0.05}[rule] + 1e-9 else -1

    candidates = np.r_[np.unique(scores), np.nextafter(scores.max(), 2)]
    # Nothing may pass a threshold of 1 that a score of exactly 1 still reaches.
    if not (scores[labels == 0] == 1).any():
        assert worth(chosen) == pytest.approx(max(worth(t) for t in candidates))
    assert 0 <= chosen <= 1


def test_threshold_lies_in_the_middle_of_the_gap():
    assert metrics.choose_threshold([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1], "balanced") == 0.5


@given(scored(), st.integers(2, 15))
def test_calibration_agrees_with_torchmetrics(case, bins):
    scores, labels = case
    # Scores exactly on an edge fall on either side depending on rounding: nudge them inwards.
    scores = np.clip(scores * 0.987 + 0.00123, 0, 1)
    found = metrics.calibration(scores, labels, bins)
    p, y = torch.tensor(scores, dtype=torch.float64), torch.tensor(labels)
    assert found.ece == pytest.approx(
        float(reference.binary_calibration_error(p, y, n_bins=bins, norm="l1")), abs=1e-5
    )
    assert found.brier == pytest.approx(float(((p - y) ** 2).mean()))
    assert sum(row.count for row in found.bins) == len(scores)
    for row in found.bins:
        assert (row.count == 0) == (row.confidence is None) == (row.frequency is None)
        assert row.confidence is None or row.low <= row.confidence <= row.high


def test_interval_of_a_mean_has_its_known_width():
    random = np.random.default_rng(0)
    values = random.normal(size=400)
    found = metrics.bootstrap_intervals(
        {"mean": lambda w: (w * values).sum(-1) / w.sum(-1)}, range(400), samples=4000
    )["mean"]
    error = values.std() / 20
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - 1.96 * error, abs=0.1 * error)
    assert found.high == pytest.approx(values.mean() + 1.96 * error, abs=0.1 * error)


def test_frames_of_one_group_add_no_certainty():
    random = np.random.default_rng(1)
    labels = np.arange(40) % 2
    scores = random.normal(size=40) + labels
    groups = list(range(40))
    once = metrics.auroc_interval(scores, labels, groups, seed=3)
    tenfold = metrics.auroc_interval(
        np.repeat(scores, 10), np.repeat(labels, 10), list(np.repeat(groups, 10)), seed=3
    )
    assert tenfold == once
    naive = metrics.auroc_interval(np.repeat(scores, 10), np.repeat(labels, 10), range(400))
    assert naive.high - naive.low < 0.5 * (once.high - once.low)


def test_no_interval_from_a_single_group():
    found = metrics.auroc_interval([0.1, 0.9], [0, 1], ["a", "a"])
    assert found == metrics.Interval(1.0, None, None)
    assert found.to_json() == {"value": 1.0, "low": None, "high": None}


def test_samples_without_a_class_are_left_out():
    scores, labels = [0.2, 0.4, 0.9, 0.8, 0.5], [0, 0, 1, 1, 1]
    found = metrics.auroc_interval(scores, labels, range(5))
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(0.025 ** (1 / 2))  # two clean photos say little


@pytest.mark.parametrize("groups", [2, 5, 40])
def test_none_in_n_groups_is_not_never(groups):
    """Clopper and Pearson's exact interval; resampling alone would say 0 to 0."""
    statistics = {
        "none": lambda w: metrics.rate(np.zeros(groups, bool), np.ones(groups, bool), w),
        "all": lambda w: metrics.rate(np.ones(groups, bool), np.ones(groups, bool), w),
    }
    found = metrics.bootstrap_intervals(statistics, range(groups), samples=200)
    assert found["none"].low == 0.0 and found["all"].high == 1.0
    # The largest chance under which none in all groups is still seen in 2.5 % of cases.
    assert (1 - found["none"].high) ** groups == pytest.approx(0.025)
    assert found["all"].low == pytest.approx(1 - found["none"].high)


def test_a_share_that_rests_on_one_group_has_no_interval():
    found = metrics.bootstrap_intervals(
        {"tpr": lambda w: metrics.rate(np.array([1, 1, 0, 0]), np.array([1, 1, 1, 0]), w)},
        ["a", "a", "a", "b"],
        support={"tpr": 1},
    )["tpr"]
    assert found.value == pytest.approx(2 / 3) and found.low is None
    support = metrics.class_support([True, True, False, False], ["a", "b", "b", "b"])
    assert support == {"positive": 2, "negative": 1, "both": 1, "mixed": 1}


def test_a_metric_is_asked_for_many_samples_at_once():
    """Which makes it a matter of seconds."""
    random = np.random.default_rng(0)
    scores, labels = random.random(600), random.integers(0, 2, 600)
    asked = []

    def auroc(weights):
        asked.append(len(weights))
        return metrics.auroc(scores, labels, weights)

    metrics.bootstrap_intervals({"auroc": auroc}, [i // 6 for i in range(600)], samples=2000)
    assert asked == [1, 2000]


class _Identity(torch.nn.Module):
    num_features = 16

    def forward(self, x):
        return x


def _feature_sets(count_a, count_b, shift=0.5):
    random = torch.Generator().manual_seed(0)
    a = torch.randn(count_a, 16, generator=random, dtype=torch.float64)
    b = torch.randn(count_b, 16, generator=random, dtype=torch.float64) * 1.2 + shift
    return a, b


def test_kernel_distance_agrees_with_torchmetrics():
    a, b = _feature_sets(60, 60)
    theirs = KernelInceptionDistance(feature=_Identity(), subsets=1, subset_size=60)
    theirs.update(a, real=True)
    theirs.update(b, real=False)
    ours = metrics.kernel_distance(a, b)
    assert ours.value == pytest.approx(float(theirs.compute()[0]), rel=1e-5)
    assert ours.low < ours.value < ours.high


def test_kernel_distance_of_unequal_sets_matches_the_definition():
    a, b = (x.numpy() for x in _feature_sets(9, 6))
    k = lambda x, y: (x @ y / 16 + 1) ** 3  # noqa: E731
    within_a = np.mean([k(a[i], a[j]) for i in range(9) for j in range(9) if i != j])
    within_b = np.mean([k(b[i], b[j]) for i in range(6) for j in range(6) if i != j])
    between = np.mean([k(x, y) for x in a for y in b])
    expected = within_a + within_b - 2 * between
    assert metrics.kernel_distance(a, b).value == pytest.approx(expected)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000))
def test_kernel_distance_is_symmetric(seed):
    random = np.random.default_rng(seed)
    a, b = random.normal(size=(20, 5)), random.normal(size=(31, 5)) + 0.3
    forward, back = metrics.kernel_distance(a, b), metrics.kernel_distance(b, a)
    assert forward.value == pytest.approx(back.value)


def test_kernel_distance_interval_covers_as_often_as_it_says():
    random = np.random.default_rng(0)
    draw = lambda n: (random.normal(size=(n, 4)), random.normal(size=(n, 4)) + 1.0)  # noqa: E731
    truth = np.mean([metrics.kernel_distance(*draw(1500), subsets=2).value for _ in range(4)])
    found = [metrics.kernel_distance(*draw(60), seed=i) for i in range(100)]
    covered = np.mean([f.low <= truth <= f.high for f in found])
    assert 0.85 <= covered <= 1.0
    same = [metrics.kernel_distance(*[random.normal(size=(40, 4)) for _ in "ab"]) for _ in "x" * 60]
    assert abs(np.mean([f.value for f in same])) < 3 * np.std([f.value for f in same]) / 60**0.5


def test_frechet_distance_agrees_with_torchmetrics():
    a, b = _feature_sets(80, 50)
    theirs = FrechetInceptionDistance(feature=_Identity(), normalize=True)
    theirs.set_dtype(torch.float64)
    theirs.update(a, real=True)
    theirs.update(b, real=False)
    assert metrics.frechet_distance(a, b) == pytest.approx(float(theirs.compute()), rel=1e-4)


def two_statistics(case, random):
    scores, labels = case
    others = random.random(len(labels))
    return (
        lambda w: metrics.auroc(scores, labels, w),
        lambda w: metrics.auroc(others, labels, w),
        [f"group-{i // 2}" for i in range(len(labels))],
    )


@settings(deadline=None, max_examples=40)
@given(scored(), st.integers(0, 1000))
def test_a_difference_to_oneself_is_exactly_nothing(case, seed):
    ours, _, groups = two_statistics(case, np.random.default_rng(seed))
    found = metrics.difference_intervals({"same": (ours, ours)}, groups, 200, seed)["same"]
    assert found.value == 0.0
    assert (found.low, found.high) in ((0.0, 0.0), (None, None))


@settings(deadline=None, max_examples=40)
@given(scored(), st.integers(0, 1000))
def test_a_difference_turned_round_has_the_other_sign(case, seed):
    ours, theirs, groups = two_statistics(case, np.random.default_rng(seed))
    pairs = {"there": (ours, theirs), "back": (theirs, ours)}
    found = metrics.difference_intervals(pairs, groups, 200, seed)
    there, back = found["there"], found["back"]
    assert there.value == pytest.approx(-back.value)
    if there.low is not None:
        assert (there.low, there.high) == pytest.approx((-back.high, -back.low))


def test_what_a_hard_group_does_to_both_cancels_out():
    """Both detectors find the same share in each group but for a constant: only that is left."""
    random = np.random.default_rng(0)
    base = random.random(40)
    groups = list(range(40))

    def mean(values):
        return lambda w: (w * values).sum(-1) / w.sum(-1)

    found = metrics.difference_intervals({"d": (mean(base + 0.1), mean(base))}, groups)["d"]
    assert (found.low, found.value, found.high) == pytest.approx((0.1, 0.1, 0.1))
    alone = metrics.bootstrap_intervals({"a": mean(base)}, groups)["a"]
    assert alone.high - alone.low > 0.1


def test_a_difference_of_means_has_its_known_width():
    random = np.random.default_rng(1)
    ours, theirs = random.normal(0.5, 1, 400), random.normal(0, 1, 400)

    def mean(values):
        return lambda w: (w * values).sum(-1) / w.sum(-1)

    found = metrics.difference_intervals({"d": (mean(ours), mean(theirs))}, range(400))["d"]
    error = (ours - theirs).std() / np.sqrt(400)
    assert found.value == pytest.approx((ours - theirs).mean())
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.08)


def test_no_difference_interval_from_a_single_group():
    pair = (lambda w: w.mean(-1), lambda w: 0 * w.mean(-1))
    assert metrics.difference_intervals({"d": pair}, ["a"] * 5)["d"] == metrics.Interval(1.0)


def test_the_mean_of_seeds_sees_each_seed_equally():
    first, second = np.array([1.0, 0.0, 0.0]), np.array([1.0, 1.0, 1.0])
    mean = metrics.mean_of([lambda w: (w * first).mean(-1), lambda w: (w * second).mean(-1)])
    assert mean(np.ones((1, 3))).tolist() == pytest.approx([2 / 3])
    undefined = metrics.mean_of([lambda w: w.mean(-1), lambda w: np.full(len(w), np.nan)])
    assert np.isnan(undefined(np.ones((1, 3)))).all()


@given(st.lists(st.integers(0, 5), min_size=3, max_size=12), st.integers(0, 1000))
def test_rank_correlation_agrees_with_torchmetrics_and_ignores_monotone_maps(values, seed):
    from torchmetrics.functional import spearman_corrcoef

    other = np.random.default_rng(seed).integers(0, 4, len(values)).astype(float)
    found = metrics.rank_correlation(values, other)
    if len(set(values)) == 1 or len(set(other)) == 1:
        assert found is None
        return
    known = spearman_corrcoef(torch.tensor(values).double(), torch.tensor(other))
    assert found == pytest.approx(float(known), abs=1e-4)
    assert metrics.rank_correlation(np.exp(values), 3 * other - 1) == pytest.approx(found)
    assert metrics.rank_correlation(values, -other) == pytest.approx(-found)


def test_rank_correlation_of_two_things_says_nothing():
    assert metrics.rank_correlation([1, 2], [2, 1]) is None
    with pytest.raises(ValueError, match="must both be"):
        metrics.rank_correlation([1, 2, 3], [1, 2])
