"""``wisp train``: learn from unpaired photos to put smoke into clean ones."""

from wisp.jobs.train.loop import TrainResult, run

__all__ = ["TrainResult", "run"]
