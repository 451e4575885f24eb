"""Small labelled picture sets for the tests of detectors."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

# These networks are so small that several threads only wait for each other.
torch.set_num_threads(1)


def draw(seed: int, smoky: bool, side: int = 48) -> Image.Image:
    """Coloured blocks; a smoky one is veiled by pale grey."""
    random = np.random.default_rng(seed)
    blocks = random.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    picture = np.asarray(Image.fromarray(blocks).resize((side, side)), dtype=np.float64)
    picture = 0.5 * picture + random.integers(0, 60)
    if smoky:
        veil = random.uniform(0.5, 0.8)
        picture = (1 - veil) * picture + veil * 215
    return Image.fromarray(picture.clip(0, 255).astype(np.uint8))


def write_class(folder: Path, count: int, smoky: bool, first: int = 0, frames: int = 2) -> None:
    """``count`` pictures ``place-G__NNN.png``, ``frames`` of each place."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(first, first + count):
        name = f"place-{index // frames}__{index:03d}.png"
        draw(2 * index + int(smoky), smoky).save(folder / name)


def write_set(root: Path, count: int = 24, first: int = 0) -> Path:
    """``clean`` and ``smoky`` with ``count`` pictures each."""
    write_class(root / "clean", count, False, first)
    write_class(root / "smoky", count, True, first)
    return root
