"""Real tiny trainings: the step, exact resume after real kills, and everything that goes wrong."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from wisp import engine
from wisp.checkpoint import load_checkpoint
from wisp.config import RepaintingConfig, TrainConfig, to_json, train_config
from wisp.engine import make_engine
from wisp.errors import InputError, StoppedError, TrainingDivergedError, WispError
from wisp.jobs import train
from wisp.jobs.train import loop, state
from wisp.jobs.train.cyclegan import CycleGanTrainer
from wisp.jobs.train.interrupt import StopWish
from wisp.networks.backbone import HubUnreachableError
from wisp.rundir import read_jsonl

SMALL: dict[str, Any] = {
    "size": 32, "generator": "resnet6", "width": 4, "discriminator_width": 4, "steps": 6,
    "log_every": 2, "sample_every": 3, "checkpoint_every": 2, "validation_photos": 2, "workers": 0,
    "pool_size": 2, "device": "cpu", "precision": "32", "seed": 3,
}  # fmt: skip


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small are slower on two threads; and sums depend on the number."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for domain in ("clean", "smoky"):
        (folder / domain).mkdir()
        for number in range(10):
            pixels = random.integers(0, 255, (40, 44, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / domain / f"{domain}-{number}.png")
    return folder


def config_of(photos: Path, out: Path, **changes: Any) -> RepaintingConfig:
    return RepaintingConfig(photos / "clean", photos / "smoky", out=out, **{**SMALL, **changes})


def final_tensors(run: Path) -> dict[str, dict[str, torch.Tensor]]:
    folder = state.named_checkpoint(state.RunDir(run), "latest")
    assert folder is not None
    return load_checkpoint(folder).tensors


def assert_same_run(first: Path, second: Path) -> None:
    a, b = final_tensors(first), final_tensors(second)
    for file, tensors in a.items():
        assert tensors.keys() == b[file].keys()
        for name, value in tensors.items():
            assert torch.equal(value, b[file][name]), name
    timing = ("seconds", "pairs_per_s")
    rows = [
        [{k: v for k, v in row.items() if k not in timing} for row in
         read_jsonl(run / "metrics.jsonl")] for run in (first, second)
    ]  # fmt: skip
    assert rows[0] == rows[1]


def trainer_of(**changes: Any) -> CycleGanTrainer:
    config = config_of(Path("a"), Path("b"), **changes)
    return CycleGanTrainer(config, make_engine("cpu", config.precision, config.seed))


def batch(step: int = 0, count: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(step)
    images = torch.rand(2, count, 3, 32, 32, generator=draw) * 2 - 1
    return images[0], images[1]


def as_step(images: tuple[torch.Tensor, torch.Tensor]) -> dict[str, torch.Tensor]:
    return dict(zip(("clean", "smoky"), images, strict=True))


def plain_steps(trainer: CycleGanTrainer, steps: int) -> dict[str, torch.Tensor]:
    """The paper's algorithm written out, from the trainer's starting weights; pool size 0."""
    nets = copy.deepcopy(trainer.networks)
    to_smoky, to_clean = nets.clean_to_smoky, nets.smoky_to_clean
    smoky_d, clean_d = nets.smoky_discriminator, nets.clean_discriminator
    lr = trainer.config.learning_rate
    both = [[*to_smoky.parameters(), *to_clean.parameters()],
            [*smoky_d.parameters(), *clean_d.parameters()]]  # fmt: skip
    adam = [torch.optim.Adam(p, lr=lr, betas=(0.5, 0.999), foreach=False) for p in both]
    for step in range(steps):
        clean, smoky = batch(step)
        rate = lr * min(1.0, (trainer.config.steps - step) / (trainer.config.steps / 2))
        for optimizer in adam:
            optimizer.param_groups[0]["lr"] = rate
        fake_smoky, fake_clean = to_smoky(clean), to_clean(smoky)
        score_s, score_c = smoky_d(fake_smoky), clean_d(fake_clean)
        loss = F.mse_loss(score_s, torch.ones_like(score_s))
        loss = loss + F.mse_loss(score_c, torch.ones_like(score_c))
        loss = loss + 10 * F.l1_loss(to_clean(fake_smoky), clean)
        loss = loss + 10 * F.l1_loss(to_smoky(fake_clean), smoky)
        loss = loss + 5 * F.l1_loss(to_smoky(smoky), smoky) + 5 * F.l1_loss(to_clean(clean), clean)
        adam[0].zero_grad()
        loss.backward()
        adam[0].step()
        adam[1].zero_grad()
        for network, real, fake in ((smoky_d, smoky, fake_smoky), (clean_d, clean, fake_clean)):
            on_real, on_fake = network(real), network(fake.detach())
            (0.5 * (F.mse_loss(on_real, torch.ones_like(on_real)) + on_fake.square().mean())
             ).backward()  # fmt: skip
        adam[1].step()
    return nets.state_dict()


def test_steps_are_the_papers_algorithm() -> None:
    trainer = trainer_of(pool_size=0, ema=0.0)
    start = copy.deepcopy(trainer.networks.state_dict())
    expected = plain_steps(trainer, 5)
    for step in range(5):
        trainer.train_step(as_step(batch(step)))
    for name, value in trainer.networks.state_dict().items():
        # The gradient of a bias before a norm is rounding noise, and Adam follows its sign.
        if not name.endswith("weight"):
            continue
        moved = (expected[name] - start[name]).abs().mean()
        assert moved > 1e-4
        assert (value - expected[name]).abs().mean() < 0.02 * moved, name


def test_accumulating_gives_the_step_of_the_whole_batch() -> None:
    whole, parts = (trainer_of(images_per_step=4, accumulate=n, pool_size=0) for n in (1, 4))
    for trainer in (whole, parts):
        for step in range(2):  # the second shows what the first learned
            trainer.train_step(as_step(batch(step, 4)))
    for name, value in whole.mean_losses().items():
        assert parts.mean_losses()[name] == pytest.approx(value, rel=1e-3), name


def test_one_call_on_two_images_is_two_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    apart, together = trainer_of(ema=0.0), trainer_of(ema=0.0)
    apart.train_step(as_step(batch()))
    monkeypatch.setattr("wisp.engine.Engine.prefers_batches", True)
    together.train_step(as_step(batch()))
    for name, value in apart.mean_losses().items():
        assert together.mean_losses()[name] == pytest.approx(value, rel=1e-4), name


def test_discriminators_stay_as_they_are_while_generators_learn() -> None:
    trainer = trainer_of()
    before = copy.deepcopy(trainer.networks.smoky_discriminator.state_dict())
    trainer._freeze_discriminators(True)
    trainer._generators_learn(*batch(), 0)
    trainer._update("generators")
    assert all(p.grad is None for p in trainer.networks.smoky_discriminator.parameters())
    for name, value in trainer.networks.smoky_discriminator.state_dict().items():
        assert torch.equal(value, before[name])


def test_it_learns() -> None:
    trainer = trainer_of(width=8, discriminator_width=8, steps=60, learning_rate=2e-3)
    clean, smoky = (torch.full((1, 3, 32, 32), value) for value in (-0.5, 0.5))
    clean[..., :16, :], smoky[..., :16, :] = 0.2, 0.8
    trainer.train_step({"clean": clean, "smoky": smoky})
    first = trainer.mean_losses()
    trainer.forget_losses()
    for _ in range(40):
        trainer.train_step({"clean": clean, "smoky": smoky})
    trainer.forget_losses()
    trainer.train_step({"clean": clean, "smoky": smoky})
    last = trainer.mean_losses()
    assert last["cycle_clean"] < 0.5 * first["cycle_clean"]
    assert last["identity_smoky"] < 0.5 * first["identity_smoky"]


def test_a_run_describes_itself_and_resumes_bit_for_bit(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"spectral_norm": True, "diffaugment": True, "images_per_step": 2, "accumulate": 2}
    options["precision"] = "auto"
    monkeypatch.setattr(engine, "cpu_multiplies_bfloat16", lambda: True)
    whole = train.run(config_of(photos, tmp_path / "whole", **options))
    assert (whole.steps, whole.stopped) == (6, "finished")
    names = sorted(p.name for p in (whole.run / "checkpoints").iterdir())
    assert names == ["latest.json", "step-0000004", "step-0000006"]
    model = final_tensors(whole.run)["model"]
    assert {"clean_to_smoky.model.1.weight", "ema.smoky_to_clean.model.1.weight"} <= model.keys()
    rows = read_jsonl(whole.run / "metrics.jsonl")
    assert [row["step"] for row in rows] == [2, 4, 6]
    assert {"cycle_clean", "generator", "discriminator_smoky", "pairs_per_s"} <= rows[0].keys()
    inputs = json.loads((whole.run / "inputs.json").read_text())
    splits = [(f["domain"], f["split"]) for f in inputs["files"]]
    assert splits.count(("clean", "validation")) == 2
    assert splits.count(("smoky", "train")) == 8 == whole.photos["smoky"]
    assert (whole.run / "samples" / "step-0000003.jpg").exists()
    assert "bfloat16" in json.loads((whole.run / "environment.json").read_text())["why"]

    class Killed(BaseException):
        pass

    def kill(self: Any, *arguments: Any) -> None:
        if self.trainer.step == 5:
            raise Killed
        return sample(self, *arguments)

    sample = loop._Training._after_step
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(loop._Training, "_after_step", kill)
        train.run(config_of(photos, tmp_path / "cut", **options))
    # Where another precision would be faster by now, the run keeps the one it began with.
    monkeypatch.setattr(engine, "cpu_multiplies_bfloat16", lambda: False)
    train.run(train_config()(resume=tmp_path / "cut"))
    assert_same_run(whole.run, tmp_path / "cut")
    again = train.run(train_config()(resume=tmp_path / "cut"))  # nothing left to do
    assert again.steps == 6


def test_a_wish_to_stop_amid_the_end_of_a_step_is_the_next_steps(photos, tmp_path, monkeypatch):
    def checked(self: Any) -> None:
        wish.reason = "Ctrl-C"  # after this step was looked at for wishes

    wish = StopWish()
    monkeypatch.setattr(loop, "stop_after_step", lambda: contextlib.nullcontext(wish))
    monkeypatch.setattr(loop._Training, "_check_finite", checked)
    with pytest.raises(StoppedError, match="stopped by Ctrl-C at step 2 of 6"):
        train.run(config_of(photos, tmp_path / "run", checkpoint_every=6))
    stopped = json.loads((tmp_path / "run" / "result.json").read_text())
    assert (tmp_path / "run" / stopped["checkpoint"] / "model.safetensors").exists()


RUN = """
import json, sys
from pathlib import Path
from wisp.config import saved_train_config
from wisp.jobs import train
import torch
torch.set_num_threads(1)
{before}
config = json.loads(sys.argv[1])
train.run(saved_train_config(config))
"""
KILL_WHILE_WRITING = """
import os, signal
from wisp import checkpoint
real, calls = checkpoint.write_bytes, []
def write(path, data):
    calls.append(path)
    if len(calls) == 4:  # the second checkpoint's second file
        path.write_bytes(data[: len(data) // 2])
        os.kill(os.getpid(), signal.SIGKILL)
    real(path, data)
checkpoint.write_bytes = write
"""
KILL_BEFORE_NAMING = """
import os, signal
from wisp.jobs.train import state
real, calls = state.write_json, []
def write(path, value):
    calls.append(path)
    if len(calls) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    real(path, value)
state.write_json = write
"""


def start(config: TrainConfig, before: str = "") -> subprocess.Popen[bytes]:
    script = RUN.format(before=before)
    arguments = [sys.executable, "-c", script, json.dumps(to_json(config))]
    return subprocess.Popen(arguments, stderr=subprocess.PIPE)


def finish(config: TrainConfig) -> None:
    process = start(config)
    _, errors = process.communicate()
    assert process.returncode == 0, errors.decode()


@pytest.fixture(scope="module")
def whole_run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that was never stopped."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    run = train.run(config_of(photos, tmp_path_factory.mktemp("whole") / "run")).run
    torch.set_num_threads(before)
    return run


@pytest.mark.parametrize("before", [KILL_WHILE_WRITING, KILL_BEFORE_NAMING])
def test_killed_while_it_writes_a_checkpoint(
    before: str, photos: Path, whole_run: Path, tmp_path: Path
) -> None:
    process = start(config_of(photos, tmp_path / "run"), before)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    latest = json.loads((tmp_path / "run/checkpoints/latest.json").read_text())
    assert latest["step"] == 2
    train.run(train_config()(resume=tmp_path / "run"))
    assert_same_run(whole_run, tmp_path / "run")
    assert not list((tmp_path / "run").rglob(".tmp-*"))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_killed_at_any_time(seed: int, photos: Path, tmp_path: Path) -> None:
    options = {"steps": 60, "checkpoint_every": 7, "log_every": 5, "sample_every": 20}
    finish(config_of(photos, tmp_path / "whole", **options))
    config = config_of(photos, tmp_path / "run", **options)
    random = np.random.default_rng(seed)
    kills = 0
    while True:
        metrics = tmp_path / "run" / "metrics.jsonl"
        before = metrics.stat().st_size if metrics.exists() else 0
        process, began = start(config), time.monotonic()
        while process.poll() is None:
            if metrics.exists() and metrics.stat().st_size > before:
                break
            time.sleep(0.01)
        # Any time is a share of what this machine took so far: a fast one would be finished.
        time.sleep(float(random.uniform(0, 0.05)) * (time.monotonic() - began))
        process.kill()
        process.communicate()
        kills += process.returncode == -signal.SIGKILL
        if process.returncode == 0 or kills >= 3:
            break
        config = train_config()(resume=tmp_path / "run")
    assert kills
    finish(train_config()(resume=tmp_path / "run"))
    assert_same_run(tmp_path / "whole", tmp_path / "run")


def test_ctrl_c_finishes_the_step_and_says_how_to_go_on(
    photos: Path, whole_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = CycleGanTrainer.train_step

    def interrupted(self: CycleGanTrainer, *images: torch.Tensor) -> None:
        if self.step == 2:
            os.kill(os.getpid(), signal.SIGINT)
        real(self, *images)

    monkeypatch.setattr(CycleGanTrainer, "train_step", interrupted)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(WispError, match=r"Ctrl-C at step 3 of 6; .*wisp train --resume"):
        train.run(config_of(photos, tmp_path / "run"))
    assert signal.getsignal(signal.SIGINT) is before
    assert json.loads((tmp_path / "run/result.json").read_text())["stopped"] == "interrupted"
    monkeypatch.undo()
    train.run(train_config()(resume=tmp_path / "run"))
    assert_same_run(whole_run, tmp_path / "run")


def test_divergence_names_the_last_good_checkpoint(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = CycleGanTrainer.train_step

    def spoiled(self: CycleGanTrainer, batch: dict[str, torch.Tensor]) -> None:
        spoil = float("nan") if self.step == 4 else 1
        real(self, {**batch, "clean": spoil * batch["clean"]})

    monkeypatch.setattr(CycleGanTrainer, "train_step", spoiled)
    with pytest.raises(TrainingDivergedError, match=r"step 5.*step-0000004.*--learning-rate"):
        train.run(config_of(photos, tmp_path / "run"))
    assert all(t.isfinite().all() for t in final_tensors(tmp_path / "run")["model"].values())


def test_a_full_disk_keeps_earlier_checkpoints(
    photos: Path, whole_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    from wisp import checkpoint

    real = checkpoint.write_bytes

    def full(path: Path, data: bytes) -> None:
        if (tmp_path / "run/checkpoints/latest.json").exists():
            raise WispError("full") from OSError(errno.ENOSPC, "No space left on device")
        real(path, data)

    monkeypatch.setattr(checkpoint, "write_bytes", full)
    with pytest.raises(WispError, match=r"step-0000004: the disk is full"):
        train.run(config_of(photos, tmp_path / "run"))
    assert final_tensors(tmp_path / "run")["model"]


def test_a_damaged_latest_checkpoint_is_passed_over(
    photos: Path, whole_run: Path, tmp_path: Path
) -> None:
    train.run(config_of(photos, tmp_path / "run"))
    (tmp_path / "run/result.json").unlink()
    damaged = tmp_path / "run/checkpoints/step-0000006/state.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    assert train.run(train_config()(resume=tmp_path / "run")).steps == 6
    assert_same_run(whole_run, tmp_path / "run")


def test_distance_keeps_the_best_and_patience_stops(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from wisp.jobs.train.distance import Distance

    values = iter([3.0, 1.0, 2.0, 2.5, 0.1])
    real = Distance.measure

    def measured(self: Distance, network: torch.nn.Module) -> dict[str, Any]:
        result = real(self, network)
        assert result["low"] <= result["value"] <= result["high"]
        return {**result, "value": next(values)}

    monkeypatch.setattr(Distance, "measure", measured)
    result = train.run(
        config_of(
            photos, tmp_path / "run", steps=12, distance_every=2, distance_backbone="resnet10t",
            distance_weights="random", patience=2, checkpoint_every=3,
        )
    )  # fmt: skip
    assert (result.stopped, result.steps) == ("early", 8)
    assert result.best is not None and result.best["step"] == 4
    kept = sorted(p.name for p in (tmp_path / "run/checkpoints").glob("step-*"))
    assert "step-0000004" in kept and "step-0000008" in kept and len(kept) == 3
    assert json.loads((tmp_path / "run/checkpoints/best.json").read_text())["step"] == 4
    assert "stopped early" in result.notes[-1]
    # Killed after its last checkpoint, before its result: not one step more.
    (tmp_path / "run/result.json").unlink()
    again = train.run(train_config()(resume=tmp_path / "run"))
    assert (again.stopped, again.steps, again.best) == ("early", 8, result.best)


def test_weights_that_cannot_be_fetched_turn_the_distance_off(
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def unreachable(*_: Any) -> None:
        raise HubUnreachableError("the hub cannot be reached")

    monkeypatch.setattr("wisp.jobs.train.distance.load_backbone", unreachable)
    config = config_of(photos, tmp_path / "run", steps=1, distance_every=1)
    assert train.run(config).best is None
    assert "the distance is off" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"distance_weights": "absent.pth"}, "--distance-weights absent.pth: no such file"),
        ({"distance_backbone": "resnet5O"}, "--distance-backbone resnet5O: .*resnet50"),
    ],
)
def test_a_distance_that_cannot_be_measured_is_told_before_a_run_is_made(
    photos: Path, tmp_path: Path, wrong: dict[str, str], said: str
) -> None:
    config = config_of(photos, tmp_path / "run", steps=1, distance_every=1, **wrong)
    with pytest.raises(InputError, match=said):
        train.run(config)
    assert not (tmp_path / "run").exists()


def test_bad_files_are_skipped_counted_and_listed(photos: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(photos, tmp_path / "photos")
    (tmp_path / "photos/clean/empty.jpg").touch()
    (tmp_path / "photos/smoky/text.jpg").write_text("no picture")
    result = train.run(config_of(tmp_path / "photos", tmp_path / "run", steps=1))
    assert result.skipped == 2
    listed = json.loads((tmp_path / "run/inputs.json").read_text())["skipped"]
    assert {Path(row["path"]).name for row in listed} == {"empty.jpg", "text.jpg"}


def test_unusable_input_is_refused_in_one_sentence(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/text.jpg").write_text("no picture")
    with pytest.raises(InputError, match=r"bad: none of its 1 pictures can be read"):
        train.run(dataclasses.replace(config_of(photos, tmp_path / "a"), smoky=tmp_path / "bad"))
    with pytest.raises(InputError, match="share"):
        train.run(dataclasses.replace(config_of(photos, tmp_path / "b"), smoky=photos / "clean"))
    assert not (tmp_path / "a").exists() and not (tmp_path / "b").exists()  # so that --out is free
    with pytest.raises(InputError, match="no such run"):
        train.run(train_config()(resume=tmp_path / "absent"))
    with pytest.raises(InputError, match=r"leave out what else is given \(CLEAN, --steps\)"):
        train.run(train_config()(Path("a"), resume=tmp_path / "absent", steps=7))


def test_a_photo_that_is_gone_is_named_on_resume(photos: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(photos, tmp_path / "photos")
    train.run(config_of(tmp_path / "photos", tmp_path / "run", steps=1))
    (tmp_path / "run/result.json").unlink()
    (tmp_path / "photos/clean/clean-3.png").unlink()
    with pytest.raises(InputError, match=r"clean-3\.png: is gone"):
        train.run(train_config()(resume=tmp_path / "run"))
