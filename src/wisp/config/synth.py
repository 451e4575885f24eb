"""What ``wisp synth`` takes."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional

from wisp.config.checks import (
    Device,
    Precision,
    check_common,
    normalise,
    optional,
    parse_negatives,
    parse_source,
    parse_strength,
    require,
    require_at_least,
    required,
)


@dataclasses.dataclass(frozen=True)
class SynthConfig:
    """Make a labelled smoke data set from clean photos."""

    photos: Positional[Annotated[tuple[str, ...], required("PHOTOS")]]
    """Clean photos: folders (searched recursively), files or globs."""
    out: Path
    """Data set directory to make."""
    model: str = "layered"
    """Where the smoke comes from: layered (real smoke, ships
    with wisp; ./layered is a folder), procedural (computed),
    or a run, checkpoint, bank or generator file."""
    strength: str = "1"
    """Optical density relative to the model's own: a number, or a range such as 0.4:1.6."""
    per_photo: int = 1
    """Smoky pictures made of each photo."""
    negatives: Annotated[str, optional("KINDS")] = ""
    """A look-alike of each photo, labelled clean; default: none.
    Some of steam,blur,lowlight,overexposed,fog-lens."""
    source: Annotated[str | None, optional("X,Y,W,H")] = None
    """Box that all smoke rises from, such as a burner:
    left, top, width and height as fractions of the photo's
    width and height: 0.4,0.7,0.1,0.1. Default: anywhere."""
    frames: int = 1
    """Frames of moving smoke, some 15 a second, in place of each smoky picture."""
    limit: Annotated[int | None, optional("INT")] = None
    """Use at most so many photos, drawn at random."""
    clean_class: Literal["auto", "pixels", "reconstructed"] = "auto"
    """What the clean class shows: the photo, or the photo there and back through a cyclegan."""
    validation: Annotated[float | None, optional("FLOAT")] = None
    """Part of the photos that goes to validation, by whole groups; default: 0.2, or none of one."""
    group_by: str = "auto"
    """What stays together: auto, folder, prefix (before __), name, near-duplicate or a regex."""
    quality: Annotated[int | None, optional("INT")] = None
    """JPEG quality of all pictures; default: each as its photo was encoded, else 95."""
    masks: bool = True
    """Write the opacity of the smoke in each smoky picture, as a PNG."""
    gallery: bool = True
    """Write pairs of pictures for the report to show."""
    probe: bool = True
    """Measure how well a small network tells the set's clean photos from the originals."""
    seed: int = 0
    """Fixes everything random."""
    workers: Annotated[int | None, optional("INT")] = None
    """Threads; default: the number of cores."""
    device: Device = "auto"
    """Where to compute."""
    precision: Precision = "auto"
    """Arithmetic of a CycleGAN; auto is bfloat16 on GPUs
    that have it, and on processors with AMX if it repaints."""

    def __post_init__(self) -> None:
        normalise(self)
        check_common(self)
        parse_strength(self.strength)
        object.__setattr__(self, "negatives", ",".join(parse_negatives(self.negatives)))
        if self.source is not None:
            parse_source(self.source)
        require(len(self.photos) > 0, "PHOTOS: name at least one folder, file or glob")
        require_at_least(self, 1, "per_photo", "frames", "limit")
        require(
            self.validation is None or 0 <= self.validation < 1,
            f"--validation {self.validation}: from 0 to below 1",
        )
        require(
            self.quality is None or 1 <= self.quality <= 100,
            f"--quality {self.quality}: from 1 to 100",
        )
