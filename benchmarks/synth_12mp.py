"""`synth` on 12-megapixel photos, next to merely decoding and encoding them.

Both make the same files: per photo two JPEGs of quality 95 and one 8-bit PNG; both use the same
number of threads. Each runs in a process of its own, whose peak memory is taken from the kernel.

    python benchmarks/synth_12mp.py --photos 8 --out result.json    # --model runs/smoke
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from wisp.environment import machine
from wisp.rundir import write_bytes, write_json

WIDTH, HEIGHT = 4000, 3000


def render_photo(path: Path, seed: int) -> None:
    """A picture with structure at every scale and a camera's grain, as a JPEG of quality 92."""
    rng = np.random.default_rng(seed)
    total = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    for cells, strength in ((4, 60), (16, 40), (64, 25), (256, 12)):
        small = rng.normal(0, strength, (cells * 3 // 4, cells, 3)).astype(np.float32)
        for channel in range(3):
            image = Image.fromarray(small[..., channel])
            total[..., channel] += np.asarray(
                image.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
            )
    total += rng.normal(0, 3, (HEIGHT, WIDTH, 1)).astype(np.float32)
    Image.fromarray(np.clip(total + 120, 0, 255).astype(np.uint8)).save(path, quality=92)


def recode(photos: Path, out: Path, workers: int) -> None:
    """Decode each photo; write it twice as JPEG, and its brightness as PNG."""
    from wisp.images import decode, encode_jpeg
    from wisp.jobs.synth.render import encode_mask

    def one(path: Path) -> None:
        image = decode(path)
        for copy in range(2):
            write_bytes(out / f"{path.stem}-{copy}.jpg", encode_jpeg(image, 95))
        write_bytes(out / f"{path.stem}.png", encode_mask(np.asarray(image.convert("L"))))

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(one, sorted(photos.glob("*.jpg"))))


def synthesise(photos: Path, out: Path, workers: int, model: str) -> None:
    """The whole job, as a user runs it, but without the fingerprint probe."""
    from wisp.config import SynthConfig
    from wisp.jobs import synth
    from wisp.resources import keep_freed_memory

    keep_freed_memory()  # as `wisp synth` does
    synth.run(SynthConfig((str(photos),), out=out, model=model, probe=False, workers=workers))


def child(job: str, photos: Path, out: Path, workers: int, model: str) -> None:
    """Do one job; print its seconds and its peak memory as JSON."""
    import torch  # noqa: F401 - its import is part of neither time

    base_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start_s, start_cpu_s = time.monotonic(), time.process_time()
    if job == "synth":
        synthesise(photos, out, workers, model)
    else:
        recode(photos, out, workers)
    print(
        json.dumps(
            {
                "seconds": time.monotonic() - start_s,
                "cpu_seconds": time.process_time() - start_cpu_s,
                "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                "before_mb": base_kb / 1024,
            }
        )
    )


def measure(job: str, photos: Path, out: Path, workers: int, model: str) -> dict[str, float]:
    """Run ``job`` in a fresh process."""
    done = subprocess.run(
        [sys.executable, __file__, "--child", job, str(photos), str(out), str(workers), model],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    count = len(list(photos.glob("*.jpg")))
    result["images_per_s"] = count / result["seconds"]
    result["images_per_cpu_s"] = count / result["cpu_seconds"]
    return {key: round(value, 3) for key, value in result.items()}


def main() -> None:
    """Render photos, measure both jobs in turn, write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--photos", type=int, default=8, help="photos to render")
    parser.add_argument("--model", default="procedural", help="as of wisp synth, smoke by layers")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--repeats", type=int, default=2, help="runs of each job; the best counts")
    parser.add_argument("--out", type=Path, default=None, help="JSON file to write")
    parser.add_argument("--child", nargs=5, metavar=("JOB", "PHOTOS", "OUT", "WORKERS", "MODEL"))
    arguments = parser.parse_args()
    if arguments.child:
        job, photos, out, workers, model = arguments.child
        child(job, Path(photos), Path(out), int(workers), model)
        return
    with tempfile.TemporaryDirectory() as folder:
        photos = Path(folder) / "photos"
        photos.mkdir()
        for number in range(arguments.photos):
            render_photo(photos / f"place{number}__0.jpg", number)
        runs: dict[str, list[dict[str, float]]] = {"recode": [], "synth": []}
        for repeat in range(arguments.repeats):
            for job, results in runs.items():
                out = Path(folder) / f"{job}-{repeat}"
                results.append(measure(job, photos, out, arguments.workers, arguments.model))
    best = {job: max(found, key=lambda run: run["images_per_s"]) for job, found in runs.items()}
    least = {job: min(run["cpu_seconds"] for run in found) for job, found in runs.items()}
    result = {
        "model": arguments.model,
        "photos": arguments.photos,
        "pixels": [WIDTH, HEIGHT],
        "workers": arguments.workers,
        **best,
        "synth_over_recode_seconds": round(best["synth"]["seconds"] / best["recode"]["seconds"], 2),
        "synth_over_recode_cpu": round(least["synth"] / least["recode"], 2),
        "machine": machine(),
    }
    if arguments.out:
        write_json(arguments.out, result)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
