"""Training objectives as functions of tensors; each gives a scalar.

The CycleGAN objective (Zhu et al. 2017, arXiv 1703.10593, section 3) takes float tensors of any
shape and means over all elements. The lifting losses compare the smoke that the network R saw in a
photo with the smoke that is known to be there: opacity α = 1 - exp(-τ) [B, 1, h, w] and airlight A
[B, 3, h, w] in [-1, 1], of which the photo is I' = (1 - α)·I + α·A.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_EPSILON = 1e-6
"""Keeps logarithms and quotients finite."""


def least_squares(score: Tensor, target: float) -> Tensor:
    """Mean squared distance of discriminator ``score`` (any shape) from ``target``; 0 or more.

    LSGAN (Mao et al. 2017, arXiv 1611.04076) takes 1 as the target for real, 0 for generated.
    """
    return (score - target).square().mean()


def generator_loss(score_of_generated: Tensor) -> Tensor:
    """How far a generator is from having its images scored as real; 0 when they all are."""
    return least_squares(score_of_generated, 1.0)


def discriminator_loss(score_of_real: Tensor, score_of_generated: Tensor) -> Tensor:
    """Half the sum of both errors, which slows the discriminator down; 0.25 where it guesses."""
    return 0.5 * (least_squares(score_of_real, 1.0) + least_squares(score_of_generated, 0.0))


def hinge_generator_loss(scores_of_generated: Sequence[Tensor]) -> Tensor:
    """Minus the mean score of generated images, summed over the scales of a discriminator."""
    return -torch.stack([score.mean() for score in scores_of_generated]).sum()


def hinge_discriminator_loss(
    scores_of_real: Sequence[Tensor], scores_of_generated: Sequence[Tensor]
) -> Tensor:
    """mean max(0, 1 - D(real)) + mean max(0, 1 + D(generated)), summed over scales; 0 or more.

    Lim and Ye 2017, "Geometric GAN", arXiv 1705.02894.
    """
    parts = [(1 - score).relu().mean() for score in scores_of_real]
    parts += [(1 + score).relu().mean() for score in scores_of_generated]
    return torch.stack(parts).sum()


def variety_loss(first: Tensor, second: Tensor, share: float | Tensor) -> Tensor:
    """By how much two opacities [B, 1, h, w] of one photo, of other noise, are too alike.

    mean max(0, share · mean α - mean |α - α'|) over photos; 0 once they differ by that ``share``,
    one or [B]. It keeps the noise from being ignored (mode seeking, Mao et al. 2019, arXiv
    1903.05628).
    """
    wanted = share * first.detach().mean((1, 2, 3))
    return (wanted - (first - second).abs().mean((1, 2, 3))).relu().mean()


def cycle_loss(there_and_back: Tensor, image: Tensor) -> Tensor:
    """Mean absolute difference of an image [B, 3, H, W] and its translation there and back."""
    return (there_and_back - image).abs().mean()


def identity_loss(translated: Tensor, image: Tensor) -> Tensor:
    """Mean absolute change a generator makes to ``image`` of the domain it translates *to*.

    It keeps colours (paper, section 5.2).
    """
    return (translated - image).abs().mean()


def generator_objective(
    adversarial: Tensor,
    cycle: Tensor,
    identity: Tensor,
    *,
    lambda_cycle: float,
    lambda_identity: float,
) -> Tensor:
    """What the generators minimise; each term is summed over both directions.

    adversarial + λ_cycle · (cycle + λ_identity · identity): λ_identity is a part of λ_cycle.
    """
    return adversarial + lambda_cycle * (cycle + lambda_identity * identity)


def opacity_loss(lifted: Tensor, true: Tensor) -> Tensor:
    """mean |α̂ - α| + ½ · mean KL(α ‖ α̂) + 0.2 · (1 - Dice(α̂, α)), for α̂ and α in [0, 1].

    The mean absolute error alone begins by seeing no smoke anywhere: there is none in most of most
    pictures. KL is the Kullback-Leibler divergence of Bernoulli variables with means α and α̂
    (clamped to 1e-6 from both ends); it is steep where α̂ is nearest the wrong end, so that what is
    missed is learned from the first step on. Dice, over the batch, counts what is missed against
    how much there is (V-Net, Milletari et al. 2016, arXiv 1606.04797).
    """
    overlap = 2 * (lifted * true).sum() / (lifted.square().sum() + true.square().sum() + _EPSILON)
    p, q = (part.clamp(_EPSILON, 1 - _EPSILON) for part in (true, lifted))
    divergence = p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()
    return (lifted - true).abs().mean() + 0.5 * divergence.mean() + 0.2 * (1 - overlap)


def airlight_loss(lifted: Tensor, true: Tensor, opacity: Tensor) -> Tensor:
    """Mean absolute error of the airlight where there is smoke: weighted by the true opacity."""
    error = (lifted - true).abs().mean(1, keepdim=True)
    return (error * opacity).sum() / (opacity.sum() + _EPSILON)


def recomposition_loss(clean: Tensor, smoky: Tensor, opacity: Tensor, airlight: Tensor) -> Tensor:
    """Mean absolute difference of ``smoky`` [B, 3, h, w] and ``clean`` under the lifted smoke."""
    return (clean.lerp(airlight, opacity) - smoky).abs().mean()


def silence_loss(opacity: Tensor) -> Tensor:
    """Mean opacity that is seen in photos without smoke; 0 is right (identity)."""
    return opacity.mean()
