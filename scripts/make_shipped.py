"""Make both models that ship with wisp, `layered` and `smoke-detector`, from photos.

    python scripts/make_shipped.py PHOTOS --work runs/shipped

PHOTOS holds `clean/`, `smoky/` and `real_validation/SET/{clean,smoky}`; the last is measured on and
never trained on. Runs that are finished in --work are not repeated; runs there of other recipes
than those below are refused. The models, their cards and manifests go into the package
(src/wisp/shipped).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

import wisp
from wisp import shipped
from wisp.data import LayerBank
from wisp.detectors import load_detector, score_pictures
from wisp.engine import make_engine
from wisp.environment import machine
from wisp.images import find_images
from wisp.packing import pack_detector, pack_layered
from wisp.resources import keep_freed_memory
from wisp.rundir import read_json, write_text

SEED = 0
TRAIN: dict[str, Any] = {
    "model": "layered",
    "backbone": "mobilenetv2_100",
    "steps": 3600,
    "precision": "32",
    "seed": SEED,
}
SYNTH: dict[str, Any] = {"strength": "0.8:1.8", "negatives": "steam", "seed": SEED}
CLASSIFY: dict[str, Any] = {
    "backbone": "mobilenetv2_100",
    "size": 160,
    "members": 2,
    "steps": 100,
    "pretrained_share": 0.4,
    "backbone_learning_rate": 1e-4,
    "validate_every": 25,
    "threshold": "fpr05",
    "precision": "32",
    "seed": SEED,
}
EVALUATE: dict[str, Any] = {"precision": "32", "seed": SEED}

ROOT = Path(__file__).parents[1]
# What the cards tell of each test set: key in metrics.json, words.
SCORES = (
    ("auroc", "AUROC"),
    ("balanced_accuracy", "balanced accuracy"),
    ("tpr", "smoke found"),
    ("fpr", "false alarms"),
)
LIFTING = (
    ("iou_at_0.2", "IoU of masks at opacity 0.2"),
    ("mean_absolute_error", "mean absolute error of opacity"),
    ("opacity_on_clean", "mean opacity on clean photos"),
)


def require_recipe(run: Path, recipe: Mapping[str, Any]) -> None:
    """SystemExit if ``run`` was begun, or finished, with another recipe."""
    begun = read_json(run / "config.json") if (run / "config.json").exists() else recipe
    for name, value in recipe.items():
        if begun.get(name) != value:
            sys.exit(
                f"{run} was made with --{name.replace('_', '-')} {begun.get(name)}, the recipe "
                f"here says {value}; remove it and what was made from it, or name another --work"
            )


def unless_finished(run: Path, make: Callable[[], object]) -> dict[str, Any]:
    """The result of ``run``, which is made if it has none yet."""
    if not (run / "result.json").exists():
        make()
    return dict(read_json(run / "result.json"))


def train(run: Path, photos: Path, weights: str) -> None:
    """Train R and lift the bank, or go on where that was stopped."""
    if (run / "checkpoints" / "latest.json").exists():
        wisp.train(resume=run)
    else:
        wisp.train(photos / "clean", photos / "smoky", out=run, weights=weights, **TRAIN)


def command(words: str, recipe: Mapping[str, Any]) -> str:
    """The command line that does what ``recipe`` says.

    >>> command("wisp synth clean", {"per_photo": 2, "probe": False})
    'wisp synth clean --per-photo 2 --no-probe'
    """
    flags = []
    for name, value in recipe.items():
        flag = name.replace("_", "-")
        flags.append({True: f"--{flag}", False: f"--no-{flag}"}[value]
                     if isinstance(value, bool) else f"--{flag} {value}")  # fmt: skip
    return " ".join([words, *flags])


def commands(weights: str) -> list[str]:
    """The recipe as a user would type it."""
    return [
        command(f"wisp train clean smoky --out lifted --weights {weights}", TRAIN),
        command("wisp synth clean --model layered --out dataset", SYNTH),
        command(f"wisp classify dataset --out detector --weights {weights}", CLASSIFY),
    ]


def largest_difference(run: Path, packed: Path, dataset: Path) -> tuple[float, int]:
    """How far the packed detector's probabilities are from the run's, at most, and on how many
    validation pictures."""
    paths = [file.path for file in find_images([dataset / "validation"])]
    engine = make_engine("auto", "32", SEED)
    probabilities = []
    for folder in (run, packed):
        detector, settings = load_detector(folder)
        probabilities.append(score_pictures(detector, paths, settings.size, engine).probabilities)
    return float(np.abs(probabilities[0] - probabilities[1]).max()), len(paths)


def interval(estimate: Mapping[str, float | None] | None) -> str:
    """A figure with its 95 % interval, as far as it is defined.

    >>> interval({"value": 0.9712, "low": 0.9, "high": 0.99})
    '0.971 (0.900 to 0.990)'
    """
    value, low, high = ((estimate or {}).get(key) for key in ("value", "low", "high"))
    if value is None:
        return "–"
    return (
        f"{value:.3f}" if low is None or high is None else f"{value:.3f} ({low:.3f} to {high:.3f})"
    )


def table(sets: Mapping[str, Mapping[str, Any]], columns: Sequence[tuple[str, str]]) -> str:
    """A Markdown table: a row per test set, a column per figure."""
    rows = [["test set", *(words for _, words in columns)], ["---"] * (len(columns) + 1)]
    rows += [
        [name, *(interval(figures.get(key)) for key, _ in columns)]
        for name, figures in sets.items()
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def measure_lifting(photos: Path, lifted: Path, out: Path) -> dict[str, Any]:
    """How well R of the run ``lifted`` lifts once it is packed, by the benchmark of it."""
    run, trained = shipped.FOLDER / "layered", lifted / "result.json"
    if not out.exists() or out.stat().st_mtime < trained.stat().st_mtime:
        script = ROOT / "benchmarks" / "lifting.py"
        arguments = [sys.executable, script, photos, "--run", run, "--out", out]
        subprocess.run([str(argument) for argument in arguments], check=True)
    return dict(read_json(out))


def write_card(name: str, facts: Mapping[str, Any]) -> int:
    """Write the model card of ``name`` beside it; the model's size in bytes."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "cards"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    text = environment.get_template(f"{name}.md.j2").render(facts)
    write_text(shipped.FOLDER / name / "card.md", text)
    return shipped.seal(name)


def main(argv: Sequence[str] | None = None) -> None:
    """Train, pack, measure, describe."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("photos", type=Path)
    parser.add_argument("--weights", default="imagenet", help="as of wisp classify")
    parser.add_argument("--work", type=Path, default=Path("runs/shipped"))
    arguments = parser.parse_args(argv)
    photos, work, weights = arguments.photos, arguments.work, arguments.weights
    lifted, dataset, trained, tested = (
        work / name for name in ("lifted", "dataset", "detector", "eval")
    )
    keep_freed_memory()
    runs = {lifted: TRAIN, dataset: SYNTH, trained: CLASSIFY, tested: EVALUATE}
    for run, recipe in runs.items():
        require_recipe(run, recipe)
    training = unless_finished(lifted, lambda: train(lifted, photos, weights))
    pack_layered(lifted)
    made = unless_finished(
        dataset,
        lambda: wisp.synth((str(photos / "clean"),), out=dataset, model="layered", **SYNTH),
    )
    detector = unless_finished(
        trained,
        lambda: wisp.classify((dataset,), out=trained, weights=weights, **CLASSIFY),
    )
    pack_detector(trained)
    difference, compared = largest_difference(trained, shipped.FOLDER / "smoke-detector", dataset)
    print(f"float16 changes a probability by at most {difference:.2g} on {compared} pictures")
    sets = tuple(sorted(p for p in (photos / "real_validation").iterdir() if p.is_dir()))
    scores = unless_finished(
        tested,
        lambda: wisp.evaluate("smoke-detector", sets, out=tested, **EVALUATE),
    )
    facts = {
        "training": training,
        "config": read_json(lifted / "config.json"),
        "bank": LayerBank(shipped.FOLDER / "layered" / "layers.zip").rows,
        "lifting": measure_lifting(photos, lifted, work / "lifting.json"),
        "dataset": made,
        "detector": detector,
        "settings": read_json(trained / "detector.json"),
        "share": read_json(trained / "config.json")["pretrained_share"],
        "tested": scores,
        "difference": difference,
        "compared": compared,
        "commands": commands(Path(weights).name),
        "machine": machine(),
        "table": table,
        "interval": interval,
        "SCORES": SCORES,
        "LIFTING": LIFTING,
        "metrics": read_json(tested / "metrics.json"),
    }
    for name in shipped.LARGEST_BYTES:
        print(f"{name}: {write_card(name, facts) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
