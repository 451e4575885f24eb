"""The layer bank: smoke lifted from real photos, in one file that anyone can open.

A zip of ordinary pictures: each layer is a WebP whose colour is the airlight and whose alpha
channel is the opacity 1 - exp(-τ), beside ``index.json``, which says where each comes from and how
it was judged.
"""

from __future__ import annotations

import dataclasses
import io
import json
import threading
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from wisp.errors import InputError
from wisp.rundir import ZIP_ERRORS, atomic_file
from wisp.smoke import SmokeLayer, density_of
from wisp.smoke.noise import Pixels

BANK_FILE = "layers.zip"
"""What the bank is called in a run of ``wisp train --model layered``."""
FORMAT = 1
_INDEX = "index.json"
_QUALITY = 90
_MAX_LAYERS = 100_000
_MAX_BYTES = 8 << 20
_KEPT = 1024
_DENSITIES = density_of(np.minimum(np.arange(256, dtype=np.float32) / 255, np.float32(0.995)))
_SMALLEST_PX = 8


@dataclasses.dataclass(frozen=True)
class Lift:
    """A layer and what is known of it."""

    layer: SmokeLayer
    name: str
    """Unique in its bank."""
    source_sha256: str
    """Hash of the photo it was lifted from."""
    group: str
    score: float
    """Consistency in [0, 1]: how much of it was found again after it was laid over other photos."""

    def row(self) -> dict[str, Any]:
        """Its entry in ``index.json``."""
        cover = self.layer.opacity
        return {
            "name": self.name,
            "source_sha256": self.source_sha256,
            "group": self.group,
            "score": round(self.score, 4),
            "mean_opacity": round(float(cover.mean()), 4),
            "largest_opacity": round(float(cover.max()), 4),
        }


def encode_layer(layer: SmokeLayer) -> bytes:
    """``layer`` as WebP: airlight as colour, opacity as alpha (8 bit)."""
    rgba = np.dstack([layer.airlight, layer.opacity])
    rgba = np.clip(np.rint(255 * rgba), 0, 255).astype(np.uint8)
    stream = io.BytesIO()
    # exact: colours also where nothing is opaque; a photo may be cut from the very edge.
    Image.fromarray(rgba, "RGBA").save(
        stream, "WEBP", quality=_QUALITY, alpha_quality=100, method=4, exact=True
    )
    return stream.getvalue()


def decode_layer(data: bytes) -> SmokeLayer:
    """What :func:`encode_layer` wrote, to 8 bits; PIL's errors or ValueError if it is none."""
    return _layer_of(_decode(data))


def _decode(data: bytes) -> Pixels:
    rgba = np.asarray(Image.open(io.BytesIO(data), formats=["WEBP"]).convert("RGBA"))
    if min(rgba.shape[:2]) < _SMALLEST_PX:
        raise ValueError(f"{rgba.shape[1]} x {rgba.shape[0]} px are too few")
    return rgba


def _layer_of(rgba: Pixels) -> SmokeLayer:
    return SmokeLayer(_DENSITIES[rgba[..., 3]], rgba[..., :3] / np.float32(255))


def write_bank(path: Path, lifts: Sequence[Lift]) -> None:
    """Write ``lifts`` atomically; their order is kept."""
    with atomic_file(path) as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as bank:
        index = {"format": FORMAT, "layers": [lift.row() for lift in lifts]}
        entries = [(_INDEX, json.dumps(index, indent=1).encode())]
        entries += [(f"{lift.name}.webp", encode_layer(lift.layer)) for lift in lifts]
        for name, data in entries:
            # A fixed date: the same layers give the same file.
            bank.writestr(zipfile.ZipInfo(name, (2000, 1, 1, 0, 0, 0)), data)


class LayerBank(Sequence[SmokeLayer]):
    """The layers of a bank file, decoded when they are needed; ``rows`` describe them.

    Raises InputError, naming the file, when it is missing, damaged, of another format or empty.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        try:
            with zipfile.ZipFile(self.path) as bank:
                self.rows: list[dict[str, Any]] = self._read_index(bank)
                self._data = [self._read(bank, f"{row['name']}.webp") for row in self.rows]
        except FileNotFoundError:
            raise InputError(f"{self.path}: there is no such layer bank") from None
        except ZIP_ERRORS as error:
            raise InputError(
                f"{self.path}: is damaged, not readable as a layer bank ({error}); make it anew "
                "with wisp train --model layered"
            ) from None
        if not self.rows:
            raise InputError(f"{self.path}: holds no layers; train on more or denser smoke")
        self._decoded: dict[int, Pixels] = {}
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[LayerBank], tuple[Path]]:
        """Workers read the file themselves: a lock cannot be sent to them."""
        return type(self), (self.path,)

    def _read_index(self, bank: zipfile.ZipFile) -> list[dict[str, Any]]:
        index = json.loads(self._read(bank, _INDEX))
        if index["format"] != FORMAT:
            raise ValueError(f"format {index['format']}, this version reads {FORMAT}")
        rows = list(index["layers"])
        if len(rows) > _MAX_LAYERS:
            raise ValueError(f"{len(rows)} layers")
        return rows

    @staticmethod
    def _read(bank: zipfile.ZipFile, name: str) -> bytes:
        if bank.getinfo(name).file_size > _MAX_BYTES:
            raise ValueError(f"{name} is larger than any layer")
        return bank.read(name)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> SmokeLayer:  # type: ignore[override]
        if not -len(self) <= number < len(self):
            raise IndexError(number)
        number %= len(self)
        with self._lock:  # the threads of `wisp synth` share a bank
            rgba = self._decoded.get(number)
        if rgba is not None:
            return _layer_of(rgba)
        try:
            rgba = _decode(self._data[number])
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            raise InputError(
                f"{self.path}: its layer {self.rows[number]['name']} is damaged ({error})"
            ) from None
        with self._lock:
            if len(self._decoded) >= _KEPT:  # the whole of a large bank need not be in memory
                del self._decoded[next(iter(self._decoded))]
            self._decoded[number] = rgba
        return _layer_of(rgba)

    def __iter__(self) -> Iterator[SmokeLayer]:
        return (self[number] for number in range(len(self)))
