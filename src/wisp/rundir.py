"""A run directory describes itself: configuration, environment, inputs, metrics, results.

Every write is atomic: a temporary file beside the target, flushed, then renamed over it. A run
killed at any moment therefore holds whole files only.
"""

from __future__ import annotations

import contextlib
import csv
import errno
import io
import itertools
import json
import lzma
import os
import secrets
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

from wisp.config import Precision
from wisp.config.checks import flag_of
from wisp.environment import environment
from wisp.errors import InputError, WispError
from wisp.manifest import FileRecord
from wisp.progress import say

TEMPORARY_PREFIX = ".tmp-"
_PROCESS, _NUMBERS = secrets.token_hex(4), itertools.count()
# RuntimeError: an encrypted entry, an unknown method of compression, JSON that is nested too deep.
ZIP_ERRORS = (
    OSError, EOFError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, KeyError, TypeError,
    ValueError, RuntimeError,
)  # fmt: skip
"""What reading a damaged ZIP file, and JSON in it, raises."""
_LINE_ENDS = {ord(end): f"\\u{ord(end):04x}" for end in "\x85\u2028\u2029"}
"""What JSON leaves as it is, and some readers of lines do not."""


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Open ``path`` for writing; it appears whole when the block ends, or not at all.

    Raises WispError naming the path when the disk is full or the folder cannot be written.
    """
    path = Path(path)
    # Made as any new file is, with the rights that the user's umask leaves.
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{_PROCESS}-{next(_NUMBERS)}")
    try:
        with _created(temporary) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            raise cannot_write(path, error) from error
        raise


def _created(path: Path) -> BinaryIO:
    """A new file, in a folder that is made if it is not there."""
    try:
        return path.open("xb")
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("xb")


def cannot_write(
    path: Path,
    error: OSError,
    remedy: str = "start again (what was finished before is kept)",
) -> WispError:
    """What to raise where ``path`` could not be written; ``remedy`` says what helps once there is
    space again."""
    if error.errno == errno.ENOSPC:
        return WispError(f"{path}: the disk is full; free some space and {remedy}")
    return WispError(f"{path}: cannot be written ({error.strerror or error})")


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` atomically."""
    with atomic_file(path) as stream:
        stream.write(data)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` atomically, in UTF-8 that every program reads."""
    write_bytes(path, readable(text).encode())


def readable(name: str) -> str:
    """A file's name in text: as it is, bytes that are no UTF-8 as ``\\xNN``."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def _json(value: Any, **options: Any) -> str:  # noqa: ANN401 - any JSON value
    """``value`` as JSON that is one line for every reader, and UTF-8.

    Of names that are no UTF-8, written as ``\\udcNN``, reading makes the same path again."""
    text = json.dumps(value, ensure_ascii=False, **options).translate(_LINE_ENDS)
    return text.encode(errors="backslashreplace").decode()


def write_json(path: Path, value: Any) -> None:  # noqa: ANN401 - any JSON value
    """Write ``value`` as readable JSON to ``path`` atomically; NaN is refused."""
    write_text(path, _json(value, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:  # noqa: ANN401 - any JSON value
    """The JSON value in ``path``; InputError names the file if there is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; is {path.parent} a wisp run?") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(
            f"{path}: is damaged, not readable as JSON ({error}); restore it or make the run anew"
        ) from None


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSON-lines file; an unfinished last line (a killed writer) is dropped.

    Raises InputError where another line is damaged.
    """
    if not path.exists():
        return []
    rows = []
    *lines, unfinished = path.read_bytes().split(b"\n")
    if not unfinished.startswith(b"{"):  # no row's beginning
        lines += [unfinished] if unfinished else []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            raise InputError(
                f"{path}: line {number} is damaged, not readable as JSON; restore it or make the "
                "run anew"
            )
        rows.append(row)
    return rows


def write_jsonl(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write ``rows`` as JSON lines, atomically."""
    write_text(path, "".join(_json(row) + "\n" for row in rows))


def append_jsonl(path: Path, row: Mapping[str, Any]) -> None:
    """Append a row to JSON lines; WispError names the path when the disk is full."""
    try:
        with path.open("a", encoding="utf-8") as stream:
            stream.write(_json(row) + "\n")
    except OSError as error:
        raise cannot_write(path, error) from error


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write ``rows`` below ``header`` as CSV, atomically."""
    lines = []
    for row in (header, *rows):
        stream = io.StringIO()
        csv.writer(stream).writerow(row)  # ends in \r\n: so that either is quoted within a name
        lines.append(stream.getvalue().removesuffix("\r\n") + "\n")
    write_text(path, "".join(lines))


class RunDir:
    """A run directory: paths and atomic writers for what every run holds."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    @staticmethod
    def require_free(path: Path, *, replaces: str | None = None) -> None:
        """Raise InputError unless ``path`` is an empty or absent folder.

        For jobs that read their input before they make a folder: bad input should leave none. A job
        that cannot go on where it stopped gives its kind as ``replaces``: what a killed run of that
        kind left (no ``result.json``) is removed.
        """
        path = Path(path)
        unfinished = (path / "config.json").exists() and not (path / "result.json").exists()
        if replaces is not None and unfinished and RunDir(path).kind == replaces:
            import shutil

            say(f"{path}: removing the unfinished run that was stopped there")
            shutil.rmtree(path)
        if path.exists() and not path.is_dir():
            raise InputError(f"--out {path} is a file; name a folder that does not exist yet")
        if path.exists() and any(path.iterdir()):
            raise InputError(f"--out {path} is not empty; name another folder or remove it")

    @classmethod
    def create(cls, path: Path, kind: str, config: Mapping[str, Any]) -> RunDir:
        """Start a run of ``kind`` ('train', 'synth', …) in an empty or absent folder.

        Raises InputError when ``path`` is a file or already holds something.
        """
        path = Path(path)
        cls.require_free(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"--out {path}: cannot be made ({error.strerror})") from None
        run = cls(path)
        write_json(run.config_file, {"kind": kind, **config})
        return run

    @classmethod
    def unfinished(
        cls,
        path: Path,
        kind: str,
        config: Mapping[str, Any],
        defaults: Mapping[str, Any],
        free_to_change: Sequence[str] = ("workers",),
    ) -> RunDir | None:
        """The run of ``kind`` to go on with in ``path``, or None if the folder is free.

        Raises InputError when ``path`` holds something else, a finished run, or one whose
        configuration differs from ``config`` in more than ``free_to_change``. What it does not
        name, having been begun by an earlier version, is as in ``defaults``.
        """
        path = Path(path)
        run = cls(path)
        if not run.config_file.exists() or run.kind == "unknown":
            cls.require_free(path)
            return None
        finished = (path / "result.json").exists()
        if run.kind != kind or finished:
            state = "a finished" if finished else "an unfinished"
            raise InputError(
                f"--out {path} holds {state} '{run.kind}' run; name another folder or remove it"
            )
        before = {**defaults, **run.config}
        for key in config:
            if key not in free_to_change and before.get(key) != config[key]:
                raise InputError(
                    f"--out {path} holds an unfinished '{kind}' run with {flag_of(key)} "
                    f"{before.get(key)}, "
                    f"not {config[key]}; repeat its flags to finish it, or remove it"
                )
        run.sweep_temporary()
        say(f"{path}: going on with the unfinished run")
        return run

    @classmethod
    def open(cls, path: Path, kind: str | None = None, flag: str = "") -> RunDir:
        """An existing run; InputError if ``path`` is none, or one of another kind.

        ``flag`` is what the user calls the path, such as ``--resume``.
        """
        run = cls(Path(path))
        named = f"{flag} {path}".lstrip()
        advice = f"give the --out folder of a wisp {kind}" if kind else "give a run's folder"
        if not run.path.is_dir():
            raise InputError(f"{named}: no such run directory; {advice}")
        if not run.config_file.exists():
            raise InputError(f"{named}: not a wisp run (it holds no config.json); {advice}")
        if kind is not None and run.kind != kind:
            raise InputError(
                f"{named}: is a '{run.kind}' run, but a '{kind}' run is needed here; {advice}"
            )
        return run

    @property
    def config_file(self) -> Path:
        """``config.json``: the complete, reloadable configuration and the run's kind."""
        return self.path / "config.json"

    @property
    def config(self) -> dict[str, Any]:
        """The saved configuration without ``kind``."""
        saved = self._saved()
        saved.pop("kind", None)
        return saved

    @property
    def kind(self) -> str:
        """What made this run: 'train', 'synth', 'classify', 'evaluate', 'demo', …"""
        return str(self._saved().get("kind", "unknown"))

    def _saved(self) -> dict[str, Any]:
        saved = read_json(self.config_file)
        if not isinstance(saved, dict):
            raise InputError(f"{self.config_file}: holds no configuration of a wisp run")
        return dict(saved)

    def write_environment(self, **extra: Any) -> None:  # noqa: ANN401 - JSON values
        """Write ``environment.json``."""
        write_json(self.path / "environment.json", environment(**extra))

    def write_inputs(
        self,
        files: Sequence[Mapping[str, Any]],
        *,
        parents: Mapping[str, Path] | None = None,
        skipped: Sequence[Mapping[str, str]] = (),
    ) -> None:
        """Write ``inputs.json``: each file's path, hash and group; parent runs; bad files.

        Parents are stored relative to the run, so that a folder of runs can be moved.
        """
        relative = {
            name: os.path.relpath(Path(parent).resolve(), self.path.resolve())
            for name, parent in (parents or {}).items()
        }
        write_json(
            self.path / "inputs.json",
            {"parents": relative, "skipped": list(skipped), "files": list(files)},
        )

    @property
    def inputs(self) -> dict[str, Any]:
        """What ``write_inputs`` wrote: {"parents", "skipped", "files"}."""
        file = self.path / "inputs.json"
        said = read_json(file)
        parts = {"parents": dict, "skipped": list, "files": list}
        if not isinstance(said, dict) or not all(
            isinstance(said.get(name), kind) for name, kind in parts.items()
        ):
            raise InputError(f"{file}: is damaged; restore it or make the run anew")
        return said

    def parent(self, name: str) -> RunDir | None:
        """The parent run called ``name``, or None if it is not recorded or no longer there."""
        if not (self.path / "inputs.json").exists():
            return None
        relative = self.inputs["parents"].get(name)
        if relative is None:
            return None
        path = (self.path / relative).resolve()
        return RunDir(path) if (path / "config.json").exists() else None

    def files_seen(self) -> list[FileRecord]:
        """All files that this run and the runs it was made from have read.

        So the photos that a smoke model learned from count as seen by the detector that learned
        from its smoke.
        """
        records = [FileRecord.from_json(row) for row in self.inputs["files"]]
        for name in self.inputs["parents"]:
            parent = self.parent(name)
            if parent is not None and (parent.path / "inputs.json").exists():
                records += parent.files_seen()
        return list({(record.path, record.sha256): record for record in records}.values())

    @property
    def metrics_file(self) -> Path:
        """``metrics.jsonl``: one row per logged step."""
        return self.path / "metrics.jsonl"

    def log(self, row: Mapping[str, Any]) -> None:
        """Append one row to ``metrics.jsonl`` (a killed append leaves a line readers drop)."""
        append_jsonl(self.metrics_file, row)

    def sweep_temporary(self) -> None:
        """Remove what a killed writer left behind."""
        import shutil

        for leftover in self.path.rglob(f"{TEMPORARY_PREFIX}*"):
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)


def precision_so_far(run: Path, precision: Precision) -> Precision | None:
    """What ``auto`` came to when the unfinished ``run`` began: it must not choose anew."""
    file = run / "environment.json"
    if precision != "auto" or not file.exists():
        return None
    return cast(Precision, read_json(file)["precision"])
