"""Configurations: reloadable, strict, and refusing what cannot work."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wisp import config
from wisp.errors import InputError

TRAIN = config.RepaintingConfig(Path("clean"), Path("smoky"), out=Path("run"))


@pytest.mark.parametrize(
    "made",
    [
        TRAIN,
        config.LayeredConfig(Path("clean"), Path("smoky"), out=Path("run"), lift_identity=0.5),
        config.SynthConfig(("photos",), out=Path("d"), strength="0.5:2", per_photo=3),
        config.ClassifyConfig((Path("a"), Path("b")), out=Path("d"), preset="frozen-head"),
        config.EvaluateConfig(Path("d"), (Path("real"),), out=Path("e"), threshold=0.25),
        config.PredictConfig(Path("d"), ("x.jpg",)),
        config.DemoConfig(seed=3),
    ],
)
def test_every_configuration_survives_json(made):
    import json

    text = json.dumps(config.to_json(made))
    assert config.from_json(type(made), json.loads(text)) == made


def test_unknown_keys_are_refused():
    values = {**config.to_json(TRAIN), "learning_rat": 1e-4}
    with pytest.raises(InputError, match="learning_rat"):
        config.from_json(config.RepaintingConfig, values)


def test_wrong_types_name_the_key():
    values = {**config.to_json(TRAIN), "steps": "many"}
    with pytest.raises(InputError, match="steps"):
        config.from_json(config.RepaintingConfig, values)


@pytest.mark.parametrize(
    ("change", "flag"),
    [
        ({"size": 255}, "--size 255"),
        ({"load_size": 100}, "--load-size 100"),
        ({"images_per_step": 3, "accumulate": 2}, "--accumulate 2"),
        ({"ema": 1.0}, "--ema 1.0"),
        ({"learning_rate": -1e-4}, "--learning-rate"),
        ({"steps": -1}, "--steps -1"),
        ({"fit": "stretch"}, "--fit stretch: one of short-side, squash, none"),
        ({"pool_size": -1}, "--pool-size -1"),
        ({"patience": 2}, "--distance-every"),
        ({"out": None}, "--out"),
        ({"reference": True, "width": 32}, "--reference"),
    ],
)
def test_impossible_training_is_refused_with_its_flag(change, flag):
    with pytest.raises(InputError, match=flag):
        dataclasses.replace(TRAIN, **change)


def test_reference_switches_every_extra_off():
    made = dataclasses.replace(TRAIN, reference=True)
    assert (made.ema, made.diffaugment, made.spectral_norm, made.precision) == (
        0.0, False, False, "32",
    )  # fmt: skip
    assert (made.load_size_px, made.size, made.blocks, made.fit) == (286, 256, 9, "squash")


def test_a_detector_trains_longer_where_only_its_head_does():
    whole, head = (config.ClassifyConfig(Path("d"), out=Path("r"), finetune=part) for part in
                   ("full", "head"))  # fmt: skip
    assert (whole.most_steps, head.most_steps) == (100, 600)
    assert dataclasses.replace(head, steps=40).most_steps == 40
    with pytest.raises(InputError, match="--steps 0: at least 1"):
        dataclasses.replace(head, steps=0)


def test_python_callers_may_write_plain_strings():
    made = config.SynthConfig("photos", out="dataset")  # type: ignore[arg-type]
    assert made.photos == ("photos",)
    assert made.out == Path("dataset")


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_strength_ranges_are_read_back(a, b):
    low, high = sorted((a, b))
    assert config.parse_strength(f"{low!r}:{high!r}") == (low, high)
    assert config.parse_strength(repr(low)) == (low, low)


@pytest.mark.parametrize("text", ["-1", "nan", "2:1", "inf", "1:inf", "a", "", "1:2:3"])
def test_impossible_strength_is_refused(text):
    with pytest.raises(InputError, match="--strength"):
        config.parse_strength(text)


def test_a_reversed_range_is_called_so():
    with pytest.raises(InputError, match=r"--strength 2:0\.5: 2 is above 0\.5; give 0\.5:2$"):
        config.parse_strength("2:0.5")


def test_every_field_is_explained():
    """The docstring below each field is its help text."""
    import ast
    import inspect

    kinds = [kind for name, kind in vars(config).items() if name.endswith("Config")]
    assert len(kinds) == 10
    for kind in kinds:
        (node,) = ast.parse(inspect.getsource(kind)).body
        assert isinstance(node, ast.ClassDef)
        for field, after in zip(node.body, [*node.body[1:], None], strict=True):
            if isinstance(field, ast.AnnAssign):
                explained = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
                inherited = any(hasattr(base, "__dataclass_fields__") and field.target.id in
                                base.__dataclass_fields__ for base in kind.__bases__)  # fmt: skip
                assert explained or inherited, f"{node.name}.{field.target.id} has no docstring"


def test_names_of_models():
    own, mixed = config.parse_models(" own=runs/a/smoke , own+real")
    assert (own.name, own.source) == ("own", "runs/a/smoke")
    assert mixed.name == "own+real" and [part.source for part in mixed.parts] == [
        "runs/a/smoke",
        "real",
    ]
    assert [model.name for model in config.parse_models("runs/smoke/,bank/layers.zip,x=a+b")] == [
        "smoke",
        "layers",
        "x",
    ]


@pytest.mark.parametrize(
    ("models", "said"),
    [
        ("procedural", "name at least two sources"),
        ("procedural,,real", "name at least two sources"),
        ("procedural,real,real", "names one source twice"),
        ("a/smoke,b/smoke", "a/smoke and b/smoke are both called smoke"),
        ("procedural,a/b=real", "'a/b' is no name"),
        ("procedural,real+real", "mixes one thing with itself"),
        ("procedural,y/other+real,x/other", "are both called other"),
    ],
)
def test_models_that_cannot_be_told_apart_are_refused(models, said):
    with pytest.raises(InputError, match=said):
        config.parse_models(models)
