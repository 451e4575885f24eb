"""Smoke models behind one protocol: ``wisp.load(model).add_smoke(photo)``."""

from wisp.models.base import ImageInput, Rendered, SmokeModel, Smoky, torch_threads
from wisp.models.cyclegan import CycleGANModel, WorkingScale
from wisp.models.loading import load
from wisp.models.procedural import ProceduralModel

__all__ = [
    "CycleGANModel",
    "ImageInput",
    "ProceduralModel",
    "Rendered",
    "SmokeModel",
    "Smoky",
    "WorkingScale",
    "load",
    "torch_threads",
]
