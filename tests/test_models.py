import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import wisp
from wisp.checkpoint import save_checkpoint
from wisp.errors import InputError
from wisp.models import CycleGANModel, WorkingScale, load
from wisp.models.drawn import DrawnModel
from wisp.networks.generator import ResnetGenerator
from wisp.rundir import RunDir, write_json
from wisp.smoke import RandomSmoke, SmokeLayer


def picture(height=90, width=120, seed=0):
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    return small.resize((width, height), Image.Resampling.BICUBIC)


def pixels(image):
    return np.asarray(image, dtype=np.int16)


class Add(torch.nn.Module):
    """A 'generator' whose effect is known."""

    def __init__(self, amount):
        super().__init__()
        self.amount = amount

    def forward(self, batch):
        return (batch + self.amount).clamp(-1, 1)


def generators(seed=0, width=4):
    torch.manual_seed(seed)
    return ResnetGenerator(width=width, blocks=2), ResnetGenerator(width=width, blocks=2)


def named(prefix, network):
    return {f"{prefix}.{key}": value for key, value in network.state_dict().items()}


def train_run(path, *, ema=False, state=None):
    forward, backward = generators(1)
    tensors = named("clean_to_smoky", forward) | named("smoky_to_clean", backward)
    if ema:
        forward, backward = generators(2)
        tensors |= named("ema.clean_to_smoky", forward) | named("ema.smoky_to_clean", backward)
    run = RunDir.create(path, "train", {})
    save_checkpoint(
        path / "checkpoints" / "step-0000005",
        {"model": tensors},
        {"kind": "cyclegan", "load_size": 48, "fit": "short-side", "step": 5, **(state or {})},
    )
    write_json(
        path / "checkpoints" / "latest.json", {"step": 5, "path": "checkpoints/step-0000005"}
    )
    return run.path, forward, backward


# --- procedural


def test_public_names_lead_here():
    assert wisp.load is load
    assert isinstance(wisp.load("procedural"), wisp.SmokeModel)


def test_procedural_smoke_keeps_size_and_is_fixed_by_seed(tmp_path):
    photo = picture(91, 133)
    photo.save(tmp_path / "photo.png")
    model = load("procedural")
    one = model.add_smoke(tmp_path / "photo.png", seed=3)
    again = model.add_smoke(photo, seed=3)
    array = model.add_smoke(np.asarray(photo), seed=3)
    other = model.add_smoke(photo, seed=4)
    assert isinstance(one, wisp.Smoky)
    assert one.image.size == one.mask.size == (133, 91)
    assert one.image.mode == "RGB"
    assert one.mask.mode == "L"
    assert one.density.shape == (91, 133)
    assert one.density.dtype == np.float32
    assert one.density.min() >= 0
    assert np.array_equal(pixels(one.image), pixels(again.image))
    assert np.array_equal(pixels(one.image), pixels(array.image))
    assert not np.array_equal(pixels(one.image), pixels(other.image))
    expected = np.floor((1 - np.exp(-one.density)) * 255 + 0.5)
    assert np.abs(pixels(one.mask) - expected).max() <= 1


def test_inputs_are_never_changed():
    array = np.array(picture())
    before = array.copy()
    load("procedural").add_smoke(array)
    assert np.array_equal(array, before)


def test_strength_zero_is_the_photo_and_more_is_denser():
    photo, model = picture(), load("procedural")
    assert np.array_equal(pixels(model.add_smoke(photo, 0.0).image), pixels(photo))
    thin, thick = model.add_smoke(photo, 0.5, seed=1), model.add_smoke(photo, 2.0, seed=1)
    np.testing.assert_allclose(thick.density, 4 * thin.density, rtol=1e-5)
    assert (pixels(thick.mask) >= pixels(thin.mask)).all()


def test_where_the_mask_is_empty_pixels_are_the_photos():
    model, photo = load("procedural"), picture()
    empty = 0
    for seed in range(8):
        smoky = model.add_smoke(photo, seed=seed)
        clear = smoky.density == 0
        empty += clear.sum()
        assert np.array_equal(pixels(smoky.image)[clear], pixels(photo)[clear])
    assert empty > 0


@pytest.mark.parametrize("strength", [-0.1, float("nan"), float("inf")])
def test_impossible_strengths_are_refused(strength):
    with pytest.raises(InputError, match="strength"):
        load("procedural").add_smoke(picture(), strength)


def test_arrays_of_other_types_are_refused_and_grey_is_not():
    model = load("procedural")
    with pytest.raises(InputError, match="float32"):
        model.add_smoke(np.zeros((20, 20, 3), np.float32))
    with pytest.raises(InputError, match="uint8"):
        model.add_smoke(np.zeros((20, 20, 4), np.uint8))
    assert model.add_smoke(np.zeros((20, 30), np.uint8)).image.size == (30, 20)
    with pytest.raises(InputError, match=r"no\.jpg"):
        model.add_smoke(Path("no.jpg"))


def test_batches():
    model = load("procedural")
    batch = torch.rand(2, 3, 40, 56) * 2 - 1
    translated = model.translate(batch.double())
    assert translated.shape == batch.shape and translated.dtype == torch.float64
    made = model.add_batch(batch, strength=torch.tensor([0.0, 1.0]), seed=2)
    assert torch.equal(made.image[0], batch[0])
    assert not torch.equal(made.image[1], batch[1])
    assert np.array_equal(pixels(model.reconstruct(picture())), pixels(picture()))
    with pytest.raises(InputError, match="batch"):
        model.translate(batch[0])


def test_memory_beyond_the_photo_is_bounded():
    """Six megapixels: blocks of rows, never a float copy of the picture (72 MB)."""
    model = load("procedural")
    image = np.zeros((2000, 3000, 3), np.uint8)
    model.render(image.copy(), 1.0, seed=0)  # noise is made once
    tracemalloc.start()  # arrays of numpy and of OpenCV count
    try:
        model.render(image, 1.0, seed=0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert 6e6 < peak < 25e6  # the mask alone has six


# --- CycleGAN on photos of any size


def constant_model(amount=0.2, back=-0.2, scale=None):
    return CycleGANModel("test", Add(amount), Add(back), scale or WorkingScale("short-side", 48))


@pytest.mark.parametrize("size", [(48, 64), (50, 1000), (333, 222), (20, 24)])
@pytest.mark.parametrize("fit", ["short-side", "squash", "none"])
def test_a_constant_change_stays_that_change_at_any_size(size, fit):
    photo = Image.new("RGB", size[::-1], (100, 90, 80))
    smoky = constant_model(scale=WorkingScale(fit, 48)).add_smoke(photo)
    assert smoky.image.size == photo.size == smoky.mask.size
    assert smoky.density.shape == size
    change = pixels(smoky.image) - pixels(photo)
    assert change.min() >= 25
    assert change.max() <= 26


def test_detail_finer_than_the_working_scale_is_kept():
    rng = np.random.default_rng(0)
    noise = rng.integers(80, 120, (400, 500, 3), dtype=np.uint8)
    change = pixels(constant_model().add_smoke(noise).image) - noise.astype(np.int16)
    assert change.min() >= 24
    assert change.max() <= 27


def test_at_the_working_size_the_photo_is_what_the_generator_says():
    forward, backward = generators(3)
    model = CycleGANModel("test", forward, backward, WorkingScale("short-side", 48))
    photo = picture(48, 64)
    batch = torch.from_numpy(np.asarray(photo).copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    expected = (model.translate(batch)[0].permute(1, 2, 0) + 1) * 127.5
    assert np.abs(pixels(model.add_smoke(photo).image) - expected.numpy()).max() <= 0.51


def test_strength_scales_the_change():
    photo = Image.new("RGB", (64, 48), (100, 100, 100))
    model = constant_model(0.2)
    half, none = model.add_smoke(photo, 0.5), model.add_smoke(photo, 0.0)
    assert abs(int(pixels(half.image)[0, 0, 0]) - 112.75) <= 0.5
    assert np.array_equal(pixels(none.image), pixels(photo))
    assert none.density.max() == 0
    assert not model.exact_mask


def test_there_and_back_is_the_identity_for_a_perfect_pair():
    photo = Image.new("RGB", (200, 120), (100, 100, 100))
    assert np.abs(pixels(constant_model().reconstruct(photo)) - pixels(photo)).max() <= 1
    unequal = constant_model(0.2, -0.1).reconstruct(photo)
    assert abs(int(pixels(unequal)[0, 0, 0]) - 100 - 0.1 * 127.5) <= 1


def test_density_is_estimated_where_smoke_was_laid():
    class Half(torch.nn.Module):
        def forward(self, batch):
            cover = torch.zeros_like(batch[:, :1])
            cover[..., : batch.shape[-1] // 2] = 0.6
            return torch.lerp(batch, torch.full_like(batch, 0.9), cover)

    model = CycleGANModel("test", Half(), None, WorkingScale("short-side", 48))
    smoky = model.add_smoke(Image.new("RGB", (128, 96), (30, 30, 30)))
    mask = pixels(smoky.mask)
    assert mask[:, :50].min() > 80
    assert mask[:, 80:].max() < 5


def test_one_direction_cannot_reconstruct():
    model = CycleGANModel("one.pth", Add(0.1), None, WorkingScale())
    assert not model.can_reconstruct
    with pytest.raises(InputError, match=r"one\.pth.*--clean-class pixels"):
        model.reconstruct(picture())


def test_translate_takes_any_size():
    forward, _ = generators()
    model = CycleGANModel("test", forward, None, WorkingScale())
    assert model.translate(torch.zeros(2, 3, 37, 50)).shape == (2, 3, 37, 50)


# --- loading


def same_generator(model, network):
    batch = torch.rand(1, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(model.translate(batch), network.eval()(batch))


def test_a_run_and_its_checkpoint_are_the_same_model(tmp_path):
    path, forward, _ = train_run(tmp_path / "run")
    for place in (path, path / "checkpoints" / "step-0000005"):
        model = load(place)
        assert model.kind == "cyclegan"
        assert model.can_reconstruct
        assert model.scale == WorkingScale("short-side", 48)
        same_generator(model, forward)
    weights = path / "checkpoints" / "step-0000005" / "model.safetensors"
    assert load(weights).scale == WorkingScale("short-side", 48)


def test_averaged_weights_are_preferred(tmp_path):
    path, averaged, _ = train_run(tmp_path / "run", ema=True)
    same_generator(load(path), averaged)


def test_the_best_checkpoint_is_preferred(tmp_path):
    path, _, _ = train_run(tmp_path / "run")
    best, _ = generators(9)
    save_checkpoint(
        path / "checkpoints" / "step-0000003",
        {"model": named("clean_to_smoky", best)},
        {"load_size": 48, "fit": "short-side"},
    )
    write_json(path / "checkpoints" / "best.json", {"step": 3, "path": "checkpoints/step-0000003"})
    same_generator(load(path), best)


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors"])
def test_a_generator_file_loads_one_direction(tmp_path, suffix):
    forward, _ = generators(4)
    file = tmp_path / f"latest_net_G_A{suffix}"
    state = {key: value.contiguous() for key, value in forward.state_dict().items()}
    if suffix == ".safetensors":
        save_file(state, file)
    else:
        torch.save(state, file)
    model = load(file)
    assert not model.can_reconstruct
    assert model.scale == WorkingScale("squash", 286)
    same_generator(model, forward)


def prefixed(prefix, state):
    return {prefix + key: value for key, value in state.items()}


@pytest.mark.parametrize(
    ("name", "hold"),
    [
        ("g.pth", lambda forward, _: {"G": forward}),
        ("g.ckpt", lambda forward, back: {"netG_B2A": back, "netG_A2B": forward}),
        ("g.pth.tar", lambda forward, back: {"G_B": back, "G_A": forward, "epoch": 4}),
        ("g.PT", lambda forward, _: {"state_dict": prefixed("generator._orig_mod.", forward)}),
        (
            "g.safetensors",  # of a name that its bytes belie
            lambda forward, back: {
                "state_dict": {**prefixed("gen_BA.", back), **prefixed("gen_AB.", forward)}
            },
        ),
    ],
)
def test_generators_are_found_however_they_are_wrapped_and_called(tmp_path, name, hold):
    forward, back = generators(4)
    torch.save(hold(forward.state_dict(), back.state_dict()), tmp_path / name)
    same_generator(load(tmp_path / name), forward)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_that_are_not_finite_are_refused(tmp_path, suffix):
    file = tmp_path / f"spoilt_net_G_A{suffix}"
    state = {key: value.contiguous() for key, value in generators(4)[0].state_dict().items()}
    next(iter(state.values())).fill_(float("nan"))
    if suffix == ".safetensors":
        save_file(state, file)
    else:
        torch.save(state, file)
    with pytest.raises(InputError, match=rf"{file.name}: 1 of its \d+ tensors"):
        load(file)


def test_pictures_that_are_not_finite_are_refused():
    with pytest.raises(InputError, match="not finite"):
        CycleGANModel("spoilt", Add(float("nan")), None, WorkingScale()).add_smoke(picture())


@pytest.mark.parametrize(("one", "other"), [("G", "F"), ("G_X2Y", "G_Y2X")])
def test_generators_that_nothing_tells_apart_are_refused(tmp_path, one, other):
    state = ResnetGenerator(width=4, blocks=6).state_dict()
    torch.save({one: state, other: state}, tmp_path / "pair.pth")
    with pytest.raises(InputError, match=r"several networks.*save that one alone"):
        load(tmp_path / "pair.pth")


def test_a_pair_of_wisps_own_names_is_read_within_anything(tmp_path):
    torch.manual_seed(0)
    pair = {n: ResnetGenerator(4, 6).state_dict() for n in ("smoky_to_clean", "clean_to_smoky")}
    extra = {"best_score": torch.tensor(float("inf"))}  # as Lightning keeps one
    torch.save({"state_dict": pair, "callbacks": extra}, tmp_path / "pair.ckpt")
    torch.save(pair["clean_to_smoky"], tmp_path / "alone.pth")
    both = load(tmp_path / "pair.ckpt")
    assert both.can_reconstruct
    one, other = (model.add_smoke(picture()) for model in (both, load(tmp_path / "alone.pth")))
    assert np.array_equal(np.asarray(one.image), np.asarray(other.image))


@pytest.mark.parametrize("spoilt", [0, 1])
def test_layers_that_are_not_finite_are_refused(spoilt):
    fields = [np.full((24, 32), 0.5, np.float32), np.zeros((24, 32, 3), np.float32)]
    fields[spoilt][12, 16] = float("nan")

    class Spoilt(RandomSmoke):
        def draw(self, pixels, dice):
            return SmokeLayer(*fields)

    with pytest.raises(InputError, match="--model spoilt: its pictures are not finite"):
        DrawnModel("spoilt", "cyclegan", Spoilt()).add_smoke(picture())


class Evil:
    def __reduce__(self):
        return (Path("evil-was-here").touch, ())


def test_code_in_a_file_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil_net_G_A.pth").write_bytes(pickle.dumps(Evil()))
    torch.save({"state_dict": Evil()}, tmp_path / "evil2.pth")
    for name in ("evil_net_G_A.pth", "evil2.pth"):
        with pytest.raises(InputError, match=name):
            load(name)
    assert not (tmp_path / "evil-was-here").exists()


def test_truncated_checkpoints_are_named(tmp_path):
    path, _, _ = train_run(tmp_path / "run")
    weights = path / "checkpoints" / "step-0000005" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"model\.safetensors.*truncated"):
        load(path)


def test_what_is_no_model_is_said(tmp_path):
    with pytest.raises(InputError, match=r"procedual.*give procedural"):
        load("procedual")
    with pytest.raises(InputError, match="no run or checkpoint"):
        load(tmp_path)
    RunDir.create(tmp_path / "set", "synth", {})
    with pytest.raises(InputError, match="'synth' run"):
        load(tmp_path / "set")
    RunDir.create(tmp_path / "young", "train", {})
    with pytest.raises(InputError, match="no checkpoint yet"):
        load(tmp_path / "young")
    (tmp_path / "photo.jpg").write_bytes(b"x")
    with pytest.raises(InputError, match="no file of weights"):
        load(tmp_path / "photo.jpg")
    torch.save({"layer.weight": torch.zeros(2)}, tmp_path / "other.pth")
    with pytest.raises(InputError, match=r"other\.pth"):
        load(tmp_path / "other.pth")
