"""Checkpoints: folders of safetensors and JSON that appear whole or not at all.

Nothing here ever executes code from a file: safetensors cannot hold any, and ``.pth`` files are
read with ``weights_only=True``.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from wisp.errors import InputError, WispError
from wisp.networks.weights import read_state
from wisp.rundir import TEMPORARY_PREFIX, cannot_write, read_json, write_bytes, write_json

STATE_FILE = "checkpoint.json"
_REMEDY = "resume the run (checkpoints written before are intact)"
FORMAT = 1


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """What :func:`save_checkpoint` wrote: tensors by file and name, and the JSON state."""

    path: Path
    tensors: dict[str, dict[str, Tensor]]
    state: dict[str, Any]


def save_checkpoint(
    path: Path, tensors: Mapping[str, Mapping[str, Tensor]], state: Mapping[str, Any]
) -> None:
    """Write folder ``path`` with one ``NAME.safetensors`` per entry of ``tensors``, and ``state``.

    The folder is written under a temporary name, flushed to disk, then renamed: a kill leaves
    either all of it or none. An earlier folder of that name is replaced. Raises WispError when the
    disk is full or the place cannot be written; the part written so far is removed.
    """
    path = Path(path)
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=path.parent))
        temporary.chmod(0o755)
        sizes = {}
        for name, entries in tensors.items():
            file = temporary / f"{name}.safetensors"
            plain = {key: value.detach().cpu().contiguous() for key, value in entries.items()}
            write_bytes(file, save(plain, metadata={"format": "pt"}))
            sizes[file.name] = file.stat().st_size
        write_json(temporary / STATE_FILE, {"format": FORMAT, "files": sizes, **state})
        if path.exists():
            shutil.rmtree(path)
        temporary.replace(path)
        _flush_folder(path.parent)
    except OSError as error:
        raise cannot_write(path, error, _REMEDY) from error
    except WispError as error:
        if isinstance(error.__cause__, OSError):
            raise cannot_write(path, error.__cause__, _REMEDY) from error
        raise
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def _flush_folder(path: Path) -> None:
    if os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read what :func:`save_checkpoint` wrote, on the CPU.

    Raises InputError, naming the file, when one is missing, truncated or damaged.
    """
    path = Path(path)
    state = dict(read_json(path / STATE_FILE))
    if state.pop("format", None) != FORMAT or not isinstance(state.get("files"), dict):
        raise InputError(f"{path / STATE_FILE}: is no checkpoint that this version of wisp reads")
    tensors = {}
    for name, size in state.pop("files").items():
        file = path / name
        found = file.stat().st_size if file.exists() else 0
        if found != size:
            raise InputError(
                f"{file}: is truncated ({found} of {size} bytes); use an earlier checkpoint"
            )
        tensors[file.stem] = read_tensors(file)
    return Checkpoint(path, tensors, state)


def pointed_to(pointer: Path) -> Path:
    """The checkpoint that ``checkpoints/latest.json`` or ``best.json`` of a run names.

    Raises InputError where the file is damaged.
    """
    said = read_json(pointer)
    if not isinstance(said, dict) or not isinstance(said.get("path"), str):
        raise InputError(f"{pointer}: is damaged; name one of the checkpoints beside it")
    return pointer.parent.parent / str(said["path"])


def read_tensors(path: Path, flag: str = "") -> dict[str, Tensor]:
    """The tensors by name in a ``.safetensors`` or torch ``.pth``/``.pt`` file, on the CPU.

    See :func:`wisp.networks.weights.read_state`, which words its InputError after ``flag``.
    """
    return read_state(Path(path), flag)
