"""From a detector's network to its graph: normalisation, mirror image and softmax inside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from wisp.detectors.graph import GRAPH_FILE, PICTURES, PROBABILITIES
from wisp.detectors.network import load_detector, logits_of
from wisp.detectors.settings import MODEL_FILE
from wisp.networks.detector import Detector, Ensemble
from wisp.rundir import write_bytes

_PREFIX = "detector."


class _Asked(nn.Module):
    """Pictures uint8 [B, S, S, 3] to probabilities [B, K], as ``score_pictures`` computes them."""

    def __init__(self, detector: Detector | Ensemble) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, pictures: Tensor) -> Tensor:
        logits = logits_of(self.detector, pictures.permute(0, 3, 1, 2).float() / 127.5 - 1)
        return logits.double().softmax(1)


def write_graph(folder: Path) -> None:
    """Write the graph of the detector in ``folder`` beside its weights, which it refers to.

    Needs the packages onnx and onnxscript.
    """
    detector, settings = load_detector(folder)
    example = torch.zeros(2, settings.size, settings.size, 3, dtype=torch.uint8)
    program: Any = torch.onnx.export(
        _Asked(detector).eval(),
        (example,),
        dynamo=True,
        dynamic_shapes=({0: torch.export.Dim("pictures")},),
        input_names=[PICTURES],
        output_names=[PROBABILITIES],
        verbose=False,
    )
    model = program.model_proto
    _refer_to(model.graph, folder / MODEL_FILE)
    for part in (model, model.graph, *model.graph.node, *model.graph.value_info):
        part.ClearField("metadata_props")  # where in which file a line of code stands
    write_bytes(folder / GRAPH_FILE, model.SerializeToString())


def _refer_to(graph: Any, weights: Path) -> None:  # noqa: ANN401 - onnx.GraphProto
    """Let the weights in ``graph`` be those in the safetensors file ``weights``: ONNX knows parts
    of files, and that file is tensors one after another. Weights in float16 are widened."""
    from onnx import TensorProto, helper

    raw = weights.read_bytes()
    start = 8 + int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:start])
    kinds = {"F32": TensorProto.FLOAT, "F16": TensorProto.FLOAT16}
    widened = []
    for tensor in graph.initializer:
        entry = header.get(tensor.name.removeprefix(_PREFIX))
        if entry is None:  # a constant of the network's code
            continue
        name = tensor.name
        first, last = entry["data_offsets"]
        tensor.ClearField("raw_data")
        tensor.data_type = kinds[entry["dtype"]]
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (
            ("location", weights.name), ("offset", start + first), ("length", last - first)
        ):  # fmt: skip
            tensor.external_data.add(key=key, value=str(value))
        if tensor.data_type == TensorProto.FLOAT16:
            tensor.name = f"{name}.half"
            widened.append(helper.make_node("Cast", [tensor.name], [name], to=TensorProto.FLOAT))
    nodes = [*widened, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
