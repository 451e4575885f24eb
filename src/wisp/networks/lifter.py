"""R: the network that lifts a layer of smoke (optical density and airlight) off a photo."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from wisp.networks.backbone import Backbone
from wisp.smoke.optics import density_of

MAX_OPACITY = 0.99
"""More than this cannot be told from smoke that hides everything (τ is at most 4.6)."""
FAINTEST_OPACITY = 0.02
"""Below this the network answers 0: photos without smoke get exactly none."""
_MARGIN_PX = 16
STRIDE = 2
"""Pixels of the photo per cell of the layer, along each axis."""


class Lifted(NamedTuple):
    """A layer of smoke: ``density`` τ [B, 1, h, w] ≥ 0 and ``airlight`` [B, 3, h, w] in [-1, 1]."""

    density: Tensor
    airlight: Tensor


def seen(opacity: Tensor) -> Tensor:
    """``opacity`` in [0, 0.99] without what is too faint to be smoke: below 0.02 it is 0."""
    return MAX_OPACITY * ((opacity - FAINTEST_OPACITY) / (MAX_OPACITY - FAINTEST_OPACITY)).clamp(
        min=0
    )


class _Block(nn.Module):
    """Features of one scale joined with those of the next coarser one."""

    def __init__(self, fine: int, coarse: int, channels: int) -> None:
        super().__init__()
        self.lateral = nn.Conv2d(fine, channels, 1)
        self.reduce = nn.Conv2d(coarse, channels, 1)
        self.mix = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False),
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.GroupNorm(8, channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False),
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.GroupNorm(8, channels),
            nn.ReLU(inplace=True),
        )

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        up = F.interpolate(
            self.reduce(coarse), fine.shape[-2:], mode="bilinear", align_corners=False
        )
        result: Tensor = self.mix(self.lateral(fine) + up)
        return result


def mirrored(images: Tensor) -> Tensor:
    """``images`` with a margin of their mirror image, so that no network sees zeros beyond them."""
    return F.pad(images, (_MARGIN_PX,) * 4, mode="reflect")


def inside(*layers: Tensor) -> tuple[Tensor, ...]:
    """``layers`` at half the size of :func:`mirrored` images, without the margin."""
    window = slice(_MARGIN_PX // STRIDE, -_MARGIN_PX // STRIDE)
    return tuple(layer[..., window, window] for layer in layers)


def compose(photos: Tensor, opacity: Tensor, airlight: Tensor) -> Tensor:
    """(1 - α)·I + α·A for ``photos`` [B, 3, H, W] under smoke that is known at half the size."""
    return photos.lerp(enlarged(airlight, photos), enlarged(opacity, photos))


def take_apart(photos: Tensor, opacity: Tensor, airlight: Tensor, t_min: float = 0.1) -> Tensor:
    """(I - α·A) / max(1 - α, t_min) in [-1, 1]: the inverse of :func:`compose`."""
    cover = enlarged(opacity, photos)
    scene = (photos - cover * enlarged(airlight, photos)) / (1 - cover).clamp(min=t_min)
    return torch.where(cover > 0, scene.clamp(-1, 1), photos)


def enlarged(part: Tensor, like: Tensor) -> Tensor:
    """``part`` [B, C, h, w] brought to the size of ``like``."""
    return F.interpolate(part, like.shape[-2:], mode="bilinear", align_corners=False)


class LayerDecoder(nn.Module):
    """Features of several scales, the finest at half the size, to a layer of smoke there.

    The way up of a U-Net; ``channels`` (a multiple of 8) is its width, ``features`` are the
    channels of the scales, the finest first.
    """

    def __init__(self, features: Sequence[int], channels: int = 48) -> None:
        super().__init__()
        self.channels = channels
        coarser = [*[channels] * (len(features) - 2), features[-1]]
        self.blocks = nn.ModuleList(
            _Block(fine, coarse, channels)
            for fine, coarse in zip(features[:-1], coarser, strict=True)
        )
        self.head = nn.Conv2d(channels, 4, 3, padding=1)
        # Begin with hardly any smoke of a light grey, so that the first steps are no shock.
        nn.init.normal_(self.head.weight, std=0.01)
        with torch.no_grad():
            cast(Tensor, self.head.bias).copy_(torch.tensor([-2.0, 0.5, 0.5, 0.5]))

    def decode(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Opacity [B, 1, h, w] in (0, 0.99) without the threshold, and airlight [B, 3, h, w]."""
        coarse = maps[-1]
        for block, fine in zip(reversed(self.blocks), reversed(maps[:-1]), strict=True):
            coarse = block(fine, coarse)
        logits = self.head(coarse).float()
        return MAX_OPACITY * torch.sigmoid(logits[:, :1]), torch.tanh(logits[:, 1:])


class SmokeLifter(LayerDecoder):
    """Smoky photos [B, 3, H, W] in [-1, 1] to their smoke (:class:`Lifted`) at half the size.

    A U-Net: an ImageNet ``backbone`` knows skies, walls and lamps from smoke better than a few
    hundred photos can teach. H and W are at least 32. BatchNorm of the backbone always keeps its
    statistics.
    """

    def __init__(self, backbone: Backbone, channels: int = 48) -> None:
        super().__init__(backbone.channels(), channels)
        self.backbone = backbone

    def opacity_and_airlight(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Opacity [B, 1, h, w] in (0, 0.99) without the threshold, and airlight [B, 3, h, w]."""
        return self.decode(self.backbone.maps(images))

    def forward(self, images: Tensor) -> Lifted:
        """The layer of smoke in each picture; exactly no density where hardly any is seen.

        The pictures are mirrored at their edges: against the zeros that convolutions see beyond
        them, smoke would seem to end there.
        """
        smoke, airlight = inside(*self.opacity_and_airlight(mirrored(images)))
        return Lifted(density_of(seen(smoke)), airlight)

    def train(self, mode: bool = True) -> SmokeLifter:
        """Set the training mode, except for BatchNorm of the backbone."""
        super().train(mode)
        for module in self.backbone.modules():
            if isinstance(module, _BatchNorm):
                module.eval()
        return self


_VIEWS = ((1.0, False), (1.0, True), (0.75, False), (0.75, True))
"""Scale and mirroring of the looks that :func:`lift_steadily` takes."""
_DOUBTED = 0.05
"""Where the faintest look sees less opacity than this, all of it is weakened in proportion."""


@torch.no_grad()
def lift_steadily(lifter: SmokeLifter, images: Tensor) -> tuple[Lifted, Tensor]:
    """The layers of ``images`` [B, 3, H, W] from several looks at each, and how far these agree.

    R sees each picture as it is, mirrored and smaller. Opacities are averaged, airlights too,
    weighted by them. Where the faintest look sees less than 0.05, the mean is weakened in
    proportion, down to none where one look sees none. The agreement [B] in [0, 1] is the soft
    intersection over union of all looks: smoke stays smoke in the mirror, what was mistaken for it
    often does not.
    """
    opacities, airlights = [], []
    size = (images.shape[-2] // STRIDE, images.shape[-1] // STRIDE)
    for scale, mirrored in _VIEWS:
        view = images
        if scale != 1:
            sides = [max(32, round(side * scale / 32) * 32) for side in images.shape[-2:]]
            view = F.interpolate(view, sides, mode="bilinear", antialias=True, align_corners=False)
        found = lifter(view.flip(-1) if mirrored else view)
        parts = [-torch.expm1(-found.density.float()), found.airlight.float()]
        parts = [part.flip(-1) if mirrored else part for part in parts]
        if parts[0].shape[-2:] != size:
            parts = [F.interpolate(p, size, mode="bilinear", align_corners=False) for p in parts]
        opacities.append(parts[0])
        airlights.append(parts[1])
    seen, air = torch.stack(opacities), torch.stack(airlights)
    believed = seen.mean(0) * (seen.amin(0) / _DOUBTED).clamp(max=1)
    airlight = (seen * air).sum(0) / seen.sum(0).clamp(min=1e-6)
    airlight = torch.where(seen.sum(0) > 0, airlight, air.mean(0))
    least, most = seen.amin(0).sum((1, 2, 3)), seen.amax(0).sum((1, 2, 3))
    agreement = torch.where(most > 0, least / most.clamp(min=1e-6), 1.0)
    return Lifted(density_of(believed.clamp(max=MAX_OPACITY)), airlight), agreement
