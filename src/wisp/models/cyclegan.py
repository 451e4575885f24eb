"""A trained CycleGAN, applied to photos of any size.

A generator knows one scale, the one it was trained at. A photo is brought to that scale,
translated, and what the translation *changed* is enlarged and added to the full photo: detail, size
and aspect are kept, and memory beyond the photo itself does not grow with it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from wisp.engine import Engine
from wisp.errors import InputError
from wisp.images import to_tensor
from wisp.models.base import (
    Computing,
    ImageInput,
    Rendered,
    SmokeModel,
    check_batch,
    pixels_of,
    require_finite,
)
from wisp.models.scale import MIN_SIDE_PX, WorkingScale
from wisp.smoke import opacity
from wisp.smoke.batches import SmokyBatch
from wisp.smoke.noise import rows_of
from wisp.smoke.optics import density_of

_BLOCK_ROWS = 128
_MAX_OPACITY = 0.98
_MIN_CONTRAST = 0.3
_FLAT = 4 / 255


class CycleGANModel(SmokeModel):
    """Zhu et al. 2017 (arXiv 1703.10593): a generator repaints the photo; masks are estimates.

    ``clean_to_smoky`` and, if known, ``smoky_to_clean`` map [B, 3, H, W] in [-1, 1] to the same.
    ``strength`` scales what the generator changes. Without an ``engine``: float32 on the CPU.
    """

    kind = "cyclegan"
    exact_mask = False

    def __init__(
        self,
        name: str,
        clean_to_smoky: nn.Module,
        smoky_to_clean: nn.Module | None,
        scale: WorkingScale,
        engine: Engine | None = None,
    ) -> None:
        self.name, self.scale = name, scale
        self._device = engine.device if engine else torch.device("cpu")
        self._autocast: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext
        self.computing = Computing()
        if engine is not None:
            self.computing = Computing(str(engine.device), engine.precision, engine.why)
            if engine.precision != "32":
                self._autocast = engine.autocast
        self._clean_to_smoky = clean_to_smoky.eval().requires_grad_(False).to(self._device)
        self._smoky_to_clean = (
            None
            if smoky_to_clean is None
            else smoky_to_clean.eval().requires_grad_(False).to(self._device)
        )
        self.can_reconstruct = smoky_to_clean is not None

    def _run(self, network: nn.Module, batch: Tensor) -> Tensor:
        """``network`` on [B, 3, H, W] of any size from 1 px, by repeating the edge."""
        height, width = batch.shape[-2:]
        step = int(getattr(network, "multiple_px", 4))
        down = max(MIN_SIDE_PX, -(-height // step) * step) - height
        right = max(MIN_SIDE_PX, -(-width // step) * step) - width
        if down or right:
            batch = F.pad(batch, (0, right, 0, down), mode="replicate")
        with torch.inference_mode(), self._autocast():
            result: Tensor = network(batch.to(self._device, torch.float32)).float()
        require_finite(self.name, result.cpu().numpy())
        return result[..., :height, :width].clone()

    def translate(self, batch: Tensor) -> Tensor:
        """The generator on ``batch`` as it is, at the resolution given."""
        check_batch(batch)
        return self._run(self._clean_to_smoky, batch).to(batch.device, batch.dtype)

    def add_batch(self, batch: Tensor, strength: float | Tensor = 1.0, seed: int = 0) -> SmokyBatch:
        """``batch`` translated at the resolution given; density and airlight are estimates.

        ``seed`` changes nothing: a CycleGAN is deterministic.
        """
        clean = batch.float()
        change = self.translate(clean) - clean
        airlight = torch.stack([_airlight(c, d) for c, d in zip(clean, change, strict=True)])
        change = change * torch.as_tensor(strength, device=clean.device).reshape(-1, 1, 1, 1)
        density = torch.stack(
            [_density(c, d, a) for c, d, a in zip(clean, change, airlight, strict=True)]
        )
        return SmokyBatch((clean + change).clamp(-1, 1), density, airlight.expand_as(clean))

    def render(
        self, pixels: NDArray[np.uint8], strength: float, seed: int, keep_density: bool = False
    ) -> Rendered:
        """Smoke over ``pixels``, in place: translated small, the change enlarged and added."""
        small = self._shrink(pixels)
        change = self._run(self._clean_to_smoky, small[None])[0].cpu() - small
        density_grid = _density(small, strength * change, _airlight(small, change))
        height, width = pixels.shape[:2]
        grid = density_grid[0].numpy()
        mask = np.empty((height, width), np.uint8)
        kept = np.empty((height, width), np.float32) if keep_density else None
        for top in range(0, height, _BLOCK_ROWS):
            bottom = min(height, top + _BLOCK_ROWS)
            tau = np.maximum(rows_of(grid, height, width, top, bottom), 0)
            mask[top:bottom] = opacity(tau) * 255 + 0.5
            if kept is not None:
                kept[top:bottom] = tau
        _add_change(pixels, change, strength)
        flat = float(np.ptp((small + change).numpy(), axis=(1, 2)).max()) <= _FLAT
        return Rendered(pixels, mask, kept, flat)

    def reconstruct(self, image: ImageInput, seed: int = 0) -> Image.Image:
        """Clean → smoky → clean by the same path: translated small, the change enlarged.

        Raises InputError when only one direction was loaded.
        """
        if self._smoky_to_clean is None:
            raise InputError(
                f"--model {self.name}: holds the way from clean to smoky only, so the clean class "
                "cannot be reconstructed; take --clean-class pixels, or a run, which holds both"
            )
        pixels = pixels_of(image)
        small = self._shrink(pixels)
        smoky = self._run(self._clean_to_smoky, small[None])
        _add_change(pixels, self._run(self._smoky_to_clean, smoky)[0].cpu() - small, 1.0)
        return Image.fromarray(pixels)

    def _shrink(self, pixels: NDArray[np.uint8]) -> Tensor:
        height, width = self.scale.size(*pixels.shape[:2])
        image = Image.fromarray(pixels)
        if image.size != (width, height):
            image = image.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=3.0)
        return to_tensor(image)


def _add_change(pixels: NDArray[np.uint8], change: Tensor, strength: float) -> None:
    """Add ``change`` [3, h, w] (units of [-1, 1]), enlarged, to uint8 [H, W, 3] in place."""
    height, width = pixels.shape[:2]
    grid = np.ascontiguousarray(change.permute(1, 2, 0).numpy() * np.float32(127.5 * strength))
    for top in range(0, height, _BLOCK_ROWS):
        bottom = min(height, top + _BLOCK_ROWS)
        rows = pixels[top:bottom] + rows_of(grid, height, width, top, bottom)
        pixels[top:bottom] = np.clip(np.rint(rows), 0, 255)


def _airlight(clean: Tensor, change: Tensor) -> Tensor:
    """Colour [3, 1, 1] of the smoke: what the most changed twentieth of the pixels became."""
    size = change.abs().mean(0).flatten()
    most = size.topk(max(1, size.numel() // 20)).indices
    return (clean + change).flatten(1)[:, most].mean(1)[:, None, None].clamp(-1, 1)


def _density(clean: Tensor, change: Tensor, airlight: Tensor) -> Tensor:
    """τ [1, H, W] that explains ``change`` as smoke of colour ``airlight``: an estimate.

    Beer-Lambert says change = (1 - t)·(A - I); 1 - t is the projection of the change on A - I,
    damped where A and I are too alike to tell.
    """
    way = airlight - clean
    cover = (change * way).sum(0, keepdim=True) / (
        (way * way).sum(0, keepdim=True) + _MIN_CONTRAST**2
    )
    return density_of(cover.clamp(0, _MAX_OPACITY))
