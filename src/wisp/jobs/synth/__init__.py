"""The synth job: a labelled smoke data set from clean photos."""

from wisp.jobs.synth.job import SynthResult, run

__all__ = ["SynthResult", "run"]
