"""Between PIL images, uint8 arrays and tensors in [-1, 1]."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from wisp.images.jpeg import Uint8Array

ImageLike = Image.Image | Uint8Array | Tensor
"""PIL image; uint8 array [H, W, 3] or [H, W]; or float tensor [3, H, W] or [1, H, W] in [-1, 1]."""


def from_uint8(array: Uint8Array) -> Tensor:
    """uint8 [H, W, C] or [B, H, W, C] as float32 [C, H, W] or [B, C, H, W] in [-1, 1]."""
    if not array.flags.writeable:  # a tensor over read-only memory would be undefined behaviour
        array = array.copy()
    pixels = torch.from_numpy(array).movedim(-1, -3)
    return pixels.to(torch.float32, memory_format=torch.contiguous_format).div_(127.5).sub_(1)


def to_tensor(image: Image.Image | Uint8Array) -> Tensor:
    """A PIL image (8 bit; becomes RGB) or uint8 [H, W, 3] as float32 [3, H, W] in [-1, 1]."""
    if isinstance(image, Image.Image):
        return from_uint8(np.array(image.convert("RGB")))
    return from_uint8(image)


def to_uint8(image: Tensor) -> Uint8Array:
    """[C, H, W] or [B, C, H, W] in [-1, 1] as uint8 [H, W, C] or [B, H, W, C], rounded, clamped."""
    scaled = image.detach().to("cpu", torch.float32).clamp(-1, 1).add(1).mul_(127.5).round_()
    array: Uint8Array = scaled.to(torch.uint8).movedim(-3, -1).contiguous().numpy()
    return array


def to_pil(image: ImageLike) -> Image.Image:
    """A picture as PIL image: RGB from three channels, L from one."""
    if isinstance(image, Image.Image):
        return image
    array = to_uint8(image) if isinstance(image, Tensor) else image
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    return Image.fromarray(np.ascontiguousarray(array))
