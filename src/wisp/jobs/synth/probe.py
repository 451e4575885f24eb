"""The fingerprint probe: can a network tell the set's clean pictures from the original photos?

If it can, making the set has left traces in the pixels, and a detector may learn those instead of
smoke. Chance (AUROC 0.5) is the aim.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from wisp.errors import InputError
from wisp.images import decode
from wisp.jobs.synth.plan import Photo, draw
from wisp.manifest import split_groups
from wisp.metrics import auroc_interval
from wisp.progress import progress
from wisp.resources import threads

_PATCH_PX = 64
_PATCHES = 8
_MAX_PHOTOS = 240
_MIN_PHOTOS = 16
_MIN_GROUPS = 4
_TEST_PART = 0.4
_STEPS = 160
_BATCH = 24


class _ProbeNetwork(nn.Module):
    """What is left after a blur, through three convolutions: sees grain, grids and ringing."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 12, 5, stride=2),
            nn.BatchNorm2d(12),
            nn.ReLU(),
            nn.Conv2d(12, 20, 3),
            nn.BatchNorm2d(20),
            nn.ReLU(),
            nn.Conv2d(20, 24, 3, stride=2),
            nn.BatchNorm2d(24),
            nn.ReLU(),
        )
        self.head = nn.Linear(48, 1)

    def forward(self, patches: Tensor) -> Tensor:
        """Patches [B, 3, 64, 64] of :func:`_fine` → logits [B], higher for the set's pictures."""
        maps = self.layers(patches)
        # The spread of a filter's answer over a patch is the better witness of texture.
        pooled = torch.cat([maps.mean((2, 3)), maps.std((2, 3))], 1)
        logits: Tensor = self.head(pooled)
        return logits[:, 0]


def measure_fingerprint(out: Path, photos: Sequence[Photo], seed: int) -> dict[str, Any]:
    """AUROC of a small network, original photos against the set's clean pictures.

    Trained on some groups, scored on others; per picture the mean over patches at native scale;
    the interval is over groups. Returns what ``probe.json`` holds: {"auroc", "images", "groups",
    "description"}; auroc is None, and the description says why, if there are too few photos.
    """
    lots = sorted(photos, key=lambda photo: draw(seed, "probe", photo.sha256))[:_MAX_PHOTOS]
    groups = [photo.group for photo in lots]
    if len(lots) < _MIN_PHOTOS or len(set(groups)) < _MIN_GROUPS:
        return _unknown(
            f"needs at least {_MIN_PHOTOS} photos of {_MIN_GROUPS} groups, "
            f"but there are {len(lots)} of {len(set(groups))}"
        )
    sides = split_groups(groups, _TEST_PART, seed)
    usable: list[Photo] = []
    patches: list[Tensor] = []
    test: list[bool] = []
    with progress("cutting patches for the probe", len(lots), unit="img") as bar:
        for photo, side in zip(lots, sides, strict=True):
            pair = _pair(out, photo, seed)
            bar.advance()
            if pair is not None:
                usable.append(photo)
                patches.append(pair)
                test.append(side == "validation")
    held = np.array(test, dtype=bool)
    if held.sum() < 4 or (~held).sum() < 4:
        return _unknown(f"too few photos are at least {_PATCH_PX} px wide and high")
    pairs = torch.stack(patches)  # [N, 2, patches, 3, 64, 64]: original, then the set's
    scores = _train_and_score(pairs[torch.from_numpy(~held)], pairs[torch.from_numpy(held)], seed)
    tested = [photo.group for photo, inside in zip(usable, held, strict=True) if inside]
    labels = np.repeat([0, 1], len(tested))
    interval = auroc_interval(scores.T.flatten().numpy(), labels, tested * 2, seed=seed)
    return {
        "auroc": interval.to_json(),
        "images": 2 * len(tested),
        "groups": len(set(tested)),
        "description": (
            f"small network on {_PATCH_PX}-px patches at native scale, original photos against the "
            f"set's clean pictures, trained on {int((~held).sum())} photos of other groups"
        ),
    }


def _unknown(reason: str) -> dict[str, Any]:
    return {"auroc": None, "images": 0, "groups": 0, "description": reason}


def _pair(out: Path, photo: Photo, seed: int) -> Tensor | None:
    """The same patches of the original and of the set's clean picture: uint8 [2, n, 3, 64, 64]."""
    try:
        original = np.asarray(decode(photo.path))
        made = np.asarray(decode(out / photo.clean_file()))
    except InputError:
        return None
    height, width = original.shape[:2]
    if min(height, width) < _PATCH_PX or made.shape != original.shape:
        return None
    generator = torch.Generator().manual_seed(draw(seed, "patches", photo.sha256))
    tops = torch.randint(height - _PATCH_PX + 1, (_PATCHES,), generator=generator).tolist()
    lefts = torch.randint(width - _PATCH_PX + 1, (_PATCHES,), generator=generator).tolist()

    def cut(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.stack(
            [
                picture[top : top + _PATCH_PX, left : left + _PATCH_PX]
                for top, left in zip(tops, lefts, strict=True)
            ]
        )

    both = np.stack([cut(original), cut(made)])
    return torch.from_numpy(both).permute(0, 1, 4, 2, 3).contiguous()


def _train_and_score(train: Tensor, test: Tensor, seed: int) -> Tensor:
    """Scores [M, 2] of the test pairs' two pictures."""
    generator = torch.Generator().manual_seed(seed)
    train, test = _fine(train), _fine(test)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _ProbeNetwork()
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 6e-3, total_steps=_STEPS)
    # Too small to gain from threads, which only wait for one another on a busy machine.
    with threads(1), progress("training the probe", _STEPS, unit="step") as bar:
        for _ in range(_STEPS):
            photo = torch.randint(len(train), (_BATCH,), generator=generator)
            patch = torch.randint(_PATCHES, (_BATCH,), generator=generator)
            # Both versions of each patch: what differs is the making, not the motif.
            batch = train[photo, :, patch].flatten(0, 1)
            target = torch.tensor([0.0, 1.0]).repeat(_BATCH)
            loss = F.binary_cross_entropy_with_logits(network(batch.float()), target)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            bar.advance()
    network.eval()
    with torch.inference_mode():
        scores = [network(pair.flatten(0, 1).float()).view(2, -1).mean(1) for pair in test]
    return torch.stack(scores)


def _fine(pairs: Tensor) -> Tensor:
    """What a 3 x 3 mean leaves of uint8 patches [N, 2, n, 3, h, w]; float16, of order 1."""
    fine = torch.empty(pairs.shape, dtype=torch.float16)
    for source, target in zip(pairs.flatten(1, 2), fine.flatten(1, 2), strict=True):
        pixels = source.float()
        mean = F.avg_pool2d(pixels, 3, 1, 1, count_include_pad=False)
        target.copy_((pixels - mean) / 10)
    return fine
