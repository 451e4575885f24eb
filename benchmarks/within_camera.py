"""Smoke against no smoke of the same camera: AUROC over pairs within a group, and false alarms.

    python benchmarks/within_camera.py runs/compare

Reads the evaluations of a finished `wisp compare`. A detector that tells places apart instead of
smoke does well across places and badly here. Groups that show one class only are left out.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections import defaultdict
from pathlib import Path

import numpy as np

from wisp.rundir import read_json


def within(evaluation: Path) -> dict[str, float | int]:
    """Figures of one evaluation over all groups that hold both classes."""
    scores: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with (evaluation / "predictions.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            scores[row["group"]][row["label"]].append(float(row["score"]))
    both = [group for group in scores.values() if group["clean"] and group["smoky"]]
    threshold = float(read_json(evaluation / "metrics.json")["threshold"])
    won, pairs = 0.0, 0
    for group in both:
        smoky, clean = np.array(group["smoky"])[:, None], np.array(group["clean"])
        won += float((smoky > clean).sum() + 0.5 * (smoky == clean).sum())
        pairs += smoky.size * clean.size
    clean_scores = [score for group in both for score in group["clean"]]
    return {
        "groups": len(both),
        "pairs": pairs,
        "auroc": round(won / pairs, 4),
        "clean": len(clean_scores),
        "false_alarms": sum(score >= threshold for score in clean_scores),
    }


def main() -> None:
    """A line per detector."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("compare", type=Path, help="a run of wisp compare")
    arguments = parser.parse_args()
    for evaluation in sorted(arguments.compare.glob("seed-*/*/eval")):
        name = "/".join(evaluation.parts[-3:-1])
        print(name, json.dumps(within(evaluation)))


if __name__ == "__main__":
    main()
