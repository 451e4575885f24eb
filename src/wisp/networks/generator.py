"""The CycleGAN generator (Zhu et al. 2017, arXiv 1703.10593, section 7.2; Johnson et al. 2016).

c7s1-64, d128, d256, R256 × 6 or 9, u128, u64, c7s1-3, with instance normalisation. Parameter
names are those of the public reference code, so that its ``*_net_G_*.pth`` files load.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn
from torch.nn import functional as F

NORM_EPSILON = 1e-5


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


@dataclasses.dataclass(frozen=True)
class Build:
    """What public generators differ in; the paper's own by default."""

    batch_norm: bool = False
    """Instead of instance norm; convolutions before it have no bias."""
    dropout: bool = False
    """In residual blocks."""
    blurred_down: bool = False
    """Halved by a blur, as in CUT (Zhang 2019, arXiv 1904.11486), not by a stride."""
    blurred_up: bool = False
    """Doubled by a blur and a convolution, not by a transposed one."""

    def norm(self, channels: int) -> nn.Module:
        """A layer of normalisation."""
        return nn.BatchNorm2d(channels) if self.batch_norm else InstanceNorm()

    def down(self, channels: int) -> list[nn.Module]:
        """Half the size, twice the ``channels``."""
        stride = 1 if self.blurred_down else 2
        conv = nn.Conv2d(channels, 2 * channels, 3, stride, 1, bias=not self.batch_norm)
        blur = [BlurDown(2 * channels)] if self.blurred_down else []
        return [conv, self.norm(2 * channels), nn.ReLU(inplace=True), *blur]

    def up(self, channels: int) -> list[nn.Module]:
        """Twice the size, half the ``channels``."""
        half, bias = channels // 2, not self.batch_norm
        larger: list[nn.Module] = (
            [BlurUp(channels), nn.Conv2d(channels, half, 3, padding=1, bias=bias)]
            if self.blurred_up
            else [nn.ConvTranspose2d(channels, half, 3, 2, 1, output_padding=1, bias=bias)]
        )
        return [*larger, self.norm(half), nn.ReLU(inplace=True)]


class BlurDown(nn.Module):
    """Binomial blur of 3 × 3, every second pixel; the edge is mirrored."""

    filt: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("filt", _binomial([1.0, 2.0, 1.0], channels))

    def forward(self, x: Tensor) -> Tensor:
        """``x`` [B, C, H, W]; [B, C, ⌈H/2⌉, ⌈W/2⌉]."""
        return F.conv2d(F.pad(x, (1, 1, 1, 1), "reflect"), self.filt, stride=2, groups=x.shape[1])


class BlurUp(nn.Module):
    """Twice the size by a binomial filter of 4 × 4; the edge is repeated."""

    filt: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("filt", 4 * _binomial([1.0, 3.0, 3.0, 1.0], channels))

    def forward(self, x: Tensor) -> Tensor:
        """``x`` [B, C, H, W]; [B, C, 2H, 2W]."""
        wide = F.pad(x, (1, 1, 1, 1), "replicate")
        blurred = F.conv_transpose2d(wide, self.filt, stride=2, padding=2, groups=x.shape[1])
        return blurred[:, :, 1:-1, 1:-1]


def _binomial(line: list[float], channels: int) -> Tensor:
    filt = torch.tensor(line)[:, None] * torch.tensor(line)
    return (filt / filt.sum()).expand(channels, 1, -1, -1).clone()


PAPERS = Build()


class ResidualBlock(nn.Module):
    """x + two reflection-padded 3 × 3 convolutions with a norm each, ReLU between."""

    def __init__(self, channels: int, build: Build) -> None:
        super().__init__()

        def conv() -> list[nn.Module]:
            bias = not build.batch_norm
            return [_Reflect(1), nn.Conv2d(channels, channels, 3, bias=bias), build.norm(channels)]

        dropout = [nn.Dropout(0.5)] if build.dropout else []
        self.conv_block = nn.Sequential(*conv(), nn.ReLU(inplace=True), *dropout, *conv())

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

    multiple_px = 4

    def __init__(self, width: int = 64, blocks: int = 9, build: Build = PAPERS) -> None:
        super().__init__()
        self.width, self.blocks = width, blocks
        first = nn.Conv2d(3, width, 7, bias=not build.batch_norm)
        layers = [_Reflect(3), first, build.norm(width), nn.ReLU(inplace=True)]
        layers += [*build.down(width), *build.down(2 * width)]
        layers += [ResidualBlock(4 * width, build) for _ in range(blocks)]
        layers += [*build.up(4 * width), *build.up(2 * width)]
        layers += [_Reflect(3), nn.Conv2d(width, 3, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, image: Tensor) -> Tensor:
        """Translate ``image`` [B, 3, H, W] in [-1, 1]; float32 [B, 3, H, W] in [-1, 1]."""
        x = image
        for layer in self.model[:-1]:
            x = layer(x)
        return torch.tanh(x.float())  # in float32: bfloat16 has too few steps near white
