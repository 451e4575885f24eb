"""How far each source's smoke is from the real smoke of the test sets, on one backbone for all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wisp.config import CompareConfig
from wisp.engine import Engine
from wisp.jobs.compare.inputs import Inputs
from wisp.jobs.evaluate.distances import FEWEST_PICTURES, drawn_pictures, pooled_features
from wisp.metrics import kernel_distance
from wisp.metrics.ranking import Floats
from wisp.rundir import read_json, read_jsonl, write_json


class Distances:
    """Kernel distance (KID) of training smoke to test smoke.

    On the features of the backbone that the detectors start from, of up to 300 pictures a side.
    """

    def __init__(self, config: CompareConfig, inputs: Inputs, engine: Engine) -> None:
        self._config, self._inputs, self._engine = config, inputs, engine
        self._backbone = inputs.backbone.to(engine.device).eval()
        self._real: dict[str, Floats] = {}

    def measure(self, dataset: Path, seed: int, file: Path) -> dict[str, Any]:
        """``{set: {"value", "low", "high"}}`` of the smoky training pictures in ``dataset``.

        Sets with fewer than 8 smoky pictures have none. Kept in ``file``, and read from there.
        """
        if file.exists():
            return dict(read_json(file))
        made = [
            dataset / row["file_name"]
            for row in read_jsonl(dataset / "metadata.jsonl")
            if (row["split"], row["label"]) == ("train", "smoky")
        ]
        learned = self._features(made, seed, "made")
        found = {}
        if len(learned) >= FEWEST_PICTURES:
            for name, real in self._real_features().items():
                found[name] = kernel_distance(learned, real, seed=seed).to_json()
        write_json(file, found)
        return found

    def _real_features(self) -> dict[str, Floats]:
        """Features of each set's smoky pictures, computed once."""
        if not self._real:
            for name in self._inputs.sets:
                own = [
                    picture.path
                    for picture in self._inputs.tests
                    if (picture.set_name, picture.label) == (name, "smoky")
                ]
                if len(own) >= FEWEST_PICTURES:
                    self._real[name] = self._features(own, self._config.seed, name)
        return self._real

    def _features(self, paths: list[Path], seed: int, key: str) -> Floats:
        return pooled_features(
            self._backbone,
            drawn_pictures(paths, seed, key),
            self._config.size,
            self._engine,
            "features for the distance",
        )
