"""The objective against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Bernoulli, kl_divergence

from wisp import losses


def test_least_squares_by_hand() -> None:
    score = torch.tensor([0.0, 0.5, 2.0])
    assert float(losses.least_squares(score, 1.0)) == pytest.approx((1 + 0.25 + 1) / 3)
    assert float(losses.generator_loss(score)) == pytest.approx(0.75)
    assert float(losses.generator_loss(torch.ones(2, 1, 3, 3))) == 0


def test_discriminator_loss_by_hand() -> None:
    real, generated = torch.tensor([1.0, 0.0]), torch.tensor([0.5, 0.5, 2.0])
    expected = 0.5 * ((0 + 1) / 2 + (0.25 + 0.25 + 4) / 3)
    assert float(losses.discriminator_loss(real, generated)) == pytest.approx(expected)
    guess = torch.full((4,), 0.5)
    assert float(losses.discriminator_loss(guess, guess)) == pytest.approx(0.25)


def test_image_losses_are_mean_absolute_differences() -> None:
    image = torch.zeros(1, 3, 2, 2)
    other = image.clone()
    other[0, 0] = torch.tensor([[1.0, -1.0], [0.5, 0.0]])
    for loss in (losses.cycle_loss, losses.identity_loss):
        assert float(loss(other, image)) == pytest.approx(2.5 / 12)
        assert float(loss(image, other)) == pytest.approx(2.5 / 12)


def test_identity_weight_is_a_part_of_the_cycle_weight() -> None:
    total = losses.generator_objective(
        torch.tensor(1.0), torch.tensor(0.5), torch.tensor(0.25),
        lambda_cycle=10.0, lambda_identity=0.5,
    )  # fmt: skip
    assert float(total) == pytest.approx(1 + 10 * 0.5 + 5 * 0.25)


def test_lifting_losses_are_zero_where_all_is_right_and_known_elsewhere() -> None:
    opacity = torch.tensor([0.0, 0.0, 0.5, 1.0]).view(1, 1, 2, 2)
    airlight = torch.full((1, 3, 2, 2), 0.5)
    clean = torch.full((1, 3, 2, 2), -1.0)
    smoky = clean.lerp(airlight, opacity)
    assert losses.opacity_loss(opacity, opacity).item() == pytest.approx(0.0, abs=1e-6)
    # |0.5 - 1| at one of four pixels; overlap 2·(0.25 + 0.5) / (0.5 + 1.25)
    off = torch.tensor([0.0, 0.0, 0.5, 0.5]).view(1, 1, 2, 2)
    expected = 0.125 + 0.5 * math.log(2) / 4 + 0.2 * (1 - 1.5 / 1.75)
    assert losses.opacity_loss(off, opacity).item() == pytest.approx(expected, abs=1e-5)
    assert losses.airlight_loss(airlight, airlight, opacity).item() == 0.0
    # Wrong only where nothing is: nobody can know, and it does not count.
    wrong = airlight.clone()
    wrong[..., 0, :] = -1
    assert losses.airlight_loss(wrong, airlight, opacity).item() == 0.0
    assert losses.airlight_loss(airlight + 0.2, airlight, opacity).item() == pytest.approx(0.2)
    assert losses.recomposition_loss(clean, smoky, opacity, airlight).item() == 0.0
    nothing = torch.zeros_like(opacity)
    missed = losses.recomposition_loss(clean, smoky, nothing, airlight).item()
    assert missed == pytest.approx(1.5 * 1.5 / 4)
    assert losses.silence_loss(nothing).item() == 0.0
    assert losses.silence_loss(opacity).item() == pytest.approx(1.5 / 4)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_divergence_of_opacity_is_that_of_two_bernoulli_variables(seed: int) -> None:
    """Against torch.distributions, and finite where R is as wrong as can be."""
    draw = torch.Generator().manual_seed(seed)
    seen, true = torch.rand(2, 1, 1, 4, 4, generator=draw).mul(0.98).add(0.01)
    rest = (seen - true).abs().mean() + 0.2 * (
        1 - 2 * (seen * true).sum() / (seen.square().sum() + true.square().sum() + 1e-6)
    )
    reference = kl_divergence(Bernoulli(true), Bernoulli(seen)).mean()
    assert losses.opacity_loss(seen, true).item() == pytest.approx(
        float(rest + 0.5 * reference), abs=1e-5
    )


def test_opacity_loss_and_its_gradient_are_finite_where_all_is_wrong() -> None:
    true = torch.tensor([0.0, 1.0]).view(1, 1, 1, 2)
    seen = true.flip(-1).requires_grad_()
    loss = losses.opacity_loss(seen, true)
    loss.backward()
    assert math.isfinite(loss.item())
    assert seen.grad is not None and bool(torch.isfinite(seen.grad).all())


def test_the_hinge_losses_are_those_of_the_paper() -> None:
    real, made = np.array([2.0, 0.5, -1.0]), np.array([-3.0, 0.0])
    wanted = np.maximum(0, 1 - real).mean() + np.maximum(0, 1 + made).mean()
    scores = [torch.tensor(real)], [torch.tensor(made)]
    assert float(losses.hinge_discriminator_loss(*scores)) == pytest.approx(wanted)
    assert float(losses.hinge_generator_loss(scores[1])) == pytest.approx(-made.mean())
    twice = [part * 2 for part in scores]
    assert float(losses.hinge_discriminator_loss(*twice)) == pytest.approx(2 * wanted)


def test_variety_asks_for_a_part_of_the_smoke_and_no_more() -> None:
    left, right = torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)
    left[..., :2], right[..., 2:] = 0.8, 0.8
    assert float(losses.variety_loss(left, right, 0.6)) == 0
    assert float(losses.variety_loss(left, left, 0.6)) == pytest.approx(0.6 * 0.4)
    alike = left.repeat(2, 1, 1, 1), left.repeat(2, 1, 1, 1)
    assert float(losses.variety_loss(*alike, torch.tensor([0.6, 0.2]))) == pytest.approx(0.4 * 0.4)
