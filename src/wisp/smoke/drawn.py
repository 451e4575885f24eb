"""What can draw smoke for a picture."""

from __future__ import annotations

import abc
import dataclasses

import numpy as np

from wisp.smoke.layer import SmokeLayer, scene_of
from wisp.smoke.noise import MOST_CELLS, Dice, Floats, Pixels, grid_shape
from wisp.smoke.placement import SourceBox, mobility


class RandomSmoke(abc.ABC):
    """Smoke that can be drawn for a picture: a pure function of it and a seed."""

    @abc.abstractmethod
    def draw(self, pixels: Pixels, dice: Dice) -> SmokeLayer:
        """Density and airlight for a picture [H, W, 3], on a grid of any size."""

    def layer(self, pixels: Pixels, dice: Dice) -> SmokeLayer:
        """The smoke for a picture [H, W, 3], ready to be laid over it."""
        return _finished(self.draw(pixels, dice), dice)


def _finished(drawn: SmokeLayer, dice: Dice) -> SmokeLayer:
    scatter = dice.uniform(0.3, 0.8) if dice.coin(0.4) else 0.0
    return dataclasses.replace(drawn, scatter=scatter, place=(dice.uniform(), dice.uniform()))


class GridSmoke(RandomSmoke):
    """Random smoke of which a picture decides no more than size and light."""

    @property
    def cells(self) -> int:
        """Along the long side of its grid, at most."""
        return MOST_CELLS

    def draw(self, pixels: Pixels, dice: Dice) -> SmokeLayer:
        """As :meth:`drawn` draws it, on the smoke grid of the picture."""
        height, width = pixels.shape[:2]
        return self.drawn(dice, *grid_shape(height, width, self.cells), scene_of(pixels))

    def over(self, scene: Floats, height: int, width: int, dice: Dice) -> SmokeLayer:
        """As :meth:`layer`, for a picture of which only its size [px] and :func:`scene_of` are at
        hand."""
        shape = grid_shape(height, width, self.cells)
        return _finished(self.drawn(dice, *shape, scene), dice)

    @abc.abstractmethod
    def drawn(self, dice: Dice, rows: int, columns: int, scene: Floats) -> SmokeLayer:
        """Smoke on the grid [rows, columns] for ``scene`` [24, 24, 3] in [0, 1], the photo in
        small."""


class PlaceableSmoke(GridSmoke):
    """Random smoke that can be told where to rise."""

    source: SourceBox | None = None
    """Where all smoke rises from; None: anywhere."""

    @abc.abstractmethod
    def rising_from(self, source: SourceBox) -> PlaceableSmoke:
        """The same smoke, but a plume that rises from ``source``, and none below it."""

    def mobility(self, rows: int, columns: int) -> Floats:
        """How freely smoke moves at each place of the grid, [rows, 1] in [0, 1]: not at all at the
        bottom of a source."""
        if self.source is None:
            return np.ones((rows, 1), np.float32)
        return mobility(self.source, rows, columns)
