"""Layers lifted from photos: laws of the transplant, and the bank they are kept in."""

from __future__ import annotations

import io
import json
import pickle
import struct
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from labelled import write_class
from wisp import load
from wisp.checkpoint import save_checkpoint
from wisp.config import SynthConfig
from wisp.data import LayerBank, Lift, write_bank
from wisp.data.bank import decode_layer, encode_layer
from wisp.errors import InputError
from wisp.jobs import synth
from wisp.rundir import RunDir, write_json
from wisp.smoke import Dice, LiftedSmoke, SmokeLayer, SourceBox, lifted, visibility
from wisp.smoke.layer import coverage, mix, scene_of
from wisp.smoke.lifted import crop, mirror, relight, shade, shrink, smooth_airlight, stir
from wisp.smoke.visibility import drawn_until_seen, prominence

QUICK = settings(max_examples=20, deadline=None)
seeds = st.integers(0, 2**31)


def laid(smoke, pixels, seed, strength=1.0):
    """``pixels`` under smoke, and its τ."""
    smoky = pixels.copy()
    _, tau = smoke.layer(pixels, Dice(seed)).lay(smoky, strength, keep_density=True)
    return smoky, tau


def even(density, tone, height=48, width=64):
    """A layer of one density and one grey."""
    return SmokeLayer(
        *(
            np.full(shape, value, np.float32)
            for value, shape in ((density, (height, width)), (tone, (height, width, 3)))
        )
    )


def puff(seed=0, height=48, width=64):
    """A soft round cloud in an otherwise empty layer, of one colour with a gradient."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    cx, cy, radius = rng.uniform(20, width - 20), rng.uniform(16, height - 16), rng.uniform(8, 14)
    distance = ((x - cx) ** 2 + (y - cy) ** 2) / radius**2
    density = np.clip(2 * (1 - distance), 0, None).astype(np.float32)
    ramp = np.linspace(-0.05, 0.05, width, dtype=np.float32)[None, :, None]
    colour = rng.uniform(0.25, 0.95, 3).astype(np.float32)
    return SmokeLayer(density, np.tile(colour + ramp, (height, 1, 1)))


@QUICK
@given(seeds, st.integers(16, 90), st.integers(16, 90))
def test_a_crop_invents_no_smoke(seed, rows, columns):
    layer = puff(seed)
    found = crop(Dice(seed), layer, rows, columns)
    assert found.density.shape == (rows, columns) and found.airlight.shape == (rows, columns, 3)
    assert float(found.density.min()) >= 0
    assert float(found.density.max()) <= float(layer.density.max()) + 1e-5


@QUICK
@given(seeds, st.integers(240, 384), st.integers(240, 384), st.floats(*lifted._FAR))
def test_a_shrunk_layer_is_a_small_cloud_that_fades_to_its_border(seed, rows, columns, scale):
    """Of a layer that is all but opaque up to its border: the hardest to end without an edge."""
    full = even(5.0, 0.5)
    found = shrink(Dice(seed), full, rows, columns, scale)
    assert found.density.shape == (rows, columns) and found.airlight.shape == (rows, columns, 3)
    assert 0 <= float(found.density.min()) <= float(found.density.max()) <= 5.001
    seen = found.opacity
    down, across = (np.flatnonzero((seen > 0).any(axis)) for axis in (1, 0))
    assert len(down) <= round(rows * scale) and len(across) <= round(columns * scale)
    # Its outermost cells, wherever they lie, are as good as nothing.
    box = seen[down[0] : down[-1] + 1, across[0] : across[-1] + 1]
    rim = np.concatenate([box[0], box[-1], box[:, 0], box[:, -1]])
    assert float(rim.max()) < 0.1 * float(box.max())


def test_distant_smoke_covers_a_small_part_but_can_be_seen():
    smoke = LiftedSmoke([even(1.5, 0.75)], mixed=0.0, distant=1.0)
    pixels = np.full((216, 288, 3), 51, np.uint8)
    seen = []
    for seed in range(20):
        layer = smoke.layer(pixels, Dice(seed))
        assert 0.02 < coverage(layer.opacity) < 0.42
        seen.append(prominence(layer, scene_of(pixels)))
    assert min(seen) >= visibility.SMALL


def test_a_source_has_no_distance():
    box = SourceBox(0.4, 0.7, 0.2, 0.2)
    near, far = (
        LiftedSmoke([puff(1)], distant=share)
        .rising_from(box)
        .layer(np.full((48, 64, 3), 128, np.uint8), Dice(0))
        for share in (0.0, 1.0)
    )
    assert np.array_equal(near.density, far.density)


@QUICK
@given(seeds)
def test_mirroring_twice_is_nothing(seed):
    layer = puff(seed)
    again = mirror(mirror(layer))
    assert np.array_equal(again.density, layer.density)
    assert np.array_equal(again.airlight, layer.airlight)
    assert not np.array_equal(mirror(layer).density, layer.density)


@QUICK
@given(seeds, seeds)
def test_mixed_smoke_is_as_if_one_lay_over_the_other_in_small_parts(one, two):
    first, second = puff(one), puff(two)
    both, swapped = mix(first, second), mix(second, first)
    np.testing.assert_allclose(both.density, first.density + second.density)
    np.testing.assert_allclose(both.airlight, swapped.airlight, atol=1e-5)
    low = np.minimum(first.airlight, second.airlight)
    high = np.maximum(first.airlight, second.airlight)
    assert ((both.airlight >= low - 1e-5) & (both.airlight <= high + 1e-5)).all()
    alone = mix(first, SmokeLayer(np.zeros_like(first.density), second.airlight))
    smoke = first.density > 0.05
    np.testing.assert_allclose(alone.airlight[smoke], first.airlight[smoke], atol=1e-3)


def test_stirring_by_nothing_changes_nothing_and_by_something_keeps_the_range():
    layer = puff(3)
    still = stir(Dice(1), layer, 0.0)
    np.testing.assert_allclose(still.density, layer.density, atol=1e-4)
    moved = stir(Dice(1), layer, 0.03)
    assert np.abs(moved.density - layer.density).max() > 0.1
    assert 0 <= float(moved.density.min()) <= float(moved.density.max()) <= 2.0001


@QUICK
@given(seeds)
def test_a_smooth_airlight_keeps_the_smoke_and_loses_what_is_fine(seed):
    layer = puff(seed)
    stripes = np.float32(0.2) * (np.arange(64, dtype=np.float32) % 2) - np.float32(0.1)
    striped = SmokeLayer(layer.density, layer.airlight + stripes[:, None])
    smooth = smooth_airlight(striped, 0.04)
    assert np.array_equal(smooth.density, layer.density)
    inside = layer.opacity > 0.3
    assert np.abs(smooth.airlight - layer.airlight)[inside].max() < 0.05
    again = smooth_airlight(smooth, 0.04)
    assert np.abs(again.airlight - smooth.airlight)[inside].mean() < 0.01


@QUICK
@given(seeds)
def test_shading_changes_the_light_and_neither_the_density_nor_the_hue(seed):
    layer = puff(seed)
    shaded = shade(Dice(seed), layer)
    assert np.array_equal(shaded.density, layer.density)
    assert 0 <= shaded.airlight.min() <= shaded.airlight.max() <= 1
    gain = shaded.airlight / layer.airlight
    free = (shaded.airlight < 0.9999).all(-1)
    assert np.abs(gain[..., 0] - gain[..., 2])[free].max() < 1e-3
    assert gain[free].std() > 0.001


@QUICK
@given(seeds, st.floats(0.2, 3))
def test_strength_scales_density_and_pixels_without_smoke_are_untouched(seed, strength):
    smoke = LiftedSmoke([puff(seed), puff(seed + 1)], mixed=0.5)
    clean = np.random.default_rng(seed).integers(0, 256, (40, 56, 3), np.uint8)
    smoky, once = laid(smoke, clean, seed)
    _, more = laid(smoke, clean, seed, strength)
    np.testing.assert_allclose(more, strength * once, rtol=1e-5)
    empty = once == 0
    assert np.array_equal(smoky[empty], clean[empty])
    assert not empty.all()
    assert np.array_equal(laid(smoke, clean, seed, 0.0)[0], clean)


def test_smoke_can_always_be_told_from_the_scene():
    """A layer as bright as the wall would be smoke that nobody sees, labelled as smoke."""
    smoke = LiftedSmoke([even(2.0, 0.75)], mixed=0.0, distant=0.0)
    wall = np.full((64, 64, 3), 191, np.uint8)
    for seed in range(10):
        assert np.abs(laid(smoke, wall, seed)[0].astype(int) - wall).mean() > 0.05 * 255


@QUICK
@given(seeds, st.floats(0, 1), st.floats(0.13, 0.87))
def test_light_tells_smoke_from_its_scene_and_keeps_its_shape(seed, tone, room):
    layer = even(1.0, tone)
    scene = np.full((24, 24, 3), room, np.float32)
    lit = relight(Dice(seed), layer, scene)
    assert np.array_equal(lit.density, layer.density)
    assert 0.01 <= lit.airlight.min() <= lit.airlight.max() <= 1
    assert abs(lit.airlight.mean() - room) >= lifted._VISIBLE - 1e-6


def test_prominence_is_the_part_that_is_changed_plainly():
    """White smoke before a white wall changes hardly a pixel, grey smoke all that it covers."""
    wall = np.full((24, 24, 3), 0.95, np.float32)
    white, grey = (even(2.3, tone, 20, 20) for tone in (0.95, 0.25))
    assert prominence(white, wall) == 0.0
    assert prominence(grey, wall) == 1.0
    assert prominence(grey, wall, darkens=False) == 0.0
    assert prominence(white, 1 - wall, darkens=False) == 1.0
    half = grey.density.copy()
    half[:, :10] = 0
    assert 0.4 < prominence(SmokeLayer(half, grey.airlight), wall) < 0.6


def test_a_draw_is_kept_when_it_is_seen_and_else_the_one_that_is_seen_most():
    def kept(values, enough, attempts):
        draws = iter(enumerate(values))
        return drawn_until_seen(lambda: next(draws), lambda one: one[1], enough, attempts)[0]

    assert kept([0.1, 0.5, 0.9], enough=0.4, attempts=3) == 1
    assert kept([0.1, 0.3, 0.2, 0.9], enough=0.4, attempts=3) == 1
    assert kept([-1.0, -1.0], enough=0.4, attempts=2) == 1
    assert kept([0.0], enough=0.4, attempts=1) == 0


def test_what_does_not_stand_out_is_drawn_anew():
    """Half of the layers hold one small puff; hardly any picture is left with no more than that."""
    full = even(2.0, 0.2, 20, 20)
    small = np.zeros_like(full.density)
    small[8:12, 8:13] = 2.0
    smoke = LiftedSmoke([full, SmokeLayer(small, full.airlight)], mixed=0.0, distant=0.0)
    wall = np.full((48, 48, 3), 230, np.uint8)
    plain = 0
    for seed in range(20):
        changed = np.abs(laid(smoke, wall, seed)[0].astype(int) - wall).mean(-1)
        plain += coverage(changed, 0.1 * 255) > 0.12
    assert plain >= 19


# --- the bank


def lifts(count=3):
    return [Lift(puff(n), f"layer-{n}", f"{n:064d}", f"place-{n}", 0.9) for n in range(count)]


def test_a_layer_survives_its_file_to_eight_bits():
    layer = puff(5)
    again = decode_layer(encode_layer(layer))
    assert np.abs(again.opacity - layer.opacity).max() <= 1 / 255
    assert np.array_equal(again.density == 0, layer.opacity < 0.5 / 255)
    thick = layer.opacity > 0.2
    assert np.abs(again.airlight - layer.airlight)[thick].mean() < 0.015


def test_a_bank_is_read_as_it_was_written_and_its_bytes_depend_on_the_layers_only(tmp_path):
    write_bank(tmp_path / "a.zip", lifts())
    write_bank(tmp_path / "b.zip", lifts())
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    bank = pickle.loads(pickle.dumps(LayerBank(tmp_path / "a.zip")))  # as a spawned worker gets it
    assert len(bank) == len(list(bank)) == 3
    assert [row["name"] for row in bank.rows] == ["layer-0", "layer-1", "layer-2"]
    assert np.abs(bank[1].opacity - puff(1).opacity).max() <= 1 / 255
    with pytest.raises(IndexError):
        bank[3]
    with zipfile.ZipFile(tmp_path / "a.zip") as opened:  # ordinary pictures for anyone
        assert Image.open(opened.open("layer-2.webp")).mode == "RGBA"


def test_a_bank_is_a_model(tmp_path):
    write_bank(tmp_path / "layers.zip", lifts())
    model = load(tmp_path / "layers.zip")
    assert model.kind == "layered" and model.exact_mask
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 120, 3), np.uint8))
    one, same, other = (model.add_smoke(photo, seed=seed) for seed in (1, 1, 2))
    assert one.image.size == photo.size
    assert np.array_equal(np.asarray(one.image), np.asarray(same.image))
    assert not np.array_equal(np.asarray(one.image), np.asarray(other.image))
    empty = one.density == 0
    assert np.array_equal(np.asarray(one.image)[empty], np.asarray(photo)[empty])


def damaged(path, what):
    if what == "cut":
        path.write_bytes(path.read_bytes()[:200])
    elif what == "text":
        path.write_text("no zip")
    elif what == "empty":
        write_bank(path, [])
    elif what == "nested":
        with zipfile.ZipFile(path, "w") as bank:
            bank.writestr("index.json", "[" * 100_000)
    elif what == "inside":
        data = bytearray(path.read_bytes())
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bank:
            bank.writestr("index.json", json.dumps({"format": 1, "layers": []}) + " " * 5000)
        data = bytearray(path.read_bytes())
        data[45:60] = b"\xff" * 15
        path.write_bytes(bytes(data))
    elif what == "too long":
        data = bytearray(path.read_bytes())
        at = data.rindex(b"PK\1\2") + 20  # of the last layer, in the directory
        data[at : at + 8] = struct.pack("<II", 1 << 20, 65535)
        path.write_bytes(bytes(data))
    else:
        with zipfile.ZipFile(path, "w") as bank:
            index = {"format": 99 if what == "newer" else 1, "layers": [{"name": "gone"}]}
            bank.writestr("index.json", json.dumps(index))


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("cut", "damaged"),
        ("text", "damaged"),
        ("nested", "damaged"),
        ("inside", "damaged"),
        ("too long", "damaged"),
        ("empty", "holds no layers"),
        ("newer", "format 99"),
        ("missing picture", "gone.webp"),
    ],
)
def test_a_damaged_bank_is_an_error_that_names_it(tmp_path, what, said):
    path = tmp_path / "layers.zip"
    write_bank(path, lifts())
    damaged(path, what)
    with pytest.raises(InputError, match=said) as caught:
        load(path)
    assert str(path) in str(caught.value)


def tiny():
    stream = io.BytesIO()
    Image.new("RGBA", (1, 1)).save(stream, "WEBP")
    return stream.getvalue()


@pytest.mark.parametrize("data", [b"RIFFno picture", tiny()])
def test_a_damaged_layer_is_an_error_that_names_it(tmp_path, data):
    path = tmp_path / "layers.zip"
    with zipfile.ZipFile(path, "w") as bank:
        bank.writestr("index.json", json.dumps({"format": 1, "layers": [{"name": "bad"}]}))
        bank.writestr("bad.webp", data)
    with pytest.raises(InputError, match=r"layer bad is damaged"):
        LayerBank(path)[0]


def test_a_layered_run_that_is_not_finished_says_what_is_missing(tmp_path):
    run = RunDir.create(tmp_path / "run", "train", {})
    save_checkpoint(run.path / "checkpoints/step-1", {"model": {}}, {"kind": "layered"})
    write_json(run.path / "checkpoints/latest.json", {"path": "checkpoints/step-1"})
    for model in (run.path, run.path / "checkpoints/step-1"):
        with pytest.raises(InputError, match=r"not lifted yet; finish it with wisp train --resume"):
            load(model)
    write_bank(run.path / "layers.zip", lifts())
    for model in (run.path, run.path / "checkpoints/step-1"):
        assert load(model).kind == "layered"


def test_synth_repeats_what_a_training_doubted(tmp_path, capsys):
    write_class(tmp_path / "photos", 2, False)
    for name, notes in (("sure", []), ("doubtful", ["smoke in 31 of 40: report.html#suspicious"])):
        run = RunDir.create(tmp_path / name, "train", {})
        save_checkpoint(run.path / "checkpoints/step-1", {"model": {}}, {"kind": "layered"})
        write_json(run.path / "checkpoints/latest.json", {"path": "checkpoints/step-1"})
        write_bank(run.path / "layers.zip", lifts())
        run.write_inputs([])
        write_json(run.path / "result.json", {"notes": notes})
        synth.run(
            SynthConfig(
                (str(tmp_path / "photos"),),
                model=str(run.path / "checkpoints/step-1"),
                out=tmp_path / f"of-{name}",
                probe=False,
            )
        )
        said = capsys.readouterr().err
        doubt = f"of {run.path}: smoke in 31 of 40: {run.path}/report.html#suspicious"
        assert (doubt in said) == bool(notes)
        assert (f"of {run.path}" in said) == bool(notes)


def test_many_threads_may_share_a_bank(tmp_path, monkeypatch):
    """As those of `wisp synth` do, while layers are forgotten to make room."""
    monkeypatch.setattr("wisp.data.bank._KEPT", 3)
    write_bank(tmp_path / "layers.zip", lifts(4))
    bank = LayerBank(tmp_path / "layers.zip")
    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # threads take turns as often as they can
    try:
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda n: bank[n % 4].density.shape, range(20000)))
    finally:
        sys.setswitchinterval(interval_s)
    assert len(found) == 20000
