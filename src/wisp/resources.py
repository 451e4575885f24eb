"""How much of the machine numeric libraries take: threads and memory."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import sys
from collections.abc import Iterator

# Of glibc's mallopt, malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
# Larger than any tensor here; old versions of glibc take no more than the second.
_NEVER_BYTES = (1 << 30, 32 << 20)


def let_waiting_threads_sleep() -> None:
    """Let OpenMP's threads sleep while they wait for work, unless the environment says otherwise.

    They would spin, and take the processor from whatever else computes: two trainings at once took
    five times as long as one, and so take 1.5 times. Alone a training takes 6 % longer. Read when
    torch is loaded: too late after that.
    """
    if not any(name in os.environ for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")):
        os.environ["OMP_WAIT_POLICY"] = "passive"


def set_threads(count: int) -> None:
    """Let torch, if it is loaded, use ``count`` threads per operation."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(count)


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """As :func:`set_threads`, inside the block."""
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else 0
    set_threads(count)
    try:
        yield
    finally:
        if torch:
            torch.set_num_threads(before)


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
