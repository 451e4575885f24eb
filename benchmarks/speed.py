"""What wisp takes, beside what cannot be done without: one JSON file, and the table of
`docs/performance.md`.

    python benchmarks/speed.py --photos PHOTOS    # or: make bench PHOTOS=…

The floor is libjpeg-turbo (`torchvision.io`) on the same pictures, `import torch`, or the same work
without what is measured. Both are taken in turns, at least five times; medians, with least and
most. PHOTOS holds `clean/`; without it the photos that ship are taken, many times over.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision.io

import wisp
from wisp.config import SynthConfig
from wisp.environment import machine
from wisp.images import decode, encode_jpeg, find_images, scan
from wisp.jobs.synth.plan import make_plan
from wisp.jobs.synth.render import Job, render_photo
from wisp.resources import keep_freed_memory, set_threads
from wisp.rundir import read_json, write_json, write_text

SMALL, LARGE = (597, 336), (4000, 3000)
ROOT = Path(__file__).parent.parent
TABLE = ROOT / "docs" / "performance.md"
RESULT = ROOT / "benchmarks" / "results" / "speed.json"
_BEGIN, _END = "<!-- made by benchmarks/speed.py -->\n", "<!-- end -->\n"
_ROUNDS = 7

_STARTER = """
import resource, subprocess, sys, time
start = time.perf_counter()
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""

Row = dict[str, Any]


def in_turns(sides: Mapping[str, Callable[[], float]], rounds: int = _ROUNDS) -> dict[str, Row]:
    """What each side returns, taken in turns after a first round that does not count."""
    found: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name, measure in sides.items():
            value = measure()
            if number:
                found[name].append(value)
    return {
        name: {
            "median": round(statistics.median(values), 5),
            "least": round(min(values), 5),
            "most": round(max(values), 5),
        }
        for name, values in found.items()
    }


def per_picture(work: Callable[[int], object], count: int) -> Callable[[], float]:
    """Milliseconds of CPU of one thread that ``work`` takes for each of ``count`` pictures."""

    def measure() -> float:
        start = time.process_time()
        for number in range(count):
            work(number)
        return 1000 * (time.process_time() - start) / count

    return measure


def wall(command: list[str]) -> tuple[float, float]:
    """Seconds from the prompt to the end, and the peak of memory [MB]."""
    # A small process starts it: a fork of this one would count with all its memory.
    said = subprocess.run(
        [sys.executable, "-c", _STARTER, *command],
        capture_output=True, text=True, check=False, cwd=tempfile.gettempdir(),
    )  # fmt: skip
    if said.returncode:
        raise SystemExit(f"{' '.join(command)}: {said.stderr}")
    seconds, peak_kb = said.stdout.split()[-2:]
    return float(seconds), float(peak_kb) / 1e3


def run_wisp(*arguments: object) -> list[str]:
    """A command line of this wisp."""
    return [sys.executable, "-m", "wisp", *map(str, arguments)]


def floor_of(data: list[torch.Tensor], encodes: int) -> Callable[[int], object]:
    """Decode a picture and encode it ``encodes`` times, by libjpeg-turbo."""

    def work(number: int) -> None:
        picture = torchvision.io.decode_jpeg(data[number % len(data)])
        for _ in range(encodes):
            torchvision.io.encode_jpeg(picture, 90)

    return work


def resized(paths: list[Path], size: tuple[int, int], folder: Path) -> list[Path]:
    """The photos at ``size``, as JPEG files of quality 90."""
    folder.mkdir()
    made = []
    for path in paths:
        made.append(folder / f"{path.stem}.jpg")
        made[-1].write_bytes(encode_jpeg(decode(path).resize(size), 90))
    return made


def bytes_of(paths: list[Path]) -> list[torch.Tensor]:
    """Files as torchvision takes them."""
    return [torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8) for path in paths]


def smoke(paths: list[Path], work: Path) -> dict[str, Row]:
    """CPU of one thread per photo: smoke laid over pixels in memory."""
    small = resized(paths[:24], SMALL, work / "small")
    pixels = [np.asarray(decode(path)) for path in small]
    sides = {"floor": per_picture(floor_of(bytes_of(small), 2), 24)}
    for name in ("layered", "procedural"):
        model = wisp.load(name)

        def render(number: int, model: Any = model) -> None:  # noqa: ANN401 - a SmokeModel
            model.render(pixels[number % len(pixels)].copy(), 1.0, number)

        sides[name] = per_picture(render, 48)
    return in_turns(sides)


def megapixels(paths: list[Path], work: Path) -> dict[str, Row]:
    """CPU of one thread per photo of 12 megapixels: all that `synth --no-probe` does with it."""
    large = resized(paths[:4], LARGE, work / "large")
    config = SynthConfig((str(work / "large"),), out=work / "set12", model="layered", probe=False)
    photos = make_plan(config, scan(find_images([work / "large"]), 1)[0])
    job = Job(config, config.out, wisp.load("layered"), False)
    sides = {
        "floor": per_picture(floor_of(bytes_of(large), 2), 4),
        "layered": per_picture(lambda number: render_photo(job, photos[number % 4]), 4),
    }
    found = in_turns(sides, 5)
    many = work / "many"
    many.mkdir()
    for number in range(12):
        shutil.copyfile(large[number % 4], many / f"{number}.jpg")
    _, peak = wall(run_wisp("synth", many, "--no-probe", "--workers", 2, "--out", work / "memory"))
    return {**found, "peak_mb": {"median": round(peak)}}


def data_set(source: Path, paths: list[Path], work: Path) -> dict[str, Row]:
    """Wall of a whole data set with steam; its floor is that of the codec on all cores."""
    floor = per_picture(floor_of(bytes_of(paths), 3), len(paths))
    cores = os.cpu_count() or 1

    def made() -> float:
        shutil.rmtree(work / "set", ignore_errors=True)
        options = ("--strength", "0.8:1.8", "--negatives", "steam", "--no-probe")
        return wall(run_wisp("synth", source, *options, "--out", work / "set"))[0]

    return in_turns({"floor": lambda: floor() * len(paths) / 1000 / cores, "synth": made}, 5)


def asking(paths: list[Path], work: Path) -> dict[str, Row]:
    """Wall from the prompt to the verdict, on one photo and on 246, beside `import torch`."""
    folder = work / "asked"
    folder.mkdir()
    for number in range(246):
        shutil.copyfile(paths[number % len(paths)], folder / f"{number}.jpg")
    peaks: list[float] = []

    def one() -> float:
        seconds, peak = wall(run_wisp("predict", "smoke-detector", paths[0]))
        peaks.append(peak)
        return seconds

    found = in_turns(
        {
            "import torch": lambda: wall([sys.executable, "-c", "import torch"])[0],
            "one photo": one,
            "246 photos": lambda: wall(run_wisp("predict", "smoke-detector", folder))[0],
            "synth of one": lambda: wall(
                run_wisp("synth", paths[0], "--no-probe", "--out", _fresh(work / "one"))
            )[0],
            "--help": lambda: wall(run_wisp("--help"))[0],
        }
    )
    return {**found, "peak_mb": {"median": round(statistics.median(peaks))}}


def _fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def lifter_step(clean: Path, work: Path) -> dict[str, Row]:
    """Wall of a step of R, 12 photos of each domain at 160 px: with its pairs drawn, and alone."""
    from wisp.config import LayeredConfig
    from wisp.engine import make_engine
    from wisp.jobs.train.layered import LayeredTrainer
    from wisp.jobs.train.photos import gather_photos
    from wisp.networks.backbone import load_backbone

    set_threads(os.cpu_count() or 1)
    smoky, model = work / "smoky", wisp.load("procedural")
    smoky.mkdir()
    for number, path in enumerate(sorted(clean.rglob("*.jpg"))[:24]):
        model.add_smoke(path, seed=number).image.save(smoky / f"smoke{number}__1.jpg")
    config = LayeredConfig(
        clean, smoky, out=work / "unused", images_per_step=12, size=160, device="cpu", workers=0
    )
    engine = make_engine("cpu", "32", 0)
    trainer = LayeredTrainer(config, engine, load_backbone(config.backbone, "imagenet", 160))
    loader = trainer.loader(gather_photos(config), 40, 0)
    batches = iter(loader)
    held = next(batches)

    def timed(batch: Callable[[], Any]) -> Callable[[], float]:
        def measure() -> float:
            start = time.perf_counter()
            trainer.train_step(batch())
            return time.perf_counter() - start

        return measure

    return in_turns(
        {"learning alone": timed(lambda: held), "with drawing": timed(lambda: next(batches))}
    )


def side_by_side(source: Path, dataset: Path, work: Path) -> dict[str, Row]:
    """Wall of a `classify` of 25 steps alone, and of two at once."""

    if not dataset.exists():
        wall(run_wisp("synth", source, "--no-probe", "--out", dataset))

    def command(number: int) -> list[str]:
        return run_wisp(
            "classify", dataset, "--steps", 25, "--validate-every", 25, "--seed", number,
            "--out", _fresh(work / f"detector-{number}"),
        )  # fmt: skip

    def two() -> float:
        start = time.perf_counter()
        running = [
            subprocess.Popen(command(n), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            for n in (1, 2)
        ]
        if any(process.wait() for process in running):
            raise SystemExit("a training failed")
        return time.perf_counter() - start

    return in_turns({"alone": lambda: wall(command(0))[0], "two at once": two}, 5)


def table(rows: Mapping[str, dict[str, Row]]) -> str:
    """The rows as Markdown."""

    def cell(row: Row, unit: str) -> str:
        spread = f" ({row['least']:.3g} to {row['most']:.3g})" if "least" in row else ""
        return f"{row['median']:.3g} {unit}{spread}"

    def ratio(rows: dict[str, Row], name: str, floor: str) -> str:
        return f"{rows[name]['median'] / rows[floor]['median']:.2f}"

    lines = ["| work | takes | floor | times the floor |", "| --- | --- | --- | --- |"]

    def line(what: str, key: str, name: str, floor: str, unit: str) -> None:
        found = rows.get(key)
        if found:
            lines.append(
                f"| {what} | {cell(found[name], unit)} | {cell(found[floor], unit)} "
                f"| {ratio(found, name, floor)} |"
            )

    size = "597 × 336"
    line(f"`layered` smoke on a photo of {size}", "smoke", "layered", "floor", "ms")
    line(f"`procedural` smoke on a photo of {size}", "smoke", "procedural", "floor", "ms")
    line("`synth --no-probe` of a photo of 12 megapixels", "megapixels", "layered", "floor", "ms")
    line("`synth --no-probe --negatives steam`, whole", "data_set", "synth", "floor", "s")
    line("a step of R, beside the same without drawing", "lifter_step", "with drawing",
         "learning alone", "s")  # fmt: skip
    for what in ("one photo", "246 photos"):
        line(f"`predict smoke-detector`, {what}, beside `import torch`", "asking", what,
             "import torch", "s")  # fmt: skip
    line("`synth --no-probe` of one photo, beside `import torch`", "asking", "synth of one",
         "import torch", "s")  # fmt: skip
    line("two `classify` at once, beside one", "side_by_side", "two at once", "alone", "s")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure what was asked for, write the JSON and the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--photos", type=Path, default=None)
    parser.add_argument("--only", default="", help="parts to measure anew, with commas")
    arguments = parser.parse_args()
    keep_freed_memory()  # as the command does
    set_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        source = work / "photos"
        if arguments.photos:
            source = arguments.photos / "clean"
        else:
            ships = sorted((Path(wisp.__file__).parent / "demonstration" / "photos").glob("*.jpg"))
            source.mkdir()
            for number in range(120):
                shutil.copyfile(ships[number % len(ships)], source / f"place{number}__1.jpg")
        source = source.resolve()
        paths = sorted(source.rglob("*.jpg"))
        parts: dict[str, Callable[[], dict[str, Row]]] = {
            "smoke": lambda: smoke(paths[:: max(1, len(paths) // 24)], work),
            "megapixels": lambda: megapixels(paths[:: max(1, len(paths) // 4)], work),
            "data_set": lambda: data_set(source, paths, work),
            "asking": lambda: asking(paths, work),
            "lifter_step": lambda: lifter_step(source, work),
            "side_by_side": lambda: side_by_side(source, work / "set", work),
        }
        chosen = [name for name in arguments.only.split(",") if name] or list(parts)
        rows = read_json(RESULT)["rows"] if arguments.only and RESULT.exists() else {}
        for name in chosen:
            rows[name] = parts[name]()
            print(name, rows[name], flush=True)
            write_json(RESULT, {"photos": len(paths), "rows": rows, "machine": machine()})
    before, _, rest = TABLE.read_text().partition(_BEGIN)
    write_text(TABLE, before + _BEGIN + table(rows) + _END + rest.partition(_END)[2])
    print(table(rows))


if __name__ == "__main__":
    main()
