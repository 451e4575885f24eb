"""What every training takes."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from tyro.conf import Positional, arg

from wisp.config.checks import (
    BACKBONE,
    Device,
    Precision,
    check_common,
    normalise,
    optional,
    require,
    require_at_least,
)

MODEL: Final[Any] = arg(metavar="{cyclegan,layered}")
"""How the help shows ``--model``, of which each class knows its own alone."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Learn from unpaired photos to put smoke into clean ones.

    What all recipes share; :func:`wisp.config.train_config` gives the class of one.
    """

    clean: Positional[Annotated[Path | None, optional("CLEAN")]] = dataclasses.field(
        default=None, kw_only=False
    )
    """Folder of clean photos (searched recursively)."""
    smoky: Positional[Annotated[Path | None, optional("SMOKY")]] = dataclasses.field(
        default=None, kw_only=False
    )
    """Folder of smoky photos; they need not show the same places."""
    out: Annotated[Path | None, optional("PATH")] = None
    """Run directory to make."""
    resume: Annotated[Path | None, optional("PATH")] = None
    """Run directory to go on with, exactly where it stopped; all else is read from it."""
    model: str
    """What to train."""

    steps: int
    """Optimizer steps in all; the learning rate falls linearly to 0 in the second half."""
    size: int
    """Training crop [px]."""
    load_size: Annotated[int | None, optional("INT")] = None
    """Size photos are brought to before cropping [px]; default: size · 286/256."""
    fit: Literal["short-side", "squash", "none"] = "short-side"
    """How photos get to load-size: short side, squash to a square (the paper), none (as is)."""
    flip: bool = True
    """Mirror photos at random."""
    images_per_step: int
    """Photos of each domain per optimizer step, the global batch."""
    learning_rate: float
    """Adam's learning rate in the first half."""
    ema: float = 0.999
    """Decay of the moving average of weights that is kept for use (0: off)."""
    precision: Precision = "auto"
    """Arithmetic; auto is bfloat16 on processors with AMX and GPUs that have it, else float32."""
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
    distance_backbone: str = BACKBONE
    """timm backbone whose features the distance is measured on."""
    distance_weights: str = "imagenet"
    """Its weights: imagenet, hub, a file (see classify), or random."""
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
            self._check()

    def _check(self) -> None:
        require_at_least(self, 1, "steps", "images_per_step")
        require_at_least(self, 1, "log_every", "sample_every", "checkpoint_every")
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
            0 < self.learning_rate < 1, f"--learning-rate {self.learning_rate}: between 0 and 1"
        )
        require(0 <= self.ema < 1, f"--ema {self.ema}: from 0 to below 1")
        require(
            self.patience == 0 or self.distance_every > 0,
            f"--patience {self.patience} needs --distance-every, which is 0",
        )

    @property
    def load_size_px(self) -> int:
        """The size photos are brought to before cropping [px]."""
        return self.load_size or max(self.size, round(self.size * 286 / 256))
