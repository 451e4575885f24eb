"""One way to say how far the work is: a bar on a terminal, plain lines otherwise, on stderr."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

_PLAIN_INTERVAL_S = 10.0


_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def one_line(text: str) -> str:
    r"""``text`` as a terminal shows it in a line, whatever a file in it is called: bytes that are
    no UTF-8 as ``\xNN``, control characters by their escapes.

    >>> one_line("a\nb\x1b[31m"), one_line("k\udcfcche")
    ('a\\nb\\x1b[31m', 'k\\xfcche')
    """
    text = text.encode(errors="surrogateescape").decode(errors="backslashreplace")
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def say(message: str) -> None:
    """Print one line for the user on stderr (stdout is kept for results)."""
    sys.stderr.write(one_line(message) + "\n")
    sys.stderr.flush()


_said: set[str] = set()


def say_once(what: str, of: object) -> None:
    """Say ``what`` is true of ``of``, of the first of its kind only."""
    if what not in _said:
        _said.add(what)
        say(f"{of}: {what} (said once; others may be like it)")


def counted(number: int, noun: str) -> str:
    """``1 group``, ``7 groups``.

    >>> counted(1, "group"), counted(0, "photo")
    ('1 group', '0 photos')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def format_duration(seconds: float) -> str:
    """``3725`` as ``1:02:05``, ``65`` as ``1:05``.

    >>> format_duration(3725)
    '1:02:05'
    """
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, secs = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{secs:02d}" if hours else f"{minutes}:{secs:02d}"


class Progress:
    """Counts units of work; ``advance`` may carry a short note (losses, say)."""

    def __init__(
        self,
        label: str,
        total: int,
        *,
        done: int = 0,
        unit: str = "it",
        stream: TextIO | None = None,
    ) -> None:
        self.label, self.total, self.unit = label, total, unit
        self.done = self._started_at_count = done
        self._stream = stream or sys.stderr
        self._start_s = self._last_line_s = time.monotonic()
        self._bar = self._make_bar() if self._stream.isatty() else None

    def _make_bar(self) -> object:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as RichProgress

        bar = RichProgress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            console=Console(file=self._stream),
            transient=False,
        )
        self._task = bar.add_task(self.label, total=self.total, completed=self.done, note="")
        bar.start()
        return bar

    @property
    def rate_per_s(self) -> float:
        """Units per second since this process began counting."""
        elapsed_s = time.monotonic() - self._start_s
        return (self.done - self._started_at_count) / elapsed_s if elapsed_s > 0 else 0.0

    @property
    def left_s(self) -> float:
        """Seconds left at the present rate; infinity before the first unit."""
        rate = self.rate_per_s
        return (self.total - self.done) / rate if rate > 0 else float("inf")

    def _status(self, note: str) -> str:
        left = format_duration(self.left_s) if self.left_s != float("inf") else "?"
        status = f"{self.rate_per_s:.1f} {self.unit}/s, {left} left"
        return f"{status}, {note}" if note else status

    def advance(self, count: int = 1, note: str = "") -> None:
        """Count ``count`` more units as done."""
        self.done += count
        if self._bar is not None:
            self._bar.update(self._task, advance=count, note=self._status(note))  # type: ignore[attr-defined]
            return
        now_s = time.monotonic()
        if now_s - self._last_line_s >= _PLAIN_INTERVAL_S or self.done == self.total:
            self._last_line_s = now_s
            self._stream.write(f"{self.label}: {self.done}/{self.total}, {self._status(note)}\n")
            self._stream.flush()

    def close(self) -> None:
        """Put the terminal back in order."""
        if self._bar is not None:
            self._bar.stop()  # type: ignore[attr-defined]
            self._bar = None


@contextmanager
def progress(label: str, total: int, *, done: int = 0, unit: str = "it") -> Iterator[Progress]:
    """A :class:`Progress` that is closed whatever happens."""
    bar = Progress(label, total, done=done, unit=unit)
    try:
        yield bar
    finally:
        bar.close()
