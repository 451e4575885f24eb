"""ImageNet weights that ship with wisp: the right ones, without a network, or a sentence."""

from __future__ import annotations

import socket
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image

from labelled import write_class, write_set
from wisp import cli
from wisp.config import (
    ClassifyConfig,
    CompareConfig,
    ComposingConfig,
    LayeredConfig,
    RepaintingConfig,
)
from wisp.detectors import load_detector
from wisp.models.lifters import load_lifter
from wisp.networks import backbone as backbones
from wisp.networks import imagenet
from wisp.networks.backbone import HubUnreachableError, load_backbone
from wisp.networks.imagenet import FOLDER, SHIPPED, shipped_weights
from wisp.rundir import read_json, read_jsonl

NAME = "mobilenetv2_100"


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


def test_every_default_backbone_has_shipped_weights() -> None:
    for config in (ClassifyConfig, CompareConfig, ComposingConfig, LayeredConfig):
        assert config.backbone in SHIPPED and config.weights == "imagenet"
    for config in (LayeredConfig, RepaintingConfig):
        assert config.distance_backbone in SHIPPED and config.distance_weights == "imagenet"


@pytest.mark.usefixtures("offline")
def test_they_know_a_uniform_when_they_see_one() -> None:
    """Grace Hopper in the navy's, a photo that comes with matplotlib: her features are nearer to
    those of her own photo mirrored and darkened than any noise is, or a network that knows nothing
    tells."""
    photo = Image.open(Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg")
    pixels = np.array(photo.convert("RGB").resize((224, 224), Image.Resampling.BICUBIC))
    picture = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 127.5 - 1
    shuffled = picture.flatten(2)[
        ..., torch.randperm(224 * 224, generator=torch.Generator().manual_seed(0))
    ].view_as(picture)
    views = torch.cat([picture, 0.7 * picture.flip(-1) - 0.2, shuffled])

    def likeness(weights: str) -> tuple[float, float]:
        with torch.no_grad():
            itself, other, noise = load_backbone(NAME, weights).eval()(views)
        alike = torch.nn.functional.cosine_similarity
        return float(alike(itself, other, 0)), float(alike(itself, noise, 0))

    same, different = likeness("imagenet")
    assert same > 0.75 and different < 0.45
    untaught = likeness("random")
    assert untaught[0] - untaught[1] < 0.5 * (same - different)


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

    monkeypatch.setattr(backbones, "shipped_weights", gone)
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
        said += f"--my-backbone {' or '.join(SHIPPED)}, whose"
        with pytest.raises(HubUnreachableError, match=said):
            load_backbone(name, weights, prefix="--my-")
        assert asked.pop() == name


@pytest.mark.parametrize(("content", "words"), [(b"PK", "is damaged"), (None, "is missing")])
@pytest.mark.usefixtures("offline")
def test_a_damaged_installation_is_mended_by_installing_not_by_the_hub(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    content: bytes | None,
    words: str,
) -> None:
    assert shipped_weights(NAME) == FOLDER / f"{NAME}.safetensors"
    monkeypatch.setattr(imagenet, "FOLDER", tmp_path)
    if content is not None:
        (tmp_path / f"{NAME}.safetensors").write_bytes(content)
    dataset = write_set(tmp_path / "set", 4)
    capsys.readouterr()
    assert cli.main(["classify", str(dataset), "--out", str(tmp_path / "run")]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert f"{NAME}.safetensors: {words}, the ImageNet weights of {NAME}" in said
    assert said.endswith("install wisp again")
    assert not (tmp_path / "run").exists()
