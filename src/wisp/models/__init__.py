"""Smoke models behind one protocol: ``wisp.load(model).add_smoke(photo)``."""

from wisp.models.base import ImageInput, Rendered, SmokeModel, Smoky
from wisp.models.cyclegan import CycleGANModel
from wisp.models.drawn import DrawnModel
from wisp.models.loading import load, shipped_layers
from wisp.models.scale import WorkingScale

__all__ = [
    "CycleGANModel",
    "DrawnModel",
    "ImageInput",
    "Rendered",
    "SmokeModel",
    "Smoky",
    "WorkingScale",
    "load",
    "shipped_layers",
]
