"""The history of generated images (Shrivastava et al. 2017; Zhu et al. 2017, section 4)."""

from __future__ import annotations

import torch
from torch import Tensor


class ImagePool:
    """Shows a discriminator earlier generated images, so that it does not forget old mistakes.

    Holds up to ``capacity`` images; with capacity 0 it hands back what it is given.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._images: list[Tensor] = []

    def __len__(self) -> int:
        return len(self._images)

    def query(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Exchange ``images`` [B, 3, H, W] for as many to show: new and earlier ones, detached.

        Until the pool is full each new image is kept and shown. Then, with probability one half, a
        random earlier one is shown and replaced by the new one; else the new one is shown.
        ``generator`` (on the CPU) draws.
        """
        images = images.detach()
        if self.capacity == 0:
            return images
        shown = []
        for image in torch.split(images, 1):
            if len(self._images) < self.capacity:
                self._images.append(image.clone())
                shown.append(image)
            elif torch.rand((), generator=generator) < 0.5:
                place = int(torch.randint(self.capacity, (), generator=generator))
                shown.append(self._images[place])
                self._images[place] = image.clone()
            else:
                shown.append(image)
        return torch.cat(shown)

    def state(self) -> dict[str, Tensor]:
        """The images held, in order: {"images": [N, 3, H, W]}, or {} when there are none."""
        return {"images": torch.cat(self._images)} if self._images else {}

    def load_state(self, state: dict[str, Tensor], device: torch.device) -> None:
        """Hold again what :meth:`state` gave."""
        images = state.get("images")
        self._images = (
            []
            if images is None
            else [
                one.to(device).contiguous(memory_format=torch.channels_last)
                for one in torch.split(images, 1)
            ]
        )
