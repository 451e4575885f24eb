"""What every CycleGAN trains: two generators against two discriminators."""

from __future__ import annotations

from torch import nn

from wisp.config import TrainConfig
from wisp.engine import Engine
from wisp.jobs.train.trainer import Trainer

_GENERATORS = ("clean_to_smoky", "smoky_to_clean")
_DISCRIMINATORS = ("smoky_discriminator", "clean_discriminator")


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
        super().__init__(
            config, engine, loss_names, networks, dict.fromkeys(_GENERATORS, config.ema)
        )
        self.generators, self.discriminators = (
            {name: self.networks.get_submodule(name) for name in names}
            for names in (_GENERATORS, _DISCRIMINATORS)
        )
        self.optimizers = {
            "generators": self._adam(self.generators, betas=betas),
            "discriminators": self._adam(self.discriminators, betas=betas),
        }

    def _freeze_discriminators(self, frozen: bool) -> None:
        for network in self.discriminators.values():
            network.requires_grad_(not frozen)
