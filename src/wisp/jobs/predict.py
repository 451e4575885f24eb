"""Ask a detector about pictures: ``run`` does what ``wisp predict`` does."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from wisp import images, shipped
from wisp.config import Precision, PredictConfig
from wisp.detectors import DetectorSettings, Scores, ask_graph, has_graph, open_settings
from wisp.errors import InputError
from wisp.metrics import decide
from wisp.progress import one_line, say
from wisp.rundir import write_csv

__all__ = ["PredictResult", "Prediction", "run"]


_HEADER = ("file", "score", "label")


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What the detector says about one picture."""

    path: Path
    score: float
    """Probability of the positive class."""
    label: str


@dataclasses.dataclass(frozen=True)
class PredictResult:
    """What ``wisp predict`` hands back."""

    detector: Path
    positive: str
    threshold: float
    threshold_source: str
    precision: Precision
    """Arithmetic of the scores."""
    predictions: list[Prediction]
    """In the order the pictures were found."""
    skipped: list[images.Skipped]
    """Unreadable files, with the reason."""
    out: Path | None

    @property
    def rows(self) -> list[tuple[Path, float, str]]:
        """(path, score, label) of each picture."""
        return [(found.path, found.score, found.label) for found in self.predictions]

    def summary(self) -> str:
        """One line per picture (probability, label, path), then the files that were skipped."""
        lines = [f"{score:.3f}  {label}  {path}" for path, score, label in self.rows]
        lines += [f"skipped  {skipped.path}: {skipped.reason}" for skipped in self.skipped]
        return "\n".join(map(one_line, lines))


def _require_own(out: Path | None) -> None:
    """Raise InputError where ``out`` is there and no table of an earlier ``wisp predict``."""
    if out is None or not out.exists():
        return
    if out.is_dir():
        raise InputError(f"--out {out} is a folder; name a CSV file")
    start = f"{','.join(_HEADER)}\n".encode()
    if not out.is_file() or out.read_bytes()[: len(start)] != start:
        raise InputError(
            f"--out {out} is there and no table of wisp predict, so it is not replaced; name "
            "another file"
        )


def _ask(
    config: PredictConfig, folder: Path, settings: DetectorSettings, paths: list[Path]
) -> tuple[Scores, Precision, str]:
    """What the detector says, in which arithmetic, and on what; by its graph if it has one and
    nothing else is asked for."""
    named = f"DETECTOR {config.detector}"
    plain = config.device in ("auto", "cpu") and config.precision in ("auto", "32")
    if plain and has_graph(folder):
        scores = ask_graph(folder, settings, paths, config.workers, named)
        return scores, "32", "cpu, float32 (onnxruntime)"
    from wisp.detectors import load_detector, score_pictures  # torch, which a graph does without
    from wisp.engine import make_engine

    engine = make_engine(config.device, config.precision, seed=None, answers=True)
    detector, _ = load_detector(folder)
    scores = score_pictures(detector, paths, settings.size, engine, config.workers, named=named)
    return scores, engine.precision, engine.why


def run(config: PredictConfig) -> PredictResult:
    """Score pictures; with ``config.out`` also write them as CSV (``file,score,label``).

    Raises InputError when the detector or a source is not usable, or no picture can be read.
    """
    folder = shipped.resolve(config.detector)
    settings = open_settings(folder)
    files = images.find_images(config.images)
    _require_own(config.out)
    paths = [file.path for file in files]
    scores, precision, why = _ask(config, folder, settings, paths)
    if not scores.readable.any():
        first = scores.skipped[0]
        raise InputError(
            f"{first.path}: {first.reason}; none of {len(files)} files can be read as a picture"
        )
    threshold, source = settings.threshold, f"validation ({settings.threshold_rule})"
    if config.threshold is not None:
        threshold, source = config.threshold, "--threshold"
    say(f"threshold {threshold:.3f}, by {source}; computed on {why}")
    called = decide(scores.probabilities, settings.positive_index, threshold)
    predictions = [
        Prediction(file.path, float(row[settings.positive_index]), settings.classes[index])
        for file, row, index, readable in zip(
            files, scores.probabilities, called, scores.readable, strict=True
        )
        if readable
    ]
    if config.out is not None:
        rows = ([found.path, f"{found.score:.6g}", found.label] for found in predictions)
        write_csv(config.out, _HEADER, rows)
    return PredictResult(
        Path(config.detector),
        settings.positive,
        threshold,
        source,
        precision,
        predictions,
        scores.skipped,
        config.out,
    )
