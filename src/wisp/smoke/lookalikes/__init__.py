"""What is taken for smoke and is none: steam, and faults of the camera.

Each look-alike is a function of a :class:`~wisp.smoke.noise.Dice` and a picture [H, W, 3]
(and, for steam, of layers of real smoke). It changes the picture in place, in blocks of rows, so
that a large one takes little memory. Sizes are fractions of the long side, so that a look-alike is
the same at any resolution.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from wisp.smoke.layer import SmokeLayer
from wisp.smoke.lookalikes.camera import blur, fog_lens, lowlight, overexposed
from wisp.smoke.lookalikes.steam import Steam, steam
from wisp.smoke.noise import Dice, Pixels

_FAULTS: dict[str, Callable[[Dice, Pixels], None]] = {
    "blur": blur,
    "lowlight": lowlight,
    "overexposed": overexposed,
    "fog-lens": fog_lens,
}
LOOKALIKES = ("steam", *_FAULTS)
"""Their names: steam, and the faults of the camera."""


def add_lookalike(kind: str, pixels: Pixels, seed: int, layers: Sequence[SmokeLayer] = ()) -> None:
    """Change ``pixels`` [H, W, 3] in place into the look-alike ``kind``.

    ``layers`` of real smoke lend steam their folds; nothing else uses them. A pure function of the
    picture, the layers and ``seed``.
    """
    dice = Dice(seed)
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
