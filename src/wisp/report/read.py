"""Reading run directories with a steady hand: what is missing or broken becomes a sentence.

The files come from wisp's jobs, of this version or an earlier one, but also from killed processes
and text editors. Nothing here raises for a file that cannot be used: it is noted in
``RunFiles.problems``.
"""

from __future__ import annotations

import csv
import dataclasses
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FiniteFloat,
    Strict,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
)

from wisp.errors import InputError
from wisp.rundir import RunDir, read_json, read_jsonl

Number = Annotated[FiniteFloat, Strict()]  # no text, and True is none


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


def text(value: object) -> str:
    """``value`` as text; none for None."""
    return "" if value is None else str(value)


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A measured number with its 95 % interval; None where undefined."""

    value: float | None = None
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, source: object) -> Estimate:
        """From ``{"value", "low", "high"}``, a bare number, or anything else (unknown)."""
        if isinstance(source, Estimate):
            return source
        fields = mapping(source) or {"value": source}
        return cls(*(number(fields.get(name)) for name in ("value", "low", "high")))

    @property
    def known(self) -> bool:
        """Whether there is a value at all."""
        return self.value is not None

    @property
    def has_interval(self) -> bool:
        """Whether both ends of the interval are known."""
        return self.low is not None and self.high is not None

    @property
    def lower_end(self) -> float | None:
        """Of the interval; the value itself where there is none."""
        return self.low if self.low is not None else self.value


UNKNOWN = Estimate()
Measured = Annotated[Estimate, BeforeValidator(Estimate.of)]
S = TypeVar("S", bound="Saved")


class Saved(BaseModel):
    """A JSON object that a job saved: a field that is missing or odd has its default."""

    model_config = ConfigDict(frozen=True, coerce_numbers_to_str=True)

    @classmethod
    def merged(cls, *sources: Mapping[str, object]) -> Self:
        """From several objects; what a later one says outweighs those before."""
        said = {key: item for one in sources for key, item in one.items() if item is not None}
        return cls.model_validate(said)

    @field_validator("*", mode="wrap")
    @classmethod
    def _or_default(
        cls, value: object, handler: ValidatorFunctionWrapHandler, info: ValidationInfo
    ) -> Any:  # noqa: ANN401 - of the field's type
        try:
            return handler(value)
        except ValidationError:
            field = cls.model_fields[str(info.field_name)]
            return field.get_default(call_default_factory=True, validated_data={})


class Prediction(Saved):
    """One row of predictions.csv; ``score`` is the probability of the positive class."""

    set: str = ""
    group: str = ""
    label: str = ""
    score: FiniteFloat | None = None
    predicted: str = ""


class RunFiles:
    """One run directory, read tolerantly; what could not be read is listed in ``problems``."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.problems: list[str] = []
        self._read: dict[str, object] = {}  # data sets are asked for their rows several times
        self.kind = text(self.json("config.json").get("kind")) or "unknown"

    def _try(self, read: Callable[[Path], object], name: str) -> object:
        path = self.path / name
        if name not in self._read and path.exists():
            try:
                self._read[name] = read(path)
            except InputError as error:
                self.problems.append(str(error))
            except (OSError, UnicodeDecodeError, csv.Error) as error:
                self.problems.append(f"{path}: not readable ({error})")
        return self._read.setdefault(name, None)

    def has(self, name: str) -> bool:
        """Whether the run holds a file or folder of this name."""
        return (self.path / name).exists()

    def json(self, name: str) -> dict[str, object]:
        """The JSON object in ``name``; empty when absent or broken."""
        return mapping(self._try(read_json, name))

    def json_list(self, name: str, of: type[S]) -> list[S]:
        """The objects of the JSON array in ``name``; empty when absent or broken."""
        return [of.model_validate(mapping(row)) for row in sequence(self._try(read_json, name))]

    def rows(self, name: str) -> list[dict[str, object]]:
        """The objects of a JSON-lines file; empty when absent or broken."""
        return [mapping(row) for row in sequence(self._try(read_jsonl, name)) if row]

    def predictions(self, name: str) -> list[Prediction]:
        """The rows of a CSV file that have a score; none when absent or broken."""

        def read(path: Path) -> list[Prediction]:
            with path.open(newline="", encoding="utf-8") as stream:
                return [Prediction.model_validate(row) for row in csv.DictReader(stream)]

        found = self._try(read, name)
        return [row for row in found if row.score is not None] if isinstance(found, list) else []

    @property
    def config(self) -> dict[str, object]:
        """The configuration without ``kind``."""
        return {key: value for key, value in self.json("config.json").items() if key != "kind"}

    @property
    def environment(self) -> dict[str, object]:
        """Versions, machine, command."""
        return self.json("environment.json")

    @property
    def result(self) -> dict[str, object]:
        """What came of the run."""
        return self.json("result.json")

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """(path, reason) of files that were skipped, from inputs.json, else metrics.json."""
        for name in ("inputs.json", "metrics.json"):
            rows = [mapping(row) for row in sequence(self.json(name).get("skipped"))]
            if rows:
                return [(text(row.get("path")), text(row.get("reason"))) for row in rows]
        return []

    def _recorded_parents(self) -> dict[str, RunDir]:
        recorded = mapping(self.json("inputs.json").get("parents"))
        return {
            name: RunDir((self.path / relative).resolve())
            for name, relative in recorded.items()
            if isinstance(relative, str)
        }

    def parents(self) -> dict[str, RunFiles]:
        """The parent runs that still exist, by the name they were recorded under."""
        recorded = self._recorded_parents().items()
        return {name: RunFiles(run.path) for name, run in recorded if run.config_file.exists()}

    def lost_parents(self) -> list[Path]:
        """Where recorded parents should be, but are not."""
        recorded = self._recorded_parents().values()
        return [run.path for run in recorded if not run.config_file.exists()]


def _first(candidates: Mapping[str, RunFiles], kind: str) -> RunFiles | None:
    return next((run for run in candidates.values() if run.kind == kind), None)


def _made_by(dataset: RunFiles) -> RunFiles | None:
    """The training whose smoke is in ``dataset``; that of its look-alikes is another matter."""
    parents = {name: run for name, run in dataset.parents().items() if name != "lookalikes"}
    return _first(parents, "train")


@dataclasses.dataclass(frozen=True)
class Chain:
    """The runs a result came from, as far as they can still be found."""

    last: RunFiles
    detector: RunFiles | None
    datasets: tuple[RunFiles, ...]
    sources: tuple[RunFiles, ...]

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
        for title, runs in (("Smoke model", self.sources), ("Data set", self.datasets)):
            for index, run in enumerate(runs, start=1):
                named.append((title if len(runs) == 1 else f"{title} {index}", run))
        if self.detector is not None:
            named.append(("Detector", self.detector))
        last = {"evaluate": "Evaluation", "compare": "Comparison"}.get(self.last.kind)
        return [*named, (last, self.last)] if last else named

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
    detector = run if run.kind == "classify" else None
    if run.kind == "evaluate":
        detector = _first(run.parents(), "classify")
    datasets: list[RunFiles] = [run] if run.kind == "synth" else []
    if detector is not None:
        datasets = [parent for parent in detector.parents().values() if parent.kind == "synth"]
    sources: dict[Path, RunFiles] = {run.path: run} if run.kind == "train" else {}
    for dataset in datasets:
        if (source := _made_by(dataset)) is not None:
            sources.setdefault(source.path, source)
    return Chain(run, detector, tuple(datasets), tuple(sources.values()))
