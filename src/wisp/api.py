"""The commands as functions: each takes what its flags are called, does the job, writes the report.

A function's signature *is* its configuration dataclass, so the command line, Python and
``config.json`` cannot drift apart.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, cast, overload

from wisp.config import (
    ClassifyConfig,
    CompareConfig,
    ComposingConfig,
    DemoConfig,
    EvaluateConfig,
    LayeredConfig,
    PredictConfig,
    RepaintingConfig,
    SynthConfig,
    TrainConfig,
    train_config_taking,
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
Q = ParamSpec("Q")
S = ParamSpec("S")
C = TypeVar("C")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


def _takes(
    config: Callable[P, C], *, reports: bool = True
) -> Callable[[Callable[[], Callable[[C], R]]], Callable[P, R]]:
    """Turn a function that imports a job into one that takes the fields of its configuration, does
    the job and, where it ``reports``, writes the report of each run that was made."""

    def decorate(job: Callable[[], Callable[[C], R]]) -> Callable[P, R]:
        @functools.wraps(job)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            made = config(*args, **kwargs)  # first: what cannot work is refused without torch
            result = job()(made)
            if reports:
                _report(result)
            return result

        call.__signature__ = inspect.signature(config)  # type: ignore[attr-defined]
        call.__annotations__ = {}
        return call

    return decorate


def _report(result: Any) -> None:  # noqa: ANN401 - of any job that makes runs
    from wisp.report import write_report

    for run in (*getattr(result, "runs", ()), result.run):
        write_report(run)


class _Either(Protocol[P, Q, S, R_co]):
    """A function of the fields of one of three configurations."""

    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...
    @overload
    def __call__(self, *args: Q.args, **kwargs: Q.kwargs) -> R_co: ...
    @overload
    def __call__(self, *args: S.args, **kwargs: S.kwargs) -> R_co: ...


def _either(
    first: Callable[P, Any], second: Callable[Q, Any], third: Callable[S, Any]
) -> Callable[[Callable[..., R]], _Either[P, Q, S, R]]:
    """Say of a function that it takes the fields of ``first``, the default, or of another.

    A type checker does not see that another must be asked for; at run time a sentence says so.
    """
    taken: dict[str, inspect.Parameter] = {}
    for config in (first, second, third):
        for name, one in inspect.signature(config).parameters.items():
            before = taken.setdefault(name, one).annotation
            if one.annotation not in before.split(" | "):
                taken[name] = taken[name].replace(annotation=f"{before} | {one.annotation}")

    def decorate(call: Callable[..., R]) -> _Either[P, Q, S, R]:
        call.__signature__ = inspect.Signature(list(taken.values()))  # type: ignore[attr-defined]
        return cast(_Either[P, Q, S, R], call)

    return decorate


def _train_config(*args: Any, **kwargs: Any) -> TrainConfig:  # noqa: ANN401 - fields of its class
    return train_config_taking(kwargs)(*args, **kwargs)


@_either(ComposingConfig, RepaintingConfig, LayeredConfig)
@_takes(_train_config)
def train() -> Callable[[TrainConfig], TrainResult]:
    """Learn from unpaired photos to put smoke into clean ones; see :class:`TrainConfig`."""
    from wisp.jobs import train as job

    return job.run


@_takes(SynthConfig)
def synth() -> Callable[[SynthConfig], SynthResult]:
    """Make a labelled smoke data set from clean photos; see :class:`SynthConfig`."""
    from wisp.jobs import synth as job

    return job.run


@_takes(ClassifyConfig)
def classify() -> Callable[[ClassifyConfig], ClassifyResult]:
    """Train a smoke detector on labelled data sets; see :class:`ClassifyConfig`."""
    from wisp.jobs import classify as job

    return job.run


@_takes(EvaluateConfig)
def evaluate() -> Callable[[EvaluateConfig], EvaluateResult]:
    """Measure a detector on real photos; see :class:`EvaluateConfig`."""
    from wisp.jobs import evaluate as job

    return job.run


@_takes(CompareConfig)
def compare() -> Callable[[CompareConfig], CompareResult]:
    """Find out which smoke teaches a detector best; see :class:`CompareConfig`."""
    from wisp.jobs import compare as job

    return job.run


@_takes(PredictConfig, reports=False)
def predict() -> Callable[[PredictConfig], PredictResult]:
    """Ask a detector about pictures; see :class:`PredictConfig`."""
    from wisp.jobs import predict as job

    return job.run


@_takes(DemoConfig, reports=False)
def demo() -> Callable[[DemoConfig], DemoResult]:
    """Run the whole loop on a small rendered world; see :class:`DemoConfig`."""
    from wisp import demonstration as job

    return job.run
