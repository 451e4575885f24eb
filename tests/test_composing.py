"""A CycleGAN that composes: its networks and losses, tiny real trainings, and the trained model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import wisp
from scenes import scene
from wisp import engine, losses, shipped
from wisp.config import ComposingConfig, train_config
from wisp.errors import InputError
from wisp.jobs import train
from wisp.jobs.train import loop
from wisp.models import SmokeModel, load, shipped_layers
from wisp.models.composing import ComposedModel
from wisp.networks.backbone import load_backbone
from wisp.networks.composing import FeatureDiscriminator, SmokeAdder, palette_of
from wisp.networks.lifter import LayerDecoder, compose, seen, take_apart
from wisp.rundir import RunDir, read_json, read_jsonl
from wisp.smoke import Dice, LiftedSmoke
from wisp.smoke.optics import density_of

FEATURES = (4, 8, 8, 8, 8)
SMALL: dict[str, Any] = {
    "size": 32, "load_size": 48, "steps": 4, "images_per_step": 2, "log_every": 1,
    "sample_every": 2, "checkpoint_every": 2, "validation_photos": 2, "workers": 0,
    "device": "cpu", "seed": 3, "backbone": "mobilenetv2_035", "weights": "none",
}  # fmt: skip


def adder_and_features(
    batch: int = 2, height: int = 40, width: int = 64
) -> tuple[SmokeAdder, list[torch.Tensor], torch.Tensor]:
    torch.manual_seed(0)
    adder = SmokeAdder(FEATURES).eval()
    adder.palette.copy_(palette_of(LiftedSmoke(shipped_layers()), Dice(0)))
    maps = [
        torch.randn(batch, count, -(-height // (2 << scale)), -(-width // (2 << scale)))
        for scale, count in enumerate(FEATURES)
    ]
    return adder, maps, torch.rand(batch, 3, height, width) * 2 - 1


def test_what_is_asked_for_is_of_real_smoke_and_drawn_from_the_seed_alone():
    adder, _, photos = adder_and_features()
    first, again, other = (
        adder.wish(photos, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    for name in ("amount", "colour", "latent"):
        assert torch.equal(getattr(first, name), getattr(again, name))
        assert not torch.equal(getattr(first, name), getattr(other, name))
    assert [part.shape[2:] for part in first.noise] == [(20, 32), (10, 16), (5, 8), (3, 4), (2, 2)]
    assert (adder.palette[:, 0] > 0).all() and adder.palette[:, 1:].abs().max() <= 1
    assert len(adder.palette.unique(dim=0)) > 200


def test_the_amount_of_smoke_is_what_was_asked_for():
    adder, maps, photos = adder_and_features()
    wish = adder.wish(photos, torch.Generator().manual_seed(1))
    means = []
    for amount in (0.1, 0.2):
        asked = wish._replace(amount=torch.full_like(wish.amount, amount))
        cover, airlight = adder(maps, asked)
        means.append(density_of(cover).mean((1, 2, 3)))
        assert cover.shape == (2, 1, 20, 32) and airlight.shape == (2, 3, 20, 32)
    # A little is lost below the faintest opacity and near the greatest.
    assert torch.allclose(means[0], torch.tensor(0.1), rtol=0.3)
    assert torch.allclose(means[1], torch.tensor(0.2), rtol=0.2)


def test_the_less_contrast_the_more_evenly_the_same_smoke_lies():
    adder, maps, photos = adder_and_features()
    torch.nn.init.normal_(adder.head.weight, std=0.2)
    wish = adder.wish(photos, torch.Generator().manual_seed(1))
    assert wish.contrast.min() >= 0.4 and wish.contrast.max() <= 2.4
    wish = wish._replace(amount=torch.full((2,), 0.3))
    spread = []
    for contrast in (0.0, 1.0, 2.0):
        cover, _ = adder(maps, wish._replace(contrast=torch.full((2,), contrast)))
        spread.append(density_of(cover).std((1, 2, 3)))
    assert spread[0].max() < 1e-6 and (torch.stack(spread).diff(dim=0) > 0).all()
    covers = []
    for _ in range(2):  # whatever the network would rather
        with torch.no_grad():
            adder.head.weight.mul_(20)
        covers.append(adder(maps, wish._replace(contrast=torch.full((2,), 0.5)))[0])
    assert torch.allclose(*covers, atol=1e-4)


def test_the_colour_is_what_was_asked_for_and_varies_in_lightness_alone():
    adder, maps, photos = adder_and_features()
    wish = adder.wish(photos, torch.Generator().manual_seed(1))
    wish = wish._replace(colour=torch.tensor([[0.1, 0.0, -0.1]]).expand(2, 3))
    torch.nn.init.normal_(adder.head.weight)
    difference = adder(maps, wish)[1] - wish.colour[..., None, None]
    assert difference.abs().max() <= 0.3 + 1e-6 and difference.std() > 0.01
    assert torch.allclose(difference[:, :1], difference[:, 1:], atol=1e-6)


def test_faint_smoke_is_none_and_dense_smoke_stays():
    given = torch.tensor([0.0, 0.019, 0.02, 0.03, 0.5, 0.99])
    cleaned = seen(given)
    assert (cleaned[:3] == 0).all() and cleaned[5] == pytest.approx(0.99)
    assert (cleaned.diff()[2:] > 0).all() and (cleaned <= given + 1e-6).all()


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.0, 0.9))
def test_what_is_composed_is_taken_apart_again(seed, most):
    random = torch.Generator().manual_seed(seed)
    photos = torch.rand(2, 3, 16, 24, generator=random) * 2 - 1
    cover = torch.rand(2, 1, 8, 12, generator=random) * most
    airlight = torch.rand(2, 3, 8, 12, generator=random) * 2 - 1
    smoky = compose(photos, cover, airlight)
    assert torch.allclose(take_apart(smoky, cover, airlight), photos, atol=1e-4)
    assert torch.equal(compose(photos, 0 * cover, airlight), photos)
    # Where hardly any light comes through a tenth of it is assumed, which bounds the noise.
    dense = torch.full((1, 1, 8, 12), 0.99), torch.zeros(1, 3, 8, 12)
    assert torch.allclose(take_apart(torch.full((1, 3, 16, 24), 0.05), *dense), torch.tensor(0.5))


def test_a_discriminator_scores_every_scale():
    maps = [torch.randn(2, count, 9 - scale, 12) for scale, count in enumerate(FEATURES)]
    scores = FeatureDiscriminator(FEATURES)(maps)
    assert [score.shape for score in scores] == [(2, 1, 9 - scale, 12) for scale in range(5)]


# --- tiny real trainings


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    for domain, count, first in (("clean", 12, 0), ("smoky", 10, 100)):
        (root / domain).mkdir()
        for number in range(count):
            picture = scene(64, 48, seed=first + number)
            picture.save(root / domain / f"place{number}__0.png")
    return root


def config_of(photos: Path, out: Path, **changes: Any) -> ComposingConfig:
    return ComposingConfig(photos / "clean", photos / "smoky", out=out, **{**SMALL, **changes})


@pytest.fixture(scope="module")
def run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train.run(config_of(photos, tmp_path_factory.mktemp("runs") / "gan")).run


def test_a_run_says_what_it_is(run):
    checkpoint = json.loads((run / "checkpoints/step-0000004/checkpoint.json").read_text())
    assert (checkpoint["kind"], checkpoint["generator"]) == ("cyclegan", "composing")
    rows = [row for row in read_jsonl(run / "metrics.jsonl") if "generator" in row]
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert all(np.isfinite(row[name]) for row in rows for name in ("lifted", "variety", "cycle"))
    assert (run / "samples" / "latest.jpg").exists()


def test_every_term_counts_as_the_documentation_says(photos, tmp_path, monkeypatch):
    # Before anything is learned two draws differ enough, and the term would be 0.
    monkeypatch.setattr(losses, "variety_loss", lambda first, *_: first.mean())
    run = train.run(config_of(photos, tmp_path / "gan", steps=2)).run
    for row in (row for row in read_jsonl(run / "metrics.jsonl") if "generator" in row):
        total = row["adversarial_smoky"] + 0.5 * row["adversarial_clean"] + row["identity"]
        total += 8 * row["cycle"] + 2 * row["lifted"] + 4 * row["variety"]
        assert row["generator"] == pytest.approx(total, abs=1e-4)
        assert min(row["cycle"], row["lifted"], row["variety"], row["identity"]) > 0


def test_a_folder_without_smoke_is_noticed(photos, tmp_path, monkeypatch):
    def blind(self: LayerDecoder, maps: Any) -> tuple[torch.Tensor, torch.Tensor]:
        cover, airlight = see(self, maps)
        return 0.01 * cover, airlight

    see = LayerDecoder.decode
    monkeypatch.setattr(LayerDecoder, "decode", blind)
    run = train.run(config_of(photos, tmp_path / "gan")).run
    assert "finds none in smoky photos" in " ".join(read_json(run / "result.json")["notes"])


def test_the_photos_that_lent_the_composites_their_smoke_count_as_seen(run, photos, tmp_path):
    lent = {record.sha256 for record in RunDir(shipped.resolve("layered")).files_seen()}
    assert lent <= {record.sha256 for record in RunDir(run).files_seen()}
    alone = train.run(config_of(photos, tmp_path / "gan", steps=1, composites=0.0)).run
    assert not lent & {record.sha256 for record in RunDir(alone).files_seen()}


def test_the_backbone_is_frozen_and_the_generators_are_not(run):
    from safetensors.torch import load_file

    weights = load_file(run / "checkpoints/step-0000004/model.safetensors")
    torch.manual_seed(SMALL["seed"])
    before = load_backbone(SMALL["backbone"], "none").state_dict()
    for name, value in before.items():
        assert torch.equal(weights[f"backbone.{name}"], value), name
    first = load_file(run / "checkpoints/step-0000002/model.safetensors")
    for name in ("clean_to_smoky.head.weight", "smoky_to_clean.head.weight"):
        assert not torch.equal(weights[name], first[name])
        assert not torch.equal(weights[f"ema.{name}"], weights[name])


class Killed(BaseException):
    """Stands for SIGKILL: nothing may catch it."""


def test_a_killed_run_goes_on_bit_for_bit(photos, run, tmp_path, monkeypatch):
    def kill(self: loop._Training, *arguments: Any) -> str:
        if self.trainer.step == 3:
            raise Killed
        return after(self, *arguments)

    after = loop._Training._after_step
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(loop._Training, "_after_step", kill)
        train.run(config_of(photos, tmp_path / "cut"))
    train.run(train_config()(resume=tmp_path / "cut"))
    for name in ("model.safetensors", "state.safetensors"):
        file = Path("checkpoints/step-0000004") / name
        assert (tmp_path / "cut" / file).read_bytes() == (run / file).read_bytes()


@pytest.mark.parametrize("changes", [{"composites": 0.0}, {"composites": 1.0, "ema": 0.0}])
def test_either_kind_of_smoky_photo_is_enough(photos, tmp_path, changes):
    made = train.run(config_of(photos, tmp_path / "gan", steps=1, **changes))
    assert load(made.run).add_smoke(scene()).image.size == scene().size


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"composites": 1.5}, "--composites 1.5: from 0 to 1"),
        ({"images_per_step": 1}, "--images-per-step 1: at least 2"),
        ({"precision": "16"}, "--precision 16"),
    ],
)
def test_what_cannot_work_is_said(photos, tmp_path, changes, said):
    with pytest.raises(InputError, match=said):
        config_of(photos, tmp_path, **changes)


# --- the trained model


@pytest.fixture(scope="module")
def model(run: Path) -> SmokeModel:
    return load(run)


class RightHalf(torch.nn.Module):
    """Stands for G: smoke of opacity 0.6 in the right half (in use of 1.3 times the density), and
    none in the left. It is of the ``lights`` in turn, the last of which stays."""

    palette = torch.zeros(1, 4)

    def __init__(self, *lights: float) -> None:
        super().__init__()
        self.lights = list(lights or (1.0,))

    def wish(self, *_: Any) -> None:
        return None

    def forward(self, maps: list[torch.Tensor], _: None) -> tuple[torch.Tensor, torch.Tensor]:
        cover = torch.zeros(1, 1, *maps[0].shape[2:])
        cover[..., cover.shape[-1] // 2 :] = 0.6
        light = self.lights.pop(0) if len(self.lights) > 1 else self.lights[0]
        return cover, torch.full((1, 3, *cover.shape[2:]), light)


def test_masks_are_exact_and_what_has_no_smoke_stays(run):
    model = load(run)
    assert isinstance(model, ComposedModel) and model.exact_mask
    model._pair._adder = RightHalf()  # type: ignore[assignment]
    photo = scene(150, 100)
    made = model.add_smoke(photo, seed=4)
    change = np.abs(np.asarray(made.image, np.int16) - np.asarray(photo, np.int16)).max(2)
    mask = np.asarray(made.mask, np.float32) / 255
    assert np.abs(mask - (1 - np.exp(-made.density))).max() < 0.01
    assert (made.density[:, :65] == 0).all() and change[:, :65].max() == 0
    assert np.allclose(mask[:, 85:], 1 - 0.4**1.3, atol=0.05) and change[:, 85:].mean() > 20


def test_what_brightens_too_little_is_drawn_anew_but_before_white_what_is_seen_is_kept(run):
    model = load(run)
    assert isinstance(model, ComposedModel)
    white = Image.new("RGB", (150, 100), (250, 250, 250))
    for photo, lights, sign in ((scene(150, 100), (-1, -0.9, 1), 1), (white, (0.9, 0, 0.9), -1)):
        model._pair._adder = RightHalf(*lights)  # type: ignore[assignment]
        made = model.add_smoke(photo, seed=4)
        change = np.asarray(made.image, float) - np.asarray(photo, float)
        assert sign * change[:, 85:].mean() > 20


class SeesHalf:
    """Stands for F: finds half the density of :class:`RightHalf` at each of two looks, before what
    is faint is left out."""

    def decode(self, maps: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        cover, airlight = RightHalf()(maps, None)
        return torch.where(cover > 0, (1 - 0.4**0.65) / 0.99 * 0.97 + 0.02, 0.0), airlight


@pytest.mark.parametrize("error", [None, 0.0])
def test_what_is_found_is_taken_off_the_whole_photo(run, monkeypatch, error):
    if error is not None:  # this F makes none
        monkeypatch.setattr("wisp.models.composing._AIRLIGHT_ERROR", error)
    model, photo = load(run), scene(150, 100)
    assert isinstance(model, ComposedModel)
    model._pair._adder = RightHalf()  # type: ignore[assignment]
    model._pair._lifter = SeesHalf()  # type: ignore[assignment]
    clean = np.asarray(photo, np.int16)
    differences = [
        np.abs(np.asarray(model.reconstruct(photo, seed=seed), np.int16) - clean).mean()
        for seed in range(4)  # light that is scattered is not gathered again, in some
    ]
    assert min(differences) < 1 if error == 0 else 1 < min(differences) < 5  # nearer to the mean


def test_arithmetic_is_as_it_is_said_to_be(run, monkeypatch):
    """A light network gains nothing from bfloat16; asked for it, it computes in it."""
    monkeypatch.setattr(engine, "cpu_multiplies_bfloat16", lambda: True)
    assert load(run, precision="auto").computing.precision == "32"
    told = load(run, precision="bf16")
    exact, rounded = (model.add_smoke(scene(), seed=1).density for model in (load(run), told))
    assert told.computing.precision == "bf16"
    assert 0 < np.abs(exact - rounded).max() < 0.5


def test_seeds_differ_strengths_grow_and_nothing_is_nothing(model):
    photo = scene(150, 100)
    masks = [np.asarray(model.add_smoke(photo, seed=seed).mask, np.float32) for seed in (1, 1, 2)]
    assert np.array_equal(masks[0], masks[1]) and np.abs(masks[0] - masks[2]).mean() > 1
    thin, dense = (model.add_smoke(photo, strength, seed=1).density for strength in (0.5, 2.0))
    assert np.allclose(dense, 4 * thin, atol=1e-4)
    assert np.array_equal(np.asarray(model.add_smoke(photo, 0.0).image), np.asarray(photo))


@pytest.mark.parametrize("size", [(1, 1), (5, 400), (333, 17), (640, 480)])
def test_any_size_has_smoke(model, size):
    made = model.add_smoke(scene(*size), seed=1)
    assert made.image.size == size and made.density.shape == size[::-1]
    assert np.isfinite(made.density).all() and made.density.max() > 0


def test_a_batch_is_smoky_picture_by_picture(model):
    batch = torch.rand(2, 3, 40, 56) * 2 - 1
    made = model.add_batch(batch, seed=3)
    expected = batch.lerp(made.airlight, 1 - torch.exp(-made.density))
    assert made.image.shape == batch.shape and made.image.dtype == batch.dtype
    # Light that is scattered blurs the scene behind smoke in some.
    assert (made.image - expected).abs().mean() < 0.05
    assert torch.equal(model.translate(batch), model.add_batch(batch).image)


def test_the_way_back_changes_what_the_way_there_did_and_is_of_the_same_seed(model):
    photo = scene(150, 100)
    first, again, other = (np.asarray(model.reconstruct(photo, seed=seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_the_data_set_has_exact_masks_and_the_photos_own_pixels(model, run, photos, tmp_path):
    made = wisp.synth(str(photos / "clean"), out=tmp_path / "set", model=str(run), probe=False)
    rows = read_jsonl(made.run / "train" / "metadata.jsonl")
    assert {row["model"] for row in rows} and (made.run / "masks").is_dir()
    source = np.asarray(Image.open(photos / "clean" / "place0__0.png"))
    written = next((made.run).rglob("clean/place0__0*"))
    assert np.abs(np.asarray(Image.open(written), np.int16) - source).mean() < 8


def test_each_photo_is_reconstructed_from_smoke_of_its_own(run, photos, tmp_path, monkeypatch):
    def noted(self: ComposedModel, image: Image.Image, seed: int = 0) -> Image.Image:
        seeds.append(seed)
        return image

    seeds: list[int] = []
    monkeypatch.setattr(ComposedModel, "reconstruct", noted)
    options = {"clean_class": "reconstructed", "probe": False, "workers": 1}
    wisp.synth(str(photos / "clean"), out=tmp_path / "set", model=str(run), **options)
    assert len(set(seeds)) == len(seeds) == 12


@pytest.mark.parametrize("damage", [{"backbone": "mobilenetv2_050"}, {"backbone": "nonesuch"}])
def test_a_checkpoint_that_does_not_fit_is_one_sentence(run, tmp_path, damage):
    import shutil

    folder = tmp_path / "step-0000004"
    shutil.copytree(run / "checkpoints/step-0000004", folder)
    state = json.loads((folder / "checkpoint.json").read_text())
    (folder / "checkpoint.json").write_text(json.dumps({**state, **damage}))
    with pytest.raises(InputError, match=r"does not hold the network it names|knows no such model"):
        load(folder)
