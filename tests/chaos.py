"""Kills at random moments: `make chaos`, or `python tests/chaos.py --minutes 10`.

Each command is run once undisturbed. Then it is begun, ended with SIGKILL at a random moment of
that time, and repeated (a training: resumed) until it ends by itself, which must be with the same
bytes, or with one sentence that says why not. Commands that begin anew say so.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from labelled import write_set
from synthesis import save_photo

_TINY = ["--backbone", "test_resnet", "--weights", "random", "--size", "32", "--steps", "6"]
COMMANDS: dict[str, tuple[str, ...]] = {
    "synth": ("synth", "photos", "--no-probe", "--per-photo", "20"),
    "train": (
        "train", "set/clean", "set/smoky", "--steps", "12", "--size", "32", "--images-per-step",
        "2", "--checkpoint-every", "3", "--sample-every", "6", "--validation-photos", "2",
        "--workers", "0",
    ),
    "train --model layered": (
        "train", "set/clean", "set/smoky", "--model", "layered", "--steps", "8", "--size", "32",
        "--images-per-step", "2", "--checkpoint-every", "2", "--workers", "0",
    ),
    "classify": ("classify", "set", *_TINY),
    "evaluate": ("evaluate", "detector", "test"),
    "compare": (
        "compare", "set/clean", "set/smoky", "test", "--models", "procedural,real", "--seeds", "1",
        *_TINY,
    ),
}  # fmt: skip
KEPT = (".jpg", ".png", ".safetensors", ".csv", ".zip")
"""Endings of the files that must be the same; others hold times and places."""
ALSO = ("metadata.jsonl", "metrics.json", "compare.json", "detector.json", "inputs.json")


def kept(out: Path) -> dict[str, bytes]:
    """The files that must be the same, by name; of a training its last checkpoint."""
    latest = out / "checkpoints" / "latest.json"
    step = json.loads(latest.read_text())["path"] if latest.exists() else ""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file()
        and (path.suffix in KEPT or path.name in ALSO)
        and ("checkpoints" not in path.parts or step in path.as_posix())
    }


def start(name: str, place: Path, *, resumes: bool = False) -> subprocess.Popen[str]:
    """The command in a process group of its own; ``--resume`` in place of what a training needs."""
    words = [*COMMANDS[name], "--out", "out"]
    if resumes and name.startswith("train") and (place / "out" / "config.json").exists():
        words = ["train", "--resume", "out"]
    return subprocess.Popen(
        [sys.executable, "-m", "wisp.cli", *words], cwd=place, text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def inputs(place: Path) -> None:
    """Photos, a labelled set, a test set, and a detector."""
    for number in range(6):
        save_photo(place / "photos" / f"place{number}__0.png", number, (96, 72))
    write_set(place / "set", 12)
    write_set(place / "test", 6, first=100)
    words = [sys.executable, "-m", "wisp.cli", "classify", "set", *_TINY, "--out", "detector"]
    subprocess.run(words, cwd=place, check=True, capture_output=True)


def disturbed(name: str, place: Path, takes_s: float, lots: random.Random) -> tuple[int, str]:
    """Kills, then how the command that was left alone ended, and its last line."""
    shutil.rmtree(place / "out", ignore_errors=True)
    for _ in range(lots.choice((1, 1, 2))):
        process = start(name, place, resumes=True)
        try:
            process.wait(timeout=lots.uniform(0.0, takes_s))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    if (place / "out" / "result.json").exists():
        return 0, "it was quicker than the kill"
    process = start(name, place, resumes=True)
    _, said = process.communicate()
    return process.returncode, said.splitlines()[-1] if said else ""


def main() -> int:
    """Kill until the minutes are over; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--only", choices=COMMANDS, action="append")
    arguments = parser.parse_args()
    lots, end_s = random.Random(arguments.seed), time.monotonic() + 60 * arguments.minutes
    failures, done = [], Counter[str]()
    with tempfile.TemporaryDirectory(prefix="wisp-chaos-") as folder:
        place = Path(folder)
        inputs(place)
        whole, takes_s = {}, {}
        for name in arguments.only or COMMANDS:
            shutil.rmtree(place / "out", ignore_errors=True)
            start_s = time.monotonic()
            process = start(name, place)
            _, said = process.communicate()
            assert process.returncode == 0, said
            whole[name], takes_s[name] = kept(place / "out"), time.monotonic() - start_s
            assert whole[name], name
        while time.monotonic() < end_s:
            name = lots.choice(list(whole))
            code, last = disturbed(name, place, takes_s[name], lots)
            done[name] += 1
            found = kept(place / "out") if code == 0 else {}
            others = sorted(
                file
                for file in found.keys() | whole[name].keys()
                if found.get(file) != whole[name].get(file)
            )
            left = [path.name for path in (place / "out").rglob(".*")]
            if code != 0:
                failures.append(f"{name}: exit code {code}, {last}")
            elif others or left:
                failures.append(f"{name}: differ {others[:5]}, left {left[:5]}")
    for name, count in done.items():
        print(f"{count:5d}  {name} ({takes_s[name]:.0f} s undisturbed)")
    print(f"seed {arguments.seed}: {done.total()} runs, {len(failures)} failures")
    print("\n".join(failures))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
