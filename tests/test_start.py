"""What a command loads: torch and what builds on it take seconds, and most commands need none."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

_HEAVY = {
    *("torch", "torchvision", "timm", "lightning", "torchmetrics", "matplotlib", "onnx", "scipy"),
    *("cv2", "isal", "jinja2", "numpy", "onnxruntime", "PIL", "pydantic", "rich", "tyro"),
}
_ASKING = {"numpy", "onnxruntime", "PIL", "tyro"}
_DRAWING = {"cv2", "isal", "jinja2", "numpy", "PIL", "pydantic", "tyro"}
LOADED = {
    "--help": set(),
    "no-such-command": set(),
    "synth --help": {"tyro"},
    "predict smoke-detector {photo}": _ASKING,
    "predict no-such-detector {photo}": {"numpy", "PIL", "tyro"},
    "synth {photo} --out {out} --no-probe": _DRAWING,
    "synth {photo} --out {out} --no-probe --model procedural --negatives blur,steam": _DRAWING,
    "synth {photo}/none --out {out}": _DRAWING - {"jinja2"},
}
"""Of these packages, what each command has loaded when it ends."""

_PROGRAM = """
import json, sys
from wisp.cli import main
try:
    main(sys.argv[1:])
except SystemExit:
    pass
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


@pytest.mark.parametrize("command", LOADED)
def test_a_command_loads_what_it_needs(command: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "photo.png")
    places = {"photo": tmp_path / "photo.png", "out": tmp_path / "set"}
    words = [word.format(**places) for word in command.split()]
    said = subprocess.run(
        [sys.executable, "-c", _PROGRAM, *words], capture_output=True, text=True, check=True
    )
    loaded = set(json.loads(said.stdout.splitlines()[-1]))
    assert loaded & _HEAVY <= LOADED[command], said.stderr
    # What is allowed is used: the list says what there is, not what there might be.
    assert LOADED[command] <= loaded, said.stderr
