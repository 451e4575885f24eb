"""Detectors trained on synthetic smoke only, scored on real smoke.

For each seed: `wisp synth` on the clean photos, `wisp classify`, `wisp evaluate` on every real set.

    python benchmarks/real_smoke.py PHOTOS --weights FILE --model procedural --out result.json

PHOTOS holds `clean/` and `real_validation/SET/{clean,smoky}`; the real sets are never trained on.
Runs that are finished in --work are not repeated.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import wisp
from wisp.rundir import machine, read_json, write_json

SETTINGS: dict[str, Any] = {"size": 160, "steps": 100, "validate_every": 25}


def one_seed(
    arguments: argparse.Namespace, seed: int, folder: Path, settings: dict[str, Any]
) -> dict[str, Any]:
    """Synthesise, train and score once, or read what is finished; scores per set, and seconds."""
    dataset, detector, evaluation = (folder / name for name in ("dataset", "detector", "eval"))
    if not (dataset / "result.json").exists():
        wisp.synth(
            (str(arguments.photos / "clean"),),
            out=dataset,
            model=arguments.model,
            seed=seed,
            clean_class=arguments.clean_class,
            probe=seed == 0,
        )
    if not (detector / "result.json").exists():
        wisp.classify(
            (dataset,),
            out=detector,
            backbone=arguments.backbone,
            weights=str(arguments.weights),
            seed=seed,
            **settings,
        )
    sets = tuple(sorted(p for p in (arguments.photos / "real_validation").iterdir() if p.is_dir()))
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


def main() -> None:
    """Run every seed, print a line each, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("photos", type=Path)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--backbone", default="mobilenetv2_100")
    parser.add_argument("--model", default="procedural")
    parser.add_argument("--clean-class", default="auto")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--work", type=Path, default=Path("runs/real_smoke"))
    parser.add_argument("--set", action="append", default=[], metavar="NAME=JSON",
                        help="a setting of classify, such as steps=200")  # fmt: skip
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    settings = dict(SETTINGS)
    for item in arguments.set:
        name, _, value = item.partition("=")
        settings[name] = json.loads(value)
    rows = []
    for seed in range(arguments.seeds):
        rows.append(one_seed(arguments, seed, arguments.work / f"seed-{seed}", settings))
        auroc = {name: s["auroc"]["value"] for name, s in rows[-1]["per_set"].items()}
        print(f"seed {seed}: AUROC {auroc}, seconds {rows[-1]['seconds']}")
    result = {
        "what": "detectors trained on synthetic smoke only, scored on real smoke",
        "model": Path(arguments.model).name,
        "backbone": arguments.backbone,
        "settings": settings,
        "seconds": round(sum(sum(row["seconds"].values()) for row in rows), 1),
        "mean": means(rows),
        "seeds": rows,
        "machine": machine(),
    }
    write_json(arguments.out, result)
    print(json.dumps({"seconds": result["seconds"], "mean": result["mean"]}, indent=1))


if __name__ == "__main__":
    main()
