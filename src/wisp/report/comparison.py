"""What a comparison of smoke sources found, as plain values."""

from __future__ import annotations

import dataclasses

from wisp.report.read import Estimate, RunFiles, mapping, number, sequence, text, whole


@dataclasses.dataclass(frozen=True)
class Source:
    """One source of smoke and the runs it went through."""

    name: str
    source: str
    parts: tuple[str, ...]
    probe: Estimate
    clean: int
    smoky: int
    runs: tuple[tuple[int, str, str], ...]
    """(seed, data set, evaluation), folders relative to the comparison."""


@dataclasses.dataclass(frozen=True)
class Standing:
    """How the detectors of one source do on one test set: means over seeds."""

    set: str
    model: str
    images: int
    positives: int
    groups: int
    groups_of_both: int
    """Groups that show both classes."""
    auroc: Estimate
    auroc_within_groups: Estimate
    balanced_accuracy: Estimate
    false_alarms: Estimate
    missed: Estimate
    kid: Estimate
    seeds: tuple[float, ...]
    """AUROC of each seed."""


@dataclasses.dataclass(frozen=True)
class Margin:
    """One source less the reference on one test set, by paired bootstrap."""

    set: str
    model: str
    auroc: Estimate
    balanced_accuracy: Estimate


@dataclasses.dataclass(frozen=True)
class GroupAlarms:
    """Share of false alarms among the clean photos of a group, by model."""

    set: str
    group: str
    images: int
    models: dict[str, float]

    @property
    def expected(self) -> float:
        """False alarms over all models."""
        return self.images * sum(self.models.values())


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Everything compare.json says."""

    sources: tuple[Source, ...]
    reference: str
    sets: tuple[str, ...]
    seeds: tuple[int, ...]
    standings: tuple[Standing, ...]
    """In each set the best first."""
    margins: tuple[Margin, ...]
    alarms: tuple[GroupAlarms, ...]
    correlation: float | None
    correlation_of_set: dict[str, float | None]
    correlated: int
    """Pairs of model and set behind ``correlation``."""

    def on(self, name: str) -> list[Standing]:
        """The standings on one set, the best first."""
        return [row for row in self.standings if row.set == name]

    def margin(self, name: str, model: str) -> Margin | None:
        """The margin of ``model`` on one set; None for the reference."""
        found = (row for row in self.margins if (row.set, row.model) == (name, model))
        return next(found, None)

    @property
    def ranked(self) -> list[str]:
        """Sets on which detectors can be ranked: those that hold both classes."""
        return [name for name in self.sets if any(row.auroc.known for row in self.on(name))]


def side_of_zero(estimate: Estimate) -> int:
    """1 if the whole interval is above 0, -1 if it is below, 0 if 0 is in it or it is unknown."""
    if estimate.low is None or estimate.high is None:
        return 0
    return int(estimate.low > 0) - int(estimate.high < 0)


def load_comparison(run: RunFiles) -> Comparison:
    """Read a comparison; anything missing is empty or None."""
    found = run.json("compare.json")
    correlation = mapping(found.get("distance_and_detection"))
    return Comparison(
        sources=tuple(_source(mapping(row)) for row in sequence(found.get("models"))),
        reference=text(found.get("reference")),
        sets=tuple(text(name) for name in sequence(found.get("sets"))),
        seeds=tuple(whole(seed) for seed in sequence(found.get("seeds"))),
        standings=tuple(_standing(mapping(row)) for row in sequence(found.get("leaderboard"))),
        margins=tuple(
            Margin(
                text(row.get("set")),
                text(row.get("model")),
                Estimate.of(row.get("auroc")),
                Estimate.of(row.get("balanced_accuracy")),
            )
            for row in map(mapping, sequence(found.get("differences")))
        ),
        alarms=tuple(
            GroupAlarms(
                text(row.get("set")),
                text(row.get("group")),
                whole(row.get("images")),
                {
                    name: rate
                    for name, value in mapping(row.get("models")).items()
                    if (rate := number(value)) is not None
                },
            )
            for row in map(mapping, sequence(found.get("false_alarms_by_group")))
        ),
        correlation=number(correlation.get("value")),
        correlation_of_set={
            name: number(value) for name, value in mapping(correlation.get("per_set")).items()
        },
        correlated=whole(correlation.get("n")),
    )


def _source(row: dict[str, object]) -> Source:
    pictures = mapping(row.get("pictures"))
    return Source(
        text(row.get("name")),
        text(row.get("source")),
        tuple(text(part) for part in sequence(row.get("parts"))),
        Estimate.of(row.get("probe")),
        whole(pictures.get("clean")),
        whole(pictures.get("smoky")),
        tuple(
            (whole(one.get("seed")), text(one.get("dataset")), text(one.get("evaluation")))
            for one in map(mapping, sequence(row.get("runs")))
        ),
    )


def _standing(row: dict[str, object]) -> Standing:
    seeds = [number(mapping(one).get("auroc")) for one in sequence(row.get("seeds"))]
    return Standing(
        text(row.get("set")),
        text(row.get("model")),
        whole(row.get("images")),
        whole(row.get("positives")),
        whole(row.get("groups")),
        whole(row.get("groups_of_both")),
        Estimate.of(row.get("auroc")),
        Estimate.of(row.get("auroc_within_groups")),
        Estimate.of(row.get("balanced_accuracy")),
        Estimate.of(row.get("false_alarms")),
        Estimate.of(row.get("missed")),
        Estimate.of(row.get("kid")),
        tuple(value for value in seeds if value is not None),
    )
