"""Reading run directories with a steady hand: what is missing or broken becomes a sentence.

The files come from wisp's jobs, but also from killed processes and text editors.
Nothing here raises for a file that cannot be used: it is noted in ``RunFiles.problems``.
"""

from __future__ import annotations

import csv
import dataclasses
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from wisp.errors import InputError
from wisp.rundir import RunDir, read_json, read_jsonl

T = TypeVar("T")


def mapping(value: object) -> dict[str, object]:
    """``value`` if it is a JSON object, else an empty one."""
    return {str(key): item for key, item in value.items()} if isinstance(value, dict) else {}


def sequence(value: object) -> list[object]:
    """``value`` if it is a JSON array, else an empty one."""
    return list(value) if isinstance(value, list) else []


def number(value: object) -> float | None:
    """``value`` as a finite float, or None (also for booleans)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def numbers(value: object) -> list[float]:
    """The finite numbers of a JSON array."""
    return [found for item in sequence(value) if (found := number(item)) is not None]


def whole(value: object, default: int = 0) -> int:
    """``value`` as an int, or ``default``."""
    found = number(value)
    return default if found is None else round(found)


def text(value: object, default: str = "") -> str:
    """``value`` as text; ``default`` for None."""
    return default if value is None else str(value)


def parsed(raw: str | None) -> float | None:
    """A number written in a CSV cell, or None."""
    try:
        return number(float(raw or ""))
    except ValueError:
        return None


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A measured number with its 95 % interval; None where undefined."""

    value: float | None = None
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, source: object) -> Estimate:
        """From ``{"value", "low", "high"}``, a bare number, or anything else (unknown)."""
        bare = number(source)
        if bare is not None:
            return cls(bare)
        fields = mapping(source)
        return cls(
            number(fields.get("value")), number(fields.get("low")), number(fields.get("high"))
        )

    @property
    def known(self) -> bool:
        """Whether there is a value at all."""
        return self.value is not None

    @property
    def has_interval(self) -> bool:
        """Whether both ends of the interval are known."""
        return self.low is not None and self.high is not None

    @property
    def width(self) -> float | None:
        """High − low, or None."""
        return None if self.low is None or self.high is None else self.high - self.low


UNKNOWN = Estimate()


@dataclasses.dataclass(frozen=True)
class Prediction:
    """One row of predictions.csv; ``score`` is the probability of the positive class."""

    file: str
    set: str
    group: str
    label: str
    score: float
    predicted: str = ""


class RunFiles:
    """One run directory, read tolerantly; what could not be read is listed in ``problems``."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.problems: list[str] = []
        self._read: dict[str, object] = {}  # data sets are asked for their rows several times
        self.kind = text(mapping(self._try(read_json, "config.json", {})).get("kind"), "unknown")

    def _try(self, read: Callable[[Path], object], name: str, default: T) -> T | object:
        path = self.path / name
        if name in self._read:
            return self._read[name]
        if not path.exists():
            return default
        try:
            self._read[name] = read(path)
            return self._read[name]
        except InputError as error:
            problem = str(error)
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            problem = f"{path}: not readable ({error})"
        if problem not in self.problems:
            self.problems.append(problem)
        return default

    def has(self, name: str) -> bool:
        """Whether the run holds a file or folder of this name."""
        return (self.path / name).exists()

    def json(self, name: str) -> dict[str, object]:
        """The JSON object in ``name``; empty when absent or broken."""
        return mapping(self._try(read_json, name, {}))

    def json_list(self, name: str) -> list[dict[str, object]]:
        """The objects of the JSON array in ``name``; empty when absent or broken."""
        return [mapping(item) for item in sequence(self._try(read_json, name, []))]

    def rows(self, name: str) -> list[dict[str, object]]:
        """The objects of a JSON-lines file; empty when absent or broken."""
        found = sequence(self._try(read_jsonl, name, []))
        return [mapping(row) for row in found if isinstance(row, dict)]

    def table(self, name: str) -> list[dict[str, str]]:
        """The rows of a CSV file; empty when absent or broken."""

        def read(path: Path) -> object:
            with path.open(newline="", encoding="utf-8") as stream:
                return [
                    {key: value or "" for key, value in row.items() if isinstance(key, str)}
                    for row in csv.DictReader(stream)
                ]

        found = self._try(read, name, [])
        return [dict(row) for row in found] if isinstance(found, list) else []

    def predictions(self, name: str) -> list[Prediction]:
        """predictions.csv; rows without a score are left out."""
        return [
            Prediction(
                row.get("file", ""),
                row.get("set", ""),
                row.get("group", ""),
                row.get("label", ""),
                score,
                row.get("predicted", ""),
            )
            for row in self.table(name)
            if (score := parsed(row.get("score"))) is not None
        ]

    @property
    def config(self) -> dict[str, object]:
        """The configuration without ``kind``."""
        return {key: value for key, value in self.json("config.json").items() if key != "kind"}

    @property
    def environment(self) -> dict[str, object]:
        """Versions, machine, command."""
        return self.json("environment.json")

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """(path, reason) of files that were skipped, from inputs.json, else metrics.json."""
        for name in ("inputs.json", "metrics.json"):
            rows = [mapping(row) for row in sequence(self.json(name).get("skipped"))]
            if rows:
                return [(text(row.get("path")), text(row.get("reason"))) for row in rows]
        return []

    def parents(self) -> dict[str, RunFiles]:
        """The parent runs that still exist, by the name they were recorded under."""
        recorded = mapping(self.json("inputs.json").get("parents"))
        found: dict[str, RunFiles] = {}
        for name, relative in recorded.items():
            if not isinstance(relative, str):
                continue
            path = (self.path / relative).resolve()
            if RunDir(path).config_file.exists():
                found[name] = RunFiles(path)
        return found

    def lost_parents(self) -> list[str]:
        """Where recorded parents should be, but are not."""
        recorded = mapping(self.json("inputs.json").get("parents"))
        here = self.parents()
        return [
            str((self.path / relative).resolve())
            for name, relative in recorded.items()
            if isinstance(relative, str) and name not in here
        ]


def _first(candidates: Mapping[str, RunFiles], kind: str) -> RunFiles | None:
    return next((run for run in candidates.values() if run.kind == kind), None)


def _made_by(dataset: RunFiles) -> RunFiles | None:
    """The training whose smoke is in ``dataset``; that of its look-alikes is another matter."""
    parents = {name: run for name, run in dataset.parents().items() if name != "lookalikes"}
    return _first(parents, "train")


@dataclasses.dataclass(frozen=True)
class Chain:
    """The runs a result came from, as far as they can still be found."""

    comparison: RunFiles | None = None
    evaluation: RunFiles | None = None
    detector: RunFiles | None = None
    datasets: tuple[RunFiles, ...] = ()
    sources: tuple[RunFiles, ...] = ()

    def source_of(self, dataset: RunFiles) -> RunFiles | None:
        """The training run whose model made ``dataset``."""
        made_by = _made_by(dataset)
        if made_by is None:
            return None
        return next((one for one in self.sources if one.path == made_by.path), made_by)

    @property
    def runs(self) -> list[tuple[str, RunFiles]]:
        """(title, run) from the first made to the last."""
        named: list[tuple[str, RunFiles]] = []
        for index, source in enumerate(self.sources):
            title = "Smoke model" if len(self.sources) == 1 else f"Smoke model {index + 1}"
            named.append((title, source))
        for index, dataset in enumerate(self.datasets):
            title = "Data set" if len(self.datasets) == 1 else f"Data set {index + 1}"
            named.append((title, dataset))
        if self.detector is not None:
            named.append(("Detector", self.detector))
        if self.evaluation is not None:
            named.append(("Evaluation", self.evaluation))
        if self.comparison is not None:
            named.append(("Comparison", self.comparison))
        return named

    @property
    def problems(self) -> list[str]:
        """Sentences about files that could not be read and parents that are gone."""
        said: list[str] = []
        for title, run in self.runs:
            said += run.problems
            said += [
                f"{title}: the run it was made from is no longer at {place}."
                for place in run.lost_parents()
            ]
        return said


def follow(run: RunFiles) -> Chain:
    """The chain of parents that leads to ``run``, by their kinds."""
    evaluation = run if run.kind == "evaluate" else None
    detector = run if run.kind == "classify" else None
    if evaluation is not None:
        detector = _first(evaluation.parents(), "classify")
    datasets: list[RunFiles] = [run] if run.kind == "synth" else []
    if detector is not None:
        datasets = [parent for parent in detector.parents().values() if parent.kind == "synth"]
    sources: dict[Path, RunFiles] = {run.path: run} if run.kind == "train" else {}
    for dataset in datasets:
        if (source := _made_by(dataset)) is not None:
            sources.setdefault(source.path, source)
    return Chain(
        run if run.kind == "compare" else None,
        evaluation,
        detector,
        tuple(datasets),
        tuple(sources.values()),
    )
