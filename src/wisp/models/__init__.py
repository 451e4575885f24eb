"""Smoke models behind one protocol: ``wisp.load(model).add_smoke(photo)``."""

from typing import TYPE_CHECKING

from wisp.lazily import lazily
from wisp.models.base import ImageInput, Rendered, SmokeModel, Smoky
from wisp.models.drawn import DrawnModel
from wisp.models.loading import load, lookalike_parents, parents_of, shipped_layers
from wisp.models.scale import WorkingScale

if TYPE_CHECKING:
    from wisp.models.cyclegan import CycleGANModel

__getattr__ = lazily(__name__, {"CycleGANModel": "wisp.models.cyclegan"})

__all__ = [
    "CycleGANModel",
    "DrawnModel",
    "ImageInput",
    "Rendered",
    "SmokeModel",
    "Smoky",
    "WorkingScale",
    "load",
    "lookalike_parents",
    "parents_of",
    "shipped_layers",
]
