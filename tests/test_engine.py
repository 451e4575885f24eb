"""One place chooses device and precision, and says why."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest
import torch

from wisp import engine
from wisp.engine import make_engine
from wisp.errors import InputError


@pytest.mark.parametrize(
    ("hardware", "speedup", "precision", "why"),
    [
        (True, 3.0, "bf16", "3.0 times as fast"),
        (True, 0.6, "32", "bfloat16 is 0.6 times as fast"),
        (False, 3.0, "32", "no bfloat16 instructions"),
    ],
)
def test_auto_precision_takes_what_is_faster(
    hardware: bool, speedup: float, precision: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "cpu_has_bfloat16", lambda: hardware)
    monkeypatch.setattr(engine, "cpu_bfloat16_speedup", lambda: speedup)
    made = make_engine("cpu", "auto")
    assert made.precision == precision
    assert made.device == torch.device("cpu")
    assert why in made.why and "cpu" in made.why


def test_speed_of_bfloat16_is_measured_once() -> None:
    engine.cpu_bfloat16_speedup.cache_clear()
    first = engine.cpu_bfloat16_speedup()
    assert 0.05 < first < 50
    assert engine.cpu_bfloat16_speedup() == first


@pytest.mark.parametrize(("precision", "dtype"), [("32", torch.float32), ("bf16", torch.bfloat16)])
def test_autocast_computes_in_the_precision(precision: str, dtype: torch.dtype) -> None:
    made = make_engine("cpu", precision)  # type: ignore[arg-type]
    layer = torch.nn.Linear(4, 4)
    with made.autocast():
        assert layer(torch.ones(1, 4)).dtype == dtype
    assert layer.weight.dtype == torch.float32


def test_seed_fixes_every_library() -> None:
    import random

    import numpy as np

    def draws() -> tuple[float, float, float]:
        make_engine("cpu", "32", seed=11)
        return random.random(), float(np.random.rand()), float(torch.rand(()))

    assert draws() == draws()


def test_what_is_not_there_is_refused() -> None:
    with pytest.raises(InputError, match="--precision 16 needs --device cuda"):
        make_engine("cpu", "16")
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="--device cuda"):
            make_engine("cuda")
    if not torch.backends.mps.is_available():
        with pytest.raises(InputError, match="--device mps"):
            make_engine("mps")


_FAULTS = """
import resource
import torch
from wisp.engine import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(10_000_000)  # 40 MB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

anew, possible = faults(), keep_freed_memory()
faults()
print(possible, faults() < 0.1 * anew)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
@pytest.mark.parametrize(
    ("set_by_the_user", "told"),
    [({}, "True True"), ({"MALLOC_TRIM_THRESHOLD_": "131072"}, "False False")],
)
def test_freed_memory_is_kept_unless_the_environment_says_otherwise(
    set_by_the_user: dict[str, str], told: str
) -> None:
    left = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run(
        [sys.executable, "-c", _FAULTS],
        env=left | set_by_the_user,
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == told
