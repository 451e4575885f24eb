"""What is taken for smoke and is none: steam, and faults of the camera.

Each look-alike is a function of a :class:`~wisp.smoke.noise.Dice` and a picture uint8 [H, W, 3],
which it changes in place, in blocks of rows: a picture of any size costs little memory. Sizes are
fractions of the long side, so that a look-alike is the same at any resolution.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from wisp.smoke.lifted import LiftedLayer
from wisp.smoke.lookalikes.camera import blur, fog_lens, lowlight, overexposed
from wisp.smoke.lookalikes.steam import Steam, steam
from wisp.smoke.noise import Dice

LOOKALIKES: dict[str, Callable[[Dice, Tensor], None]] = {
    "steam": steam,
    "blur": blur,
    "lowlight": lowlight,
    "overexposed": overexposed,
    "fog-lens": fog_lens,
}
"""The look-alikes by name."""


def add_lookalike(
    kind: str, pixels: Tensor, generator: torch.Generator, layers: Sequence[LiftedLayer] = ()
) -> None:
    """Change ``pixels`` uint8 [H, W, 3] in place into the look-alike ``kind``.

    ``layers`` of real smoke lend steam their folds. A pure function of the picture, the layers and
    the state of the CPU ``generator``.
    """
    dice = Dice(generator)
    if kind == "steam":
        steam(dice, pixels, layers)
    else:
        LOOKALIKES[kind](dice, pixels)


__all__ = [
    "LOOKALIKES",
    "Steam",
    "add_lookalike",
    "blur",
    "fog_lens",
    "lowlight",
    "overexposed",
    "steam",
]
