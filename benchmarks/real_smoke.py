"""Detectors trained on synthetic smoke only, scored on real smoke.

For each seed: `wisp synth` on the clean photos, `wisp classify`, `wisp evaluate` on every real set.

    python benchmarks/real_smoke.py PHOTOS --model procedural --out result.json

PHOTOS holds `clean/` and `real_validation/SET/{clean,smoky}`; the real sets are never trained on.
Further settings: `--synth strength='"0.5:1.5"' --classify steps=200`. Runs that are finished in
--work are not repeated.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
from pathlib import Path
from typing import Any

import wisp
from wisp.config.checks import BACKBONE
from wisp.environment import machine
from wisp.rundir import read_json, write_json


@dataclasses.dataclass(frozen=True)
class Settings:
    """What is the same for every seed; ``synth`` and ``classify``: further settings of theirs."""

    photos: Path
    weights: str
    model: str = "procedural"
    backbone: str = BACKBONE
    synth: dict[str, Any] = dataclasses.field(default_factory=dict)
    classify: dict[str, Any] = dataclasses.field(default_factory=dict)


CLASSIFY: dict[str, Any] = {"size": 160, "steps": 100, "validate_every": 25}
"""Settings of classify where none are given."""


def one_seed(settings: Settings, seed: int, folder: Path) -> dict[str, Any]:
    """Synthesise, train and score once, or read what is finished; scores per set, and seconds."""
    dataset, detector, evaluation = (folder / name for name in ("dataset", "detector", "eval"))
    if not (dataset / "result.json").exists():
        wisp.synth(
            (str(settings.photos / "clean"),),
            out=dataset,
            model=settings.model,
            seed=seed,
            **{"probe": seed == 0, **settings.synth},
        )
    if not (detector / "result.json").exists():
        wisp.classify(
            (dataset,),
            out=detector,
            backbone=settings.backbone,
            weights=str(settings.weights),
            seed=seed,
            **{**CLASSIFY, **settings.classify},
        )
    sets = tuple(sorted(p for p in (settings.photos / "real_validation").iterdir() if p.is_dir()))
    if not (evaluation / "result.json").exists():
        wisp.evaluate(detector, sets, out=evaluation, seed=seed)
    metrics = read_json(evaluation / "metrics.json")
    probe_file = dataset / "probe.json"
    return {
        "seed": seed,
        "seconds": {
            name: read_json(run / "result.json")["seconds"]
            for name, run in (("synth", dataset), ("classify", detector), ("evaluate", evaluation))
        },
        "validation": read_json(detector / "detector.json")["validation"],
        "threshold": metrics["threshold"],
        "per_set": metrics["per_set"],
        "fingerprint_probe": read_json(probe_file) if probe_file.exists() else None,
    }


def means(rows: list[dict[str, Any]]) -> dict[str, dict[str, float | None]]:
    """The mean over seeds of each score of each set."""
    result: dict[str, dict[str, float | None]] = {}
    for name, scores in rows[0]["per_set"].items():
        result[name] = {}
        for score, interval in scores.items():
            if not (isinstance(interval, dict) and "value" in interval):
                continue
            values = [row["per_set"][name][score]["value"] for row in rows]
            known = [value for value in values if value is not None]
            result[name][score] = round(statistics.mean(known), 4) if known else None
    return result


def _settings(items: list[str]) -> dict[str, Any]:
    pairs = (item.partition("=") for item in items)
    return {name: json.loads(value) for name, _, value in pairs}


def main() -> None:
    """Run every seed, print a line each, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("photos", type=Path)
    parser.add_argument("--weights", default="imagenet")
    parser.add_argument("--backbone", default=BACKBONE)
    parser.add_argument("--model", default="procedural")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--work", type=Path, default=Path("runs/real_smoke"))
    for job in ("synth", "classify"):
        parser.add_argument(f"--{job}", action="append", default=[], metavar="NAME=JSON",
                            help=f"a setting of {job}, such as "
                            + ("per_photo=2" if job == "synth" else "steps=200"))  # fmt: skip
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    settings = Settings(
        arguments.photos,
        arguments.weights,
        arguments.model,
        arguments.backbone,
        _settings(arguments.synth),
        _settings(arguments.classify),
    )
    rows = []
    for seed in range(arguments.seeds):
        rows.append(one_seed(settings, seed, arguments.work / f"seed-{seed}"))
        auroc = {name: s["auroc"]["value"] for name, s in rows[-1]["per_set"].items()}
        print(f"seed {seed}: AUROC {auroc}, seconds {rows[-1]['seconds']}")
    result = {
        "what": "detectors trained on synthetic smoke only, scored on real smoke",
        "model": Path(arguments.model).name,
        "backbone": arguments.backbone,
        "settings": {"synth": settings.synth, "classify": {**CLASSIFY, **settings.classify}},
        "seconds": round(sum(sum(row["seconds"].values()) for row in rows), 1),
        "mean": means(rows),
        "seeds": rows,
        "machine": machine(),
    }
    write_json(arguments.out, result)
    print(json.dumps({"seconds": result["seconds"], "mean": result["mean"]}, indent=1))


if __name__ == "__main__":
    main()
