"""What ``wisp evaluate`` takes."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional

from wisp.config.checks import (
    Device,
    Precision,
    check_common,
    normalise,
    optional,
    require,
    require_at_least,
    require_probability,
    required,
)


@dataclasses.dataclass(frozen=True)
class EvaluateConfig:
    """Measure a detector on real photos it has never seen."""

    detector: Positional[Annotated[str | Path, required("DETECTOR")]]
    """Run of `wisp classify`, or smoke-detector (ships with wisp; ./smoke-detector is a folder)."""
    real: Positional[Annotated[tuple[Path, ...], required("REAL")]]
    """Test sets: folders that hold one folder per class."""
    out: Path
    """Run directory to make."""
    positive: Annotated[str | None, optional("STR")] = None
    """The class to detect; default: as the detector was trained."""
    threshold: Annotated[float | None, optional("FLOAT")] = None
    """Probability from which a picture is called positive; default: as chosen on validation."""
    group_by: str = "auto"
    """What belongs together (intervals are over groups): see synth."""
    bootstrap: int = 2000
    """Bootstrap samples behind each 95 % interval."""
    pictures: int = 8
    """Worst misses and worst false alarms shown with saliency (0: none)."""
    distances: bool = True
    """Measure how far the training pictures are from the real ones (KID on the backbone)."""
    allow_overlap: bool = False
    """Go on although test pictures were seen in training (they are reported)."""
    seed: int = 0
    """Fixes everything random."""
    precision: Precision = "auto"
    """Arithmetic; auto is float32, so that answers are the same on every machine."""
    device: Device = "auto"
    """Where to compute."""
    workers: Annotated[int | None, optional("INT")] = None
    """Processes that decode pictures; default: by the number of cores."""

    def __post_init__(self) -> None:
        normalise(self)
        check_common(self)
        require(len(self.real) > 0, "REAL: name at least one folder with a folder per class")
        require_at_least(self, 100, "bootstrap")
        require_at_least(self, 0, "pictures")
        require_probability("threshold", self.threshold)
