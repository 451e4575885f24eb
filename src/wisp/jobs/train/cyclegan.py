"""The four networks of a CycleGAN and one optimizer step (Zhu et al. 2017, arXiv 1703.10593)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from wisp import losses
from wisp.config import RepaintingConfig
from wisp.data import StepLoader, seeded_generator
from wisp.engine import Engine
from wisp.jobs.train.adversarial import AdversarialTrainer
from wisp.jobs.train.diffaugment import augment
from wisp.jobs.train.photos import Photos
from wisp.jobs.train.pool import ImagePool
from wisp.jobs.train.samples import Sampled, fault_of, grid, there_and_back, translate
from wisp.jobs.train.trainer import Batch, fast
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


@dataclasses.dataclass
class _Generated:
    smoky: Tensor
    clean: Tensor


class CycleGanTrainer(AdversarialTrainer):
    """Trains generators that repaint; the extra state is the image pools."""

    networks: CycleGan
    config: RepaintingConfig

    def __init__(self, config: RepaintingConfig, engine: Engine) -> None:
        networks = CycleGan(
            config.width, config.blocks, config.discriminator_width, config.spectral_norm
        )
        initialise(networks, seeded_generator(config.seed, "initialise"))
        super().__init__(config, engine, LOSS_NAMES, networks, BETAS)
        self.smoky_pool, self.clean_pool = (ImagePool(config.pool_size) for _ in range(2))

    def loader(self, photos: Photos, steps: int, workers: int) -> StepLoader[dict[str, Tensor]]:
        """Crops of both domains."""
        return photos.training_set(self.config).loader(self.step, steps, workers)

    def extra_state(self) -> dict[str, Tensor]:
        """The image pools."""
        return {
            f"pool.{name}.{key}": value
            for name, pool in self._pools().items()
            for key, value in pool.state().items()
        }

    def load_extra_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Fill the image pools."""
        for name, pool in self._pools().items():
            prefix = f"pool.{name}."
            kept = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
            pool.load_state(kept, self.engine.device)

    def _pools(self) -> dict[str, ImagePool]:
        return {"smoky": self.smoky_pool, "clean": self.clean_pool}

    def description(self) -> dict[str, Any]:
        """Sizes of the networks, and whether weights are averaged."""
        config = self.config
        return {
            "blocks": config.blocks,
            "width": config.width,
            "discriminator_width": config.discriminator_width,
            "ema": config.ema,
        }

    def note(self, means: Mapping[str, float]) -> str:
        """Generators and discriminators."""
        return (
            f"generators {means['generator']:.2f}, discriminators "
            f"{means['discriminator_smoky']:.3f} {means['discriminator_clean']:.3f}"
        )

    def samples(self, clean: Tensor, smoky: Tensor) -> Sampled:
        """A row per photo: there and back, in both directions."""
        to_smoky, to_clean = (self.in_use(name, nn.Module) for name in self.generators)
        from_clean = there_and_back(to_smoky, to_clean, clean, self.engine)
        from_smoky = there_and_back(to_clean, to_smoky, smoky, self.engine)
        faults = {"smoky": fault_of(from_clean), "clean": fault_of(from_smoky)}
        return Sampled(grid(from_clean, from_smoky), faults)

    def to_smoky(self, clean: Tensor) -> Tensor:
        """Through the generator in use."""
        return translate(self.in_use("clean_to_smoky", nn.Module), clean, self.engine)

    def train_step(self, batch: Batch) -> None:
        """One optimizer step on ``clean`` and ``smoky`` [B, 3, S, S] in [-1, 1] on the device.

        The generators learn first, with the discriminators frozen; then the discriminators, from
        real images and the pools. Losses are summed up on the device: see :meth:`mean_losses`.
        """
        config = self.config
        self._set_learning_rates()
        clean, smoky = (
            [fast(part) for part in batch[domain].chunk(config.accumulate)]
            for domain in ("clean", "smoky")
        )
        parts = list(zip(clean, smoky, strict=True))
        step_losses = torch.zeros_like(self.loss_sums)

        self._freeze_discriminators(True)
        generated = []
        for index, (clean_part, smoky_part) in enumerate(parts):
            values, fakes = self._generators_learn(clean_part, smoky_part, index)
            step_losses[:7] += values / len(parts)
            generated.append(fakes)
        self._update("generators")

        self._freeze_discriminators(False)
        for index, (part, fakes) in enumerate(zip(parts, generated, strict=True)):
            values = self._discriminators_learn(*part, fakes, index)
            step_losses[7:] += values / len(parts)
        self._update("discriminators")
        if self.engine.scaler is not None:
            self.engine.scaler.update()
        self.count_losses(step_losses)

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
