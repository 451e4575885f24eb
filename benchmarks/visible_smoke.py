"""What a CycleGAN puts into photos: smoke that is seen, that differs, and that leaves the rest be.

    python benchmarks/visible_smoke.py PHOTOS --out result.json

For each seed: `wisp train` with its defaults on PHOTOS/clean and PHOTOS/smoky/outdoor, timed; 500
kitchen photos under its smoke, judged by R and by the detector that ship with wisp; then a data set
of it alone, a detector (100 steps at 160 px), and what that scores on PHOTOS/real_validation, which
nothing is trained on. Runs that are finished in --work are not repeated.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image

import wisp
from wisp import images
from wisp.environment import machine
from wisp.models import SmokeModel, load
from wisp.models.lifters import load_lifter
from wisp.networks.lifter import SmokeLifter, lift_steadily
from wisp.rundir import read_json, write_json
from wisp.smoke.optics import opacity

PHOTOS = 500
_R_SHORT_SIDE_PX = 179
_QUALITY = 95


def seen_by_r(lifter: SmokeLifter, photo: Image.Image) -> NDArray[np.float32]:
    """Opacity [H, W] of the smoke that R sees in ``photo``, at the photo's size."""
    scale = _R_SHORT_SIDE_PX / min(photo.size)
    width, height = (max(1, round(side * scale / 32)) * 32 for side in photo.size)
    looked_at = images.to_tensor(photo.resize((width, height), Image.Resampling.BICUBIC))[None]
    seen = opacity(lift_steadily(lifter, looked_at)[0].density)
    size = (photo.size[1], photo.size[0])
    found = F.interpolate(seen, size, mode="bilinear", align_corners=False)[0, 0]
    return np.asarray(found.numpy(), np.float32)


def called_smoky(folder: Path) -> float:
    """Part of the pictures below ``folder`` that the shipped detector calls smoky."""
    rows = wisp.predict("smoke-detector", (str(folder),)).rows
    return sum(label == "smoky" for _, _, label in rows) / len(rows)


def decibels(mean_square: float) -> float:
    """PSNR [dB] of 8-bit pixels that are off by this much, squared, in the mean."""
    return round(10 * float(np.log10(255**2 / mean_square)), 2)


def look(model: SmokeModel, photos: list[Path], work: Path) -> dict[str, Any]:
    """What R and the detector that ship with wisp see in ``photos`` under the model's smoke."""
    lifter = load_lifter("layered")
    means, differences, missed = [], [], []
    squares, values, by_photo = 0.0, 0, []
    for kind in ("smoky", "reconstructed"):
        (work / kind).mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(photos):
        photo = images.decode(path)
        made, other = (model.add_smoke(photo, seed=2 * number + draw) for draw in (0, 1))
        masks = [np.asarray(one.mask, np.float32) / 255 for one in (made, other)]
        differences.append(float(np.abs(masks[0] - masks[1]).mean()))
        seen = seen_by_r(lifter, made.image)
        means.append(float(seen.mean()))
        pixels = np.asarray(photo.convert("RGB"), np.float64)
        change = (np.asarray(made.image, np.float64) - pixels)[seen == 0] ** 2
        squares, values = squares + float(change.sum()), values + change.size
        if change.size:
            by_photo.append(float(change.mean()))
        made.image.save(work / "smoky" / f"{number:03d}.jpg", quality=_QUALITY)
        back = model.reconstruct(photo, seed=2 * number)
        missed.append(float(np.abs(np.asarray(back, np.float64) - pixels).mean()))
        back.save(work / "reconstructed" / f"{number:03d}.jpg", quality=_QUALITY)
    quartiles = [round(float(q), 4) for q in np.quantile(means, (0.25, 0.5, 0.75))]
    return {
        "photos": len(photos),
        "opacity_seen_by_r": dict(zip(("low", "median", "high"), quartiles, strict=True)),
        "called_smoky": called_smoky(work / "smoky"),
        "reconstructions_called_smoky": called_smoky(work / "reconstructed"),
        "psnr_without_smoke_db": decibels(squares / values),
        "the_same_each_photo_counting_alike_db": decibels(statistics.mean(by_photo)),
        "reconstructions_off_by": round(statistics.mean(missed), 2),
        "difference_of_two_masks": round(statistics.mean(differences), 4),
    }


def scores(metrics: dict[str, Any]) -> dict[str, Any]:
    """Per real set, with intervals: AUROC and balanced accuracy where both classes are there."""
    wanted = ("auroc", "balanced_accuracy", "fpr")
    return {
        place: {key: row[key] for key in wanted if key in row}
        for place, row in metrics["per_set"].items()
    }


def once(folder: Path, make: Callable[[], Any]) -> dict[str, Any]:
    """The result.json of a run, made first where it is not finished."""
    if not (folder / "result.json").exists():
        make()
    return dict(read_json(folder / "result.json"))


def one_seed(photos: Path, work: Path, seed: int, options: dict[str, Any]) -> dict[str, Any]:
    """Train, look, and teach a detector."""
    gan, dataset, detector, scored = (
        work / name for name in ("gan", "dataset", "detector", "eval")
    )
    trained = once(
        gan,
        lambda: wisp.train(photos / "clean", photos / "smoky" / "outdoor", out=gan, seed=seed),
    )
    once(
        dataset,
        lambda: wisp.synth(
            (str(photos / "clean"),), out=dataset, model=str(gan), strength="0.8:1.8",
            negatives="steam", seed=seed,
        ),
    )  # fmt: skip
    once(
        detector,
        lambda: wisp.classify((dataset,), out=detector, threshold="fpr05", seed=seed, **options),
    )
    sets = tuple(sorted(p for p in (photos / "real_validation").iterdir() if p.is_dir()))
    once(scored, lambda: wisp.evaluate(detector, sets, out=scored))
    seen = work / "seen.json"
    if not seen.exists():
        kitchens = [one.path for one in images.find_images([photos / "clean" / "kitchen"])]
        step = len(kitchens) / PHOTOS
        chosen = [kitchens[int(index * step)] for index in range(PHOTOS)]
        write_json(seen, look(load(str(gan)), chosen, work / "seen"))
    return {
        "seed": seed,
        "training_minutes": round(trained["seconds"] / 60, 1),
        "seen": read_json(seen),
        "probe_auroc": read_json(dataset / "probe.json")["auroc"],
        "detector": scores(read_json(scored / "metrics.json")),
    }


def main() -> None:
    """Run every seed, print a line each, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("photos", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--classify", action="append", default=[], metavar="NAME=JSON",
                        help="a setting of classify, such as steps=200")  # fmt: skip
    parser.add_argument("--work", type=Path, default=Path("runs/visible_smoke"))
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    pairs = (item.partition("=") for item in arguments.classify)
    options = {"steps": 100, "size": 160, **{name: json.loads(value) for name, _, value in pairs}}
    rows = []
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
        rows.append(one_seed(arguments.photos, arguments.work / f"seed-{seed}", seed, options))
        print(json.dumps(rows[-1]))
        write_json(arguments.out, {"classify": options, "seeds": rows, "machine": machine()})


if __name__ == "__main__":
    main()
