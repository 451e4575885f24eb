"""What ``wisp train`` takes."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from tyro.conf import Positional

from wisp.config.checks import (
    Device,
    Precision,
    apply_recipe,
    check_common,
    flag_of,
    normalise,
    optional,
    require,
    require_at_least,
)

MODEL_DEFAULTS: Final[dict[str, dict[str, float]]] = {
    "cyclegan": {"steps": 100_000, "size": 256, "images_per_step": 1, "learning_rate": 2e-4},
    "layered": {"steps": 3600, "size": 160, "images_per_step": 12, "learning_rate": 2e-3},
}
"""What 0 stands for."""

OF_CYCLEGAN: Final = (
    "reference", "generator", "width", "accumulate", "diffaugment", "pool_size", "lambda_cycle",
    "lambda_identity", "patience",
)  # fmt: skip
"""Fields that mean nothing to --model layered."""

# Zhu et al. 2017, section 4 and appendix 7: what `--reference` fixes.
REFERENCE_RECIPE: Final[dict[str, Any]] = {
    "size": 256,
    "load_size": 286,
    "fit": "squash",
    "flip": True,
    "generator": "resnet9",
    "width": 64,
    "discriminator_width": 64,
    "images_per_step": 1,
    "accumulate": 1,
    "learning_rate": 2e-4,
    "lambda_cycle": 10.0,
    "lambda_identity": 0.5,
    "pool_size": 50,
    "ema": 0.0,
    "diffaugment": False,
    "spectral_norm": False,
    "precision": "32",
}


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Learn from unpaired photos to put smoke into clean ones.

    layered lifts real smoke off SMOKY and lays it over any photo; cyclegan (arXiv 1703.10593)
    repaints photos. Where a default is 0, the model has one of its own.
    """

    clean: Positional[Annotated[Path | None, optional("CLEAN")]] = None
    """Folder of clean photos (searched recursively)."""
    smoky: Positional[Annotated[Path | None, optional("SMOKY")]] = None
    """Folder of smoky photos; they need not show the same places."""
    out: Annotated[Path | None, optional("PATH")] = None
    """Run directory to make."""
    resume: Annotated[Path | None, optional("PATH")] = None
    """Run directory to go on with, exactly where it stopped; all else is read from it."""
    model: Literal["cyclegan", "layered"] = "cyclegan"
    """What to train."""
    reference: bool = False
    """The paper's recipe with nothing on top: 286 px squashed, 256 px crops, float32, no EMA."""

    steps: int = 0
    """Optimizer steps in all; the learning rate falls linearly to 0 in the second half
    (cyclegan 100000, layered 3600)."""
    size: int = 0
    """Training crop [px] (cyclegan 256, layered 160)."""
    load_size: Annotated[int | None, optional("INT")] = None
    """Size photos are brought to before cropping [px]; default: size · 286/256."""
    fit: Literal["short-side", "squash", "none"] = "short-side"
    """How photos get to load-size: short side, squash to a square (the paper), none (as is)."""
    flip: bool = True
    """Mirror photos at random."""
    generator: Literal["auto", "resnet6", "resnet9"] = "auto"
    """Generator: 6 or 9 residual blocks; auto takes 9 from 256 px on."""
    width: int = 64
    """Channels of the generators' first layer."""
    discriminator_width: int = 64
    """Channels of the discriminators' first layer."""
    images_per_step: int = 0
    """Photos of each domain per optimizer step, the global batch (cyclegan 1, layered 12)."""
    accumulate: int = 1
    """Split each step's photos into this many backward passes, to save memory."""
    learning_rate: float = 0.0
    """Adam's learning rate in the first half (cyclegan 0.0002, layered 0.002)."""
    lambda_cycle: float = 10.0
    """Weight of the cycle-consistency loss."""
    lambda_identity: float = 0.5
    """Weight of the identity loss, as a part of lambda-cycle."""
    pool_size: int = 50
    """Earlier generated images that the discriminators are shown (0: none)."""
    ema: float = 0.999
    """Decay of the moving average of generator weights that is kept for use (0: off)."""
    diffaugment: bool = False
    """Differentiable augmentation of what the discriminators see (for few photos)."""
    spectral_norm: bool = False
    """Spectral normalisation of the discriminators."""
    lift_supervised: float = 1.0
    """layered: weight of the losses on clean photos under known, procedural smoke."""
    lift_identity: float = 1.5
    """layered: weight of the smoke that is seen in clean photos."""
    lift_cycle: float = 0.0
    """layered: weight of lifting again what was lifted and laid over a clean photo (try 0.5)."""
    lift_adversarial: float = 0.0
    """layered: weight of two discriminators' opinion of photos with and without lifted smoke
    (try 0.05)."""
    backbone: str = "mobilenetv2_100"
    """layered: timm network that lifts the smoke (convolutional, with features of 5 scales)."""
    weights: str = "hub"
    """layered: its ImageNet weights: hub, none, or a file (torchvision, timm, safetensors)."""
    precision: Precision = "auto"
    """Arithmetic; auto is bfloat16 on GPUs that have it and, for cyclegan, on processors with AMX,
    else float32."""
    device: Device = "auto"
    """Where to compute."""
    workers: Annotated[int | None, optional("INT")] = None
    """Processes that decode photos; default: by the number of cores."""
    seed: int = 0
    """Fixes everything random."""
    log_every: int = 50
    """Steps between rows of metrics.jsonl."""
    sample_every: int = 1000
    """Steps between sample pictures of the validation photos."""
    checkpoint_every: int = 1000
    """Steps between checkpoints."""
    validation_photos: int = 8
    """Photos of each domain kept out of training, for samples and distance."""
    distance_every: int = 0
    """Steps between measurements of the kernel distance to the real smoky photos (0: off)."""
    distance_backbone: str = "resnet50"
    """timm backbone whose features the distance is measured on."""
    distance_weights: str = "hub"
    """Its weights: hub, a file, or random."""
    patience: int = 0
    """Stop early after so many distance measurements without a better one (0: never)."""

    def __post_init__(self) -> None:
        normalise(self)
        check_common(self)
        if self.resume is None:
            require(
                None not in (self.clean, self.smoky, self.out),
                "give CLEAN, SMOKY and --out, or --resume RUN to go on with a run",
            )
            self._fill_in()
            self._check()

    def _fill_in(self) -> None:
        """Give what is left at 0 the model's own default, so that config.json is complete."""
        for name, value in MODEL_DEFAULTS[self.model].items():
            if getattr(self, name) == 0:
                object.__setattr__(self, name, value)

    def _check(self) -> None:
        require_at_least(self, 1, "steps", "images_per_step", "accumulate")
        require_at_least(self, 1, "log_every", "sample_every", "checkpoint_every")
        require_at_least(self, 4, "width", "discriminator_width")
        require_at_least(self, 0, "lambda_cycle", "lambda_identity", "pool_size")
        require_at_least(self, 0, "lift_supervised", "lift_identity", "lift_cycle")
        require_at_least(self, 0, "lift_adversarial")
        if self.model == "layered":
            self._refuse_what_is_of_cyclegan()
        require_at_least(self, 0, "validation_photos", "distance_every", "patience")
        require(
            self.size >= 32 and self.size % 4 == 0,
            f"--size {self.size}: a multiple of 4, at least 32",
        )
        require(
            self.load_size is None or self.load_size >= self.size,
            f"--load-size {self.load_size} is below --size {self.size}; raise the one",
        )
        require(
            self.images_per_step % self.accumulate == 0,
            f"--images-per-step {self.images_per_step} cannot be split into "
            f"--accumulate {self.accumulate} equal parts",
        )
        require(
            0 < self.learning_rate < 1, f"--learning-rate {self.learning_rate}: between 0 and 1"
        )
        require(0 <= self.ema < 1, f"--ema {self.ema}: from 0 to below 1")
        require(
            self.patience == 0 or self.distance_every > 0,
            f"--patience {self.patience} needs --distance-every, which is 0",
        )
        if self.reference:
            apply_recipe(self, REFERENCE_RECIPE, "--reference")

    def _refuse_what_is_of_cyclegan(self) -> None:
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        for name in OF_CYCLEGAN:
            value = getattr(self, name)
            require(
                value == defaults[name],
                f"{flag_of(name)} {value}: is for --model cyclegan, not layered; leave it out",
            )
        require(self.precision != "16", "--precision 16: --model layered needs auto, bf16 or 32")

    @property
    def load_size_px(self) -> int:
        """The size photos are brought to before cropping [px]."""
        return self.load_size or max(self.size, round(self.size * 286 / 256))

    @property
    def blocks(self) -> int:
        """Residual blocks of a generator: 6 or 9 (paper, section 7.2)."""
        if self.generator == "auto":
            return 9 if self.size >= 256 else 6
        return 6 if self.generator == "resnet6" else 9


TRAIN_DEFAULTS: Final[dict[str, Any]] = {f.name: f.default for f in dataclasses.fields(TrainConfig)}
