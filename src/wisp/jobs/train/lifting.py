"""The end of a layered training: smoke is lifted off every smoky photo, judged, and kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from wisp import images
from wisp.config import TrainConfig
from wisp.data import BANK_FILE, Lift, derive_seed, write_bank
from wisp.engine import Engine
from wisp.errors import InputError
from wisp.images import UnreadableImageError, to_tensor
from wisp.jobs.train.photos import Photo, Photos
from wisp.networks.lifter import SmokeLifter, lift_steadily
from wisp.progress import progress, say_once
from wisp.rundir import RunDir, write_json
from wisp.smoke import LiftedSmoke, SmokeLayer, coverage, smooth_airlight
from wisp.smoke.batches import add_to_batch
from wisp.smoke.optics import opacity

SUSPICIOUS_FILE = "suspicious.json"
_HOSTS = 3
_MOST_HOSTS = 64
_LEAST_COVERAGE = 0.03
_LEAST_SCORE = 0.5
_LEAST_AGREEMENT = 0.4
_SUSPICIOUS_OPACITY = 0.05
_CLEAN_LOOKED_AT = 400
_SIDE_MULTIPLE = 32
_REASONS = ("without_smoke", "unreadable", "unsteady", "inconsistent", "near_copies")


@dataclasses.dataclass(frozen=True)
class Lifting:
    """What the lifting came to; also in ``result.json``."""

    layers: int
    looked_at: int
    without_smoke: int
    """Smoky photos in which R saw hardly any smoke."""
    unreadable: int
    """Smoky photos that could no longer be read."""
    unsteady: int
    """Layers on which several looks at one photo did not agree."""
    inconsistent: int
    """Layers that were not found again once they lay over other photos: sky, walls, text."""
    near_copies: int
    suspicious_clean: int
    """Clean photos in which R sees smoke; ``suspicious.json`` names them."""
    clean_looked_at: int

    def notes(self) -> list[str]:
        """What the user should look at."""
        said = []
        if self.layers * 4 < self.looked_at:
            said.append(
                f"usable smoke was lifted off only {self.layers} of {self.looked_at} smoky photos "
                f"({self.without_smoke} without smoke, {self.unsteady} not seen alike at several "
                f"looks, {self.inconsistent} not found again, {self.near_copies} near copies): "
                "look at report.html#layers; if the others do show smoke, train with more --steps"
            )
        if self.suspicious_clean and self.suspicious_clean * 50 >= self.clean_looked_at:
            said.append(
                f"R finds smoke in {self.suspicious_clean} of {self.clean_looked_at} clean photos: "
                "look at report.html#suspicious; if there is smoke in them, move them to the smoky "
                "folder" + (", if not, train with more --steps" if self._doubtful else "")
                # Most likely not the photos' fault.
            )
        return said

    @property
    def _doubtful(self) -> bool:
        """Whether R sees smoke in so many clean photos that it may not be able to judge yet."""
        return self.suspicious_clean * 4 >= self.clean_looked_at


def load_whole(path: Path, config: TrainConfig) -> Tensor:
    """The photo [3, H, W] in [-1, 1] at the scale of training, its sides multiples of 32 px."""
    photo = images.decode_fitted(path, config.load_size_px, config.fit)
    width, height = (max(1, round(side / _SIDE_MULTIPLE)) * _SIDE_MULTIPLE for side in photo.size)
    return to_tensor(photo.resize((width, height)))


def _load_again(item: Photo, config: TrainConfig) -> Tensor | None:
    """The photo as in :func:`load_whole`; None, and said, if it has vanished since the training."""
    try:
        return load_whole(Path(item.record.path), config)
    except UnreadableImageError as error:
        say_once("can no longer be read and is left out", error.path)
        return None


class _Judge:
    """R, and a few clean photos to lay layers over."""

    def __init__(
        self, lifter: SmokeLifter, engine: Engine, hosts: Sequence[Tensor], seed: int
    ) -> None:
        self.lifter, self.engine, self.hosts, self.seed = lifter, engine, hosts, seed

    def lift(self, photo: Tensor) -> tuple[SmokeLayer, float]:
        """The smoke in ``photo`` [3, H, W] at half its size, and how far several looks agree."""
        with self.engine.autocast():
            found, agreement = lift_steadily(self.lifter, photo[None].to(self.engine.device))
        density, airlight = (part.float().cpu()[0].numpy() for part in found)
        light = np.ascontiguousarray(np.moveaxis(airlight, 0, -1))
        return SmokeLayer(density[0], (light + 1) / 2), float(agreement)

    @torch.no_grad()
    def opacity(self, photo: Tensor) -> Tensor:
        """The opacity [h, w] of the smoke in ``photo`` [3, H, W] at one look."""
        with self.engine.autocast():
            found = self.lifter(photo[None].to(self.engine.device))
        return opacity(found.density.float().cpu())[0, 0]

    def score(self, layer: SmokeLayer, name: str) -> float:
        """How much of ``layer`` is found again after it was laid over other photos, in [0, 1].

        The mean soft overlap (Dice) of the opacity that was laid and the one that is lifted.
        """
        smoke = LiftedSmoke([layer], mixed=0.0, distant=0.0, shaded=False)
        found = []
        for number in range(_HOSTS):
            host = self.hosts[derive_seed(self.seed, "host", name, number) % len(self.hosts)]
            made = add_to_batch(smoke, host[None], derive_seed(self.seed, "lay", name, number))
            laid = F.avg_pool2d(opacity(made.density), 2)[0, 0]
            again = self.opacity(made.image[0])
            overlap = 2 * (laid * again).sum() / (laid.square() + again.square()).sum()
            found.append(float(overlap.nan_to_num()))
        return sum(found) / len(found)


def lift_bank(
    folder: RunDir, photos: Photos, lifter: SmokeLifter, config: TrainConfig, engine: Engine
) -> Lifting:
    """Lift, judge and write ``layers.zip`` and ``suspicious.json`` into the run.

    Raises InputError when nothing is left: the second folder then shows no smoke R could find.
    """
    lifter = lifter.to(engine.device).eval()
    clean = [item for item in photos.items if item.domain == "clean"]
    hosts: list[Tensor] = []
    for item in sorted(clean, key=lambda i: derive_seed(config.seed, "host", i.record.sha256)):
        if (photo := _load_again(item, config)) is not None:
            hosts.append(photo)
        if len(hosts) == _MOST_HOSTS:
            break
    if not hosts:
        raise InputError(f"{config.clean}: none of its {len(clean)} photos can be read any more")
    judge = _Judge(lifter, engine, hosts, config.seed)
    smoky = [item for item in photos.items if item.domain == "smoky"]
    lifts: list[Lift] = []
    counts = dict.fromkeys(_REASONS, 0)
    seen: set[str] = set()
    with progress("lifting smoke", len(smoky), unit="img") as bar:
        for item in smoky:
            reason = _lift_one(item, judge, config, lifts, seen)
            if reason:
                counts[reason] += 1
            bar.advance(note=f"{len(lifts)} kept")
    if not lifts:
        found = ", ".join(f"{n} {why.replace('_', ' ')}" for why, n in counts.items() if n)
        raise InputError(
            f"{config.smoky}: R found usable smoke in none of {len(smoky)} photos ({found}); "
            "see samples/latest.jpg, then begin a new run with more --steps or with a folder that "
            "shows smoke"
        )
    lifts.sort(key=lambda lift: -lift.score)
    write_bank(folder.path / BANK_FILE, lifts)
    looked_at, suspicious = _suspicious(clean, judge, config)
    write_json(folder.path / SUSPICIOUS_FILE, suspicious)
    return Lifting(
        layers=len(lifts),
        looked_at=len(smoky),
        suspicious_clean=len(suspicious),
        clean_looked_at=looked_at,
        **counts,
    )


def _lift_one(
    item: Photo, judge: _Judge, config: TrainConfig, lifts: list[Lift], seen: set[str]
) -> str:
    """Add the photo's layer to ``lifts``, or say why not."""
    if item.record.phash in seen:
        return "near_copies"
    photo = _load_again(item, config)
    if photo is None:
        return "unreadable"
    layer, agreement = judge.lift(photo)
    if coverage(layer.opacity) < _LEAST_COVERAGE:
        return "without_smoke"
    name = item.record.sha256[:12]
    if agreement < _LEAST_AGREEMENT:
        return "unsteady"
    layer = smooth_airlight(layer)
    score = judge.score(layer, name)
    if score < _LEAST_SCORE:
        return "inconsistent"
    seen.add(item.record.phash)
    lifts.append(Lift(layer, name, item.record.sha256, item.record.group, score))
    return ""


def _suspicious(
    clean: Sequence[Photo], judge: _Judge, config: TrainConfig
) -> tuple[int, list[dict[str, Any]]]:
    """How many clean photos were looked at, and those in which R sees smoke, the worst first."""
    step = -(-len(clean) // _CLEAN_LOOKED_AT)
    chosen = clean[::step]
    rows: list[dict[str, Any]] = []
    looked_at = 0
    with progress("looking for smoke in clean photos", len(chosen), unit="img") as bar:
        for item in chosen:
            bar.advance()
            photo = _load_again(item, config)
            if photo is None:
                continue
            mean = float(judge.lift(photo)[0].opacity.mean())
            looked_at += 1
            if mean > _SUSPICIOUS_OPACITY:
                rows.append({"path": item.record.path, "mean_opacity": round(mean, 4)})
    return looked_at, sorted(rows, key=lambda row: -float(row["mean_opacity"]))
