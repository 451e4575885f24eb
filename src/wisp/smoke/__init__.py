"""Smoke as physics: density fields, Beer-Lambert, and random smoke made of both."""

from wisp.smoke.fields import SHAPES, density
from wisp.smoke.lifted import LiftedLayer, LiftedSmoke
from wisp.smoke.motion import sequence
from wisp.smoke.noise import RowBlocks
from wisp.smoke.optics import add_smoke, box_of, coverage, opacity, remove_smoke, transmission
from wisp.smoke.placement import SourceBox
from wisp.smoke.procedural import ProceduralSmoke, RandomSmoke, SmokeLayer, SmokyBatch

__all__ = [
    "SHAPES",
    "LiftedLayer",
    "LiftedSmoke",
    "ProceduralSmoke",
    "RandomSmoke",
    "RowBlocks",
    "SmokeLayer",
    "SmokyBatch",
    "SourceBox",
    "add_smoke",
    "box_of",
    "coverage",
    "density",
    "opacity",
    "remove_smoke",
    "sequence",
    "transmission",
]
