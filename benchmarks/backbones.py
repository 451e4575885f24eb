"""Which ImageNet weights a detector should start from: backbones at equal time, on real smoke.

One layered data set with steam among its clean pictures; every backbone gets as many steps as fit
the time that 100 steps of the first one take. Its learning rate is chosen among --rates with a seed
that is not measured, by the mean AUROC over the real sets.

    python benchmarks/backbones.py PHOTOS --out result.json \\
        --candidate mobilenetv2_100=FILE --candidate tf_efficientnet_lite0=FILE

PHOTOS holds `clean/` and `real_validation/SET/{clean,smoky}`; the real sets are never trained on.
Runs that are finished in --work are not repeated.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import torch

import wisp
from wisp.environment import machine
from wisp.networks.backbone import load_backbone
from wisp.rundir import read_json, write_json

SIZE_PX = 160
STEPS = 100
SEARCH_SEED = 100
_TIMED_STEPS = 4


def step_seconds(names: list[str]) -> dict[str, float]:
    """Seconds of one training step of 32 pictures, the fastest of a few taken in turns."""
    networks = {name: load_backbone(name, "random", SIZE_PX).eval() for name in names}
    pictures = torch.rand(32, 3, SIZE_PX, SIZE_PX) * 2 - 1
    pictures = pictures.contiguous(memory_format=torch.channels_last)
    best = dict.fromkeys(names, float("inf"))
    for _ in range(_TIMED_STEPS):
        for name, network in networks.items():
            network.to(memory_format=torch.channels_last)
            start = time.perf_counter()
            torch.autograd.backward(network.pooled(pictures).square().mean())
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def detector(
    photos: Path, dataset: Path, work: Path, candidate: tuple[str, str], steps: int, rate: float,
    seed: int,
) -> dict[str, Any]:  # fmt: skip
    """Train and score one detector, or read what is finished."""
    name, weights = candidate
    run = work / f"{name}-{rate:g}-{seed}"
    scored = run.with_name(run.name + "-eval")
    if not (run / "result.json").exists():
        wisp.classify(
            (dataset,), out=run, backbone=name, weights=weights, size=SIZE_PX, steps=steps,
            backbone_learning_rate=rate, threshold="fpr05", precision="32", seed=seed,
        )  # fmt: skip
    if not (scored / "result.json").exists():
        sets = tuple(sorted(p for p in (photos / "real_validation").iterdir() if p.is_dir()))
        wisp.evaluate(run, sets, out=scored, pictures=0, distances=False, bootstrap=200)
    per_set = read_json(scored / "metrics.json")["per_set"]
    figures = {
        f"{key} {place}": per_set[place][key]["value"]
        for place in ("indoor", "outdoor", "stove")
        for key in ("auroc", "balanced_accuracy")
    }
    return {"seed": seed, "rate": rate, **figures, "steam": per_set["steam"]["fpr"]["value"]}


def mean_auroc(row: dict[str, Any]) -> float:
    """Over the real sets."""
    return statistics.mean(float(row[f"auroc {place}"]) for place in ("indoor", "outdoor", "stove"))


def main() -> None:
    """Search a rate for each candidate, measure it on three seeds, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("photos", type=Path)
    parser.add_argument("--candidate", action="append", required=True, metavar="BACKBONE=WEIGHTS")
    parser.add_argument("--rates", default="1e-4,2e-4,4e-4")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--work", type=Path, default=Path("runs/backbones"))
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    candidates = [tuple(item.split("=", 1)) for item in arguments.candidate]
    dataset = arguments.work / "dataset"
    if not (dataset / "result.json").exists():
        wisp.synth(
            (str(arguments.photos / "clean"),),
            out=dataset, model="layered", strength="0.8:1.8", negatives="steam",
        )  # fmt: skip
    seconds = step_seconds([name for name, _ in candidates])
    rows = {}
    for name, weights in candidates:
        steps = round(STEPS * seconds[candidates[0][0]] / seconds[name])
        common = (arguments.photos, dataset, arguments.work, (name, weights), steps)
        searched = [
            detector(*common, float(rate), SEARCH_SEED) for rate in arguments.rates.split(",")
        ]
        rate = max(searched, key=mean_auroc)["rate"]
        measured = [detector(*common, rate, seed) for seed in range(arguments.seeds)]
        rows[name] = {
            "steps": steps,
            "seconds_per_step": round(seconds[name], 3),
            "searched": searched,
            "measured": measured,
        }
        write_json(arguments.out, {"size_px": SIZE_PX, "rows": rows, "machine": machine()})
        print(name, steps, rate, [round(mean_auroc(row), 4) for row in measured])


if __name__ == "__main__":
    main()
