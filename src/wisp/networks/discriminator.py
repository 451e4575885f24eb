"""The 70 × 70 PatchGAN discriminator (Isola et al. 2017; Zhu et al. 2017, section 7.2)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.utils import parametrizations

from wisp.networks.generator import InstanceNorm

LEAK = 0.2


class PatchDiscriminator(nn.Module):
    """Scores each overlapping 70 × 70 px patch: [B, 3, H, W] in [-1, 1] → [B, 1, H/8-2, W/8-2].

    Scores are unbounded; trained with least squares, 1 means real and 0 generated. ``width`` is
    the number of channels of the first layer; 64 wide it has 2.765 million parameters.
    ``spectral_norm`` bounds each layer's Lipschitz constant (Miyato et al. 2018, arXiv
    1802.05957). H and W are at least 32. Parameter names are those of the public reference code.
    """

    def __init__(self, width: int = 64, spectral_norm: bool = False) -> None:
        super().__init__()
        self.width = width

        def conv(inputs: int, outputs: int, stride: int) -> nn.Module:
            layer = nn.Conv2d(inputs, outputs, 4, stride=stride, padding=1)
            return parametrizations.spectral_norm(layer) if spectral_norm else layer

        layers: list[nn.Module] = [conv(3, width, 2), nn.LeakyReLU(LEAK, inplace=True)]
        for inputs, outputs, stride in (
            (width, 2 * width, 2),
            (2 * width, 4 * width, 2),
            (4 * width, 8 * width, 1),
        ):
            layers += [
                conv(inputs, outputs, stride),
                InstanceNorm(),
                nn.LeakyReLU(LEAK, inplace=True),
            ]
        layers.append(conv(8 * width, 1, 1))
        self.model = nn.Sequential(*layers)

    def forward(self, image: Tensor) -> Tensor:
        """Score the patches of ``image`` [B, 3, H, W] in [-1, 1]; float32."""
        score: Tensor = self.model(image)
        return score.float()
