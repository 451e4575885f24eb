"""The detector: a backbone and a small head."""

from __future__ import annotations

from collections.abc import Sequence

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
