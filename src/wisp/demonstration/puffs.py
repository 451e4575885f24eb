"""Smoke as a cloud of puffs, a process that wisp's own smoke models know nothing of."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from PIL import Image

Array = npt.NDArray[np.float32]


def puff_density(
    rng: np.random.Generator,
    source: tuple[float, float],
    draught: tuple[float, float],
    size_px: int,
) -> Array:
    """Optical density [H, W] of puffs that leave ``source`` (x, y in units of the side).

    Each puff is a Gaussian whose width grows with age (turbulent diffusion); its path follows the
    draught and a frozen turbulent velocity field (a sum of random divergence-free waves).
    """
    coarse_px = size_px // 2
    puffs = int(rng.integers(120, 320))
    age = np.sort(rng.uniform(0, 1, puffs)).astype(np.float32)
    position = np.array(source, np.float32) + rng.normal(0, 0.015, (puffs, 2)).astype(np.float32)
    waves = rng.normal(0, 9, (10, 2)).astype(np.float32)
    phases = rng.uniform(0, 2 * math.pi, 10).astype(np.float32)
    # Velocity across each wave's direction: no divergence, so puffs are stirred, not squeezed.
    across = np.stack([-waves[:, 1], waves[:, 0]], 1) / np.linalg.norm(waves, axis=1)[:, None]
    gusts = rng.uniform(0.7, 1.3)
    steps = 12
    for _ in range(steps):
        turbulent = np.sin(position @ waves.T + phases) @ across
        velocity = np.array(draught, np.float32) * gusts + 0.22 * turbulent
        position = position + velocity * (age / steps)[:, None]
    width = rng.uniform(0.012, 0.025) + rng.uniform(0.03, 0.10) * age ** rng.uniform(0.6, 1.0)
    mass = rng.uniform(0.6, 1.4, puffs).astype(np.float32) * np.exp(-rng.uniform(0, 1.0) * age)
    grid = (np.arange(coarse_px, dtype=np.float32) + 0.5) / coarse_px
    # A Gaussian is separable: rows and columns are multiplied instead of a full exponential.
    columns = np.exp(-((grid[None] - position[:, :1]) ** 2) / (2 * width[:, None] ** 2))
    rows = np.exp(-((grid[None] - position[:, 1:]) ** 2) / (2 * width[:, None] ** 2))
    density = np.einsum("n,nh,nw->hw", mass / width**2, rows, columns)
    # The densest spot is at the source; the scale is set where the cloud is well mixed.
    density = density / np.quantile(density, 0.96)
    density = rng.uniform(0.9, 2.6) * density / (1 + 0.3 * density)
    resized = Image.fromarray(density.astype(np.float32)).resize(
        (size_px, size_px), Image.Resampling.BICUBIC
    )
    return np.maximum(np.asarray(resized, np.float32), 0)
