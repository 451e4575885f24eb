"""The four jobs in a row, as a user would type them, on pictures that :mod:`.world` renders."""

from __future__ import annotations

import dataclasses
import shutil
import time
from pathlib import Path

from wisp.config import ClassifyConfig, ComposingConfig, DemoConfig, EvaluateConfig, SynthConfig
from wisp.errors import StoppedError
from wisp.progress import format_duration, say
from wisp.rundir import RunDir, read_json, write_json

OWN_PHOTOS = """\
wisp synth    clean/ --out dataset
wisp classify dataset --out runs/detector
wisp evaluate runs/detector real/ --out runs/eval"""

_RENDERED = (
    "This world is rendered: no picture in this report is a photo, and its “real” smoke is a "
    "simulation that the smoke models have not seen. Everything else happened as shown: the "
    "CycleGAN and the detector were trained just now, on this machine. The layered smoke is that "
    "of real photos: its layers were lifted off them before, and ship with wisp."
)


@dataclasses.dataclass(frozen=True)
class DemoResult:
    """What the demo measured, and where it lies."""

    run: Path
    report: Path
    seconds: float
    train_seconds: float
    metrics: dict[str, dict[str, float | None]]
    """auroc, balanced_accuracy, …: {"value", "low", "high"} on the rendered test set."""

    def summary(self) -> str:
        """The closing lines on the terminal."""
        lines = [
            "",
            "Scores on the rendered test set (95 % intervals over places):",
            *(_line(name, self.metrics[name]) for name in ("auroc", "balanced_accuracy")),
            "",
            "This world is rendered; real photos are harder. For your own photos, type",
            *(f"  {line}" for line in OWN_PHOTOS.splitlines()),
            "",
            f"The whole loop took {format_duration(self.seconds)}. Report: {self.report}",
        ]
        return "\n".join(lines)


def _line(name: str, interval: dict[str, float | None]) -> str:
    label = name.replace("_", " ").replace("auroc", "AUROC")
    value, low, high = (interval[key] for key in ("value", "low", "high"))
    if value is None:
        return f"  {label:<18} not defined on this set"
    if low is None or high is None:
        return f"  {label:<18} {value:.3f}"
    return f"  {label:<18} {value:.3f}  ({low:.3f} to {high:.3f})"


SIZE_PX = 96
"""Of the crops and pictures that the demo's networks see."""


def train_config(out: Path, config: DemoConfig) -> ComposingConfig:
    """A CycleGAN of a minute on two cores."""
    return ComposingConfig(
        out / "world" / "clean",
        out / "world" / "smoky",
        out=out / "gan",
        size=SIZE_PX,
        steps=150,
        images_per_step=6,
        ema=0.98,
        sample_every=50,
        checkpoint_every=50,
        validation_photos=6,
        workers=0,
        seed=config.seed,
        device=config.device,
    )


def run(config: DemoConfig) -> DemoResult:
    """Render, train, synthesise, classify, evaluate; returns where the report is.

    A finished demo is not made again, an unfinished one is begun anew. Raises StoppedError after
    Ctrl-C or SIGTERM.
    """
    try:
        return _run(config)
    except (KeyboardInterrupt, StoppedError):
        # What a job says of going on does not hold: the demo throws its parts away.
        raise StoppedError("stopped; the same command begins the demo anew") from None


def _run(config: DemoConfig) -> DemoResult:
    from wisp.demonstration.first import first_pictures
    from wisp.demonstration.world import build_world
    from wisp.jobs import classify, evaluate, synth, train
    from wisp.report import write_report

    start_s = time.monotonic()
    out = config.out
    earlier = _finished(config)
    if earlier is not None:
        say(f"{out}: holds a finished demo; remove it to run it again")
        return earlier
    if not (out / "report.html").exists():  # one without its report was stopped on the way
        RunDir.require_free(out, replaces="demo")
    demo = RunDir.create(out, "demo", {"seed": config.seed, "device": config.device})

    say("1/6  Smoke in real photos, and what the shipped detector says of both (score, verdict)")
    say(f"     before and after: {first_pictures(out / 'first', config.seed, config.device)}")

    say("2/6  Rendering a world of cooktops")
    build_world(out / "world", seed=config.seed)

    say("3/6  Training a small CycleGAN on unpaired clean and smoky pictures of it")
    train_start_s = time.monotonic()
    gan = train.run(train_config(out, config))
    train_seconds = time.monotonic() - train_start_s
    write_report(gan.run)

    say("4/6  Making labelled data sets, with the CycleGAN's smoke and with layers of real smoke")
    clean = (str(out / "world" / "clean"),)
    drawn = SynthConfig(
        clean, out=out / "dataset-layered", per_photo=2, seed=config.seed, device=config.device
    )
    learned = dataclasses.replace(drawn, out=out / "dataset", model=str(gan.run))
    sets = [synth.run(learned), synth.run(drawn)]
    for made in sets:
        write_report(made.run)

    say("5/6  Training a detector on synthetic smoke only")
    detector = classify.run(
        ClassifyConfig(
            tuple(made.run for made in sets),
            out=out / "detector",
            size=SIZE_PX,
            members=2,
            steps=150,
            seed=config.seed,
            device=config.device,
        )
    )
    if detector.stopped == "interrupted":
        raise KeyboardInterrupt
    write_report(detector.run)

    say("6/6  Scoring it on “real” smoke: other places, another kind of smoke")
    evaluation = evaluate.run(
        EvaluateConfig(
            detector.run, (out / "world" / "real",), out=out / "eval", seed=config.seed,
            device=config.device,
        )
    )  # fmt: skip
    write_json(
        out / "eval" / "banner.json",
        {"text": _RENDERED, "command": OWN_PHOTOS, "rendered_world": True},
    )
    report = out / "report.html"
    shutil.copyfile(write_report(evaluation.run), report)
    metrics = read_json(evaluation.run / "metrics.json")
    seconds = time.monotonic() - start_s
    demo.write_environment(seconds=round(seconds, 1), train_seconds=round(train_seconds, 1))
    headline = {name: metrics[name] for name in ("auroc", "average_precision", "balanced_accuracy")}
    result = DemoResult(out, report, seconds, train_seconds, headline)
    write_json(
        out / "result.json",
        {"seconds": seconds, "train_seconds": train_seconds, "metrics": headline},
    )
    return result


def _finished(config: DemoConfig) -> DemoResult | None:
    """What a finished demo of the same seed in this place came to."""
    out = config.out
    file, report = out / "result.json", out / "report.html"
    if not (file.exists() and report.exists() and (out / "config.json").exists()):
        return None
    folder = RunDir(out)
    if folder.kind != "demo" or folder.config.get("seed") != config.seed:
        return None
    return DemoResult(out, report, **read_json(file))
