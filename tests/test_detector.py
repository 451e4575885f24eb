from types import MappingProxyType

import pytest
import torch

from wisp.networks.backbone import load_backbone
from wisp.networks.detector import Detector, Ensemble, together
from wisp.networks.saliency import grad_cam


@pytest.fixture
def backbone():
    torch.manual_seed(0)
    return load_backbone("resnet10t", "none")


def test_shapes_and_parameter_count_of_the_head(backbone):
    linear = Detector(backbone, ["clean", "smoky"])
    assert linear(torch.zeros(2, 3, 64, 64)).shape == (2, 2)
    deep = Detector(backbone, ["a", "b", "c"], hidden=128)
    assert deep(torch.zeros(1, 3, 64, 64)).shape == (1, 3)
    assert sum(p.numel() for p in deep.head.parameters()) == 512 * 128 + 128 + 128 * 3 + 3


@pytest.mark.parametrize("frozen", [True, False])
def test_frozen_norm_keeps_its_statistics(backbone, frozen):
    detector = Detector(backbone, ["a", "b"], freeze_norm=frozen).train()
    before = {n: b.clone() for n, b in detector.named_buffers() if "running" in n}
    detector(torch.randn(4, 3, 64, 64))
    same = [torch.equal(before[n], b) for n, b in detector.named_buffers() if "running" in n]
    assert all(same) if frozen else not any(same)
    assert detector.head.training


def test_grad_cam_of_a_linear_head_is_its_class_activation_map(backbone):
    """For average pooling and a linear head, Grad-CAM is CAM (Zhou et al. 2016), of both looks."""
    detector = Detector(backbone, ["a", "b"]).eval()
    images = torch.randn(2, 3, 64, 64).clamp(-1, 1)
    with torch.no_grad():
        maps = [detector.backbone.features(view) for view in (images, images.flip(-1))]
        cams = [torch.einsum("c,bchw->bhw", detector.head.weight[1], one).relu() for one in maps]
    heat = grad_cam(detector, images, 1)
    assert heat.shape == (2, 64, 64)
    assert heat.min() >= 0
    seen, mirrored = (
        torch.nn.functional.interpolate(cam[:, None], (64, 64), mode="bicubic").clamp(min=0)[:, 0]
        for cam in cams
    )
    expected = seen + mirrored.flip(-1)
    expected = expected / expected.amax((1, 2), keepdim=True)
    torch.testing.assert_close(heat, expected, atol=1e-4, rtol=1e-4)
    assert all(p.grad is None for p in detector.parameters())


def test_grad_cam_of_a_mirror_image_is_mirrored(backbone):
    """As the score is: it is of the picture and its mirror image."""
    detector = Detector(backbone, ["a", "b"]).eval()
    images = torch.randn(2, 3, 64, 96).clamp(-1, 1)
    straight, turned = (grad_cam(detector, view, 1) for view in (images, images.flip(-1)))
    torch.testing.assert_close(turned, straight.flip(-1), atol=1e-4, rtol=1e-4)


def test_grad_cam_finds_the_place(backbone):
    """A detector that reacts to bright blocks lights up where the block is."""

    class Brightness(torch.nn.Module):
        pretrained_cfg = MappingProxyType({"mean": (0.5,) * 3, "std": (0.5,) * 3})
        head_hidden_size = 1

        def forward_features(self, x):
            return torch.nn.functional.avg_pool2d(x.mean(1, keepdim=True), 8).relu()

        def forward_head(self, x, pre_logits):
            return x.mean((2, 3))

    from wisp.networks.backbone import Backbone

    detector = Detector(Backbone("test", Brightness()), ["dark", "bright"])
    with torch.no_grad():
        detector.head.weight.copy_(torch.tensor([[-1.0], [1.0]]))
    images = -torch.ones(1, 3, 64, 64)
    images[..., 8:24, 32:56] = 1
    heat = grad_cam(detector, images, 1)[0]
    assert heat[12:20, 36:52].min() > 0.7
    assert heat[40:].max() < 0.05
    assert grad_cam(detector, images, 0).max() == 0


def test_grad_cam_of_a_transformer():
    detector = Detector(load_backbone("vit_tiny_patch16_224", "none", size=64), ["a", "b"]).eval()
    heat = grad_cam(detector, torch.randn(1, 3, 64, 64), 0)
    assert heat.shape == (1, 64, 64) and torch.isfinite(heat).all()


def test_an_ensemble_answers_with_the_mean_of_its_members_logits(backbone):
    members = [Detector(backbone, ["a", "b"]).eval() for _ in range(3)]
    images = torch.randn(2, 3, 64, 64)
    together_ = together(members)
    assert isinstance(together_, Ensemble) and together_.members == tuple(members)
    assert together(members[:1]) is members[0] and members[0].members == (members[0],)
    with torch.inference_mode():
        expected = sum(member(images) for member in members) / 3
        torch.testing.assert_close(together_(images), expected)


def test_grad_cam_of_an_ensemble_is_of_all_members(backbone):
    """The evidence of the members adds up, and a member that sees nothing takes nothing away."""
    loud, silent = (Detector(backbone, ["a", "b"]).eval() for _ in range(2))
    torch.nn.init.zeros_(silent.head.weight)
    images = torch.randn(2, 3, 64, 64).clamp(-1, 1)
    alone, both = (grad_cam(one, images, 1) for one in (loud, Ensemble([silent, loud])))
    torch.testing.assert_close(both, alone)
    assert grad_cam(Ensemble([silent, silent]), images, 1).max() == 0
