"""What is taken for smoke and is none: steam, and faults of the camera.

Each look-alike is a function of a :class:`~wisp.smoke.noise.Dice` and a picture uint8 [H, W, 3]
(and, for steam, of layers of real smoke). It changes the picture in place, in blocks of rows, so
that a large one takes little memory. Sizes are fractions of the long side, so that a look-alike is
the same at any resolution.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from wisp.smoke.lifted import LiftedLayer
from wisp.smoke.lookalikes.camera import blur, fog_lens, lowlight, overexposed
from wisp.smoke.lookalikes.steam import Steam, steam
from wisp.smoke.noise import Dice

_FAULTS: dict[str, Callable[[Dice, Tensor], None]] = {
    "blur": blur,
    "lowlight": lowlight,
    "overexposed": overexposed,
    "fog-lens": fog_lens,
}
LOOKALIKES = ("steam", *_FAULTS)
"""Their names: steam, and the faults of the camera."""


def add_lookalike(
    kind: str, pixels: Tensor, generator: torch.Generator, layers: Sequence[LiftedLayer]
) -> None:
    """Change ``pixels`` uint8 [H, W, 3] in place into the look-alike ``kind``.

    ``layers`` of real smoke lend steam their folds; nothing else uses them. A pure function of the
    picture, the layers and the state of the CPU ``generator``.
    """
    dice = Dice(generator)
    if kind == "steam":
        steam(dice, pixels, layers)
    else:
        _FAULTS[kind](dice, pixels)


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
