"""What smoke is built of: laws of its noise, its grid, and how fields are resampled."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wisp.smoke import Dice
from wisp.smoke.noise import (
    MOST_CELLS,
    blur,
    cell_px,
    enlarged,
    enlarged_rows,
    fbm,
    grid_shape,
    noise_at,
    resize,
    rows_of,
    upper,
    warp,
)

QUICK = settings(max_examples=20, deadline=None)
seeds = st.integers(0, 2**31)
sides = st.integers(1, 60)


def random(seed, *shape):
    return np.random.default_rng(seed).random(shape, np.float32)


@QUICK
@given(sides, sides, sides, sides)
def test_resampling_keeps_constants(rows, columns, height, width):
    even = np.full((rows, columns), 2.5, np.float32)
    for field in (resize(even, height, width), rows_of(even, height, width, 0, height)):
        assert field.shape == (height, width)
        np.testing.assert_allclose(field, 2.5, atol=1e-5)


@QUICK
@given(seeds, st.integers(1, 30), st.integers(1, 30), st.integers(1, 9), st.booleans(), st.data())
def test_a_part_is_enlarged_as_of_the_whole(seed, rows, columns, side, smooth, data):
    field = random(seed, rows, columns, 2)
    whole = enlarged(field, side, (slice(0, rows), slice(0, columns)), smooth)
    assert whole.shape == (rows * side, columns * side, 2)
    top, left = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, columns - 1))
    bottom, right = data.draw(st.integers(top + 1, rows)), data.draw(st.integers(left + 1, columns))
    part = enlarged(field, side, (slice(top, bottom), slice(left, right)), smooth)
    window = whole[top * side : bottom * side, left * side : right * side]
    np.testing.assert_allclose(part, window, atol=1e-5)
    first = data.draw(st.integers(0, rows * side - 1))
    lines = enlarged_rows(field, side, first, rows * side, columns * side)
    np.testing.assert_allclose(
        lines, enlarged(field, side, (slice(0, rows), slice(0, columns)))[first:], atol=1e-5
    )


@QUICK
@given(seeds, sides, sides, st.integers(1, 200), st.integers(1, 200), st.data())
def test_rows_are_those_of_the_whole(seed, rows, columns, height, width, data):
    field = random(seed, rows, columns)
    top = data.draw(st.integers(0, height - 1))
    bottom = data.draw(st.integers(top + 1, height))
    found = rows_of(field, height, width, top, bottom)
    shrinks = height < rows and width < columns
    how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    whole = cv2.resize(field, (width, height), interpolation=how)
    np.testing.assert_allclose(found, whole[top:bottom], atol=1e-4)


@pytest.mark.parametrize("side", [2, 3, 8, 12, 20])
def test_smooth_enlargement_keeps_lines_straight_and_invents_no_smoke(side):
    rows, columns = (slice(0, count) for count in (4, 20))
    ramp = np.arange(20, dtype=np.float32)[None].repeat(4, 0)
    found = enlarged(ramp, side, (rows, columns), smooth=True)
    expected = (np.arange(20 * side) + 0.5) / side - 0.5
    inner = slice(2 * side, -2 * side)
    np.testing.assert_allclose(
        found[:, inner], expected[None, inner].repeat(4 * side, 0), atol=1e-4
    )
    spot = np.zeros((9, 9), np.float32)
    spot[4, 4] = 1.0
    large = enlarged(spot, side, (slice(0, 9), slice(0, 9)), smooth=True)
    assert large.min() == 0 and large.max() <= 1
    assert large.sum() == pytest.approx(side**2, rel=1e-4)
    reach = np.flatnonzero(large.any(0))
    assert reach[0] >= 2 * side and reach[-1] < 7 * side
    if side > 2:  # slopes change little by little
        lines = enlarged(spot, side, (slice(0, 9), slice(0, 9)))
        bends = [np.abs(np.diff(field, 2)).max() for field in (large, lines)]
        assert bends[0] < 0.5 * bends[1]


@QUICK
@given(seeds, st.floats(0.002, 0.2))
def test_a_blur_of_any_width_is_gaussian(seed, sigma):
    """Wide ones, which are made on a reduced field, as well."""
    field = cv2.GaussianBlur(random(seed, 160, 200), (0, 0), 2)
    exact = field
    if sigma * 200 >= 0.3:
        exact = cv2.GaussianBlur(field, (0, 0), sigma * 200, borderType=cv2.BORDER_REFLECT)
    assert np.abs(blur(field, sigma) - exact).max() < 0.12 * field.std()


def test_a_warp_by_nothing_is_nothing_and_by_a_cell_a_shift():
    field = random(0, 20, 30)
    np.testing.assert_allclose(warp(field, 0.0, 0.0), field, atol=1e-5)
    np.testing.assert_allclose(warp(field, 2 / 30, -1 / 30)[1:, :-2], field[:-1, 2:], atol=1e-4)


def test_noise_has_unit_strength_and_finer_octaves_are_weaker():
    for billow in (False, True):
        fields = np.stack([fbm(Dice(n), 96, 128, billow=billow) for n in range(40)])
        assert abs(float(fields.mean())) < 0.25
        assert 0.8 < float(fields.std()) < 1.2
        spectrum = np.abs(np.fft.rfft2(fields - fields.mean((1, 2), keepdims=True))) ** 2
        spectrum = spectrum.mean(0)
        assert spectrum[1:6, 1:6].mean() > 30 * spectrum[20:40, 20:40].mean()


@QUICK
@given(seeds, st.floats(1, 14), st.integers(1, 6), st.booleans())
def test_noise_is_the_same_on_any_grid_and_of_any_aspect(seed, cells, octaves, billow):
    large, small, wide = (
        fbm(Dice(seed), rows, columns, cells=cells, octaves=octaves, billow=billow)
        for rows, columns in ((384, 384), (192, 192), (100, 384))
    )
    np.testing.assert_allclose(wide, large[:100], atol=1e-3)
    shrunk = large.reshape(192, 2, 192, 2).mean((1, 3))
    assert np.corrcoef(shrunk.ravel(), small.ravel())[0, 1] > 0.93


def test_octaves_and_cells_say_how_fine_noise_is():
    def roughness(**how):
        fields = [fbm(Dice(n), 128, 128, **how) for n in range(12)]
        return [np.mean([np.abs(np.diff(f, axis=axis)).mean() for f in fields]) for axis in (0, 1)]

    few, many = roughness(octaves=2)[0], roughness(octaves=5)[0]
    assert many > 1.4 * few
    assert roughness(cells=8.0, octaves=2)[0] > 1.6 * few
    down, across = roughness(octaves=2, stretch=(1.0, 3.0))
    # Turned tiles are as often as not, so that both axes of a tile are met alike.
    assert across > 2 * down


def test_noise_at_places_is_the_noise():
    y, x = np.mgrid[0:64, 0:64].astype(np.float32) / 16
    field = np.stack([noise_at(Dice(n), x, y, octaves=4) for n in range(30)])
    assert 0.7 < field.std() < 1.3
    near = np.abs(np.diff(field, axis=2)).mean()
    assert near < 0.35 * np.abs(field[:, :, 32:] - field[:, :, :32]).mean()


@QUICK
@given(seeds, st.integers(1, 400), st.floats(0, 1))
def test_upper_is_a_quantile(seed, count, share):
    values = random(seed, count)
    lower, higher = np.quantile(values, share, method="lower"), np.quantile(values, share)
    assert lower - 1e-6 <= upper(values, share)
    assert (values < upper(values, share)).mean() <= share
    assert upper(values, share) >= higher or (values <= higher).mean() >= share


@QUICK
@given(st.integers(1, 20_000), st.integers(1, 20_000))
def test_a_grid_has_cells_of_whole_pixels_and_is_no_finer_than_the_picture(height, width):
    rows, columns = grid_shape(height, width)
    side = cell_px(height, width)
    assert max(rows, columns) <= MOST_CELLS
    assert (rows - 1) * side < height <= rows * side
    assert (columns - 1) * side < width <= columns * side
    if max(height, width) <= MOST_CELLS:
        assert (rows, columns) == (height, width)
