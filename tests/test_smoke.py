"""Smoke drawn and laid: laws of its textures and shapes, and two ways to lay it that agree."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scenes import tau_of
from wisp.models import shipped_layers
from wisp.smoke import (
    SHAPES,
    Dice,
    LiftedSmoke,
    ProceduralSmoke,
    SmokeLayer,
    changed,
    coverage,
    opacity,
)
from wisp.smoke.batches import add_to_batch
from wisp.smoke.layer import DETAIL_PX, detail_tile, scene_of
from wisp.smoke.noise import (
    cell_px,
    grid_shape,
)
from wisp.smoke.optics import add_smoke

QUICK = settings(max_examples=20, deadline=None)
seeds = st.integers(0, 2**31)


def random(seed, *shape):
    return np.random.default_rng(seed).random(shape, np.float32)


def photo(seed, height=90, width=120):
    """A scene of soft patches [H, W, 3]."""
    return cv2.resize((255 * random(seed, 6, 8, 3)).astype(np.uint8), (width, height))


def laid(smoke, pixels, seed, strength=1.0):
    """``pixels`` under smoke, its mask and τ."""
    smoky = pixels.copy()
    mask, tau = smoke.layer(pixels, Dice(seed)).lay(smoky, strength, keep_density=True)
    return smoky, mask, tau


def test_changed_by_hand():
    before = np.zeros((2, 5, 3), np.uint8)
    after = before.copy()
    after[0, 0, 1] = 31  # 0.12 of 255 is 30.6
    after[1, 2] = 30
    after[1, 4] = 255
    assert changed(before, after) == changed(after, before) == pytest.approx(0.2)
    assert changed(before, after, level=0.1) == pytest.approx(0.3)
    assert changed(before, before) == 0


# --- shapes


def density(seed, height, width, shape):
    """Optical density [height, width] of one ``shape``, as it is laid over a picture."""
    field = SHAPES[shape](Dice(seed), *grid_shape(height, width))
    return tau_of(SmokeLayer(field.density, np.zeros((*field.density.shape, 3))), height, width)


@pytest.mark.parametrize("shape", SHAPES)
def test_fields_are_densities_that_seeds_fix(shape):
    for seed in range(6):
        tau = density(seed, 60, 80, shape)
        assert tau.shape == (60, 80)
        assert np.isfinite(tau).all() and tau.min() >= 0
        assert np.array_equal(tau, density(seed, 60, 80, shape))
        assert not np.array_equal(tau, density(seed + 100, 60, 80, shape))


@pytest.mark.parametrize("shape", SHAPES)
def test_fields_look_the_same_at_every_resolution(shape):
    errors = []
    for seed in range(6):
        small, large = density(seed, 180, 240, shape), density(seed, 720, 960, shape)
        shrunk = large.reshape(180, 4, 240, 4).mean((1, 3))
        errors.append(np.abs(shrunk - small).mean() / max(large.mean(), 1e-3))
    assert np.mean(errors) < 0.06


def test_a_plume_widens_on_its_way_up():
    narrow = wide = 0.0
    for seed in range(80):
        rows = (density(seed, 96, 96, "plume") > 0.3).sum(1)
        used = np.flatnonzero(rows)
        if len(used) > 20:
            middle = len(used) // 2
            wide += rows[used[:middle]].mean()
            narrow += rows[used[middle:]].mean()
    assert wide > 1.1 * narrow > 0


# --- procedural smoke


def test_smoke_is_visible_in_range_and_fixed_by_its_seed():
    smoke = ProceduralSmoke()
    for seed in range(12):
        pixels = photo(seed)
        smoky, mask, tau = laid(smoke, pixels, seed)
        assert np.array_equal(smoky, laid(smoke, pixels, seed)[0])
        assert tau.min() >= 0 and np.isfinite(tau).all()
        assert coverage(opacity(tau)) >= 0.03
        assert np.abs(opacity(tau) * 255 - mask).max() <= 0.51
        assert np.abs(smoky.astype(int) - pixels).mean() > 0.6
        layer = smoke.layer(pixels, Dice(seed))
        assert 0 <= layer.airlight.min() <= layer.airlight.max() <= 1


@pytest.mark.parametrize("size", [(8, 8), (1, 40), (64, 8000), (8000, 64), (8, 3000), (333, 1023)])
@pytest.mark.parametrize("model", ["procedural", "layered"])
def test_pictures_of_any_shape_get_smoke(size, model):
    smoke = ProceduralSmoke() if model == "procedural" else LiftedSmoke(shipped_layers())
    pixels = np.full((*size, 3), 90, np.uint8)
    for seed in range(12):
        smoky, mask, tau = laid(smoke, pixels, seed, np.float64(1.2))
        assert smoky.shape == pixels.shape and mask.shape == size
        assert np.isfinite(tau).all() and (tau[tau != 0] > 1e-9).all()


def test_opencv_keeps_no_threads_that_a_fork_would_lose():
    assert cv2.getNumThreads() == 1


def test_smokes_differ_in_amount_and_colour():
    layers = [ProceduralSmoke().layer(photo(0, 48, 64), Dice(n)) for n in range(36)]
    amount = [layer.opacity.mean() for layer in layers]
    assert min(amount) < 0.15 and max(amount) > 0.7
    brightness = [
        (layer.airlight.mean(-1) * layer.opacity).sum() / layer.opacity.sum() for layer in layers
    ]
    assert min(brightness) < 0.3 and max(brightness) > 0.8


@QUICK
@given(seeds, st.floats(0, 3))
def test_strength_scales_density_and_zero_is_the_photo(seed, strength):
    pixels = photo(3, 48, 64)
    _, _, one = laid(ProceduralSmoke(), pixels, seed)
    _, _, more = laid(ProceduralSmoke(), pixels, seed, strength)
    np.testing.assert_allclose(more, strength * one, rtol=1e-5)
    smoky, mask, _ = laid(ProceduralSmoke(), pixels, seed, 0.0)
    assert np.array_equal(smoky, pixels) and not mask.any()


@pytest.mark.parametrize("size", [(90, 120), (700, 500)])
def test_pixels_without_smoke_are_untouched(size):
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    untouched = 0
    for seed in range(6):
        smoky, mask, tau = laid(ProceduralSmoke(("plume",), (1.0,)), pixels, seed)
        empty = tau == 0
        assert np.array_equal(smoky[empty], pixels[empty]) and not mask[empty].any()
        untouched += empty.mean()
    assert untouched > 1


def as_batch(pixels):
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 127.5 - 1


@pytest.mark.parametrize("size", [(90, 120), (3000, 300)])
def test_smoke_without_scatter_obeys_the_equation(size):
    """Against the equation itself, over cells enlarged by a library of its own."""
    pixels = photo(9, *size)
    layer = SmokeLayer(4 * random(1, *grid_shape(*size)) ** 4, random(2, *grid_shape(*size), 3))
    smoky = pixels.copy()
    _, tau = layer.lay(smoky, 0.7, keep_density=True)
    side, (height, width) = cell_px(*size), size
    parts = [torch.from_numpy(part)[None] for part in (layer.density[None], layer.airlight)]
    airlight = torch.nn.functional.interpolate(
        parts[1].movedim(-1, 1) * 2 - 1, scale_factor=side, mode="bilinear"
    )
    expected = add_smoke(
        as_batch(pixels), torch.from_numpy(tau)[None, None], airlight[..., :height, :width]
    )
    difference = (as_batch(smoky) - expected).abs() * 127.5
    # Half a level is rounding of the picture, as much, where smoke is dense, that of the airlight,
    # and, where this is enlarged, as much again.
    assert float(difference.max()) <= (1.05 if cell_px(*size) == 1 else 1.55)
    assert float(difference.mean()) <= 0.35


@QUICK
@given(seeds, st.sampled_from([(90, 120), (384, 200), (700, 500)]), st.floats(0.2, 2))
def test_a_batch_gets_the_same_smoke_as_a_picture(seed, size, strength):
    """Scattering and finer detail are in it, too."""
    pixels, smoke = photo(seed, *size), ProceduralSmoke()
    layer = smoke.over(scene_of(pixels), *size, Dice(seed))
    smoky = pixels.copy()
    _, tau = layer.lay(smoky, strength, keep_density=True)

    class Same(ProceduralSmoke):
        def over(self, *_):
            return layer

    made = add_to_batch(Same(), as_batch(pixels), seed, strength)
    np.testing.assert_allclose(made.density[0, 0], tau, atol=2e-4)
    difference = (as_batch(smoky) - made.image).abs() * 127.5
    assert float(difference.mean()) < 0.5 and float(difference.max()) < 4


def test_a_batch_is_drawn_picture_by_picture():
    clean = torch.cat([as_batch(photo(n, 48, 64)) for n in range(4)])
    strength = torch.tensor([1.0, 0.0, 0.5, 1.0])
    made = add_to_batch(ProceduralSmoke(), clean, 4, strength)
    whole = add_to_batch(ProceduralSmoke(), clean, 4)
    assert made.image.shape == made.airlight.shape == clean.shape
    assert float(made.image.abs().max()) <= 1 and float(made.airlight.abs().max()) <= 1
    torch.testing.assert_close(made.density, whole.density * strength.view(-1, 1, 1, 1))
    assert torch.equal(made.image[1], clean[1])
    assert not torch.equal(whole.density[0], whole.density[3])
    assert torch.equal(made.image, add_to_batch(ProceduralSmoke(), clean, 4, strength).image)
    assert add_to_batch(ProceduralSmoke(), clean[:0], 4).image.shape == (0, 3, 48, 64)


def test_procedural_smoke_looks_the_same_at_every_resolution():
    small = photo(11, 96, 128)
    large = small.repeat(8, 0).repeat(8, 1)
    for seed in range(8):
        few, many = (laid(ProceduralSmoke(), pixels, seed)[2] for pixels in (small, large))
        shrunk = many.reshape(96, 8, 128, 8).mean((1, 3))
        assert np.abs(shrunk - few).mean() / few.mean() < 0.08


# --- detail finer than the grid


def test_detail_is_about_one_and_shows_where_a_picture_is_large_enough():
    assert detail_tile(320) is None
    faint, full, fine = (detail_tile(px) for px in (420, 640, 4000))
    assert faint.std() < full.std() < fine.std() < 0.1
    for tile in (faint, full, fine):
        assert abs(tile.mean() - 1) < 0.01 and tile.min() >= 0
        assert np.array_equal(tile[:DETAIL_PX], tile[DETAIL_PX : 2 * DETAIL_PX])
        # Where it begins anew there is no seam.
        steps = np.abs(np.diff(tile[:, :1024], axis=1)).mean(0)
        assert steps[DETAIL_PX - 1] < 1.5 * steps.mean()


def test_detail_is_laid_from_its_place_on_and_rises():
    flat = SmokeLayer(np.ones((4, 4), np.float32), np.zeros((4, 4, 3), np.float32))
    still, moved, risen = (
        tau_of(SmokeLayer(flat.density, flat.airlight, 0.0, place, up), 800, 800)
        for place, up in (((0.0, 0.0), 0.0), ((0.25, 0.5), 0.0), ((0.0, 0.0), 0.02))
    )
    assert 0.01 < still.std() < 0.1
    np.testing.assert_allclose(moved[:300, :250], still[128:428, 256:506], atol=1e-6)
    # What was 16 px below has come up.
    np.testing.assert_allclose(risen[:700], still[16:716], atol=1e-6)


def test_blocks_put_together_are_the_whole():
    """A picture of several blocks either way."""
    pixels = photo(0, 600, 4500)
    layer = ProceduralSmoke(("veil",), (1.0,)).layer(pixels, Dice(3))
    tau = tau_of(layer, 600, 4500)
    steps_down, steps_across = (np.abs(np.diff(tau, axis=axis)) for axis in (0, 1))
    for block in (252, 504):
        assert steps_down[block - 1].mean() < 1.5 * steps_down.mean()
    assert steps_across[:, 2039].mean() < 1.5 * steps_across.mean()
    assert (tau > 0).all()
