"""Generators of public code against a plain reading of its layer lists, and how they are found."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from wisp.errors import InputError
from wisp.networks.generator import Build, ResnetGenerator
from wisp.networks.public import UnetGenerator, generator_of

State = dict[str, Tensor]
RESNETS = {
    "batch norm": (Build(batch_norm=True), (1, 4, 7), 5, (13, 16, 20)),
    "dropout": (Build(dropout=True), (1, 4, 7), 6, (13, 16, 20)),
    "both": (Build(batch_norm=True, dropout=True), (1, 4, 7), 6, (13, 16, 20)),
    "CUT": (Build(blurred_down=True, blurred_up=True), (1, 4, 8), 5, (16, 20, 24)),
    "CUT, up by transposed": (Build(blurred_down=True), (1, 4, 8), 5, (15, 18, 22)),
}
"""How it is built, where the first three convolutions stand, the second in a block of the three,
and the last three."""


def random_state(network: torch.nn.Module) -> State:
    """Of one size, variances positive, filters as they are."""
    draw = torch.Generator().manual_seed(3)
    state = {}
    for name, value in network.state_dict().items():
        drawn = torch.rand(value.shape, generator=draw)
        if name.endswith(("filt", "num_batches_tracked")):
            state[name] = value
        elif name.endswith("running_var"):
            state[name] = drawn + 0.5
        else:
            state[name] = (drawn - 0.5) * (0.4 if value.ndim == 4 else 1.0)
    return state


def normalised(state: State, x: Tensor, name: str) -> Tensor:
    if f"{name}.weight" not in state:
        mean = x.mean((2, 3), keepdim=True)
        return (x - mean) / torch.sqrt(((x - mean) ** 2).mean((2, 3), keepdim=True) + 1e-5)
    mean, variance, weight, bias = (
        state[f"{name}.{part}"][:, None, None]
        for part in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / torch.sqrt(variance + 1e-5) * weight + bias


def conv(state: State, x: Tensor, name: str, how: Callable[..., Tensor], **options: int) -> Tensor:
    return how(x, state[f"{name}.weight"], state.get(f"{name}.bias"), **options)


def blurred_down(x: Tensor) -> Tensor:
    """CUT's Downsample: every second pixel of (1 2 1)/4 along rows and columns."""
    wide = F.pad(x, (1, 1, 1, 1), mode="reflect")
    rows = (wide[:, :, :-2] + 2 * wide[:, :, 1:-1] + wide[:, :, 2:]) / 4
    return ((rows[..., :-2] + 2 * rows[..., 1:-1] + rows[..., 2:]) / 4)[:, :, ::2, ::2]


def blurred_up(x: Tensor) -> Tensor:
    """CUT's Upsample: each new pixel is 3/4 of its own old one and 1/4 of the next, along both."""

    def along(x: Tensor, axis: int) -> Tensor:
        n = x.shape[axis]
        before = x.index_select(axis, torch.arange(-1, n - 1).clamp(min=0))
        after = x.index_select(axis, torch.arange(1, n + 1).clamp(max=n - 1))
        both = torch.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], axis + 1)
        return both.flatten(axis, axis + 1)

    return along(along(x, 2), 3)


def resnet(state: State, x: Tensor, kind: str) -> Tensor:
    build, (stem, first, second), inner, (up, upper, last) = RESNETS[kind]
    x = conv(state, F.pad(x, (3, 3, 3, 3), mode="reflect"), f"model.{stem}", F.conv2d)
    x = normalised(state, x, f"model.{stem + 1}").relu()
    for at in (first, second):
        stride = 1 if build.blurred_down else 2
        x = conv(state, x, f"model.{at}", F.conv2d, stride=stride, padding=1)
        x = normalised(state, x, f"model.{at + 1}").relu()
        x = blurred_down(x) if build.blurred_down else x
    start = second + (4 if build.blurred_down else 3)
    for block in range(start, start + 3):
        name = f"model.{block}.conv_block"
        y = conv(state, F.pad(x, (1, 1, 1, 1), mode="reflect"), f"{name}.1", F.conv2d)
        y = normalised(state, y, f"{name}.2").relu()
        y = conv(state, F.pad(y, (1, 1, 1, 1), mode="reflect"), f"{name}.{inner}", F.conv2d)
        x = x + normalised(state, y, f"{name}.{inner + 1}")
    for at in (up, upper):
        if build.blurred_up:
            x = conv(state, blurred_up(x), f"model.{at}", F.conv2d, padding=1)
        else:
            x = conv(
                state, x, f"model.{at}", F.conv_transpose2d, stride=2, padding=1, output_padding=1
            )
        x = normalised(state, x, f"model.{at + 1}").relu()
    x = F.pad(x, (3, 3, 3, 3), mode="reflect")
    return torch.tanh(conv(state, x, f"model.{last}", F.conv2d))


@pytest.mark.parametrize("kind", RESNETS)
def test_resnets_are_the_public_functions(kind: str) -> None:
    state = random_state(ResnetGenerator(6, 3, RESNETS[kind][0]))
    x = torch.rand(2, 3, 32, 40, generator=torch.Generator().manual_seed(1)) * 2 - 1
    network = generator_of(state)
    with torch.no_grad():
        torch.testing.assert_close(network(x), resnet(state, x, kind), atol=1e-5, rtol=0)


def unet(state: State, x: Tensor, name: str, depth: int) -> Tensor:
    """What is made of ``x``, without the skip beside it."""
    if name == "model":
        inner = conv(state, x, "model.model.0", F.conv2d, stride=2, padding=1)
        inner = torch.cat([inner, unet(state, inner, "model.model.1", depth - 1)], 1).relu()
        x = conv(state, inner, "model.model.3", F.conv_transpose2d, stride=2, padding=1)
        return torch.tanh(x)
    x = conv(state, F.leaky_relu(x, 0.2), f"{name}.model.1", F.conv2d, stride=2, padding=1)
    if depth > 1:
        x = normalised(state, x, f"{name}.model.2")
        x = torch.cat([x, unet(state, x, f"{name}.model.3", depth - 1)], 1)
    up = f"{name}.model.{5 if depth > 1 else 3}"
    x = conv(state, x.relu(), up, F.conv_transpose2d, stride=2, padding=1)
    return normalised(state, x, f"{name}.model.{6 if depth > 1 else 4}")


@pytest.mark.parametrize("batch_norm", [True, False])
@pytest.mark.parametrize("depth", [7, 8])
def test_unets_are_the_public_functions(depth: int, batch_norm: bool) -> None:
    state = random_state(UnetGenerator(2, depth, batch_norm))
    x = torch.rand(1, 3, 2**depth, 2 ** (depth + 1), generator=torch.Generator().manual_seed(1))
    network = generator_of({f"netG.module.{name}": value for name, value in state.items()})
    assert network.multiple_px == 2**depth
    with torch.no_grad():
        torch.testing.assert_close(network(x), unet(state, x, "model", depth), atol=1e-5, rtol=0)


def test_public_weights_without_counters_load_and_others_are_refused_in_a_sentence() -> None:
    state = random_state(ResnetGenerator(4, 2, Build(batch_norm=True)))
    old = {name: value for name, value in state.items() if "num_batches" not in name}
    assert isinstance(generator_of(old), ResnetGenerator)
    del state["model.11.conv_block.5.weight"]
    with pytest.raises(InputError, match=r"x\.pth: .*missing: model\.11\.conv_block\.5\.weight"):
        generator_of(state, "x.pth")
    with pytest.raises(InputError, match=r"x\.pth: holds no CycleGAN generator \(known are"):
        generator_of({"layer.weight": torch.ones(3)}, "x.pth")
