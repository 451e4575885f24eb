"""``wisp demo``: the whole loop on a small rendered world, really trained, nothing canned."""

from __future__ import annotations

from wisp.demonstration.loop import DemoResult, run

__all__ = ["DemoResult", "run"]
