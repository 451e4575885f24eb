"""``wisp train``: learn from unpaired photos to put smoke into clean ones."""

from wisp.jobs.train.loop import run
from wisp.jobs.train.result import TrainResult

__all__ = ["TrainResult", "run"]
