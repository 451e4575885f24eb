"""How new networks start: the CycleGAN paper's Gaussian initialisation."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

WEIGHT_STD = 0.02


def initialise(module: nn.Module, generator: torch.Generator | None = None) -> nn.Module:
    """Draw every convolution weight of ``module`` from N(0, 0.02²) and set every bias to 0.

    The draws depend on ``generator`` (or torch's own) and on the order of the parameters only.
    Returns ``module``. Zhu et al. 2017 (arXiv 1703.10593), section 7.1.
    """
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, (nn.Conv2d, nn.ConvTranspose2d)):
                # Spectral norm computes the weight from a raw one that it keeps elsewhere.
                raw = "parametrizations.weight.original" if is_parametrized(part) else "weight"
                part.get_parameter(raw).normal_(0.0, WEIGHT_STD, generator=generator)
                if part.bias is not None:
                    part.bias.zero_()
    return module
