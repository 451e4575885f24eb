"""Reading every picture once: which are usable, how large, which bytes, which look."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from wisp.errors import InputError
from wisp.images.decoding import UnreadableImageError, decode_sized
from wisp.images.files import ImageFile
from wisp.manifest import sha256_of
from wisp.progress import progress

_HASH_PX = 136  # short side that is enough for the hash; large JPEGs are decoded at this scale


@dataclasses.dataclass(frozen=True)
class Scanned:
    """A usable picture."""

    path: Path
    root: Path
    width: int
    """Upright width [px]."""
    height: int
    """Upright height [px]."""
    sha256: str
    phash: str
    """Perceptual hash, see :func:`perceptual_hash`."""

    @property
    def name(self) -> str:
        """The path relative to the root, with ``/``."""
        return self.path.relative_to(self.root).as_posix()


@dataclasses.dataclass(frozen=True)
class Skipped:
    """A file that cannot be used, and why."""

    path: Path
    reason: str

    def to_json(self) -> dict[str, str]:
        """``{"path", "reason"}``."""
        return {"path": str(self.path), "reason": self.reason}


def perceptual_hash(image: Image.Image) -> str:
    """Difference hash: 256 bits, whether brightness falls from each of 17 x 16 cells to the next.

    Pictures that differ in size, JPEG quality or a little in light have hashes that differ in few
    bits (see ``manifest.NEAR_DIFFERENCE``). Returns 64 hex digits; one colour gives zeros.
    """
    small = image.convert("RGB").resize((17, 16), Image.Resampling.BOX).convert("L")
    cells = np.asarray(small, dtype=np.int16)
    bits = np.packbits(cells[:, :-1] > cells[:, 1:])
    return bits.tobytes().hex()


def _scan_one(file: ImageFile) -> Scanned | Skipped:
    try:
        image, width, height = decode_sized(file.path, _HASH_PX)
        digest = sha256_of(file.path)
    except UnreadableImageError as error:
        return Skipped(file.path, error.reason)
    except InputError as error:
        return Skipped(file.path, str(error))
    return Scanned(file.path, file.root, width, height, digest, perceptual_hash(image))


def scan(
    files: Sequence[ImageFile], workers: int | None = None, label: str = "reading pictures"
) -> tuple[list[Scanned], list[Skipped]]:
    """Decode every file once, in parallel threads, and sort the usable from the others.

    Returns the usable ones and the skipped ones, each in the order of ``files``. Order and result
    do not depend on ``workers`` (default: the number of cores).
    """
    good: list[Scanned] = []
    bad: list[Skipped] = []
    threads = max(1, workers or os.cpu_count() or 1)
    pool = ThreadPoolExecutor(threads)
    try:
        with progress(label, len(files), unit="img") as bar:
            for result in pool.map(_scan_one, files):
                if isinstance(result, Scanned):
                    good.append(result)
                else:
                    bad.append(result)
                bar.advance(note=f"{len(bad)} skipped" if bad else "")
    finally:
        pool.shutdown(cancel_futures=True)
    return good, bad
