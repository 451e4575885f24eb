"""How well R lifts smoke: on clean photos it never saw, with and without procedural smoke.

    python benchmarks/lifting.py PHOTOS --run runs/layered --out result.json

PHOTOS holds `real_validation/*/clean`, photos that are measured on and never trained on. Opacity is
compared at half the photo's size: intersection over union of the masks at opacity 0.2 (over all
pixels of all photos), mean absolute error, and the mean opacity seen where there is no smoke.
Intervals are bootstrapped over photos' groups.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from wisp import images
from wisp.environment import machine
from wisp.manifest import make_groups
from wisp.models.lifters import load_lifter
from wisp.networks.lifter import lift_steadily
from wisp.rundir import read_json, write_json
from wisp.smoke import ProceduralSmoke
from wisp.smoke.batches import add_to_batch
from wisp.smoke.optics import opacity

LEVEL = 0.2
BOOTSTRAP = 2000


def whole(path: Path, short_side_px: int) -> torch.Tensor:
    """The photo [1, 3, H, W] in [-1, 1], its sides multiples of 32 px."""
    photo = images.resize_short_side(images.decode(path), short_side_px)
    width, height = (max(1, round(side / 32)) * 32 for side in photo.size)
    return images.to_tensor(photo.resize((width, height)))[None]


def interval(
    rows: np.ndarray, groups: list[str], seed: int = 0
) -> dict[str, dict[str, float | None]]:
    """IoU, error and opacity on clean with 95 % intervals over groups; rows are per photo.

    One group says nothing of others: its figures have no interval.
    """
    members: dict[str, list[int]] = {}
    for index, group in enumerate(groups):
        members.setdefault(group, []).append(index)
    parts = [rows[index].sum(0) for index in members.values()]
    random = np.random.default_rng(seed)

    def figures(total: np.ndarray) -> np.ndarray:
        both, either, error, clean, count = total
        return np.array([both / either, error / count, clean / count])

    names = ("iou_at_0.2", "mean_absolute_error", "opacity_on_clean")
    value = figures(np.sum(parts, 0))
    if len(parts) < 2:
        known = zip(names, value.tolist(), strict=True)
        return {name: {"value": round(v, 5), "low": None, "high": None} for name, v in known}
    draws = np.stack(
        [
            figures(np.sum([parts[i] for i in random.integers(0, len(parts), len(parts))], 0))
            for _ in range(BOOTSTRAP)
        ]
    )
    low, high = np.percentile(draws, [2.5, 97.5], axis=0)
    return {
        name: {"value": round(v, 5), "low": round(lo, 5), "high": round(hi, 5)}
        for name, v, lo, hi in zip(names, value.tolist(), low.tolist(), high.tolist(), strict=True)
    }


def measure(run: Path, photos: Path, strength: float = 1.0, seed: int = 0) -> dict[str, Any]:
    """Figures of R of ``run`` per real set below ``photos``, looking as it does when it lifts."""
    lifter = load_lifter(run)
    config = read_json(run / "config.json")
    short_side_px = int(config["load_size"] or round(int(config["size"]) * 286 / 256))
    results: dict[str, Any] = {}
    for folder in sorted(p for p in (photos / "real_validation").iterdir() if p.is_dir()):
        paths = [file.path for file in images.find_images([folder / "clean"])]
        groups = make_groups(paths, folder, "prefix", None)
        rows = []
        for number, path in enumerate(paths):
            clean = whole(path, short_side_px)
            made = add_to_batch(ProceduralSmoke(), clean, seed * 100_003 + number, strength)
            true = F.avg_pool2d(opacity(made.density), 2)
            seen, silent = (
                opacity(lift_steadily(lifter, x)[0].density) for x in (made.image, clean)
            )
            a, b = seen > LEVEL, true > LEVEL
            both, either, error = (a & b).sum(), (a | b).sum(), (seen - true).abs().sum()
            rows.append([float(x) for x in (both, either, error, silent.sum(), true.numel())])
        results[folder.name] = {"photos": len(paths), **interval(np.array(rows), groups)}
    return results


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("photos", type=Path)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--strength", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    sets = measure(arguments.run, arguments.photos, arguments.strength, arguments.seed)
    for name, figures in sets.items():
        print(name, json.dumps(figures))
    report = {
        "what": "R on photos it never saw, with and without procedural smoke",
        "steps": int(read_json(arguments.run / "config.json")["steps"]),
        "strength": arguments.strength,
        "sets": sets,
        "machine": machine(),
    }
    if arguments.out:
        write_json(arguments.out, report)


if __name__ == "__main__":
    main()
