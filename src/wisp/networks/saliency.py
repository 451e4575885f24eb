"""Where a detector looks: Grad-CAM (Selvaraju et al. 2017, arXiv 1610.02391)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from wisp.networks.detector import Detector, Ensemble


def grad_cam(detector: Detector | Ensemble, images: Tensor, target: int) -> Tensor:
    """Evidence for class ``target`` at each pixel, of all looks and all members together.

    Args:
        detector: in evaluation mode.
        images: [B, 3, H, W] in [-1, 1].
        target: index of the class.

    Returns:
        [B, H, W] in [0, 1], each picture scaled to its own maximum; all 0 where nothing speaks
        for the class. The detail is that of the last feature map (a 32nd of the image).
    """
    views = (images, images.flip(-1))
    heat = torch.zeros_like(images[:, 0], dtype=torch.float32)
    for member in detector.members:
        seen, mirrored = (_evidence(member, view, target) for view in views)
        heat += seen + mirrored.flip(-1)
    return heat / heat.amax((1, 2), keepdim=True).clamp(min=1e-12)


def _evidence(detector: Detector, images: Tensor, target: int) -> Tensor:
    """Grad-CAM [B, H, W] ≥ 0 of one look, in units of the logit."""
    with torch.no_grad():
        raw = detector.backbone.raw(images)
    with torch.enable_grad():
        raw = raw.detach().requires_grad_()
        score = detector.head(detector.backbone.pool(raw))[:, target].sum()
        (gradient,) = torch.autograd.grad(score, raw)
    with torch.no_grad():
        activation = detector.backbone.as_map(raw.detach()).float()
        weight = detector.backbone.as_map(gradient).float().mean((2, 3), keepdim=True)
        heat = F.relu((weight * activation).sum(1, keepdim=True))
        heat = F.interpolate(heat, images.shape[-2:], mode="bicubic", align_corners=False)
        return heat.clamp(min=0).squeeze(1)
