"""What a training run came to."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from wisp.progress import counted, format_duration
from wisp.rundir import RunDir, read_json


@dataclasses.dataclass(frozen=True)
class TrainResult:
    """What a training run came to; ``stopped`` is "finished" or "early"."""

    run: Path
    steps: int
    seconds: float
    stopped: str
    checkpoint: Path
    best: dict[str, Any] | None
    """{"step", "path", "distance"} of the checkpoint nearest to real smoky photos, if measured."""
    photos: dict[str, int]
    """Photos trained on, by domain."""
    skipped: int
    """Files that could not be read."""
    lifting: dict[str, int] | None
    """What was lifted off the smoky photos (--model layered), see :class:`Lifting`."""
    notes: list[str]
    """What went wrong quietly, in sentences."""

    def summary(self) -> str:
        """A few lines for the user."""
        what = "CycleGAN trained"
        if self.lifting is not None:
            kept, seen = self.lifting["layers"], self.lifting["looked_at"]
            what = f"{kept} layers of smoke lifted off {seen} photos by R, a network trained"
        lines = [
            f"{what} for {counted(self.steps, 'step')} in {format_duration(self.seconds)} "
            f"on {self.photos['clean']} clean and {self.photos['smoky']} smoky photos: {self.run}",
            f"samples: {self.run / 'samples' / 'latest.jpg'}",
            *self.notes,
        ]
        return "\n".join(lines)


def finished(folder: RunDir) -> TrainResult | None:
    """The result of a run that has come to its end; None of one that has not."""
    file = folder.path / "result.json"
    if not file.exists():
        return None
    saved = dict(read_json(file))
    if saved["stopped"] not in ("finished", "early"):
        return None
    saved["checkpoint"] = folder.path / saved["checkpoint"]
    saved.setdefault("lifting", None)
    return TrainResult(run=folder.path, **saved)
