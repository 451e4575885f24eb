"""What ``wisp demo`` takes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from wisp.config.checks import Device, check_common, normalise


@dataclasses.dataclass(frozen=True)
class DemoConfig:
    """Smoke in real photos, then the whole loop on a small rendered world: minutes on two cores."""

    out: Path = Path("wisp-demo")
    """Folder to make."""
    seed: int = 0
    """Fixes everything random."""
    device: Device = "auto"
    """Where to compute."""

    def __post_init__(self) -> None:
        normalise(self)
        check_common(self)
