"""What training a CycleGAN takes whose generators repaint the photo."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Final, Literal

from wisp.config.checks import apply_recipe, require, require_at_least
from wisp.config.train.shared import MODEL, TrainConfig

# Zhu et al. 2017, section 4 and appendix 7: what `--reference` fixes.
REFERENCE_RECIPE: Final[dict[str, Any]] = {
    "size": 256, "load_size": 286, "fit": "squash", "flip": True,
    "generator": "resnet9", "width": 64, "discriminator_width": 64,
    "images_per_step": 1, "accumulate": 1, "learning_rate": 2e-4,
    "lambda_cycle": 10.0, "lambda_identity": 0.5, "pool_size": 50,
    "ema": 0.0, "diffaugment": False, "spectral_norm": False, "precision": "32",
}  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class RepaintingConfig(TrainConfig):
    """Learn from unpaired photos to put smoke into clean ones: a CycleGAN (arXiv 1703.10593).

    Two generators repaint photos, clean ones as smoky and smoky ones as clean.
    """

    model: Annotated[Literal["cyclegan"], MODEL] = "cyclegan"
    steps: int = 100_000
    size: int = 256
    images_per_step: int = 1
    learning_rate: float = 2e-4
    reference: bool = False
    """The paper's recipe with nothing on top: 286 px squashed, 256 px crops, float32, no EMA."""
    generator: Literal["resnet6", "resnet9"] = "resnet9"
    """Generators of 6 or 9 residual blocks (the paper takes 6 below 256 px)."""
    width: int = 64
    """Channels of the generators' first layer."""
    discriminator_width: int = 64
    """Channels of the discriminators' first layer."""
    accumulate: int = 1
    """Split each step's photos into this many backward passes, to save memory."""
    lambda_cycle: float = 10.0
    """Weight of the cycle-consistency loss."""
    lambda_identity: float = 0.5
    """Weight of the identity loss, as a part of lambda-cycle."""
    pool_size: int = 50
    """Earlier generated images that the discriminators are shown (0: none)."""
    diffaugment: bool = False
    """Differentiable augmentation of what the discriminators see (for few photos)."""
    spectral_norm: bool = False
    """Spectral normalisation of the discriminators."""

    def _check(self) -> None:
        super()._check()
        require_at_least(self, 1, "accumulate")
        require_at_least(self, 4, "width", "discriminator_width")
        require_at_least(self, 0, "lambda_cycle", "lambda_identity", "pool_size")
        require(
            self.images_per_step % self.accumulate == 0,
            f"--images-per-step {self.images_per_step} cannot be split into "
            f"--accumulate {self.accumulate} equal parts",
        )
        if self.reference:
            apply_recipe(self, REFERENCE_RECIPE, "--reference")

    @property
    def blocks(self) -> int:
        """Residual blocks of a generator."""
        return 6 if self.generator == "resnet6" else 9
