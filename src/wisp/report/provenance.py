"""What was skipped, and how everything was made: commands, configuration, environment."""

from __future__ import annotations

from pathlib import Path

from wisp import shipped
from wisp.report import wording
from wisp.report.page import Section, section
from wisp.report.read import Chain, RunFiles, mapping, number, text

_SKIPPED_LISTED = 100


def skipped_section(chain: Chain) -> Section | None:
    """Files that could not be used, by run; None if there were none."""
    found = [(title, files) for title, run in chain.runs if (files := run.skipped)]
    if not found:
        return None
    return section("skipped", "What was left out", "Left out", runs=found, listed=_SKIPPED_LISTED)


def made_section(chain: Chain) -> Section:
    """Commands, configurations and environments, from the first run to the last."""
    runs = [_made(title, run) for title, run in chain.runs]
    return section("made", "How it was made", runs=runs, problems=chain.problems)


def _place(run: Path) -> str:
    """Where a run is, in words where wisp brought it along."""
    if run.resolve().parent == shipped.FOLDER.resolve():
        return f"{run.name}, which ships with wisp"
    return str(run)


def _made(title: str, run: RunFiles) -> dict[str, object]:
    """How one run was made."""
    environment = run.environment
    seconds = number(run.result.get("seconds"))
    facts = {
        "started": text(environment.get("started")).replace("T", " "),
        "took": "" if seconds is None else wording.duration(seconds),
        "device": text(environment.get("device")),
        "precision": text(environment.get("precision")),
        "because": text(environment.get("why")),
        "seed": text(run.config.get("seed")),
    }
    rest: dict[str, object] = {}
    for key, item in environment.items():
        if key not in ("command", "started", "device", "precision", "why") and item is not None:
            inner = {f"{key}: {name}": value for name, value in mapping(item).items()}
            rest |= inner or {key: item}
    return {
        "title": title,
        "path": _place(run.path),
        "command": wording.shell(environment.get("command")),
        "facts": {name: fact for name, fact in facts.items() if fact},
        "config": {key.replace("_", "-"): item for key, item in run.config.items()},
        "environment": rest,
    }
