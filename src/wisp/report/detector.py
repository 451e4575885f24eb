"""What a detector run holds, and its section."""

from __future__ import annotations

from wisp.report import charts
from wisp.report.evaluation import Scores, class_names
from wisp.report.lines import Figure, Learned, Series, curves, logged
from wisp.report.page import Section, section
from wisp.report.read import UNKNOWN, Measured, Number, RunFiles, Saved


class Validation(Saved):
    """What the detector reached on its own validation part."""

    auroc: Measured = UNKNOWN
    balanced_accuracy: Measured = UNKNOWN
    accuracy: Measured = UNKNOWN
    images: int = 0
    groups: int = 0


class Detector(Learned):
    """detector.json and how it was trained; anything missing is empty or None."""

    backbone: str = "unknown"
    finetune: str = "unknown"
    size: int = 0
    hidden: int = 0
    classes: tuple[str, ...] = ()
    positive: str = "smoky"
    threshold: Number | None = None
    threshold_rule: str = ""
    validation: Validation = Validation()
    split: str = "folder"
    members: int = 1
    pretrained_share: Number = 0.0


def load_detector(run: RunFiles) -> Detector:
    """Read a detector run; the steps in its config.json are only those that were planned."""
    made = [*logged(_rows(run)), run.result, run.json("detector.json")]
    return Detector.merged(run.config, {"steps": 0}, *made)


def _rows(run: RunFiles) -> list[dict[str, object]]:
    """What was logged; of the first member, where there are several."""
    return [row for row in run.rows("metrics.jsonl") if "member" not in row]


def _curves(rows: list[dict[str, object]]) -> list[Figure]:
    loss = Series.of(rows, "loss", "training", "clean")
    checked = Series.of(rows, "loss", "validation", inside="validation")
    drawn = Figure.all_of(("Loss", [loss, checked]))
    scores = [
        Series.of(rows, "auroc", "AUROC", inside="validation"),
        Series.of(
            rows, "balanced_accuracy", "balanced accuracy at 0.5", "clean", inside="validation"
        ),
    ]
    kept = [one for one in scores if one.steps]
    if kept:
        lowest = 0.5 if min(min(one.values) for one in kept) >= 0.5 else 0.0
        chart = curves("Validation scores over steps", kept, (lowest, 1.0))
        drawn.append(Figure("Validation scores", chart))
    return drawn


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
        sentence += f", {detector.duration}"
        sentence += " for all" if detector.seconds and detector.members > 1 else ""
    return sentence + "."


def detector_section(run: RunFiles, detector: Detector) -> Section:
    """How the detector learned."""
    scores = Scores.of(run.predictions("validation_predictions.csv"), detector.positive)
    names = class_names(detector.classes, detector.positive, "other")
    return section(
        "detector",
        "The detector",
        "Detector",
        detector=detector,
        validation=detector.validation,
        sentence=describe(detector),
        curves=_curves(_rows(run)),
        histogram=scores.known and charts.histogram(scores, detector.threshold, names),
    )
