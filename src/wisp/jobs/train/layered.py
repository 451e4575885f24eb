"""Training R, which lifts smoke off photos: one optimizer step, and what it is made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wisp import losses
from wisp.config import LayeredConfig
from wisp.data import SmokePairs, StepLoader, seeded_generator
from wisp.engine import Engine
from wisp.jobs.train.ema import MovingAverage
from wisp.jobs.train.photos import Photos, load_middle
from wisp.jobs.train.samples import Sampled, columns
from wisp.jobs.train.trainer import Batch, Optimizers, Trainer, all_parameters, parameter_names
from wisp.networks.backbone import Backbone
from wisp.networks.discriminator import PatchDiscriminator
from wisp.networks.initialise import initialise
from wisp.networks.lifter import STRIDE, SmokeLifter, compose, enlarged, take_apart
from wisp.smoke import ProceduralSmoke, opacity, remove_smoke

LOSS_NAMES = ("opacity", "airlight", "recomposition", "identity", "cycle", "lifter")
ADVERSARIAL_NAMES = (
    "adversarial_smoky",
    "adversarial_clean",
    "discriminator_smoky",
    "discriminator_clean",
)
WARM_UP = 0.6
"""Part of the steps before R learns from what it lifts itself."""
_BACKBONE_RATE = 0.2
_DONORS = 16
_SILENT = 0.005
_SMALLEST_GRID_PX = 128


class Layered(nn.Module):
    """R and, for the adversarial term, a discriminator per domain."""

    def __init__(self, backbone: Backbone, discriminator_width: int, spectral_norm: bool) -> None:
        super().__init__()
        self.lifter = SmokeLifter(backbone)
        self.smoky_discriminator = PatchDiscriminator(discriminator_width, spectral_norm)
        self.clean_discriminator = PatchDiscriminator(discriminator_width, spectral_norm)

    def discriminators(self) -> dict[str, nn.Module]:
        """The discriminators by name."""
        return {
            "smoky_discriminator": self.smoky_discriminator,
            "clean_discriminator": self.clean_discriminator,
        }


class LayeredTrainer(Trainer):
    """Teaches R on pairs with known smoke, and on what it lifts from real smoky photos.

    Terms, each with a weight of its own (0: off): *supervised* (opacity, airlight and recomposition
    on clean photos under procedural smoke); *identity* (no smoke in clean photos); *cycle* (smoke
    lifted from a smoky photo and laid over a clean one is lifted again); *adversarial* (clean
    photos under lifted smoke look smoky, smoky photos without it look clean).
    """

    kind = "layered"
    config: LayeredConfig
    networks: Layered

    def __init__(self, config: LayeredConfig, engine: Engine, backbone: Backbone) -> None:
        self.adversarial = config.lift_adversarial > 0
        names = LOSS_NAMES + (ADVERSARIAL_NAMES if self.adversarial else ())
        super().__init__(config, engine, names)
        networks = Layered(backbone, config.discriminator_width, config.spectral_norm)
        for name, network in networks.discriminators().items():
            initialise(network, seeded_generator(config.seed, "initialise", name))
        self.networks = networks.to(  # type: ignore[call-overload]
            engine.device, memory_format=torch.channels_last
        )
        self.networks.train()
        # A short training must forget its beginning: the average spans a tenth of it.
        decay = min(config.ema, 1 - 10 / max(11, config.steps))
        lifter = self.networks.lifter
        self.averages = {"lifter": MovingAverage(lifter, decay)} if config.ema > 0 else {}
        decoder = {"blocks": lifter.blocks, "head": lifter.head}
        self._optimizers: Optimizers = {
            "decoder": self._adam(decoder, (0.9, 0.999)),
            "backbone": self._adam({"backbone": lifter.backbone}, (0.9, 0.999)),
        }
        if self.adversarial:
            self._optimizers["discriminators"] = self._adam(networks.discriminators(), (0.5, 0.999))
        self._donors: Tensor | None = None

    def _adam(
        self, networks: Mapping[str, nn.Module], betas: tuple[float, float]
    ) -> tuple[torch.optim.Optimizer, list[str]]:
        fused = self.engine.device.type in ("cpu", "cuda")
        optimizer = torch.optim.AdamW(
            all_parameters(networks.values()),
            lr=self.config.learning_rate,
            betas=betas,
            weight_decay=1e-4,
            fused=fused,
        )
        return optimizer, parameter_names(networks)

    def loader(self, photos: Photos, steps: int, workers: int) -> StepLoader[dict[str, Tensor]]:
        """Crops of both domains, and the clean ones under procedural smoke."""
        self._donors = load_middle(photos.paths("smoky", "train")[:_DONORS], self.config)
        # A grid no finer than the crops need: drawing the smoke would take as long as learning it.
        smoke = ProceduralSmoke(grid_px=max(_SMALLEST_GRID_PX, self.config.size))
        pairs = SmokePairs(photos.training_set(self.config), smoke)
        return pairs.loader(self.step, steps, workers)

    def optimizers(self) -> Optimizers:
        """R's way up, its backbone (which learns slower), and the discriminators."""
        return self._optimizers

    def description(self) -> dict[str, Any]:
        """What R is built of, and the scale photos are brought to."""
        lifter, config = self.networks.lifter, self.config
        return {
            "backbone": lifter.backbone.name,
            "channels": lifter.channels,
            "size": config.size,
            "load_size": config.load_size_px,
            "fit": config.fit,
        }

    def note(self, means: Mapping[str, float]) -> str:
        """How far R is off, and what it sees where nothing is."""
        return f"opacity off by {means['opacity']:.3f}, seen in clean {means['identity']:.4f}"

    def lifter_in_use(self) -> SmokeLifter:
        """R as it is to be used: averaged where there is an average."""
        network = self.averages["lifter"].network if self.averages else self.networks.lifter
        assert isinstance(network, SmokeLifter)
        return network.eval()

    def train_step(self, batch: Batch) -> None:
        """One optimizer step on ``clean``, ``smoky``, ``veiled`` [B, 3, S, S] with the ``opacity``
        [B, 1, S, S] and ``airlight`` [B, 3, S, S] of the last, on the device."""
        rate = self.learning_rate_at(self.step)
        for name, (optimizer, _) in self._optimizers.items():
            for group in optimizer.param_groups:
                group["lr"] = rate * (_BACKBONE_RATE if name == "backbone" else 1.0)
        lifter = self.networks.lifter.train()
        for parameter in all_parameters(self.networks.discriminators().values()):
            parameter.requires_grad_(False)
        with self.engine.autocast():
            values, relit, cleared = self._lifter_losses(lifter, batch)
            weights = self._weights()
            total = sum(
                (weights[name] * value for name, value in values.items() if name in weights),
                torch.zeros((), device=self.engine.device),
            )
        torch.autograd.backward(total)
        self._update("decoder", "backbone")
        values["lifter"] = total
        if self.adversarial:
            values |= self._discriminators_learn(batch, relit, cleared)
        if self.averages:
            self.averages["lifter"].update(lifter, self.step)
        zero = torch.zeros((), device=self.engine.device)
        self.count_losses(
            torch.stack([values.get(name, zero).detach().float() for name in self.loss_names])
        )

    def _weights(self) -> dict[str, float]:
        config = self.config
        own = float(self.step >= WARM_UP * config.steps)
        return {
            "opacity": config.lift_supervised,
            "airlight": 0.5 * config.lift_supervised,
            "recomposition": config.lift_supervised,
            "identity": config.lift_identity,
            "cycle": own * config.lift_cycle,
            "adversarial_smoky": own * config.lift_adversarial,
            "adversarial_clean": own * config.lift_adversarial,
        }

    def _update(self, *names: str) -> None:
        for name in names:
            optimizer, _ = self._optimizers[name]
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    def _lifter_losses(
        self, lifter: SmokeLifter, batch: Batch
    ) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """The losses by name, clean photos under lifted smoke, and smoky photos without it."""
        clean, veiled = batch["clean"], batch["veiled"]
        count = len(clean)
        # Half the photos are enough to say how silent R is, and what it lifts itself: time is
        # better spent on more steps.
        half = slice(0, max(1, count // 2))
        seen, air = lifter.opacity_and_airlight(torch.cat([veiled, clean[half]]))
        true, colour = (F.avg_pool2d(batch[name], STRIDE) for name in ("opacity", "airlight"))
        values = {
            "opacity": losses.opacity_loss(seen[:count], true),
            "airlight": losses.airlight_loss(air[:count], colour, true),
            "recomposition": losses.recomposition_loss(
                F.avg_pool2d(clean, STRIDE), F.avg_pool2d(veiled, STRIDE), seen[:count], air[:count]
            ),
            "identity": losses.silence_loss(seen[count:]),
        }
        weights = self._weights()
        if weights["cycle"] == weights["adversarial_smoky"] == 0 and not self.adversarial:
            return values, veiled, clean
        clean, smoky = clean[half], batch["smoky"][half]
        seen, air = lifter.opacity_and_airlight(smoky)
        cleared = take_apart(smoky, seen, air)
        # Another photo's smoke, mirrored by chance, over each clean photo.
        draws = seeded_generator(self.config.seed, "mirror", self.step)
        turn = float(torch.rand((), generator=draws)) < 0.5
        seen, air = (part.roll(1, 0).flip(-1) if turn else part.roll(1, 0) for part in (seen, air))
        relit = compose(clean, seen, air)
        if weights["cycle"] > 0:
            again, again_air = lifter.opacity_and_airlight(relit.detach())
            values["cycle"] = losses.opacity_loss(again, seen.detach()) + 0.5 * (
                losses.airlight_loss(again_air, air.detach(), seen.detach())
            )
        if weights["adversarial_smoky"] > 0:
            nets = self.networks
            values["adversarial_smoky"] = losses.generator_loss(nets.smoky_discriminator(relit))
            values["adversarial_clean"] = losses.generator_loss(nets.clean_discriminator(cleared))
        return values, relit.detach(), cleared.detach()

    def _discriminators_learn(
        self, batch: Batch, relit: Tensor, cleared: Tensor
    ) -> dict[str, Tensor]:
        for parameter in all_parameters(self.networks.discriminators().values()):
            parameter.requires_grad_(True)
        values = {}
        for domain, network, generated in (
            ("smoky", self.networks.smoky_discriminator, relit),
            ("clean", self.networks.clean_discriminator, cleared),
        ):
            with self.engine.autocast():
                loss = losses.discriminator_loss(network(batch[domain]), network(generated))
            torch.autograd.backward(loss)
            values[f"discriminator_{domain}"] = loss
        self._update("discriminators")
        return values

    @torch.no_grad()
    def _lift(self, photos: Tensor) -> tuple[Tensor, Tensor]:
        """Density [N, 1, S, S] and airlight [N, 3, S, S] in ``photos`` [N, 3, S, S], on the CPU."""
        lifter, parts = self.lifter_in_use(), []
        for photo in torch.split(photos, 8):
            with self.engine.autocast():
                layer = lifter(photo.to(self.engine.device))
            parts.append([enlarged(part.float().cpu(), photo) for part in layer])
        density, airlight = (torch.cat(part) for part in zip(*parts, strict=True))
        return density, airlight

    def samples(self, clean: Tensor, smoky: Tensor) -> Sampled:
        """A row per photo: smoky, its smoke alone on grey, without it; clean, under that smoke."""
        rows = min(len(clean), len(smoky))
        if rows == 0:
            return Sampled(torch.ones(3, 8, 8), {})
        clean, smoky = clean[:rows], smoky[:rows]
        density, airlight = self._lift(smoky)
        seen = opacity(density)
        grey = torch.zeros_like(smoky)
        picture = columns(
            [
                smoky,
                grey.lerp(airlight, seen),
                remove_smoke(smoky, density, airlight),
                clean,
                clean.lerp(airlight, seen),
            ]
        )
        return Sampled(picture, {"smoky": "silent" if float(seen.mean()) < _SILENT else None})

    def to_smoky(self, clean: Tensor) -> Tensor:
        """Under smoke lifted from a few smoky photos."""
        assert self._donors is not None
        density, airlight = self._lift(self._donors)
        turn = torch.arange(len(clean)) % len(self._donors)
        return clean.lerp(airlight[turn], opacity(density[turn]))


def _enlarged(part: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(part, like.shape[-2:], mode="bilinear", align_corners=False)
