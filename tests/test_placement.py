"""Smoke that rises from a chosen box: its laws, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from scenes import tau_of
from wisp import load
from wisp.config import SynthConfig, parse_source
from wisp.data import Lift, write_bank
from wisp.errors import InputError
from wisp.jobs import synth
from wisp.models import CycleGANModel, DrawnModel, WorkingScale
from wisp.networks.generator import ResnetGenerator
from wisp.smoke import Dice, LiftedSmoke, ProceduralSmoke, SmokeLayer, SourceBox
from wisp.smoke.lifted import colours, folding
from wisp.smoke.placement import rising_plume

QUICK = settings(max_examples=15, deadline=None)
seeds = st.integers(0, 2**31)


@st.composite
def boxes(draw):
    width, height = draw(st.floats(0.03, 0.5)), draw(st.floats(0.04, 0.3))
    x = draw(st.floats(0.1, 0.9 - width))
    y = draw(st.floats(0.45, 1.0 - height))
    return SourceBox(x, y, width, height)


def cloud(seed=0, height=64, width=96):
    """A layer of torn smoke of one colour, with none at its left."""
    noise = ProceduralSmoke(shapes=("bank",), weights=(1.0,))
    drawn = noise.layer(np.full((height, width, 3), 128, np.uint8), Dice(seed))
    density = drawn.density * np.linspace(-0.3, 1, width, dtype=np.float32).clip(min=0)
    return SmokeLayer(density, np.full((height, width, 3), 0.75, np.float32))


SMOKES = {"procedural": ProceduralSmoke(), "layered": LiftedSmoke([cloud(n) for n in range(4)])}


def drawn(smoke, box, seed, height=150, width=200):
    scene = np.full((height, width, 3), 64, np.uint8)
    return tau_of(smoke.rising_from(box).layer(scene, Dice(seed)), height, width)


@pytest.mark.parametrize("kind", SMOKES)
@QUICK
@given(seeds, boxes(), st.sampled_from([(96, 72), (150, 200), (600, 420)]))
@example(0, SourceBox(0.25, 0.5625, 0.49609375, 0.04296875), (150, 200))  # wide and flat
def test_smoke_begins_in_the_box_and_there_is_none_below(kind, seed, box, size):
    height, width = size
    tau = drawn(SMOKES[kind], box, seed, height, width)
    bottom = (box.y + box.height) * height
    assert float(tau[int(np.ceil(bottom)) :].sum()) == 0
    inside = slice(int(box.y * height), int(np.ceil(bottom)))
    across = slice(int(box.x * width), int(np.ceil((box.x + box.width) * width)))
    assert float(tau[inside, across].max()) > 0.5
    # The lowest smoke hangs over the box, not beside it.
    last = np.flatnonzero((tau > 0.2).any(1))[-1]
    lowest = np.flatnonzero(tau[last] > 0.2).mean() / width
    assert box.x - 0.02 <= lowest <= box.x + box.width + 0.02
    assert (last + 1) / height > box.y


@pytest.mark.parametrize("kind", SMOKES)
def test_a_plume_is_densest_at_its_source_and_as_wide_and_widens_above(kind):
    box = SourceBox(0.42, 0.8, 0.16, 0.15)
    mean = np.mean([drawn(SMOKES[kind], box, seed) for seed in range(12)], 0)
    densest = mean.max(1)
    assert 0.8 <= float(densest.argmax() + 0.5) / 150 <= 0.95
    assert float(densest[20]) < 0.5 * float(densest.max())

    def spread_px(row):
        weight = mean[row] / mean[row].sum()
        centre = (weight * np.arange(200)).sum()
        return np.sqrt((weight * (np.arange(200) - centre) ** 2).sum())

    # A plume of even density as wide as the box has a deviation of 32 / 12^0.5 = 9 px.
    assert spread_px(122) == pytest.approx(9, rel=0.3)
    assert spread_px(20) > 1.5 * spread_px(122)


@QUICK
@given(seeds, boxes())
def test_as_much_smoke_passes_at_every_height(seed, box):
    """Width grows linearly, density falls as 1 / width: their product is the same everywhere."""
    plume = rising_plume(Dice(seed), 300, 400, box)
    floor = int((box.y + box.height - 0.5 * box.height) * 300)
    flux = (plume.half_width * plume.thinning)[: floor + 1, 0]
    np.testing.assert_allclose(flux, flux[-1], rtol=1e-5)
    steps = np.diff(plume.half_width[: int(box.y * 300) - 10, 0])
    np.testing.assert_allclose(steps, steps[0], atol=1e-5, rtol=1e-2)
    assert steps[0] < 0


def test_what_a_plume_is_filled_with_keeps_its_flux():
    """Apart from what leaves at the sides, rows of the filled plume sum to the same."""
    box = SourceBox(0.45, 0.85, 0.1, 0.1)
    sums = []
    for seed in range(20):
        plume = rising_plume(Dice(seed), 300, 400, box)
        density = plume.fill(np.ones((300, 400), np.float32)).density
        if float(density[:, :4].sum() + density[:, -4:].sum()) == 0:
            sums.append(density.sum(1)[40:240:40])
    mean = np.mean(sums, 0)
    assert len(sums) > 5
    assert float(mean.max() / mean.min()) < 1.3


@pytest.mark.parametrize("kind", SMOKES)
def test_seeds_draw_other_plumes_and_sizes_the_same_one(kind):
    box = SourceBox(0.3, 0.7, 0.2, 0.15)
    small = drawn(SMOKES[kind], box, 1)
    assert np.array_equal(small, drawn(SMOKES[kind], box, 1))
    assert np.abs(small - drawn(SMOKES[kind], box, 2)).mean() > 0.05
    large = drawn(SMOKES[kind], box, 1, 600, 800)
    shrunk = large.reshape(150, 4, 200, 4).mean((1, 3))
    assert np.abs(shrunk - small).mean() < 0.08 * small.mean()


def test_the_photo_is_itself_wherever_there_is_no_smoke(tmp_path):
    write_bank(tmp_path / "layers.zip", [Lift(cloud(), "a", "0" * 64, "a", 0.9)])
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 255, (150, 200, 3), np.uint8))
    for model in ("procedural", tmp_path / "layers.zip"):
        smoky = load(model).placed("0.4,0.6,0.2,0.1").add_smoke(photo, seed=3)
        empty = smoky.density == 0
        assert empty[105:].all() and empty.mean() > 0.3 and not empty[95, 60:140].all()
        assert np.array_equal(np.asarray(smoky.image)[empty], np.asarray(photo)[empty])
        assert not np.asarray(smoky.mask)[empty].any()


def test_the_border_of_a_layer_shows_nowhere():
    """A layer that is cut off at its sides is laid into a plume that fades out at its own."""
    full = SmokeLayer(np.full((40, 60), 3.0, np.float32), np.full((40, 60, 3), 0.5, np.float32))
    tau = drawn(LiftedSmoke([full]), SourceBox(0.45, 0.8, 0.1, 0.1), 5, 300, 400)
    assert float(tau.max()) > 1
    assert np.abs(np.gradient(tau)).max() < 1.2


def test_colours_come_from_smoke_only():
    """What R says of the colour of no smoke means nothing, and must not be seen."""
    density = np.zeros((40, 60), np.float32)
    density[10:30, 20:40] = 3.0
    airlight = np.where(density > 0, np.float32(0.8), np.float32(0))[..., None].repeat(3, 2)
    filled = colours(SmokeLayer(density, airlight))
    assert np.abs(filled - 0.8).max() < 0.01
    folds = folding(SmokeLayer(density, airlight))
    assert folds.min() >= 0.25 and folds.max() <= 2.0
    even = folding(SmokeLayer(np.full((40, 60), 2.0, np.float32), airlight))
    np.testing.assert_allclose(even, 1, atol=1e-4)


# --- the flag


def test_a_box_is_four_numbers():
    assert parse_source("0.4,0.7, 0.1,.3") == (0.4, 0.7, 0.1, 0.3)
    assert parse_source("0.7,0.9,0.3,0.1") == (0.7, 0.9, 0.3, 0.1)  # 1 and a little, in binary


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("0.1,0.2,0.3", "give x,y,w,h as fractions"),
        ("a,b,c,d", "give x,y,w,h as fractions"),
        ("0.1,0.2,nan,0.1", "give x,y,w,h as fractions"),
        ("0.1,0.2,0,0.1", "width 0 and height 0.1 has no area"),
        ("0.1,0.2,0.1,-0.1", "height -0.1 has no area"),
        ("0.9,0.2,0.3,0.1", "from 0.9 to 1.2 across"),
        ("-0.1,0.2,0.3,0.1", "from -0.1 to 0.2 across"),
        ("200,300,50,40", "outside the picture; give fractions"),
        ("0.4,0,0.1,0.05", "needs room above"),
    ],
)
def test_a_wrong_box_is_one_sentence_with_its_values(source, said, tmp_path):
    with pytest.raises(InputError) as caught:
        SynthConfig(("photos",), out=tmp_path / "d", source=source)
    assert said in str(caught.value) and f"--source {source}" in str(caught.value)
    with pytest.raises(InputError, match="--source"):
        load("procedural").placed(source)


def test_a_cyclegan_cannot_place_smoke(tmp_path):
    model = CycleGANModel("runs/gan", nn.Identity(), None, WorkingScale())
    with pytest.raises(InputError, match=r"runs/gan places smoke itself and cannot be steered"):
        model.placed("0.4,0.7,0.1,0.1")
    Image.new("RGB", (40, 30)).save(tmp_path / "photo.png")
    torch.save(ResnetGenerator(width=4, blocks=1).state_dict(), tmp_path / "gan.pth")
    config = SynthConfig(
        (str(tmp_path / "photo.png"),),
        out=tmp_path / "set",
        model=str(tmp_path / "gan.pth"),
        source="0.4,0.7,0.1,0.1",
    )
    with pytest.raises(InputError, match=r"--source 0.4,0.7,0.1,0.1: .*gan.pth places smoke"):
        synth.run(config)
    assert not (tmp_path / "set").exists()


def test_a_data_set_has_its_smoke_above_the_box_and_says_so(tmp_path):
    for number in range(3):
        noise = np.random.default_rng(number).integers(0, 255, (6, 8, 3), np.uint8)
        Image.fromarray(noise).resize((160, 120)).save(tmp_path / f"{number}.png")
    config = SynthConfig(
        (str(tmp_path),), out=tmp_path / "set", source="0.4,0.6,0.2,0.1", probe=False
    )
    out = synth.run(config).run
    masks = [np.asarray(Image.open(path)) for path in (out / "masks").rglob("*.png")]
    assert len(masks) == 3
    assert all(not mask[84:].any() and mask[72:84].max() > 100 for mask in masks)
    assert "rises from the box 0.4,0.6,0.2,0.1" in (out / "card.md").read_text()
    assert isinstance(load("procedural").placed("0,0,1,1"), DrawnModel)
