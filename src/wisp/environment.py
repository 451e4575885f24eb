"""What figures depend on besides code and data: processor, packages, commit, command."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

_PACKAGES = ("wisp-smoke", "torch", "torchvision", "timm", "lightning", "torchmetrics", "pillow")


def _git_state() -> dict[str, Any] | None:
    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=5,
            cwd=Path(__file__).parent,
        ).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None


def machine() -> dict[str, Any]:
    """Processor, cores, Python and package versions: what a figure depends on."""
    versions = {}
    for package in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return {
        "processor": _cpuinfo("model name") or platform.processor() or platform.machine(),
        "instructions": _matrix_instructions(),
        "cores": os.cpu_count(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "packages": versions,
    }


def is_amd() -> bool:
    """Whether Linux says that the processor is AMD's."""
    return _cpuinfo("vendor_id") == "AuthenticAMD"


def environment(**extra: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON values
    """:func:`machine`, git state, command, and what the caller adds (device, precision, why)."""
    return {
        **machine(),
        "git": _git_state(),
        "command": sys.argv,
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        **extra,
    }


def _cpuinfo(key: str) -> str:
    """A line of Linux's description of the first processor; elsewhere ``""``."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.split(":")[0].strip() == key:
                return line.split(":", 1)[1].strip()
    return ""


def _matrix_instructions() -> list[str]:
    """Those that decide how fast a network runs on this processor."""
    known = set((_cpuinfo("flags") or _cpuinfo("Features")).split())
    return [
        name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "bf16") if name in known
    ]
