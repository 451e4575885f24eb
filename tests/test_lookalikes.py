import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wisp.config import LOOKALIKES as NAMES
from wisp.models import shipped_layers
from wisp.smoke import LOOKALIKES, Dice, SmokeLayer, add_lookalike, coverage
from wisp.smoke.lookalikes import Steam
from wisp.smoke.lookalikes.camera import disc_kernel, path_kernel, reduced_light

QUICK = settings(max_examples=15, deadline=None)
seeds = st.integers(0, 2**31)
kinds = st.sampled_from(sorted(LOOKALIKES))
sizes = st.tuples(st.integers(1, 90), st.integers(1, 90))


def room(seed, height=96, width=128, low=20, high=236):
    """A scene of soft patches with a little grain, uint8 [H, W, 3]."""
    rng = np.random.default_rng(seed)
    scene = cv2.resize(rng.uniform(low, high, (6, 8, 3)), (width, height))
    return (scene + rng.standard_normal(scene.shape)).clip(0, 255).astype(np.uint8)


def changed(kind, picture, seed):
    result = picture.copy()
    add_lookalike(kind, result, seed, shipped_layers())
    return result


def light(picture):
    return (picture / 255) ** 2


def detail(picture):
    """Mean difference of neighbours."""
    values = picture.astype(float)
    return sum(np.abs(np.diff(values, axis=axis)).mean() for axis in (0, 1))


def steam_opacity(picture, seed):
    return Steam(shipped_layers()).layer(picture, Dice(seed)).opacity


# --- all of them


def test_the_flag_names_what_there_is():
    assert tuple(LOOKALIKES) == NAMES


@QUICK
@given(kinds, seeds, sizes)
def test_any_size_is_changed_in_place_and_by_the_seed_alone(kind, seed, size):
    picture = room(seed, *size)
    once = changed(kind, picture, seed)
    assert once.shape == (*size, 3)
    assert once.dtype == np.uint8
    assert np.array_equal(once, changed(kind, picture, seed))


@pytest.mark.parametrize("kind", NAMES)
def test_another_seed_is_another_picture(kind):
    picture = room(0)
    assert not np.array_equal(changed(kind, picture, 1), changed(kind, picture, 2))
    assert not np.array_equal(changed(kind, picture, 1), picture)


@pytest.mark.parametrize("kind", ["steam", "blur", "overexposed", "fog-lens"])
def test_a_look_alike_is_the_same_at_any_resolution(kind):
    differences = []
    for seed in range(20):
        small = room(seed, 96, 128)
        large = small.repeat(4, 0).repeat(4, 1)
        alike = changed(kind, large, seed).reshape(96, 4, 128, 4, 3).mean((1, 3))
        differences.append(np.abs(alike - changed(kind, small, seed)).mean())
    # Now and then steam is just seen at one size, and drawn anew at the other.
    assert np.quantile(differences, 0.9) < 2


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("size", [(600, 800), (769, 1024), (30, 1001)])
def test_a_large_picture_need_be_no_multiple_of_anything(kind, size):
    assert changed(kind, room(1, *size), 5).shape == (*size, 3)


@pytest.mark.parametrize("kind", NAMES)
def test_black_and_white_pictures_are_pictures_too(kind):
    for level in (0, 255):
        picture = np.full((48, 64, 3), level, np.uint8)
        changed(kind, picture, 3)


# --- steam


@QUICK
@given(seeds, st.booleans())
def test_steam_is_thin_and_never_fills_the_picture(seed, upright):
    picture = room(seed, *((120, 80) if upright else (80, 120)))
    cover = steam_opacity(picture, seed)
    assert 0.03 <= coverage(cover) <= 0.35
    assert 0.3 <= float(cover.max()) <= 0.8001


def test_steam_is_thin_on_average():
    covers = [steam_opacity(room(seed), seed).mean() for seed in range(100)]
    assert 0.04 < np.mean(covers) < 0.09
    assert np.quantile(covers, 0.97) < 0.15


@QUICK
@given(seeds)
def test_steam_only_brightens_and_leaves_most_of_the_picture_alone(seed):
    picture = room(seed)
    result = changed("steam", picture, seed)
    assert (result >= picture).all()
    assert coverage((result - picture).max(-1), 25) < 0.45


def test_steam_is_drawn_anew_until_it_can_be_seen():
    """Almost white but for a strip: before white, steam changes hardly a pixel."""
    for seed in range(30):
        picture = room(seed)
        picture[:, :104] = 245
        brighter = changed("steam", picture, seed) - picture
        assert coverage(brighter.mean(-1), 0.08 * 255) > 0.03


def test_steam_takes_the_folds_of_the_smoke_it_is_given():
    """Of a column of puffs it gets puffs, of even smoke none: folds are all that is different."""
    rows = np.linspace(0, 40, 240, dtype=np.float32)[:, None]
    puffs = np.tile(1 + np.sin(rows), 160)
    even = np.ones((240, 160), np.float32)
    picture, grey = room(1), np.full((240, 160, 3), 0.75, np.float32)
    made = []
    for density in (puffs, even):
        made.append(Steam([SmokeLayer(density, grey)]).layer(picture, Dice(4)).opacity)
    assert not np.array_equal(*made)
    folded, smooth = (np.abs(np.diff(one, axis=0)).sum() / one.sum() for one in made)
    assert folded > 1.3 * smooth


def test_steam_spreads_as_it_rises():
    """Over many pots, it is narrower in its lowest quarter than in the one above the middle."""
    low, high = 0.0, 0.0
    for seed in range(30):
        width = (steam_opacity(room(seed), seed) > 0.05).sum(1)
        rows = np.flatnonzero(width)
        top, bottom = int(rows[0]), int(rows[-1]) + 1
        quarter = (bottom - top) // 4
        low += float(width[bottom - quarter :][:quarter].mean())
        high += float(width[top + quarter : top + 2 * quarter].mean())
    assert low < 0.8 * high


def test_steam_is_near_white_lit_by_the_scene():
    dim, lit = room(0, low=5, high=60), room(0, low=80, high=250)
    steam = Steam(shipped_layers())
    colours = [steam.layer(picture, Dice(5)).airlight.mean((0, 1)) for picture in (dim, lit)]
    assert colours[0].mean() < colours[1].mean()
    for picture, colour in zip((dim, lit), colours, strict=True):
        assert colour.mean() > picture.mean() / 255
        assert colour.max() - colour.min() < 0.16


# --- faults of the camera


@QUICK
@given(st.floats(0, 9))
def test_a_disc_moves_light_and_makes_none(radius):
    kernel = disc_kernel(radius)
    assert float(kernel.sum()) == pytest.approx(1, abs=1e-5)
    assert (kernel >= 0).all()
    assert np.array_equal(kernel, kernel.T)
    if radius > 3:
        assert float((kernel > 0).sum()) == pytest.approx(math.pi * (radius + 0.5) ** 2, rel=0.15)


@QUICK
@given(st.floats(0.1, 20), st.floats(-3.2, 3.2), st.floats(-0.4, 0.4))
def test_a_path_moves_light_by_its_length_along_its_angle(length, angle, bend):
    kernel = path_kernel(length, angle, bend)
    assert float(kernel.sum()) == pytest.approx(1, abs=1e-5)
    steps = np.arange(len(kernel)) - len(kernel) // 2
    x, y = (kernel.sum(0) * steps).sum(), (kernel.sum(1) * steps).sum()
    assert np.hypot(x, y) < 0.02 * length + 1e-4  # the picture stays where it is
    along = steps * math.cos(angle) + steps[:, None] * math.sin(angle)
    spread = np.sqrt((kernel * along**2).sum())
    assert spread == pytest.approx(length / math.sqrt(12), abs=0.45)


@QUICK
@given(seeds)
def test_blur_keeps_the_light_and_takes_detail(seed):
    # Dark towards the rim, so that hardly any light crosses it.
    picture = room(seed)
    picture[:12], picture[-12:], picture[:, :12], picture[:, -12:] = 20, 20, 20, 20
    picture[40:50, 60:70] = 250
    result = changed("blur", picture, seed)
    assert float(light(result).mean()) == pytest.approx(float(light(picture).mean()), rel=0.01)
    assert detail(result) < detail(picture)


@QUICK
@given(seeds)
def test_lowlight_is_darker_and_noisy(seed):
    picture = room(seed)
    result = changed("lowlight", picture, seed)
    assert result.mean() < 0.75 * picture.mean()
    flat = np.full((96, 128, 3), 120, np.uint8)
    noise = changed("lowlight", flat, seed).astype(float)
    assert 1.0 < float((noise[:, 1:] - noise[:, :-1]).std() / math.sqrt(2)) < 14


@QUICK
@given(seeds)
def test_overexposed_brightens_every_pixel_and_clips_some(seed):
    picture = room(seed)
    result = changed("overexposed", picture, seed)
    assert (result >= picture).all()
    assert 0.05 < coverage(result.max(-1), 254) < 0.95


def test_highlights_spill_over_their_border():
    picture = np.full((96, 128, 3), 30, np.uint8)
    picture[:, 64:] = 250
    result = changed("overexposed", picture, 1)
    assert result[:, 60:63].mean() > result[:, 5:8].mean() + 3


@QUICK
@given(seeds)
def test_a_fogged_lens_takes_contrast_and_leaves_the_mean_light_about_alone(seed):
    picture = room(seed)
    result = changed("fog-lens", picture, seed)
    assert detail(result) < detail(picture)
    assert light(result).std() < light(picture).std()
    assert 0.9 < float(light(result).mean() / light(picture).mean()) < 1.25


def test_reduced_light_is_the_mean_light():
    picture = room(1, 90, 120)
    expected = light(picture).reshape(18, 5, 24, 5, 3).mean((1, 3))
    np.testing.assert_allclose(reduced_light(picture, 5), expected, atol=1e-5)
    assert reduced_light(picture, 7).shape == (13, 18, 3)
