"""What a comparison of smoke sources found, as ``compare.json`` has it."""

from __future__ import annotations

from pydantic import Field

from wisp.report.evaluation import Measures
from wisp.report.read import UNKNOWN, Estimate, Measured, Number, RunFiles, Saved


class OneRun(Saved):
    """The runs of one seed, as folders relative to the comparison."""

    seed: int = 0
    dataset: str = ""
    evaluation: str = ""


class Pictures(Saved):
    """How many a detector learned from."""

    clean: int = 0
    smoky: int = 0


class Source(Saved):
    """One source of smoke and the runs it went through."""

    name: str = ""
    source: str = ""
    parts: tuple[str, ...] = ()
    probe: Measured = UNKNOWN
    pictures: Pictures = Pictures()
    runs: tuple[OneRun, ...] = ()


class OfSeed(Saved):
    """The score of one seed."""

    auroc: Number | None = None


class Standing(Measures):
    """How the detectors of one source do on one test set: means over seeds."""

    set: str = ""
    model: str = ""
    positives: int = 0
    false_alarms: Measured = UNKNOWN
    missed: Measured = UNKNOWN
    kid: Measured = UNKNOWN
    seeds: tuple[OfSeed, ...] = ()

    @property
    def scores(self) -> list[float]:
        """AUROC of each seed, where it is known."""
        return [one.auroc for one in self.seeds if one.auroc is not None]


class Margin(Saved):
    """One source less the reference on one test set, by paired bootstrap."""

    set: str = ""
    model: str = ""
    auroc: Measured = UNKNOWN
    balanced_accuracy: Measured = UNKNOWN


class GroupAlarms(Saved):
    """Share of false alarms among the clean photos of a group, by model."""

    set: str = ""
    group: str = ""
    images: int = 0
    models: dict[str, Number | None] = Field(default_factory=dict)

    @property
    def expected(self) -> float:
        """False alarms over all models."""
        return self.images * sum(rate or 0.0 for rate in self.models.values())


class Correlation(Saved):
    """Rank correlation of distance and detection, over ``n`` pairs of model and set."""

    value: Number | None = None
    n: int = 0
    per_set: dict[str, Number | None] = Field(default_factory=dict)


class Comparison(Saved):
    """Everything compare.json says; anything missing is empty or None."""

    models: tuple[Source, ...] = ()
    reference: str = ""
    sets: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    leaderboard: tuple[Standing, ...] = ()
    """In each set the best first."""
    differences: tuple[Margin, ...] = ()
    false_alarms_by_group: tuple[GroupAlarms, ...] = ()
    distance_and_detection: Correlation = Correlation()

    def on(self, name: str) -> list[Standing]:
        """The standings on one set, the best first."""
        return [row for row in self.leaderboard if row.set == name]

    def margin(self, name: str, model: str) -> Margin | None:
        """The margin of ``model`` on one set; None for the reference."""
        found = (row for row in self.differences if (row.set, row.model) == (name, model))
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
    """Read a comparison."""
    return Comparison.model_validate(run.json("compare.json"))
