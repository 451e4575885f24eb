"""What training a CycleGAN takes whose generators compose."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

from wisp.config.checks import BACKBONE, require, require_at_least
from wisp.config.train.shared import MODEL, TrainConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class ComposingConfig(TrainConfig):
    """Learn from unpaired photos to put smoke into clean ones: a CycleGAN that composes.

    One generator says where smoke is and how it is lit, the other where there was some; the
    picture is made by Beer-Lambert. Minutes on two cores.
    """

    model: Annotated[Literal["cyclegan"], MODEL] = "cyclegan"
    steps: int = 800
    size: int = 128
    images_per_step: int = 8
    learning_rate: float = 4e-4
    ema: float = 0.99
    log_every: int = 25
    sample_every: int = 200
    checkpoint_every: int = 200
    precision: Literal["auto", "32", "bf16"] = "auto"
    """Arithmetic; auto is bfloat16 on GPUs that have it, else float32."""
    generator: Literal["composing"] = "composing"
    """composing, or resnet6 and resnet9, which repaint the photo (see their --help)."""
    backbone: str = BACKBONE
    """timm network whose frozen features all four networks look through (with 5 scales)."""
    weights: str = "imagenet"
    """Its weights: imagenet, hub, none, or a file (see classify)."""
    composites: float = 0.6
    """Part of each step's smoky photos that are clean ones
    under smoke of the layers that ship, so that both
    domains show the same places and differ in smoke."""
    lambda_cycle: float = 8.0
    """Weight of getting the clean photo back."""
    lambda_lift: float = 2.0
    """Weight of finding again the smoke that was laid."""
    lambda_variety: float = 4.0
    """Weight of other smoke for other noise."""

    def _check(self) -> None:
        super()._check()
        require_at_least(self, 0, "lambda_cycle", "lambda_lift", "lambda_variety")
        require_at_least(self, 2, "images_per_step")
        require(0 <= self.composites <= 1, f"--composites {self.composites}: from 0 to 1")
