"""One place chooses device and precision, and says why."""

from __future__ import annotations

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
