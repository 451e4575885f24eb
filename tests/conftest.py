"""What the tests do not take from the machine they run on."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

# What is expected bit for bit is so on a processor; before torch looks, and for child processes.
os.environ["CUDA_VISIBLE_DEVICES"] = ""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--turn-amx",
        action="store_true",
        help="answer the question for AMX the other way round than this processor does",
    )


@pytest.fixture(scope="session", autouse=True)
def other_processor(request: pytest.FixtureRequest) -> Iterator[None]:
    """With ``--turn-amx``; child processes still ask the processor."""
    with pytest.MonkeyPatch.context() as patch:
        if request.config.getoption("--turn-amx"):
            import torch

            from wisp.engine import cpu_multiplies_bfloat16

            answer = {"amx_bf16": not cpu_multiplies_bfloat16()}
            patch.setattr(torch.cpu, "get_capabilities", lambda: answer, raising=False)
        yield
