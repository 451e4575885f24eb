"""How many pairs per second a CycleGAN step takes, wisp against the plain reference algorithm.

    python benchmarks/cyclegan_step.py --out benchmarks/results/cyclegan_step.json

The plain side is written here from Zhu et al. 2017 (arXiv 1703.10593) alone: float32, six
generator passes, image pool, two Adam optimizers, nothing shared with wisp. Both start from the
same weights, see the same images, and alternate step by step in one process, so that a busy machine
slows both. Times are medians.

Losses are compared in three ways. "free": means over the timed steps, each side following its own
weights. "control": the same means for the plain side against a copy of itself whose first weights
differ in the last bit, which shows how far rounding alone moves two such trainings apart while the
first steps are chaotic. "same weights": means over further steps before each of which wisp gets the
plain side's weights, which shows what wisp's own arithmetic does.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from wisp.environment import machine

WARM_UP = 2


def norm(channels: int) -> nn.Module:
    """Instance norm as the reference sets it."""
    return nn.InstanceNorm2d(channels, affine=False, track_running_stats=False)


class PlainBlock(nn.Module):
    """A residual block."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), norm(channels), nn.ReLU(True),
            nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), norm(channels),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Adds the block's change."""
        result: Tensor = x + self.conv_block(x)
        return result


class PlainGenerator(nn.Module):
    """The ResNet generator."""

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        w = width
        layers = [nn.ReflectionPad2d(3), nn.Conv2d(3, w, 7), norm(w), nn.ReLU(True)]
        for c in (w, 2 * w):
            layers += [nn.Conv2d(c, 2 * c, 3, stride=2, padding=1), norm(2 * c), nn.ReLU(True)]
        layers += [PlainBlock(4 * w) for _ in range(blocks)]
        for c in (4 * w, 2 * w):
            up = nn.ConvTranspose2d(c, c // 2, 3, stride=2, padding=1, output_padding=1)
            layers += [up, norm(c // 2), nn.ReLU(True)]
        self.model = nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(w, 3, 7), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        """Translates."""
        result: Tensor = self.model(x)
        return result


class PlainDiscriminator(nn.Module):
    """The 70 × 70 PatchGAN."""

    def __init__(self, width: int) -> None:
        super().__init__()
        w = width
        layers: list[nn.Module] = [nn.Conv2d(3, w, 4, 2, 1), nn.LeakyReLU(0.2, True)]
        for inputs, outputs, stride in ((w, 2 * w, 2), (2 * w, 4 * w, 2), (4 * w, 8 * w, 1)):
            conv = nn.Conv2d(inputs, outputs, 4, stride, 1)
            layers += [conv, norm(outputs), nn.LeakyReLU(0.2, True)]
        self.model = nn.Sequential(*layers, nn.Conv2d(8 * w, 1, 4, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Scores patches."""
        result: Tensor = self.model(x)
        return result


class Pool:
    """The history of generated images."""

    def __init__(self, size: int = 50) -> None:
        self.size, self.images = size, list[Tensor]()

    def query(self, image: Tensor) -> Tensor:
        """The image, or an earlier one in its place."""
        if len(self.images) < self.size:
            self.images.append(image.clone())
            return image
        if random.random() > 0.5:
            place = random.randrange(self.size)
            old, self.images[place] = self.images[place], image.clone()
            return old
        return image


class PlainCycleGan:
    """The reference's optimize_parameters, in float32."""

    def __init__(self, width: int, blocks: int, device: torch.device) -> None:
        self.to_smoky, self.to_clean = (PlainGenerator(width, blocks).to(device) for _ in "AB")
        self.smoky_d, self.clean_d = (PlainDiscriminator(64).to(device) for _ in "AB")
        self.smoky_pool, self.clean_pool = Pool(), Pool()
        generators = itertools.chain(self.to_smoky.parameters(), self.to_clean.parameters())
        discriminators = itertools.chain(self.smoky_d.parameters(), self.clean_d.parameters())
        self.g_adam = torch.optim.Adam(generators, lr=2e-4, betas=(0.5, 0.999))
        self.d_adam = torch.optim.Adam(discriminators, lr=2e-4, betas=(0.5, 0.999))
        self.mse, self.l1 = nn.MSELoss(), nn.L1Loss()

    def set_trainable(self, trainable: bool) -> None:
        """Freeze or thaw the discriminators."""
        for network in (self.smoky_d, self.clean_d):
            for parameter in network.parameters():
                parameter.requires_grad = trainable

    def gan_loss(self, score: Tensor, real: bool) -> Tensor:
        """Least squares."""
        loss: Tensor = self.mse(score, torch.full_like(score, float(real)))
        return loss

    def step(self, clean: Tensor, smoky: Tensor) -> dict[str, float]:
        """One step; the losses."""
        fake_smoky, fake_clean = self.to_smoky(clean), self.to_clean(smoky)
        back_clean, back_smoky = self.to_clean(fake_smoky), self.to_smoky(fake_clean)
        self.set_trainable(False)
        self.g_adam.zero_grad()
        identity = self.l1(self.to_smoky(smoky), smoky) + self.l1(self.to_clean(clean), clean)
        adversarial = self.gan_loss(self.smoky_d(fake_smoky), True)
        adversarial = adversarial + self.gan_loss(self.clean_d(fake_clean), True)
        cycle = self.l1(back_clean, clean) + self.l1(back_smoky, smoky)
        total = adversarial + 10 * cycle + 5 * identity
        torch.autograd.backward(total)
        self.g_adam.step()
        self.set_trainable(True)
        self.d_adam.zero_grad()
        discriminator = 0.0
        for network, real, fake, pool in (
            (self.smoky_d, smoky, fake_smoky, self.smoky_pool),
            (self.clean_d, clean, fake_clean, self.clean_pool),
        ):
            shown = pool.query(fake.detach())
            loss = 0.5 * (self.gan_loss(network(real), True) + self.gan_loss(network(shown), False))
            torch.autograd.backward(loss)
            discriminator += float(loss.detach())
        self.d_adam.step()
        return {
            "generator": float(total.detach()),
            "cycle": float(cycle.detach()),
            "identity": float(identity.detach()),
            "discriminator": discriminator,
        }


def wisp_step(
    plain: PlainCycleGan, size: int, blocks: int, width: int, device: str, precision: str
) -> tuple[Callable[[Tensor, Tensor], dict[str, float]], Callable[[], None], str]:
    """wisp's step, what gives it the weights of ``plain``, and the precision it chose."""
    from wisp.config import RepaintingConfig
    from wisp.engine import make_engine
    from wisp.jobs.train.cyclegan import CycleGanTrainer

    config = RepaintingConfig(
        Path("clean"), Path("smoky"), out=Path("unused"), size=size, width=width, ema=0.0,
        generator="resnet9" if blocks == 9 else "resnet6",
    )  # fmt: skip
    engine = make_engine("cuda" if device == "cuda" else "cpu", precision, dense=True)  # type: ignore[arg-type]
    trainer = CycleGanTrainer(config, engine)
    nets = trainer.networks

    def copy_weights() -> None:
        for ours, theirs in (
            (nets.clean_to_smoky, plain.to_smoky), (nets.smoky_to_clean, plain.to_clean),
            (nets.smoky_discriminator, plain.smoky_d), (nets.clean_discriminator, plain.clean_d),
        ):  # fmt: skip
            ours.load_state_dict(theirs.state_dict())

    def step(clean: Tensor, smoky: Tensor) -> dict[str, float]:
        trainer.forget_losses()
        trainer.train_step({"clean": clean, "smoky": smoky})
        means = trainer.mean_losses()
        return {
            "generator": means["generator"],
            "cycle": means["cycle_clean"] + means["cycle_smoky"],
            "identity": means["identity_clean"] + means["identity_smoky"],
            "discriminator": means["discriminator_smoky"] + means["discriminator_clean"],
        }

    copy_weights()
    return step, copy_weights, engine.precision


def synchronised(device: str) -> None:
    """Wait for the GPU, if there is one."""
    if device == "cuda":
        torch.cuda.synchronize()


def images(size: int, device: str) -> tuple[Tensor, Tensor]:
    """A smooth random clean and smoky image."""
    coarse = torch.rand(2, 1, 3, size // 16, size // 16, device=device) * 2 - 1
    clean, smoky = (
        nn.functional.interpolate(part, (size, size), mode="bilinear") for part in coarse
    )
    return clean, smoky


def nudged(plain: PlainCycleGan) -> PlainCycleGan:
    """A copy whose weights differ in the last bit: by one step of float32, up or down."""
    other = copy.deepcopy(plain)
    with torch.no_grad():
        for network in (other.to_smoky, other.to_clean, other.smoky_d, other.clean_d):
            for parameter in network.parameters():
                way = torch.where(torch.rand_like(parameter) < 0.5, -torch.inf, torch.inf)
                parameter.copy_(torch.nextafter(parameter, way))
    return other


def compared(losses: dict[str, list[dict[str, float]]]) -> dict[str, object]:
    """Mean losses of the plain and the other side, and the largest relative difference."""
    means = {
        name: {key: statistics.fmean(row[key] for row in rows) for key in rows[0]}
        for name, rows in losses.items()
    }
    first, second = means.values()
    differences = {key: abs(second[key] / value - 1) for key, value in first.items()}
    return {
        "means": means,
        "differences": differences,
        "largest_difference": max(differences.values()),
    }


def measure(
    size: int, steps: int, parity_steps: int, blocks: int, width: int, device: str, precision: str
) -> dict[str, object]:
    """Alternate both sides for ``steps`` steps, then ``parity_steps`` from the same weights."""
    torch.manual_seed(0)
    random.seed(0)
    plain = PlainCycleGan(width, blocks, torch.device(device))
    for network in (plain.to_smoky, plain.to_clean, plain.smoky_d, plain.clean_d):
        for parameter in network.parameters():
            if parameter.ndim > 1:
                nn.init.normal_(parameter, 0.0, 0.02)
            else:
                nn.init.zeros_(parameter)
    step, copy_weights, chosen = wisp_step(plain, size, blocks, width, device, precision)
    control = nudged(plain)
    shown: list[tuple[Tensor, Tensor]] = []
    sides = {"plain": plain.step, "wisp": step}
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    free: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
    parity: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
    for number in range(WARM_UP + steps + parity_steps):
        clean, smoky = images(size, device)
        is_timed = WARM_UP <= number < WARM_UP + steps
        is_parity = number >= WARM_UP + steps
        if is_parity:
            copy_weights()
        else:
            shown.append((clean, smoky))
        for name, side in sides.items():
            synchronised(device)
            start_s = time.perf_counter()
            values = side(clean, smoky)
            synchronised(device)
            if is_timed:
                seconds[name].append(time.perf_counter() - start_s)
            (parity if is_parity else free)[name].append(values)
    drift = {"plain": free["plain"], "nudged": [control.step(*pair) for pair in shown]}
    per_step = {name: statistics.median(times) for name, times in seconds.items()}
    ratios = [a / b for a, b in zip(seconds["plain"], seconds["wisp"], strict=True)]
    return {
        "size_px": size,
        "blocks": blocks,
        "width": width,
        "batch": 1,
        "precision": chosen,
        "steps": steps,
        "seconds_per_step": per_step,
        "fastest_step_s": {name: min(times) for name, times in seconds.items()},
        "pairs_per_s": {name: 1 / value for name, value in per_step.items()},
        "ratio": per_step["plain"] / per_step["wisp"],
        "ratio_low_high": [min(ratios), max(ratios)],
        "losses_free": compared(free),
        "losses_control": compared(drift),
        "losses_same_weights": compared(parity) if parity_steps else None,
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 256], help="crop [px]")
    parser.add_argument("--steps", type=int, default=12, help="steps timed per size")
    parser.add_argument("--parity-steps", type=int, default=6, help="steps from the same weights")
    parser.add_argument("--blocks", type=int, default=9)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--precision", default="auto", help="wisp's: auto, 32 or bf16")
    parser.add_argument("--threads", type=int, help="CPU threads; default: torch's choice")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    results = []
    for size in options.sizes:
        result = measure(
            size, options.steps, options.parity_steps, options.blocks, options.width,
            options.device, options.precision,
        )  # fmt: skip
        results.append(result)
        print(json.dumps(result))
    report = {
        "benchmark": "cyclegan_step",
        "machine": {**machine(), "torch_threads": torch.get_num_threads()},
        "results": results,
    }
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
