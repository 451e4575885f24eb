"""The generator and discriminator against a plain reading of the public reference's layer list."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from wisp.errors import InputError
from wisp.networks.discriminator import PatchDiscriminator
from wisp.networks.generator import ResnetGenerator
from wisp.networks.initialise import initialise
from wisp.networks.public import generator_of


def normalised(x: Tensor) -> Tensor:
    mean = x.mean((2, 3), keepdim=True)
    variance = ((x - mean) ** 2).mean((2, 3), keepdim=True)
    return (x - mean) / torch.sqrt(variance + 1e-5)


def mirrored(x: Tensor, n: int) -> Tensor:
    """Reflection padding by index, without torch's."""

    def index(size: int) -> list[int]:
        return [abs(i) if i < size else 2 * size - 2 - i for i in range(-n, size + n)]

    return x[:, :, index(x.shape[2])][:, :, :, index(x.shape[3])]


def reference_generator(state: dict[str, Tensor], x: Tensor, blocks: int) -> Tensor:
    def conv(x: Tensor, name: str, stride: int = 1, padding: int = 0) -> Tensor:
        weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
        return F.conv2d(x, weight, bias, stride=stride, padding=padding)

    x = normalised(conv(mirrored(x, 3), "model.1")).relu()
    x = normalised(conv(x, "model.4", 2, 1)).relu()
    x = normalised(conv(x, "model.7", 2, 1)).relu()
    for block in range(10, 10 + blocks):
        y = normalised(conv(mirrored(x, 1), f"model.{block}.conv_block.1")).relu()
        x = x + normalised(conv(mirrored(y, 1), f"model.{block}.conv_block.5"))
    for layer in (10 + blocks, 13 + blocks):
        weight, bias = state[f"model.{layer}.weight"], state[f"model.{layer}.bias"]
        x = F.conv_transpose2d(x, weight, bias, stride=2, padding=1, output_padding=1)
        x = normalised(x).relu()
    return torch.tanh(conv(mirrored(x, 3), f"model.{17 + blocks}"))


def reference_discriminator(state: dict[str, Tensor], x: Tensor) -> Tensor:
    for layer, stride, norm in ((0, 2, False), (2, 2, True), (5, 2, True), (8, 1, True)):
        weight, bias = state[f"model.{layer}.weight"], state[f"model.{layer}.bias"]
        x = F.conv2d(x, weight, bias, stride=stride, padding=1)
        x = F.leaky_relu(normalised(x) if norm else x, 0.2)
    return F.conv2d(x, state["model.11.weight"], state["model.11.bias"], padding=1)


def random_state(network: torch.nn.Module) -> dict[str, Tensor]:
    """Weights and biases of one size, so that every term matters."""
    draw = torch.Generator().manual_seed(3)
    return {
        name: 0.05 * torch.randn(value.shape, generator=draw)
        for name, value in network.state_dict().items()
    }


@pytest.mark.parametrize("blocks", [6, 9])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_generator_is_the_reference_function(blocks: int, layout: torch.memory_format) -> None:
    network = ResnetGenerator(width=8, blocks=blocks)
    state = random_state(network)
    network.load_state_dict(state)
    network = network.to(memory_format=layout)  # type: ignore[call-overload]
    images = torch.rand(2, 3, 32, 48) * 2 - 1
    with torch.no_grad():
        ours = network(images.contiguous(memory_format=layout))
    exact = reference_generator({k: v.double() for k, v in state.items()}, images.double(), blocks)
    assert exact.std() > 0.3
    assert (ours - exact).abs().max() < 1e-5


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_discriminator_is_the_reference_function(layout: torch.memory_format) -> None:
    network = PatchDiscriminator(width=8)
    state = random_state(network)
    network.load_state_dict(state)
    images = torch.rand(2, 3, 64, 48) * 2 - 1
    with torch.no_grad():
        ours = network(images.contiguous(memory_format=layout))
    assert ours.shape == (2, 1, 6, 4)
    assert torch.allclose(ours, reference_discriminator(state, images), atol=1e-5)


def test_gradients_are_those_of_the_reference_function() -> None:
    network = ResnetGenerator(width=4, blocks=6).to(memory_format=torch.channels_last)
    state = {name: value.clone().requires_grad_() for name, value in random_state(network).items()}
    network.load_state_dict(state)
    images = torch.rand(2, 3, 16, 16) * 2 - 1
    network(images.contiguous(memory_format=torch.channels_last)).square().sum().backward()
    reference_generator(state, images, 6).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert torch.allclose(parameter.grad, state[name].grad, atol=1e-3, rtol=1e-3), name


def test_parameter_counts_are_the_papers() -> None:
    def count(network: torch.nn.Module) -> int:
        return sum(p.numel() for p in network.parameters())

    assert count(ResnetGenerator()) == 11_378_179
    names = list(ResnetGenerator().state_dict())
    assert names[0] == "model.1.weight" and names[-1] == "model.26.bias"  # as in published files
    assert count(PatchDiscriminator()) == 2_764_737


@pytest.mark.parametrize("blocks", [6, 9])
def test_a_file_of_old_pytorch_loads(blocks: int) -> None:
    network = ResnetGenerator(width=4, blocks=blocks)
    state = random_state(network)
    published = dict(state)
    for layer in ("model.2", "model.5", "model.10.conv_block.2", "model.10.conv_block.6"):
        published[f"{layer}.running_mean"] = torch.ones(4)
        published[f"{layer}.running_var"] = torch.ones(4)
        published[f"{layer}.num_batches_tracked"] = torch.tensor(7)
    published = {f"module.{name}": value for name, value in published.items()}
    loaded = generator_of(published)
    assert (loaded.width, loaded.blocks) == (4, blocks)
    for name, value in loaded.state_dict().items():
        assert torch.equal(value, state[name])


def test_other_networks_are_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"x\.pth: holds no CycleGAN generator"):
        generator_of(PatchDiscriminator(4).state_dict(), "x.pth")
    state = ResnetGenerator(4, 6).state_dict()
    del state["model.11.conv_block.5.bias"]
    with pytest.raises(InputError, match=r"x\.pth: .*model\.11\.conv_block\.5\.bias"):
        generator_of(state, "x.pth")


def test_images_of_a_batch_do_not_influence_each_other() -> None:
    network = ResnetGenerator(width=8, blocks=6).to(memory_format=torch.channels_last)
    images = torch.rand(3, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        together = network(images)
        alone = torch.cat([network(one) for one in torch.split(images, 1)])
    assert torch.allclose(together, alone, atol=1e-5)


def test_bfloat16_stays_near_float32_and_gives_float32() -> None:
    network = ResnetGenerator(width=16, blocks=6)
    images = torch.rand(1, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        exact = network(images)
        with torch.autocast("cpu", torch.bfloat16):
            rough = network(images)
    assert rough.dtype == torch.float32
    assert 0 < (rough - exact).abs().mean() < 0.02


@pytest.mark.parametrize("spectral", [False, True])
def test_initial_weights_are_small_gaussians_and_reproducible(spectral: bool) -> None:
    first, second = (
        initialise(PatchDiscriminator(32, spectral), torch.Generator().manual_seed(5))
        for _ in range(2)
    )
    for (name, a), b in zip(first.named_parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)
        if "bias" in name:
            assert not a.any()
        elif a.numel() > 10_000:
            assert abs(float(a.detach().std()) - 0.02) < 0.001
            assert abs(float(a.detach().mean())) < 0.001


def test_spectral_norm_bounds_each_layer() -> None:
    network = initialise(PatchDiscriminator(8, spectral_norm=True))
    for _ in range(20):
        network(torch.rand(1, 3, 32, 32))
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d):
            norm = torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2)
            assert 0.9 < float(norm) < 1.1
