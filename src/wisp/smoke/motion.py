"""Smoke that moves: the smoke of one picture as a sequence of frames.

Two copies of the smoke are carried by a turbulent draught, each for a while, cross-faded so that
whenever one has been carried too far it has vanished (a flow map, as for water: Vlachos, SIGGRAPH
2010). Each copy is folded in another way, so that nothing comes back, and there is no jump.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from wisp.smoke.lifted import LiftedLayer, mix
from wisp.smoke.noise import Dice, blur, fbm, warp
from wisp.smoke.procedural import PlaceableSmoke, SmokeLayer

_SPEED = (0.003, 0.01)
_REACH = (0.05, 0.09)
_FOLDING = 0.035


@dataclasses.dataclass(frozen=True)
class Draught:
    """What carries the smoke; lengths are fractions of the picture's long side.

    ``right`` and ``down`` [h, w] are the velocity per frame; ``free`` [h, 1] or [h, w] in [0, 1]
    says how freely smoke moves there; a copy of the smoke lives ``2 * half_life_frames``, and is
    itself after half of it. ``seed`` gives the folds of each copy.
    """

    right: Tensor
    down: Tensor
    free: Tensor
    rise: float
    half_life_frames: float
    seed: int

    def folded(self, smoke: LiftedLayer, copy: int) -> LiftedLayer:
        """``smoke`` displaced by other noise for each ``copy``; copy 0 is the smoke itself."""
        if copy == 0:
            return smoke
        rows, columns = smoke.density.shape
        dice = Dice(torch.Generator().manual_seed(self.seed + copy))
        right, down = (
            _FOLDING * self.free * fbm(dice, rows, columns, cells=3.0, octaves=4) for _ in range(2)
        )
        return _moved(smoke, right, down)

    def carried(self, smoke: LiftedLayer, age_frames: float) -> LiftedLayer:
        """``smoke`` after, or if below 0 before, ``age_frames``."""
        return _moved(smoke, -age_frames * self.right, -age_frames * self.down)


def _moved(smoke: LiftedLayer, right: Tensor, down: Tensor) -> LiftedLayer:
    """``smoke`` read at positions moved by ``right`` and ``down`` (fractions of the long side)."""
    return LiftedLayer(
        warp(smoke.density, right, down).clamp(min=0),
        torch.stack([warp(channel, right, down) for channel in smoke.airlight]),
    )


def draw_draught(dice: Dice, free: Tensor, rows: int, columns: int) -> Draught:
    """A draught that carries upwards, more or less, with eddies."""
    speed = dice.log_uniform(*_SPEED)
    angle = dice.uniform(-0.45, 0.45)
    cells = dice.uniform(3.0, 5.0)
    gust, aside, up = (fbm(dice, rows, columns, cells=cells, octaves=3) for _ in range(3))
    eddies = dice.uniform(0.2, 0.5)
    along = (1 + 0.25 * gust).clamp(min=0.2)
    return Draught(
        right=speed * free * (math.sin(angle) * along + eddies * aside),
        down=speed * free * (-math.cos(angle) * along + eddies * up),
        free=free,
        rise=speed * math.cos(angle),
        half_life_frames=dice.uniform(*_REACH) / speed,
        seed=int(dice.uniform() * 2**24) << 20,
    )


def frame_of(
    copies: Callable[[int], LiftedLayer], draught: Draught, time_frames: float
) -> LiftedLayer:
    """The smoke at ``time_frames``, from its folded ``copies``; at 0 it is copy 0."""
    position = time_frames / draught.half_life_frames
    copy = math.floor(position)
    later = position - copy
    if later == 0:
        return copies(copy)
    first = draught.carried(copies(copy), later * draught.half_life_frames)
    second = draught.carried(copies(copy + 1), (later - 1) * draught.half_life_frames)
    both = mix(
        LiftedLayer((1 - later) * first.density, first.airlight),
        LiftedLayer(later * second.density, second.airlight),
    )
    return LiftedLayer(_crisp(both.density, first.density, second.density, later), both.airlight)


def _crisp(mixed: Tensor, first: Tensor, second: Tensor, part: float) -> Tensor:
    """``mixed`` with the contrast of the two it was mixed of: a cross-fade softens folds, and the
    sequence would pulse. What is 0 stays 0."""
    wanted = (1 - part) * _detail(first).square().mean() + part * _detail(second).square().mean()
    detail = _detail(mixed)
    gain = (wanted / detail.square().mean().clamp(min=1e-12)).sqrt().clamp(1.0, 1.6)
    return (mixed + (gain - 1) * detail).clamp(min=0) * (mixed > 0)


def _detail(density: Tensor) -> Tensor:
    return density - blur(density, 0.03)


def sequence(
    smoke: PlaceableSmoke, image: Tensor, generator: torch.Generator, frames: int
) -> Iterator[SmokeLayer]:
    """The smoke of one picture in ``frames`` frames: it rises and changes, without a jump.

    The first is what ``smoke.layer`` draws for this ``image`` and generator. ``image`` is float
    [3, H, W] in [-1, 1] or uint8 [H, W, 3].
    """
    still = smoke.layer(image, generator)
    rows, columns = still.grid_density.shape
    draught = draw_draught(Dice(generator), smoke.mobility(rows, columns), rows, columns)
    drawn = LiftedLayer(still.grid_density, still.grid_airlight)
    copies = functools.lru_cache(maxsize=2)(functools.partial(draught.folded, drawn))
    for time in range(frames):
        now = frame_of(copies, draught, time)
        yield still.changed(now.density, now.airlight, time * draught.rise)
