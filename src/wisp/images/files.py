"""Finding picture files in folders, by name and by glob."""

from __future__ import annotations

import dataclasses
import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from wisp.errors import InputError

EXTENSIONS = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif",
    ".jp2", ".ppm", ".pgm", ".pbm", ".pnm", ".heic", ".heif",
)  # fmt: skip
"""File name endings that count as pictures inside folders (upper or lower case)."""


@dataclasses.dataclass(frozen=True, order=True)
class ImageFile:
    """A file that should hold a picture, and the folder that was asked for."""

    path: Path
    root: Path

    @property
    def name(self) -> str:
        """The path relative to the root, with ``/``: what outputs are named after."""
        return self.path.relative_to(self.root).as_posix()


def _walk(folder: Path, visited: frozenset[str]) -> Iterator[Path]:
    """Picture files below ``folder``, sorted; ``visited`` are the real paths of its parents."""
    real = os.path.realpath(folder)
    if real in visited:  # a link that leads back up
        return
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise InputError(f"{folder}: cannot be listed ({error.strerror or error})") from None
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _walk(entry, visited | {real})
        elif entry.suffix.lower() in EXTENSIONS:
            yield entry  # broken links too: reading them tells, and they are listed as skipped


def _glob_root(pattern: str) -> Path:
    fixed = []
    for part in Path(pattern).parent.parts:
        if glob.has_magic(part):
            break
        fixed.append(part)
    return Path(*fixed)


def _expand(source: str | Path) -> list[ImageFile]:
    path = Path(source)
    if path.is_dir():
        return [ImageFile(found, path) for found in _walk(path, frozenset())]
    if path.exists() or path.is_symlink():
        return [ImageFile(path, path.parent)]
    pattern = str(source)
    if not glob.has_magic(pattern):
        raise InputError(f"{source}: no such file or folder")
    root = _glob_root(pattern)
    found: list[ImageFile] = []
    for match in sorted(glob.glob(pattern, recursive=True)):  # noqa: PTH207 - absolute patterns
        hit = Path(match)
        if hit.is_dir():
            found += [ImageFile(inner, root) for inner in _walk(hit, frozenset())]
        elif hit.suffix.lower() in EXTENSIONS:
            found.append(ImageFile(hit, root))
    return found


def find_images(sources: Sequence[str | Path]) -> list[ImageFile]:
    """The picture files that ``sources`` name, in order, each once.

    Args:
        sources: folders (searched recursively, sorted by name), files (taken whatever they are
            called), or globs. Hidden files are passed over; links are followed, but not in circles;
            broken links are returned, and reading them says so.

    Raises:
        InputError: a source does not exist or holds no picture.
    """
    unique: dict[str, ImageFile] = {}
    for source in sources:
        found = _expand(source)
        if not found:
            known = " ".join(EXTENSIONS)
            raise InputError(
                f"{source}: holds no pictures; give another folder (wisp looks for {known})"
            )
        for file in found:
            unique.setdefault(os.path.abspath(file.path), file)  # noqa: PTH100 - keep links
    return list(unique.values())
