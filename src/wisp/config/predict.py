"""What ``wisp predict`` takes."""

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
    require_probability,
    required,
)


@dataclasses.dataclass(frozen=True)
class PredictConfig:
    """Ask a detector about pictures."""

    detector: Positional[Annotated[str | Path, required("DETECTOR")]]
    """Run of `wisp classify`, or smoke-detector (ships with wisp; ./smoke-detector is a folder)."""
    images: Positional[Annotated[tuple[str, ...], required("IMAGES")]]
    """Pictures: folders (searched recursively), files or globs."""
    out: Annotated[Path | None, optional("PATH")] = None
    """CSV file to write as well."""
    threshold: Annotated[float | None, optional("FLOAT")] = None
    """Probability from which a picture is called positive; default: as chosen on validation."""
    precision: Precision = "auto"
    """Arithmetic; auto is float32, so that answers are the same on every machine."""
    device: Device = "auto"
    """Where to compute; auto asks the detector that ships on the CPU, others on a GPU if any."""
    workers: Annotated[int | None, optional("INT")] = None
    """Processes or threads that decode pictures; default: by the number of cores."""

    def __post_init__(self) -> None:
        normalise(self)
        check_common(self)
        require(len(self.images) > 0, "IMAGES: name at least one folder, file or glob")
        require_probability("threshold", self.threshold)
