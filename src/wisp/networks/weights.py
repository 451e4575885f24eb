"""Read a state dict without executing code, and bring its names to timm's."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load
from torch import Tensor

from wisp.errors import InputError

_SHOWN = 3
_ANCHORS = 3
"""Names that say where a network begins."""
_ADDED = re.compile(r"^module\.|(?<=\.)module\.|_orig_mod\.")
_BACK = re.compile(r"B2A|BtoA|G_B|gen_?BA|smoky_to_clean")
_PICKLE_START = b"\x80"


def _is_refusal(words: str, path: Path) -> bool:
    """Whether torch's restricted reader, with ``words``, met something it will not build or call.

    It also says "Unsupported operand" of bytes that are no pickle at all.
    """
    if "Unsupported operand" in words:
        with path.open("rb") as stream:
            return stream.read(1) == _PICKLE_START
    return "Unsupported" in words or "GLOBAL" in words


def is_weights_file(path: Path) -> bool:
    """Whether ``path`` holds safetensors or is one of PyTorch's files, whatever it is called."""
    with path.open("rb") as stream:
        head = stream.read(512)
    # A zip of PyTorch's begins with NAME/data.pkl; a bank of layers is another zip.
    zipped = head.startswith(b"PK") and b"/data.pkl" in head
    return zipped or head[8:9] == b"{" or head[:1] == _PICKLE_START


def read_state(path: Path, flag: str = "--weights") -> dict[str, Tensor]:
    """The tensors in a safetensors or PyTorch file, on the CPU; nothing in it is executed.

    Tensors within dictionaries are called as these are, with dots: ``state_dict.conv1.weight``, see
    :func:`under`. What DataParallel and torch.compile put into names is left out. Raises InputError
    naming ``flag`` and the file when it is missing, truncated, damaged, or holds objects that would
    have to be executed, values that are not finite, or no tensors.
    """
    named = f"{flag} {path}".lstrip()
    if not path.is_file():
        raise InputError(f"{named}: no such file")
    try:
        with path.open("rb") as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on unusual pickles, which are refused below
            safe = stream.read(9)[8:] == b"{"
            stream.seek(0)
            # A stream: torch goes by a path's name, and safetensors opens none that is no UTF-8.
            loaded: Any = (
                load(stream.read())
                if safe
                else torch.load(stream, map_location="cpu", weights_only=True)
            )
    except Exception as error:  # what the readers raise on other bytes is unforeseeable
        if isinstance(error, pickle.UnpicklingError) and _is_refusal(str(error), path):
            raise InputError(
                f"{named}: holds code or objects besides tensors, which wisp refuses to run; save "
                "its state_dict() alone"
            ) from None
        reason = what_else(path, str(error)) or (
            "damaged, truncated or not a weights file; fetch it again (expected is a safetensors "
            "file or a PyTorch state dict)"
        )
        raise InputError(f"{named}: {reason}") from None
    tensors = {_ADDED.sub("", name): value for name, value in _flat(loaded, "")}
    if not tensors:
        raise InputError(f"{named}: holds no tensors by name; save a model's state_dict()")
    return finite(tensors, named)


def what_else(path: Path, words: str = "") -> str | None:
    """What ``path`` holds instead of weights, and what to do, where that can be told by its start
    or by the ``words`` of torch."""
    with path.open("rb") as stream:
        head = stream.read(64).lstrip()
    if "TorchScript" in words:
        return "is a TorchScript program; save the state_dict() of the network it was made of"
    if head.startswith(b"version https://git-lfs"):
        return "only points to a file in Git LFS; fetch that with git lfs pull"
    if head.startswith(b"<"):
        return "is a web page; fetch the file that it speaks of"
    return None if head else "is empty; fetch it again"


def _flat(value: object, name: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _flat(item, f"{name}.{key}" if name else str(key))


def under(state: Mapping[str, Tensor], wanted: Iterable[str]) -> dict[str, Tensor]:
    """The network in ``state`` that has most of the names ``wanted``, by these names.

    Of several that have as many, an averaged one (EMA), and of two generators that from A to B.
    Where there is none, ``state``. Raises InputError where nothing tells which is meant.
    """
    names = list(wanted)
    prefixes = {
        key.removesuffix(name) for name in names[:_ANCHORS] for key in state if key.endswith(name)
    }

    def rank(prefix: str) -> tuple[int, bool, bool]:
        hits = sum(prefix + name in state for name in names)
        return -hits, bool(_BACK.search(prefix)), "ema" not in prefix

    ranked = sorted((rank(p), p) for p in prefixes if not p or p.endswith("."))
    best, *others = [prefix for found, prefix in ranked if found == ranked[0][0]] or [""]
    if others and -2 * rank(best)[0] > len(names):
        raise InputError(
            f"several networks are in the file, {best}* and {others[0]}*, and nothing tells which "
            "is meant; save that one alone"
        )
    return {key.removeprefix(best): value for key, value in state.items() if key.startswith(best)}


def finite(tensors: dict[str, Tensor], named: str) -> dict[str, Tensor]:
    """``tensors``; InputError if one holds NaN or infinity, from which nothing but black comes."""
    # (A lone number is no weight, but such as Lightning's best score; float8 has no isfinite.)
    spoilt = [
        name
        for name, value in tensors.items()
        if value.ndim and value.is_floating_point() and not bool(value.float().isfinite().all())
    ]
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


TORCHVISION_MOBILENET_V2 = (
    "features.0.0.weight",
    "features.17.conv.3.bias",
    "features.18.0.weight",
)
"""Names of parameters of torchvision's ``mobilenet_v2``, and of nothing of timm's."""


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
    """Weights of the network ``name``, averaged ones if there are any; empty if there are none.

    Those at the top of the file come before those within something else.
    """
    for prefix in (f"ema.{name}.", f"{name}."):
        found = {
            key.removeprefix(prefix): value
            for key, value in tensors.items()
            if key.startswith(prefix)
        }
        if found:
            return found
    within = f".{name}."
    return {key.partition(within)[2]: value for key, value in tensors.items() if within in key}
