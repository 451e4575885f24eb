"""A generator that composes: it says where smoke is and how it is lit, Beer-Lambert does the rest.

Of the other three networks of this CycleGAN a :class:`~wisp.networks.lifter.LayerDecoder` finds
smoke to take it off, and a :class:`FeatureDiscriminator` judges each domain. All look through the
same frozen ImageNet features (Sauer et al. 2021, "Projected GANs", arXiv 2111.01007): what tells
smoke from lamps and skies is known before the first step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from wisp.networks.lifter import STRIDE, enlarged, seen
from wisp.smoke import Dice, LiftedSmoke, SmokeLayer
from wisp.smoke.layer import SCENE
from wisp.smoke.lifted import mean_colour, relight
from wisp.smoke.optics import opacity

_NOISE = 8
_LATENT = 32
_STYLE = 64
_WIDTHS = (24, 48, 64, 64, 64)
_BLIND = 2
_GROUPS = 8
_SHADING = 0.3
_DENSEST = 1.9
"""τ at most, an opacity of 0.85. What is behind denser smoke is lost, and F could not give it
back."""
_LARGEST_LOGIT = 8.0
_FILLING, _GATHERED = (0.4, 1.2), (1.6, 2.4)
_FILLING_SHARE = 0.25
"""How often smoke fills the place, instead of gathering in clouds."""
_AMOUNTS = (1.0, 2.0)
"""Times as much smoke as a real layer of the palette has: some of it saturates."""
_PALETTE = 512
_LEAST_AMOUNT = 0.02
_POSSIBLE_AMOUNTS = (_LEAST_AMOUNT, 2.0)
_LEAK = 0.2


class Wish(NamedTuple):
    """What smoke is asked for, for B photos: all that is random in the generator.

    ``amount`` [B] > 0 is the mean optical density (less where it saturates), ``colour`` [B, 3] in
    [-1, 1] the airlight around which its lightness varies; ``contrast`` [B] in [0.4, 2.4], the most
    that log τ may vary (one standard deviation), says whether it gathers in clouds or fills the
    place; ``latent`` [B, 32] and, per scale, ``noise`` [B, 8, h, w] are standard normal.
    """

    amount: Tensor
    colour: Tensor
    contrast: Tensor
    latent: Tensor
    noise: list[Tensor]


def palette_of(smoke: LiftedSmoke, dice: Dice) -> Tensor:
    """How much smoke there is, and of what colour: [N, 4], mean τ and mean airlight, in [-1, 1], of
    layers that ``smoke`` draws."""
    rows = list[list[float]]()
    while len(rows) < _PALETTE:
        layer = smoke.unlit(dice, 48, 48, dice.coin(smoke.distant))
        amount = float(layer.density.mean())
        if amount >= _LEAST_AMOUNT:
            rows.append([amount, *(2 * mean_colour(layer) - 1).tolist()])
    return torch.tensor(rows)


class _Block(nn.Module):
    """One scale: what the coarser ones came to, noise and, unless ``fine`` is None, features.

    The style scales and shifts the channels after each normalisation (FiLM, Perez et al. 2018,
    arXiv 1709.07871).
    """

    def __init__(self, fine: int | None, coarse: int | None, channels: int) -> None:
        super().__init__()
        self.lateral = None if fine is None else nn.Conv2d(fine, channels, 1)
        self.reduce = None if coarse is None else nn.Conv2d(coarse, channels, 1)
        self.noise = nn.Conv2d(_NOISE, channels, 1, bias=False)
        self.style = nn.Linear(_STYLE, 4 * channels)
        nn.init.normal_(self.style.weight, std=0.2 / math.sqrt(_STYLE))
        nn.init.zeros_(self.style.bias)
        self.mixes = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(2)
        )
        self.norms = nn.ModuleList(nn.GroupNorm(_GROUPS, channels) for _ in range(2))

    def forward(self, fine: Tensor, coarse: Tensor | None, noise: Tensor, style: Tensor) -> Tensor:
        x: Tensor = self.noise(noise)
        if self.lateral is not None:  # smoothed: strides of the frozen network alias in flat skies
            x = x + self.lateral(F.avg_pool2d(fine, 3, 1, 1, count_include_pad=False))
        if self.reduce is not None and coarse is not None:
            x = x + enlarged(self.reduce(coarse), x)
        told = self.style(style)[..., None, None].chunk(4, 1)
        for mix, norm, scale, shift in zip(
            self.mixes, self.norms, told[::2], told[1::2], strict=True
        ):
            x = F.relu(norm(mix(x)) * (1 + scale) + shift)
        return x


class SmokeAdder(nn.Module):
    """G, clean → smoky: from a photo's features and a :class:`Wish` to opacity α and airlight A.

    The picture is I' = (1 - α)·I + α·A. The finest scales see noise alone, and no features: the
    scene's edges are none of the smoke's. The amount of smoke is given, or it would fall back to
    adding none; the colour is given and varies in lightness only, or smoke would be hidden in the
    scene's own colours. ``features`` are the channels of the scales, the finest (stride 2) first.
    """

    palette: Tensor

    def __init__(self, features: Sequence[int]) -> None:
        super().__init__()
        looks = [None] * _BLIND + list(features[_BLIND:])
        coarser = [*_WIDTHS[1:], None]
        self.blocks = nn.ModuleList(
            _Block(fine, coarse, channels)
            for fine, coarse, channels in zip(looks, coarser, _WIDTHS, strict=True)
        )
        self.to_style = nn.Sequential(
            nn.Linear(_LATENT + 4, _STYLE), nn.ReLU(), nn.Linear(_STYLE, _STYLE), nn.ReLU()
        )
        self.head = nn.Conv2d(_WIDTHS[0], 2, 3, padding=1)
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(cast(Tensor, self.head.bias))
        self.register_buffer("palette", torch.zeros(_PALETTE, 4))

    def wish(self, photos: Tensor, generator: torch.Generator) -> Wish:
        """What to ask for over each of ``photos`` [B, 3, H, W] in [-1, 1]: an amount and a colour
        of the palette, the colour in the photo's light, and noise; from the CPU ``generator``."""
        dice = Dice(int(torch.randint(2**53, (), generator=generator)))
        count, _, height, width = photos.shape
        small = F.interpolate(photos.float(), SCENE, mode="area").clamp(-1, 1).add(1).div(2)
        palette, asked = self.palette.cpu().numpy(), []
        for scene in small.movedim(1, -1).cpu().numpy():
            amount, *colour = palette[dice.index(len(palette))]
            amount = float(np.clip(amount * dice.log_uniform(*_AMOUNTS), *_POSSIBLE_AMOUNTS))
            airlight = (np.array([[colour]], np.float32) + 1) / 2
            cell = SmokeLayer(np.full((1, 1), amount, np.float32), airlight)
            lit = 2 * relight(dice, cell, scene).airlight.ravel() - 1
            contrasts = _FILLING if dice.coin(_FILLING_SHARE) else _GATHERED
            asked.append([amount, dice.uniform(*contrasts), *lit.tolist()])
        sides = [
            tuple(-(-side // (STRIDE << scale)) for side in (height, width))
            for scale in range(len(_WIDTHS))
        ]
        latent = torch.randn(count, _LATENT, generator=generator)
        noise = [torch.randn(count, _NOISE, *side, generator=generator) for side in sides]
        told, device = torch.tensor(asked), photos.device
        return Wish(
            told[:, 0].to(device),
            told[:, 2:].to(device),
            told[:, 1].to(device),
            latent.to(device),
            [part.to(device) for part in noise],
        )

    def forward(self, features: Sequence[Tensor], wish: Wish) -> tuple[Tensor, Tensor]:
        """Opacity [B, 1, h, w] in [0, 0.85) and airlight [B, 3, h, w] in [-1, 1] at half the size.

        With logits l of standard deviation σ, the contrast c, e = exp(c·l / max(1, σ)) and the
        amount a: τ = a·e / mean(e), saturating at 1.9. What is
        fainter than R sees, 0.02, is exactly none.
        """
        style = self.to_style(torch.cat([wish.latent, wish.amount.log()[:, None], wish.colour], 1))
        x: Tensor | None = None
        for block, fine, noise in zip(
            reversed(self.blocks), reversed(features), reversed(wish.noise), strict=True
        ):
            x = block(fine, x, noise, style)
        told = self.head(x).float()
        spread = told[:, :1].std((1, 2, 3), keepdim=True).clamp(min=1)
        gathered = wish.contrast.view(-1, 1, 1, 1) * told[:, :1] / spread
        extent = gathered.clamp(-_LARGEST_LOGIT, _LARGEST_LOGIT).exp()
        density = wish.amount.view(-1, 1, 1, 1) * extent / extent.mean((2, 3), keepdim=True)
        lightness = _SHADING * torch.tanh(told[:, 1:])
        airlight = (wish.colour[..., None, None] + lightness).clamp(-1, 1)
        density = -_DENSEST * torch.expm1(-density / _DENSEST)
        return seen(opacity(density)), airlight


class FeatureDiscriminator(nn.Module):
    """D of one domain: a score map [B, 1, h, w] for each scale of frozen features.

    Unbounded scores, for the hinge loss; spectral norm (Miyato et al. 2018, arXiv 1802.05957) keeps
    them from winning at once. ``features`` are the channels of the scales.
    """

    def __init__(self, features: Sequence[int], width: int = 64) -> None:
        super().__init__()
        norm = parametrizations.spectral_norm
        self.heads = nn.ModuleList(
            nn.Sequential(
                norm(nn.Conv2d(channels, width, 1)),
                nn.LeakyReLU(_LEAK),
                norm(nn.Conv2d(width, width, 3, padding=1)),
                nn.LeakyReLU(_LEAK),
                norm(nn.Conv2d(width, 1, 1)),
            )
            for channels in features
        )

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Scores of each scale."""
        return [head(part).float() for head, part in zip(self.heads, features, strict=True)]
