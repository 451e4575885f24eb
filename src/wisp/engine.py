"""Where and how to compute: the one place that chooses device and precision, and says why."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch

from wisp.config import Device, Precision
from wisp.environment import is_amd, machine
from wisp.errors import InputError

if TYPE_CHECKING:
    from lightning.fabric import Fabric

_FABRIC_PRECISION = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}


@dataclasses.dataclass(frozen=True)
class Engine:
    """A device and a precision, behind Lightning Fabric.

    ``precision`` is "32", "bf16" or "16" (the latter two mixed: weights stay float32); ``why`` is
    one line for the user on both choices.
    """

    fabric: Fabric
    device: torch.device
    precision: Precision
    why: str
    exact: bool = False
    """Whether float32 is float32 on a GPU as well, where convolutions take TF32 otherwise."""

    @contextlib.contextmanager
    def autocast(self) -> Iterator[None]:
        """Compute in the chosen precision inside the block.

        Weights are converted once per block: leave it before they change.
        """
        convolutions = torch.backends.cudnn
        before = convolutions.allow_tf32
        convolutions.allow_tf32 = before and not self.exact
        try:
            with self.fabric.autocast():
                yield
        finally:
            convolutions.allow_tf32 = before

    @property
    def prefers_batches(self) -> bool:
        """Whether one call on two images is faster than two calls (no gain on a CPU)."""
        return self.device.type != "cpu"

    @property
    def scaler(self) -> Any | None:  # noqa: ANN401 - torch.amp.GradScaler
        """The loss scaler of precision 16, else None."""
        return getattr(self.fabric.strategy.precision, "scaler", None)


def cpu_multiplies_bfloat16() -> bool:
    """Whether this processor has AMX, matrix units that multiply bfloat16.

    Bfloat16 instructions alone do not make it fast: a server processor with AVX-512 BF16 and
    without AMX took 1.7 times as long with them; with AMX it takes a third. ARM was not measured.
    """
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    if "amx_bf16" in capabilities:
        return bool(capabilities["amx_bf16"])
    return bool(getattr(torch.cpu, "_is_amx_tile_supported", bool)())


def amd_multiplies_bfloat16() -> bool:
    """Whether this is an AMD processor with AVX-512 BF16, which multiplies bfloat16 twice as fast
    as float32 (a 3 × 3 convolution took 0.53 to 0.61 of the time, Zen 5). An Intel one with the
    same instructions took 1.7 times as long."""
    return is_amd() and "avx512_bf16" in machine()["instructions"]


def _choose_device(device: Device) -> tuple[str, str]:
    has_mps = torch.backends.mps.is_available()
    if device == "auto":
        if torch.cuda.is_available():
            return "cuda", f"GPU {torch.cuda.get_device_name(0)} found"
        if has_mps:
            return "mps", "Apple GPU found"
        return "cpu", "no GPU found"
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: no CUDA GPU is usable here; take --device cpu or auto")
    if device == "mps" and not has_mps:
        raise InputError("--device mps: no Apple GPU is usable here; take --device cpu or auto")
    return device, "as told"


def _choose_precision(
    device: str, precision: Precision, answers: bool, light: bool, dense: bool
) -> tuple[Precision, str]:
    if precision == "16" and device != "cuda":
        raise InputError(f"--precision 16 needs --device cuda, not {device}; take bf16 or 32")
    if precision != "auto":
        return precision, "as told"
    if answers:
        return "32", "so that answers are the same everywhere"
    if device == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return "bf16", "the GPU multiplies bfloat16 in hardware"
        return "32", "the GPU has no bfloat16"
    if device == "cpu":
        if light:
            return "32", "bfloat16 does not speed up so light a network"
        if cpu_multiplies_bfloat16():
            return "bf16", "the processor has AMX"
        if dense and amd_multiplies_bfloat16():
            return "bf16", "the processor is an AMD's with bfloat16"
        return "32", "the processor has no AMX"
    return "32", "the safe choice on this device"


def make_engine(
    device: Device = "auto",
    precision: Precision = "auto",
    seed: int | None = 0,
    begun_with: Precision | None = None,
    answers: bool = False,
    light: bool = False,
    dense: bool = False,
) -> Engine:
    """Choose device and precision, and seed Python, NumPy and torch with ``seed`` (unless None).

    ``auto`` takes the faster arithmetic by what the hardware is, never by timing it: a command
    gives the same on a busy machine. With ``answers``, for asking a trained detector, it is float32
    everywhere: in bfloat16 a probability may be 0.05 from it. ``light`` says that the network is
    one of depthwise convolutions, of which a processor makes no more in bfloat16; ``dense`` that
    it is one of wide 3 × 3 convolutions, which more processors speed up. ``begun_with`` is what
    ``auto`` came to when a run that goes on now began.

    Raises InputError for a device that is not there or a precision that it cannot compute in.
    """
    import random

    import numpy as np
    from lightning.fabric import Fabric

    chosen_device, why_device = _choose_device(device)
    chosen_precision, why_precision = _choose_precision(
        chosen_device, begun_with or precision, answers, light, dense
    )
    if begun_with is not None and precision == "auto":
        why_precision = "as the run began"
    if seed is not None:
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)
    # Fabric announces its precision; wisp says device and precision itself, and why.
    for name in ("lightning.fabric", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.WARNING)
    fabric = Fabric(
        accelerator=chosen_device, devices=1, precision=_FABRIC_PRECISION[chosen_precision]
    )
    name = {"32": "float32", "bf16": "bfloat16", "16": "float16"}[chosen_precision]
    return Engine(
        fabric=fabric,
        device=fabric.device,
        precision=chosen_precision,
        exact=answers and chosen_precision == "32",
        why=f"{chosen_device} ({why_device}), {name} ({why_precision})",
    )
