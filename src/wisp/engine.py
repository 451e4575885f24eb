"""Where and how to compute: the one place that chooses device and precision, and says why."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import functools
import logging
import os
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch

from wisp.config import Device, Precision
from wisp.errors import InputError

if TYPE_CHECKING:
    from lightning.fabric import Fabric

# Between the speeds seen (0.6 and 3): a choice that noise cannot turn.
_WORTH_IT = 1.25
_FABRIC_PRECISION = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}


# Of glibc's mallopt, malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
# Larger than any tensor here; old versions of glibc take no more than the second.
_NEVER_BYTES = (1 << 30, 32 << 20)


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

    @contextlib.contextmanager
    def autocast(self) -> Iterator[None]:
        """Compute in the chosen precision inside the block.

        Weights are converted once per block: leave it before they change.
        """
        with self.fabric.autocast():
            yield

    @property
    def prefers_batches(self) -> bool:
        """Whether one call on two images is faster than two calls (no gain on a CPU)."""
        return self.device.type != "cpu"

    @property
    def scaler(self) -> Any | None:  # noqa: ANN401 - torch.amp.GradScaler
        """The loss scaler of precision 16, else None."""
        return getattr(self.fabric.strategy.precision, "scaler", None)


def cpu_has_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 in hardware (AMX, AVX-512 BF16 or ARM BF16)."""
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    if any(capabilities.get(name) for name in ("amx_bf16", "avx512_bf16", "bf16")):
        return True
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, name, bool)()) for name in probes)


@functools.cache
def cpu_bfloat16_speedup() -> float:
    """How many times as fast as float32 this processor convolves in bfloat16, measured once.

    The flags do not tell: a server processor without AMX has the instructions, and was seen to
    take 1.7 times as long with them; with AMX it takes a third.
    """
    fastest_s = dict.fromkeys((torch.float32, torch.bfloat16), float("inf"))
    inputs = {
        kind: [
            torch.zeros(shape, dtype=kind).contiguous(memory_format=torch.channels_last)
            for shape in ((1, 64, 32, 32), (64, 64, 3, 3))
        ]
        for kind in fastest_s
    }
    with torch.inference_mode():
        # In turns, and the fastest of several: what else runs on the machine hits both alike.
        for _ in range(6):
            for kind, (x, weight) in inputs.items():
                start_s = time.perf_counter()
                torch.nn.functional.conv2d(x, weight, padding=1)
                fastest_s[kind] = min(fastest_s[kind], time.perf_counter() - start_s)
    return fastest_s[torch.float32] / fastest_s[torch.bfloat16]


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


def _choose_precision(device: str, precision: Precision) -> tuple[Precision, str]:
    if precision == "16" and device != "cuda":
        raise InputError(f"--precision 16 needs --device cuda, not {device}; take bf16 or 32")
    if precision != "auto":
        return precision, "as told"
    if device == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return "bf16", "the GPU multiplies bfloat16 in hardware"
        return "32", "the GPU has no bfloat16"
    if device == "cpu":
        if not cpu_has_bfloat16():
            return "32", "the processor has no bfloat16 instructions"
        speedup = cpu_bfloat16_speedup()
        if speedup >= _WORTH_IT:
            return "bf16", f"{speedup:.1f} times as fast as float32 on this processor"
        return "32", f"bfloat16 is {speedup:.1f} times as fast on this processor"
    return "32", "the safe choice on this device"


@functools.cache
def keep_freed_memory() -> bool:
    """Let this process keep memory that it frees, for its next tensors; whether that was possible.

    glibc hands large blocks back to the kernel as they are freed and asks for them anew, a page
    fault for every 4 KiB: a fourth of the time of a training step on a CPU. Memory that is kept is
    returned when the process ends, so this is for programs, not for libraries: the command line
    calls it. Does nothing with other C libraries, or where the environment has set these thresholds
    (``MALLOC_MMAP_THRESHOLD_``, ``MALLOC_TRIM_THRESHOLD_``).
    """
    if any(f"MALLOC_{name}_THRESHOLD_" in os.environ for name in ("MMAP", "TRIM")):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is None:
        return False
    kept = any(mallopt(_M_MMAP_THRESHOLD, size) for size in _NEVER_BYTES)
    return bool(kept and mallopt(_M_TRIM_THRESHOLD, 2**31 - 1))


@contextlib.contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let torch use ``count`` threads per operation inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def make_engine(
    device: Device = "auto",
    precision: Precision = "auto",
    seed: int | None = 0,
    begun_with: Precision | None = None,
) -> Engine:
    """Choose device and precision, and seed Python, NumPy and torch with ``seed`` (unless None).

    ``begun_with`` is what ``auto`` came to when a run that goes on now began.

    Raises InputError for a device that is not there or a precision that it cannot compute in.
    """
    import random

    import numpy as np
    from lightning.fabric import Fabric

    chosen_device, why_device = _choose_device(device)
    chosen_precision, why_precision = _choose_precision(chosen_device, begun_with or precision)
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
        why=f"{chosen_device} ({why_device}), {name} ({why_precision})",
    )
