"""The learning rate over time (Zhu et al. 2017, section 4)."""

from __future__ import annotations


def learning_rate_factor(step: int, steps: int) -> float:
    """What the learning rate of optimizer step ``step`` (0 … steps - 1) is multiplied with.

    1 in the first half, then falling linearly towards 0, which step ``steps`` would reach.
    """
    if not 0 <= step < steps:
        raise ValueError(f"step {step} is not in 0 … {steps - 1}")
    constant = steps // 2
    return 1.0 if step < constant else (steps - step) / (steps - constant)
