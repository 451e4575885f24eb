"""The errors a user can meet, each one sentence that names what to change.

The command line turns them into exit codes: 2 for wrong usage or input, 1 for failure.
"""

from __future__ import annotations


class WispError(Exception):
    """Something failed while wisp worked; exit code 1."""

    exit_code = 1


class InputError(WispError):
    """A file, folder or flag is not usable; the message names it and what to do; exit code 2."""

    exit_code = 2


class StoppedError(WispError):
    """The user stopped the work (Ctrl-C); the message says how to go on. Exit code 130."""

    exit_code = 130


class TrainingDivergedError(WispError):
    """A loss became NaN or infinite; the last good checkpoint is kept."""
