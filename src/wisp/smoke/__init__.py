"""Smoke as physics: density fields, Beer-Lambert, and random smoke made of both.

Drawn and laid over pictures by numpy and OpenCV. Two modules compute with torch, and are imported
by name: :mod:`wisp.smoke.optics`, the equations for networks, and :mod:`wisp.smoke.batches`, which
lays smoke over batches on their device.
"""

from wisp.smoke.drawn import PlaceableSmoke, RandomSmoke
from wisp.smoke.fields import SHAPES
from wisp.smoke.layer import SmokeLayer, coverage, density_of, opacity
from wisp.smoke.lifted import LiftedSmoke, smooth_airlight
from wisp.smoke.lookalikes import LOOKALIKES, add_lookalike
from wisp.smoke.motion import sequence
from wisp.smoke.noise import Dice
from wisp.smoke.placement import SourceBox
from wisp.smoke.procedural import ProceduralSmoke
from wisp.smoke.visibility import FAINT, PLAIN, changed

__all__ = [
    "FAINT",
    "LOOKALIKES",
    "PLAIN",
    "SHAPES",
    "Dice",
    "LiftedSmoke",
    "PlaceableSmoke",
    "ProceduralSmoke",
    "RandomSmoke",
    "SmokeLayer",
    "SourceBox",
    "add_lookalike",
    "changed",
    "coverage",
    "density_of",
    "opacity",
    "sequence",
    "smooth_airlight",
]
