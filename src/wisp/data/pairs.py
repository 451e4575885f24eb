"""Photos with smoke that is known, to teach R what smoke is."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from wisp import images
from wisp.data.streams import StepLoader, derive_seed
from wisp.data.unpaired import UnpairedFolders
from wisp.resources import threads
from wisp.smoke import Dice, RandomSmoke
from wisp.smoke.batches import add_to_batch
from wisp.smoke.optics import opacity

_WEAKEST, _STRONGEST = 0.35, 1.8


@dataclasses.dataclass(frozen=True)
class SmokePairs:
    """Crops of ``folders``, and beside each clean one the same crop under known smoke.

    ``smoke`` is laid over each clean crop at a strength drawn from 0.35 to 1.8 (evenly in its
    logarithm). With ``varied``, exposure, colour and softness of the clean crops are drawn anew,
    and the light of both is cast: smoky photos come from other cameras than clean ones. Only the
    first ``share`` of the clean crops are veiled. Every batch is a pure function of (seed, step).
    """

    folders: UnpairedFolders
    smoke: RandomSmoke
    varied: bool = True
    share: float = 1.0

    def batch(self, step: int) -> dict[str, Tensor]:
        """``clean``, ``smoky``, ``veiled`` [B, 3, S, S] in [-1, 1]; the last is ``clean`` under
        smoke of ``opacity`` [B, 1, S, S] in [0, 1) and ``airlight`` [B, 3, S, S] in [-1, 1].

        With a ``share`` below 1 the last three are of the first photos only."""
        batch = self.folders.batch(step)
        seed = derive_seed(self.folders.seed, "veil", step)
        generator, dice = torch.Generator().manual_seed(seed), Dice(seed)
        veiled = range(round(self.share * len(batch["clean"])))
        strength = torch.tensor([dice.log_uniform(_WEAKEST, _STRONGEST) for _ in veiled])
        with threads(1):  # as in a worker: sums must not depend on their number
            if self.varied:
                varied = [images.vary_photo(photo, generator) for photo in batch["clean"]]
                batch["clean"] = torch.stack(varied)
            made = add_to_batch(self.smoke, batch["clean"][: len(strength)], dice.seed(), strength)
        lit = {"clean": batch["clean"], "veiled": made.image, "airlight": made.airlight}
        if self.varied:
            gains = torch.stack([images.colour_cast(generator) for _ in batch["clean"]])
            lit = {name: images.apply_cast(part, gains[: len(part)]) for name, part in lit.items()}
        return {**batch, **lit, "opacity": opacity(made.density)}

    def loader(
        self, start_step: int, steps: int, workers: int = 0
    ) -> StepLoader[dict[str, Tensor]]:
        """Batches of steps ``start_step`` to ``start_step + steps - 1``, for any ``workers``."""
        if workers > 0:
            self.folders.preload()
        return StepLoader(self.batch, start_step, steps, workers)
