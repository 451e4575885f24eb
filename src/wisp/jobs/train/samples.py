"""Sample pictures of fixed photos in both directions, and what they tell about collapse."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from wisp.engine import Engine
from wisp.images import encode_jpeg, to_uint8
from wisp.rundir import RunDir, write_bytes

_GAP_PX = 4
_COLLAPSED = 0.1
_IDLE = 2 / 127.5
_SILENT = 0.005
Fault = Literal["collapsed", "idle", "silent"]


@dataclasses.dataclass(frozen=True)
class Translations:
    """Photos of one domain, translated, and translated back; [N, 3, S, S] in [-1, 1] each."""

    photos: Tensor
    there: Tensor
    back: Tensor


@torch.no_grad()
def translate(network: nn.Module, photos: Tensor, engine: Engine) -> Tensor:
    """``photos`` [N, 3, S, S] through ``network`` one by one; float32 on the CPU."""
    results = []
    for photo in torch.split(photos, 1):
        given = photo.to(engine.device).contiguous(memory_format=torch.channels_last)
        with engine.autocast():
            results.append(network(given).float().cpu())
    return torch.cat(results) if results else photos


def there_and_back(
    there: nn.Module, back: nn.Module, photos: Tensor, engine: Engine
) -> Translations:
    """``photos`` through ``there``, then through ``back``."""
    translated = translate(there, photos, engine)
    return Translations(photos, translated, translate(back, translated, engine))


def columns(stacks: Sequence[Tensor]) -> Tensor:
    """One picture [3, H, W]: a column per stack [N, 3, S, S] in [-1, 1], a row per photo."""
    count, _, size, _ = stacks[0].shape
    step = size + _GAP_PX
    picture = torch.ones(3, count * step - _GAP_PX, len(stacks) * step - _GAP_PX)
    for column, stack in enumerate(stacks):
        for row, photo in enumerate(stack):
            area = picture[:, row * step : row * step + size, column * step : column * step + size]
            area.copy_(photo)
    return picture


def grid(clean: Translations, smoky: Translations) -> Tensor:
    """One picture [3, H, W] in [-1, 1]: a row per photo, columns clean, smoky, clean again, and,
    right of a wider gap, smoky, clean, smoky again; white where a domain has fewer photos."""
    size = clean.photos.shape[-1] if len(clean.photos) else smoky.photos.shape[-1]
    rows = max(len(clean.photos), len(smoky.photos))
    step = size + _GAP_PX
    picture = torch.ones(3, rows * step - _GAP_PX, 6 * step + _GAP_PX)
    for side, part in enumerate((clean, smoky)):
        for column, stack in enumerate((part.photos, part.there, part.back)):
            left = (3 * side + column) * step + 2 * _GAP_PX * side
            for row, photo in enumerate(stack):
                picture[:, row * step : row * step + size, left : left + size] = photo
    return picture


@dataclasses.dataclass(frozen=True)
class Sampled:
    """A picture [3, H, W] in [-1, 1], and what is wrong with what leads to each domain."""

    picture: Tensor
    faults: dict[str, Fault | None]


def write_samples(run: RunDir, step: int, picture: Tensor) -> None:
    """Write ``samples/step-….jpg`` and ``samples/latest.jpg``."""
    data = encode_jpeg(to_uint8(picture), 90)
    write_bytes(run.path / "samples" / f"step-{step:07d}.jpg", data)
    write_bytes(run.path / "samples" / "latest.jpg", data)


def diversity(photos: Tensor) -> float:
    """Mean absolute difference between two different ones of ``photos`` [N, 3, H, W], N ≥ 2."""
    pairs = torch.pdist(photos.flatten(1), p=1) / photos[0].numel()
    return float(pairs.mean())


def silence_of(opacity: Tensor) -> Fault | None:
    """``silent`` where hardly any smoke is found in smoky photos: mean ``opacity`` below 0.005."""
    return "silent" if float(opacity.mean()) < _SILENT else None


def fault_of(translations: Translations) -> Fault | None:
    """What is wrong with a generator whose translations are these, None if nothing is seen.

    ``collapsed``: the translations resemble each other ten times more than the photos do (mode
    collapse: one picture is painted whatever is shown); needs two photos. ``idle``: photos come
    back as they were, changed by less than 2 of 255 in the mean.
    """
    photos, there = translations.photos, translations.there
    if len(photos) >= 2 and 0 < diversity(photos) * _COLLAPSED > diversity(there):
        return "collapsed"
    if len(photos) and float((there - photos).abs().mean()) < _IDLE:
        return "idle"
    return None
