"""The commands as functions: each takes what its flags are called, does the job, writes the report.

A function's signature *is* its configuration dataclass, so the command line, Python and
``config.json`` cannot drift apart.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from wisp.config import (
    ClassifyConfig,
    CompareConfig,
    DemoConfig,
    EvaluateConfig,
    PredictConfig,
    SynthConfig,
    TrainConfig,
)

if TYPE_CHECKING:
    from wisp.demonstration import DemoResult
    from wisp.jobs.classify import ClassifyResult
    from wisp.jobs.compare import CompareResult
    from wisp.jobs.evaluate import EvaluateResult
    from wisp.jobs.predict import PredictResult
    from wisp.jobs.synth import SynthResult
    from wisp.jobs.train import TrainResult

P = ParamSpec("P")
C = TypeVar("C")
R = TypeVar("R")


def _takes(config: Callable[P, C]) -> Callable[[Callable[[C], R]], Callable[P, R]]:
    """Turn a function of a configuration into a function of the configuration's fields."""

    def decorate(job: Callable[[C], R]) -> Callable[P, R]:
        @functools.wraps(job)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            return job(config(*args, **kwargs))

        call.__signature__ = inspect.signature(config)  # type: ignore[attr-defined]
        call.__annotations__ = {}
        return call

    return decorate


def _report(run: Path) -> Path:
    from wisp.report import write_report

    return write_report(run)


@_takes(TrainConfig)
def train(config: TrainConfig) -> TrainResult:
    """Learn from unpaired photos to put smoke into clean ones; see :class:`TrainConfig`."""
    from wisp.jobs import train as job

    result = job.run(config)
    _report(result.run)
    return result


@_takes(SynthConfig)
def synth(config: SynthConfig) -> SynthResult:
    """Make a labelled smoke data set from clean photos; see :class:`SynthConfig`."""
    from wisp.jobs import synth as job

    result = job.run(config)
    _report(result.run)
    return result


@_takes(ClassifyConfig)
def classify(config: ClassifyConfig) -> ClassifyResult:
    """Train a smoke detector on labelled data sets; see :class:`ClassifyConfig`."""
    from wisp.jobs import classify as job

    result = job.run(config)
    _report(result.run)
    return result


@_takes(EvaluateConfig)
def evaluate(config: EvaluateConfig) -> EvaluateResult:
    """Measure a detector on real photos; see :class:`EvaluateConfig`."""
    from wisp.jobs import evaluate as job

    result = job.run(config)
    _report(result.run)
    return result


@_takes(CompareConfig)
def compare(config: CompareConfig) -> CompareResult:
    """Find out which smoke teaches a detector best; see :class:`CompareConfig`."""
    from wisp.jobs import compare as job

    result = job.run(config)
    for made in result.runs:
        _report(made)
    _report(result.run)
    return result


@_takes(PredictConfig)
def predict(config: PredictConfig) -> PredictResult:
    """Ask a detector about pictures; see :class:`PredictConfig`."""
    from wisp.jobs import predict as job

    return job.run(config)


@_takes(DemoConfig)
def demo(config: DemoConfig) -> DemoResult:
    """Run the whole loop on a small rendered world; see :class:`DemoConfig`."""
    from wisp import demonstration as job

    return job.run(config)
