"""The CycleGAN generator (Zhu et al. 2017, arXiv 1703.10593, section 7.2; Johnson et al. 2016).

c7s1-64, d128, d256, R256 × 6 or 9, u128, u64, c7s1-3, with instance normalisation. Parameter
names are those of the public reference code, so that its ``*_net_G_*.pth`` files load.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wisp.errors import InputError
from wisp.networks.weights import under

NORM_EPSILON = 1e-5
_STEM = ("model.1.weight", "model.4.weight", "model.7.weight")
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


class _Reflect(nn.Module):
    """Reflection padding that keeps the dtype (autocast on CPUs would widen it to float32)."""

    def __init__(self, pixels: int) -> None:
        super().__init__()
        self.pixels = pixels

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return F.pad(x, (self.pixels,) * 4, mode="reflect")


class InstanceNorm(nn.Module):
    """Each channel of each image brought to mean 0, variance 1 over its pixels; no parameters.

    Statistics are float32 inside also when ``x`` is bfloat16.
    Ulyanov et al. 2016, arXiv 1607.08022.
    """

    def forward(self, x: Tensor) -> Tensor:
        """``x`` [B, C, H, W] with more than one pixel; the same shape and dtype."""
        if (
            x.device.type == "cpu"
            and x.is_contiguous(memory_format=torch.channels_last)
            and not torch.compiler.is_compiling()
        ):
            # The same function image by image, without instance_norm's copies to NCHW and back,
            # which take a third of a training step on CPUs.
            images = [
                F.batch_norm(one, None, None, training=True, eps=NORM_EPSILON)
                for one in torch.split(x, 1)
            ]
            return images[0] if len(images) == 1 else torch.cat(images)
        return F.instance_norm(x, eps=NORM_EPSILON)


class ResidualBlock(nn.Module):
    """x + two reflection-padded 3 × 3 convolutions with instance norm, ReLU between."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            _Reflect(1),
            nn.Conv2d(channels, channels, 3),
            InstanceNorm(),
            nn.ReLU(inplace=True),
            _Reflect(1),
            nn.Conv2d(channels, channels, 3),
            InstanceNorm(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """``x`` [B, C, H, W], H and W at least 2; the same shape."""
        change: Tensor = self.conv_block(x)
        return x + change


class ResnetGenerator(nn.Module):
    """Translates images of one domain into the other: [B, 3, H, W] in [-1, 1] → the same.

    ``width`` is the number of channels of the first layer, ``blocks`` the number of residual
    blocks (paper: 6 at 128 px, 9 from 256 px on). H and W are multiples of 4, at least 16;
    other sizes come out rounded up to the next multiple of 4. Each image is translated
    independently of the others in its batch. 64 wide with 9 blocks it has 11.378 million
    parameters.
    """

    def __init__(self, width: int = 64, blocks: int = 9) -> None:
        super().__init__()
        self.width, self.blocks = width, blocks
        layers: list[nn.Module] = [_Reflect(3), nn.Conv2d(3, width, 7), *_norm_relu()]
        for channels in (width, 2 * width):
            layers += [nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1), *_norm_relu()]
        layers += [ResidualBlock(4 * width) for _ in range(blocks)]
        for channels in (4 * width, 2 * width):
            layers.append(
                nn.ConvTranspose2d(
                    channels, channels // 2, 3, stride=2, padding=1, output_padding=1
                )
            )
            layers += _norm_relu()
        layers += [_Reflect(3), nn.Conv2d(width, 3, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, image: Tensor) -> Tensor:
        """Translate ``image`` [B, 3, H, W] in [-1, 1]; float32 [B, 3, H, W] in [-1, 1]."""
        x = image
        for layer in self.model[:-1]:
            x = layer(x)
        return torch.tanh(x.float())  # in float32: bfloat16 has too few steps near white

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor], name: str = "the file") -> ResnetGenerator:
        """The generator that ``state`` (names of the reference code) belongs to.

        Width and blocks are read off the shapes. Statistics that old PyTorch versions stored with
        instance norm are dropped, as the reference does. Raises InputError, naming ``name``, if
        ``state`` holds no such generator.
        """
        state = strip_statistics(under(state, _STEM))
        first = state.get("model.1.weight")
        if first is None or first.ndim != 4 or first.shape[1:] != (3, 7, 7):
            raise InputError(
                f"{name}: holds no CycleGAN generator (no model.1.weight of N × 3 × 7 × 7)"
            )
        blocks = len({key.split(".")[1] for key in state if ".conv_block." in key})
        network = cls(width=first.shape[0], blocks=blocks)
        try:
            network.load_state_dict(dict(state))
        except RuntimeError as error:
            detail = " ".join(str(error).split())[:300]
            raise InputError(
                f"{name}: is not a ResNet generator of CycleGAN without dropout ({detail})"
            ) from None
        return network


def _norm_relu() -> list[nn.Module]:
    return [InstanceNorm(), nn.ReLU(inplace=True)]


def strip_statistics(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``state`` without the statistics of instance norm."""
    return {key: value for key, value in state.items() if key.rsplit(".", 1)[-1] not in _STATISTICS}
