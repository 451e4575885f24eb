"""ImageNet weights that ship with wisp, by the backbone they are for."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from wisp.errors import InputError

FOLDER: Final = Path(__file__).parents[1] / "shipped" / "imagenet"
"""Holds ``NAME.safetensors`` for each, and a card that says whose they are."""
SHIPPED: Final = {
    "mobilenetv2_100": "a9e69ed4eafc2a615a94c957c69b2f3e4c0e888027f5c9572096755bf783edbb",
}
"""The hash of each file, by timm's name of the backbone."""


def shipped_weights(backbone: str) -> Path | None:
    """The file of ImageNet weights that ships for ``backbone``; None where there is none.

    Raises InputError where the file is missing or not what it was.
    """
    wanted = SHIPPED.get(backbone)
    if wanted is None:
        return None
    path = FOLDER / f"{backbone}.safetensors"
    state = "is missing"
    if path.is_file():
        with path.open("rb") as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest() == wanted:
                return path
        state = "is damaged"
    raise InputError(
        f"{path}: {state}, the ImageNet weights of {backbone} that ship with wisp; install wisp "
        "again"
    )
