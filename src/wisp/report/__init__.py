"""One self-contained HTML file that tells what a run found, and how far it can be trusted.

It reads run directories only: no tensors, no network, and nothing it does changes a result.
"""

from __future__ import annotations

from pathlib import Path

from wisp.errors import InputError
from wisp.report.compose import COMPOSERS, compose, next_command
from wisp.report.page import render
from wisp.report.read import RunFiles
from wisp.rundir import RunDir, write_text

__all__ = ["next_command", "write_report"]


def write_report(run: Path) -> Path:
    """Write ``run/report.html`` and return its path.

    ``run`` is a directory made by ``train``, ``synth``, ``classify``, ``evaluate``, ``compare`` or
    ``demo``. The report of an evaluation follows the parents recorded in ``inputs.json`` and shows
    detector, data set and smoke model too, as far as they are still there. Files that are missing
    or broken are named in the report instead of ending it.

    Raises InputError when ``run`` is no run directory or of a kind that has no report.
    """
    opened = RunDir.open(Path(run))
    if opened.kind == "demo":
        inner = write_report(opened.path / "eval")
        target = opened.path / "report.html"
        write_text(target, inner.read_text(encoding="utf-8"))
        return target
    if opened.kind not in COMPOSERS:
        raise InputError(
            f"{run}: there is no report for a '{opened.kind}' run; "
            f"name one of {', '.join(sorted(COMPOSERS))}"
        )
    target = opened.path / "report.html"
    write_text(target, render(compose(RunFiles(opened.path))))
    return target
