"""The CycleGAN objective as functions of tensors (Zhu et al. 2017, arXiv 1703.10593, section 3).

Each takes float tensors of any shape and gives a scalar, the mean over all elements.
"""

from __future__ import annotations

from torch import Tensor


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
