"""The four jobs in a row, as a user would type them, on pictures that :mod:`.world` renders."""

from __future__ import annotations

import dataclasses
import shutil
import time
from pathlib import Path

from wisp import shipped
from wisp.config import ClassifyConfig, DemoConfig, EvaluateConfig, RepaintingConfig, SynthConfig
from wisp.errors import InputError, StoppedError
from wisp.progress import format_duration, say
from wisp.rundir import RunDir, read_json, write_json

OWN_PHOTOS = """\
wisp synth    clean/ --out dataset
wisp classify dataset --out runs/detector
wisp evaluate runs/detector real/ --out runs/eval"""

_RENDERED = (
    "This world is rendered: no picture in this report is a photo, and its “real” smoke is a "
    "simulation that the smoke models have not seen. Everything else happened as shown: the "
    "CycleGAN and the detector were trained just now, on this machine."
)
_LAYERED = (
    " The layered smoke is that of real photos: its layers were lifted off them before, and ship "
    "with wisp."
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


def train_config(out: Path, config: DemoConfig) -> RepaintingConfig:
    """A CycleGAN small enough for a minute or two on two cores."""
    return RepaintingConfig(
        out / "world" / "clean",
        out / "world" / "smoky",
        out=out / "gan",
        size=64,
        load_size=80,
        generator="resnet6",
        width=24,
        discriminator_width=32,
        steps=500,
        ema=0.99,
        log_every=25,
        sample_every=125,
        checkpoint_every=250,
        validation_photos=4,
        workers=0,
        seed=config.seed,
        device=config.device,
    )


def smoke_sources(gan: Path) -> list[tuple[str, str, int]]:
    """The data sets to make: folder, model, smoky pictures per photo.

    Layered smoke is left out, with a word to the user, where the shipped model is not installed.
    """
    sources = [("dataset", str(gan), 1), ("dataset-procedural", "procedural", 2)]
    try:
        shipped.find("layered")
    except InputError as error:
        say(f"The demo goes on without layered smoke: {error}")
        return sources
    return [*sources, ("dataset-layered", "layered", 1)]


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

    say("1/5  Rendering a world of cooktops (no photos are needed for this demo)")
    build_world(out / "world", seed=config.seed)

    say("2/5  Training a small CycleGAN on unpaired clean and smoky pictures")
    train_start_s = time.monotonic()
    gan = train.run(train_config(out, config))
    train_seconds = time.monotonic() - train_start_s
    write_report(gan.run)

    say("3/5  Making a labelled data set with the smoke of each model")
    sources = smoke_sources(gan.run)
    clean = (str(out / "world" / "clean"),)
    sets = [
        synth.run(
            SynthConfig(
                clean,
                out=out / name,
                model=model,
                per_photo=per_photo,
                seed=config.seed,
                device=config.device,
            )
        )
        for name, model, per_photo in sources
    ]
    for made in sets:
        write_report(made.run)

    say("4/5  Training a detector on synthetic smoke only")
    detector = classify.run(
        ClassifyConfig(
            tuple(made.run for made in sets),
            out=out / "detector",
            backbone="resnet10t",
            weights="none",
            size=64,
            steps=500,
            validate_every=100,
            patience=0,
            images_per_step=32,
            learning_rate=2e-3,
            backbone_learning_rate=2e-3,
            seed=config.seed,
            device=config.device,
        )
    )
    if detector.stopped == "interrupted":
        raise KeyboardInterrupt
    write_report(detector.run)

    say("5/5  Scoring it on “real” smoke: other places, another kind of smoke")
    evaluation = evaluate.run(
        EvaluateConfig(
            detector.run, (out / "world" / "real",), out=out / "eval", seed=config.seed,
            device=config.device,
        )
    )  # fmt: skip
    banner = _RENDERED + (_LAYERED if "layered" in [model for _, model, _ in sources] else "")
    write_json(
        out / "eval" / "banner.json",
        {"text": banner, "command": OWN_PHOTOS, "rendered_world": True},
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
