"""How far translated photos are from real smoky ones, on the features of a backbone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from wisp.config import TrainConfig
from wisp.engine import Engine
from wisp.jobs.train.photos import Photos, load_middle
from wisp.metrics import kernel_distance
from wisp.networks.backbone import Backbone, HubUnreachableError, load_backbone
from wisp.progress import say

PHOTOS = 100


def _first(photos: Photos, domain: str) -> list[Path]:
    """At most 100 photos: the validation photos, then evenly spread training photos."""
    kept = photos.paths(domain, "validation")[:PHOTOS]
    train = photos.paths(domain, "train")
    count = min(PHOTOS - len(kept), len(train))
    return kept + [train[index * len(train) // count] for index in range(count)]


class Distance:
    """Kernel distance (KID, Bińkowski et al. 2018, arXiv 1801.01401) of up to 100 photos a side.

    The same clean photos are translated each time and compared with the same real smoky ones, at
    ``config.size`` px.
    """

    def __init__(
        self, backbone: Backbone, photos: Photos, config: TrainConfig, engine: Engine
    ) -> None:
        self.name, self._engine, self._seed = backbone.name, engine, config.seed
        self._backbone = backbone.to(engine.device).eval()
        self._clean = load_middle(_first(photos, "clean"), config)
        self._smoky = self._features([load_middle(_first(photos, "smoky"), config)])

    @torch.no_grad()
    def _features(self, stacks: Sequence[Tensor]) -> Tensor:
        parts = [
            self._backbone.pooled(part.to(self._engine.device)).float().cpu()
            for stack in stacks
            for part in torch.split(stack, 16)
        ]
        return torch.cat(parts)

    def measure(self, to_smoky: Callable[[Tensor], Tensor]) -> dict[str, Any]:
        """{"value", "low", "high", "features", "photos"}: smaller is better, 0 is alike."""
        translated = self._features([to_smoky(self._clean)])
        interval = kernel_distance(translated.numpy(), self._smoky.numpy(), seed=self._seed)
        return {
            **interval.to_json(),
            "features": self.name,
            "photos": [len(translated), len(self._smoky)],
        }


def load_measuring_backbone(config: TrainConfig) -> Backbone | None:
    """The backbone that ``config`` wants the distance measured on, if any.

    Weights that the hub does not give turn the distance off with one sentence; an unknown name or a
    bad file is an InputError. The global random state stays as it was.
    """
    if config.distance_every == 0:
        return None
    with torch.random.fork_rng(devices=[]):
        try:
            return load_backbone(
                config.distance_backbone, config.distance_weights, config.size, "--distance-"
            )
        except HubUnreachableError as error:
            say(f"the distance is off, and with it patience: {error}")
            return None


def make_distance(
    backbone: Backbone | None, photos: Photos, config: TrainConfig, engine: Engine
) -> Distance | None:
    """The distance on ``backbone``, if there is one and there are photos enough."""
    if backbone is None:
        return None
    if min(len(_first(photos, domain)) for domain in ("clean", "smoky")) < 2:
        say("the distance is off: it needs two photos of each domain")
        return None
    return Distance(backbone, photos, config, engine)
