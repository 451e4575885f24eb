"""Generators of public CycleGAN, pix2pix and CUT code, known by the names of their weights.

The same functions as theirs in evaluation mode: https://github.com/junyanz/pytorch-CycleGAN-and-pix2pix
and https://github.com/taesungp/contrastive-unpaired-translation (``models/networks.py``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from wisp.errors import InputError
from wisp.networks.generator import Build, ResnetGenerator
from wisp.networks.weights import check_fit, under

_RESNET = ("model.1.weight", "model.10.conv_block.1.weight", "model.12.conv_block.1.weight")
_UNET = ("model.model.0.weight", "model.model.1.model.1.weight", "model.model.3.weight")
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
_ADVICE = "known are ResNet generators of CycleGAN and CUT, and U-Nets of pix2pix"


def generator_of(state: Mapping[str, Tensor], name: str = "the file") -> nn.Module:
    """The generator that ``state`` holds, with its weights, in evaluation mode.

    Width, depth, normalisation, dropout and anti-aliasing are read off names and shapes. The module
    says as ``multiple_px`` of what its input's sides must be multiples. Raises InputError, naming
    ``name``, where ``state`` holds no such generator.
    """
    unet, resnet = under(state, _UNET), under(state, _RESNET)
    network: nn.Module
    if set(_UNET) <= unet.keys():
        network, state = _unet_of(unet), unet
    elif _is_stem(resnet.get("model.1.weight")):
        network, state = ResnetGenerator(*_resnet_build(resnet)), resnet
    else:
        raise InputError(f"{name}: holds no CycleGAN generator ({_ADVICE})")
    normalised = {key.rpartition(".")[0] for key in network.state_dict()}
    # Statistics that old PyTorch kept with instance norm, which has no others; so the reference.
    state = {
        key: value
        for key, value in state.items()
        if key.rpartition(".")[2] not in _STATISTICS or key.rpartition(".")[0] in normalised
    }
    check_fit(network.state_dict(), state, f"{name}: is no generator that is known", _ADVICE)
    network.load_state_dict(state, strict=False)  # batch norm's counters may be missing
    return network.eval()


def _is_stem(weight: Tensor | None) -> bool:
    return weight is not None and weight.ndim == 4 and weight.shape[1:] == (3, 7, 7)


def _resnet_build(state: Mapping[str, Tensor]) -> tuple[int, int, Build]:
    """Width, blocks and the rest of a ResNet generator."""
    blocks = {key.split(".")[1] for key in state if ".conv_block." in key}
    filters = {value.shape[-1] for key, value in state.items() if key.endswith(".filt")}
    second = f"model.{min(blocks, key=int, default=0)}.conv_block.6.weight"
    return (
        state["model.1.weight"].shape[0],
        len(blocks),
        Build(
            batch_norm="model.2.weight" in state,
            dropout=second in state and state[second].ndim == 4,
            blurred_down=3 in filters,
            blurred_up=4 in filters,
        ),
    )


class UnetGenerator(nn.Module):
    """Isola et al. 2017 (arXiv 1611.07004): halves the picture ``depth`` times and doubles it, with
    a skip connection at each size; [B, 3, H, W] in [-1, 1] → the same, sides multiples of 2^depth.
    """

    def __init__(self, width: int, depth: int, batch_norm: bool) -> None:
        super().__init__()
        self.multiple_px = 2**depth
        block = _Skip(8 * width, 8 * width, None, batch_norm)
        for _ in range(depth - 5):
            block = _Skip(8 * width, 8 * width, block, batch_norm)
        for outer in (4, 2, 1):
            block = _Skip(outer * width, 2 * outer * width, block, batch_norm)
        self.model = _Skip(3, width, block, batch_norm, outermost=True)

    def forward(self, image: Tensor) -> Tensor:
        """Translate ``image`` [B, 3, H, W]; float32."""
        return torch.tanh(self.model(image).float())


class _Skip(nn.Module):
    """Down to ``inner`` channels, through what lies within, up again, beside what came in."""

    def __init__(
        self, outer: int, inner: int, within: nn.Module | None, batch_norm: bool,
        *, outermost: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.outermost = outermost

        def norm(channels: int) -> nn.Module:
            return nn.BatchNorm2d(channels) if batch_norm else nn.InstanceNorm2d(channels)

        down = nn.Conv2d(outer, inner, 4, 2, 1, bias=not batch_norm)
        up = nn.ConvTranspose2d(
            inner * (1 if within is None else 2), outer, 4, 2, 1, bias=outermost or not batch_norm
        )
        if outermost:
            assert within is not None
            layers: list[nn.Module] = [down, within, nn.ReLU(), up]
        elif within is None:
            layers = [nn.LeakyReLU(0.2), down, nn.ReLU(), up, norm(outer)]
        else:
            layers = [
                nn.LeakyReLU(0.2), down, norm(inner), within, nn.ReLU(), up, norm(outer)
            ]  # fmt: skip
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.model(x)
        return found if self.outermost else torch.cat([x, found], 1)


def _unet_of(state: Mapping[str, Tensor]) -> UnetGenerator:
    depth = 1 + max(len(re.findall(r"model\.[13]\.(?=model)", key)) for key in state)
    batch_norm = any(key.endswith("running_mean") for key in state) and any(
        re.search(r"model\.2\.weight$", key) for key in state
    )
    return UnetGenerator(state["model.model.0.weight"].shape[0], depth, batch_norm)
