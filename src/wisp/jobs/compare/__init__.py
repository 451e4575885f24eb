"""Find out which smoke teaches a detector best: ``run`` does what ``wisp compare`` does.

The one job that calls others: each detector of each seed is an ordinary chain of run directories.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wisp.config import ClassifyConfig, CompareConfig, Contender, defaults, to_json
from wisp.engine import make_engine
from wisp.errors import StoppedError
from wisp.jobs import classify, evaluate
from wisp.jobs.compare.datasets import make_dataset, require_made_of
from wisp.jobs.compare.distances import Distances
from wisp.jobs.compare.figures import (
    Predictions,
    differences,
    distance_and_detection,
    false_alarms_by_group,
    leaderboard,
)
from wisp.jobs.compare.inputs import Inputs, evaluate_config, read_inputs
from wisp.metrics import Interval
from wisp.progress import counted, format_duration, say
from wisp.rundir import RunDir, precision_so_far, read_json, write_json

__all__ = ["CompareResult", "run"]

_VALIDATE_EVERY = 25


@dataclasses.dataclass(frozen=True)
class CompareResult:
    """What ``wisp compare`` hands back; ``compare.json`` holds more."""

    run: Path
    models: list[str]
    sets: list[str]
    seeds: list[int]
    reference: str
    auroc: dict[str, dict[str, Interval]]
    """By set and model, best first: the mean over seeds with its 95 % interval over groups."""
    margin: dict[str, dict[str, Interval]]
    """By set and model: AUROC less that of the reference, with its paired interval."""
    runs: list[Path]
    """Data sets, detectors and evaluations, in the order they were made."""
    seconds: float
    """Of all runs, those before a stop included."""
    notes: list[str]

    def summary(self) -> str:
        """A few lines for the user."""
        lines = [
            f"{len(self.models)} sources of smoke, {counted(len(self.seeds), 'seed')} each, in "
            f"{format_duration(self.seconds)}: {self.run}"
        ]
        for name, models in self.auroc.items():
            for model, interval in models.items():
                if interval.value is None:
                    continue
                margin = self.margin[name].get(model)
                beside = "" if margin is None else f", over {self.reference} {margin}"
                lines.append(f"{name}: {model} AUROC {interval}{beside}")
        return "\n".join([*lines, *self.notes])


def run(config: CompareConfig) -> CompareResult:
    """Train and score a detector for each source of smoke and seed, and compare them.

    Writes the run directory ``config.out`` with ``compare.json``, and below it
    ``seed-S/MODEL/{dataset,detector,eval}``. What is finished there is not made again, so that a
    comparison that was stopped goes on.

    Raises:
        InputError: photos, test sets, models or weights that cannot be used, and an ``--out`` that
            holds something else or was begun with other flags.
        StoppedError: Ctrl-C while a detector was trained.
    """
    begun = RunDir.unfinished(config.out, "compare", to_json(config), defaults(CompareConfig))
    inputs = read_inputs(config)
    folder = begun or RunDir.create(config.out, "compare", to_json(config))
    engine = make_engine(
        config.device,
        config.precision,
        config.seed,
        precision_so_far(folder.path, config.precision),
    )
    # All of a comparison in one arithmetic, wherever it goes on after a stop.
    config = dataclasses.replace(config, precision=engine.precision)
    folder.write_environment(device=str(engine.device), precision=engine.precision, why=engine.why)
    folder.write_inputs(
        [
            {"path": str(photo.path), "sha256": photo.sha256, "label": label}
            for label, photos in (("clean", inputs.photos.clean), ("smoky", inputs.photos.smoky))
            for photo in photos
        ]
        + [{**p.record().to_json(), "label": p.label, "set": p.set_name} for p in inputs.tests],
        skipped=[item.to_json() for item in (*inputs.photos.skipped, *inputs.skipped)],
    )
    distances = Distances(config, inputs, make_engine(config.device, seed=None, answers=True))
    models = config.contenders
    seeds = list(range(config.seed, config.seed + config.seeds))
    chains: dict[str, dict[int, _Chain]] = {model.name: {} for model in models}
    for number, (seed, model) in enumerate(
        ((seed, model) for seed in seeds for model in models), start=1
    ):
        say(f"{number}/{len(seeds) * len(models)}  {model.name}, seed {seed}")
        chains[model.name][seed] = _run_chain(config, model, seed, inputs, distances)
    found = _compare(config, inputs, chains)
    write_json(folder.path / "compare.json", found)
    result = _result(config, found, chains)
    write_json(folder.path / "result.json", {**dataclasses.asdict(result), **_paths(result)})
    return result


@dataclasses.dataclass(frozen=True)
class _Chain:
    """One detector of one seed, from its data set to its scores."""

    dataset: Path
    detector: Path
    evaluation: Path
    distances: Mapping[str, Any]


def _run_chain(
    config: CompareConfig, model: Contender, seed: int, inputs: Inputs, distances: Distances
) -> _Chain:
    """Whatever of the chain is not finished yet."""
    folder = config.out / f"seed-{seed}"
    place = folder / model.name
    dataset = make_dataset(config, model, seed, folder, inputs.photos)
    detector, evaluation = place / "detector", place / "eval"
    if not (detector / "result.json").exists():
        trained = classify.run(_classify_config(config, dataset, seed, detector))
        if trained.stopped == "interrupted":
            # Half a training is not the same budget: it is done again.
            (detector / "result.json").unlink()
            raise StoppedError(
                f"stopped by Ctrl-C while {model.name}, seed {seed}, was trained; repeat the "
                "command to go on"
            )
    if not (evaluation / "result.json").exists():
        evaluate.run(evaluate_config(config, detector, inputs.roots, evaluation))
    tests = [picture.record().to_json() for picture in inputs.tests]
    require_made_of(evaluation, tests, evaluation)
    measured = distances.measure(dataset, seed, place / "distances.json")
    return _Chain(dataset, detector, evaluation, measured)


def _classify_config(config: CompareConfig, dataset: Path, seed: int, out: Path) -> ClassifyConfig:
    return ClassifyConfig(
        (dataset,),
        out=out,
        backbone=config.backbone,
        weights=config.weights,
        size=config.size,
        members=config.members,
        pretrained_share=config.pretrained_share,
        steps=config.steps,
        images_per_step=config.images_per_step,
        validate_every=min(_VALIDATE_EVERY, config.steps),
        # Nobody stops early: every detector takes the same number of steps.
        patience=0,
        threshold=config.threshold,
        group_by=config.group_by,
        precision=config.precision,
        device=config.device,
        workers=config.workers,
        seed=seed,
    )


def _compare(
    config: CompareConfig, inputs: Inputs, chains: Mapping[str, Mapping[int, _Chain]]
) -> dict[str, Any]:
    """What ``compare.json`` holds."""
    runs = {
        name: {seed: Predictions.read(chain.evaluation) for seed, chain in seeds.items()}
        for name, seeds in chains.items()
    }
    measured = {
        name: {seed: chain.distances for seed, chain in seeds.items()}
        for name, seeds in chains.items()
    }
    rows = leaderboard(runs, measured, config.seed)
    return {
        "models": [
            {
                "name": model.name,
                "source": model.source,
                "parts": [part.name for part in model.parts],
                "probe": _probe(chains[model.name][config.seed].dataset),
                "pictures": _counts(chains[model.name][config.seed].dataset),
                "runs": [
                    {
                        "seed": seed,
                        **{
                            part: getattr(chain, part).relative_to(config.out).as_posix()
                            for part in ("dataset", "detector", "evaluation")
                        },
                    }
                    for seed, chain in chains[model.name].items()
                ],
            }
            for model in config.contenders
        ],
        "reference": config.reference,
        "sets": inputs.sets,
        "seeds": list(range(config.seed, config.seed + config.seeds)),
        "leaderboard": rows,
        "differences": differences(runs, config.reference, config.seed),
        "false_alarms_by_group": false_alarms_by_group(runs),
        "distance_and_detection": distance_and_detection(rows),
    }


def _probe(dataset: Path) -> Any:  # noqa: ANN401 - JSON
    """The fingerprint probe's AUROC; None where there was none."""
    file = dataset / "probe.json"
    return read_json(file)["auroc"] if file.exists() else None


def _counts(dataset: Path) -> dict[str, int]:
    result = read_json(dataset / "result.json")
    return {label: result[label] for label in ("clean", "smoky")}


def _result(
    config: CompareConfig,
    found: Mapping[str, Any],
    chains: Mapping[str, Mapping[int, _Chain]],
) -> CompareResult:
    auroc: dict[str, dict[str, Interval]] = {name: {} for name in found["sets"]}
    margin: dict[str, dict[str, Interval]] = {name: {} for name in found["sets"]}
    for row in found["leaderboard"]:
        auroc[row["set"]][row["model"]] = Interval(**row["auroc"])
    for row in found["differences"]:
        margin[row["set"]][row["model"]] = Interval(**row["auroc"])
    detectors = [chain.detector for seeds in chains.values() for chain in seeds.values()]
    notes = [note for path in detectors for note in read_json(path / "result.json")["notes"]]
    notes = list(dict.fromkeys(notes))
    if config.seeds == 1:
        notes.append(
            "One seed: the intervals are over groups of photos only; how much another training "
            "would differ is not known (--seeds 3)."
        )
    runs = [
        path
        for seeds in zip(*(chains[name].values() for name in chains), strict=True)
        for chain in seeds
        for path in (chain.dataset, chain.detector, chain.evaluation)
    ]
    return CompareResult(
        run=config.out,
        models=[model["name"] for model in found["models"]],
        sets=found["sets"],
        seeds=found["seeds"],
        reference=found["reference"],
        auroc=auroc,
        margin=margin,
        runs=runs,
        seconds=round(sum(read_json(path / "result.json")["seconds"] for path in runs), 1),
        notes=notes,
    )


def _paths(result: CompareResult) -> dict[str, Any]:
    return {"run": str(result.run), "runs": [str(path) for path in result.runs]}
