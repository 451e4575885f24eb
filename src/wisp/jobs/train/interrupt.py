"""Ctrl-C (and a cluster's SIGTERM) as a wish to stop after the present step."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from wisp.progress import say

_NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}


class StopWish:
    """``reason`` is empty until the user wants to stop, then "Ctrl-C" or "SIGTERM"."""

    def __init__(self) -> None:
        self.reason = ""


@contextlib.contextmanager
def stop_after_step() -> Iterator[StopWish]:
    """Inside the block the first Ctrl-C only sets a wish; a second one interrupts at once.

    Outside the main thread, where signals cannot be caught, nothing changes.
    """
    wish = StopWish()
    if threading.current_thread() is not threading.main_thread():
        yield wish
        return
    before = {number: signal.getsignal(number) for number in _NAMES}

    def handle(number: int, frame: FrameType | None) -> None:
        if wish.reason:
            raise KeyboardInterrupt
        wish.reason = _NAMES[signal.Signals(number)]
        say(f"{wish.reason}: finishing the step and writing a checkpoint (again: stop at once)")

    for number in _NAMES:
        signal.signal(number, handle)
    try:
        yield wish
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
