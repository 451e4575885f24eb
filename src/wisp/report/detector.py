"""What a detector run holds, and its section."""

from __future__ import annotations

import dataclasses

from markupsafe import Markup

from wisp.report import charts, lines, wording
from wisp.report.evaluation import Scores
from wisp.report.lines import Figure
from wisp.report.page import Section
from wisp.report.read import Estimate, RunFiles, mapping, number, sequence, text, whole


@dataclasses.dataclass(frozen=True)
class Detector:
    """detector.json and how it was trained."""

    backbone: str
    finetune: str
    size: int
    hidden: int
    classes: tuple[str, ...]
    positive: str
    threshold: float | None
    threshold_rule: str
    auroc: Estimate
    balanced_accuracy: Estimate
    accuracy: Estimate
    images: int
    groups: int
    steps: int
    seconds: float | None
    curves: tuple[Figure, ...]
    histogram: Markup | None
    split: str
    members: int
    pretrained_share: float
    notes: tuple[str, ...]


def load_detector(run: RunFiles) -> Detector:
    """Read a detector run; anything missing is empty or None."""
    saved, config = run.json("detector.json"), run.config
    result = run.json("result.json")
    validation = mapping(saved.get("validation"))
    # Of the first member, where there are several.
    rows = [row for row in run.rows("metrics.jsonl") if "member" not in row]
    positive = text(saved.get("positive"), "smoky")
    threshold = number(saved.get("threshold"))
    classes = tuple(text(name) for name in sequence(saved.get("classes")))
    others = [name for name in classes if name != positive]
    scores = Scores.of(run.predictions("validation_predictions.csv"), positive)
    steps = [whole(row.get("step")) for row in rows]
    times = [found for row in rows if (found := number(row.get("seconds"))) is not None]
    histogram = None
    if scores.positive or scores.negative:
        names = (positive, others[0] if len(others) == 1 else "other")
        histogram = charts.histogram(scores.positive, scores.negative, threshold, names)
    return Detector(
        backbone=text(saved.get("backbone") or config.get("backbone"), "unknown"),
        finetune=text(config.get("finetune"), "unknown"),
        size=whole(saved.get("size") or config.get("size")),
        hidden=whole(saved.get("hidden")),
        classes=classes,
        positive=positive,
        threshold=threshold,
        threshold_rule=text(saved.get("threshold_rule")),
        auroc=Estimate.of(validation.get("auroc")),
        balanced_accuracy=Estimate.of(validation.get("balanced_accuracy")),
        accuracy=Estimate.of(validation.get("accuracy")),
        images=whole(validation.get("images")),
        groups=whole(validation.get("groups")),
        steps=whole(result.get("steps"), max(steps, default=0)),
        seconds=number(result.get("seconds")) or max(times, default=None),
        curves=tuple(_curves(rows)),
        histogram=histogram,
        split=text(config.get("split"), "folder"),
        members=whole(saved.get("members"), 1),
        pretrained_share=number(config.get("pretrained_share")) or 0.0,
        notes=tuple(text(note) for note in sequence(result.get("notes"))),
    )


def _series(
    rows: list[dict[str, object]], name: str, inside: str | None = None
) -> tuple[list[float], list[float]]:
    steps, values = [], []
    for row in rows:
        source = row if inside is None else mapping(row.get(inside))
        step, value = number(row.get("step")), Estimate.of(source.get(name)).value
        if step is not None and value is not None:
            steps.append(step)
            values.append(value)
    return steps, values


def _curves(rows: list[dict[str, object]]) -> list[Figure]:
    drawn: list[Figure] = []
    loss, checked = _series(rows, "loss"), _series(rows, "loss", "validation")
    drawn_together: list[lines.Series] = []
    if loss[0]:
        drawn_together.append(lines.Series("training", *loss, "clean"))
    if checked[0]:
        drawn_together.append(lines.Series("validation", *checked, "smoky", raw=False))
    if drawn_together:
        drawn.append(Figure("Loss", lines.curves("Loss over steps", drawn_together)))
    scores = [
        lines.Series(name, *_series(rows, key, "validation"), class_, raw=False)
        for key, name, class_ in (
            ("auroc", "AUROC", "smoky"),
            ("balanced_accuracy", "balanced accuracy at 0.5", "clean"),
        )
    ]
    kept = [one for one in scores if one.steps]
    if kept:
        lowest = 0.5 if min(min(one.values) for one in kept) >= 0.5 else 0.0
        drawn.append(
            Figure(
                "Validation scores",
                lines.curves("Validation scores over steps", kept, y_range=(lowest, 1.0)),
            )
        )
    return drawn


@dataclasses.dataclass(frozen=True)
class DetectorData:
    """The detector and a sentence about it."""

    detector: Detector
    sentence: str


def describe(detector: Detector) -> str:
    """One sentence: backbone, what was trained, on what size."""
    trained = {
        "head": "with only its head trained",
        "full": "with the whole network fine-tuned",
    }.get(detector.finetune, "")
    hidden = f", {detector.hidden} hidden units" if detector.hidden else ""
    several = f"{detector.members} averaged, each " if detector.members > 1 else ""
    sentence = f"{several}{detector.backbone} on {detector.size} px pictures{hidden}"
    sentence += f", {trained}" if trained else ""
    if detector.steps:
        sentence += f", {wording.plural(detector.steps, 'step')}"
    if detector.seconds:
        sentence += f" in {wording.duration(detector.seconds)}"
        sentence += " for all" if detector.members > 1 else ""
    return sentence + "."


def detector_section(detector: Detector) -> Section:
    """How the detector learned."""
    return Section(
        "detector",
        "The detector",
        "Detector",
        "detector.html.j2",
        DetectorData(detector, describe(detector)),
    )
