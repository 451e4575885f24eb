"""Smoke as physics: density fields, Beer-Lambert, and random smoke made of both."""

from wisp.smoke.fields import SHAPES
from wisp.smoke.lifted import LiftedLayer, LiftedSmoke, smooth_airlight
from wisp.smoke.lookalikes import LOOKALIKES, add_lookalike
from wisp.smoke.motion import sequence
from wisp.smoke.noise import RowBlocks
from wisp.smoke.optics import add_smoke, box_of, coverage, opacity
from wisp.smoke.placement import SourceBox
from wisp.smoke.procedural import (
    PlaceableSmoke,
    ProceduralSmoke,
    RandomSmoke,
    SmokeLayer,
    SmokyBatch,
)
from wisp.smoke.visibility import FAINT, PLAIN, changed

__all__ = [
    "FAINT",
    "LOOKALIKES",
    "PLAIN",
    "SHAPES",
    "LiftedLayer",
    "LiftedSmoke",
    "PlaceableSmoke",
    "ProceduralSmoke",
    "RandomSmoke",
    "RowBlocks",
    "SmokeLayer",
    "SmokyBatch",
    "SourceBox",
    "add_lookalike",
    "add_smoke",
    "box_of",
    "changed",
    "coverage",
    "opacity",
    "sequence",
    "smooth_airlight",
]
