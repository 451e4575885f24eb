"""Exposure, colour and softness of crops, drawn at random."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wisp.images import apply_cast, colour_cast, vary_photo
from wisp.smoke.optics import add_smoke

QUICK = settings(max_examples=25, deadline=None)
seeds = st.integers(0, 2**31)


def draws(seed):
    return torch.Generator().manual_seed(seed)


def photo(seed):
    return torch.rand(3, 24, 32, generator=draws(seed)) * 2 - 1


@QUICK
@given(seeds)
def test_a_varied_photo_is_a_photo_and_the_same_for_the_same_draws(seed):
    varied = vary_photo(photo(seed), draws(seed))
    assert varied.shape == (3, 24, 32)
    assert float(varied.abs().max()) <= 1 + 1e-6
    assert torch.equal(varied, vary_photo(photo(seed), draws(seed)))


def test_most_photos_are_changed_and_some_are_not():
    changed = [not torch.equal(vary_photo(photo(1), draws(n)), photo(1)) for n in range(60)]
    assert 30 < sum(changed) < 60


@QUICK
@given(seeds)
def test_a_cast_of_the_smoky_photo_is_the_cast_photo_under_cast_smoke(seed):
    random = draws(seed)
    clean = torch.rand(2, 3, 8, 8, generator=random) * 2 - 1
    airlight = torch.rand(2, 3, 8, 8, generator=random) * 2 - 1
    density = 3 * torch.rand(2, 1, 8, 8, generator=random)
    gains = torch.stack([colour_cast(random), colour_cast(random)])
    assert 0.4 <= float(gains.min()) <= float(gains.max()) <= 1
    cast = apply_cast(add_smoke(clean, density, airlight), gains)
    again = add_smoke(apply_cast(clean, gains), density, apply_cast(airlight, gains))
    torch.testing.assert_close(cast, again, atol=1e-5, rtol=0)
    assert float(cast.min()) >= -1 - 1e-6
