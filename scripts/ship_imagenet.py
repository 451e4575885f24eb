"""Make the ImageNet weights that ship with wisp from a file of them.

    python scripts/ship_imagenet.py mobilenetv2_100 FILE

Without the classifier, in half precision, in timm's names. Prints the hash that
src/wisp/networks/imagenet.py has to know.
"""

from __future__ import annotations

import sys
from pathlib import Path

from safetensors.torch import save

from wisp.manifest import sha256_of
from wisp.networks.backbone import load_backbone
from wisp.networks.imagenet import FOLDER
from wisp.networks.weights import halved
from wisp.rundir import write_bytes


def main(name: str, weights: Path) -> None:
    """Read ``weights``, write the file."""
    state = halved(load_backbone(name, weights).net.state_dict())
    path = FOLDER / f"{name}.safetensors"
    write_bytes(path, save({key: value.contiguous() for key, value in state.items()}))
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, sha256 {sha256_of(path)}")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
