"""Layered training: the step and its terms, exact resume, and what is lifted in the end."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from wisp import engine
from wisp.checkpoint import load_checkpoint, save_checkpoint
from wisp.config import LayeredConfig, SynthConfig, train_config
from wisp.data import LayerBank, SmokePairs
from wisp.engine import make_engine
from wisp.errors import InputError
from wisp.jobs import synth, train
from wisp.jobs.train import lifting, loop, state
from wisp.jobs.train.layered import LayeredTrainer
from wisp.jobs.train.photos import gather_photos
from wisp.networks.backbone import load_backbone
from wisp.networks.lifter import Lifted
from wisp.rundir import RunDir, read_json, read_jsonl, write_json
from wisp.smoke import Dice, ProceduralSmoke

SMALL: dict[str, Any] = {
    "size": 32, "load_size": 48, "steps": 4, "images_per_step": 2,
    "log_every": 1, "sample_every": 2, "checkpoint_every": 2, "validation_photos": 2,
    "workers": 0, "device": "cpu", "seed": 3, "backbone": "mobilenetv2_035", "weights": "none",
}  # fmt: skip


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dark textured photos, and others of their kind under white smoke."""
    root = tmp_path_factory.mktemp("photos")
    smoke = ProceduralSmoke()
    for domain, count in (("clean", 12), ("smoky", 10)):
        (root / domain).mkdir()
        for number in range(count):
            rng = np.random.default_rng([number, len(domain)])
            coarse = rng.integers(0, 90, (6, 8, 3), dtype=np.uint8)
            picture = Image.fromarray(coarse).resize((64, 48), Image.Resampling.BICUBIC)
            pixels = np.array(picture)
            if domain == "smoky":
                layer = smoke.layer(pixels, Dice(number))
                layer.airlight[:] = 0.95
                layer.lay(pixels, 1.5)
            Image.fromarray(pixels).save(root / domain / f"place{number}__0.png")
    return root


def config_of(photos: Path, out: Path, **changes: Any) -> LayeredConfig:
    return LayeredConfig(photos / "clean", photos / "smoky", out=out, **{**SMALL, **changes})


def trainer_of(photos: Path, tmp_path: Path, **changes: Any) -> LayeredTrainer:
    config = config_of(photos, tmp_path / "unused", precision="32", **changes)
    engine = make_engine("cpu", "32", config.seed)
    return LayeredTrainer(config, engine, load_backbone(config.backbone, "none", config.size))


class Oracle(torch.nn.Module):
    """Knows that these photos are dark and their smoke is light grey."""

    def forward(self, images: torch.Tensor) -> Lifted:
        half = torch.nn.functional.avg_pool2d(images, 2)
        opacity = ((half.mean(1, keepdim=True) + 0.5) / 1.4).clamp(0, 0.95)
        return Lifted(-torch.log1p(-opacity), torch.full_like(half, 0.9))


def test_every_term_takes_part(photos: Path, tmp_path: Path) -> None:
    trainer = trainer_of(photos, tmp_path)
    for batch in trainer.loader(gather_photos(trainer.config), 3, 0):
        trainer.forget_losses()
        trainer.train_step(batch)
        means = trainer.mean_losses()
        assert all(0 < value < np.inf for value in means.values())
        supervised = means["opacity"] + 0.5 * means["airlight"] + means["recomposition"]
        assert means["lifter"] == pytest.approx(supervised + 1.5 * means["identity"])


def test_a_term_without_weight_moves_nothing(photos: Path, tmp_path: Path) -> None:
    trainer = trainer_of(photos, tmp_path, lift_supervised=0.0, lift_identity=0.0)
    before = {k: v.clone() for k, v in trainer.lifter.head.state_dict().items()}
    batch = next(iter(trainer.loader(gather_photos(trainer.config), 1, 0)))
    trainer.train_step(batch)
    for name, value in trainer.lifter.head.state_dict().items():
        # Weight decay alone is left.
        torch.testing.assert_close(value, before[name], atol=1e-5, rtol=1e-5)


def age(run: Path) -> None:
    """Bring a run to the form of versions that had a cycle loss and discriminators."""
    gone = {"lift_cycle": 0.0, "lift_adversarial": 0.0, "spectral_norm": False}
    write_json(run / "config.json", {**read_json(run / "config.json"), **gone})
    folder = state.named_checkpoint(RunDir(run), "latest")
    assert folder is not None
    saved = load_checkpoint(folder)
    saved.tensors["model"]["smoky_discriminator.layers.0.weight"] = torch.ones(4, 3, 4, 4)
    saved.tensors["state"]["loss_sums"] = torch.zeros(6)
    save_checkpoint(folder, saved.tensors, saved.state)


@pytest.mark.parametrize("earlier_version", [False, True])
def test_a_killed_run_ends_as_if_it_had_not_been(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, earlier_version: bool
) -> None:
    monkeypatch.setattr(loop, "lift_bank", lambda *_: lifting.Lifting(1, 1, 0, 0, 0, 0, 0, 0, 1))
    monkeypatch.setattr(engine, "cpu_multiplies_bfloat16", lambda: True)
    whole = train.run(config_of(photos, tmp_path / "whole"))
    assert read_json(whole.run / "environment.json")["precision"] == "32"
    assert whole.stopped == "finished" and "by R, a network trained for" in whole.summary()

    class Killed(BaseException):
        pass

    after = loop._Training._after_step

    def kill(self: Any, *arguments: Any) -> str:
        if self.trainer.step == 3:
            raise Killed
        return after(self, *arguments)

    monkeypatch.setattr(loop._Training, "_after_step", kill)
    with pytest.raises(Killed):
        train.run(config_of(photos, tmp_path / "cut"))
    monkeypatch.setattr(loop._Training, "_after_step", after)
    if earlier_version:
        age(tmp_path / "cut")
    train.run(train_config()(resume=tmp_path / "cut"))
    ends = []
    for name in ("whole", "cut"):
        folder = state.named_checkpoint(RunDir(tmp_path / name), "latest")
        assert folder is not None
        ends.append(load_checkpoint(folder).tensors)
        rows = read_jsonl(tmp_path / name / "metrics.jsonl")
        assert [row["step"] for row in rows if "opacity" in row] == [1, 2, 3, 4]
    for file, tensors in ends[0].items():
        assert tensors.keys() == ends[1][file].keys()
        for key, value in tensors.items():
            assert torch.equal(value, ends[1][file][key]), key


def test_pairs_are_the_same_for_any_workers_and_obey_the_law(photos: Path, tmp_path: Path) -> None:
    config = config_of(photos, tmp_path / "run", size=48, load_size=48)
    folders = gather_photos(config).training_set(config)
    pairs = SmokePairs(folders, ProceduralSmoke())
    alone, helped = (list(pairs.loader(2, 3, workers)) for workers in (0, 1))
    for first, second in zip(alone, helped, strict=True):
        assert first.keys() == second.keys()
        assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(alone[0]["opacity"], alone[1]["opacity"])
    batch = alone[0]
    empty = (batch["opacity"] == 0).expand_as(batch["clean"])
    assert torch.equal(batch["veiled"][empty], batch["clean"][empty])
    thick = batch["opacity"] > 0.9
    if bool(thick.any()):
        off = (batch["veiled"] - batch["airlight"]).abs().mean(1, keepdim=True)[thick]
        assert float(off.max()) < 0.25
    assert float((batch["veiled"] - batch["clean"]).abs().mean()) > 0.01


@pytest.mark.parametrize(
    ("fit", "shape"), [("short-side", (64, 96)), ("squash", (64, 64)), ("none", (96, 160))]
)
def test_photos_are_lifted_at_the_scale_of_training(
    tmp_path: Path, fit: str, shape: tuple[int, int]
) -> None:
    Image.new("RGB", (150, 100)).save(tmp_path / "photo.png")
    config = config_of(tmp_path, tmp_path / "run", fit=fit, size=32, load_size=64)
    assert lifting.load_whole(tmp_path / "photo.png", config).shape[1:] == shape


def test_layers_are_lifted_judged_and_usable(photos: Path, tmp_path: Path) -> None:
    config = config_of(photos, tmp_path / "run")
    engine = make_engine("cpu", "32", 0)
    folder = RunDir.create(tmp_path / "run", "train", {})
    found = lifting.lift_bank(folder, gather_photos(config), Oracle(), config, engine)  # type: ignore[arg-type]
    assert found.looked_at == 10 and found.layers >= 5
    assert found.suspicious_clean == 0 and read_json(folder.path / "suspicious.json") == []
    bank = LayerBank(folder.path / "layers.zip")
    scores = [row["score"] for row in bank.rows]
    assert len(bank) == found.layers
    assert scores == sorted(scores, reverse=True) and scores[-1] >= 0.5
    hashes = {item.record.sha256 for item in gather_photos(config).items if item.domain == "smoky"}
    assert {row["source_sha256"] for row in bank.rows} <= hashes

    dataset = synth.run(
        SynthConfig(
            (str(photos / "clean"),), out=tmp_path / "set", model=str(folder.path), probe=False,
            workers=1,
        )
    )  # fmt: skip
    assert dataset.masks and dataset.clean_class == "pixels"
    rows = [json.loads(line) for line in (dataset.run / "metadata.jsonl").read_text().splitlines()]
    assert all(row["mean_opacity"] > 0 for row in rows if row["label"] == "smoky")
    assert RunDir.open(dataset.run).parent("model").path == folder.path.resolve()


def test_smoke_in_the_clean_folder_is_said(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "clean").mkdir()
    for source in [*(photos / "clean").iterdir(), *sorted((photos / "smoky").iterdir())[:3]]:
        (tmp_path / "clean" / f"x{source.name[5:]}").write_bytes(source.read_bytes())
    for source in (photos / "smoky").iterdir():
        (tmp_path / "smoky").mkdir(exist_ok=True)
        (tmp_path / "smoky" / source.name).write_bytes(source.read_bytes() + b"\n")
    config = config_of(tmp_path, tmp_path / "run")
    folder = RunDir.create(tmp_path / "run", "train", {})
    found = lifting.lift_bank(
        folder, gather_photos(config), Oracle(), config, make_engine("cpu", "32", 0)  # type: ignore[arg-type]
    )  # fmt: skip
    named = [row["path"] for row in read_json(folder.path / "suspicious.json")]
    assert 1 <= found.suspicious_clean == len(named) <= 3
    assert f"smoke in {found.suspicious_clean} of " in found.notes()[0]
    assert "report.html#suspicious" in found.notes()[0]


def test_no_smoke_at_all_is_an_error_and_the_training_is_kept(photos: Path, tmp_path: Path) -> None:
    config = dataclasses.replace(
        config_of(photos, tmp_path / "run"), smoky=photos / "clean", clean=photos / "smoky"
    )
    folder = RunDir.create(tmp_path / "run", "train", {})
    with pytest.raises(InputError, match=r"usable smoke in none of 12 photos \(12 without smoke"):
        lifting.lift_bank(
            folder, gather_photos(config), Oracle(), config, make_engine("cpu", "32", 0)  # type: ignore[arg-type]
        )  # fmt: skip
    assert not (tmp_path / "run" / "layers.zip").exists()


def test_photos_that_vanished_since_the_training_are_said(
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("wisp.progress._said", set())
    copy = Path(shutil.copytree(photos, tmp_path / "photos"))
    config = config_of(copy, tmp_path / "run")
    gathered = gather_photos(config)
    (copy / "clean" / "place3__0.png").unlink()
    folder = RunDir.create(tmp_path / "run", "train", {})
    found = lifting.lift_bank(
        folder, gathered, Oracle(), config, make_engine("cpu", "32", 0)  # type: ignore[arg-type]
    )  # fmt: skip
    assert found.layers > 0 and found.clean_looked_at == 11
    said = capsys.readouterr().err
    assert said.count("clean/place3__0.png: can no longer be read and is left out") == 1
