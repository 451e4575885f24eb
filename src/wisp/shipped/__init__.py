"""The models that come with wisp, by name: ``layered`` makes smoke, ``smoke-detector`` finds it.

Each is a folder beside this file that is laid out as the run it was packed from, so that whatever
reads runs reads it too. ``manifest.json`` holds the hash of every file in it.
"""

from __future__ import annotations

from pathlib import Path

from wisp.errors import InputError
from wisp.manifest import sha256_of
from wisp.rundir import read_json, write_json

FOLDER = Path(__file__).parent
MANIFEST_FILE = "manifest.json"
LARGEST_BYTES = {"layered": 15_000_000, "smoke-detector": 25_000_000}
"""The shipped names, and what each may come to: everyone who installs wisp downloads them."""


def find(name: str | Path) -> Path | None:
    """The folder of the shipped model that is called ``name``; None if nothing shipped is.

    A file or folder of that name elsewhere is meant by a path (``./layered``) or a Path object.
    Raises InputError when the model is not installed, or its files are not those that were shipped.
    """
    if not isinstance(name, str) or name not in LARGEST_BYTES:
        return None
    folder = FOLDER / name
    advice = f"install wisp again (a folder of your own of that name is ./{name})"
    if not (folder / MANIFEST_FILE).is_file():
        raise InputError(
            f"{name}: is a model that ships with wisp, but {folder} does not hold it; {advice}"
        )
    for file, wanted in read_json(folder / MANIFEST_FILE)["files"].items():
        if not (folder / file).is_file() or sha256_of(folder / file) != wanted:
            raise InputError(f"{folder / file}: is missing or not as it was shipped; {advice}")
    return folder


def resolve(name: str | Path) -> Path:
    """The folder of the shipped model that is called ``name``, else ``name`` as a path.

    Raises InputError as :func:`find` does.
    """
    return find(name) or Path(name)


def seal(name: str) -> int:
    """Write the manifest of a model whose other files are in place; its size in bytes.

    Raises InputError when the model is larger than it may be.
    """
    folder = FOLDER / name
    (folder / MANIFEST_FILE).unlink(missing_ok=True)
    files = {path.name: path for path in sorted(folder.iterdir())}
    size = sum(path.stat().st_size for path in files.values())
    if size > LARGEST_BYTES[name]:
        largest = max(files, key=lambda file: files[file].stat().st_size)
        raise InputError(
            f"{folder}: comes to {size / 1e6:.1f} MB, but {name} may have at most "
            f"{LARGEST_BYTES[name] / 1e6:g} MB; its largest file is {largest} "
            f"({files[largest].stat().st_size / 1e6:.1f} MB)"
        )
    hashes = {file: sha256_of(path) for file, path in files.items()}
    write_json(folder / MANIFEST_FILE, {"files": hashes})
    return size
