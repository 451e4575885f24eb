"""The finished detector on its validation part: threshold, figures, every score."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wisp.config import ClassifyConfig
from wisp.data import LabelledItem
from wisp.detectors import score_pictures
from wisp.engine import Engine
from wisp.errors import InputError
from wisp.metrics import (
    Interval,
    accuracy,
    auroc,
    balanced_accuracy,
    bootstrap_intervals,
    choose_threshold,
    class_support,
    decide,
    macro,
)
from wisp.metrics.ranking import Floats
from wisp.networks.detector import Detector, Ensemble
from wisp.rundir import write_csv

_BOOTSTRAP_SAMPLES = 1000


@dataclasses.dataclass(frozen=True)
class Validated:
    """Scores and figures on the validation part."""

    classes: list[str]
    items: list[LabelledItem]
    scores: Floats
    """[N], probability of the positive class."""
    called: NDArray[np.int64]
    threshold: float
    intervals: dict[str, Interval]

    def to_json(self) -> dict[str, Any]:
        """What ``detector.json`` holds under ``validation``."""
        return {
            **{name: interval.to_json() for name, interval in self.intervals.items()},
            "images": len(self.items),
            "groups": len({item.group for item in self.items}),
        }

    def write_predictions(self, path: Path) -> None:
        """``file,group,label,score,predicted`` of each picture."""
        rows = (
            [item.path, item.group, item.label, f"{score:.6g}", self.classes[index]]
            for item, score, index in zip(self.items, self.scores, self.called, strict=True)
        )
        write_csv(path, ["file", "group", "label", "score", "predicted"], rows)


def validate_detector(
    detector: Detector | Ensemble,
    items: Sequence[LabelledItem],
    targets: Sequence[int],
    config: ClassifyConfig,
    engine: Engine,
) -> Validated:
    """Choose the threshold on ``items`` by ``config.threshold`` and measure there."""
    scored = score_pictures(
        detector,
        [item.path for item in items],
        config.size,
        engine,
        config.workers,
        "validating",
    )
    if not scored.readable.all():
        first = scored.skipped[0]
        raise InputError(f"{first.path}: could no longer be read ({first.reason}); start again")
    labels = np.asarray(targets)
    positive = detector.classes.index(config.positive)
    probabilities = scored.probabilities
    scores = probabilities[:, positive]
    threshold = choose_threshold(scores, labels == positive, config.threshold)
    called = decide(probabilities, positive, threshold)

    def area(weights: Floats) -> Floats:
        if len(detector.classes) == 2:
            return auroc(scores, labels == positive, weights)
        return macro(auroc, probabilities, labels, weights)

    groups = [item.group for item in items]
    both = class_support((labels == positive).tolist(), groups)["both"]
    intervals = bootstrap_intervals(
        {
            "auroc": area,
            "balanced_accuracy": lambda weights: balanced_accuracy(labels, called, weights),
            "accuracy": lambda weights: accuracy(labels, called, weights),
        },
        groups,
        _BOOTSTRAP_SAMPLES,
        config.seed,
        {"auroc": both, "balanced_accuracy": both},
    )
    return Validated(detector.classes, list(items), scores, called, threshold, intervals)
