"""What a detector or a generator is worth, as pure functions of arrays.

Every detector metric takes optional ``weights`` [..., N], how often each picture counts; that
makes the bootstrap over groups one matrix product instead of thousands of passes.
"""

from wisp.metrics.bootstrap import (
    Interval,
    auroc_interval,
    bootstrap_intervals,
    class_support,
    difference_intervals,
    mean_of,
)
from wisp.metrics.calibration import Calibration, CalibrationBin, brier_score, calibration
from wisp.metrics.correlation import rank_correlation
from wisp.metrics.decisions import (
    accuracy,
    balanced_accuracy,
    choose_threshold,
    confusion,
    decide,
    rate,
)
from wisp.metrics.distance import frechet_distance, kernel_distance
from wisp.metrics.ranking import (
    Curve,
    RankingStatistic,
    auroc,
    average_precision,
    macro,
    precision_recall_curve,
    roc_curve,
    tpr_at_fpr,
)
from wisp.metrics.within import auroc_within

__all__ = [
    "Calibration",
    "CalibrationBin",
    "Curve",
    "Interval",
    "RankingStatistic",
    "accuracy",
    "auroc",
    "auroc_interval",
    "auroc_within",
    "average_precision",
    "balanced_accuracy",
    "bootstrap_intervals",
    "brier_score",
    "calibration",
    "choose_threshold",
    "class_support",
    "confusion",
    "decide",
    "difference_intervals",
    "frechet_distance",
    "kernel_distance",
    "macro",
    "mean_of",
    "precision_recall_curve",
    "rank_correlation",
    "rate",
    "roc_curve",
    "tpr_at_fpr",
]
