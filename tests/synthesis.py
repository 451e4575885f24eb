"""Photos to make data sets of, and the means to look at those sets."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import torch
import yaml
from PIL import Image

from wisp.checkpoint import save_checkpoint
from wisp.config import SynthConfig
from wisp.jobs import synth
from wisp.networks.generator import ResnetGenerator
from wisp.rundir import RunDir, write_json


def save_photo(path, seed=0, size=(96, 72), **kwargs):
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (5, 7, 3), dtype=np.uint8))
    grain = rng.integers(-6, 7, (size[1], size[0], 3))
    image = np.asarray(small.resize(size, Image.Resampling.BICUBIC)) + grain
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)).save(path, **kwargs)


def write_photos(folder):
    """Six places with two photos each, in two sub-folders, of several sizes and formats."""
    for place in range(6):
        for shot in range(2):
            kind = "png" if shot else "jpg"
            name = f"room{place % 2}/place{place}__{shot}.{kind}"
            save_photo(folder / name, 10 * place + shot, (96 + 8 * place, 72))
    return folder


def make(photos, out, **options):
    return synth.run(
        SynthConfig((str(photos),), out=out, **{"model": "procedural", "probe": False, **options})
    )


def killed_synth(photos, out):
    """A data set whose making ended when all but its description was there."""
    with (
        mock.patch("wisp.jobs.synth.job._describe", side_effect=KeyboardInterrupt),
        contextlib.suppress(KeyboardInterrupt),
    ):
        make(photos, out)
    return out


def rows_of(out):
    return [json.loads(line) for line in (out / "metadata.jsonl").read_text().splitlines()]


def tree(out):
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for split in ("train", "validation", "masks")
        for path in sorted((out / split).rglob("*"))
        if path.is_file()
    }


def differences(one, two):
    """Names of the files that one has and two has not, or that differ."""
    first, second = tree(one), tree(two)
    return sorted(
        name for name in first.keys() | second.keys() if first.get(name) != second.get(name)
    )


def seen_by_yolo(out):
    """By split, (picture, label) of each picture, as Ultralytics resolves ``data.yaml``, the lists
    (all of ``./`` replaced) and the place of a label (below ``labels`` for the last ``images``)."""
    place = out / "annotations" / "yolo" / "data.yaml"
    settings = yaml.safe_load(place.read_text())
    assert "path" not in settings  # so it is the folder of data.yaml
    seen = {}
    for split in ("train", "val"):
        names = (place.parent / settings[split]).resolve()
        lines = names.read_text().strip().splitlines()
        paths = [line.replace("./", f"{names.parent}{os.sep}") for line in lines]
        labels = [
            "/labels/".join(path.rsplit("/images/", 1)).rsplit(".", 1)[0] + ".txt" for path in paths
        ]
        seen[split] = [(Path(p), Path(t)) for p, t in zip(paths, labels, strict=True)]
    return seen


def tiny_run(path, way_back=True):
    torch.manual_seed(0)
    names = ["clean_to_smoky", "smoky_to_clean"][: 1 + way_back]
    tensors = {
        f"{name}.{key}": value
        for name in names
        for key, value in ResnetGenerator(width=4, blocks=1).state_dict().items()
    }
    RunDir.create(path, "train", {})
    save_checkpoint(
        path / "checkpoints" / "step-0000001",
        {"model": tensors},
        {"load_size": 48, "fit": "short-side"},
    )
    write_json(
        path / "checkpoints" / "latest.json", {"step": 1, "path": "checkpoints/step-0000001"}
    )
    return path


_HUGGING_FACE = """
import datasets, json, sys
run, cache, *columns = sys.argv[1:]
found = datasets.load_dataset("imagefolder", data_dir=run, cache_dir=cache)
rows = {
    split: [[list(r[c].size) if c == "image" else r[c] for c in columns] for r in found[split]]
    for split in found
}
print(json.dumps(rows))
"""


def opened_by_hugging_face(run, folder, *columns):
    """``columns`` of every row, by split, as the library ``datasets`` reads them; of ``image`` its
    size. In a process of its own, and in ``folder`` what the library keeps."""
    done = subprocess.run(
        [sys.executable, "-c", _HUGGING_FACE, str(run), str(folder / "cache"), *columns],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "home")},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])
