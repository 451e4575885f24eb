"""The public surface: curated, typed, importable without side effects."""

from __future__ import annotations

import dataclasses
import doctest
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import wisp
from wisp import config

COMMANDS = {
    "synth": config.SynthConfig,
    "classify": config.ClassifyConfig,
    "evaluate": config.EvaluateConfig,
    "compare": config.CompareConfig,
    "predict": config.PredictConfig,
    "demo": config.DemoConfig,
}


def test_every_public_name_exists_and_is_documented():
    for name in wisp.__all__:
        assert inspect.getdoc(getattr(wisp, name)), name


def test_nothing_else_is_public():
    assert set(dir(wisp)) == set(wisp.__all__)
    with pytest.raises(AttributeError, match="no attribute 'tarin'"):
        wisp.tarin  # noqa: B018


@pytest.mark.parametrize(("name", "kind"), COMMANDS.items())
def test_a_function_takes_what_its_command_takes(name, kind):
    taken = list(inspect.signature(getattr(wisp, name)).parameters)
    assert taken == [field.name for field in dataclasses.fields(kind)]


def test_train_takes_what_either_model_takes():
    taken = inspect.signature(wisp.train).parameters
    kinds = (config.ComposingConfig, config.RepaintingConfig, config.LayeredConfig)
    assert set(taken) == {field.name for kind in kinds for field in dataclasses.fields(kind)}
    assert taken["steps"].default == config.ComposingConfig.steps
    assert all(model in taken["model"].annotation for model in ("cyclegan", "layered"))


@pytest.mark.parametrize("name", ["train", *COMMANDS])
def test_every_result_has_a_summary_for_the_command_line(name):
    """The command line prints it, and no type checker sees that."""
    from wisp import demonstration
    from wisp.jobs import classify, compare, evaluate, predict, synth, train

    job = {
        "train": train, "synth": synth, "classify": classify, "evaluate": evaluate,
        "compare": compare, "predict": predict, "demo": demonstration,
    }[name]  # fmt: skip
    result = getattr(job, f"{name.capitalize()}Result")
    assert dataclasses.is_dataclass(result)
    assert inspect.signature(result.summary).return_annotation == "str"


def test_functions_stay_functions_after_use():
    """A job's module must not take the function's place in the package."""
    import wisp.api

    for name in ("train", *COMMANDS):
        getattr(wisp.api, name)
    with pytest.raises(wisp.InputError):
        wisp.classify("no-such-set", out="nowhere")
    assert callable(wisp.classify)


def test_importing_has_no_side_effects(tmp_path):
    code = "import sys, wisp; print(sorted({'torch', 'numpy', 'PIL'} & set(sys.modules)))"
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert shown.stdout.strip() == "[]"
    assert shown.stderr == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("model", ["procedural", "layered"])
def test_smoke_that_needs_no_network_loads_no_network_library(tmp_path, model):
    """timm and torchvision take longer to import than a dozen photos take."""
    Image.new("RGB", (64, 48), (90, 120, 150)).save(tmp_path / "a.jpg")
    code = (
        f"import sys, wisp; wisp.synth('a.jpg', out='out', model={model!r}, probe=False);"
        "print(sorted({'timm', 'torchvision', 'lightning', 'torchmetrics'} & set(sys.modules)))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert shown.stdout.splitlines()[-1] == "[]"


def test_examples_in_docstrings_are_true():
    source = Path(wisp.__file__).parent
    with_examples = [path for path in source.rglob("*.py") if ">>> " in path.read_text()]
    assert with_examples
    for path in with_examples:
        name = ".".join(["wisp", *path.relative_to(source).with_suffix("").parts])
        result = doctest.testmod(importlib.import_module(name))
        assert result.attempted and not result.failed, name
