"""Smoke over batches of pictures, by torch on their device: the small layers go there, and the
pictures never come back."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from wisp.smoke.drawn import GridSmoke, RandomSmoke
from wisp.smoke.layer import BACKDROP_BLUR, DETAIL_PX, SCENE, SmokeLayer, detail_tile
from wisp.smoke.noise import Dice, Floats
from wisp.smoke.optics import opacity


@dataclasses.dataclass(frozen=True)
class SmokyBatch:
    """Pictures with known smoke: ``image`` [B,3,H,W] in [-1,1]; ``density`` [B,1,H,W], optical
    density τ ≥ 0 at the strength that was asked for; ``airlight`` [B,3,H,W] in [-1,1]."""

    image: Tensor
    density: Tensor
    airlight: Tensor


def add_to_batch(
    smoke: RandomSmoke, clean: Tensor, seed: int, strength: float | Tensor = 1.0
) -> SmokyBatch:
    """Smoke for each picture of ``clean`` [B,3,H,W] in [-1,1], drawn from ``seed``.

    ``strength`` ≥ 0 is a number or one per picture [B]; it multiplies optical density. As
    :meth:`SmokeLayer.lay` lays it, without rounding to 8 bits.
    """
    count, _, height, width = clean.shape
    if count == 0:
        return SmokyBatch(clean, clean[:, :1], clean)
    with torch.no_grad():
        clean, dice, device = clean.detach().float(), Dice(seed), clean.device
        fitted = [layer.fitted(height, width) for layer in _drawn(smoke, clean, dice)]
        layers, side = [layer for layer, _ in fitted], fitted[0][1]
        factor = torch.as_tensor(strength, dtype=torch.float32, device=device).reshape(-1, 1, 1, 1)
        grid = factor * _stacked([layer.density[None] for layer in layers], device)
        light = _stacked([layer.airlight for layer in layers], device).movedim(-1, 1) * 2 - 1
        density = _enlarged(grid, side, height, width, smooth=True)
        tile = detail_tile(max(height, width))
        if tile is not None:
            finer = torch.from_numpy(tile[:DETAIL_PX, :DETAIL_PX]).to(device)
            density *= torch.stack([_window(finer, *one.place, height, width) for one in layers])
        airlight = glow = _enlarged(light, side, height, width)
        scatter = torch.tensor([layer.scatter for layer in layers], device=device).view(-1, 1, 1, 1)
        cover = opacity(density)
        if scatter.any():  # as SmokeLayer.glow says
            some = scatter.flatten().nonzero().flatten()
            share, behind = scatter[some] * torch.exp(-grid[some]), _backdrop(clean[some], grid)
            seen = light.clone()
            seen[some] = (light[some] + share * behind) / (1 + share)
            glow = _enlarged(seen, side, height, width)
            cover = 1 - (1 - cover) * (1 - scatter * cover)
        return SmokyBatch(clean.lerp(glow, cover), density, airlight)


def _stacked(parts: list[Floats], device: torch.device) -> Tensor:
    return torch.from_numpy(np.stack(parts)).to(device)


def _drawn(smoke: RandomSmoke, clean: Tensor, dice: Dice) -> list[SmokeLayer]:
    height, width = clean.shape[2:]
    if isinstance(smoke, GridSmoke):
        scenes = F.interpolate(clean, SCENE, mode="area").add(1).div(2).clamp(0, 1)
        seen = scenes.movedim(1, -1).cpu().numpy()
        return [smoke.over(scene, height, width, dice) for scene in seen]
    pictures = clean.clamp(-1, 1).add(1).mul(127.5).round().byte().movedim(1, -1)
    return [smoke.layer(picture, dice) for picture in pictures.contiguous().cpu().numpy()]


def _enlarged(grid: Tensor, side: int, height: int, width: int, smooth: bool = False) -> Tensor:
    """``grid`` [B, C, h, w], ``side`` times as large, cut to [B, C, height, width]: as
    :func:`wisp.smoke.noise.magnified` makes it."""
    if side == 1:
        return grid
    large = F.interpolate(grid, scale_factor=side, mode="bilinear", align_corners=False)
    if smooth:
        reach = (side - 1) // 2
        padded = F.pad(large, (reach, reach, reach, reach), mode="replicate")
        large = F.avg_pool2d(padded, 2 * reach + 1, stride=1)
    return large[..., :height, :width]


def _window(tile: Tensor, down: float, right: float, height: int, width: int) -> Tensor:
    """[1, height, width] of ``tile``, which goes on repeated, from a place on."""
    rows, columns = (
        (int(part * DETAIL_PX) + torch.arange(count, device=tile.device)) % DETAIL_PX
        for part, count in ((down, height), (right, width))
    )
    return tile[rows][:, columns][None]


def _backdrop(clean: Tensor, grid: Tensor) -> Tensor:
    """The scenes as they look through scattering smoke, on the ``grid`` [B, 1, h, w]: blurred."""
    rows, columns = grid.shape[2:]
    small = clean
    if clean.shape[2:] != (rows, columns):
        small = F.interpolate(clean, (rows, columns), mode="area")
    sigma = BACKDROP_BLUR * max(rows, columns)
    reach = round(3 * sigma)
    if not reach:
        return small
    steps = torch.arange(-reach, reach + 1, device=small.device)
    weights = torch.softmax(-0.5 * (steps / sigma) ** 2, 0)
    padded = F.pad(small, (reach, reach, reach, reach), mode="replicate")
    for kernel in (weights.view(1, 1, -1, 1), weights.view(1, 1, 1, -1)):
        padded = F.conv2d(padded, kernel.expand(3, 1, -1, -1), groups=3)
    return padded
