"""Smoke inside anyone's training: a transform of torchvision, ``transforms.v2``.

add = wisp.transforms.AddSmoke(strength=(0.8, 1.8))
smoky = add(clean)  # a PIL image, a tensor, or a batch, on whatever device it is
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tv

from wisp.errors import InputError
from wisp.models import load, shipped_layers
from wisp.smoke import LOOKALIKES, add_lookalike

__all__ = ["AddSmoke"]

_MOST_SEED = 2**53
_BOX_LEVEL = 0.05

_load = functools.lru_cache(maxsize=4)(load)


class AddSmoke(v2.Transform):  # type: ignore[misc] # of a library without types
    """Puts smoke into a picture; another one at each call, fixed by torch's seed.

    Pictures are PIL images, or tensors [..., 3, H, W], uint8, or floats in [0, 1]; of a batch each
    gets smoke of its own, by torch on the batch's device. Other values are passed through, but for
    ``tv_tensors``: with ``masks=True`` the smoke's opacity, in 255ths, is added as a last mask to
    a ``Mask`` [N, H, W], and with ``boxes=True`` the box around it (opacity above 5 %) as a last
    one to ``BoundingBoxes``, of one picture. A copy of it that goes to another process draws from
    that process's seed.

    Args:
        model: ``layered`` (ships with wisp), ``procedural``, or what :func:`wisp.load` takes.
        strength: optical density is multiplied by a number of this range; 1: as the model makes it.
        p: probability of smoke.
        lookalikes: probability that a picture without smoke becomes a look-alike.
        kinds: of look-alikes, see :data:`wisp.smoke.LOOKALIKES`: steam, and faults of the camera.
        masks: whether the smoke's opacity is added to a Mask.
        boxes: whether its box is added to BoundingBoxes.

    Raises InputError for a probability outside [0, 1], a range of strengths that is none, or a
    look-alike that there is not; of ``model`` when the first smoke is drawn.
    """

    def __init__(
        self,
        model: str | Path = "layered",
        strength: tuple[float, float] = (0.8, 1.8),
        p: float = 1.0,
        lookalikes: float = 0.0,
        kinds: Sequence[str] = ("steam",),
        *,
        masks: bool = False,
        boxes: bool = False,
    ) -> None:
        super().__init__()
        for name, value in (("p", p), ("lookalikes", lookalikes)):
            if not 0 <= value <= 1:
                raise InputError(f"{name}={value}: a probability, from 0 to 1")
        low, high = strength
        if not 0 <= low <= high < float("inf"):
            raise InputError(f"strength={strength}: (least, most), not below 0")
        if unknown := sorted({*kinds} - {*LOOKALIKES}):
            raise InputError(f"kinds={unknown[0]}: there are {', '.join(LOOKALIKES)}")
        if not kinds:
            raise InputError("kinds=(): name at least one look-alike")
        self.model, self.strength, self.p = str(model), (low, high), p
        self.lookalikes, self.kinds = lookalikes, tuple(kinds)
        self.masks, self.boxes = masks, boxes

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Change the one picture or batch among ``flat_inputs``; what was made of it."""
        pictures = [item for item in flat_inputs if _is_picture(item)]
        if len(pictures) != 1:
            raise InputError(f"AddSmoke: takes one picture or batch, {len(pictures)} were given")
        picture = pictures[0]
        if isinstance(picture, Tensor) and picture.ndim > 3:
            if (self.masks or self.boxes) and len(flat_inputs) > 1:
                raise InputError("AddSmoke: masks and boxes are of single pictures, not of batches")
            return {"picture": self._batch(picture), "mask": None}
        changed, mask = self._one(_pixels_of(picture))
        return {"picture": _like(picture, changed), "mask": mask}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:  # noqa: ANN401 - as torchvision
        """What :meth:`make_params` made of ``inpt``."""
        if _is_picture(inpt):
            return params["picture"]
        if isinstance(inpt, tv_tensors.Mask) and self.masks:
            mask = torch.from_numpy(params["mask"]).to(inpt.device, inpt.dtype)
            return tv_tensors.wrap(torch.cat([inpt, mask[None]]), like=inpt)
        if isinstance(inpt, tv_tensors.BoundingBoxes) and self.boxes:
            return _with_box(inpt, params["mask"])
        return inpt

    def _one(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """``pixels`` [H, W, 3], changed in place, and the opacity of the smoke in 255ths."""
        smokes, alike = (_uniform() < part for part in (self.p, self.lookalikes))
        strength, kind, seed = self._strength(), _index(len(self.kinds)), _index(_MOST_SEED)
        if smokes:
            made = _load(self.model).render(pixels, strength, seed)
            return made.pixels, made.mask
        if alike:
            add_lookalike(self.kinds[kind], pixels, seed, shipped_layers())
        return pixels, np.zeros(pixels.shape[:2], np.uint8)

    def _batch(self, batch: Tensor) -> Tensor:
        """Each picture of ``batch`` [..., 3, H, W] with smoke of its own."""
        flat = batch.as_subclass(Tensor).reshape(-1, *batch.shape[-3:])
        if self.lookalikes or not batch.is_floating_point():
            made = [torch.as_tensor(_like(one, self._one(_pixels_of(one))[0])) for one in flat]
            smoky = torch.stack(made) if made else flat
        else:
            wanted = torch.tensor([self._strength() * (_uniform() < self.p) for _ in flat])
            added = _load(self.model).add_batch(flat * 2 - 1, wanted, _index(_MOST_SEED)).image
            clean = (wanted == 0).view(-1, 1, 1, 1).to(flat.device)
            smoky = torch.where(clean, flat, ((added + 1) / 2).to(flat.dtype))
        return _wrapped(smoky.reshape(batch.shape), batch)

    def _strength(self) -> float:
        low, high = self.strength
        return low + (high - low) * _uniform()


def _uniform() -> float:
    return float(torch.rand(()))


def _index(count: int) -> int:
    return int(torch.randint(count, ()))


def _is_picture(item: Any) -> bool:  # noqa: ANN401 - anything in a sample
    if isinstance(item, (Image.Image, tv_tensors.Image)):
        return True
    plain = isinstance(item, Tensor) and not isinstance(item, tv_tensors.TVTensor)
    return plain and item.ndim >= 3 and item.shape[-3] == 3


def _pixels_of(picture: Image.Image | Tensor) -> np.ndarray:
    """A picture as a new array uint8 [H, W, 3]."""
    if isinstance(picture, Image.Image):
        return np.array(picture.convert("RGB"))
    whole = tv.to_dtype(picture.as_subclass(Tensor), torch.uint8, scale=True)
    return np.ascontiguousarray(whole.movedim(-3, -1).cpu().numpy()).copy()


def _like(picture: Image.Image | Tensor, pixels: np.ndarray) -> Image.Image | Tensor:
    """``pixels`` [H, W, 3] as a picture of the kind of ``picture``."""
    if isinstance(picture, Image.Image):
        return Image.fromarray(pixels)
    whole = torch.from_numpy(pixels).movedim(-1, -3).contiguous().to(picture.device)
    return _wrapped(tv.to_dtype(whole, picture.dtype, scale=True), picture)


def _wrapped(made: Tensor, like: Tensor) -> Tensor:
    return tv_tensors.wrap(made, like=like) if isinstance(like, tv_tensors.TVTensor) else made


def _with_box(boxes: tv_tensors.BoundingBoxes, mask: np.ndarray) -> tv_tensors.BoundingBoxes:
    """``boxes`` and the one around ``mask``, if there is smoke."""
    covered = torch.from_numpy(mask > _BOX_LEVEL * 255)
    if not covered.any():
        return boxes
    rows, columns = (covered.any(axis).nonzero() for axis in (1, 0))
    edges = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    corners = torch.cat(edges)[None].to(boxes.device, boxes.dtype)
    box = tv_tensors.BoundingBoxes(corners, format="XYXY", canvas_size=boxes.canvas_size)
    own = tv.convert_bounding_box_format(box, new_format=boxes.format)
    return tv_tensors.wrap(torch.cat([boxes, own.as_subclass(Tensor)]), like=boxes)
