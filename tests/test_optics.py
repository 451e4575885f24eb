"""Laws of Beer-Lambert: smoke laid over scenes and taken off them."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wisp.smoke.optics import add_smoke, opacity, take_off

QUICK = settings(max_examples=20, deadline=None)
seeds = st.integers(0, 2**31)
strengths = st.floats(0, 3)


def scene(seed, height=12, width=16, batch=1):
    g = torch.Generator().manual_seed(seed)
    image = torch.rand(batch, 3, height, width, generator=g) * 2 - 1
    tau = torch.rand(batch, 1, height, width, generator=g) * 4
    tau[tau < 0.8] = 0.0
    airlight = torch.rand(batch, 3, 1, 1, generator=g) * 2 - 1
    return image, tau, airlight


@QUICK
@given(seeds, strengths, strengths)
def test_two_layers_of_one_smoke_are_one_layer_of_the_sum(seed, first, second):
    image, tau, airlight = scene(seed)
    twice = add_smoke(add_smoke(image, tau, airlight, first), tau, airlight, second)
    once = add_smoke(image, tau, airlight, first + second)
    torch.testing.assert_close(twice, once, atol=2e-6, rtol=0)


@QUICK
@given(seeds)
def test_strength_zero_changes_no_bit(seed):
    image, tau, airlight = scene(seed)
    assert torch.equal(add_smoke(image, tau, airlight, 0.0), image)


@QUICK
@given(seeds, strengths)
def test_without_density_no_bit_changes(seed, strength):
    image, tau, airlight = scene(seed)
    smoky = add_smoke(image, tau, airlight, strength)
    empty = (tau == 0).expand_as(image)
    assert bool(empty.any())
    assert torch.equal(smoky[empty], image[empty])


@QUICK
@given(seeds, strengths, strengths)
def test_opacity_grows_with_strength_and_stays_in_range(seed, first, second):
    _, tau, _ = scene(seed)
    low, high = sorted((first, second))
    thin, thick = opacity(tau, low), opacity(tau, high)
    assert bool((thick >= thin).all())
    assert float(thin.min()) >= 0
    assert float(thick.max()) <= 1


@QUICK
@given(seeds, strengths)
def test_smoke_lies_between_scene_and_airlight(seed, strength):
    image, tau, airlight = scene(seed)
    smoky = add_smoke(image, tau, airlight, strength)
    low, high = torch.minimum(image, airlight), torch.maximum(image, airlight)
    assert bool(((smoky >= low - 1e-6) & (smoky <= high + 1e-6)).all())


def test_opacity_by_hand_and_of_the_thinnest_smoke():
    assert float(opacity(torch.tensor(math.log(2.0)))) == pytest.approx(0.5)
    assert float(opacity(torch.tensor(1e-8))) == pytest.approx(1e-8)


def test_strength_may_differ_by_picture_and_airlight_by_pixel():
    image, tau, _ = scene(3, batch=2)
    airlight = torch.rand(2, 3, 12, 16)
    both = add_smoke(image, tau, airlight, torch.tensor([0.0, 1.0]).view(2, 1, 1, 1))
    assert torch.equal(both[0], image[0])
    torch.testing.assert_close(both[1:], add_smoke(image[1:], tau[1:], airlight[1:]))


# --- Taking it off


@QUICK
@given(seeds, strengths)
def test_what_was_laid_is_taken_off(seed, strength):
    image, tau, airlight = scene(seed)
    smoky = add_smoke(image, tau.clamp(max=2), airlight, strength)
    back = take_off(smoky, opacity(tau.clamp(max=2), strength), airlight, image.mean())
    torch.testing.assert_close(back, image, atol=1e-3, rtol=0)


@QUICK
@given(seeds)
def test_without_smoke_or_variation_nothing_is_taken_off(seed):
    image, tau, airlight = scene(seed)
    none = take_off(image, torch.zeros_like(tau), airlight, image.mean(), 0.3)
    torch.testing.assert_close(none, image, atol=1e-6, rtol=0)
    flat = torch.full_like(image, 0.2)
    back = take_off(add_smoke(flat, tau, airlight), opacity(tau), airlight, flat.mean(), 0.3)
    torch.testing.assert_close(back, flat, atol=1e-5, rtol=0)


def test_before_dense_smoke_the_error_of_its_colour_is_not_multiplied():
    """With scenes of deviation 0.2 around the mean, and airlights 0.3 · 0.2 off, the filter is no
    further off than the mean alone would be, and at every density nearer than division."""
    g = torch.Generator().manual_seed(0)
    image = torch.randn(1, 3, 64, 64, generator=g) * 0.2
    believed = 0.9 + 0.3 * 0.2 * torch.randn(1, 3, 64, 64, generator=g)
    off = {}
    for cover in (0.2, 0.5, 0.8, 0.95):
        smoky = image * (1 - cover) + 0.9 * cover
        for error in (0.0, 0.3):
            back = take_off(smoky, torch.tensor(cover), believed, torch.zeros(()), error)
            off[cover, error] = float((back - image).square().mean().sqrt())
        assert off[cover, 0.3] < off[cover, 0.0]
        assert off[cover, 0.3] < 0.2
    assert off[0.95, 0.0] > 1
