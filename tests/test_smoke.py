import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scenes import tau_of
from wisp.smoke import (
    SHAPES,
    ProceduralSmoke,
    RowBlocks,
    add_smoke,
    box_of,
    changed,
    coverage,
    opacity,
)
from wisp.smoke.detail import Detail
from wisp.smoke.noise import Dice, fbm, grid_shape, resample_lines, resample_matrix

QUICK = settings(max_examples=20, deadline=None)
seeds = st.integers(0, 2**31)
strengths = st.floats(0, 3)


def test_changed_by_hand():
    before = torch.zeros(2, 5, 3, dtype=torch.uint8)
    after = before.clone()
    after[0, 0, 1] = 31  # 0.12 of 255 is 30.6
    after[1, 2] = 30
    after[1, 4] = 255
    assert changed(before, after) == changed(after, before) == pytest.approx(0.2)
    assert changed(before, after, level=0.1) == pytest.approx(0.3)
    assert changed(before, before) == 0


def test_box_and_coverage_by_hand():
    cover = torch.zeros(10, 20)
    cover[2:5, 7:12] = 0.5
    cover[2, 7] = 0.04
    assert box_of(cover) == (7, 2, 5, 3)
    assert coverage(cover) == pytest.approx(14 / 200)
    assert box_of(torch.zeros(1, 1, 4, 4)) is None


# --- textures and fields


@pytest.mark.parametrize("sharp", [False, True])
@pytest.mark.parametrize(("source", "target"), [(17, 17), (17, 60), (60, 17), (300, 11), (9, 1000)])
def test_resampling_keeps_constants(source, target, sharp):
    matrix = resample_matrix(source, target, sharp)
    assert matrix.shape == (target, source)
    torch.testing.assert_close(matrix @ torch.ones(source), torch.ones(target))
    if not sharp:
        assert float(matrix.min()) >= 0


def test_sharp_resampling_is_the_identity_at_scale_one_and_exact_on_ramps():
    torch.testing.assert_close(resample_matrix(9, 9, sharp=True), torch.eye(9))
    ramp = resample_matrix(20, 60, sharp=True) @ torch.arange(20.0)
    expected = (torch.arange(60) + 0.5) / 3 - 0.5
    torch.testing.assert_close(ramp[10:50], expected[10:50], atol=1e-4, rtol=0)


def test_row_blocks_put_together_are_the_whole():
    blocks = RowBlocks(torch.rand(3, 20, 30), 101, 77)
    parts = torch.cat([blocks(top, min(101, top + 16)) for top in range(0, 101, 16)], dim=1)
    torch.testing.assert_close(parts, blocks(0, 101), atol=1e-6, rtol=0)


def test_row_blocks_know_their_columns_and_give_any_window():
    grid = torch.zeros(20, 30)
    grid[6:9, 11:14] = torch.rand(3, 3) + 0.1
    blocks = RowBlocks(grid, 200, 300)
    whole = blocks(0, 200)
    for top in range(0, 200, 40):
        left, right = blocks.columns(top, top + 40)
        used = whole[top : top + 40].any(0).nonzero().flatten()
        if not len(used):
            assert (left, right) == (0, 0)
            continue
        assert int(used[0]) - 2 <= left <= int(used[0]) and 0 <= right - int(used[-1]) - 1 <= 2
        window = blocks(top, top + 40, left, right)
        torch.testing.assert_close(window, whole[top : top + 40, left:right])


@QUICK
@given(st.integers(2, 40), st.integers(1, 300), st.integers(0, 10_000))
def test_outside_its_columns_a_row_block_is_nothing(cells, width, seed):
    """Shrunk or enlarged, with smoke at the borders or not."""
    random = torch.Generator().manual_seed(seed)
    grid = torch.rand(6, cells, generator=random) * (torch.rand(cells, generator=random) < 0.2)
    blocks = RowBlocks(grid, 48, width)
    left, right = blocks.columns(0, 16)
    rows = blocks(0, 16)
    assert 0 <= left <= right <= width
    assert not rows[:, :left].any() and not rows[:, right:].any()


@QUICK
@given(st.integers(2, 60), st.integers(1, 400), st.booleans())
def test_resampling_in_parts_is_the_product_with_the_whole_matrix(source, target, sharp):
    lines = torch.rand(2, 5, source, generator=torch.Generator().manual_seed(source))
    expected = lines @ resample_matrix(source, target, sharp).T
    torch.testing.assert_close(resample_lines(lines, target, sharp), expected, atol=1e-5, rtol=0)


@QUICK
@given(
    seeds,
    st.integers(5, 60),
    st.integers(5, 60),
    st.floats(1, 9),
    st.integers(1, 5),
    st.floats(1, 4),
    st.booleans(),
)
def test_fbm_is_the_sum_of_its_octaves_drawn_one_after_the_other(
    seed, rows, columns, cells, octaves, stretch, billow
):
    """Written out, octave by octave and weight by weight; the random numbers in the same order, for
    all data sets that were ever made depend on it."""

    def kernel(x):
        x = abs(x)
        if x < 1:
            return 1.5 * x**3 - 2.5 * x**2 + 1
        return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0

    def weights(points, count, frequency, shift):
        places = [(i + 0.5) / max(rows, columns) * frequency + 1 + shift for i in range(points)]
        return np.array([[kernel(place - k) for k in range(count)] for place in places])

    dice = Dice(torch.Generator().manual_seed(seed))
    total, power = np.zeros((rows, columns)), 0.0
    for octave in range(octaves):
        frequency, amplitude = cells * 2**octave, 0.5**octave
        across, down = (max(2, math.ceil(f)) + 4 for f in (frequency, frequency / stretch))
        lattice = dice.normal(down, across).numpy()
        shift_x, shift_y = dice.uniform(), dice.uniform()
        layer = weights(rows, down, frequency / stretch, shift_y) @ lattice
        layer = layer @ weights(columns, across, frequency, shift_x).T
        total += amplitude * (0.9 - 1.6 * abs(layer) if billow else layer)
        power += (0.65 * amplitude) ** 2
    dice = Dice(torch.Generator().manual_seed(seed))
    made = fbm(
        dice, rows, columns, cells=cells, octaves=octaves, stretch=(1.0, stretch), billow=billow
    )
    np.testing.assert_allclose(made.numpy(), total / math.sqrt(power), atol=5e-4)


def test_noise_has_unit_strength_and_finer_octaves_are_weaker():
    dice = Dice(torch.Generator().manual_seed(0))
    fields = torch.stack([fbm(dice, 96, 128) for _ in range(12)])
    assert abs(float(fields.mean())) < 0.25
    assert 0.7 < float(fields.std()) < 1.4
    spectrum = torch.fft.rfft2(fields - fields.mean((1, 2), keepdim=True)).abs().square().mean(0)
    assert float(spectrum[1:6, 1:6].mean()) > 30 * float(spectrum[20:40, 20:40].mean())


def density(seed, height, width, shape):
    """Optical density [height, width] of one ``shape``, as it is laid over a picture."""
    field = SHAPES[shape](Dice(torch.Generator().manual_seed(seed)), *grid_shape(height, width))
    return RowBlocks(field.density, height, width)(0, height)


@pytest.mark.parametrize("shape", SHAPES)
def test_fields_are_densities_that_seeds_fix(shape):
    for seed in range(6):
        tau = density(seed, 60, 80, shape)
        again = density(seed, 60, 80, shape)
        other = density(seed + 100, 60, 80, shape)
        assert tau.shape == (60, 80)
        assert bool(torch.isfinite(tau).all())
        assert float(tau.min()) >= 0
        assert torch.equal(tau, again)
        assert not torch.equal(tau, other)


@pytest.mark.parametrize("shape", SHAPES)
def test_fields_look_the_same_at_every_resolution(shape):
    small = density(5, 90, 120, shape)
    large = density(5, 360, 480, shape)
    shrunk = torch.nn.functional.avg_pool2d(large[None], 4)[0]
    error = (shrunk - small).abs().mean() / large.mean().clamp(min=1e-3)
    assert float(error) < 0.06


def test_a_plume_widens_on_its_way_up():
    narrow = wide = 0.0
    for seed in range(24):
        tau = density(seed, 96, 96, "plume")
        rows = (tau > 0.3).float().sum(1)
        used = rows.nonzero().flatten()
        if len(used) > 20:
            middle = len(used) // 2
            wide += float(rows[used[:middle]].mean())
            narrow += float(rows[used[middle:]].mean())
    assert wide > 1.1 * narrow > 0


# --- procedural smoke


def photo(seed, height=90, width=120):
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_smoke_is_visible_in_range_and_fixed_by_its_seed():
    smoke = ProceduralSmoke()
    clean = torch.cat([photo(n) for n in range(12)])
    made = smoke.add(clean, torch.Generator().manual_seed(1))
    again = smoke.add(clean, torch.Generator().manual_seed(1))
    assert torch.equal(made.image, again.image)
    assert made.image.shape == clean.shape
    assert made.density.shape == (12, 1, 90, 120)
    assert float(made.image.abs().max()) <= 1
    assert float(made.airlight.abs().max()) <= 1
    assert float(made.density.min()) >= 0
    for tau in made.density:
        assert coverage(opacity(tau)) >= 0.03
    changed = (made.image - clean).abs().mean((1, 2, 3))
    assert float(changed.min()) > 0.005


def test_smokes_differ_in_amount_and_colour():
    clean = photo(0, 48, 64).expand(36, -1, -1, -1)
    made = ProceduralSmoke().add(clean, torch.Generator().manual_seed(2))
    amount = opacity(made.density).mean((1, 2, 3))
    assert float(amount.min()) < 0.15
    assert float(amount.max()) > 0.7
    weight = opacity(made.density)
    colour = ((made.airlight + 1) / 2 * weight).sum((2, 3)) / weight.sum((2, 3))
    brightness = colour.mean(1)
    assert float(brightness.min()) < 0.3
    assert float(brightness.max()) > 0.8


def test_strength_scales_density_and_zero_is_the_photo():
    clean = photo(3)
    smoke = ProceduralSmoke()
    one = smoke.add(clean, torch.Generator().manual_seed(4), 1.0)
    half = smoke.add(clean, torch.Generator().manual_seed(4), 0.5)
    none = smoke.add(clean, torch.Generator().manual_seed(4), 0.0)
    torch.testing.assert_close(half.density, one.density / 2)
    assert torch.equal(none.image, clean)
    assert float(none.density.max()) == 0
    two = torch.cat([clean, clean])
    mixed = smoke.add(two, torch.Generator().manual_seed(4), torch.tensor([1.0, 0.0]))
    assert torch.equal(mixed.image[0], one.image[0])
    assert torch.equal(mixed.image[1], clean[0])


def test_pixels_without_smoke_are_untouched():
    made = [
        (clean, ProceduralSmoke(("plume",), (1.0,)).add(clean, torch.Generator().manual_seed(n)))
        for n, clean in ((n, photo(n)) for n in range(6))
    ]
    assert sum(int((smoky.density == 0).sum()) for _, smoky in made) > 1000
    for clean, smoky in made:
        empty = (smoky.density == 0).expand_as(clean)
        assert torch.equal(smoky.image[empty], clean[empty])


def test_smoke_without_scatter_obeys_the_equation():
    clean = photo(9)
    for seed in range(40):
        layer = ProceduralSmoke().layer(clean[0], torch.Generator().manual_seed(seed))
        if layer.scatter == 0:
            break
    picture = clean[0].clone()
    tau, mask = layer.apply(picture, 0.7)
    expected = add_smoke(clean, tau[None, None], layer.airlight_rows(0, 90)[None])
    torch.testing.assert_close(picture[None], expected, atol=1e-5, rtol=0)
    assert torch.equal(mask, (opacity(tau) * 255 + 0.5).to(torch.uint8))


def test_eight_bit_pictures_get_the_same_smoke():
    coarse = torch.rand(1, 3, 10, 8, generator=torch.Generator().manual_seed(0)) * 255
    smooth = torch.nn.functional.interpolate(coarse, (200, 150), mode="bilinear")[0]
    pixels = smooth.to(torch.uint8).permute(1, 2, 0).contiguous()
    floats = pixels.permute(2, 0, 1).float() / 127.5 - 1
    smoke = ProceduralSmoke()
    reference = floats.clone()
    smoke.layer(floats, torch.Generator().manual_seed(7)).apply(reference)
    smoke.layer(pixels, torch.Generator().manual_seed(7)).apply(pixels)
    difference = (pixels.permute(2, 0, 1).float() - (reference + 1) * 127.5).abs()
    # Half a level is rounding; the rest, that the colour of the scene is taken from fewer pixels.
    assert float(difference.max()) <= 1.5
    assert float(difference.mean()) <= 0.5


def test_procedural_smoke_looks_the_same_at_every_resolution():
    small = photo(11, 96, 128)
    large = torch.nn.functional.interpolate(small, scale_factor=8, mode="nearest")
    few, many = (
        tau_of(ProceduralSmoke().layer(scene[0], torch.Generator().manual_seed(8)))
        for scene in (small, large)
    )
    shrunk = torch.nn.functional.avg_pool2d(many[None], 8)[0]
    assert float((shrunk - few).abs().mean() / few.mean()) < 0.06
    fine = many - torch.nn.functional.avg_pool2d(many[None], 5, 1, 2)[0]
    assert float(fine.abs().max()) > 0  # there is detail below the grid


@pytest.mark.parametrize("risen_px", [0.0, 57.3, -20.5])
def test_detail_is_the_sum_of_its_octaves_at_any_place(risen_px):
    """At 1000 px two octaves show, the second faded in, and both go round the tile."""
    height, width = 1000, 900
    tile = torch.randn(256, 256, generator=torch.Generator().manual_seed(0))
    detail = Detail(tile, height, width, risen_px)

    def octave(number, cells, row, column):
        turned = tile.roll(37 * number, 0)
        y, x = ((place + 0.5) * cells / height for place in (row + risen_px, column))
        down, across = (np.array([1 - s, s]) for s in (t * t * (3 - 2 * t) for t in (y % 1, x % 1)))
        rows, columns = (np.array([int(np.floor(p)), int(np.floor(p)) + 1]) % 256 for p in (y, x))
        return float(down @ turned.numpy()[np.ix_(rows, columns)] @ across)

    for row, column in ((0, 0), (31, 899), (639, 317), (799, 500), (999, 899)):
        expected = (
            1 + 0.055 * octave(0, 320, row, column) + 0.25 * 0.035 * octave(1, 800, row, column)
        )
        top = row // 32 * 32
        found = detail(top, min(height, top + 32), 0, width)[row - top, column]
        assert float(found) == pytest.approx(max(0.0, expected), abs=2e-4)


def test_detail_interpolates_its_tile_and_rows_do_not_depend_on_the_block_they_are_asked_in():
    height, width = 75, 640
    tile = torch.randn(256, 256, generator=torch.Generator().manual_seed(0))
    detail = Detail(tile, height, width)
    # One octave shows at this size, in full: 320 cells along the long side, every second pixel.
    row, column = 70, 601
    smooth = [(0.25 * 0.25 * 2.5, 0.75 * 0.75 * 1.5)[(n % 2)] for n in (row, column)]
    down, across = (torch.tensor([1 - part, part]) for part in smooth)
    corner = tile[[35, 36]][:, [300 % 256, 301 % 256]]
    expected = 1 + 0.055 * float(down @ corner @ across)
    assert float(detail(64, 75, 0, width)[row - 64, column]) == pytest.approx(expected, abs=1e-5)
    assert not Detail(tile, 240, 320).visible
    # (to rounding: a sum over other rows is taken in another order)
    few, more = detail(64, 71, 0, width), detail(64, 75, 0, width)
    torch.testing.assert_close(few, more[:7], atol=1e-6, rtol=0)
