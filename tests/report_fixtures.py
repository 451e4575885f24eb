"""Small but lifelike run directories of each kind, with drawn pictures, for the report's tests."""

from __future__ import annotations

import csv
import dataclasses
import math
import random
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from wisp.data import BANK_FILE, Lift, write_bank
from wisp.jobs.train.lifting import SUSPICIOUS_FILE, Lifting
from wisp.manifest import FileRecord, sha256_of
from wisp.rundir import RunDir, write_json, write_jsonl
from wisp.smoke import SmokeLayer, density_of

HOSTILE = "<script>alert(1)</script>&\"'.jpg"


def kitchen(seed: int, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """A drawn worktop with a pan or two."""
    rng = random.Random(seed)
    base = rng.randint(90, 190)
    image = Image.new("RGB", size, (base + 25, base + 12, base))
    draw = ImageDraw.Draw(image)
    for x in range(0, size[0], rng.randint(36, 60)):
        draw.line([(x, 0), (x, size[1])], fill=(base + 8, base, base - 10), width=2)
    for _ in range(rng.randint(1, 3)):
        x, y, r = rng.randint(50, size[0] - 50), rng.randint(60, size[1] - 40), rng.randint(30, 62)
        draw.ellipse([x - r, y - r, x + r, y + r], fill=(52, 54, 60), outline=(25, 25, 28), width=4)
        draw.rectangle([x + r - 4, y - 6, x + r + 46, y + 6], fill=(40, 38, 36))
        for _ in range(5):
            a, b = x + rng.randint(-r // 2, r // 2), y + rng.randint(-r // 2, r // 2)
            colour = rng.choice([(196, 120, 52), (150, 40, 30), (92, 130, 60)])
            draw.ellipse([a - 9, b - 7, a + 9, b + 7], fill=colour)
    return image.filter(ImageFilter.GaussianBlur(0.7))


def opacity(seed: int, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """A soft plume, white where the smoke is thick."""
    rng = random.Random(seed)
    plume = Image.new("L", size, 0)
    draw = ImageDraw.Draw(plume)
    x = rng.randint(size[0] * 2 // 7, size[0] * 5 // 7)
    for step in range(26):
        r = 14 + step * 2.6
        at = x + 26 * math.sin(step / 4 + seed), size[1] - step * 9
        draw.ellipse(
            [at[0] - r, at[1] - r, at[0] + r, at[1] + r], fill=rng.randint(120, 235) - step * 3
        )
    return plume.filter(ImageFilter.GaussianBlur(13))


def smoky(seed: int, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """The worktop under the plume of the same seed."""
    return Image.composite(
        Image.new("RGB", size, (214, 214, 218)), kitchen(seed, size), opacity(seed, size)
    )


def _save(image: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, quality=88)


def estimate(value: float, half: float) -> dict[str, float]:
    """A value with a symmetric interval inside 0 to 1."""
    return {"value": value, "low": max(0.0, value - half), "high": min(1.0, value + half)}


def environment(run: RunDir, command: list[str]) -> None:
    """environment.json as a job writes it, but the same everywhere."""
    write_json(
        run.path / "environment.json",
        {
            "python": "3.11.9",
            "platform": "Linux",
            "processor": "A processor",
            "cores": 2,
            "packages": {"torch": "2.8.0", "timm": "1.0.15"},
            "git": {"commit": "0" * 40, "dirty": False},
            "command": ["/usr/bin/wisp", *command],
            "started": "2026-11-23T06:12:21+0000",
            "device": "cpu",
            "precision": "bf16",
            "why": "the processor has bfloat16 instructions",
        },
    )


def make_train(path: Path, steps: int = 2000) -> Path:
    """A CycleGAN run with losses, distances and sample grids."""
    rng = random.Random(1)
    run = RunDir.create(
        path,
        "train",
        {
            "clean": "clean",
            "smoky": "smoky",
            "steps": steps,
            "size": 128,
            "generator": "resnet6",
            "seed": 3,
        },
    )
    environment(run, ["train", "clean", "smoky", "--out", "gan"])
    rows: list[dict[str, object]] = []
    for step in range(25, steps + 1, 25):
        fall = math.exp(-step / 600)
        row: dict[str, object] = {
            "step": step,
            "seconds": step * 0.4,
            "pairs_per_s": 2.5,
            "learning_rate": 2e-4,
        }
        for name, level in (
            ("cycle_clean", 0.3),
            ("cycle_smoky", 0.25),
            ("identity_clean", 0.2),
            ("identity_smoky", 0.22),
            ("adversarial_clean_to_smoky", 0.4),
            ("adversarial_smoky_to_clean", 0.35),
            ("discriminator_smoky", 0.2),
            ("discriminator_clean", 0.22),
            ("generator", 4.0),
        ):
            row[name] = level * (0.5 + 1.5 * fall) * rng.uniform(0.75, 1.3)
        rows.append(row)
        if step % 500 == 0:
            value = 0.02 + 0.1 * fall
            rows.append(
                {
                    "step": step,
                    "distance": {
                        "value": value,
                        "low": value - 0.008,
                        "high": value + 0.008,
                        "features": "resnet50 (random)",
                    },
                }
            )
    write_jsonl(run.metrics_file, rows)
    for step in (500, 1000, 1500, 2000):
        grid = Image.new("RGB", (6 * 160, 4 * 120))
        for row_index in range(4):
            for column in range(6):
                tile = (smoky if column in (1, 3, 5) else kitchen)(row_index + 10, (160, 120))
                grid.paste(tile, (column * 160, row_index * 120))
        _save(grid, path / f"samples/step-{step:07d}.jpg")
    write_json(path / "checkpoints/best.json", {"step": 1500, "path": "step-0001500"})
    write_json(
        path / "result.json",
        {"steps": steps, "seconds": steps * 0.4, "stopped": "finished", "notes": []},
    )
    run.write_inputs([])
    return path


def _plume(seed: int) -> SmokeLayer:
    """Light smoke in the shape of the drawn plume."""
    alpha = np.array(opacity(seed).resize((96, 72)), np.float32) / 255
    return SmokeLayer(density_of(alpha.clip(max=0.99)), np.full((72, 96, 3), 0.85, np.float32))


def make_layered(root: Path, layers: int = 20, suspects: int = 5) -> Path:
    """A layered run in ``root/run`` and the photos it was made of beside it."""
    run = RunDir.create(root / "run", "train", {"model": "layered", "steps": 500, "size": 160})
    environment(run, ["train", "clean", "smoky", "--model", "layered", "--out", "run"])
    rows, hashes = [], []
    for domain, draw, count in (("clean", kitchen, suspects + 2), ("smoky", smoky, layers)):
        (root / domain).mkdir(parents=True)
        for number in range(count):
            path = root / domain / f"{domain}-{number}.jpg"
            draw(number, (160, 120)).save(path)
            record = FileRecord(str(path), sha256_of(path), f"place-{number}")
            rows.append({**record.to_json(), "domain": domain, "split": "train"})
            hashes += [record.sha256] if domain == "smoky" else []
    run.write_inputs(rows)
    suspicious = [
        {"path": str(root / "clean" / f"clean-{n}.jpg"), "mean_opacity": round(0.9 - 0.03 * n, 4)}
        for n in range(suspects)
    ]
    write_json(run.path / SUSPICIOUS_FILE, suspicious)
    write_bank(
        run.path / BANK_FILE,
        [
            Lift(_plume(n), f"layer{n}", hashes[n], f"place-{n}", 0.99 - 0.02 * n)
            for n in range(layers)
        ],
    )
    lifting = Lifting(
        layers=layers, looked_at=layers + 10, without_smoke=4, unreadable=0,
        unsteady=0, inconsistent=3, near_copies=1, suspicious_clean=suspects, clean_looked_at=40,
    )  # fmt: skip
    result = {"steps": 500, "seconds": 900.0, "stopped": "finished", "notes": lifting.notes()}
    write_json(run.path / "result.json", {**result, "lifting": dataclasses.asdict(lifting)})
    return run.path


def make_synth(path: Path, source: Path | None = None, photos: int = 40) -> Path:
    """A data set's paper work and gallery (the pictures themselves are left out)."""
    rng = random.Random(2)
    model = str(source) if source else "procedural"
    run = RunDir.create(
        path,
        "synth",
        {
            "photos": ["clean"],
            "model": model,
            "strength": "0.4:1.6",
            "clean_class": "auto",
            "quality": 95,
            "seed": 0,
        },
    )
    environment(run, ["synth", "clean", "--model", model, "--out", "dataset"])
    rows: list[dict[str, object]] = []
    for i in range(photos):
        split, name = ("validation" if i % 5 == 0 else "train"), f"house-{i // 2}__{i:03d}"
        common = {
            "split": split,
            "group": f"{split}-house-{i // 2}",
            "source": f"clean/{name}.jpg",
            "source_sha256": f"{i:064x}",
            "model": model,
            "seed": i,
        }
        rows.append(
            {
                "file_name": f"{split}/clean/{name}.jpg",
                "label": "clean",
                "strength": None,
                "coverage": 0.0,
                "mean_opacity": 0.0,
                "box": None,
                **common,
            }
        )
        rows.append(
            {
                "file_name": f"{split}/smoky/{name}-1.jpg",
                "label": "smoky",
                "strength": rng.uniform(0.4, 1.6),
                "coverage": rng.betavariate(4, 3),
                "mean_opacity": rng.betavariate(2, 5),
                "box": [10, 10, 100, 90],
                **common,
            }
        )
    write_jsonl(path / "metadata.jsonl", rows)
    write_json(
        path / "probe.json",
        {
            "auroc": estimate(0.53, 0.09),
            "images": 80,
            "groups": 20,
            "description": "A small network over 8 x 8 blocks.",
        },
    )
    index = []
    for i in range(6):
        _save(kitchen(i), path / f"gallery/{i:03d}-before.jpg")
        _save(smoky(i), path / f"gallery/{i:03d}-after.jpg")
        if source is None:
            _save(opacity(i), path / f"gallery/{i:03d}-mask.png")
        index.append(
            {
                "name": f"house-{i}__{i:03d}.jpg",
                "before": f"{i:03d}-before.jpg",
                "after": f"{i:03d}-after.jpg",
                "mask": None if source else f"{i:03d}-mask.png",
                "strength": 0.5 + 0.2 * i,
                "coverage": 0.3 + 0.05 * i,
            }
        )
    write_json(path / "gallery/index.json", index)
    if source is None:  # a CycleGAN knows none
        (path / "masks").mkdir()
    write_json(path / "result.json", {"seconds": 31.0, "images": len(rows)})
    run.write_inputs(
        [],
        parents={"model": source} if source else {},
        skipped=[{"path": "clean/broken.jpg", "reason": "is truncated"}],
    )
    return path


def _draw(rng: random.Random, label: str, shift: float) -> float:
    return rng.betavariate(5, 1.6 + shift) if label == "smoky" else rng.betavariate(1.4 + shift, 6)


def _write_predictions(path: Path, rows: list[dict[str, object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, ["file", "set", "group", "label", "score", "predicted"])
        writer.writeheader()
        writer.writerows(rows)


def make_classify(path: Path, dataset: Path | None = None) -> Path:
    """A detector run."""
    rng = random.Random(3)
    run = RunDir.create(
        path,
        "classify",
        {
            "datasets": [str(dataset or "dataset")],
            "backbone": "mobilenetv2_100",
            "finetune": "full",
            "size": 160,
            "split": "folder",
            "seed": 0,
        },
    )
    environment(run, ["classify", "dataset", "--out", "detector"])
    rows: list[dict[str, object]] = []
    for step in range(10, 301, 10):
        rows.append(
            {
                "step": step,
                "seconds": step * 0.5,
                "learning_rate": 1e-3,
                "loss": 0.7 * math.exp(-step / 90) + rng.uniform(0.02, 0.1),
            }
        )
        if step % 50 == 0:
            rows.append(
                {
                    "step": step,
                    "validation": {
                        "auroc": 1 - 0.3 * math.exp(-step / 60),
                        "balanced_accuracy": 0.97 - 0.3 * math.exp(-step / 80),
                        "loss": 0.6 * math.exp(-step / 110) + 0.08,
                    },
                }
            )
    write_jsonl(run.metrics_file, rows)
    write_json(
        path / "detector.json",
        {
            "backbone": "mobilenetv2_100",
            "hidden": 0,
            "classes": ["clean", "smoky"],
            "positive": "smoky",
            "size": 160,
            "threshold": 0.47,
            "threshold_rule": "balanced",
            "temperature": None,
            "mean": [0.485] * 3,
            "std": [0.229] * 3,
            "validation": {
                "auroc": estimate(0.988, 0.008),
                "balanced_accuracy": estimate(0.955, 0.02),
                "accuracy": estimate(0.955, 0.02),
                "images": 236,
                "groups": 59,
            },
        },
    )
    predictions = []
    for i in range(120):
        label = "smoky" if i % 2 else "clean"
        score = _draw(rng, label, -0.5)
        predictions.append(
            {
                "file": f"v{i}.jpg",
                "set": "validation",
                "group": f"h{i // 4}",
                "label": label,
                "score": f"{score:.5f}",
                "predicted": "smoky" if score >= 0.47 else "clean",
            }
        )
    _write_predictions(path / "validation_predictions.csv", predictions)
    write_json(path / "result.json", {"steps": 300, "seconds": 151.0})
    run.write_inputs([], parents={"dataset": dataset} if dataset else {})
    return path


def _area(positive: list[float], negative: list[float]) -> float:
    wins = sum((p > n) + 0.5 * (p == n) for p in positive for n in negative)
    return wins / (len(positive) * len(negative))


def make_evaluate(
    path: Path, detector: Path | None = None, *, shift: float = 0.6, houses: int = 24
) -> Path:
    """An evaluation on two mixed sets and one of clean photos only; bigger ``shift``: worse."""
    rng = random.Random(4)
    run = RunDir.create(
        path,
        "evaluate",
        {
            "detector": str(detector or "gone"),
            "real": ["real/indoor", "real/outdoor", "real/steam"],
            "bootstrap": 2000,
            "seed": 0,
        },
    )
    environment(run, ["evaluate", "detector", "real/indoor", "real/outdoor", "real/steam"])
    threshold, predictions = 0.47, []
    for set_, groups in (("indoor", houses // 2), ("outdoor", houses // 2), ("steam", 2)):
        for g in range(groups):
            label = "smoky" if g % 2 and set_ != "steam" else "clean"
            for i in range(rng.randint(2, 14)):
                score = _draw(rng, label, shift + (1.5 if set_ == "steam" else 0.0))
                file = HOSTILE if not predictions else f"{set_}-{g}-{i}.jpg"
                predictions.append(
                    {
                        "file": f"real/{set_}/{label}/{file}",
                        "set": set_,
                        "group": f"{set_}-{g}",
                        "label": label,
                        "score": score,
                        "predicted": "smoky" if score >= threshold else "clean",
                    }
                )
    _write_predictions(
        path / "predictions.csv", [{**row, "score": f"{row['score']:.5f}"} for row in predictions]
    )
    positive = sorted(float(str(r["score"])) for r in predictions if r["label"] == "smoky")
    negative = sorted(float(str(r["score"])) for r in predictions if r["label"] == "clean")
    steps = [i / 100 for i in range(101)][::-1]
    tpr = [sum(s >= t for s in positive) / len(positive) for t in steps]
    fpr = [sum(s >= t for s in negative) / len(negative) for t in steps]
    found = sum(s >= threshold for s in positive)
    alarms = sum(s >= threshold for s in negative)
    recall, precision = [], []
    for t in steps:
        hits, wrong = sum(s >= t for s in positive), sum(s >= t for s in negative)
        if hits + wrong:
            recall.append(hits / len(positive))
            precision.append(hits / (hits + wrong))

    def numbers(rows: list[dict[str, object]]) -> dict[str, object]:
        p = [float(str(r["score"])) for r in rows if r["label"] == "smoky"]
        n = [float(str(r["score"])) for r in rows if r["label"] == "clean"]
        groups = len({r["group"] for r in rows})
        if not p or not n:
            return {
                "auroc": {"value": None, "low": None, "high": None},
                "images": len(rows),
                "groups": groups,
            }
        area = _area(p, n)
        balanced = (
            sum(s >= threshold for s in p) / len(p) + sum(s < threshold for s in n) / len(n)
        ) / 2
        return {
            "auroc": estimate(area, 0.03),
            "auroc_within_groups": estimate(area - 0.1, 0.05),
            "average_precision": estimate(area - 0.01, 0.04),
            "balanced_accuracy": estimate(balanced, 0.05),
            "tpr_at_fpr_01": estimate(max(0.0, area - 0.35), 0.16),
            "tpr_at_fpr_05": estimate(max(0.0, area - 0.2), 0.11),
            "images": len(rows),
            "groups": groups,
            "groups_of_both": 3,
        }

    bins = []
    for b in range(10):
        members = [r for r in predictions if b <= float(str(r["score"])) * 10 < b + 1]
        mean = sum(float(str(r["score"])) for r in members) / len(members) if members else None
        bins.append(
            {
                "low": b / 10,
                "high": (b + 1) / 10,
                "count": len(members),
                "confidence": mean,
                "frequency": sum(r["label"] == "smoky" for r in members) / len(members)
                if members
                else None,
            }
        )
    keys = list(dict.fromkeys((str(r["set"]), str(r["group"])) for r in predictions))
    write_json(
        path / "metrics.json",
        {
            **numbers(predictions),
            "threshold": threshold,
            "threshold_source": "validation",
            "positive": "smoky",
            "classes": ["clean", "smoky"],
            "per_group": [
                {
                    "group": group,
                    "set": set_,
                    "images": sum(r["group"] == group for r in predictions),
                }
                for set_, group in keys
            ],
            "per_set": {
                name: numbers([r for r in predictions if r["set"] == name])
                for name in ("indoor", "outdoor", "steam")
            },
            "confusion": {
                "classes": ["clean", "smoky"],
                "counts": [[len(negative) - alarms, alarms], [len(positive) - found, found]],
            },
            "calibration": {"bins": bins, "ece": 0.081, "brier": 0.094},
            "curves": {
                "roc": {"fpr": fpr, "tpr": tpr},
                "pr": {"recall": recall, "precision": precision},
            },
            "distances": [
                {
                    "set": "indoor",
                    "label": "smoky",
                    "train": 300,
                    "test": 118,
                    "kid": {"value": 0.217, "low": 0.193, "high": 0.244},
                    "fid": 1.84,
                }
            ],
            "overlaps": [],
            "skipped": [{"path": "real/indoor/clean/empty.jpg", "reason": "empty"}],
        },
    )
    worst = []
    for i in range(8):
        kind = "miss" if i % 2 else "false alarm"
        photo = smoky(30 + i) if kind == "miss" else kitchen(30 + i)
        _save(photo, path / f"worst/{i:03d}.jpg")
        heat = Image.composite(Image.new("RGB", photo.size, (240, 90, 40)), photo, opacity(60 + i))
        _save(heat, path / f"worst/{i:03d}-saliency.jpg")
        worst.append(
            {
                "kind": kind,
                "file": HOSTILE if i == 0 else f"photo-{i}.jpg",
                "set": "indoor",
                "group": f"indoor-{i}",
                "score": 0.1 + 0.02 * i if kind == "miss" else 0.95 - 0.02 * i,
                "picture": f"worst/{i:03d}.jpg",
                "saliency": None if i == 6 else f"worst/{i:03d}-saliency.jpg",
            }
        )
    write_json(path / "worst/index.json", worst)
    write_json(path / "result.json", {"seconds": 12.0})
    run.write_inputs([], parents={"detector": detector} if detector else {})
    return path


def make_chain(folder: Path, *, gan: bool = True) -> Path:
    """Smoke model (or procedural), data set, detector and evaluation, linked; the last's path."""
    source = make_train(folder / "gan") if gan else None
    dataset = make_synth(folder / "dataset", source)
    return make_evaluate(folder / "eval", make_classify(folder / "detector", dataset))
