"""What training a layered model takes."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

from wisp.config.checks import BACKBONE, require_at_least
from wisp.config.train.shared import MODEL, TrainConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayeredConfig(TrainConfig):
    """Learn from unpaired photos to put smoke into clean ones: layers of real smoke.

    A network learns to lift the smoke off SMOKY, to be laid over any photo.
    """

    model: Annotated[Literal["layered"], MODEL] = "layered"
    steps: int = 3600
    size: int = 160
    images_per_step: int = 12
    learning_rate: float = 2e-3
    precision: Literal["auto", "32", "bf16"] = "auto"
    """Arithmetic; auto is bfloat16 on GPUs that have it, else float32."""
    backbone: str = BACKBONE
    """timm network that lifts the smoke (convolutional, with features of 5 scales)."""
    weights: str = "imagenet"
    """Its weights: imagenet, hub, none, or a file (see classify)."""
    lift_supervised: float = 1.0
    """Weight of the losses on clean photos under known, procedural smoke."""
    lift_identity: float = 1.5
    """Weight of the smoke that is seen in clean photos."""

    def _check(self) -> None:
        super()._check()
        require_at_least(self, 0, "lift_supervised", "lift_identity")
