"""A moving average of weights, smoother to use than the last ones (Yazıcı et al. 2019)."""

from __future__ import annotations

import copy

import torch
from torch import nn


def average_decay(decay: float, step: int) -> float:
    """The decay at optimizer step ``step`` (from 0): small at first, so that the random start goes.

    min(decay, (1 + step) / (10 + step)).
    """
    return min(decay, (1 + step) / (10 + step))


class MovingAverage:
    """The average of ``network``'s parameters over its optimizer steps.

    Yazıcı et al. 2019, arXiv 1806.04498. ``network`` is copied: keep it on its device first.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.network = copy.deepcopy(network).requires_grad_(False)

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Take in the weights of ``network`` after optimizer step ``step`` (from 0)."""
        torch._foreach_lerp_(
            list(self.network.parameters()),
            list(network.parameters()),
            1.0 - average_decay(self.decay, step),
        )
