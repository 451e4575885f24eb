"""Read a state dict without executing code, and bring its names to timm's."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from wisp.errors import InputError

_WRAPPERS = ("state_dict", "model_state_dict", "model", "state_dict_ema")
_SHOWN = 3
_PICKLE_START = b"\x80"


def _is_refusal(words: str, path: Path) -> bool:
    """Whether torch's restricted reader, with ``words``, met something it will not build or call.

    It also says "Unsupported operand" of bytes that are no pickle at all.
    """
    if "Unsupported operand" in words:
        with path.open("rb") as stream:
            return stream.read(1) == _PICKLE_START
    return "Unsupported" in words or "GLOBAL" in words


def read_state(path: Path, flag: str = "--weights") -> dict[str, Tensor]:
    """The tensors in a safetensors or PyTorch file, on the CPU; nothing in it is executed.

    A PyTorch file may hold them under ``state_dict``, ``model`` and the like, next to other values.
    Raises InputError naming ``flag`` and the file when it is missing, truncated, damaged, or holds
    objects that would have to be executed, or no tensors.
    """
    named = f"{flag} {path}".lstrip()
    if not path.is_file():
        raise InputError(f"{named}: no such file")
    try:
        if path.suffix == ".safetensors":
            return finite(dict(load_file(path)), named)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on unusual pickles, which are refused below
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except InputError:
        raise
    except Exception as error:  # what the readers raise on other bytes is unforeseeable
        if isinstance(error, pickle.UnpicklingError) and _is_refusal(str(error), path):
            raise InputError(
                f"{named}: holds code or objects besides tensors, which wisp refuses to run; save "
                "its state_dict() alone"
            ) from None
        raise InputError(
            f"{named}: damaged, truncated or not a weights file; fetch it again (expected is a "
            ".safetensors file or a PyTorch state dict)"
        ) from None
    for name in _WRAPPERS:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(name), Mapping):
            loaded = loaded[name]
    entries = loaded.items() if isinstance(loaded, Mapping) else ()
    tensors = {
        str(name).removeprefix("module."): value
        for name, value in entries
        if isinstance(value, Tensor)
    }
    if not tensors:
        raise InputError(f"{named}: holds no tensors by name; save a model's state_dict()")
    return finite(tensors, named)


def finite(tensors: dict[str, Tensor], named: str) -> dict[str, Tensor]:
    """``tensors``; InputError if one holds NaN or infinity, from which nothing but black comes."""
    spoilt = [name for name, value in tensors.items() if not bool(torch.isfinite(value).all())]
    if spoilt:
        raise InputError(
            f"{named}: {len(spoilt)} of its {len(tensors)} tensors are not all finite numbers, "
            f"such as {spoilt[0]}; its training went wrong, so take an earlier checkpoint"
        )
    return tensors


def halved(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of ``state`` in float16, half as large; loading them brings them to float32.

    What has one dimension (biases, norms) stays: it is little, and the variances that norms keep
    may lie outside float16's range, as may a weight, which then stays as well.
    """
    largest = torch.finfo(torch.float16).max
    return {
        name: value.half()
        if value.is_floating_point() and value.ndim > 1 and float(value.abs().max()) <= largest
        else value
        for name, value in state.items()
    }


_MOBILENET_V2_REPEATS = (1, 2, 3, 4, 3, 3, 1)
_WITHOUT_EXPANSION = {"0.0": "conv_dw", "0.1": "bn1", "1": "conv_pw", "2": "bn2"}
_WITH_EXPANSION = {
    "0.0": "conv_pw",
    "0.1": "bn1",
    "1.0": "conv_dw",
    "1.1": "bn2",
    "2": "conv_pwl",
    "3": "bn3",
}
_ENDS = {
    "features.0.0": "conv_stem",
    "features.0.1": "bn1",
    "features.18.0": "conv_head",
    "features.18.1": "bn2",
}


def is_torchvision_mobilenet_v2(names: Iterable[str]) -> bool:
    """Whether these are the parameter names of torchvision's ``mobilenet_v2``."""
    return {"features.0.0.weight", "features.17.conv.3.bias", "features.18.0.weight"} <= set(names)


def mobilenet_v2_name(name: str) -> str:
    """Timm's name for a parameter of torchvision's ``mobilenet_v2``.

    >>> mobilenet_v2_name("features.2.conv.0.1.weight")
    'blocks.1.0.bn1.weight'
    """
    module, _, leaf = name.rpartition(".")
    if module in _ENDS:
        return f"{_ENDS[module]}.{leaf}"
    match = re.fullmatch(r"features\.(\d+)\.conv\.([\d.]+)", module)
    if match is None:
        return name
    position = int(match[1]) - 1
    for stage, repeats in enumerate(_MOBILENET_V2_REPEATS):
        if position < repeats:
            part = (_WITH_EXPANSION if stage else _WITHOUT_EXPANSION).get(match[2])
            return name if part is None else f"blocks.{stage}.{position}.{part}.{leaf}"
        position -= repeats
    return name


def check_fit(
    wanted: Mapping[str, Tensor], given: Mapping[str, Tensor], what: str, advice: str
) -> None:
    """Raise InputError that names the first names or shapes that differ.

    BatchNorm's step counters may be missing: nothing depends on them.
    """
    missing = [n for n in wanted if n not in given and not n.endswith("num_batches_tracked")]
    unexpected = [name for name in given if name not in wanted]
    shapes = [
        f"{name} is {tuple(given[name].shape)} instead of {tuple(wanted[name].shape)}"
        for name in wanted
        if name in given and given[name].shape != wanted[name].shape
    ]
    faults = []
    for label, names in (("missing", missing), ("unexpected", unexpected), ("shape", shapes)):
        if names:
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            faults.append(f"{label}: {', '.join(names[:_SHOWN])}{more}")
    if faults:
        raise InputError(f"{what} ({'; '.join(faults)}); {advice}")


def weights_of(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """Weights of the network ``name``, averaged ones if there are any; empty if there are none."""
    for prefix in (f"ema.{name}.", f"{name}."):
        found = {
            key.removeprefix(prefix): value
            for key, value in tensors.items()
            if key.startswith(prefix)
        }
        if found:
            return found
    return {}
