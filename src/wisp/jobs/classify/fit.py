"""The training loop that the head alone and the whole network share."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wisp.config import ClassifyConfig
from wisp.engine import Engine
from wisp.errors import TrainingDivergedError
from wisp.metrics import auroc, balanced_accuracy, decide, macro
from wisp.metrics.ranking import Floats
from wisp.networks.backbone import Backbone
from wisp.progress import progress, say

Stopped = Literal["finished", "early", "interrupted"]
_WARMUP_SHARE = 0.1
_STAGE_DECAY = 0.7
_LABEL_SMOOTHING = 0.05
_MAX_GRADIENT_NORM = 5.0
_LOG_EVERY = 10


@dataclasses.dataclass(frozen=True)
class Check:
    """How the model stands on the validation part."""

    loss: float
    auroc: float
    balanced_accuracy: float
    """At probability 0.5 of the positive class: the threshold is chosen only afterwards."""

    @classmethod
    def of(cls, logits: Tensor, targets: Tensor, positive: int) -> Check:
        """From logits [N, K] and class indices [N]."""
        logits, labels = logits.double().cpu(), targets.cpu()
        loss = float(F.cross_entropy(logits, labels))
        probabilities: Floats = logits.softmax(1).numpy()
        if logits.shape[1] == 2:
            area = auroc(probabilities[:, positive], labels.numpy() == positive)
        else:
            area = macro(auroc, probabilities, labels.numpy())
        called = decide(probabilities, positive, 0.5)
        return cls(loss, float(area), float(balanced_accuracy(labels.numpy(), called)))

    def to_json(self) -> dict[str, float | None]:
        """Numbers for ``metrics.jsonl``; what is not finite becomes None."""
        values = dataclasses.asdict(self)
        return {name: value if math.isfinite(value) else None for name, value in values.items()}


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a training went; the model holds the weights of ``best_step``."""

    stopped: Stopped
    steps: int
    best_step: int


ParameterGroup = dict[str, object]


def head_groups(head: nn.Module, config: ClassifyConfig) -> list[ParameterGroup]:
    """One AdamW group for the head."""
    return _decayed(list(head.parameters()), config.learning_rate, config.weight_decay)


def network_groups(
    backbone: Backbone, head: nn.Module, config: ClassifyConfig
) -> list[ParameterGroup]:
    """AdamW groups with learning rates that fall by 0.7 a stage towards the stem.

    Early stages hold edges and textures that suit any photo; Howard & Ruder 2018, arXiv 1801.06146.
    """
    groups = head_groups(head, config)
    for depth, stage in enumerate(reversed(backbone.stages())):
        rate = config.backbone_learning_rate * _STAGE_DECAY**depth
        groups += _decayed(stage, rate, config.weight_decay)
    return groups


def _decayed(
    parameters: list[nn.Parameter], rate: float, weight_decay: float
) -> list[ParameterGroup]:
    """Biases and the scales of norms are not decayed: that only shrinks the signal."""
    matrices = [p for p in parameters if p.ndim > 1]
    vectors = [p for p in parameters if p.ndim <= 1]
    groups: list[ParameterGroup] = [
        {"params": matrices, "lr": rate, "weight_decay": weight_decay},
        {"params": vectors, "lr": rate, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def rate_factor(step: int, steps: int) -> float:
    """Learning rate of ``step`` (from 0) relative to its highest: linear warm-up, then cosine."""
    warmup = max(1, round(_WARMUP_SHARE * steps))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def _copy(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


class _Best:
    """The weights with the lowest validation loss so far.

    The loss, because on synthetic smoke the AUROC soon is 1 for every checkpoint.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._state: dict[str, Tensor] | None = None
        self.step = 0
        self.loss = math.inf
        self.waited = 0

    def offer(self, step: int, check: Check) -> None:
        if check.loss < self.loss:
            self._state, self.step, self.loss, self.waited = _copy(self._model), step, check.loss, 0
        else:
            self.waited += 1

    def restore(self) -> bool:
        if self._state is None:
            return False
        self._model.load_state_dict(self._state)
        return True


def fit(
    model: nn.Module,
    groups: list[ParameterGroup],
    batches: Iterable[tuple[Tensor, Tensor]],
    validate: Callable[[], Check],
    config: ClassifyConfig,
    engine: Engine,
    log: Callable[[Mapping[str, object]], None],
    label: str,
) -> Outcome:
    """Train ``model`` with AdamW and restore its best weights.

    Args:
        model: inputs to logits [B, K].
        groups: parameter groups with their highest learning rates.
        batches: (inputs, class indices [B]), at least ``config.most_steps`` of them.
        validate: measures the model on the validation part.
        config: steps, patience and the like.
        engine: device and precision.
        log: takes a row for ``metrics.jsonl`` every 10 steps and at each validation.
        label: for the progress bar.

    Ctrl-C ends the training early with the best weights so far, if there has been a validation.
    Raises TrainingDivergedError when the loss is no longer a number.
    """
    optimizer, steps = torch.optim.AdamW(groups), config.most_steps
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: rate_factor(s, steps))
    best, start_s, step = _Best(model), time.monotonic(), 0
    stopped: Stopped = "finished"
    try:
        with progress(label, steps, unit="step") as bar:
            for inputs, targets in batches:
                loss = _step(model, optimizer, inputs, targets, engine)
                learning_rate = float(schedule.get_last_lr()[0])
                schedule.step()
                step += 1
                seconds = round(time.monotonic() - start_s, 3)
                _require_finite(loss, step, config)
                if step % _LOG_EVERY == 0 or step == steps:
                    row = {"step": step, "seconds": seconds, "loss": loss}
                    log({**row, "learning_rate": learning_rate})
                bar.advance(note=f"loss {loss:.3f}")
                if step % config.validate_every == 0 or step == steps:
                    check = validate()
                    _require_finite(check.loss, step, config)
                    log({"step": step, "seconds": seconds, "validation": check.to_json()})
                    best.offer(step, check)
                    if step == steps:
                        break
                    if 0 < config.patience <= best.waited:
                        stopped = "early"
                        break
    except KeyboardInterrupt:
        if best.step == 0:
            raise
        stopped = "interrupted"
        say(f"stopped at step {step}")
    best.restore()
    return Outcome(stopped, step, best.step)


def _step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    inputs: Tensor,
    targets: Tensor,
    engine: Engine,
) -> float:
    model.train()
    optimizer.zero_grad(set_to_none=True)
    targets = targets.to(engine.device)
    with engine.autocast():
        logits = model(inputs.to(engine.device))
    loss = F.cross_entropy(logits.float(), targets, label_smoothing=_LABEL_SMOOTHING)
    scaler = engine.scaler
    if scaler is None:
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(model.parameters(), _MAX_GRADIENT_NORM)
        optimizer.step()
    else:
        torch.autograd.backward(scaler.scale(loss))
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), _MAX_GRADIENT_NORM)
        scaler.step(optimizer)
        scaler.update()
    return float(loss.detach())


def _require_finite(loss: float, step: int, config: ClassifyConfig) -> None:
    if not math.isfinite(loss):
        raise TrainingDivergedError(
            f"the loss became {loss} at step {step}; lower --learning-rate "
            f"{config.learning_rate:g} and --backbone-learning-rate "
            f"{config.backbone_learning_rate:g}, or take --precision 32"
        )
