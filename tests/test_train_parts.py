"""The parts of the training job: pool, schedule, average, augmentation, samples, health."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from wisp.jobs.train import samples
from wisp.jobs.train.diffaugment import augment
from wisp.jobs.train.ema import MovingAverage, average_decay
from wisp.jobs.train.health import WON_STEPS, Health
from wisp.jobs.train.photos import choose_validation
from wisp.jobs.train.pool import ImagePool
from wisp.jobs.train.schedule import learning_rate_factor


def numbered(first: int, count: int) -> torch.Tensor:
    return torch.arange(first, first + count, dtype=torch.float32).reshape(-1, 1, 1, 1)


def draws(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(
    capacity=st.integers(0, 6),
    batches=st.lists(st.integers(1, 4), min_size=1, max_size=12),
    seed=st.integers(0, 10),
)
def test_pool_shows_only_what_it_was_given_and_forgets_nothing_it_did_not_show(
    capacity: int, batches: list[int], seed: int
) -> None:
    pool, generator = ImagePool(capacity), draws(seed)
    given_so_far: list[float] = []
    held: list[float] = []
    for count in batches:
        batch = numbered(len(given_so_far), count)
        shown = pool.query(batch, generator)
        assert shown.shape == batch.shape
        for new, old in zip(batch.flatten().tolist(), shown.flatten().tolist(), strict=True):
            given_so_far.append(new)
            if len(held) < capacity:
                assert old == new
                held.append(new)
            elif old != new:  # an earlier image left the pool and the new one took its place
                held.remove(old)
                held.append(new)
        if not capacity:
            assert torch.equal(shown, batch)
        images = pool.state().get("images", torch.empty(0))
        assert sorted(images.flatten().tolist()) == sorted(held)
        assert len(pool) <= capacity


def test_a_full_pool_shows_old_images_half_of_the_time_and_each_alike() -> None:
    pool, generator = ImagePool(10), draws(0)
    pool.query(numbered(0, 10), generator)
    places = torch.zeros(10)
    old = 0
    for step in range(4000):
        before = pool.state()["images"].flatten()
        new = numbered(10 + step, 1)
        shown = pool.query(new, generator)
        if shown.item() != new.item():
            old += 1
            places[before == shown.item()] += 1
    assert 1850 < old < 2150
    assert places.min() > 140 and places.max() < 265


@given(seed=st.integers(0, 20), before=st.integers(0, 8))
def test_pool_goes_on_from_its_state(seed: int, before: int) -> None:
    pool, copy = ImagePool(4), ImagePool(4)
    if before:
        pool.query(numbered(0, before), draws(1))
    copy.load_state(pool.state(), torch.device("cpu"))
    for _ in range(3):
        batch = numbered(100, 3)
        assert torch.equal(pool.query(batch, draws(seed)), copy.query(batch, draws(seed)))


def test_pool_keeps_copies_without_gradients() -> None:
    pool, image = ImagePool(2), torch.ones(1, 3, 4, 4, requires_grad=True)
    shown = pool.query(image * 1, draws(0))
    assert not shown.requires_grad
    shown.zero_()
    assert pool.state()["images"].eq(1).all()


@given(steps=st.integers(1, 400))
def test_learning_rate_is_constant_then_falls_in_a_line_to_zero(steps: int) -> None:
    factors = [learning_rate_factor(step, steps) for step in range(steps)]
    half = steps // 2
    assert all(factor == 1 for factor in factors[: half + 1])
    falls = [a - b for a, b in zip(factors[half:], [*factors[half + 1 :], 0.0], strict=True)]
    assert all(fall == pytest.approx(1 / (steps - half)) for fall in falls)
    with pytest.raises(ValueError, match=str(steps)):
        learning_rate_factor(steps, steps)


def test_average_follows_the_formula() -> None:
    network = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(network.weight, 0.0)
    average = MovingAverage(network, 0.5)
    expected = 0.0
    for step, weight in enumerate([1.0, 3.0, -2.0, 5.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0]):
        torch.nn.init.constant_(network.weight, weight)
        average.update(network, step)
        decay = min(0.5, (1 + step) / (10 + step))
        assert average_decay(0.5, step) == decay
        expected = decay * expected + (1 - decay) * weight
        assert average.network.weight.item() == pytest.approx(expected, abs=1e-6)
    assert not average.network.weight.requires_grad


def test_augmentation_is_alike_for_the_same_draws_and_differentiable() -> None:
    images = (torch.rand(2, 3, 32, 32) * 2 - 1).requires_grad_()
    first, second = augment(images, draws(4)), augment(images, draws(4))
    assert first.shape == images.shape and torch.equal(first, second)
    assert not torch.equal(first, augment(images, draws(5)))
    first.sum().backward()
    assert images.grad is not None and images.grad.abs().sum() > 0


def test_augmentation_cuts_a_hole_of_at_most_half_the_side() -> None:
    for seed in range(20):
        hole = augment(torch.full((1, 3, 32, 32), 0.3), draws(seed))[0].eq(0).all(0)
        assert 0 < int(hole.sum()) <= 16 * 16 + 2 * 4 * 32 + 4 * 4 * 4  # and the shifted-in border


def test_grid_shows_each_picture_in_its_place() -> None:
    def stack(value: float) -> samples.Translations:
        parts = (torch.full((2, 3, 8, 8), value + part / 100) for part in range(3))
        return samples.Translations(*parts)

    picture = samples.grid(stack(0.1), stack(0.5))
    assert picture.shape == (3, 2 * 8 + 4, 6 * 8 + 5 * 4 + 8)
    row = picture[0, 16]
    values = [round(v, 2) for v in row.tolist() if v != 1]
    assert values == [v for v in (0.1, 0.11, 0.12, 0.5, 0.51, 0.52) for _ in range(8)]
    assert bool(picture[:, 8:12].eq(1).all())


def test_collapse_and_idleness_are_seen_in_what_comes_out() -> None:
    photos = torch.rand(4, 3, 16, 16, generator=draws(0))
    same = torch.rand(1, 3, 16, 16, generator=draws(1)).expand(4, -1, -1, -1)

    def fault(there: torch.Tensor, count: int = 4) -> str | None:
        return samples.fault_of(samples.Translations(photos[:count], there[:count], photos))

    assert fault(same + 0.01 * photos) == "collapsed"
    assert fault(0.5 * photos + 0.5) is None
    assert fault(same, count=1) is None  # one picture resembles no other
    assert fault(photos + 1 / 127.5) == fault(photos, count=1) == "idle"
    assert fault(photos + 3 / 127.5) is None


def test_a_discriminator_that_wins_for_long_is_noted_once() -> None:
    health = Health()

    def row(smoky: float) -> dict[str, float]:
        return {"discriminator_smoky": smoky, "discriminator_clean": 0.2}

    assert not health.check_losses(100, row(0.001))
    assert not health.check_losses(100 + WON_STEPS // 2, row(0.2))  # recovered
    assert not health.check_losses(3000, row(0.001))
    health = Health(**health.to_json())  # a resume in between changes nothing
    assert not health.check_losses(3000 + WON_STEPS - 1, row(0.001))
    notes = health.check_losses(3000 + WON_STEPS, row(0.001))
    assert len(notes) == 1 and "smoky" in notes[0] and "--learning-rate" in notes[0]
    assert not health.check_losses(3000 + WON_STEPS + 1, row(0.001))
    assert len(health.check_samples(6000, {"smoky": None, "clean": "collapsed"})) == 1
    assert not health.check_samples(7000, {"clean": "collapsed"})
    assert "leaves photos as they are" in health.check_samples(7000, {"clean": "idle"})[0]
    assert "finds none in smoky photos" in health.check_samples(7000, {"smoky": "silent"})[0]
    assert len(health.notes) == 4


def test_few_photos_are_noted_once() -> None:
    health = Health()
    assert health.check_photos({"clean": 300, "smoky": 100}) == []
    (note,) = health.check_photos({"clean": 300, "smoky": 8})
    assert note.startswith("Photos to learn from: 8 smoky.")
    assert Health(**health.to_json()).check_photos({"clean": 8, "smoky": 8}) == []  # resumed


@given(
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=20),
    count=st.integers(0, 10),
    seed=st.integers(0, 5),
)
def test_validation_photos_leave_no_sibling_in_training(
    sizes: list[int], count: int, seed: int
) -> None:
    groups = [f"g{number}" for number, size in enumerate(sizes) for _ in range(size)]
    validation, unused = choose_validation(groups, count, seed)
    assert not validation & unused
    assert len(validation) <= min(count, len(groups) // 4)
    taken = validation | unused
    kept = {group for index, group in enumerate(groups) if index not in taken}
    assert not kept & {groups[index] for index in taken}
    assert len(taken) <= len(groups) // 2
    assert len({groups[index] for index in validation}) == len(validation)
    assert (validation, unused) == choose_validation(groups, count, seed)


def test_validation_spares_big_groups() -> None:
    groups = ["camera"] * 60 + [f"house-{number}" for number in range(40)]
    validation, unused = choose_validation(groups, 8, 0)
    assert len(validation) == 8 and not unused
    assert min(validation) >= 60
