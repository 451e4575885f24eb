"""Trained detectors: on disk, as a network of torch, and as a graph that needs none."""

from typing import TYPE_CHECKING

from wisp.detectors.graph import ask_graph, has_graph
from wisp.detectors.settings import (
    MODEL_FILE,
    SETTINGS_FILE,
    DetectorSettings,
    Scores,
    open_settings,
    worker_count,
)
from wisp.lazily import lazily

if TYPE_CHECKING:
    from wisp.detectors.network import (
        load_detector,
        logits_of,
        read_square,
        save_detector,
        score_pictures,
    )

_OF_TORCH = ("load_detector", "logits_of", "read_square", "save_detector", "score_pictures")
__getattr__ = lazily(__name__, dict.fromkeys(_OF_TORCH, "wisp.detectors.network"))

__all__ = [
    "MODEL_FILE",
    "SETTINGS_FILE",
    "DetectorSettings",
    "Scores",
    "ask_graph",
    "has_graph",
    "load_detector",
    "logits_of",
    "open_settings",
    "read_square",
    "save_detector",
    "score_pictures",
    "worker_count",
]
