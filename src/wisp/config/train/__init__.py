"""What ``wisp train`` takes: one class per recipe, on top of what all share."""

from wisp.config.train.choice import (
    saved_train_config,
    train_config,
    train_config_taking,
    train_kinds,
)
from wisp.config.train.layered import LayeredConfig
from wisp.config.train.repainting import RepaintingConfig
from wisp.config.train.shared import TrainConfig

__all__ = [
    "LayeredConfig",
    "RepaintingConfig",
    "TrainConfig",
    "saved_train_config",
    "train_config",
    "train_config_taking",
    "train_kinds",
]
