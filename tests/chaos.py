"""Disturbances at random moments: `make chaos`, or `python tests/chaos.py --minutes 10`.

Each command runs once undisturbed. Then, again and again, it is ended with SIGKILL at a random
moment of that time, runs onto a disk that is full in its midst, or loses some of its input while
it runs. The call after that (with room, and all input; a training resumed) must end with the same
bytes as the undisturbed one, or with one sentence that says why not.
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

os.environ["OMP_NUM_THREADS"] = "1"

import wisp.engine  # noqa: F401 - torch: loaded once, and not by every command
from labelled import write_set
from synthesis import save_photo
from wisp import cli
from wisp.rundir import read_json

_TINY = ["--backbone", "test_resnet", "--weights", "random", "--size", "32", "--steps", "6"]
COMMANDS: dict[str, tuple[str, ...]] = {
    "synth": ("synth", "photos", "--no-probe", "--per-photo", "20"),
    "train": (
        "train", "set/clean", "set/smoky", "--steps", "12", "--size", "32", "--images-per-step",
        "2", "--checkpoint-every", "3", "--sample-every", "6", "--validation-photos", "2",
        "--workers", "0",
    ),
    "train --model layered": (
        "train", "set/clean", "set/smoky", "--model", "layered", "--steps", "30", "--size", "48",
        "--images-per-step", "2", "--checkpoint-every", "10", "--workers", "0",
    ),
    "classify": ("classify", "set", *_TINY),
    "evaluate": ("evaluate", "detector", "test"),
    "compare": (
        "compare", "set/clean", "set/smoky", "test", "--models", "procedural,real", "--seeds", "1",
        *_TINY,
    ),
}  # fmt: skip
Bytes = dict[str, bytes]
KEPT = (".jpg", ".png", ".safetensors", ".csv", ".zip")
"""Endings of the files that must be the same; others hold times and places."""
ALSO = ("metadata.jsonl", "metrics.json", "compare.json", "detector.json", "inputs.json")


def kept(out: Path) -> Bytes:
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


class Place:
    """A folder with inputs, and ``disk/out``, where every command writes."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.disk, self.out = folder, folder / "disk", folder / "disk" / "out"
        self.said = folder / "said"
        self.disk.mkdir()
        for number in range(6):
            save_photo(folder / "photos" / f"place{number}__0.png", number, (96, 72))
        write_set(folder / "set", 12)
        write_set(folder / "test", 6, first=100)
        self.wait(self.call(["classify", "set", *_TINY, "--out", "detector"]))
        self.inputs = [*folder.glob("photos/*"), *folder.glob("set/*/*"), *folder.glob("test/*/*")]

    def start(self, name: str, *, resume: bool = False) -> int:
        """The command's process; ``--resume`` in place of what a training needs."""
        if resume and name.startswith("train") and (self.out / "config.json").exists():
            return self.call(["train", "--resume", "disk/out"])
        return self.call([*COMMANDS[name], "--out", "disk/out"])

    def call(self, words: list[str]) -> int:
        """``wisp`` with these words in a process group of its own: its number."""
        sys.stdout.flush()
        process = os.fork()
        if process:
            return process
        os.setsid()
        os.chdir(self.folder)
        said = os.open(self.said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(said, 1)
        os.dup2(said, 2)
        sys.argv[1:] = words
        try:
            cli.run()
        except SystemExit as ended:
            sys.stderr.flush()
            os._exit(int(ended.code or 0))
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(70)
        os._exit(71)

    def wait(self, process: int) -> int:
        """Until it ends by itself; its exit code."""
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])

    def sentence(self) -> str:
        """The last line that the command wrote."""
        lines = self.said.read_text(errors="replace").splitlines()
        return lines[-1] if lines else ""

    def clear(self) -> None:
        shutil.rmtree(self.out, ignore_errors=True)

    def mount(self, *options: str) -> bool:
        """A disk in memory at ``disk``; whether this user may have one."""
        command = ["mount", *options, "-t", "tmpfs", "none", str(self.disk)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


def killed(place: Place, name: str, takes_s: float, whole: Bytes, lots: random.Random) -> str:
    """One or two kills."""
    del whole
    for _ in range(lots.choice((1, 1, 2))):
        process = place.start(name, resume=True)
        time.sleep(lots.uniform(0.0, takes_s))
        os.killpg(process, signal.SIGKILL)
        place.wait(process)
    return ""


def full_disk(place: Place, name: str, takes_s: float, whole: Bytes, lots: random.Random) -> str:
    """A disk that holds a part of what the command writes, and has room for the call after it."""
    del takes_s
    size = int(sum(len(data) for data in whole.values()) * lots.uniform(0.05, 0.9))
    place.mount("-o", f"size={max(16384, size)}")
    code, sentence = place.wait(place.start(name)), place.sentence()
    place.mount("-o", "remount,size=1g")
    full = code == 1 and "disk is full" in sentence
    return "" if full or code == 0 else f"exit code {code}, {sentence}"


def vanishing(place: Place, name: str, takes_s: float, whole: Bytes, lots: random.Random) -> str:
    """Some of the input is gone for a while: made without it, which is counted, or a sentence."""
    gone = lots.sample(place.inputs, lots.choice((1, 1, 3, len(place.inputs))))
    place.said.unlink()
    process = place.start(name)
    while not (place.said.exists() and place.said.stat().st_size):
        time.sleep(0.01)  # until it has listed its input
    time.sleep(lots.choice((0.0, lots.uniform(0.0, takes_s))))
    for path in gone:
        path.rename(f"{path}.gone")
    code, sentence = place.wait(process), place.sentence()
    for path in gone:
        Path(f"{path}.gone").rename(path)
    skipped = any(read_json(file)["skipped"] for file in place.out.rglob("inputs.json"))
    if code:
        if skipped:
            place.clear()  # what goes on there goes on without them
        return "" if code in (1, 2) and "wisp: " in sentence else f"exit code {code}, {sentence}"
    said = skipped or "can no longer be read" in place.said.read_text(errors="replace")
    listed = {place.folder / row["path"] for row in read_json(place.out / "inputs.json")["files"]}
    never_seen = listed.isdisjoint(gone)
    same = kept(place.out) == whole
    place.clear()
    return "" if same or said or never_seen else "made without what had vanished, and not said"


DISTURBANCES = {"kill": killed, "full disk": full_disk, "vanishing input": vanishing}


def differences(place: Place, name: str, whole: Bytes) -> str:
    """Ends the command after a disturbance; what is wrong with how it ended, if anything."""
    finished = (place.out / "result.json").exists()
    code = 0 if finished else place.wait(place.start(name, resume=True))
    if code == 2 and "remove " in place.sentence():
        place.clear()  # said what there cannot be gone on with
        code = place.wait(place.start(name))
    if code:
        return f"exit code {code}, {place.sentence()}"
    found = kept(place.out)
    others = [file for file in found.keys() | whole.keys() if found.get(file) != whole.get(file)]
    left = [path.name for path in place.out.rglob(".*")]
    return f"differ {sorted(others)[:5]}, left {left[:5]}" if others or left else ""


def main() -> int:
    """Disturb until the minutes are over; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--only", choices=COMMANDS, action="append", help="this command")
    parser.add_argument("--by", choices=DISTURBANCES, action="append", help="this disturbance")
    arguments = parser.parse_args()
    lots = random.Random(arguments.seed)
    failures, done = [], Counter[tuple[str, str]]()
    with tempfile.TemporaryDirectory(prefix="wisp-chaos-") as folder:
        place, whole, takes_s = Place(Path(folder)), {}, {}
        by = arguments.by or list(DISTURBANCES)
        if place.mount():
            subprocess.run(["umount", str(place.disk)], check=True)
        else:
            print("this user may not mount a small disk: none becomes full")
            by = [one for one in by if one != "full disk"]
        for name in arguments.only or COMMANDS:
            place.clear()
            start_s = time.monotonic()
            assert place.wait(place.start(name)) == 0, f"{name}: {place.said.read_text()}"
            whole[name], takes_s[name] = kept(place.out), time.monotonic() - start_s
            assert whole[name], name
        end_s = time.monotonic() + 60 * arguments.minutes
        while time.monotonic() < end_s:
            name, disturbance = lots.choice(list(whole)), lots.choice(by)
            place.clear()
            wrong = DISTURBANCES[disturbance](place, name, takes_s[name], whole[name], lots)
            wrong = wrong or differences(place, name, whole[name])
            done[name, disturbance] += 1
            if wrong:
                failures.append(f"{name}, {disturbance}: {wrong}")
                print(failures[-1], flush=True)
            if os.path.ismount(place.disk):
                subprocess.run(["umount", str(place.disk)], check=True)
    for (name, disturbance), count in sorted(done.items()):
        print(f"{count:5d}  {name} ({takes_s[name]:.1f} s undisturbed), {disturbance}")
    print(f"seed {arguments.seed}: {done.total()} disturbances, {len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
