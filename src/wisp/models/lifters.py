"""From a run to R. Apart from the smoke models, which need no timm: its import takes a second."""

from __future__ import annotations

from pathlib import Path

from wisp import shipped
from wisp.checkpoint import STATE_FILE, read_tensors
from wisp.errors import InputError
from wisp.models.trained import WEIGHTS_FILE, checkpoint_of
from wisp.networks.backbone import load_backbone
from wisp.networks.lifter import SmokeLifter
from wisp.networks.weights import weights_of
from wisp.rundir import read_json


def load_lifter(run: str | Path) -> SmokeLifter:
    """R of a run of ``wisp train --model layered``, in evaluation mode, float32 on the CPU.

    Its best checkpoint if it measured a distance, else its latest; averaged weights if there are
    any. Or R of ``layered``, which ships with wisp. Raises InputError for anything else.
    """
    folder = checkpoint_of(shipped.resolve(run))
    state = read_json(folder / STATE_FILE)
    if state.get("kind") != "layered":
        raise InputError(f"{run}: holds no layered model; name a run of wisp train --model layered")
    network = SmokeLifter(load_backbone(str(state["backbone"]), "none"), int(state["channels"]))
    tensors = weights_of(read_tensors(folder / WEIGHTS_FILE), "lifter")
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        detail = " ".join(str(error).split())[:300]
        raise InputError(f"{folder}: does not hold the network it names ({detail})") from None
    return network.eval()
