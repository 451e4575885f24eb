"""wisp: make smoke without fire.

Turns photos of a place into a labelled smoke data set, trains a detector on it and measures that
detector on real smoke. One function per command, with the command's flags as arguments::

    import wisp

    wisp.synth(("photos/",), out="dataset")
    wisp.classify(("dataset",), out="runs/detector")
    wisp.evaluate("runs/detector", ("real/",), out="runs/eval")
    smoky = wisp.load("layered").add_smoke("photo.jpg", strength=0.8, seed=1)

Importing wisp loads nothing heavy; torch comes with the first call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wisp.lazily import lazily

__version__ = "0.1.0"

# Where each public name lives; the names are loaded when first asked for.
_HOME = {
    "train": "wisp.api",
    "synth": "wisp.api",
    "classify": "wisp.api",
    "evaluate": "wisp.api",
    "compare": "wisp.api",
    "predict": "wisp.api",
    "demo": "wisp.api",
    "load": "wisp.models",
    "Smoky": "wisp.models",
    "SmokeModel": "wisp.models",
    "TrainConfig": "wisp.config",
    "ComposingConfig": "wisp.config",
    "RepaintingConfig": "wisp.config",
    "LayeredConfig": "wisp.config",
    "SynthConfig": "wisp.config",
    "ClassifyConfig": "wisp.config",
    "EvaluateConfig": "wisp.config",
    "CompareConfig": "wisp.config",
    "PredictConfig": "wisp.config",
    "DemoConfig": "wisp.config",
    "WispError": "wisp.errors",
    "InputError": "wisp.errors",
}

if TYPE_CHECKING:
    from wisp.api import classify, compare, demo, evaluate, predict, synth, train
    from wisp.config import (
        ClassifyConfig,
        CompareConfig,
        ComposingConfig,
        DemoConfig,
        EvaluateConfig,
        LayeredConfig,
        PredictConfig,
        RepaintingConfig,
        SynthConfig,
        TrainConfig,
    )
    from wisp.errors import InputError, WispError
    from wisp.models import SmokeModel, Smoky, load

__all__ = [
    "ClassifyConfig",
    "CompareConfig",
    "ComposingConfig",
    "DemoConfig",
    "EvaluateConfig",
    "InputError",
    "LayeredConfig",
    "PredictConfig",
    "RepaintingConfig",
    "SmokeModel",
    "Smoky",
    "SynthConfig",
    "TrainConfig",
    "WispError",
    "classify",
    "compare",
    "demo",
    "evaluate",
    "load",
    "predict",
    "synth",
    "train",
]


__getattr__ = lazily("wisp", _HOME)


def __dir__() -> list[str]:
    return sorted(__all__)
