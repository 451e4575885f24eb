"""What ``wisp classify`` takes."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from tyro.conf import Positional

from wisp.config.checks import (
    BACKBONE,
    Device,
    Precision,
    apply_recipe,
    check_common,
    flag_of,
    normalise,
    optional,
    parse_negatives,
    parse_strength,
    require,
    require_at_least,
    required,
)

# Longer, a whole network goes on learning what is particular to synthetic smoke, and gets worse on
# real smoke (docs/experiments.md).
DEFAULT_STEPS: Final[dict[str, int]] = {"full": 100, "head": 600}

# The public blog post wisp started from (with a ResNet-50): frozen backbone, 128 units, no
# augmentation.
FROZEN_HEAD_RECIPE: Final[dict[str, Any]] = {
    "finetune": "head",
    "hidden": 128,
    "augment": False,
}


def check_pretrained_share(share: float, weights: str) -> None:
    """Raise InputError for a part outside [0, 1), or of weights that are not pretrained."""
    require(0 <= share < 1, f"--pretrained-share {share}: from 0 to below 1")
    require(
        share == 0 or weights not in ("none", "random"),
        f"--pretrained-share {share:g}: --weights {weights} are not pretrained; give "
        "--weights imagenet or a file",
    )


@dataclasses.dataclass(frozen=True)
class ClassifyConfig:
    """Train a smoke detector on one or more labelled data sets."""

    datasets: Positional[Annotated[tuple[Path, ...], required("DATASET")]]
    """Data sets: folders with train/CLASS and validation/CLASS, with CLASS folders only, or with
    YOLO's images and labels. With --smoke: folders of photos without smoke."""
    out: Path
    """Run directory to make."""
    smoke: Annotated[str | None, optional("MODEL")] = None
    """Lay smoke over photos at each step, instead of reading data sets:
    layered, procedural, or what synth takes as --model."""
    strength: str = "0.8:1.8"
    """Of that smoke, as in synth: times the optical density."""
    negatives: str = "steam"
    """Look-alikes of smoke among the photos without it, as in synth."""
    preset: Literal["default", "frozen-head"] = "default"
    """frozen-head: backbone frozen, one hidden layer of 128 units, no augmentation."""
    backbone: str = BACKBONE
    """Any timm model."""
    weights: str = "imagenet"
    """imagenet (ships with wisp for the default backbone,
    from the model hub for others), hub, none, or a file
    with torchvision, timm or safetensors names."""
    finetune: Literal["head", "full"] = "full"
    """Train only the head on features computed once, or the whole network."""
    hidden: int = 0
    """Units of a hidden layer in the head (0: none)."""
    size: int = 160
    """Pictures are brought to size x size [px]."""
    members: int = 1
    """Detectors to train, whose logits are averaged:
    steadier, and so many times as slow."""
    steps: Annotated[int | None, optional("INT")] = None
    """Optimizer steps at most; default: 100, with --finetune head 600."""
    images_per_step: int = 32
    """Pictures per step."""
    learning_rate: float = 1e-3
    """Learning rate of the head."""
    backbone_learning_rate: float = 2e-4
    """Learning rate of the backbone's last stage; earlier stages learn slower (full only)."""
    weight_decay: float = 0.01
    """AdamW's weight decay."""
    augment: bool = True
    """Random crop, flip, colour, exposure, blur, bars, noise and JPEG, alike for every class."""
    balance: bool = True
    """Show every class equally often."""
    freeze_norm: bool = True
    """Keep BatchNorm's statistics (full only; with --weights none there are none to keep)."""
    pretrained_share: float = 0.0
    """Part of the pretrained weights in the final backbone,
    from 0 to below 1; the rest is learned (full only).
    With 0.4, most detectors called less steam smoke."""
    split: Literal["folder", "group", "file"] = "folder"
    """Validation part: as the folders say, or drawn anew by group, or by file (which leaks)."""
    validation: float = 0.2
    """Part drawn for validation where the folders do not say."""
    validate_every: int = 25
    """Steps between validations."""
    patience: int = 8
    """Stop after so many validations without improvement (0: never)."""
    threshold: Literal["balanced", "fpr01", "fpr02", "fpr05"] = "balanced"
    """Threshold on validation: best balanced accuracy, or at most 1, 2 or 5 % false alarms."""
    positive: str = "smoky"
    """The class to detect."""
    group_by: str = "auto"
    """What belongs together where the data set does not say: see synth."""
    precision: Precision = "auto"
    """Arithmetic; auto is bfloat16 on processors with AMX and GPUs that have it, else float32."""
    device: Device = "auto"
    """Where to compute."""
    workers: Annotated[int | None, optional("INT")] = None
    """Processes that decode pictures; default: by the number of cores."""
    seed: int = 0
    """Fixes everything random."""

    def __post_init__(self) -> None:
        normalise(self)
        check_common(self)
        if self.preset == "frozen-head":
            apply_recipe(self, FROZEN_HEAD_RECIPE, "--preset frozen-head")
        require(len(self.datasets) > 0, "DATASET: name at least one labelled data set")
        require_at_least(self, 32, "size")
        require_at_least(self, 1, "members", "steps", "images_per_step", "validate_every")
        require_at_least(self, 0, "hidden", "patience", "weight_decay")
        require(0 < self.validation < 1, f"--validation {self.validation}: between 0 and 1")
        if self.weights in ("none", "random"):
            object.__setattr__(self, "freeze_norm", False)
        require(
            self.images_per_step > 1 or self.freeze_norm or self.finetune == "head",
            "--images-per-step 1: BatchNorm cannot learn from single pictures; take 2 or more, or "
            "--weights and --freeze-norm",
        )
        check_pretrained_share(self.pretrained_share, self.weights)
        parse_strength(self.strength)
        object.__setattr__(self, "negatives", ",".join(parse_negatives(self.negatives)))
        for name in ("strength", "negatives"):
            usual = type(self).__dataclass_fields__[name].default
            require(
                self.smoke is not None or getattr(self, name) == usual,
                f"--{name} {getattr(self, name)}: is of the smoke that is laid over photos; give "
                "--smoke layered as well",
            )
        require(
            self.smoke is None or self.positive != "clean",
            "--positive clean: with --smoke that is the class without smoke; take another name",
        )
        require(
            self.pretrained_share == 0 or self.finetune == "full",
            f"--pretrained-share {self.pretrained_share:g}: with --finetune {self.finetune} (as in "
            "--preset frozen-head) the backbone stays as it was pretrained; leave out "
            "--pretrained-share, or take --finetune full",
        )
        for name in ("learning_rate", "backbone_learning_rate"):
            require(
                0 <= getattr(self, name) < 1,
                f"{flag_of(name)} {getattr(self, name)}: from 0 to below 1",
            )

    @property
    def most_steps(self) -> int:
        """Optimizer steps at most."""
        return self.steps or DEFAULT_STEPS[self.finetune]
