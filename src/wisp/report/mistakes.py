"""The worst misses and false alarms as pictures."""

from __future__ import annotations

import dataclasses

from wisp.report.charts import Names
from wisp.report.evaluation import Tally
from wisp.report.page import Section
from wisp.report.pictures import Pictures
from wisp.report.read import RunFiles, number, text


@dataclasses.dataclass(frozen=True)
class Mistake:
    """One photo the detector got wrong."""

    file: str
    name: str
    set: str
    group: str
    score: float | None
    picture: str
    saliency: str | None


@dataclasses.dataclass(frozen=True)
class MistakesData:
    """Pictures of what went wrong."""

    misses: tuple[Mistake, ...]
    false_alarms: tuple[Mistake, ...]
    names: Names
    positives: bool
    """Whether photos of this class were shown, so that some could be missed."""
    negatives: bool
    any_saliency: bool
    left_out: int


def mistakes_section(
    run: RunFiles, pictures: Pictures, names: Names, tally: Tally | None
) -> Section | None:
    """The worst mistakes, each with a map of where the detector looked."""
    rows = run.json_list("worst/index.json")
    found: dict[str, list[Mistake]] = {"miss": [], "false alarm": []}
    left_out = 0
    for row in rows:
        kind = text(row.get("kind"))
        picture = pictures.photo(run.path, row.get("picture"), 480)
        if picture is None or kind not in found:
            left_out += 1
            continue
        found[kind].append(
            Mistake(
                text(row.get("file")),
                text(row.get("file")).replace("\\", "/").rsplit("/", 1)[-1],
                text(row.get("set")),
                text(row.get("group")),
                number(row.get("score")),
                picture,
                pictures.photo(run.path, row.get("saliency"), 480),
            )
        )
    if not rows:
        return None
    found["miss"].sort(key=lambda one: one.score if one.score is not None else 1.0)
    found["false alarm"].sort(key=lambda one: -(one.score or 0.0))
    every = found["miss"] + found["false alarm"]
    return Section(
        "mistakes",
        "Where it goes wrong",
        "Mistakes",
        "mistakes.html.j2",
        MistakesData(
            tuple(found["miss"]),
            tuple(found["false alarm"]),
            names,
            tally is None or tally.positives > 0,
            tally is None or tally.negatives > 0,
            any(one.saliency for one in every),
            left_out,
        ),
    )
