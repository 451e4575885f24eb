"""R, the network that lifts smoke: shapes, limits, and that it can learn."""

from __future__ import annotations

import pytest
import torch

from wisp import losses
from wisp.errors import InputError
from wisp.networks.backbone import load_backbone
from wisp.networks.lifter import (
    FAINTEST_OPACITY,
    MAX_OPACITY,
    Lifted,
    SmokeLifter,
    lift_steadily,
)
from wisp.smoke.optics import opacity


def lifter(name="mobilenetv2_050"):
    torch.manual_seed(0)
    return SmokeLifter(load_backbone(name, "random"), channels=16)


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "mobilenetv2_050", "resnet10t"])
@pytest.mark.parametrize("size", [(64, 96), (32, 32)])
def test_layers_have_half_the_size_and_lie_in_their_ranges(name, size):
    with torch.no_grad():
        density, airlight = lifter(name).eval()(torch.rand(2, 3, *size) * 2 - 1)
    assert density.shape == (2, 1, size[0] // 2, size[1] // 2)
    assert airlight.shape == (2, 3, size[0] // 2, size[1] // 2)
    assert 0 <= float(density.min()) <= float(density.max()) < 4.7
    assert float(airlight.abs().max()) <= 1


def test_hardly_any_smoke_is_exactly_none():
    network = lifter().eval()

    def density_at(opacity):
        logit = torch.logit(torch.tensor(opacity / MAX_OPACITY))
        with torch.no_grad():
            network.head.weight.zero_()
            network.head.bias.fill_(float(logit))
            return float(network(torch.zeros(1, 3, 32, 32)).density.mean())

    assert density_at(0.9 * FAINTEST_OPACITY) == 0.0
    assert density_at(1.5 * FAINTEST_OPACITY) > 0.0
    seen = 1 - torch.exp(-torch.tensor(density_at(0.8))).item()
    assert seen == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize("backbone", ["vit_tiny_patch16_224", "convnext_atto"])
def test_backbones_without_five_scales_are_refused_with_advice(backbone):
    with pytest.raises(InputError, match=rf"--backbone {backbone}: .*mobilenetv2_100"):
        SmokeLifter(load_backbone(backbone, "random", 224))


def test_batchnorm_keeps_its_statistics_while_training():
    network = lifter().train()
    before = {k: v.clone() for k, v in network.state_dict().items() if "running" in k}
    assert before
    network(torch.rand(2, 3, 32, 32))
    for name, value in before.items():
        assert torch.equal(network.state_dict()[name], value)


def test_it_learns_to_see_a_white_patch():
    network = lifter().train()
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    draw = torch.Generator().manual_seed(0)
    errors = []
    for _ in range(40):
        clean = torch.rand(4, 3, 8, 8, generator=draw).mul(0.8).sub(0.9)
        clean = torch.nn.functional.interpolate(clean, (64, 64))
        opacity = torch.zeros(4, 1, 64, 64)
        for index in range(4):
            top, left = (torch.rand(2, generator=draw) * 32).int().tolist()
            opacity[index, :, top : top + 28, left : left + 28] = 0.7
        smoky = clean.lerp(torch.full_like(clean, 0.9), opacity)
        seen, _ = network.opacity_and_airlight(smoky)
        true = torch.nn.functional.avg_pool2d(opacity, 2)
        loss = losses.opacity_loss(seen, true)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        errors.append(float((seen - true).detach().abs().mean()))
    assert sum(errors[-5:]) < 0.5 * sum(errors[:5])


def test_several_looks_agree_on_a_mirrored_picture():
    network = lifter().eval()
    pictures = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.no_grad():  # what it sees hangs on the picture
        network.head.weight.mul_(60)
    layer, agreement = lift_steadily(network, pictures)
    turned, same = lift_steadily(network, pictures.flip(-1))
    assert layer.density.shape == (2, 1, 32, 48) and layer.airlight.shape == (2, 3, 32, 48)
    torch.testing.assert_close(turned.density.flip(-1), layer.density, atol=1e-4, rtol=0)
    torch.testing.assert_close(same, agreement, atol=1e-4, rtol=0)
    assert bool(((agreement > 0) & (agreement < 1)).all())


def test_looks_at_an_even_picture_agree_more_than_looks_at_noise():
    network = lifter().eval()
    with torch.no_grad():
        network.head.weight.mul_(60)
    noise = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(2)) * 2 - 1
    _, agreement = lift_steadily(network, torch.cat([torch.full_like(noise, 0.3), noise]))
    assert float(agreement[0]) > float(agreement[1])


class _Recalling(torch.nn.Module):
    """In the place of R: in turn sees ``left`` opacities, a number per look, in the left half of a
    picture and 0.4 in the right one, mirrored when the picture is; a grey of its own each time."""

    def __init__(self, *left):
        super().__init__()
        self.left, self.look = left, 0

    def forward(self, images):
        batch, _, height, width = images.shape
        seen = torch.full((batch, 1, height // 2, width // 2), 0.4)
        seen[..., : width // 4] = self.left[self.look]
        mirrored = self.look % 2 == 1
        self.look += 1
        airlight = torch.full((batch, 3, height // 2, width // 2), 0.1 * self.look)
        return Lifted(-torch.log1p(-(seen.flip(-1) if mirrored else seen)), airlight)


@pytest.mark.parametrize(
    ("looks", "believed"),
    [
        ((0.4, 0.4, 0.2, 0.2), 0.3),
        ((0.4, 0.4, 0.4, 0.0), 0.0),
        ((0.475, 0.4, 0.4, 0.025), 0.325 / 2),
    ],
)
def test_smoke_that_one_look_does_not_see_is_none(looks, believed):
    """In its place alone; and the airlight is that of the looks that saw some, by how much."""
    layer, _ = lift_steadily(_Recalling(*looks), torch.zeros(2, 3, 64, 64))
    found = opacity(layer.density)
    # The smaller looks are brought to this size, which blurs the border between the halves.
    left, right = found[..., :14], found[..., 18:]
    torch.testing.assert_close(left, torch.full_like(left, believed))
    torch.testing.assert_close(right, torch.full_like(right, 0.4))
    seen_as = sum(0.1 * (i + 1) * look for i, look in enumerate(looks)) / sum(looks)
    torch.testing.assert_close(
        layer.airlight[..., :14], torch.full_like(layer.airlight[..., :14], seen_as)
    )
