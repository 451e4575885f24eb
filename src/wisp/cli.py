"""The ``wisp`` command.

Only what a call needs is imported: ``wisp --help`` loads no torch, no configuration and no tyro.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wisp.errors import WispError

# name → (configuration class, one line for `wisp --help`)
COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("DemoConfig", "the whole loop on a small rendered world, in five minutes"),
    "train": ("TrainConfig", "learn from unpaired photos to put smoke into clean ones"),
    "synth": ("SynthConfig", "make a labelled smoke data set from clean photos"),
    "classify": ("ClassifyConfig", "train a smoke detector on labelled data sets"),
    "evaluate": ("EvaluateConfig", "measure a detector on real photos, write the report"),
    "predict": ("PredictConfig", "ask a detector about pictures"),
}

_FOOTER = """
Every command: --help for its flags; --json prints one JSON object as the last line of
stdout (all else goes to stderr). Exit codes: 0 success, 1 failure, 2 wrong usage or input.

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
    import tyro

    from wisp import config

    kind = getattr(config, COMMANDS[name][0])
    return tyro.cli(kind, args=list(arguments), prog=f"wisp {name}")


def _run(name: str, arguments: Sequence[str], *, as_json: bool) -> None:
    import dataclasses

    from wisp import api

    config = _parse(name, arguments)
    values = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}
    result = getattr(api, name)(**values)
    if as_json:
        print(json.dumps(_jsonable(result), ensure_ascii=False), file=sys.stdout)  # noqa: T201
    else:
        print(result.summary(), file=sys.stdout)  # noqa: T201


def _fail(message: str, code: int) -> int:
    print(f"wisp: {message}", file=sys.stderr)  # noqa: T201
    return code


def _unknown(name: str) -> str:
    import difflib

    close = difflib.get_close_matches(name, COMMANDS, n=1)
    hint = f"did you mean '{close[0]}'?" if close else f"there are: {', '.join(COMMANDS)}"
    return f"no command '{name}'; {hint} (wisp --help)"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code (0 success, 1 failure, 2 wrong usage or input)."""
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
        _run(name, rest, as_json=as_json)
    except WispError as error:
        return _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _fail("stopped by Ctrl-C; what was finished is kept", 130)
    except MemoryError:
        return _fail("out of memory; lower --size, --images-per-step or --workers", 1)
    except BrokenPipeError:
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
