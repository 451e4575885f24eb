import os
import pickle
from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import save_file

from wisp.errors import InputError
from wisp.models import load
from wisp.networks.backbone import load_backbone

WEIGHTS = Path(
    os.environ.get("WISP_TEST_WEIGHTS")
    or Path(__file__).resolve().parents[2] / "shared" / "weights"
)
"""Folder with real ImageNet weights; tests that need them are skipped where there is none."""


def images(size=64, count=2):
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1


def imagenet(x):
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    return ((x + 1) / 2 - mean) / std


def shake(model):
    """Random weights that leave no two layers, nor any BatchNorm statistic, alike."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                torch.nn.init.uniform_(module.weight, 0.5, 1.5)
                torch.nn.init.normal_(module.bias, std=0.2)
                torch.nn.init.normal_(module.running_mean, std=0.2)
                torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    return model.eval()


def test_torchvision_mobilenet_v2_computes_the_same(tmp_path):
    theirs = shake(torchvision.models.mobilenet_v2(weights=None))
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    ours = load_backbone("mobilenetv2_100", tmp_path / "weights.pth").eval()
    with torch.no_grad():
        expected = theirs.features(imagenet(images()))
        found = ours.features(images())
        pooled = ours.pooled(images())
    assert expected.std() > 0.01
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(pooled, expected.mean((2, 3)), atol=1e-4, rtol=1e-4)
    assert pooled.shape == (2, ours.dim)


def test_torchvision_resnet50_computes_the_same(tmp_path):
    theirs = shake(torchvision.models.resnet50(weights=None))
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    ours = load_backbone("resnet50", tmp_path / "weights.pth").eval()
    theirs.fc = torch.nn.Identity()
    with torch.no_grad():
        expected = theirs(imagenet(images()))
        found = ours(images())
    assert expected.std() > 0.01
    error = (found - expected).abs().max() / expected.abs().max()
    assert error < 1e-5


def named(prefix, state):
    return {prefix + key: value for key, value in state.items()}


WRAPS = {
    "w.safetensors": lambda state: state,
    "w.pt": lambda state: state,
    "W.PTH": lambda state: {"state_dict": named("module.", state)},
    "w.pth.tar": lambda state: {"model_ema": state, "epoch": 3},
    "w.ckpt": lambda state: {
        "state_dict": {**named("model.", state), "loss.weight": torch.ones(3)},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(3)}}}],
    },
    "a.pth": lambda state: {"model": named("backbone.", state), "scaler": {"scale": torch.ones(1)}},
    "b.pth": lambda state: named("_orig_mod.", state),
    "c.pth": lambda state: named("module._orig_mod.encoder.", state),
    "d.pth": lambda state: {
        "state_dict": {key: value + 1 for key, value in state.items()},
        "state_dict_ema": state,
    },
}


@pytest.mark.parametrize("name", WRAPS)
@pytest.mark.parametrize("misnamed", [False, True])
def test_weights_are_found_however_they_are_wrapped_and_called(tmp_path, name, misnamed):
    state = load_backbone("mobilenetv2_035", "none").net.state_dict()
    path, held = tmp_path / name, WRAPS[name](state)
    if misnamed and all(isinstance(value, torch.Tensor) for value in held.values()):
        path = tmp_path / ("w.pth" if name == "w.safetensors" else "w.safetensors")
    if name == "w.safetensors" or (misnamed and path.name == "w.pth"):
        save_file(held, path)
    else:
        torch.save(held, path)
    ours = load_backbone("mobilenetv2_035", path)
    for key, tensor in ours.net.state_dict().items():
        torch.testing.assert_close(tensor, state[key])


def test_random_is_always_alike_and_none_is_not():
    first, second = (load_backbone("resnet10t", "random") for _ in "ab")
    torch.testing.assert_close(first.net.state_dict(), second.net.state_dict())
    third, fourth = (load_backbone("resnet10t", "none") for _ in "ab")
    assert not torch.equal(third.net.conv1[0].weight, fourth.net.conv1[0].weight)


def test_transformer_tokens_become_a_map():
    backbone = load_backbone("vit_tiny_patch16_224", "none", size=96).eval()
    with torch.no_grad():
        features, raw = backbone.features(images(96)), backbone.raw(images(96))
    assert features.shape == (2, backbone.dim, 6, 6)
    torch.testing.assert_close(features[0, :, 1, 2], raw[0, 1 + 6 + 2])


def test_stages_hold_every_parameter_once_in_depth_order():
    backbone = load_backbone("mobilenetv2_035", "none")
    stages = backbone.stages()
    assert len(stages) >= 5
    listed = [id(p) for stage in stages for p in stage]
    assert sorted(listed) == sorted(id(p) for p in backbone.parameters())
    assert any(p is backbone.net.conv_stem.weight for p in stages[0])
    assert any(p is backbone.net.conv_head.weight for p in stages[-1])


def test_weights_of_another_model_are_refused_by_name(tmp_path):
    torch.save(torchvision.models.squeezenet1_0().state_dict(), tmp_path / "squeeze.pth")
    with pytest.raises(InputError, match=r"squeeze.pth does not fit --backbone mobilenetv2_100"):
        load_backbone("mobilenetv2_100", tmp_path / "squeeze.pth")
    save_file(load_backbone("mobilenetv2_050", "none").net.state_dict(), tmp_path / "half.st")
    (tmp_path / "half.st").rename(tmp_path / "half.safetensors")
    with pytest.raises(InputError, match=r"shape: .*conv.* instead of .* and \d+ more"):
        load_backbone("mobilenetv2_100", tmp_path / "half.safetensors")


class Evil:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (Path.touch, (self.marker,))


def test_code_in_weights_is_not_run(tmp_path):
    marker, path = tmp_path / "ran", tmp_path / "evil.pth"
    torch.save({"conv1.weight": Evil(marker)}, path)
    with pytest.raises(InputError, match=r"evil.pth: holds code"):
        load_backbone("resnet50", path)
    path.write_bytes(pickle.dumps(Evil(marker)))
    with pytest.raises(InputError, match=r"evil.pth"):
        load_backbone("resnet50", path)
    assert not marker.exists()


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_damaged_weights_are_named(tmp_path, name):
    path = tmp_path / name
    state = {"a": torch.zeros(5000)}
    if path.suffix == ".pth":
        torch.save(state, path)
    else:
        save_file(state, path)
    whole = path.read_bytes()
    for part in (whole[: len(whole) // 2], b"", b"just some text"):
        path.write_bytes(part)
        with pytest.raises(InputError, match=name):
            load_backbone("resnet10t", path)
    with pytest.raises(InputError, match="no such file"):
        load_backbone("resnet10t", tmp_path / "absent.pth")


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS"),
        (b"\n<!DOCTYPE html><html>Not found</html>", "web page"),
        (b" ", "is empty"),
        (None, "TorchScript"),
    ],
)
def test_what_is_there_instead_of_weights_is_said(tmp_path, content, reason):
    path = tmp_path / "w.pth"
    path.write_bytes(content or torch.jit.script(torch.nn.Linear(2, 2)).save_to_buffer())
    with pytest.raises(InputError, match=reason):
        load_backbone("resnet10t", path)
    with pytest.raises(InputError, match=reason):
        load(path)


def test_no_network_says_how_to_get_weights(monkeypatch):
    def unreachable(*args, **kwargs):
        raise ConnectionError("no route to host")

    monkeypatch.setattr("wisp.networks.backbone.timm.create_model", unreachable)
    with pytest.raises(InputError, match=r"--weights hub: .*resnet50.*--weights FILE"):
        load_backbone("resnet50", "hub")


def test_unknown_backbone_gets_a_suggestion():
    with pytest.raises(InputError, match=r"--backbone resnet5O: .*resnet50"):
        load_backbone("resnet5O", "none")


@pytest.mark.skipif(not WEIGHTS.is_dir(), reason="no ImageNet weights here")
def test_given_imagenet_weights_agree_with_torchvision():
    path = WEIGHTS / "mobilenet_v2_imagenet_torchvision.pth"
    theirs = torchvision.models.mobilenet_v2()
    theirs.load_state_dict(torch.load(path, weights_only=True), strict=False)
    ours = load_backbone("mobilenetv2_100", path).eval()
    with torch.no_grad():
        expected = theirs.eval().features(imagenet(images()))
        torch.testing.assert_close(ours.features(images()), expected, atol=1e-4, rtol=1e-3)
