"""Measure a detector on real pictures: ``run`` does what ``wisp evaluate`` does."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np

from wisp import shipped
from wisp.config import EvaluateConfig, to_json
from wisp.detectors import DetectorSettings, load_detector, score_pictures
from wisp.engine import make_engine
from wisp.errors import InputError
from wisp.jobs.evaluate.distances import measure_distances
from wisp.jobs.evaluate.figures import (
    Scored,
    calibration_json,
    confusion_json,
    curves_json,
    group_rows,
    intervals,
    summary,
)
from wisp.jobs.evaluate.testsets import check_overlap, read_test_sets
from wisp.jobs.evaluate.worst import write_worst
from wisp.metrics import Interval
from wisp.progress import counted, say
from wisp.rundir import RunDir, write_csv, write_json

__all__ = ["EvaluateResult", "run"]

Figures = dict[str, Interval]
_SAID = (
    ("auroc", "AUROC"),
    ("auroc_within_groups", "within groups"),
    ("tpr", "found"),
    ("fpr", "false alarms"),
)
"""The figures of each set that are said in the terminal."""


@dataclasses.dataclass(frozen=True)
class EvaluateResult:
    """What ``wisp evaluate`` hands back; ``metrics.json`` holds more."""

    run: Path
    positive: str
    threshold: float
    threshold_source: str
    images: int
    groups: int
    figures: Figures
    """Over all sets: auroc, auroc_within_groups, average_precision, balanced_accuracy,
    tpr_at_fpr_01, tpr_at_fpr_05, accuracy, tpr, fpr, each with its 95 % interval over groups."""
    sets: dict[str, Figures]
    """The same for each set by itself, by its folder's name."""
    overlaps: int
    """Test pictures that were seen in training."""
    skipped: int
    seconds: float
    notes: list[str]

    def summary(self) -> str:
        """A few lines for the user."""
        lines = [
            f"{counted(self.images, 'picture')} of {counted(self.groups, 'group')}, "
            f"threshold {self.threshold:.3f} ({self.threshold_source}): {self.run}"
        ]
        for name, figures in self.sets.items():
            parts = [
                f"{label} {figures[key]}" for key, label in _SAID if figures[key].value is not None
            ]
            lines.append(f"{name}: {', '.join(parts)}")
        return "\n".join([*lines, *self.notes])


def run(config: EvaluateConfig) -> EvaluateResult:
    """Score test sets that hold one folder per class, and write all figures.

    Writes the run directory ``config.out``: ``metrics.json``, ``predictions.csv``, ``worst/`` and
    what every run holds.

    Raises:
        InputError: no detector, unknown class folders, nothing readable, or test pictures that
            were seen in training (unless ``config.allow_overlap``).
    """
    start_s = time.monotonic()
    RunDir.require_free(config.out, replaces="evaluate")
    trained = shipped.resolve(config.detector)
    detector, settings = load_detector(trained)
    if config.positive is not None and config.positive not in settings.classes:
        raise InputError(
            f"--positive {config.positive}: the detector knows {', '.join(settings.classes)}; "
            "name one of them"
        )
    pictures, skipped = read_test_sets(config, settings.classes)
    overlaps, note = check_overlap(trained, pictures, config.allow_overlap)
    notes = [note] if note else []
    for line in notes:
        say(line)
    engine = make_engine(config.device, config.precision, config.seed, answers=True)
    scores = score_pictures(
        detector, [picture.path for picture in pictures], settings.size, engine, config.workers,
        named=f"DETECTOR {config.detector}",
    )  # fmt: skip
    kept = [p for p, readable in zip(pictures, scores.readable, strict=True) if readable]
    skipped = skipped + scores.skipped
    if not kept:
        raise InputError(f"{config.real[0]}: no picture could be read; see {skipped[0].path}")
    folder = RunDir.create(config.out, "evaluate", to_json(config))
    folder.write_environment(device=str(engine.device), precision=engine.precision, why=engine.why)
    folder.write_inputs(
        [{**p.record().to_json(), "label": p.label, "set": p.set_name} for p in kept],
        parents={"detector": trained},
        skipped=[item.to_json() for item in skipped],
    )
    positive, threshold, source = _threshold(config, settings)
    scored = Scored(
        kept,
        settings.classes,
        settings.classes.index(positive),
        threshold,
        scores.probabilities[scores.readable],
    )
    pooled = intervals(scored, config.bootstrap, config.seed)
    of_sets = {name: scored.part(_in_set(scored, name)) for name in _names(scored)}
    per_set = {
        name: intervals(part, config.bootstrap, config.seed) for name, part in of_sets.items()
    }
    write_json(
        folder.path / "metrics.json",
        {
            **_figures_json(scored, pooled, of_sets, per_set),
            "threshold_source": source,
            "distances": measure_distances(
                trained, kept, detector, settings.size, engine, config.seed
            )
            if config.distances
            else [],
            "overlaps": [overlap.to_json() for overlap in overlaps],
            "skipped": [item.to_json() for item in skipped],
            "notes": notes,
        },
    )
    _write_predictions(folder.path / "predictions.csv", scored)
    write_worst(folder.path, scored, config.pictures, detector, settings.size, engine)
    result = EvaluateResult(
        run=config.out,
        positive=positive,
        threshold=threshold,
        threshold_source=source,
        images=len(kept),
        groups=len({picture.group for picture in kept}),
        figures=pooled,
        sets=per_set,
        overlaps=len(overlaps),
        skipped=len(skipped),
        seconds=round(time.monotonic() - start_s, 1),
        notes=notes,
    )
    write_json(folder.path / "result.json", {**dataclasses.asdict(result), "run": str(config.out)})
    return result


def _threshold(config: EvaluateConfig, settings: DetectorSettings) -> tuple[str, float, str]:
    """Positive class, threshold, and where the threshold comes from."""
    positive = config.positive or settings.positive
    if config.threshold is not None:
        return positive, config.threshold, "--threshold"
    if positive != settings.positive:
        # The saved threshold is one for the other class's probability.
        return positive, 0.5, f"0.5, as the detector was trained to find {settings.positive}"
    return positive, settings.threshold, f"validation ({settings.threshold_rule})"


def _figures_json(
    scored: Scored, pooled: Figures, of_sets: dict[str, Scored], per_set: dict[str, Figures]
) -> dict[str, Any]:
    """All that ``metrics.json`` says about the scores themselves."""
    return {
        **summary(scored, pooled),
        "threshold": scored.threshold,
        "positive": scored.classes[scored.positive],
        "classes": scored.classes,
        "per_set": {name: summary(part, per_set[name]) for name, part in of_sets.items()},
        "per_group": group_rows(scored),
        "confusion": confusion_json(scored),
        "calibration": calibration_json(scored),
        "curves": curves_json(scored),
    }


def _names(scored: Scored) -> list[str]:
    return list(dict.fromkeys(picture.set_name for picture in scored.pictures))


def _in_set(scored: Scored, name: str) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return np.array([picture.set_name == name for picture in scored.pictures])


def _write_predictions(path: Path, scored: Scored) -> None:
    rows = (
        [one.path, one.set_name, one.group, one.label, f"{score:.6g}", scored.classes[index]]
        for one, score, index in zip(scored.pictures, scored.scores, scored.called, strict=True)
    )
    write_csv(path, ["file", "set", "group", "label", "score", "predicted"], rows)
