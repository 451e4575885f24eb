"""Finding picture files in folders, by name and by glob."""

from __future__ import annotations

import dataclasses
import glob
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from wisp.errors import InputError
from wisp.images.decoding import open_lazily
from wisp.progress import say

EXTENSIONS = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif",
    ".jp2", ".ppm", ".pgm", ".pbm", ".pnm", ".heic", ".heif",
)  # fmt: skip
"""File name endings that count as pictures (upper or lower case), whatever the files hold."""


@dataclasses.dataclass(frozen=True, order=True)
class ImageFile:
    """A file that should hold a picture, and the folder that was asked for."""

    path: Path
    root: Path

    @property
    def name(self) -> str:
        """The path relative to the root, with ``/``: what outputs are named after."""
        return self.path.relative_to(self.root).as_posix()


_NOT_PHOTOS = re.compile(
    r"@eadir|@__thumb|\.?thumb(nail)?s|#recycle|\$recycle\.bin|\.trash.*|__macosx"
    "|system volume information",
    re.IGNORECASE,
)
"""Folders that servers and systems keep thumbnails and deleted files in."""
_BESIDE_PHOTOS = frozenset(
    {".txt", ".json", ".jsonl", ".csv", ".xml", ".yaml", ".yml", ".md", ".html", ".ini", ".db"}
)
"""Endings of what describes photos: passed over without a word."""


def passed_over(folder: Path) -> str | None:
    """Why no pictures are looked for in ``folder``, in a sentence, which is empty where it is
    hidden; None if they are."""
    if _NOT_PHOTOS.fullmatch(folder.name):
        return f"{folder}: passed over (thumbnails or deleted files)"
    if folder.name.startswith("."):
        return ""
    try:
        os.scandir(folder).close()
    except OSError as error:
        return f"{folder}: cannot be listed ({error.strerror or error})"
    return None


class _Search:
    """Looks for pictures, and keeps what it passed over."""

    def __init__(self) -> None:
        self.folders: dict[str, None] = {}  # what is said of them, in order, each once
        self.others: list[Path] = []

    def below(self, folder: Path, visited: frozenset[str] = frozenset()) -> Iterator[Path]:
        """Pictures, sorted; ``visited`` are the real paths of the parents of ``folder``."""
        real = os.path.realpath(folder)
        if real in visited:  # a link that leads back up
            return
        try:
            entries = sorted(folder.iterdir())
        except OSError as error:
            raise InputError(f"{folder}: cannot be listed ({error.strerror or error})") from None
        for entry in entries:
            # (Of what may not be looked at, pathlib's question raises.)
            if not os.path.isdir(entry):  # noqa: PTH112
                if not entry.name.startswith(".") and self.is_picture(entry):
                    yield entry
            elif not self.passes_over(entry):
                yield from self.below(entry, visited | {real})

    def passes_over(self, folder: Path) -> bool:
        """Whether ``folder`` is passed over, which is kept to be said."""
        reason = passed_over(folder)
        if reason:
            self.folders[reason] = None
        return reason is not None

    def is_picture(self, file: Path) -> bool:
        """By its ending, or else by its content. (Broken links, too: reading them tells.)"""
        ending = file.suffix.lower()
        if ending in EXTENSIONS:
            return True
        if ending in _BESIDE_PHOTOS or not os.path.isfile(file):  # noqa: PTH113
            return False
        try:
            with file.open("rb") as stream:
                found = open_lazily(stream) is not None
        except Exception:  # decoders raise almost anything, here of what may be no picture
            found = False
        if not found:
            self.others.append(file)
        return found

    def report(self) -> None:
        """Say what was passed over."""
        for reason in self.folders:
            say(reason)
        endings = Counter(file.suffix.lower() or "without ending" for file in self.others)
        if endings:
            counts = ", ".join(f"{count} {ending}" for ending, count in endings.most_common())
            say(
                f"passed over, no pictures that can be read: {counts} (for example "
                f"{self.others[0]})"
            )


def _literal_start(pattern: str) -> tuple[Path, str]:
    """The folder that ``pattern`` begins with, and the rest; a folder that is there is meant, even
    if its name reads as a pattern."""
    *folders, last = Path(pattern).parts
    root = Path()
    for position, part in enumerate(folders):
        if glob.has_magic(part) and not (root / part).is_dir():
            return root, str(Path(*folders[position:], last))
        root /= part
    return root, last


def _expand(source: str | Path, search: _Search) -> list[ImageFile]:
    path = Path(source)
    if path.is_dir():
        return [ImageFile(found, path) for found in search.below(path)]
    if path.exists() or path.is_symlink():
        return [ImageFile(path, path.parent)]
    if not glob.has_magic(str(source)):
        raise InputError(f"{source}: no such file or folder")
    root, pattern = _literal_start(str(source))
    found: list[ImageFile] = []
    for match in sorted(glob.glob(pattern, root_dir=root, recursive=True)):  # noqa: PTH207
        hit = root / match
        asked = Path(pattern).parts  # what is named is meant
        if any(
            _NOT_PHOTOS.fullmatch(place.name) and search.passes_over(root / place)
            for place in (Path(match), *Path(match).parents)
            if place.name not in asked
        ):
            continue
        if hit.is_dir():
            found += [ImageFile(inner, root) for inner in search.below(hit)]
        elif search.is_picture(hit):
            found.append(ImageFile(hit, root))
    return found


def find_images(sources: Sequence[str | Path], *, tell: bool = True) -> list[ImageFile]:
    """The picture files that ``sources`` name, in order, each once.

    Args:
        sources: folders (searched recursively, sorted by name), files (taken whatever they are
            called), or globs. Files of other endings are told by content. Hidden files are passed
            over, and, with a word, thumbnails, folders that cannot be listed and what is no
            picture; links are followed, but not in circles; broken links are returned, and reading
            them says so.
        tell: whether to say what was passed over.

    Raises:
        InputError: a source does not exist or holds no picture.
    """
    unique: dict[str, ImageFile] = {}
    search = _Search()
    for source in sources:
        found = _expand(source, search)
        if not found:
            known = " ".join(EXTENSIONS)
            raise InputError(
                f"{source}: holds no pictures; give another folder (wisp looks for {known})"
            )
        for file in found:
            unique.setdefault(os.path.abspath(file.path), file)  # noqa: PTH100 - keep links
    if tell:
        search.report()
    return list(unique.values())
