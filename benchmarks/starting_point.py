"""The experiment wisp started from, done as it was done and as it should be.

500 clean kitchen photos are converted by a CycleGAN; a frozen ImageNet backbone with a 128-unit
head tells smoky from clean; 80/20 split by *file* (a photo and its smoky twin may sit on both
sides) and by *group*. Beside the validation accuracy stands what the same detector scores on real
smoke.
Runs that are finished in --work are not repeated, and the result is written after each.

    python benchmarks/starting_point.py PHOTOS --gan RUN --out result.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import wisp
from wisp.config.checks import BACKBONE
from wisp.environment import machine
from wisp.rundir import read_json, write_json


def real_scores(metrics: dict[str, Any]) -> dict[str, Any]:
    """Per real set: AUROC, balanced accuracy and accuracy with their intervals."""
    wanted = ("auroc", "balanced_accuracy", "accuracy", "tpr", "fpr")
    return {
        name: {key: scores[key] for key in wanted if key in scores}
        for name, scores in metrics["per_set"].items()
    }


def main() -> None:
    """Make one data set, train by file and by group for each seed, score both on real photos."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("photos", type=Path)
    parser.add_argument("--gan", type=Path, required=True)
    parser.add_argument("--weights", default="imagenet")
    parser.add_argument("--backbone", default=BACKBONE)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--work", type=Path, default=Path("runs/starting_point"))
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    results: dict[str, Any] = {}
    sets = tuple(sorted(p for p in (arguments.photos / "real_validation").iterdir() if p.is_dir()))
    # The original kept the photos' own pixels as the clean class; wisp's default reconstructs them.
    for clean_class in ("pixels", "reconstructed"):
        dataset = arguments.work / f"dataset-{clean_class}"
        if not (dataset / "result.json").exists():
            wisp.synth(
                (str(arguments.photos / "clean" / "kitchen"),),
                out=dataset,
                model=str(arguments.gan),
                limit=500,
                clean_class=clean_class,
            )
        results[clean_class] = {"probe": read_json(dataset / "probe.json")}
        for split in ("file", "group"):
            rows = []
            for seed in range(arguments.seeds):
                work = arguments.work / f"{clean_class}-{split}-{seed}"
                if not (work / "detector" / "result.json").exists():
                    wisp.classify(
                        (dataset,),
                        out=work / "detector",
                        preset="frozen-head",
                        size=224,
                        backbone=arguments.backbone,
                        weights=str(arguments.weights),
                        split=split,
                        seed=seed,
                    )
                if not (work / "eval" / "result.json").exists():
                    wisp.evaluate(work / "detector", sets, out=work / "eval", pictures=0)
                metrics = read_json(work / "eval" / "metrics.json")
                validation = read_json(work / "detector" / "detector.json")["validation"]
                rows.append({"seed": seed, "validation": validation, "real": real_scores(metrics)})
                print(
                    f"{clean_class}, split by {split}, seed {seed}: validation accuracy "
                    f"{validation['accuracy']['value']:.3f}, real "
                    f"{ {n: s['auroc']['value'] for n, s in rows[-1]['real'].items()} }"
                )
                results[clean_class][split] = rows
                write_json(
                    arguments.out,
                    {
                        "what": "500 kitchen photos through the CycleGAN, frozen backbone, "
                        "128-unit head",
                        "backbone": arguments.backbone,
                        "clean_class": results,
                        "machine": machine(),
                    },
                )
    print(json.dumps({"written": str(arguments.out)}))


if __name__ == "__main__":
    main()
