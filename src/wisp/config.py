"""One frozen dataclass per command: it is the flags, the Python signature and ``config.json``.

Units stand in the names (``size`` and ``load_size`` are pixels); ``steps`` counts optimizer steps.
A value that cannot work is refused here, before anything is read or written.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from tyro.conf import Positional, arg

from wisp.errors import InputError

Precision = Literal["auto", "32", "bf16", "16"]
Device = Literal["auto", "cpu", "cuda", "mps"]
C = TypeVar("C")


def _require(ok: bool, message: str) -> None:
    if not ok:
        raise InputError(message)


def _coerce(config: Any) -> None:  # noqa: ANN401 - any of the dataclasses below
    """Let Python callers write ``"photos"`` for ``Path("photos")`` and one item for a tuple."""
    for field in dataclasses.fields(config):
        value, kind = getattr(config, field.name), str(field.type)
        if "tuple[" in kind and not isinstance(value, (tuple, list)):
            value = (value,)
        if "Path" in kind and isinstance(value, str):
            value = Path(value)
        if "tuple[" in kind:
            value = tuple(Path(v) if "Path" in kind else str(v) for v in value)
        object.__setattr__(config, field.name, value)


def _check_common(config: Any) -> None:  # noqa: ANN401 - any of the dataclasses below
    """Refuse what is wrong for every command: seeds, worker counts and numbers out of range."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        flag = f"--{field.name.replace('_', '-')} {value}"
        if field.name == "seed":
            _require(0 <= value < 2**63, f"{flag}: from 0 to below 2^63")
        elif field.name == "workers":
            _require(value is None or 0 <= value <= 1024, f"{flag}: from 0 to 1024")
        elif isinstance(value, float):
            _require(math.isfinite(value), f"{flag}: must be a finite number")


def parse_strength(text: str) -> tuple[float, float]:
    """``'1'`` as (1, 1), ``'0.4:1.6'`` as (0.4, 1.6); InputError unless 0 ≤ low ≤ high < ∞.

    >>> parse_strength('0.4:1.6')
    (0.4, 1.6)
    """
    try:
        values = [float(part) for part in str(text).split(":")]
    except ValueError:
        values = []
    low, high = (values * 2)[:2] if len(values) in (1, 2) else (math.nan, math.nan)
    _require(
        0 <= low <= high < math.inf,
        f"--strength {text}: give a number such as 1, or a range such as 0.4:1.6, not below 0",
    )
    return low, high


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Learn from unpaired photos to put smoke into clean ones (CycleGAN, arXiv 1703.10593)."""

    clean: Positional[Annotated[Path | None, arg(metavar="CLEAN")]] = None
    """Folder of clean photos (searched recursively)."""
    smoky: Positional[Annotated[Path | None, arg(metavar="SMOKY")]] = None
    """Folder of smoky photos; they need not show the same places."""
    out: Path | None = None
    """Run directory to make."""
    resume: Path | None = None
    """Run directory to go on with, exactly where it stopped; all else is read from it."""
    model: Literal["cyclegan"] = "cyclegan"
    """What to train."""
    reference: bool = False
    """The paper's recipe with nothing on top: 286 px squashed, 256 px crops, float32, no EMA."""

    steps: int = 100_000
    """Optimizer steps in all; the learning rate falls linearly to 0 in the second half."""
    size: int = 256
    """Training crop [px]."""
    load_size: int | None = None
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
    images_per_step: int = 1
    """Photos of each domain per optimizer step (global batch)."""
    accumulate: int = 1
    """Split each step's photos into this many backward passes, to save memory."""
    learning_rate: float = 2e-4
    """Adam's learning rate in the first half."""
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
    precision: Precision = "auto"
    """Arithmetic; auto takes bfloat16 where the hardware has it."""
    device: Device = "auto"
    """Where to compute."""
    workers: int | None = None
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
        _coerce(self)
        _check_common(self)
        if self.resume is None:
            _require(
                None not in (self.clean, self.smoky, self.out),
                "give CLEAN, SMOKY and --out, or --resume RUN to go on with a run",
            )
        _require(self.steps >= 1, f"--steps {self.steps}: at least 1")
        _require(
            self.size >= 32 and self.size % 4 == 0,
            f"--size {self.size}: a multiple of 4, at least 32",
        )
        _require(
            self.load_size is None or self.load_size >= self.size,
            f"--load-size {self.load_size} is below --size {self.size}; raise the one",
        )
        _require(self.width >= 4, f"--width {self.width}: at least 4")
        _require(
            self.discriminator_width >= 4,
            f"--discriminator-width {self.discriminator_width}: at least 4",
        )
        _require(
            self.accumulate >= 1 and self.images_per_step % self.accumulate == 0,
            f"--images-per-step {self.images_per_step} cannot be split into "
            f"--accumulate {self.accumulate} equal parts",
        )
        _require(self.images_per_step >= 1, f"--images-per-step {self.images_per_step}: at least 1")
        _require(
            0 < self.learning_rate < 1, f"--learning-rate {self.learning_rate}: between 0 and 1"
        )
        _require(self.lambda_cycle >= 0, f"--lambda-cycle {self.lambda_cycle}: not below 0")
        _require(
            self.lambda_identity >= 0, f"--lambda-identity {self.lambda_identity}: not below 0"
        )
        _require(self.pool_size >= 0, f"--pool-size {self.pool_size}: not below 0")
        _require(0 <= self.ema < 1, f"--ema {self.ema}: from 0 to below 1")
        for name in ("log_every", "sample_every", "checkpoint_every"):
            _require(
                getattr(self, name) >= 1,
                f"--{name.replace('_', '-')} {getattr(self, name)}: at least 1",
            )
        for name in ("validation_photos", "distance_every", "patience"):
            _require(
                getattr(self, name) >= 0,
                f"--{name.replace('_', '-')} {getattr(self, name)}: not below 0",
            )
        _require(
            self.patience == 0 or self.distance_every > 0,
            f"--patience {self.patience} needs --distance-every, which is 0",
        )
        if self.reference:
            self._apply_reference()

    def _apply_reference(self) -> None:
        for name, value in REFERENCE_RECIPE.items():
            given = getattr(self, name)
            if given not in (TRAIN_DEFAULTS[name], value):
                flag = "--" + name.replace("_", "-")
                raise InputError(
                    f"{flag} {given} contradicts --reference, which sets it to {value}; "
                    "leave one of the two out"
                )
            object.__setattr__(self, name, value)

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


# Zhu et al. 2017, section 4 and appendix 7: what `--reference` fixes.
REFERENCE_RECIPE: dict[str, Any] = {
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
TRAIN_DEFAULTS: dict[str, Any] = {f.name: f.default for f in dataclasses.fields(TrainConfig)}


@dataclasses.dataclass(frozen=True)
class SynthConfig:
    """Make a labelled smoke data set from clean photos."""

    photos: Positional[Annotated[tuple[str, ...], arg(metavar="PHOTOS")]]
    """Clean photos: folders (searched recursively), files or globs."""
    out: Path
    """Data set directory to make."""
    model: str = "procedural"
    """Where the smoke comes from: procedural, or a run, checkpoint or *_net_G_*.pth file."""
    strength: str = "1"
    """Optical density relative to the model's own: a number, or a range such as 0.4:1.6."""
    per_photo: int = 1
    """Smoky pictures made of each photo."""
    limit: int | None = None
    """Use at most so many photos, drawn at random."""
    clean_class: Literal["auto", "pixels", "reconstructed"] = "auto"
    """What the clean class shows: the photo, or the photo there and back through a cyclegan."""
    validation: float = 0.2
    """Part of the groups that goes to validation."""
    group_by: str = "auto"
    """What stays together: auto, folder, prefix (before __), name, near-duplicate or a regex."""
    quality: int | None = None
    """JPEG quality of all pictures; default: each as its photo was encoded, else 95."""
    probe: bool = True
    """Measure how well a small network tells the set's clean photos from the originals."""
    seed: int = 0
    """Fixes everything random."""
    workers: int | None = None
    """Processes; default: by the number of cores."""
    device: Device = "auto"
    """Where to compute."""
    precision: Precision = "auto"
    """Arithmetic of a network model."""

    def __post_init__(self) -> None:
        _coerce(self)
        _check_common(self)
        parse_strength(self.strength)
        _require(len(self.photos) > 0, "PHOTOS: name at least one folder, file or glob")
        _require(self.per_photo >= 1, f"--per-photo {self.per_photo}: at least 1")
        _require(self.limit is None or self.limit >= 1, f"--limit {self.limit}: at least 1")
        _require(0 <= self.validation < 1, f"--validation {self.validation}: from 0 to below 1")
        _require(
            self.quality is None or 1 <= self.quality <= 100,
            f"--quality {self.quality}: from 1 to 100",
        )


@dataclasses.dataclass(frozen=True)
class ClassifyConfig:
    """Train a smoke detector on one or more labelled data sets."""

    datasets: Positional[Annotated[tuple[Path, ...], arg(metavar="DATASET")]]
    """Data sets: folders with train/CLASS and validation/CLASS, or with CLASS folders only."""
    out: Path
    """Run directory to make."""
    preset: Literal["default", "frozen-head"] = "default"
    """frozen-head: backbone frozen, one hidden layer of 128 units, no augmentation."""
    backbone: str = "resnet50"
    """Any timm model."""
    weights: str = "hub"
    """ImageNet weights: hub, none, or a file with torchvision, timm or safetensors names."""
    finetune: Literal["head", "full"] = "full"
    """Train only the head on features computed once, or the whole network."""
    hidden: int = 0
    """Units of a hidden layer in the head (0: none)."""
    size: int = 224
    """Pictures are brought to size x size [px]."""
    steps: int = 600
    """Optimizer steps at most."""
    images_per_step: int = 32
    """Pictures per step."""
    learning_rate: float = 1e-3
    """Learning rate of the head."""
    backbone_learning_rate: float = 1e-4
    """Learning rate of the backbone's last stage; earlier stages learn slower (full only)."""
    weight_decay: float = 0.01
    """AdamW's weight decay."""
    augment: bool = True
    """Random crop, flip, colour, blur, noise and JPEG, alike for every class."""
    balance: bool = True
    """Show every class equally often."""
    freeze_norm: bool = True
    """Keep BatchNorm's ImageNet statistics (full only)."""
    split: Literal["folder", "group", "file"] = "folder"
    """Validation part: as the folders say, or drawn anew by group, or by file (which leaks)."""
    validation: float = 0.2
    """Part drawn for validation where the folders do not say."""
    validate_every: int = 50
    """Steps between validations."""
    patience: int = 5
    """Stop after so many validations without improvement (0: never)."""
    threshold: Literal["balanced", "fpr01", "fpr05"] = "balanced"
    """Threshold on validation: best balanced accuracy, or at most 1 % or 5 % false alarms."""
    positive: str = "smoky"
    """The class to detect."""
    group_by: str = "auto"
    """What belongs together where the data set does not say: see synth."""
    precision: Precision = "auto"
    """Arithmetic; auto takes bfloat16 where the hardware has it."""
    device: Device = "auto"
    """Where to compute."""
    workers: int | None = None
    """Processes that decode pictures; default: by the number of cores."""
    seed: int = 0
    """Fixes everything random."""

    def __post_init__(self) -> None:
        _coerce(self)
        _check_common(self)
        if self.preset == "frozen-head":
            for name, value in FROZEN_HEAD_RECIPE.items():
                given = getattr(self, name)
                if given not in (CLASSIFY_DEFAULTS[name], value):
                    raise InputError(
                        f"--{name.replace('_', '-')} {given} contradicts --preset frozen-head, "
                        f"which sets it to {value}; leave one of the two out"
                    )
                object.__setattr__(self, name, value)
        _require(len(self.datasets) > 0, "DATASET: name at least one labelled data set")
        _require(self.size >= 32, f"--size {self.size}: at least 32")
        _require(self.hidden >= 0, f"--hidden {self.hidden}: not below 0")
        for name in ("steps", "images_per_step", "validate_every"):
            _require(
                getattr(self, name) >= 1,
                f"--{name.replace('_', '-')} {getattr(self, name)}: at least 1",
            )
        _require(self.patience >= 0, f"--patience {self.patience}: not below 0")
        _require(0 < self.validation < 1, f"--validation {self.validation}: between 0 and 1")
        _require(self.weight_decay >= 0, f"--weight-decay {self.weight_decay}: not below 0")
        for name in ("learning_rate", "backbone_learning_rate"):
            _require(
                0 <= getattr(self, name) < 1,
                f"--{name.replace('_', '-')} {getattr(self, name)}: from 0 to below 1",
            )


# The public blog post wisp started from: frozen ResNet-50, head 2048-128-2, no augmentation.
FROZEN_HEAD_RECIPE: dict[str, Any] = {
    "finetune": "head",
    "hidden": 128,
    "augment": False,
}
CLASSIFY_DEFAULTS: dict[str, Any] = {f.name: f.default for f in dataclasses.fields(ClassifyConfig)}


@dataclasses.dataclass(frozen=True)
class EvaluateConfig:
    """Measure a detector on real photos it has never seen."""

    detector: Positional[Annotated[Path, arg(metavar="DETECTOR")]]
    """Run of `wisp classify`."""
    real: Positional[Annotated[tuple[Path, ...], arg(metavar="REAL")]]
    """Test sets: folders that hold one folder per class."""
    out: Path
    """Run directory to make."""
    positive: str | None = None
    """The class to detect; default: as the detector was trained."""
    threshold: float | None = None
    """Probability from which a picture is called positive; default: as chosen on validation."""
    group_by: str = "auto"
    """What belongs together (intervals are over groups): see synth."""
    bootstrap: int = 2000
    """Bootstrap samples behind each 95 % interval."""
    pictures: int = 8
    """Worst misses and worst false alarms shown with saliency (0: none)."""
    distances: bool = True
    """Measure how far the training pictures are from the real ones (KID on the backbone)."""
    allow_overlap: bool = False
    """Go on although test pictures were seen in training (they are reported)."""
    seed: int = 0
    """Fixes everything random."""
    precision: Precision = "auto"
    """Arithmetic."""
    device: Device = "auto"
    """Where to compute."""
    workers: int | None = None
    """Processes that decode pictures; default: by the number of cores."""

    def __post_init__(self) -> None:
        _coerce(self)
        _check_common(self)
        _require(len(self.real) > 0, "REAL: name at least one folder with a folder per class")
        _require(self.bootstrap >= 100, f"--bootstrap {self.bootstrap}: at least 100")
        _require(self.pictures >= 0, f"--pictures {self.pictures}: not below 0")
        _require(
            self.threshold is None or 0 <= self.threshold <= 1,
            f"--threshold {self.threshold}: between 0 and 1",
        )


@dataclasses.dataclass(frozen=True)
class PredictConfig:
    """Ask a detector about pictures."""

    detector: Positional[Annotated[Path, arg(metavar="DETECTOR")]]
    """Run of `wisp classify`."""
    images: Positional[Annotated[tuple[str, ...], arg(metavar="IMAGES")]]
    """Pictures: folders (searched recursively), files or globs."""
    out: Path | None = None
    """CSV file to write as well."""
    threshold: float | None = None
    """Probability from which a picture is called positive; default: as chosen on validation."""
    precision: Precision = "auto"
    """Arithmetic."""
    device: Device = "auto"
    """Where to compute."""
    workers: int | None = None
    """Processes that decode pictures; default: by the number of cores."""

    def __post_init__(self) -> None:
        _coerce(self)
        _check_common(self)
        _require(len(self.images) > 0, "IMAGES: name at least one folder, file or glob")
        _require(
            self.threshold is None or 0 <= self.threshold <= 1,
            f"--threshold {self.threshold}: between 0 and 1",
        )


@dataclasses.dataclass(frozen=True)
class DemoConfig:
    """The whole loop on a small rendered world, in at most five minutes on two cores."""

    out: Path = Path("wisp-demo")
    """Folder to make."""
    seed: int = 0
    """Fixes everything random."""
    device: Device = "auto"
    """Where to compute."""

    def __post_init__(self) -> None:
        _coerce(self)
        _check_common(self)


def to_json(config: Any) -> dict[str, Any]:  # noqa: ANN401 - any of the dataclasses above
    """``config`` as JSON values, complete and reloadable with :func:`from_json`."""
    from pydantic import TypeAdapter

    return dict(TypeAdapter(type(config)).dump_python(config, mode="json"))


def from_json(kind: type[C], values: Mapping[str, Any]) -> C:
    """The ``kind`` of configuration that :func:`to_json` saved; unknown keys are refused."""
    from pydantic import TypeAdapter, ValidationError

    known = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - known)
    _require(not unknown, f"config.json: unknown keys {unknown} for {kind.__name__}")
    try:
        return TypeAdapter(kind).validate_python(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InputError(f"config.json: {place}: {first['msg']}") from None
