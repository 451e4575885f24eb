"""One frozen dataclass per command (of ``train`` one per recipe): it is the flags, the Python
signature and ``config.json``.

Units stand in the names (``size`` and ``load_size`` are pixels); ``steps`` counts optimizer steps.
A value that cannot work is refused here, before anything is read or written.
"""

from __future__ import annotations

from wisp.config.checks import (
    LOOKALIKES,
    Device,
    Precision,
    parse_negatives,
    parse_source,
    parse_strength,
)
from wisp.config.classify import ClassifyConfig
from wisp.config.compare import REAL, CompareConfig, Contender, parse_models
from wisp.config.demo import DemoConfig
from wisp.config.evaluate import EvaluateConfig
from wisp.config.predict import PredictConfig
from wisp.config.saved import defaults, from_json, to_json
from wisp.config.synth import SynthConfig
from wisp.config.train import (
    ComposingConfig,
    LayeredConfig,
    RepaintingConfig,
    TrainConfig,
    saved_train_config,
    train_config,
    train_config_taking,
    train_kinds,
)

__all__ = [
    "LOOKALIKES",
    "REAL",
    "ClassifyConfig",
    "CompareConfig",
    "ComposingConfig",
    "Contender",
    "DemoConfig",
    "Device",
    "EvaluateConfig",
    "LayeredConfig",
    "Precision",
    "PredictConfig",
    "RepaintingConfig",
    "SynthConfig",
    "TrainConfig",
    "defaults",
    "from_json",
    "parse_models",
    "parse_negatives",
    "parse_source",
    "parse_strength",
    "saved_train_config",
    "to_json",
    "train_config",
    "train_config_taking",
    "train_kinds",
]
