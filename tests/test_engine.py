"""One place chooses device and precision, and says why."""

from __future__ import annotations

import pytest
import torch

from wisp import engine
from wisp.engine import make_engine
from wisp.errors import InputError


@pytest.mark.parametrize("hardware", [True, False])
def test_auto_precision_follows_the_processor(
    hardware: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "cpu_has_bfloat16", lambda: hardware)
    made = make_engine("cpu", "auto")
    assert made.precision == ("bf16" if hardware else "32")
    assert made.device == torch.device("cpu")
    assert "bfloat16" in made.why and "cpu" in made.why


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
