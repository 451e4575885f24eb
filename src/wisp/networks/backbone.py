"""Image features from any timm model, with weights that ship with wisp, the hub's, or a file's."""

from __future__ import annotations

import contextlib
import difflib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, cast

import huggingface_hub
import timm
import torch
from huggingface_hub.errors import HfHubHTTPError
from timm.models import group_parameters
from torch import Tensor, nn

from wisp.errors import InputError
from wisp.networks.imagenet import SHIPPED, shipped_weights
from wisp.networks.weights import (
    TORCHVISION_MOBILENET_V2,
    check_fit,
    mobilenet_v2_name,
    read_state,
    under,
)

_RANDOM_SEED = 0
_STRIDES = [2, 4, 8, 16, 32]
_HUB_FILES = ("model.safetensors", "pytorch_model.bin")


class HubUnreachableError(InputError):
    """Weights were asked from the hub, which does not give them."""


class _TimmModel(Protocol):
    """What wisp needs of a timm model beyond nn.Module."""

    pretrained_cfg: Mapping[str, object]
    head_hidden_size: int

    def forward_features(self, images: Tensor) -> Tensor: ...

    def forward_head(self, features: Tensor, *, pre_logits: bool) -> Tensor: ...

    def group_matcher(self, *, coarse: bool) -> Mapping[str, object]: ...


def _timm(net: nn.Module) -> _TimmModel:
    return cast(_TimmModel, net)


class Backbone(nn.Module):
    """A timm model without its classifier; it takes [-1, 1] RGB and normalises by itself.

    ``mean`` and ``std`` are those of the pretraining, for RGB in [0, 1]; ``dim`` is the length of
    :meth:`pooled`.
    """

    def __init__(self, name: str, net: nn.Module) -> None:
        super().__init__()
        self.name = name
        self.net = net
        settings = _timm(net).pretrained_cfg
        self.mean = cast(tuple[float, float, float], tuple(cast(list[float], settings["mean"])))
        self.std = cast(tuple[float, float, float], tuple(cast(list[float], settings["std"])))
        self.dim = int(_timm(net).head_hidden_size)
        # (x + 1) / 2, less the mean, over std, as one multiplication and one addition.
        scale = 0.5 / torch.tensor(self.std)
        shift = (0.5 - torch.tensor(self.mean)) / torch.tensor(self.std)
        self.register_buffer("scale", scale.view(1, 3, 1, 1), persistent=False)
        self.register_buffer("shift", shift.view(1, 3, 1, 1), persistent=False)

    scale: Tensor
    shift: Tensor

    def raw(self, images: Tensor) -> Tensor:
        """Last features of ``images`` [B, 3, H, W] as the model lays them out (map or tokens)."""
        return _timm(self.net).forward_features(images * self.scale + self.shift)

    def channels(self) -> list[int]:
        """Channels of each of :meth:`maps`, the finest first.

        Raises InputError for a network without features at strides of 2, 4, 8, 16 and 32.
        """
        info = getattr(self.net, "feature_info", ())
        strides = [int(row["reduction"]) for row in info]
        if strides != _STRIDES or not hasattr(self.net, "forward_intermediates"):
            raise InputError(
                f"--backbone {self.name}: has features at strides of {strides}, and {_STRIDES} are "
                "needed; take a convolutional one such as mobilenetv2_100 or resnet50"
            )
        return [int(row["num_chs"]) for row in info]

    def maps(self, images: Tensor) -> list[Tensor]:
        """Features [B, C, h, w] of ``images`` [B, 3, H, W] in [-1, 1] of each scale."""
        maps: list[Tensor] = self.net.forward_intermediates(  # type: ignore[operator]
            images * self.scale + self.shift, intermediates_only=True
        )
        return maps

    def pool(self, raw: Tensor) -> Tensor:
        """[B, dim] from what :meth:`raw` returned, by the model's own pooling."""
        return _timm(self.net).forward_head(raw, pre_logits=True)

    def as_map(self, raw: Tensor) -> Tensor:
        """[B, C, h, w] from what :meth:`raw` returned; the tokens of a transformer as a grid."""
        if raw.ndim == 3:
            prefix = int(getattr(self.net, "num_prefix_tokens", 0))
            tokens = raw[:, prefix:].transpose(1, 2)
            side = math.isqrt(tokens.shape[2])
            return tokens.reshape(*tokens.shape[:2], side, -1)
        return raw.movedim(-1, 1) if getattr(self.net, "output_fmt", "NCHW") == "NHWC" else raw

    def features(self, images: Tensor) -> Tensor:
        """Feature map [B, C, h, w] of ``images`` [B, 3, H, W] in [-1, 1]."""
        return self.as_map(self.raw(images))

    def pooled(self, images: Tensor) -> Tensor:
        """Feature vector [B, dim] of ``images`` [B, 3, H, W] in [-1, 1]."""
        return self.pool(self.raw(images))

    def forward(self, images: Tensor) -> Tensor:
        """The same as :meth:`pooled`."""
        return self.pooled(images)

    def stages(self) -> list[list[nn.Parameter]]:
        """The parameters in groups, from the stem to the last stage."""
        parameters = dict(self.net.named_parameters())
        if not hasattr(self.net, "group_matcher"):
            return [list(parameters.values())]
        groups = group_parameters(self.net, _timm(self.net).group_matcher(coarse=True))
        staged = [
            [parameters.pop(n) for n in names if n in parameters] for names in groups.values()
        ]
        staged[-1].extend(parameters.values())
        return [stage for stage in staged if stage]


@torch.no_grad()
def mix_in(learned: nn.Module, pretrained: nn.Module, share: float) -> None:
    """Bring the weights θ of ``learned`` back towards those, θ₀, that its training began with::

        θ ← (1 - share)·θ + share·θ₀

    Between the two, a network still does what it has learned, and what the pretraining knew of
    other pictures counts again (Wortsman et al. 2022, "WiSE-FT", arXiv 2109.01903; their α is
    1 - ``share``). Both have the same architecture. Statistics of norms are mixed as well, numbers
    of batches are not.
    """
    before = dict([*pretrained.named_parameters(), *pretrained.named_buffers()])
    for name, tensor in [*learned.named_parameters(), *learned.named_buffers()]:
        start = before[name].to(tensor)
        # What is equal may be infinite, as in a mask.
        if tensor.is_floating_point() and not torch.equal(tensor, start):
            tensor.lerp_(start, share)


def _require_hub(name: str) -> None:
    """Raise quickly, whatever the network library raises, where the hub cannot be reached.

    Downloads are tried again and again for most of a minute, with a warning each time.
    """
    settings = timm.get_pretrained_cfg(name)
    repository = (getattr(settings, "hf_hub_id", None) or "").partition("@")[0]
    if not repository or any(
        isinstance(huggingface_hub.try_to_load_from_cache(repository, file), str)
        for file in _HUB_FILES
    ):
        return
    # HfHubHTTPError: it answers, and timm knows where else to look.
    with contextlib.suppress(HfHubHTTPError):
        huggingface_hub.get_hf_file_metadata(huggingface_hub.hf_hub_url(repository, _HUB_FILES[0]))


def _require_known(name: str, prefix: str) -> None:
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else "; see timm.list_models()"
        raise InputError(f"{prefix}backbone {name}: timm knows no such model{hint}")


def _create(name: str, size: int | None, pretrained: bool, prefix: str) -> nn.Module:
    settings = timm.get_pretrained_cfg(name)
    fixed = size is not None and settings is not None and settings.fixed_input_size
    options = {"img_size": size} if fixed else {}
    net: nn.Module = timm.create_model(name, pretrained=pretrained, num_classes=0, **options)
    if not (hasattr(net, "forward_features") and hasattr(net, "head_hidden_size")):
        raise InputError(f"{prefix}backbone {name}: has no pooled features to build a detector on")
    return net


def _load_file(net: nn.Module, name: str, path: Path, prefix: str) -> None:
    state = read_state(path, f"{prefix}weights")
    wanted = net.state_dict()
    theirs = under(state, TORCHVISION_MOBILENET_V2)
    if theirs.keys() >= set(TORCHVISION_MOBILENET_V2) and "conv_stem.weight" in wanted:
        state = {mobilenet_v2_name(key): tensor for key, tensor in theirs.items()}
    else:
        state = under(state, wanted)
    classifier = _timm(net).pretrained_cfg.get("classifier") or ()
    heads = (classifier,) if isinstance(classifier, str) else cast(tuple[str, ...], classifier)
    # torchvision and older timm releases call the classifier differently.
    prefixes = tuple(f"{head}." for head in {*heads, "fc", "classifier", "head.fc"})
    state = {k: v for k, v in state.items() if k in wanted or not k.startswith(prefixes)}
    check_fit(
        wanted,
        state,
        f"{prefix}weights {path} does not fit {prefix}backbone {name}",
        "name the backbone the file was made for, or other weights",
    )
    net.load_state_dict({**wanted, **state})


def load_backbone(
    name: str, weights: str | Path = "imagenet", size: int | None = None, prefix: str = "--"
) -> Backbone:
    """A timm model as a feature extractor.

    Args:
        name: any timm model, such as ``resnet50``, ``mobilenetv2_100``, ``convnext_tiny``.
        weights: ``imagenet`` (those that ship with wisp if there are some for ``name``, which is
            in :data:`~wisp.networks.imagenet.SHIPPED`, else the hub's), ``hub`` (ImageNet,
            downloaded once), ``none`` (initialised from the present random state), ``random``
            (initialised always alike, for distances), or a file with timm's names or torchvision's
            (ResNets and mobilenet_v2).
        size: side of the pictures [px]; needed only by models with a fixed input size.
        prefix: what stands before ``backbone`` and ``weights`` in the flags that errors name.

    Raises InputError when the name is unknown or the file is damaged, contains code, or does not
    fit, and HubUnreachableError when the hub does not give the weights.
    """
    _require_known(name, prefix)
    asked = str(weights)
    if asked == "imagenet":
        weights = shipped_weights(name) or "hub"
    if str(weights) == "hub":
        try:
            _require_hub(name)
            net = _create(name, size, True, prefix)
        except InputError:
            raise
        except Exception as error:  # any of four network libraries may be the one to fail
            raise HubUnreachableError(
                f"{prefix}weights {asked}: the weights of {name} could not be fetched from the "
                f"model hub ({type(error).__name__}); take {prefix}backbone "
                f"{' or '.join(SHIPPED)}, whose {prefix}weights imagenet ship with wisp, or "
                f"get a file where there is a network (timm, torchvision or safetensors names) "
                f"and give {prefix}weights FILE, or {prefix}weights none to start from scratch"
            ) from None
    elif str(weights) == "random":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_RANDOM_SEED)
            net = _create(name, size, False, prefix)
    else:
        net = _create(name, size, False, prefix)
        if str(weights) != "none":
            _load_file(net, name, Path(weights), prefix)
    return Backbone(name, net)
