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
    ("amx", "asked", "precision", "why"),
    [
        (True, {}, "bf16", "has AMX"),
        (False, {}, "32", "no AMX"),
        (True, {"answers": True}, "32", "the same everywhere"),
        (True, {"light": True}, "32", "so light a network"),
    ],
)
def test_auto_precision_follows_the_processor_and_answers_do_not(
    amx: bool, asked: dict[str, bool], precision: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "cpu_multiplies_bfloat16", lambda: amx)
    made = make_engine("cpu", "auto", **asked)  # type: ignore[arg-type]
    assert made.precision == precision
    assert made.device == torch.device("cpu")
    assert why in made.why and "cpu" in made.why
    assert make_engine("cpu", "bf16", **asked).precision == "bf16"


def test_float32_of_answers_is_no_tf32() -> None:
    before = torch.backends.cudnn.allow_tf32
    allowed = {}
    for answers, precision in ((True, "auto"), (True, "bf16"), (False, "32")):
        with make_engine("cpu", precision, answers=answers).autocast():  # type: ignore[arg-type]
            allowed[answers, precision] = torch.backends.cudnn.allow_tf32
        assert torch.backends.cudnn.allow_tf32 == before
    assert allowed == {(True, "auto"): False, (True, "bf16"): before, (False, "32"): before}


@pytest.mark.parametrize(
    ("capabilities", "fast"),
    [({"avx512_bf16": True, "amx_bf16": False}, False), ({"amx_bf16": True}, True)],
)
def test_bfloat16_instructions_alone_are_not_fast(
    capabilities: dict[str, bool], fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert engine.cpu_multiplies_bfloat16() is fast


@pytest.mark.parametrize("amd", [True, False])
@pytest.mark.parametrize("instructions", [["avx512_bf16"], ["avx512f"]])
def test_dense_networks_compute_in_amds_bfloat16(
    amd: bool, instructions: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "cpu_multiplies_bfloat16", lambda: False)
    monkeypatch.setattr(engine, "is_amd", lambda: amd)
    monkeypatch.setattr(engine, "machine", lambda: {"instructions": instructions})
    fast = amd and "avx512_bf16" in instructions
    assert make_engine("cpu", "auto", dense=True).precision == ("bf16" if fast else "32")
    assert make_engine("cpu", "auto").precision == "32"
    assert make_engine("cpu", "auto", dense=True, answers=True).precision == "32"


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
    with pytest.raises(InputError, match="--device cuda"):  # conftest.py hides what there is
        make_engine("cuda")
    if not torch.backends.mps.is_available():
        with pytest.raises(InputError, match="--device mps"):
            make_engine("mps")


_FAULTS = """
import resource
import torch
from wisp.resources import keep_freed_memory

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
