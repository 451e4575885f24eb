"""The worst misses and false alarms as pictures, with what the detector looked at."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, Literal

import matplotlib
import numpy as np
import torch
from PIL import Image

from wisp import images
from wisp.detectors import read_square
from wisp.engine import Engine
from wisp.jobs.evaluate.figures import Scored
from wisp.metrics.ranking import Floats
from wisp.networks.detector import Detector, Ensemble
from wisp.networks.saliency import grad_cam
from wisp.rundir import write_bytes, write_json

Kind = Literal["miss", "false alarm"]
_LONG_SIDE_PX = 640
_QUALITY = 88
_OPACITY = 0.7
_PER_GROUP = 2


def worst(scored: Scored, count: int) -> list[tuple[Kind, int]]:
    """Indices of the ``count`` most wrongly scored pictures of each kind, the worst first.

    At most two of one group, so that one scene's frames do not crowd out the rest.
    """
    said = scored.called == scored.positive
    scores, positive = scored.scores, scored.is_positive
    misses = np.flatnonzero(positive & ~said)
    alarms = np.flatnonzero(~positive & said)
    ranked: list[tuple[Kind, list[int]]] = [
        ("miss", misses[np.argsort(scores[misses], kind="stable")].tolist()),
        ("false alarm", alarms[np.argsort(-scores[alarms], kind="stable")].tolist()),
    ]
    chosen: list[tuple[Kind, int]] = []
    for kind, order in ranked:
        seen: Counter[str] = Counter()
        kept: list[int] = []
        for index in order:
            group = scored.pictures[index].group
            if seen[group] < _PER_GROUP and len(kept) < count:
                seen[group] += 1
                kept.append(index)
        chosen += [(kind, index) for index in kept]
    return chosen


def overlay(picture: Image.Image, heat: Floats) -> Image.Image:
    """``heat`` [h, w] in [0, 1] laid over an RGB picture: dark where cold, glowing where hot."""
    mask = Image.fromarray((heat * 255).astype(np.uint8)).resize(
        picture.size, Image.Resampling.BICUBIC
    )
    level = np.asarray(mask, dtype=np.float64)[..., None] / 255
    grey = np.asarray(picture.convert("L"), dtype=np.float64)[..., None] / 255
    colour = matplotlib.colormaps["inferno"](level[..., 0])[..., :3]
    # Cold areas keep a dimmed grey picture, so that one sees what lies around the hot ones.
    blended = (1 - _OPACITY) * grey + _OPACITY * (level * colour + (1 - level) * 0.5 * grey)
    return Image.fromarray((np.clip(blended, 0, 1) * 255).astype(np.uint8))


def write_worst(
    folder: Path,
    scored: Scored,
    count: int,
    detector: Detector | Ensemble,
    size: int,
    engine: Engine,
) -> int:
    """Write ``worst/NNN.jpg``, ``worst/NNN-saliency.jpg`` and ``worst/index.json``; how many.

    The saliency is that of the positive class: what spoke for smoke, in a miss also where little.
    """
    rows: list[dict[str, Any]] = []
    for number, (kind, index) in enumerate(worst(scored, count), start=1):
        item = scored.pictures[index]
        picture = images.decode(item.path, _LONG_SIDE_PX)
        picture.thumbnail((_LONG_SIDE_PX, _LONG_SIDE_PX))
        square = read_square(item.path, size)[None].to(engine.device)
        with engine.autocast():
            heat = grad_cam(detector, square, scored.positive)[0]
        name = f"worst/{number:03d}"
        shown = overlay(picture, heat.to("cpu", torch.float64).numpy())
        write_bytes(folder / f"{name}.jpg", images.encode_jpeg(picture, _QUALITY))
        write_bytes(folder / f"{name}-saliency.jpg", images.encode_jpeg(shown, _QUALITY))
        rows.append(
            {
                "kind": kind,
                "file": str(item.path),
                "set": item.set_name,
                "group": item.group,
                "label": item.label,
                "score": float(scored.scores[index]),
                "picture": f"{name}.jpg",
                "saliency": f"{name}-saliency.jpg",
            }
        )
    write_json(folder / "worst" / "index.json", rows)
    return len(rows)
