"""A trained detector as a graph that onnxruntime computes: from pictures to probabilities."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from wisp.detectors.settings import DetectorSettings, Scores, scores_of, worker_count
from wisp.errors import InputError
from wisp.images import UnreadableImageError, read_squashed
from wisp.images.jpeg import Uint8Array
from wisp.metrics.ranking import Floats
from wisp.progress import progress

GRAPH_FILE = "model.onnx"
"""Of the run or shipped model whose weights, beside it, it refers to."""
PICTURES, PROBABILITIES = "pictures", "probabilities"
"""Its input, uint8 [B, S, S, 3], and its output, float64 [B, K]."""
_BATCH = 16


def has_graph(folder: Path) -> bool:
    """Whether the detector in ``folder`` can be asked without torch."""
    return (folder / GRAPH_FILE).is_file()


def ask_graph(
    folder: Path,
    settings: DetectorSettings,
    paths: Sequence[Path],
    workers: int | None = None,
    named: str = "the detector",
) -> Scores:
    """Class probabilities of pictures, in order; as :func:`wisp.detectors.score_pictures`.

    ``workers`` are threads that decode pictures. Raises InputError where the graph is damaged.
    """
    session = _session(folder, settings, named)
    rows: list[Floats] = []
    faults: list[str] = []
    with progress("asking the detector", len(paths), unit="img") as bar:
        for pictures, unreadable in _read(paths, settings.size, max(1, worker_count(workers))):
            (said,) = session.run([PROBABILITIES], {PICTURES: pictures})
            rows.append(said)
            faults.extend(unreadable)
            bar.advance(len(unreadable))
    return scores_of(list(paths), rows, faults, len(settings.classes), named)


def _session(folder: Path, settings: DetectorSettings, named: str) -> Any:  # noqa: ANN401
    """An onnxruntime.InferenceSession; InputError where it is not what ``settings`` say."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # Threads that wait in a loop take from whatever else computes.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(
            folder / GRAPH_FILE, options, providers=["CPUExecutionProvider"]
        )
        made_for = session.get_inputs()[0].shape[1], session.get_outputs()[0].shape[-1]
    except Exception:  # onnxruntime raises several kinds of its own, in the words of C++
        raise InputError(
            f"{named}: {folder / GRAPH_FILE} or the weights beside it are damaged; fetch both again"
        ) from None
    said = settings.size, len(settings.classes)
    if made_for != said:
        raise InputError(
            f"{named}: {folder / GRAPH_FILE} is of pictures of {made_for[0]} px and {made_for[1]} "
            f"classes, and its settings say {said[0]} px and {said[1]}; fetch both again"
        )
    return session


def _read(
    paths: Sequence[Path], size_px: int, workers: int
) -> Iterator[tuple[Uint8Array, list[str]]]:
    """Batches of pictures, and of each picture why it cannot be read, or nothing."""

    def read(path: Path) -> tuple[Uint8Array, str]:
        try:
            return read_squashed(path, size_px), ""
        except UnreadableImageError as error:
            return np.zeros((size_px, size_px, 3), np.uint8), error.reason

    with ThreadPoolExecutor(workers) as pool:
        ahead = [pool.submit(read, path) for path in paths[: 2 * _BATCH]]
        for start in range(0, len(paths), _BATCH):
            later = start + 2 * _BATCH
            ahead += [pool.submit(read, path) for path in paths[later : later + _BATCH]]
            batch, ahead = ahead[:_BATCH], ahead[_BATCH:]
            pictures, faults = zip(*(future.result() for future in batch), strict=True)
            yield np.stack(pictures), list(faults)
