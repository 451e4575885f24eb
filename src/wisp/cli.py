"""The ``wisp`` command.

Only what a call needs is imported: ``wisp --help`` loads no torch, no configuration and no tyro.
"""

from __future__ import annotations

import errno
import io
import json
import math
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wisp.errors import InputError, WispError
from wisp.progress import say

# name → (configuration class, one line for `wisp --help`)
COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("DemoConfig", "the whole loop on a small rendered world, in minutes"),
    "train": ("TrainConfig", "learn from unpaired photos to put smoke into clean ones"),
    "synth": ("SynthConfig", "make a labelled smoke data set from clean photos"),
    "classify": ("ClassifyConfig", "train a smoke detector on labelled data sets"),
    "evaluate": ("EvaluateConfig", "measure a detector on real photos, write the report"),
    "compare": ("CompareConfig", "which smoke teaches a detector best, on real photos"),
    "predict": ("PredictConfig", "ask a detector about pictures"),
}

_STOPPED = 130
# What the same command does after Ctrl-C. A training says itself how it goes on.
_AGAIN = {
    **dict.fromkeys(("synth", "compare"), "; repeat the command to go on"),
    **dict.fromkeys(("classify", "evaluate"), "; the same command begins anew"),
}
_JSON = "Besides, --json prints one JSON object as the last line of stdout."
_FOOTER = """
Every command: --help for its flags; --json prints one JSON object as the last line of
stdout (all else goes to stderr). Exit codes: 0 success, 1 failure, 2 wrong usage or input,
130 stopped by Ctrl-C.

Start:  wisp demo
Then:   wisp synth clean/ --out dataset
        wisp classify dataset --out runs/detector
        wisp evaluate runs/detector real/ --out runs/eval
"""


def _help() -> str:
    lines = ["wisp: make smoke without fire", "", "usage: wisp COMMAND …", ""]
    lines += [f"  {name:<10}{line}" for name, (_, line) in COMMANDS.items()]
    return "\n".join(lines) + "\n" + _FOOTER


def _jsonable(value: Any) -> Any:  # noqa: ANN401 - any part of a result
    import dataclasses

    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _jsonable(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, dict):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(item) for item in value]
    if isinstance(value, float) and math.isnan(value):
        return None
    return value


def _parse(name: str, arguments: Sequence[str]) -> Any:  # noqa: ANN401 - one of the configurations
    import contextlib
    import inspect
    import io

    import tyro

    from wisp import config

    kind, asked, words = getattr(config, COMMANDS[name][0]), f"wisp {name}", _JSON
    if kind is config.TrainConfig:
        kind, kinds = config.train_config_taking(_given(arguments)), config.train_kinds()
        others = ", ".join(f"{asked} {kinds[other]} --help" for other in kinds if other is not kind)
        these = f"These are the flags of {kinds[kind]}; for others see {others}."
        words = f"{these}\n\n{words}"
        if kind is not config.train_config():
            asked = f"{asked} {kinds[kind]}"
    told = io.StringIO()
    try:
        with contextlib.redirect_stderr(told):
            return tyro.cli(
                kind,
                args=list(arguments),
                prog=asked,
                description=f"{inspect.getdoc(kind)}\n\n{words}",
            )
    except SystemExit as exit_:
        if not exit_.code:  # --help
            raise
        raise InputError(f"{_one_sentence(told.getvalue())} ({asked} --help)") from None


def _given(arguments: Sequence[str]) -> dict[str, Any]:
    """The flags among ``arguments``, called as in Python, with what follows them."""
    given: dict[str, Any] = {}
    for word, after in zip(arguments, [*arguments[1:], ""], strict=True):
        if word.startswith("--") and word != "--help":
            flag, _, value = word[2:].partition("=")
            name = flag.removeprefix("no-").replace("-", "_")
            given[name] = (value or after) if name != "reference" else flag == name
    return given


def _one_sentence(box: str) -> str:
    """What tyro says in a box of several parts, in a line: what is wrong, and what may be meant."""
    parts: list[list[str]] = [[]]
    for line in box.splitlines():
        text = line.strip("│").rstrip()
        if line.startswith(("╭", "╰")):
            continue
        if text.strip() and set(text.strip()) <= {"─", "-"}:
            parts.append([])
        elif text.strip():
            parts[-1].append(text)
    if "╭" not in box:  # drawn without UTF-8, where the title is a part of its own
        parts = parts[1:]
    problem, *rest = parts or [[box.strip()]]
    if problem and problem[0].strip().startswith("Missing from"):
        # Below it stand names, and indented by more what they mean.
        indents = [len(line) - len(line.lstrip()) for line in problem[1:]]
        names = [
            line.strip()
            for line, indent in zip(problem[1:], indents, strict=True)
            if indent == min(indents)
        ]
        return f"{' and '.join(names)} must be given"
    said = " ".join(line.strip() for line in problem).rstrip(".")
    for hint in rest:
        if hint and hint[0].strip().startswith("Perhaps you meant") and len(hint) > 1:
            said += f"; did you mean {hint[1].split()[0]}?"
    return said


def _run(name: str, arguments: Sequence[str], *, as_json: bool) -> int:
    """Run the command, print what came of it; the exit code."""
    import dataclasses

    from wisp import api

    config = _parse(name, arguments)
    from wisp.resources import keep_freed_memory, let_waiting_threads_sleep

    keep_freed_memory()
    let_waiting_threads_sleep()
    values = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}
    result = getattr(api, name)(**values)
    print(_told(result, as_json), file=sys.stdout, flush=True)  # noqa: T201
    # An interrupted detector can be used, but is not what was asked for.
    return _STOPPED if getattr(result, "stopped", None) == "interrupted" else 0


def _told(result: Any, as_json: bool) -> str:  # noqa: ANN401 - any command's result
    """The result as JSON, or in lines that end with where to read more and what comes next."""
    if as_json:
        return json.dumps(_jsonable(result))  # ASCII: whatever the terminal's encoding is
    lines = [result.summary()]
    run = getattr(result, "run", None)
    if isinstance(run, Path) and (run / "report.html").is_file() and not hasattr(result, "report"):
        from wisp.report import next_command

        lines.append(f"report: {run / 'report.html'}")
        lines += [f"next: {command}" for command in (next_command(run),) if command]
    return "\n".join(lines)


def _fail(message: str, code: int) -> int:
    say(f"wisp: {message}")
    return code


def _unknown(name: str) -> str:
    import difflib

    close = difflib.get_close_matches(name, COMMANDS, n=1)
    hint = f"did you mean '{close[0]}'?" if close else f"there are: {', '.join(COMMANDS)}"
    return f"no command '{name}'; {hint} (wisp --help)"


def _open_streams() -> None:
    """Give a program that was started without stdout or stderr some that lead nowhere; else the
    first files that it opens would have their numbers, and get what is meant for a terminal."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115


def _quieten_libraries() -> None:
    """Keep off the terminal what libraries write there of damaged pictures: in C, on descriptor 2
    (libtiff), or as warnings (Pillow). What wisp and Python say goes on to it, by another number.
    """
    import warnings

    warnings.filterwarnings("ignore", module=r"PIL\.")
    shown = sys.__stderr__
    if shown is None or sys.stderr is not shown or shown.fileno() != 2:
        return  # not a terminal's, but a test's or an embedding program's
    sys.stderr = os.fdopen(os.dup(2), "w", 1, encoding=shown.encoding, errors="backslashreplace")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code (0 success, 1 failure, 2 wrong usage or input,
    130 stopped by Ctrl-C)."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal of another encoding than UTF-8 shows "?" where it has no such character.
        sys.stdout.reconfigure(errors="replace")
    arguments = list(sys.argv[1:] if argv is None else argv)
    as_json = "--json" in arguments
    arguments = [argument for argument in arguments if argument != "--json"]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_help())  # noqa: T201
        return 0 if arguments else 2
    if arguments[0] in ("-V", "--version"):
        from wisp import __version__

        print(f"wisp {__version__}")  # noqa: T201
        return 0
    name, *rest = arguments
    if name not in COMMANDS:
        return _fail(_unknown(name), 2)
    try:
        return _run(name, rest, as_json=as_json)
    except WispError as error:
        return _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        # A second Ctrl-C would only tear the cleaning up of worker processes apart.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        return _fail("stopped by Ctrl-C" + _AGAIN.get(name, ""), _STOPPED)
    except MemoryError:
        return _fail(_NO_MEMORY, 1)
    except BrokenPipeError:  # `wisp predict … | head`: nobody reads any more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _fail(*_system_error(error))
    except RuntimeError as error:
        if not _is_out_of_memory(error):
            raise
        return _fail(_NO_MEMORY, 1)


_NO_MEMORY = "out of memory; lower --size, --images-per-step, --width or --workers"


def _is_out_of_memory(error: RuntimeError) -> bool:
    """Whether torch says, in one of its ways, that there is not enough memory."""
    words = str(error).lower()
    return any(text in words for text in ("out of memory", "can't allocate memory", "alloc_cpu"))


def _system_error(error: OSError) -> tuple[str, int]:
    """A sentence and an exit code for what the operating system refused."""
    what = error.strerror or str(error)
    if error.errno == errno.ENOSPC:
        place = error.filename or "the output"
        return f"{place}: the disk is full; free some space and start again", 1
    if error.filename is None:
        return f"the operating system refused: {what}", 1
    wrong_path = (errno.ENAMETOOLONG, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.ELOOP)
    code = 2 if error.errno in wrong_path else 1
    return f"{error.filename}: {what.lower()}; check the path and its permissions", code


def run() -> None:
    """The program ``wisp``: as :func:`main`, in a process of its own."""
    _open_streams()
    _quieten_libraries()
    raise SystemExit(main())


if __name__ == "__main__":
    run()
