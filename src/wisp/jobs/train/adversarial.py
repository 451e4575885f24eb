"""What every CycleGAN trains: two generators against two discriminators."""

from __future__ import annotations

import torch
from torch import nn

from wisp.config import TrainConfig
from wisp.engine import Engine
from wisp.jobs.train.ema import MovingAverage
from wisp.jobs.train.trainer import Trainer


class AdversarialTrainer(Trainer):
    """Trains the generators ``clean_to_smoky`` and ``smoky_to_clean`` of ``networks`` against its
    ``smoky_discriminator`` and ``clean_discriminator``."""

    kind = "cyclegan"

    def __init__(
        self,
        config: TrainConfig,
        engine: Engine,
        loss_names: tuple[str, ...],
        networks: nn.Module,
        betas: tuple[float, float],
    ) -> None:
        super().__init__(config, engine, loss_names)
        self.networks = networks.to(  # type: ignore[call-overload]
            engine.device, memory_format=torch.channels_last
        )
        self.generators, self.discriminators = (
            {name: self.networks.get_submodule(name) for name in names}
            for names in (
                ("clean_to_smoky", "smoky_to_clean"),
                ("smoky_discriminator", "clean_discriminator"),
            )
        )
        self.averages = (
            {name: MovingAverage(net, config.ema) for name, net in self.generators.items()}
            if config.ema > 0
            else {}
        )
        self.optimizers = {
            "generators": self._adam(self.generators, betas=betas),
            "discriminators": self._adam(self.discriminators, betas=betas),
        }

    def generators_in_use(self) -> dict[str, nn.Module]:
        """The generators to use: the averaged ones where there is an average."""
        averaged = {name: average.network for name, average in self.averages.items()}
        return averaged or self.generators

    def _freeze_discriminators(self, frozen: bool) -> None:
        for network in self.discriminators.values():
            network.requires_grad_(not frozen)
