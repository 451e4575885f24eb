"""Training a CycleGAN whose generators compose: its networks, and one optimizer step.

G adds smoke, F takes it off, both through Beer-Lambert; D_Y and D_X tell made pictures of the smoky
and of the clean domain from real ones. Zhu et al. 2017 (arXiv 1703.10593) for the whole; that the
networks look through frozen ImageNet features is of Sauer et al. 2021 (arXiv 2111.01007).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wisp import losses, shipped
from wisp.config import ComposingConfig
from wisp.data import SmokePairs, StepLoader, derive_seed, seeded_generator
from wisp.engine import Engine
from wisp.jobs.train.adversarial import AdversarialTrainer
from wisp.jobs.train.photos import Photos
from wisp.jobs.train.samples import Sampled, columns, silence_of
from wisp.jobs.train.trainer import Batch, fast
from wisp.models.loading import shipped_layers
from wisp.networks.backbone import Backbone
from wisp.networks.composing import FeatureDiscriminator, SmokeAdder, Wish, palette_of
from wisp.networks.lifter import STRIDE, LayerDecoder, compose, seen, take_apart
from wisp.smoke import Dice, LiftedSmoke

LOSS_NAMES = (
    "adversarial_smoky", "adversarial_clean", "cycle", "lifted", "identity", "variety", "generator",
    "discriminator_smoky", "discriminator_clean",
)  # fmt: skip
_BETAS = (0.0, 0.99)
_LAMBDA_CLEAN = 0.5
"""Weight of D_X's opinion: F is taught by what it must find again, and D_X, which sees news photos
without their smoke beside rooms, finds the other place first."""
_VARIED = 0.4
"""Two draws of smoke over one photo differ by at least this part of their mean opacity, times the
contrast that they were asked for with."""
_JUDGED = slice(1, None)
"""Scales that discriminators see. At half the size there are edges and noise of the camera."""


class Composing(nn.Module):
    """Two generators and two discriminators, on the frozen features of one ``backbone``."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        features = backbone.channels()
        self.backbone = backbone.eval().requires_grad_(False)
        self.clean_to_smoky = SmokeAdder(features)
        self.smoky_to_clean = LayerDecoder(features)
        self.smoky_discriminator = FeatureDiscriminator(features[_JUDGED])
        self.clean_discriminator = FeatureDiscriminator(features[_JUDGED])


class ComposingTrainer(AdversarialTrainer):
    """Trains generators that compose."""

    networks: Composing
    config: ComposingConfig

    def __init__(self, config: ComposingConfig, engine: Engine, backbone: Backbone) -> None:
        self._smoke = LiftedSmoke(shipped_layers())
        networks = Composing(backbone)
        dice = Dice(derive_seed(config.seed, "palette"))
        networks.clean_to_smoky.palette.copy_(palette_of(self._smoke, dice))
        super().__init__(config, engine, LOSS_NAMES, networks, _BETAS)

    def loader(self, photos: Photos, steps: int, workers: int) -> StepLoader[dict[str, Tensor]]:
        """Crops of both domains, and the first of the clean ones under layered smoke."""
        share = self.config.composites
        pairs = SmokePairs(photos.training_set(self.config), self._smoke, False, share)
        return pairs.loader(self.step, steps, workers)

    def parents(self) -> dict[str, Path]:
        """The shipped layers, whose smoke is on the composites."""
        return {"composites": shipped.resolve("layered")} if self.config.composites else {}

    def description(self) -> dict[str, Any]:
        """What the networks are built of."""
        return {"generator": self.config.generator, "backbone": self.networks.backbone.name}

    def note(self, means: Mapping[str, float]) -> str:
        """The losses of F, on the smoke that was laid, and of the discriminators."""
        return (
            f"loss of finding smoke {means['lifted']:.3f}, discriminators "
            f"{means['discriminator_smoky']:.2f} {means['discriminator_clean']:.2f}"
        )

    def train_step(self, batch: Batch) -> None:
        """One optimizer step on ``clean``, ``smoky`` [B, 3, S, S] and, of the first photos,
        ``veiled`` with its ``opacity`` and ``airlight``, on the device."""
        self._set_learning_rates()
        x, veiled = fast(batch["clean"]), batch["veiled"]
        y = fast(torch.cat([veiled, batch["smoky"][len(veiled) :]]))
        self._freeze_discriminators(True)
        with self.engine.autocast():
            values, features = self._generator_losses(x, y, batch)
            total = (
                values["adversarial_smoky"]
                + _LAMBDA_CLEAN * values["adversarial_clean"]
                + self.config.lambda_cycle * values["cycle"]
                + self.config.lambda_lift * values["lifted"]
                + values["identity"]
                + self.config.lambda_variety * values["variety"]
            )
        torch.autograd.backward(total)
        self._update("generators")
        values["generator"] = total
        self._freeze_discriminators(False)
        for domain, (real, made) in features.items():
            judge = self.discriminators[f"{domain}_discriminator"]
            with self.engine.autocast():
                loss = losses.hinge_discriminator_loss(
                    judge(real[_JUDGED]), judge([part.detach() for part in made[_JUDGED]])
                )
            torch.autograd.backward(loss)
            values[f"discriminator_{domain}"] = loss
        self._update("discriminators")
        self.count_losses(torch.stack([values[name].detach().float() for name in LOSS_NAMES]))

    def _generator_losses(
        self, x: Tensor, y: Tensor, batch: Batch
    ) -> tuple[dict[str, Tensor], dict[str, tuple[list[Tensor], list[Tensor]]]]:
        """The losses by name, and for each domain the features of its real and made pictures."""
        nets, backbone = self.networks, self.networks.backbone
        count, half = len(x), max(1, len(x) // 2)
        with torch.no_grad():
            of_x, of_y = backbone.maps(x), backbone.maps(y)
        wish = self._wish(x, "first")
        laid, airlight = nets.clean_to_smoky(of_x, wish)
        contrast = wish.contrast[:half]
        other, _ = nets.clean_to_smoky(
            [part[:half] for part in of_x],
            self._wish(x[:half], "second")._replace(contrast=contrast),
        )
        smoky = compose(x, laid, airlight)
        of_smoky = backbone.maps(smoky)
        # What is in the made, in the real and in some of the clean photos, at one go.
        alpha, colour = nets.smoky_to_clean.decode(
            [torch.cat([a, b, c[:half]]) for a, b, c in zip(of_smoky, of_y, of_x, strict=True)]
        )
        found, found_y, found_x = torch.split(alpha, [count, count, half])
        light, light_y, _ = torch.split(colour, [count, count, half])
        back = take_apart(smoky, seen(found), light)
        cleared = take_apart(y, seen(found_y), light_y)
        of_cleared = backbone.maps(cleared)
        lifted = losses.opacity_loss(found, laid.detach())
        veiled = len(batch["veiled"])
        if veiled:
            true, lit = (F.avg_pool2d(batch[name], STRIDE) for name in ("opacity", "airlight"))
            lifted = lifted + losses.opacity_loss(found_y[:veiled], true)
            lifted = lifted + 0.5 * losses.airlight_loss(light_y[:veiled], lit, true)
        values = {
            "adversarial_smoky": losses.hinge_generator_loss(
                nets.smoky_discriminator(of_smoky[_JUDGED])
            ),
            "adversarial_clean": losses.hinge_generator_loss(
                nets.clean_discriminator(of_cleared[_JUDGED])
            ),
            "cycle": losses.cycle_loss(back, x),
            "lifted": lifted,
            "identity": losses.silence_loss(found_x),
            "variety": losses.variety_loss(laid[:half], other, _VARIED * contrast),
        }
        return values, {"smoky": (of_y, of_smoky), "clean": (of_x, of_cleared)}

    def _wish(self, photos: Tensor, *key: str) -> Wish:
        draws = seeded_generator(self.config.seed, "wish", self.step, *key)
        return self.networks.clean_to_smoky.wish(photos, draws)

    def _added(self, photos: Tensor, key: str) -> tuple[Tensor, Tensor]:
        """``photos`` [N, 3, S, S] under smoke, and its opacity in them, on the CPU."""
        adder = self.in_use("clean_to_smoky", SmokeAdder)
        draws = seeded_generator(self.config.seed, "sample", key)

        def under_smoke(given: Tensor, maps: list[Tensor]) -> tuple[Tensor, Tensor]:
            laid, airlight = adder(maps, adder.wish(given, draws))
            return compose(given, laid, airlight), laid

        return self._made(photos, under_smoke)

    def _cleared(self, photos: Tensor) -> tuple[Tensor, Tensor]:
        """``photos`` [N, 3, S, S] without the smoke that F finds, and its opacity, on the CPU."""
        lifter = self.in_use("smoky_to_clean", LayerDecoder)

        def without_smoke(given: Tensor, maps: list[Tensor]) -> tuple[Tensor, Tensor]:
            found, airlight = lifter.decode(maps)
            return take_apart(given, seen(found), airlight), seen(found)

        return self._made(photos, without_smoke)

    @torch.no_grad()
    def _made(
        self, photos: Tensor, make: Callable[[Tensor, list[Tensor]], tuple[Tensor, Tensor]]
    ) -> tuple[Tensor, Tensor]:
        """What ``make`` makes of ``photos`` and their features, a few at a time."""
        parts = []
        for part in torch.split(photos, 8):
            given = fast(part.to(self.engine.device))
            with self.engine.autocast():
                made = make(given, self.networks.backbone.maps(given))
            parts.append([each.float().cpu() for each in made])
        pictures, opacity = (torch.cat(part) for part in zip(*parts, strict=True))
        return pictures, opacity

    def samples(self, clean: Tensor, smoky: Tensor) -> Sampled:
        """A row per photo: clean, two smokes over it as they are learned (in use the first draw is
        not always kept, and denser), the mask of the second, without it again; smoky, without its
        smoke."""
        first, _ = self._added(clean, "first")
        second, opacity = self._added(clean, "second")
        mask = F.interpolate(opacity, clean.shape[-2:], mode="bilinear", align_corners=False)
        back, (cleared, found) = self._cleared(second)[0], self._cleared(smoky)
        shown = [clean, first, second, (2 * mask - 1).expand_as(clean), back, smoky, cleared]
        return Sampled(columns(shown), {"smoky": silence_of(found)})

    def to_smoky(self, clean: Tensor) -> Tensor:
        """Under smoke of a fixed seed."""
        return self._added(clean, "distance")[0]
