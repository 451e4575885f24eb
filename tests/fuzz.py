"""Mutated inputs through every reader: `make fuzz`, or `python tests/fuzz.py --minutes 10`.

Pictures of every format go through decoding, `synth` and `predict`, and what is taken must be what
a fresh decoder takes, in a process of its own. All else that wisp reads (metadata, journals,
configurations, checkpoints, weights, banks, runs) a reader must answer of, or refuse in a sentence.
Nothing may crash, hang, or write outside its folder. What fails is kept, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save

from synthesis import killed_synth, make, save_photo, tiny_run, tree
from wisp import cli
from wisp.checkpoint import load_checkpoint, read_tensors
from wisp.config import PredictConfig, saved_train_config
from wisp.data import LabelledSet, LayerBank
from wisp.data.bank import Lift, write_bank
from wisp.detectors import DetectorSettings, load_detector, save_detector
from wisp.errors import WispError
from wisp.images import decode, jpeg_recipe
from wisp.jobs import predict
from wisp.models import load
from wisp.networks.backbone import load_backbone
from wisp.networks.detector import Detector
from wisp.report import write_report
from wisp.rundir import RunDir, read_json, read_jsonl
from wisp.smoke import SmokeLayer

_TURNED = b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"
FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    "a.jpg": ("JPEG", {}),
    "b.jpg": ("JPEG", {"progressive": True, "exif": _TURNED}),
    "a.png": ("PNG", {}),
    "a.gif": ("GIF", {}),
    "a.webp": ("WEBP", {}),
    "a.tif": ("TIFF", {}),
    "b.tif": ("TIFF", {"compression": "tiff_deflate"}),
    "c.tif": ("TIFF", {"compression": "jpeg"}),
    "a.bmp": ("BMP", {}),
    "a.ppm": ("PPM", {}),
    "a.jp2": ("JPEG2000", {}),
    "a.avif": ("AVIF", {}),
}  # fmt: skip
_HANG_S = 30


def mutated(data: bytes, lots: random.Random) -> bytes:
    """``data`` with bytes flipped, cut, zeroed, repeated, swapped, or lengths changed."""
    found = bytearray(data)
    for _ in range(lots.choice((1, 1, 2, 5))):
        if not found:
            break
        at, size = lots.randrange(len(found)), lots.choice((1, 4, 64, 1024))
        match lots.randrange(6):
            case 0:
                found[at] ^= 1 << lots.randrange(8)
            case 1:
                del found[at:]
            case 2:
                found[at : at + size] = bytes(len(found[at : at + size]))
            case 3:
                found[at:at] = found[at : at + size]
            case 4:
                found[at : at + 4] = lots.choice((b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff"))
            case 5:
                del found[at : at + size]
    return bytes(found)


def fresh_decoder(requests: Any, answers: Any) -> None:
    """In a process of its own: whether Pillow, and nothing of wisp, decodes a file."""
    warnings.simplefilter("ignore")
    for path in iter(requests.get, None):
        try:
            with Image.open(path) as image:
                image.load()
            answers.put(True)
        except Exception:
            answers.put(False)


@contextlib.contextmanager
def time_limit() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TimeoutError(f"took longer than {_HANG_S} s")

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(_HANG_S)
    try:
        yield
    finally:
        signal.alarm(0)


class Fuzzer:
    """Counts inputs and keeps what fails."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.lots = folder, random.Random(seed)
        self.ran: Counter[str] = Counter()
        self.failures: list[str] = []
        self.kept = Path(tempfile.mkdtemp(prefix="wisp-fuzz-failures-"))
        spawn = multiprocessing.get_context("spawn")
        self.requests, self.answers = spawn.Queue(), spawn.Queue()
        spawn.Process(target=fresh_decoder, args=(self.requests, self.answers), daemon=True).start()

    def attempt(self, name: str, path: Path, read: Callable[[], object]) -> object:
        """``read()``, or the WispError that it raises; anything else is a failure."""
        self.ran[name] += 1
        try:
            with time_limit():
                return read()
        except WispError as error:
            if "\n" in str(error):
                self.fail(name, path, f"more than a sentence: {error}")
            return error
        except Exception:
            self.fail(name, path, traceback.format_exc(limit=-4))
            return None

    def fail(self, name: str, path: Path, why: str) -> None:
        copy = self.kept / f"{len(self.failures):03d}-{name.replace('/', '-')}"
        (shutil.copytree if path.is_dir() else shutil.copy)(path, copy)
        self.failures.append(f"{name} ({copy}): {why}")

    def fresh_takes(self, path: Path) -> bool:
        self.requests.put(str(path))
        return bool(self.answers.get(timeout=_HANG_S))

    def pictures(self, detector: Path) -> None:
        """A folder of mutated pictures, each decoded, then all through `synth` and `predict`."""
        photos = self.folder / "photos"
        shutil.rmtree(photos, ignore_errors=True)
        noise = np.random.default_rng(self.lots.randrange(99)).integers(0, 256, (6, 8, 3), np.uint8)
        picture = Image.fromarray(noise).resize((64, 48), Image.Resampling.BICUBIC)
        taken = set()
        for name, (kind, options) in FORMATS.items():
            stream = io.BytesIO()
            picture.save(stream, kind, **options)
            path = photos / f"{kind}-{name}"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(mutated(stream.getvalue(), self.lots))
            found = self.attempt(f"decode {name}", path, lambda path=path: decode(path))
            self.attempt(f"recipe {name}", path, lambda path=path: jpeg_recipe(path))
            if isinstance(found, Image.Image):
                taken.add(path.name)
                if not self.fresh_takes(path):
                    self.fail(f"decode {name}", path, "taken, though a fresh decoder refuses it")
            elif found is not None and self.fresh_takes(path) and not self.out_of_bounds(path):
                self.fail(f"decode {name}", path, f"refused ({found}); a fresh decoder takes it")
        out = self.folder / "set"
        shutil.rmtree(out, ignore_errors=True)
        made = self.attempt("synth", photos, lambda: make(photos, out, validation=0.0))
        if made is not None and not isinstance(made, WispError):
            sources = {Path(row["source"]).name for row in read_jsonl(out / "metadata.jsonl")}
            if sources != taken:
                self.fail("synth", photos, f"made {sorted(sources)} of {sorted(taken)}")
        asked = self.attempt(
            "predict", photos, lambda: predict.run(PredictConfig(detector, (str(photos),)))
        )
        if isinstance(asked, predict.PredictResult):
            scored = {path.name for path, _, _ in asked.rows}
            if scored != taken:
                self.fail("predict", photos, f"scored {sorted(scored)} of {sorted(taken)}")

    def out_of_bounds(self, path: Path) -> bool:
        """Whether a picture that Pillow decodes is of a size or a kind that wisp does not take."""
        with Image.open(path) as image:
            return min(image.size) < 8 or image.format not in {kind for kind, _ in FORMATS.values()}

    def damaged(self, name: str, whole: Path, file: str, read: Callable[[Path], object]) -> None:
        """A copy of ``whole`` in which ``file`` is mutated, through ``read``."""
        copy = self.folder / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(whole, copy)
        path = copy / file
        path.write_bytes(mutated(path.read_bytes(), self.lots))
        self.attempt(name, copy, lambda: read(copy))


def detector_in(folder: Path) -> Path:
    torch.manual_seed(0)
    backbone = load_backbone("test_resnet", "random")
    settings = DetectorSettings(
        "test_resnet", 0, ["clean", "smoky"], "smoky", 32, 0.5, "balanced",
        list(backbone.mean), list(backbone.std), {},
    )  # fmt: skip
    RunDir.create(folder, "classify", {})
    save_detector(folder, Detector(backbone, ["clean", "smoky"]).eval(), settings)
    return folder


def readers(folder: Path) -> list[tuple[str, Path, str, Callable[[Path], object]]]:
    """(name, folder, file to damage, reader) for all that wisp reads besides pictures."""
    photos = folder / "whole-photos"
    for number in range(4):
        save_photo(photos / f"place{number}__0.png", number, (40, 32))
    dataset = make(photos, folder / "whole-set").run
    killed = killed_synth(photos, folder / "killed-set")

    def resumed(run: Path) -> None:
        make(photos, run)
        assert tree(run) == tree(dataset), "another data set than the undisturbed one"

    detector, gan = detector_in(folder / "whole-detector"), tiny_run(folder / "whole-gan")
    weights = folder / "whole-weights"
    weights.mkdir()
    state = {"layer.weight": torch.ones(4, 3), "layer.bias": torch.zeros(4)}
    torch.save({"state_dict": state}, weights / "w.pth")
    (weights / "w.safetensors").write_bytes(save(state))
    layer = SmokeLayer(np.full((24, 32), 0.5, np.float32), np.full((24, 32, 3), 0.5, np.float32))
    lifts = [Lift(layer, f"layer-{number}", "0" * 64, "g", 0.9) for number in range(3)]
    write_bank(weights / "layers.zip", lifts)
    step = "checkpoints/step-0000001"
    return [
        ("metadata", dataset, "train/metadata.jsonl", LabelledSet.open),
        ("metadata of all", dataset, "metadata.jsonl", LabelledSet.open),
        ("inputs", dataset, "inputs.json", lambda run: RunDir(run).files_seen()),
        ("journal", killed, ".journal.jsonl", resumed),
        ("configuration", dataset, "config.json", lambda run: RunDir.open(run, "synth")),
        ("train's configuration", gan, "config.json", _train_config),
        ("rows", dataset, "metadata.jsonl", lambda run: read_jsonl(run / "metadata.jsonl")),
        ("JSON", dataset, "result.json", lambda run: read_json(run / "result.json")),
        ("detector", detector, "detector.json", load_detector),
        ("detector's weights", detector, "model.safetensors", load_detector),
        ("checkpoint", gan, f"{step}/checkpoint.json", lambda run: load_checkpoint(run / step)),
        ("checkpoint's weights", gan, f"{step}/model.safetensors", load),
        ("pointer", gan, "checkpoints/latest.json", load),
        ("pickle", weights, "w.pth", lambda run: read_tensors(run / "w.pth")),
        ("safetensors", weights, "w.safetensors", lambda run: read_tensors(run / "w.safetensors")),
        ("bank", weights, "layers.zip", lambda run: list(LayerBank(run / "layers.zip"))),
        ("model file", weights, "w.pth", lambda run: load(run / "w.pth")),
        *(
            (f"report, {name}", dataset, name, write_report)
            for name in ("config.json", "result.json", "inputs.json", "metadata.jsonl",
                         "environment.json", "gallery/index.json")
        ),
    ]  # fmt: skip


def _train_config(run: Path) -> object:
    return saved_train_config(RunDir(run).config)


def main() -> int:
    """Run until the minutes are over; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cli._quieten_libraries()
    end_s = time.monotonic() + 60 * arguments.minutes
    with (
        tempfile.TemporaryDirectory(prefix="wisp-fuzz-") as name,
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stderr(nowhere),
    ):
        folder = Path(name) / "in" / "here"
        folder.mkdir(parents=True)
        fuzzer = Fuzzer(folder, arguments.seed)
        detector, damaged = detector_in(folder / "detector"), readers(folder)
        while time.monotonic() < end_s:
            fuzzer.pictures(detector)
            for one in damaged:
                for _ in range(4):
                    fuzzer.damaged(*one)
        fuzzer.requests.put(None)
        outside = [p for p in Path(name).rglob("*") if folder not in (p, *p.parents)]
        if outside != [folder.parent]:
            fuzzer.failures.append(f"written outside: {outside}")
    for name, count in sorted(fuzzer.ran.items()):
        print(f"{count:7d}  {name}")
    print(f"{fuzzer.ran.total()} inputs, seed {arguments.seed}: {len(fuzzer.failures)} failures")
    for failure in fuzzer.failures:
        print(failure)
    return 1 if fuzzer.failures else 0


if __name__ == "__main__":
    sys.exit(main())
