"""A lifelike comparison with drawn pictures, for the report's tests."""

from __future__ import annotations

from pathlib import Path

from report_fixtures import estimate, kitchen, smoky
from wisp.rundir import RunDir, write_json, write_jsonl

AUROC = {
    "indoor": {"layered": 0.97, "procedural": 0.94, "real": 0.93},
    "outdoor": {"real": 0.996, "layered": 0.99, "procedural": 0.985},
}
MARGIN = {
    "indoor": {"procedural": (0.01, -0.02, 0.04), "layered": (0.04, 0.01, 0.08)},
    "outdoor": {"procedural": (-0.011, -0.03, 0.004), "layered": (-0.006, -0.02, 0.005)},
}
NOTHING = {"value": None, "low": None, "high": None}


def interval(value: float, low: float, high: float) -> dict[str, float]:
    """As in JSON."""
    return {"value": value, "low": low, "high": high}


def standing(name: str, model: str, auroc: float | None, groups: int) -> dict[str, object]:
    """A row of the leaderboard."""
    known = auroc is not None
    return {
        "set": name,
        "model": model,
        "images": 80 if known else 22,
        "positives": 40 if known else 0,
        "groups": groups,
        "groups_of_both": 6 if name == "indoor" else 0,
        "auroc": estimate(auroc, 0.02) if known else NOTHING,
        "auroc_within_groups": estimate(auroc - 0.1, 0.05) if name == "indoor" else NOTHING,
        "balanced_accuracy": estimate(auroc - 0.06, 0.03) if known else NOTHING,
        "false_alarms": interval(0.05, 0.0, 0.1),
        "missed": interval(0.07, 0.02, 0.2) if known else NOTHING,
        "kid": interval(1.3 - auroc, 0.2, 0.5) if known else NOTHING,
        "seeds": [{"seed": s, "auroc": auroc - 0.01 + 0.01 * s if known else None} for s in (0, 1)],
    }


def make_comparison(
    path: Path, names: tuple[str, str, str] = ("procedural", "layered", "real")
) -> Path:
    """Three sources, two seeds, three sets; the data sets of the first seed have pictures."""
    called = dict(zip(("procedural", "layered", "real"), names, strict=True))
    run = RunDir.create(path, "compare", {"seed": 0, "seeds": 2, "models": ",".join(names)})
    run.write_environment(device="cpu", precision="32")
    run.write_inputs([])
    models = []
    for model, name in called.items():
        dataset = f"seed-0/{model}/dataset"
        rows = []
        for number in range(8):
            for label, draw in (("clean", kitchen), ("smoky", smoky)):
                file_name = f"validation/{label}/{model}-{number}.jpg"
                target = path / dataset / file_name
                target.parent.mkdir(parents=True, exist_ok=True)
                draw(number).save(target)
                other = model == "real" and label == "smoky"
                rows.append(
                    {
                        "file_name": file_name, "label": label, "split": "validation",
                        "source_sha256": f"{'other' if other else 'photo'}-{number}",
                    }
                )  # fmt: skip
            # Its look-alike is no picture of the photo as it is (and has no file here).
            file_name = f"validation/clean/{model}-{number}~steam.jpg"
            rows.append({**rows[-2], "file_name": file_name, "negative": "steam"})
        write_jsonl(path / dataset / "metadata.jsonl", rows)
        evaluation = f"seed-0/{model}/eval"
        (path / evaluation).mkdir(parents=True)
        (path / evaluation / "report.html").write_text("<p>", encoding="utf-8")
        models.append(
            {
                "name": name,
                "source": model if model != "layered" else "runs/smoke",
                "parts": [],
                "probe": interval(0.5, 0.45, 0.55) if model == "procedural" else None,
                "pictures": {"clean": 100, "smoky": 100},
                "runs": [{"seed": 0, "dataset": dataset, "evaluation": evaluation}],
            }
        )
    board = [
        standing(name, called[model], value, 7 if name == "indoor" else 40)
        for name, of_models in AUROC.items()
        for model, value in of_models.items()
    ]
    board += [standing("steam", called[model], None, 1) for model in called]
    write_json(
        path / "compare.json",
        {
            "models": models,
            "reference": called["real"],
            "sets": ["indoor", "outdoor", "steam"],
            "seeds": [0, 1],
            "leaderboard": board,
            "differences": [
                {
                    "set": name, "model": called[model], "reference": called["real"],
                    "auroc": interval(*values), "balanced_accuracy": interval(0.02, -0.01, 0.05),
                }
                for name, of_models in MARGIN.items()
                for model, values in of_models.items()
            ],
            "false_alarms_by_group": [
                {"set": "steam", "group": "canteen", "images": 22,
                 "models": dict(zip(names, (0.5, 0.25, 0.0), strict=True))},
                {"set": "indoor", "group": "house-1", "images": 4,
                 "models": dict.fromkeys(names, 0.0)},
            ],
            "distance_and_detection": {
                "value": -0.75, "pooled": 0.1, "n": 6, "models": 3,
                "per_set": {"indoor": -1.0, "outdoor": -0.5},
            },
        },
    )  # fmt: skip
    write_json(path / "result.json", {"seconds": 120})
    return path
