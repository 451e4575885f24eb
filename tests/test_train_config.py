"""Which configuration a training has: asked for by flags, by keywords, or saved long ago."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import wisp
from wisp import api, cli, shipped
from wisp.config import (
    ComposingConfig,
    LayeredConfig,
    RepaintingConfig,
    saved_train_config,
    to_json,
    train_config,
)
from wisp.errors import InputError

FLAT: dict[str, Any] = json.loads("""{
  "clean": "clean", "smoky": "smoky", "out": "runs/gan", "resume": null, "model": "cyclegan",
  "reference": false, "steps": 5000, "size": 128, "load_size": null, "fit": "short-side",
  "flip": true, "generator": "auto", "width": 32, "discriminator_width": 32, "images_per_step": 1,
  "accumulate": 1, "learning_rate": 0.0002, "lambda_cycle": 10.0, "lambda_identity": 0.5,
  "pool_size": 50, "ema": 0.999, "diffaugment": false, "spectral_norm": false,
  "lift_supervised": 1.0, "lift_identity": 1.5, "lift_cycle": 0.0, "lift_adversarial": 0.0,
  "backbone": "mobilenetv2_100", "weights": "hub", "precision": "auto", "device": "auto",
  "workers": null, "seed": 9, "log_every": 50, "sample_every": 1000, "checkpoint_every": 1000,
  "validation_photos": 8, "distance_every": 0, "distance_backbone": "resnet50",
  "distance_weights": "hub", "patience": 0
}""")
"""What a run held when both models had one class of configuration."""


@pytest.mark.parametrize(
    ("asked", "kind"),
    [
        ({}, ComposingConfig),
        ({"model": "cyclegan"}, ComposingConfig),
        ({"generator": "composing"}, ComposingConfig),
        ({"generator": "resnet6"}, RepaintingConfig),
        ({"reference": True}, RepaintingConfig),
        ({"model": "layered"}, LayeredConfig),
    ],
)
def test_a_model_has_its_configuration(asked, kind):
    assert train_config(**asked) is kind


WRONG = [
    ({"lift_identity": 0.5}, "--lift-identity: is for --model layered, not cyclegan; leave it out"),
    (
        {"model": "layered", "width": 32},
        "--width: is for --model cyclegan, not layered; leave it out",
    ),
    ({"model": "layered", "reference": True}, "--reference: is for --model cyclegan, not layered"),
    ({"model": "layered", "generator": "resnet6"}, "--generator: is for --model cyclegan"),
    ({"model": "diffusion"}, "--model diffusion: there are cyclegan and layered"),
    ({"width": 32}, "--width: is for --generator resnet9, not composing; leave it out"),
    ({"generator": "resnet6", "composites": 0.5}, "--composites: is for --generator composing"),
    ({"generator": "unet"}, "--generator unet: there are composing and resnet9 and resnet6"),
]


@pytest.mark.parametrize(("given", "said"), WRONG)
def test_what_is_another_models_is_refused_with_a_sentence(given, said, capsys):
    with pytest.raises(InputError) as raised:
        wisp.train("clean", "smoky", out="run", **given)
    assert str(raised.value).startswith(said)
    words = [
        flag if value is True else f"{flag}={value}"
        for name, value in given.items()
        for flag in ["--" + name.replace("_", "-")]
    ]
    assert cli.main(["train", "clean", "smoky", "--out", "run", *words]) == 2
    assert said in capsys.readouterr().err


def test_a_switch_of_another_model_is_refused_when_turned_off_too(capsys):
    assert (
        cli.main(["train", "c", "s", "--out", "r", "--model", "layered", "--no-diffaugment"]) == 2
    )
    assert "--diffaugment: is for --model cyclegan" in capsys.readouterr().err


def test_what_nobody_takes_is_a_type_error():
    with pytest.raises(TypeError, match="lern_rate"):
        wisp.train("clean", "smoky", out="run", lern_rate=1e-4)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("words", "made"),
    [
        (["--steps", "5"], ComposingConfig(Path("c"), Path("s"), out=Path("r"), steps=5)),
        (
            ["--model", "layered", "--lift_identity", "0.5"],
            LayeredConfig(Path("c"), Path("s"), out=Path("r"), lift_identity=0.5),
        ),
        (["--reference"], RepaintingConfig(Path("c"), Path("s"), out=Path("r"), reference=True)),
    ],
)
def test_flags_are_keywords(words, made, monkeypatch):
    taken = {}
    monkeypatch.setattr(api, "train", lambda **values: taken.update(values) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cli.main(["train", "c", "s", "--out", "r", *words])
    assert type(made)(**taken) == made


@pytest.mark.parametrize(
    ("asked", "shown", "hidden"),
    [
        ([], "--lambda-cycle", "--lift-identity"),
        (["--model", "layered"], "--lift-identity", "--lambda-cycle"),
    ],
)
def test_help_shows_one_model_and_leads_to_the_other(asked, shown, hidden, capsys):
    with pytest.raises(SystemExit):
        cli.main(["train", *asked, "--help"])
    said = capsys.readouterr().out
    assert shown in said and hidden not in said
    other = "cyclegan" if asked else "layered"
    assert f"wisp train --model {other} --help" in " ".join(said.split())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--seed", "1"], "(--seed)"),
        (["--model", "layered"], "(--model layered)"),
        (["--generator", "resnet6"], "(--generator)"),
        (["clean", "--steps", "7"], "(CLEAN, --steps)"),
    ],
)
def test_resume_takes_nothing_else(words, said, capsys):
    assert cli.main(["train", "--resume", "runs/gan", *words]) == 2
    assert said in capsys.readouterr().err


def test_a_flat_configuration_is_read_as_its_models():
    small, large = (saved_train_config({**FLAT, "size": size}) for size in (128, 256))
    distance = {"distance_backbone": "resnet50", "distance_weights": "hub"}
    assert small == RepaintingConfig(
        Path("clean"), Path("smoky"), out=Path("runs/gan"), steps=5000, size=128, width=32,
        discriminator_width=32, seed=9, generator="resnet6", **distance,
    )  # fmt: skip
    assert isinstance(large, RepaintingConfig) and large.generator == "resnet9"
    layered = {"model": "layered", "images_per_step": 12, "learning_rate": 0.002, "steps": 3600}
    assert saved_train_config({**FLAT, **layered, "size": 160}) == LayeredConfig(
        Path("clean"), Path("smoky"), out=Path("runs/gan"), seed=9,
        backbone="mobilenetv2_100", weights="hub", **distance,
    )  # fmt: skip


def test_the_shipped_models_configuration_is_read():
    values = json.loads((shipped.find("layered") / "config.json").read_text())
    assert values.pop("kind") == "train"
    assert saved_train_config(values).steps == 3600


@pytest.mark.parametrize("kind", [RepaintingConfig, LayeredConfig])
def test_a_saved_configuration_holds_what_its_model_takes(kind):
    made = kind(Path("clean"), Path("smoky"), out=Path("run"))
    assert saved_train_config(to_json(made)) == made
    assert list(to_json(made)) == list(inspect.signature(kind).parameters)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": "diffusion"}, "--model diffusion: there are"),
        ({"learning_rat": 1}, "unknown keys"),
        ({"lift_adversarial": 0.05}, "--lift-adversarial 0.05: this version has no such loss"),
        ({"steps": "many"}, "steps"),
    ],
)
def test_a_configuration_that_cannot_be_read_says_why(change, said):
    with pytest.raises(InputError, match=said):
        saved_train_config({**FLAT, **change})


@pytest.mark.slow
def test_a_type_checker_knows_each_models_keywords(tmp_path):
    script = tmp_path / "calls.py"
    script.write_text("""from pathlib import Path
import wisp
a = Path("a")
wisp.train(a, a, out=a, model="layered", lift_identity=0.5).steps + 1
wisp.train(a, a, out=a, generator="resnet6", reference=True).run.name
wisp.train(resume=a)
wisp.train(a, a, out=a, model="layered", lambda_cycle=0.5)  # 7
wisp.train(a, a, out=a, lambda_cycle=0.5, lift_identity=0.5)  # 8
wisp.train(a, a, out=a, model="layered", precision="16")  # 9
wisp.train(a, a, out=a, lern_rate=1)  # 10
""")
    settings = Path(__file__).parents[1] / "pyproject.toml"
    command = [sys.executable, "-m", "mypy", "--config-file", settings, script]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    lines = {line.split(":")[1] for line in said.splitlines() if ": error:" in line}
    assert lines == {"7", "8", "9", "10"}, said
