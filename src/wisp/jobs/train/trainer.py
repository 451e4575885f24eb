"""What every kind of training offers to the loop that drives it."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from wisp.config import TrainConfig
from wisp.data import StepLoader
from wisp.engine import Engine
from wisp.jobs.train.ema import MovingAverage
from wisp.jobs.train.photos import Photos
from wisp.jobs.train.samples import Sampled
from wisp.jobs.train.schedule import learning_rate_factor

Network = TypeVar("Network", bound=nn.Module)
Batch = Mapping[str, Tensor]
Optimizers = dict[str, tuple[torch.optim.Optimizer, list[str]]]
"""Each optimizer with the names of its parameters, in its order."""


class Trainer(abc.ABC):
    """Everything that changes while a model is trained, and the step that changes it.

    All randomness is drawn from (``config.seed``, step), so that the state is the networks, the
    optimizers, the averages, :meth:`extra_state` and the step alone.
    """

    kind: ClassVar[str]
    """What ``--model`` calls it."""
    optimizers: Optimizers
    """By name."""

    def __init__(
        self,
        config: TrainConfig,
        engine: Engine,
        loss_names: tuple[str, ...],
        networks: nn.Module,
        averages: Mapping[str, float],
    ) -> None:
        """``networks`` go to the device; some are averaged, with the decay in ``averages`` > 0."""
        self.config, self.engine, self.loss_names = config, engine, loss_names
        self.networks = networks.to(  # type: ignore[call-overload]
            engine.device, memory_format=torch.channels_last
        )
        self.averages = {
            name: MovingAverage(self.networks.get_submodule(name), decay)
            for name, decay in averages.items()
            if decay > 0
        }
        self.step = 0
        self.loss_sums = torch.zeros(len(self.loss_names), device=engine.device)
        self.loss_count = 0

    @abc.abstractmethod
    def loader(self, photos: Photos, steps: int, workers: int) -> StepLoader[dict[str, Tensor]]:
        """The batches of the next ``steps`` steps."""

    @abc.abstractmethod
    def train_step(self, batch: Batch) -> None:
        """One optimizer step on a batch that is on the device; see :meth:`count_losses`."""

    @abc.abstractmethod
    def description(self) -> dict[str, Any]:
        """JSON values for the checkpoint: all that is needed, beside the scale of the photos, to
        rebuild the networks."""

    @abc.abstractmethod
    def note(self, means: Mapping[str, float]) -> str:
        """The mean losses in a few words, for the progress line."""

    @abc.abstractmethod
    def samples(self, clean: Tensor, smoky: Tensor) -> Sampled:
        """A picture of fixed photos, [N, 3, S, S] of either domain, and what is wrong with it."""

    @abc.abstractmethod
    def to_smoky(self, clean: Tensor) -> Tensor:
        """Clean photos [N, 3, S, S] in [-1, 1] as smoky ones, on the CPU."""

    def parents(self) -> dict[str, Path]:
        """Runs whose photos this training sees besides its own folders'."""
        return {}

    def extra_state(self) -> dict[str, Tensor]:
        """Tensors to go on from beyond networks and optimizers."""
        return {}

    def load_extra_state(self, tensors: Mapping[str, Tensor]) -> None:  # noqa: B027 - may do nothing
        """Take up what :meth:`extra_state` gave, which is among ``tensors``."""

    def in_use(self, name: str, kind: type[Network]) -> Network:
        """A network as it is to be used: averaged where there is an average."""
        average = self.averages.get(name)
        network = average.network if average else self.networks.get_submodule(name)
        assert isinstance(network, kind)
        return network

    def _adam(
        self,
        networks: Mapping[str, nn.Module],
        kind: type[torch.optim.Adam] = torch.optim.Adam,
        **options: Any,  # noqa: ANN401 - of ``kind``
    ) -> tuple[torch.optim.Optimizer, list[str]]:
        """An optimizer of all of ``networks``, and ``NETWORK.PARAMETER`` of each parameter."""
        named = {
            f"{name}.{key}": parameter
            for name, network in networks.items()
            for key, parameter in network.named_parameters()
        }
        fused = self.engine.device.type in ("cpu", "cuda")
        rate = self.config.learning_rate
        return kind(named.values(), lr=rate, fused=fused, **options), list(named)

    def _set_learning_rates(self, **factors: float) -> None:
        """Those of this step; ``factors`` are of optimizers by name, 1 if not given."""
        for name, (optimizer, _) in self.optimizers.items():
            for group in optimizer.param_groups:
                group["lr"] = self.learning_rate_at(self.step) * factors.get(name, 1.0)

    def _update(self, name: str) -> None:
        """Let an optimizer take its step, and forget the gradients."""
        optimizer, _ = self.optimizers[name]
        scaler = self.engine.scaler
        if scaler is None:
            optimizer.step()
        else:
            scaler.step(optimizer)
        optimizer.zero_grad(set_to_none=True)

    def learning_rate_at(self, step: int) -> float:
        """The learning rate of optimizer step ``step`` (from 0)."""
        return self.config.learning_rate * learning_rate_factor(step, self.config.steps)

    def count_losses(self, values: Tensor) -> None:
        """Take in the losses of a step, in the order of ``loss_names``, and its weights in the
        averages; ends the step."""
        for name, average in self.averages.items():
            average.update(self.networks.get_submodule(name), self.step)
        self.loss_sums += values
        self.loss_count += 1
        self.step += 1

    def mean_losses(self) -> dict[str, float]:
        """The mean of each loss over the steps since :meth:`forget_losses` (moves to the CPU)."""
        means = (self.loss_sums / max(1, self.loss_count)).tolist()
        return dict(zip(self.loss_names, means, strict=True))

    def forget_losses(self) -> None:
        """Begin a new mean."""
        self.loss_sums.zero_()
        self.loss_count = 0


def fast(images: Tensor) -> Tensor:
    """``images`` [B, 3, H, W] in the layout that convolutions are faster in."""
    return images.contiguous(memory_format=torch.channels_last)
