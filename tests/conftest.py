"""What the tests do not take from the machine they run on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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


@pytest.fixture
def shut(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of folders that nobody may list, not even root."""

    def closed(listed: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def answer(folder: Any) -> Any:
            if str(folder).endswith(f"{os.sep}shut"):
                raise PermissionError(13, "Permission denied")
            return listed(folder)

        return answer

    monkeypatch.setattr(os, "scandir", closed(os.scandir))
    monkeypatch.setattr(Path, "iterdir", closed(Path.iterdir))
    return "shut"
