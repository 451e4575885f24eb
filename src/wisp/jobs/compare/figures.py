"""From the predictions of every detector to a leaderboard, differences and a rank correlation."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wisp import metrics
from wisp.metrics import Interval
from wisp.metrics.bootstrap import Statistic
from wisp.metrics.ranking import Floats
from wisp.rundir import read_json

SAMPLES = 2000
Bools = NDArray[np.bool_]
_COMPARED = ("auroc", "balanced_accuracy")
_FEWEST_MODELS = 3


@dataclasses.dataclass(frozen=True)
class Predictions:
    """What one detector said about the test photos."""

    files: list[str]
    sets: list[str]
    groups: list[str]
    positive: Bools
    """[N], whether the photo shows smoke."""
    scores: Floats
    """[N], probability of smoke."""
    called: Bools
    """[N], whether it was called smoky at the detector's threshold."""
    threshold: float

    @classmethod
    def read(cls, run: Path) -> Predictions:
        """From an evaluation."""
        with (run / "predictions.csv").open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
        return cls(
            [row["file"] for row in rows],
            [row["set"] for row in rows],
            [row["group"] for row in rows],
            np.array([row["label"] == "smoky" for row in rows], dtype=bool),
            np.array([float(row["score"]) for row in rows]),
            np.array([row["predicted"] == "smoky" for row in rows], dtype=bool),
            float(read_json(run / "metrics.json")["threshold"]),
        )

    def part(self, chosen: Bools) -> Predictions:
        """The photos where ``chosen`` [N] is true."""

        def kept(values: list[str]) -> list[str]:
            return [value for value, keep in zip(values, chosen, strict=True) if keep]

        return dataclasses.replace(
            self,
            files=kept(self.files),
            sets=kept(self.sets),
            groups=kept(self.groups),
            positive=self.positive[chosen],
            scores=self.scores[chosen],
            called=self.called[chosen],
        )

    def statistics(self) -> dict[str, Statistic]:
        """What a detector is judged by."""
        labels = self.positive.astype(np.int64)
        return {
            "auroc": lambda w: metrics.auroc(self.scores, self.positive, w),
            "auroc_within_groups": lambda w: metrics.auroc_within(
                self.scores, self.positive, self.groups, w
            ),
            "balanced_accuracy": lambda w: metrics.balanced_accuracy(
                labels, self.called.astype(np.int64), w
            ),
            "false_alarms": lambda w: metrics.rate(self.called, ~self.positive, w),
            "missed": lambda w: metrics.rate(~self.called, self.positive, w),
        }


Runs = Mapping[str, Mapping[int, Predictions]]
"""Predictions by model and seed."""
Distances = Mapping[str, Mapping[int, Mapping[str, Mapping[str, float | None]]]]
"""Kernel distances by model, seed and set."""


def leaderboard(runs: Runs, distances: Distances, seed: int) -> list[dict[str, Any]]:
    """A row per set and model, in each set from the best AUROC to the worst.

    Figures are means over seeds with the interval of that mean over groups: {"set", "model",
    "images", "positives", "groups", "groups_of_both", "auroc", "auroc_within_groups",
    "balanced_accuracy", "false_alarms", "missed", "kid", "seeds"}. Sets of clean photos only are
    ordered by false alarms. The interval of a distance is the mean
    of the seeds' intervals, since all of them share the real pictures.
    """
    rows: list[dict[str, Any]] = []
    for name, parts in _by_set(runs).items():
        first = next(iter(next(iter(parts.values())).values()))
        support = metrics.class_support(first.positive.tolist(), first.groups)
        rests_on = {
            "auroc_within_groups": support["mixed"],
            "false_alarms": support["negative"],
            "missed": support["positive"],
        }
        statistics, rests = {}, {}
        for model, seeds in parts.items():
            for key, statistic in _means(seeds).items():
                statistics[model, key] = statistic
                rests[f"{model}/{key}"] = rests_on.get(key, support["both"])
        found = metrics.bootstrap_intervals(
            {"/".join(key): one for key, one in statistics.items()},
            first.groups, SAMPLES, seed, rests,
        )  # fmt: skip
        own = []
        for model, seeds in parts.items():
            figures = {
                key: found[f"{model}/{key}"].to_json()
                for other, key in statistics
                if other == model
            }
            kids = {s: distances.get(model, {}).get(s, {}).get(name) for s in seeds}
            own.append(
                {
                    "set": name,
                    "model": model,
                    "images": len(first.files),
                    "positives": int(first.positive.sum()),
                    "groups": len(set(first.groups)),
                    "groups_of_both": support["mixed"],
                    **figures,
                    "kid": _mean_interval([kid for kid in kids.values() if kid]).to_json(),
                    "seeds": [
                        {
                            "seed": s,
                            "threshold": one.threshold,
                            **_values(one),
                            "kid": (kids[s] or {}).get("value"),
                        }
                        for s, one in seeds.items()
                    ],
                }
            )
        rows += sorted(own, key=_rank)
    return rows


def _rank(row: Mapping[str, Any]) -> tuple[float, float]:
    auroc, alarms = row["auroc"]["value"], row["false_alarms"]["value"]
    return -(auroc if auroc is not None else 0.0), alarms if alarms is not None else 1.0


def _by_set(runs: Runs) -> dict[str, dict[str, dict[int, Predictions]]]:
    """Predictions by set, model and seed."""
    first = next(iter(next(iter(runs.values())).values()))
    names = dict.fromkeys(first.sets)
    chosen = {name: np.array([one == name for one in first.sets], dtype=bool) for name in names}
    return {
        name: {
            model: {seed: one.part(mask) for seed, one in seeds.items()}
            for model, seeds in runs.items()
        }
        for name, mask in chosen.items()
    }


def _means(seeds: Mapping[int, Predictions]) -> dict[str, Statistic]:
    each = [one.statistics() for one in seeds.values()]
    return {key: metrics.mean_of([one[key] for one in each]) for key in each[0]}


def _values(one: Predictions) -> dict[str, float | None]:
    ones = np.ones((1, len(one.files)))
    values = {key: float(statistic(ones)[0]) for key, statistic in one.statistics().items()}
    return {key: value if np.isfinite(value) else None for key, value in values.items()}


def _mean_interval(intervals: Sequence[Mapping[str, float | None]]) -> Interval:
    def mean(key: str) -> float | None:
        values = [one[key] for one in intervals]
        known = [value for value in values if value is not None]
        return float(np.mean(known)) if known and len(known) == len(values) else None

    return Interval(mean("value"), mean("low"), mean("high"))


def differences(runs: Runs, reference: str, seed: int) -> list[dict[str, Any]]:
    """Each model less the reference, with paired intervals over groups, in each set.

    Rows: {"set", "model", "reference", "auroc", "balanced_accuracy"}. All models and seeds see the
    same resampled groups.
    """
    rows = []
    for name, parts in _by_set(runs).items():
        groups = next(iter(parts[reference].values())).groups
        theirs = _means(parts[reference])
        pairs = {
            f"{model}/{key}": (_means(seeds)[key], theirs[key])
            for model, seeds in parts.items()
            if model != reference
            for key in _COMPARED
        }
        found = metrics.difference_intervals(pairs, groups, SAMPLES, seed)
        rows += [
            {
                "set": name,
                "model": model,
                "reference": reference,
                **{key: found[f"{model}/{key}"].to_json() for key in _COMPARED},
            }
            for model in parts
            if model != reference
        ]
    return rows


def false_alarms_by_group(runs: Runs) -> list[dict[str, Any]]:
    """Groups with clean photos: {"set", "group", "images", "models": {name: mean over seeds}}.

    ``images`` counts the clean ones; the groups with the most alarms over all models come first.
    """
    rows: list[dict[str, Any]] = []
    for name, parts in _by_set(runs).items():
        first = next(iter(next(iter(parts.values())).values()))
        groups = np.array(first.groups)
        for group in dict.fromkeys(first.groups):
            clean = (groups == group) & ~first.positive
            if not clean.any():
                continue
            rates = {
                model: float(np.mean([one.called[clean].mean() for one in seeds.values()]))
                for model, seeds in parts.items()
            }
            images = int(clean.sum())
            rows.append({"set": name, "group": group, "images": images, "models": rates})
    return sorted(rows, key=lambda row: -row["images"] * sum(row["models"].values()))


def distance_and_detection(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Spearman's correlation between distance and AUROC over models.

    {"value", "pooled", "n", "models", "per_set"}: ``value`` is the mean of those within each set,
    ``pooled`` that of all pairs of model and set at once, which also holds how hard the sets are.
    Undefined (None) below three models. A distance that can be trusted has one near -1.
    """
    known = [
        row for row in rows if row["kid"]["value"] is not None and row["auroc"]["value"] is not None
    ]
    models = len({row["model"] for row in known})

    def correlation(chosen: Sequence[Mapping[str, Any]]) -> float | None:
        if models < _FEWEST_MODELS:
            return None
        return metrics.rank_correlation(
            [row["kid"]["value"] for row in chosen], [row["auroc"]["value"] for row in chosen]
        )

    per_set = {
        name: correlation([row for row in known if row["set"] == name])
        for name in dict.fromkeys(row["set"] for row in known)
    }
    defined = [value for value in per_set.values() if value is not None]
    return {
        "value": float(np.mean(defined)) if defined else None,
        "pooled": correlation(known),
        "n": len(known),
        "models": models,
        "per_set": per_set,
    }
