"""What the pictures of a data set are called: after their photos, as far as every tool, file system
and list of files can hold it."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

from wisp.config import LOOKALIKES

# Bytes that are no UTF-8, what ends a line in some reader, what Windows has no files of, and what
# Hugging Face `datasets` takes for a variable of the environment.
_UNSAFE = re.compile(r'[\ud800-\udfff\x00-\x1f\x7f-\x9f\u2028\u2029\\:*?"<>|$]')
_RESERVED = re.compile(r"^(?:con|prn|aux|nul|com\d|lpt\d)(?=\.|$)", re.IGNORECASE)
_LONGEST_BYTES = 200
"""Of a folder or a stem: file systems end at 255, and endings follow."""

# Hugging Face `datasets` takes a folder of such a name, at any depth, for a split.
_TEST_FOLDER = re.compile(r"(?<![^-._ 0-9])(test|testing|eval|evaluation)(?![^-._ 0-9])")
_SPLIT_FOLDER = re.compile(r"(?<![^-._ 0-9])(validation|valid|dev|val)(?![^-._ 0-9])")
# Ultralytics looks for labels elsewhere, if a folder has this name.
_IMAGES_FOLDER = re.compile(r"^(images)$")
# A photo of such a name could take the place of another one's look-alike.
_LIKE_A_NEGATIVE = re.compile(f"~({'|'.join(LOOKALIKES)})$", re.IGNORECASE)


def file_stems(
    photos: Sequence[tuple[str, str]],
    *,
    has_validation: bool,
    has_negatives: bool = False,
    has_sequences: bool = False,
) -> list[str]:
    """Names without suffix, with ``/``, for (path relative to its root, SHA-256) of each photo.

    Where two photos would share one (``a.png`` and ``a.jpg``, or the same name below two folders),
    and where a name is cut, each gets a piece of its hash; copies of one file are numbered. With
    sequences the last part names a folder, too.
    """
    stems, cut = [], []
    for path, _ in photos:
        *folders, last = (_safe(part) for part in PurePosixPath(path).with_suffix("").parts)
        folders = [_safe_folder(folder, has_validation) for folder in folders]
        last = _safe_folder(last, has_validation) if has_sequences else last
        parts = [_shortened(part) for part in (*folders, last)]
        stems.append("/".join(parts))
        cut.append(parts != [*folders, last])
    count = Counter(map(_same_file, stems))
    names = [
        f"{stem}~{sha256[:8]}"
        if short or count[_same_file(stem)] > 1 or (has_negatives and _LIKE_A_NEGATIVE.search(stem))
        else stem
        for stem, short, (_, sha256) in zip(stems, cut, photos, strict=True)
    ]
    seen: Counter[str] = Counter()
    unique = []
    for name in names:
        seen[_same_file(name)] += 1
        number = seen[_same_file(name)]
        unique.append(name if number == 1 else f"{name}~{number}")
    return unique


def _same_file(name: str) -> str:
    """Equal for names that are one file on some systems: of other case, or composed otherwise."""
    return unicodedata.normalize("NFC", name).casefold()


def _safe(part: str) -> str:
    """A folder's or file's name with ``_`` for what some tool or file system cannot hold."""
    part = _RESERVED.sub(r"\g<0>_", _UNSAFE.sub("_", part))
    return re.sub(r"^\s+|[.\s]+$", "_", part)


def _safe_folder(name: str, has_validation: bool) -> str:
    """``name``, so that no tool takes it for more than a folder: test → tests, images → images_."""
    name = _IMAGES_FOLDER.sub(r"\1_", _TEST_FOLDER.sub(r"\1s", name))
    return name if has_validation else _SPLIT_FOLDER.sub(r"\1s", name)


def _shortened(part: str) -> str:
    cut = part.encode()[:_LONGEST_BYTES].decode(errors="ignore")
    return re.sub(r"[.\s]+$", "_", cut)  # as Windows cannot hold it
