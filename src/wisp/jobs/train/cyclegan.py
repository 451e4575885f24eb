"""The four networks of a CycleGAN and one optimizer step (Zhu et al. 2017, arXiv 1703.10593)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from wisp import losses
from wisp.config import TrainConfig
from wisp.data import seeded_generator
from wisp.engine import Engine
from wisp.jobs.train.diffaugment import augment
from wisp.jobs.train.ema import MovingAverage
from wisp.jobs.train.pool import ImagePool
from wisp.jobs.train.schedule import learning_rate_factor
from wisp.networks.discriminator import PatchDiscriminator
from wisp.networks.generator import ResnetGenerator
from wisp.networks.initialise import initialise

BETAS = (0.5, 0.999)

LOSS_NAMES = (
    "adversarial_clean_to_smoky",
    "adversarial_smoky_to_clean",
    "cycle_clean",
    "cycle_smoky",
    "identity_clean",
    "identity_smoky",
    "generator",
    "discriminator_smoky",
    "discriminator_clean",
)


class CycleGan(nn.Module):
    """Two generators and two discriminators; ``width`` and ``blocks`` as in the generator."""

    def __init__(
        self,
        width: int = 64,
        blocks: int = 9,
        discriminator_width: int = 64,
        spectral_norm: bool = False,
    ) -> None:
        super().__init__()
        self.clean_to_smoky = ResnetGenerator(width, blocks)
        self.smoky_to_clean = ResnetGenerator(width, blocks)
        self.smoky_discriminator = PatchDiscriminator(discriminator_width, spectral_norm)
        self.clean_discriminator = PatchDiscriminator(discriminator_width, spectral_norm)

    def generators(self) -> dict[str, nn.Module]:
        """The generators by name."""
        return {"clean_to_smoky": self.clean_to_smoky, "smoky_to_clean": self.smoky_to_clean}

    def discriminators(self) -> dict[str, nn.Module]:
        """The discriminators by name."""
        return {
            "smoky_discriminator": self.smoky_discriminator,
            "clean_discriminator": self.clean_discriminator,
        }


def _parameters(networks: Iterable[nn.Module]) -> Iterator[nn.Parameter]:
    for network in networks:
        yield from network.parameters()


@dataclasses.dataclass
class _Generated:
    smoky: Tensor
    clean: Tensor


class CycleGanTrainer:
    """Everything that changes while a CycleGAN is trained, and the step that changes it.

    All randomness is drawn from (``config.seed``, step), so that the state is the networks, the
    optimizers, the average, the pools and the step alone.
    """

    def __init__(self, config: TrainConfig, engine: Engine) -> None:
        self.config, self.engine = config, engine
        networks = CycleGan(
            config.width, config.blocks, config.discriminator_width, config.spectral_norm
        )
        initialise(networks, seeded_generator(config.seed, "initialise"))
        self.networks: CycleGan = networks.to(  # type: ignore[call-overload]
            engine.device, memory_format=torch.channels_last
        )
        self.averages = (
            {name: MovingAverage(net, config.ema) for name, net in self._generators().items()}
            if config.ema > 0
            else {}
        )
        self.generator_optimizer = self._adam(self._generators().values())
        self.discriminator_optimizer = self._adam(self._discriminators().values())
        self.smoky_pool, self.clean_pool = (ImagePool(config.pool_size) for _ in range(2))
        self.step = 0
        self.loss_sums = torch.zeros(len(LOSS_NAMES), device=engine.device)
        self.loss_count = 0

    def _generators(self) -> dict[str, nn.Module]:
        return self.networks.generators()

    def _discriminators(self) -> dict[str, nn.Module]:
        return self.networks.discriminators()

    def _adam(self, networks: Iterable[nn.Module]) -> torch.optim.Adam:
        fused = self.engine.device.type in ("cpu", "cuda")
        return torch.optim.Adam(
            list(_parameters(networks)), lr=self.config.learning_rate, betas=BETAS, fused=fused
        )

    def learning_rate_at(self, step: int) -> float:
        """The learning rate of optimizer step ``step`` (from 0)."""
        return self.config.learning_rate * learning_rate_factor(step, self.config.steps)

    def generators_in_use(self) -> dict[str, nn.Module]:
        """The generators to use: the averaged ones where there is an average."""
        if self.averages:
            return {name: average.network for name, average in self.averages.items()}
        return self._generators()

    def train_step(self, clean: Tensor, smoky: Tensor) -> None:
        """One optimizer step on ``clean`` and ``smoky`` [B, 3, S, S] in [-1, 1] on the device.

        The generators learn first, with the discriminators frozen; then the discriminators, from
        real images and the pools. Losses are summed up on the device: see :meth:`mean_losses`.
        """
        config = self.config
        for optimizer in (self.generator_optimizer, self.discriminator_optimizer):
            for group in optimizer.param_groups:
                group["lr"] = self.learning_rate_at(self.step)
        parts = [
            (
                a.contiguous(memory_format=torch.channels_last),
                b.contiguous(memory_format=torch.channels_last),
            )
            for a, b in zip(
                clean.chunk(config.accumulate), smoky.chunk(config.accumulate), strict=True
            )
        ]
        step_losses = torch.zeros_like(self.loss_sums)

        self._freeze_discriminators(True)
        generated = []
        for index, (clean_part, smoky_part) in enumerate(parts):
            values, fakes = self._generators_learn(clean_part, smoky_part, index)
            step_losses[:7] += values / len(parts)
            generated.append(fakes)
        self._update(self.generator_optimizer)

        self._freeze_discriminators(False)
        for index, (part, fakes) in enumerate(zip(parts, generated, strict=True)):
            values = self._discriminators_learn(*part, fakes, index)
            step_losses[7:] += values / len(parts)
        self._update(self.discriminator_optimizer)

        for name, average in self.averages.items():
            average.update(self._generators()[name], self.step)
        self.loss_sums += step_losses
        self.loss_count += 1
        self.step += 1

    def _freeze_discriminators(self, frozen: bool) -> None:
        for parameter in _parameters(self._discriminators().values()):
            parameter.requires_grad_(not frozen)

    def _update(self, optimizer: torch.optim.Optimizer) -> None:
        scaler = self.engine.scaler
        if scaler is None:
            optimizer.step()
        else:
            scaler.step(optimizer)
            if optimizer is self.discriminator_optimizer:
                scaler.update()
        optimizer.zero_grad(set_to_none=True)

    def _backward(self, loss: Tensor) -> None:
        loss = loss / self.config.accumulate
        scaler = self.engine.scaler
        (loss if scaler is None else scaler.scale(loss)).backward()

    def _both(self, network: nn.Module, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """``network`` of both; in one call where that is faster (images do not influence
        each other)."""
        if self.engine.prefers_batches and first.shape == second.shape:
            result = network(torch.cat((first, second)))
            return result[: len(first)], result[len(first) :]
        return network(first), network(second)

    def _shown(self, images: Tensor, *key: int | str) -> Tensor:
        """What a discriminator sees of ``images``."""
        if not self.config.diffaugment:
            return images
        return augment(images, seeded_generator(self.config.seed, "augment", self.step, *key))

    def _generators_learn(
        self, clean: Tensor, smoky: Tensor, part: int
    ) -> tuple[Tensor, _Generated]:
        nets, config = self.networks, self.config
        zero = clean.new_zeros(())
        identity_smoky = identity_clean = zero
        with self.engine.autocast():
            if config.lambda_identity * config.lambda_cycle > 0:
                fake_smoky, same_smoky = self._both(nets.clean_to_smoky, clean, smoky)
                fake_clean, same_clean = self._both(nets.smoky_to_clean, smoky, clean)
                identity_smoky = losses.identity_loss(same_smoky, smoky)
                identity_clean = losses.identity_loss(same_clean, clean)
            else:
                fake_smoky = nets.clean_to_smoky(clean)
                fake_clean = nets.smoky_to_clean(smoky)
            back_clean = nets.smoky_to_clean(fake_smoky)
            back_smoky = nets.clean_to_smoky(fake_clean)
            smoky_score = nets.smoky_discriminator(self._shown(fake_smoky, "smoky", part))
            clean_score = nets.clean_discriminator(self._shown(fake_clean, "clean", part))
            to_smoky = losses.generator_loss(smoky_score)
            to_clean = losses.generator_loss(clean_score)
            cycle_clean = losses.cycle_loss(back_clean, clean)
            cycle_smoky = losses.cycle_loss(back_smoky, smoky)
            total = losses.generator_objective(
                to_smoky + to_clean,
                cycle_clean + cycle_smoky,
                identity_clean + identity_smoky,
                lambda_cycle=config.lambda_cycle,
                lambda_identity=config.lambda_identity,
            )
        self._backward(total)
        values = (
            to_smoky,
            to_clean,
            cycle_clean,
            cycle_smoky,
            identity_clean,
            identity_smoky,
            total,
        )
        return torch.stack(values).detach(), _Generated(fake_smoky.detach(), fake_clean.detach())

    def _discriminators_learn(
        self, clean: Tensor, smoky: Tensor, generated: _Generated, part: int
    ) -> Tensor:
        draws = seeded_generator(self.config.seed, "pool", self.step, part)
        sides = (
            ("smoky", self.networks.smoky_discriminator, smoky, self.smoky_pool, generated.smoky),
            ("clean", self.networks.clean_discriminator, clean, self.clean_pool, generated.clean),
        )
        values = []
        for name, network, real, pool, fake in sides:
            shown = pool.query(fake, draws)
            with self.engine.autocast():
                real_score, fake_score = self._both(
                    network,
                    self._shown(real, name, "real", part),
                    self._shown(shown, name, "pool", part),
                )
                loss = losses.discriminator_loss(real_score, fake_score)
            self._backward(loss)
            values.append(loss.detach())
        return torch.stack(values)

    def mean_losses(self) -> dict[str, float]:
        """The mean of each loss over the steps since :meth:`forget_losses` (moves to the CPU)."""
        means = (self.loss_sums / max(1, self.loss_count)).tolist()
        return dict(zip(LOSS_NAMES, means, strict=True))

    def forget_losses(self) -> None:
        """Begin a new mean."""
        self.loss_sums.zero_()
        self.loss_count = 0
