"""The detector: a backbone and a small head, or several of them that are asked together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from wisp.networks.backbone import Backbone


class Detector(nn.Module):
    """Images [B, 3, S, S] in [-1, 1] to logits [B, K], one per class.

    Args:
        backbone: feature extractor.
        classes: their names, in the order of the logits.
        hidden: units of a hidden layer in the head; 0 for a linear head.
        freeze_norm: keep BatchNorm layers of the backbone in evaluation mode while training
            (their running statistics stay those of the pretraining; right for small batches).
    """

    def __init__(
        self, backbone: Backbone, classes: Sequence[str], hidden: int = 0, freeze_norm: bool = True
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.classes = list(classes)
        self.hidden = hidden
        self.freeze_norm = freeze_norm
        outputs = len(self.classes)
        self.head: nn.Module = (
            nn.Sequential(nn.Linear(backbone.dim, hidden), nn.ReLU(), nn.Linear(hidden, outputs))
            if hidden
            else nn.Linear(backbone.dim, outputs)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Logits [B, K] of ``images`` [B, 3, S, S] in [-1, 1]."""
        logits: Tensor = self.head(self.backbone.pooled(images))
        return logits

    def train(self, mode: bool = True) -> Detector:
        """Set the training mode, except where BatchNorm is frozen."""
        super().train(mode)
        if self.freeze_norm:
            for module in self.backbone.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    @property
    def members(self) -> tuple[Detector, ...]:
        """This detector alone; see :class:`Ensemble`."""
        return (self,)


class Ensemble(nn.Module):
    """Detectors of the same classes, asked together: their logits are averaged.

    Trained alike from another head and on other draws of the pictures, they differ in what they
    make of pictures unlike those; the mean is steadier than each of them. (Lakshminarayanan et al.
    2017, arXiv 1612.01474, average probabilities.) It takes as many times as long.
    """

    def __init__(self, members: Sequence[Detector]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(members)
        self.classes = members[0].classes

    @property
    def members(self) -> tuple[Detector, ...]:
        """The detectors, in the order they were trained."""
        return tuple(cast(Iterator[Detector], iter(self.networks)))

    @property
    def backbone(self) -> Backbone:
        """That of the first member."""
        return self.members[0].backbone

    def forward(self, images: Tensor) -> Tensor:
        """Logits [B, K] of ``images`` [B, 3, S, S] in [-1, 1]."""
        return torch.stack([member(images).float() for member in self.members]).mean(0)


def together(members: Sequence[Detector]) -> Detector | Ensemble:
    """One detector as it is, several as an :class:`Ensemble`."""
    return members[0] if len(members) == 1 else Ensemble(members)
