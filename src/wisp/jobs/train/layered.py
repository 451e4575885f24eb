"""Training R, which lifts smoke off photos: one optimizer step, and what it is made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wisp import losses
from wisp.config import LayeredConfig
from wisp.data import SmokePairs, StepLoader
from wisp.engine import Engine
from wisp.jobs.train.photos import Photos, load_middle
from wisp.jobs.train.samples import Sampled, columns, silence_of
from wisp.jobs.train.trainer import Batch, Trainer
from wisp.networks.backbone import Backbone
from wisp.networks.lifter import STRIDE, SmokeLifter, enlarged, take_apart
from wisp.smoke import ProceduralSmoke
from wisp.smoke.optics import opacity

LOSS_NAMES = ("opacity", "airlight", "recomposition", "identity", "lifter")
_BACKBONE_RATE = 0.2
_DONORS = 16


class LayeredTrainer(Trainer):
    """Teaches R on pairs with known smoke.

    Terms, each with a weight of its own (0: off): *supervised* (opacity, airlight and recomposition
    on clean photos under procedural smoke); *identity* (no smoke in clean photos).
    """

    kind = "layered"
    config: LayeredConfig

    def __init__(self, config: LayeredConfig, engine: Engine, backbone: Backbone) -> None:
        self.lifter = lifter = SmokeLifter(backbone)
        # A short training must forget its beginning: the average spans a tenth of it.
        decay = min(config.ema, 1 - 10 / max(11, config.steps))
        networks = nn.ModuleDict({"lifter": lifter})
        super().__init__(config, engine, LOSS_NAMES, networks, {"lifter": decay})
        parts: dict[str, dict[str, nn.Module]] = {
            "decoder": {"blocks": lifter.blocks, "head": lifter.head},
            "backbone": {"backbone": lifter.backbone},
        }
        self.optimizers = {
            name: self._adam(part, torch.optim.AdamW, weight_decay=1e-4)
            for name, part in parts.items()
        }
        self._donors: Tensor | None = None

    def loader(self, photos: Photos, steps: int, workers: int) -> StepLoader[dict[str, Tensor]]:
        """Crops of both domains, and the clean ones under procedural smoke."""
        self._donors = load_middle(photos.paths("smoky", "train")[:_DONORS], self.config)
        pairs = SmokePairs(photos.training_set(self.config), ProceduralSmoke())
        return pairs.loader(self.step, steps, workers)

    def description(self) -> dict[str, Any]:
        """What R is built of."""
        return {"backbone": self.lifter.backbone.name, "channels": self.lifter.channels}

    def note(self, means: Mapping[str, float]) -> str:
        """How far R is off, and what it sees where nothing is."""
        return f"opacity off by {means['opacity']:.3f}, seen in clean {means['identity']:.4f}"

    def lifter_in_use(self) -> SmokeLifter:
        """R as it is to be used: averaged where there is an average."""
        return self.in_use("lifter", SmokeLifter).eval()

    def train_step(self, batch: Batch) -> None:
        """One optimizer step on ``clean``, and ``veiled`` [B, 3, S, S] with the ``opacity``
        [B, 1, S, S] and ``airlight`` [B, 3, S, S] of the last, on the device."""
        self._set_learning_rates(backbone=_BACKBONE_RATE)
        self.lifter.train()
        supervised, identity = self.config.lift_supervised, self.config.lift_identity
        with self.engine.autocast():
            values = self._losses(batch)
            total = (
                supervised * values["opacity"]
                + 0.5 * supervised * values["airlight"]
                + supervised * values["recomposition"]
                + identity * values["identity"]
            )
        torch.autograd.backward(total)
        for name in self.optimizers:
            self._update(name)
        values["lifter"] = total
        self.count_losses(torch.stack([values[name].detach().float() for name in LOSS_NAMES]))

    def _losses(self, batch: Batch) -> dict[str, Tensor]:
        clean, veiled = batch["clean"], batch["veiled"]
        count = len(clean)
        # Half the photos are enough to say how silent R is: time is better spent on more steps.
        half = max(1, count // 2)
        seen, air = self.lifter.opacity_and_airlight(torch.cat([veiled, clean[:half]]))
        true, colour = (F.avg_pool2d(batch[name], STRIDE) for name in ("opacity", "airlight"))
        return {
            "opacity": losses.opacity_loss(seen[:count], true),
            "airlight": losses.airlight_loss(air[:count], colour, true),
            "recomposition": losses.recomposition_loss(
                F.avg_pool2d(clean, STRIDE), F.avg_pool2d(veiled, STRIDE), seen[:count], air[:count]
            ),
            "identity": losses.silence_loss(seen[count:]),
        }

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
        density, airlight = self._lift(smoky)
        seen = opacity(density)
        grey = torch.zeros_like(smoky)
        picture = columns(
            [
                smoky,
                grey.lerp(airlight, seen),
                take_apart(smoky, seen, airlight),
                clean,
                clean.lerp(airlight, seen),
            ]
        )
        return Sampled(picture, {"smoky": silence_of(seen)})

    def to_smoky(self, clean: Tensor) -> Tensor:
        """Under smoke lifted from a few smoky photos."""
        assert self._donors is not None
        density, airlight = self._lift(self._donors)
        turn = torch.arange(len(clean)) % len(self._donors)
        return clean.lerp(airlight[turn], opacity(density[turn]))
