"""The training job: sets a run up or takes it up again, and walks through its steps."""

from __future__ import annotations

import dataclasses
import math
import os
import time
from pathlib import Path
from typing import Any

import torch

from wisp import config as configs
from wisp.config import (
    ComposingConfig,
    LayeredConfig,
    Precision,
    RepaintingConfig,
    TrainConfig,
    to_json,
)
from wisp.config.checks import flag_of
from wisp.engine import Engine, make_engine
from wisp.errors import InputError, StoppedError, TrainingDivergedError
from wisp.jobs.train import samples, state
from wisp.jobs.train.composing import ComposingTrainer
from wisp.jobs.train.cyclegan import CycleGanTrainer
from wisp.jobs.train.distance import Distance, load_measuring_backbone, make_distance
from wisp.jobs.train.health import Health
from wisp.jobs.train.interrupt import StopWish, stop_after_step
from wisp.jobs.train.layered import LayeredTrainer
from wisp.jobs.train.lifting import Lifting, lift_bank
from wisp.jobs.train.photos import Photos, gather_photos, load_middle, read_photos, write_photos
from wisp.jobs.train.result import TrainResult, finished
from wisp.jobs.train.trainer import Trainer
from wisp.networks.backbone import Backbone, load_backbone
from wisp.progress import Progress, progress, say
from wisp.rundir import RunDir, precision_so_far, read_jsonl, write_json, write_jsonl


def run(config: TrainConfig) -> TrainResult:
    """Train a model, or go on with a run (``config.resume``) exactly where it stopped.

    Raises InputError for unusable folders or flags, TrainingDivergedError when a loss is no longer
    finite, WispError when the disk is full and StoppedError on Ctrl-C: in all cases the
    checkpoints written before stay usable.
    """
    if config.resume is None:
        return _Training.begin(config).run()
    folder = _run_to_resume(config)
    earlier = finished(folder)
    if earlier is not None:
        say(f"{folder.path}: is finished already ({earlier.steps} steps)")
        return earlier
    return _Training.take_up(folder, _saved_config(folder)).run()


def _run_to_resume(config: TrainConfig) -> RunDir:
    assert config.resume is not None
    given = [
        flag_of(field.name)
        for field in dataclasses.fields(config)
        if field.name != "resume" and getattr(config, field.name) != field.default
    ]
    kind = configs.train_kinds()[type(config)]
    if not isinstance(config, configs.train_config()) and kind.split()[0] not in given:
        given.append(kind)
    if given:
        raise InputError(
            f"--resume reads everything from {config.resume}; leave out what else is given "
            f"({', '.join(given)}), or begin a new run"
        )
    return RunDir.open(config.resume, "train", "--resume")


def _saved_config(folder: RunDir) -> TrainConfig:
    try:
        saved = configs.saved_train_config(folder.config)
    except InputError as error:
        raise InputError(
            f"--resume {folder.path}: its configuration cannot be used ({error}); restore it or "
            "begin a new run"
        ) from None
    return dataclasses.replace(saved, out=folder.path, resume=None)


def _workers(config: TrainConfig, engine: Engine) -> int:
    """On a CPU the step needs all cores, and crops of photos kept in memory cost little."""
    if config.workers is not None:
        return config.workers
    return 0 if engine.device.type == "cpu" else max(1, min(8, (os.cpu_count() or 2) - 1))


def _make_engine(config: TrainConfig, begun_with: Precision | None = None) -> Engine:
    repaints = isinstance(config, RepaintingConfig)
    return make_engine(
        config.device, config.precision, config.seed, begun_with, light=not repaints, dense=repaints
    )


def _make_trainer(config: TrainConfig, engine: Engine, *, goes_on: bool) -> Trainer:
    """The trainer of ``--model``; one that ``goes_on`` from a checkpoint brings its own weights:
    those it began with need not be fetched again."""
    if isinstance(config, RepaintingConfig):
        return CycleGanTrainer(config, engine)
    assert isinstance(config, ComposingConfig | LayeredConfig)
    weights = "none" if goes_on else config.weights
    backbone = load_backbone(config.backbone, weights, config.size)
    if isinstance(config, LayeredConfig):
        return LayeredTrainer(config, engine, backbone)
    return ComposingTrainer(config, engine, backbone)


class _Training:
    """One session of a run: from its beginning, or from a checkpoint, to its end."""

    def __init__(
        self,
        folder: RunDir,
        config: TrainConfig,
        photos: Photos,
        engine: Engine,
        backbone: Backbone | None,
        trainer: Trainer,
    ) -> None:
        self.folder, self.config, self.photos, self.engine = folder, config, photos, engine
        self.backbone = backbone
        self.trainer = trainer
        self.health = Health()
        self.best: dict[str, Any] | None = None
        self.measured_without_better = 0
        self.seconds_before = 0.0
        self.checkpoint: Path | None = None
        self._start_s = self._row_s = time.monotonic()
        self._row_step = 0
        write_photos(folder, photos, trainer.parents())
        folder.write_environment(
            device=str(engine.device), precision=engine.precision, why=engine.why
        )

    @classmethod
    def begin(cls, config: TrainConfig) -> _Training:
        """A new run."""
        assert config.out is not None
        RunDir.require_free(config.out)
        engine = _make_engine(config)
        backbone = load_measuring_backbone(config)
        trainer = _make_trainer(config, engine, goes_on=False)
        photos = gather_photos(config)
        folder = RunDir.create(config.out, "train", to_json(config))
        return cls(folder, config, photos, engine, backbone, trainer)

    @classmethod
    def take_up(cls, folder: RunDir, config: TrainConfig) -> _Training:
        """A run that was stopped or killed, at its latest checkpoint."""
        folder.sweep_temporary()
        engine = _make_engine(config, precision_so_far(folder.path, config.precision))
        begun = (folder.path / "inputs.json").exists()
        photos = read_photos(folder) if begun else gather_photos(config)
        checkpoint = state.latest_checkpoint(folder)
        trainer = _make_trainer(config, engine, goes_on=checkpoint is not None)
        measuring = load_measuring_backbone(config)
        training = cls(folder, config, photos, engine, measuring, trainer)
        if checkpoint is not None:
            state.restore_training(training.trainer, checkpoint)
            training._restore(checkpoint.state)
            training.checkpoint = checkpoint.path
        step = training.trainer.step
        rows = read_jsonl(folder.metrics_file)
        write_jsonl(folder.metrics_file, [row for row in rows if row["step"] <= step])
        say(f"{folder.path}: going on at step {step} of {config.steps}")
        return training

    def _restore(self, saved: dict[str, Any]) -> None:
        self.seconds_before = float(saved["seconds"])
        self.health = Health(**saved["health"])
        self.best = saved["best"]
        self.measured_without_better = int(saved["measured_without_better"])
        best = self.folder.path / "checkpoints" / "best.json"
        if self.best is None:  # named after this checkpoint was written, then killed
            best.unlink(missing_ok=True)
        else:
            write_json(best, self.best)

    @property
    def seconds(self) -> float:
        """Time spent training, earlier sessions included [s]."""
        return self.seconds_before + time.monotonic() - self._start_s

    def run(self) -> TrainResult:
        """Walk through the steps that are left."""
        config, trainer = self.config, self.trainer
        # A run killed between its last checkpoint and its result has nothing left to do.
        stopped = "early" if self._out_of_patience() else "finished"
        left = 0 if stopped == "early" else config.steps - trainer.step
        loader = trainer.loader(self.photos, left, _workers(config, self.engine))
        self.clean, self.smoky = (
            load_middle(self.photos.paths(domain, "validation"), config)
            for domain in ("clean", "smoky")
        )
        self.distance: Distance | None = make_distance(
            self.backbone, self.photos, config, self.engine
        )
        counts = {domain: len(self.photos.paths(domain, "train")) for domain in ("clean", "smoky")}
        say(
            f"training on {counts['clean']} clean and {counts['smoky']} smoky photos, "
            f"{self.engine.why}"
        )
        for note in self.health.check_photos(counts):
            say(note)
        self._start_s = self._row_s = time.monotonic()
        self._row_step = trainer.step
        note = ""
        with (
            stop_after_step() as wish,
            progress("train", config.steps, done=trainer.step, unit="step") as bar,
        ):
            for batch in loader:
                device = self.engine.device
                trainer.train_step(
                    {name: part.to(device, non_blocking=True) for name, part in batch.items()}
                )
                note = self._after_step(bar, wish) or note
                bar.advance(note=note)
                if self._out_of_patience():
                    stopped = "early"
                    break
        del loader  # and with it the photos in memory, which lifting has no use for
        return self._end(stopped, counts)

    def _due(self, every: int) -> bool:
        return self.trainer.step % every == 0 or self.trainer.step == self.config.steps

    def _after_step(self, bar: Progress, wish: StopWish) -> str:
        """Rows, samples, distance, checkpoint, each when due; the note for the progress line."""
        config = self.config
        note = ""
        reason = wish.reason  # once: a wish that comes from here on is the next step's
        keep = self._due(config.checkpoint_every) or bool(reason)
        if keep or self.engine.device.type == "cpu" or self._due(config.log_every):
            self._check_finite()
        if self._due(config.log_every):
            note = self._log()
        if self._due(config.sample_every):
            self._sample()
        is_best = False
        if self.distance is not None and self._due(config.distance_every):
            is_best = self._measure()
        if keep or is_best or self._out_of_patience():
            self._save(is_best)
        if reason:
            bar.close()
            self._write_result("interrupted")
            raise StoppedError(
                f"stopped by {reason} at step {self.trainer.step} of {config.steps}; go on "
                f"with: wisp train --resume {self.folder.path}"
            )
        return note

    def _check_finite(self) -> None:
        if bool(torch.isfinite(self.trainer.loss_sums).all()):
            return
        self._write_result("diverged")
        good = self.checkpoint or "none was written yet"
        raise TrainingDivergedError(
            f"the losses are no longer finite at step {self.trainer.step}; last good checkpoint: "
            f"{good}; lower --learning-rate (now {self.config.learning_rate:g}) or take "
            f"--precision 32 (now {self.engine.precision})"
        )

    def _log(self) -> str:
        trainer = self.trainer
        means = trainer.mean_losses()
        now_s = time.monotonic()
        # Not loss_count: after a resume that counts steps of before, which took no time now.
        pairs = (trainer.step - self._row_step) * self.config.images_per_step
        step = min(trainer.step - 1, self.config.steps - 1)
        self.folder.log(
            {
                "step": trainer.step,
                "seconds": round(self.seconds, 3),
                "pairs_per_s": round(pairs / max(1e-9, now_s - self._row_s), 4),
                "learning_rate": trainer.learning_rate_at(step),
                **{name: float(f"{value:.6g}") for name, value in means.items()},
            }
        )
        trainer.forget_losses()
        self._row_s, self._row_step = now_s, trainer.step
        self._tell(self.health.check_losses(trainer.step, means))
        return trainer.note(means)

    def _tell(self, notes: list[str]) -> None:
        for note in notes:
            say(note)
            self.folder.log({"step": self.trainer.step, "note": note})

    def _sample(self) -> None:
        rows = min(len(self.clean), len(self.smoky))
        if rows == 0:
            return
        sampled = self.trainer.samples(self.clean[:rows], self.smoky[:rows])
        samples.write_samples(self.folder, self.trainer.step, sampled.picture)
        self._tell(self.health.check_samples(self.trainer.step, sampled.faults))

    def _measure(self) -> bool:
        """Log the distance; whether it is the best so far."""
        assert self.distance is not None
        step = self.trainer.step
        distance = self.distance.measure(self.trainer.to_smoky)
        self.folder.log({"step": step, "distance": distance})
        value = math.inf if distance["value"] is None else float(distance["value"])
        say(f"step {step}: distance to real smoky photos {value:.4f} ({distance['features']})")
        if self.best is not None and value >= self.best["distance"]["value"]:
            self.measured_without_better += 1
            return False
        self.measured_without_better = 0
        self.best = {"step": step, "path": f"checkpoints/step-{step:07d}", "distance": distance}
        return True

    def _out_of_patience(self) -> bool:
        return 0 < self.config.patience <= self.measured_without_better

    def _save(self, is_best: bool) -> None:
        self.checkpoint = state.save_training(
            self.folder,
            self.trainer,
            {
                "seconds": self.seconds,
                "health": self.health.to_json(),
                "best": self.best,
                "measured_without_better": self.measured_without_better,
            },
        )
        if is_best:
            assert self.best is not None
            write_json(self.folder.path / "checkpoints" / "best.json", self.best)
        state.prune(self.folder)

    def _write_result(self, stopped: str, lifting: Lifting | None = None) -> dict[str, Any]:
        checkpoint = self.checkpoint
        result = {
            "steps": self.trainer.step,
            "seconds": round(self.seconds, 3),
            "stopped": stopped,
            "checkpoint": "" if checkpoint is None else f"checkpoints/{checkpoint.name}",
            "best": self.best,
            "photos": {
                domain: len(self.photos.paths(domain, "train")) for domain in ("clean", "smoky")
            },
            "skipped": len(self.photos.skipped),
            "lifting": None if lifting is None else dataclasses.asdict(lifting),
            "notes": self.health.notes,
        }
        write_json(self.folder.path / "result.json", result)
        return result

    def _end(self, stopped: str, counts: dict[str, int]) -> TrainResult:
        if stopped == "early":
            assert self.best is not None
            self.health.notes.append(
                f"stopped early at step {self.trainer.step}: the distance did not fall in "
                f"{self.config.patience} measurements; the best checkpoint is of step "
                f"{self.best['step']}"
            )
        lifting = None
        if isinstance(self.trainer, LayeredTrainer):
            lifter = self.trainer.lifter_in_use()
            lifting = lift_bank(self.folder, self.photos, lifter, self.config, self.engine)
            self.health.notes += lifting.notes()
        result = self._write_result(stopped, lifting)
        assert self.checkpoint is not None
        return TrainResult(
            run=self.folder.path, **{**result, "checkpoint": self.checkpoint, "photos": counts}
        )
