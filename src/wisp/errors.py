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


class MissingExtraError(InputError):
    """An optional dependency is missing; the message is the one install line that mends it."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs an extra package: pip install 'wisp-smoke[{extra}]'")


class TrainingDivergedError(WispError):
    """A loss became NaN or infinite; the last good checkpoint is kept."""


class WispWarning(UserWarning):
    """Something the user should know that does not stop the work."""
