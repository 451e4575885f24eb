"""Pack finished runs as the models that ship with wisp: small, and without a photo or a path."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save

from wisp import shipped
from wisp.checkpoint import load_checkpoint, save_checkpoint
from wisp.data import BANK_FILE, LayerBank
from wisp.detectors import MODEL_FILE, SETTINGS_FILE, load_detector
from wisp.detectors.exporting import write_graph
from wisp.errors import InputError
from wisp.models.lifters import load_lifter
from wisp.models.trained import checkpoint_of
from wisp.networks.weights import halved
from wisp.rundir import RunDir, read_json, write_bytes, write_json, write_text

# Where the run lay, and sentences that may name files of this machine.
_OF_THE_RUN_ONLY = ("run", "checkpoint", "notes")


def pack_layered(run: Path) -> int:
    """Pack a finished run of ``wisp train --model layered`` as ``layered``; its size in bytes.

    Its bank, R (averaged where there is an average, weights in float16), what describes both, and
    the hashes of the photos it learned from.

    Raises InputError when ``run`` is no such run or lifted nothing yet, or the model is too large.
    """
    source = RunDir.open(run, "train", "RUN")
    if not (run / BANK_FILE).exists():
        raise InputError(f"{run}: holds no {BANK_FILE}; finish it with wisp train --resume {run}")
    LayerBank(run / BANK_FILE)  # a damaged bank does not ship
    lifter = load_lifter(run)
    folder = shipped.FOLDER / "layered"
    tensors = {f"lifter.{name}": value for name, value in halved(lifter.state_dict()).items()}
    saved = load_checkpoint(checkpoint_of(run))
    save_checkpoint(folder, {Path(MODEL_FILE).stem: tensors}, saved.state)
    shutil.copyfile(run / BANK_FILE, folder / BANK_FILE)
    _describe(source, folder)
    return shipped.seal(folder.name)


def pack_detector(run: Path) -> int:
    """Pack a finished run of ``wisp classify`` as ``smoke-detector``; its size in bytes.

    Its weights in float16, its graph, its settings with the threshold as they are, and the hashes
    of the photos it and its smoke were made from.

    Raises InputError when ``run`` is no such run or did not finish, or the model gets too large.
    """
    detector, _ = load_detector(run)
    folder = shipped.FOLDER / "smoke-detector"
    shutil.rmtree(folder, ignore_errors=True)
    tensors = {name: value.contiguous() for name, value in detector.state_dict().items()}
    write_bytes(folder / MODEL_FILE, save(halved(tensors)))
    shutil.copyfile(run / SETTINGS_FILE, folder / SETTINGS_FILE)
    _describe(RunDir(run), folder)
    write_graph(folder)
    return shipped.seal(folder.name)


def _describe(run: RunDir, folder: Path) -> None:
    """What a run holds besides its weights, as far as it is meant for others."""
    write_json(folder / "config.json", {"kind": run.kind, **_portable(run.config)})
    result = read_json(run.path / "result.json")
    kept = {name: value for name, value in result.items() if name not in _OF_THE_RUN_ONLY}
    write_json(folder / "result.json", kept)
    shutil.copyfile(run.metrics_file, folder / run.metrics_file.name)
    write_text(folder / "inputs.json", _inputs(run))


def _inputs(run: RunDir) -> str:
    """``inputs.json`` with the photos at the root of all, a line each: with them a later test
    finds out whether it tests on what was trained on."""
    parents = [parent for name in run.inputs["parents"] if (parent := run.parent(name)) is not None]
    records = [record for one in parents or [run] for record in one.files_seen()]
    rows = {
        record.sha256: json.dumps({**record.to_json(), "path": Path(record.path).name})
        for record in records
    }
    files = ",\n".join(row for _, row in sorted(rows.items()))
    return f'{{"parents": {{}}, "skipped": [], "files": [\n{files}\n]}}\n'


def _portable(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """``value`` with each path in it cut to its last name."""
    if isinstance(value, str):
        return Path(value).name if os.sep in value else value
    if isinstance(value, Mapping):
        return {key: _portable(item) for key, item in value.items()}
    return [_portable(item) for item in value] if isinstance(value, list) else value
