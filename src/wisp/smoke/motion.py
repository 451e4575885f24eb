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

import numpy as np

from wisp.smoke.drawn import PlaceableSmoke
from wisp.smoke.layer import SmokeLayer, mix
from wisp.smoke.noise import Dice, Floats, Pixels, blur, fbm, warp

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

    right: Floats
    down: Floats
    free: Floats
    rise: float
    half_life_frames: float
    seed: int

    def folded(self, smoke: SmokeLayer, copy: int) -> SmokeLayer:
        """``smoke`` displaced by other noise for each ``copy``; copy 0 is the smoke itself."""
        if copy == 0:
            return smoke
        rows, columns = smoke.density.shape
        dice = Dice(self.seed + copy)
        right, down = (
            _FOLDING * self.free * fbm(dice, rows, columns, cells=3.0, octaves=4) for _ in range(2)
        )
        return _moved(smoke, right, down)

    def carried(self, smoke: SmokeLayer, age_frames: float) -> SmokeLayer:
        """``smoke`` after, or if below 0 before, ``age_frames``."""
        return _moved(smoke, -age_frames * self.right, -age_frames * self.down)


def _moved(smoke: SmokeLayer, right: Floats, down: Floats) -> SmokeLayer:
    """``smoke`` read at positions moved by ``right`` and ``down`` (fractions of the long side)."""
    return smoke.with_each(lambda part: warp(part, right, down))


def draw_draught(dice: Dice, free: Floats, rows: int, columns: int) -> Draught:
    """A draught that carries upwards, more or less, with eddies."""
    speed = dice.log_uniform(*_SPEED)
    angle = dice.uniform(-0.45, 0.45)
    cells = dice.uniform(3.0, 5.0)
    gust, aside, up = (fbm(dice, rows, columns, cells=cells, octaves=3) for _ in range(3))
    eddies = dice.uniform(0.2, 0.5)
    along = np.maximum(1 + 0.25 * gust, 0.2)
    return Draught(
        right=speed * free * (math.sin(angle) * along + eddies * aside),
        down=speed * free * (-math.cos(angle) * along + eddies * up),
        free=free,
        rise=speed * math.cos(angle),
        half_life_frames=dice.uniform(*_REACH) / speed,
        seed=dice.seed(),
    )


def frame_of(
    copies: Callable[[int], SmokeLayer], draught: Draught, time_frames: float
) -> SmokeLayer:
    """The smoke at ``time_frames``, from its folded ``copies``; at 0 it is copy 0."""
    position = time_frames / draught.half_life_frames
    copy = math.floor(position)
    later = position - copy
    if later == 0:
        return copies(copy)
    first = draught.carried(copies(copy), later * draught.half_life_frames)
    second = draught.carried(copies(copy + 1), (later - 1) * draught.half_life_frames)
    both = mix(
        SmokeLayer((1 - later) * first.density, first.airlight),
        SmokeLayer(later * second.density, second.airlight),
    )
    return SmokeLayer(_crisp(both.density, first.density, second.density, later), both.airlight)


def _crisp(mixed: Floats, first: Floats, second: Floats, part: float) -> Floats:
    """``mixed`` with the contrast of the two it was mixed of: a cross-fade softens folds, and the
    sequence would pulse. What is 0 stays 0."""
    detail = _detail(mixed)
    wanted = (1 - part) * _power(_detail(first)) + part * _power(_detail(second))
    gain = min(max(math.sqrt(wanted / max(_power(detail), 1e-12)), 1.0), 1.6)
    return np.maximum(mixed + (gain - 1) * detail, 0) * (mixed > 0)


def _power(detail: Floats) -> float:
    return float((detail * detail).mean())


def _detail(density: Floats) -> Floats:
    return density - blur(density, 0.03)


def sequence(
    smoke: PlaceableSmoke, pixels: Pixels, dice: Dice, frames: int
) -> Iterator[SmokeLayer]:
    """The smoke of one picture [H, W, 3] in ``frames`` frames: it rises and changes, without a
    jump. The first is what ``smoke.layer`` draws for this picture and dice."""
    still = smoke.layer(pixels, dice)
    rows, columns = still.density.shape
    draught = draw_draught(dice, smoke.mobility(rows, columns), rows, columns)
    copies = functools.lru_cache(maxsize=2)(functools.partial(draught.folded, still))
    for time in range(frames):
        now = frame_of(copies, draught, time)
        yield dataclasses.replace(
            still, density=now.density, airlight=now.airlight, risen=time * draught.rise
        )
