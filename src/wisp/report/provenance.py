"""What was skipped, and how everything was made: commands, configuration, environment."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from wisp import shipped
from wisp.report import wording
from wisp.report.page import Section
from wisp.report.read import Chain, RunFiles, mapping, number, text

_SKIPPED_LISTED = 100


@dataclasses.dataclass(frozen=True)
class Skipped:
    """Files one run could not use."""

    title: str
    total: int
    files: tuple[tuple[str, str], ...]


@dataclasses.dataclass(frozen=True)
class Made:
    """How one run was made."""

    title: str
    path: str
    command: str
    facts: tuple[tuple[str, str], ...]
    config: tuple[tuple[str, str], ...]
    environment: tuple[tuple[str, str], ...]


@dataclasses.dataclass(frozen=True)
class MadeData:
    """All runs of the chain, and what could not be read of them."""

    runs: tuple[Made, ...]
    problems: tuple[str, ...]


def skipped_section(chain: Chain) -> Section | None:
    """Files that could not be used, by run; None if there were none."""
    found = []
    for title, run in chain.runs:
        files = run.skipped
        if files:
            found.append(Skipped(title, len(files), tuple(files[:_SKIPPED_LISTED])))
    if not found:
        return None
    return Section("skipped", "What was left out", "Left out", "skipped.html.j2", tuple(found))


def made_section(chain: Chain) -> Section:
    """Commands, configurations and environments, from the first run to the last."""
    return Section(
        "made",
        "How it was made",
        "How it was made",
        "made.html.j2",
        MadeData(tuple(_made(title, run) for title, run in chain.runs), tuple(chain.problems)),
    )


def _place(run: Path) -> str:
    """Where a run is, in words where wisp brought it along."""
    if run.resolve().parent == shipped.FOLDER.resolve():
        return f"{run.name}, which ships with wisp"
    return str(run)


def _made(title: str, run: RunFiles) -> Made:
    environment, result = run.environment, run.json("result.json")
    facts: list[tuple[str, str]] = []
    started = text(environment.get("started"))
    if started:
        facts.append(("started", started.replace("T", " ")))
    seconds = number(result.get("seconds"))
    if seconds is not None:
        facts.append(("took", wording.duration(seconds)))
    device = text(environment.get("device"))
    if device:
        facts.append(("device", device))
    precision = text(environment.get("precision"))
    if precision:
        facts.append(("precision", precision))
    if environment.get("why"):
        facts.append(("because", text(environment.get("why"))))
    if "seed" in run.config:
        facts.append(("seed", text(run.config["seed"])))
    flat: list[tuple[str, str]] = []
    for key, item in environment.items():
        if key in ("command", "started", "device", "precision", "why"):
            continue
        inner = mapping(item)
        if inner:
            flat += [(f"{key}: {name}", wording.value(value)) for name, value in inner.items()]
        elif item is not None:
            flat.append((key, wording.value(item)))
    return Made(
        title,
        _place(run.path),
        wording.shell(environment.get("command")),
        tuple(facts),
        tuple((key.replace("_", "-"), wording.value(item)) for key, item in run.config.items()),
        tuple(flat),
    )
