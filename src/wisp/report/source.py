"""The smoke model: how one that was trained learned, or what the procedural model does."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable

from wisp.report import charts
from wisp.report.dataset import Dataset
from wisp.report.lines import Figure, Learned, Series, logged
from wisp.report.page import Section, section
from wisp.report.pictures import Pictures
from wisp.report.read import UNKNOWN, Estimate, Number, RunFiles, mapping, number, text

# The chart it stands in, its key in metrics.jsonl, its name, its colour.
Loss = tuple[str, str, str, str]
_DISCRIMINATORS: tuple[Loss, ...] = (
    ("Discriminator loss", "discriminator_smoky", "real or made smoky", "smoky"),
    ("Discriminator loss", "discriminator_clean", "real or made clean", "clean"),
)
_SEEN: Loss = ("Smoke seen in clean photos", "identity", "mean opacity", "clean")
_FRAMES = 6


@dataclasses.dataclass(frozen=True)
class Kind:
    """How a model of one kind is spoken of."""

    name: str
    title: str
    sentence: str
    warning: str
    losses: tuple[Loss, ...]
    heads: tuple[str, ...]
    """Columns of its sample pictures."""


_CYCLEGAN_WARNING = (
    "Losses of a CycleGAN do not say how good the smoke is: look at the samples, then make a data "
    "set and let a detector that is tested on real smoke be the judge."
)
_KINDS = {
    "cyclegan": Kind(
        "CycleGAN",
        "A CycleGAN that puts smoke into clean photos",
        "Two generators learned from unpaired photos, one to put smoke in and one to take it out, "
        "each checked by a discriminator that tries to tell its work from real photos, and by the "
        "other, which must be able to lead the picture back (CycleGAN, Zhu et al. 2017).",
        _CYCLEGAN_WARNING,
        (
            ("Adversarial loss", "adversarial_clean_to_smoky", "clean → smoky", "smoky"),
            ("Adversarial loss", "adversarial_smoky_to_clean", "smoky → clean", "clean"),
            *_DISCRIMINATORS,
            ("Cycle loss", "cycle_smoky", "smoky → clean → smoky", "smoky"),
            ("Cycle loss", "cycle_clean", "clean → smoky → clean", "clean"),
            ("Identity loss", "identity_smoky", "smoky stays smoky", "smoky"),
            ("Identity loss", "identity_clean", "clean stays clean", "clean"),
        ),
        ("clean", "made smoky", "led back", "smoky", "made clean", "led back"),
    ),
    "composing": Kind(
        "Composing CycleGAN",
        "A CycleGAN that lays smoke over clean photos",
        "Two generators learned from unpaired photos: one says where smoke is and how it is lit, "
        "the other finds smoke to take it off. Pictures are made of what they say by the law of "
        "Beer and Lambert: masks are exact, and a pixel without smoke is left as it was. Each is "
        "checked by a discriminator that tries to tell its work from real photos, and by the "
        "other (CycleGAN, Zhu et al. 2017). All four look through the frozen features of a network "
        "that learned from ImageNet.",
        _CYCLEGAN_WARNING,
        (
            ("Adversarial loss", "adversarial_smoky", "made smoky", "smoky"),
            ("Adversarial loss", "adversarial_clean", "made clean", "clean"),
            *_DISCRIMINATORS,
            ("Cycle loss", "cycle", "clean → smoky → clean", "clean"),
            ("Smoke that was laid, found again", "lifted", "opacity and airlight", "smoky"),
            _SEEN,
            ("Two draws of smoke too alike", "variety", "likeness", "smoky"),
        ),
        (
            "clean",
            "with smoke",
            "with other smoke",
            "that smoke’s opacity",
            "taken off again",
            "smoky",
            "without its smoke",
        ),
    ),
    "layered": Kind(
        "Layered smoke",
        "Real smoke, lifted off photos and laid over clean ones",
        "A network learned to see smoke in a photo as a layer, its optical density and its own "
        "colour, on clean photos under computed smoke. The layers it lifted off real smoky photos "
        "are laid over clean ones by the law of Beer and Lambert: masks are exact, and a pixel "
        "without smoke is left as it was.",
        "The losses are on computed smoke: look at what was lifted off real photos, then make a "
        "data set and let a detector that is tested on real smoke be the judge.",
        (
            ("Lifting known smoke", "opacity", "opacity", "smoky"),
            ("Lifting known smoke", "airlight", "airlight", "clean"),
            _SEEN,
            ("Lifting again what was lifted", "cycle", "opacity and airlight", "smoky"),
            *_DISCRIMINATORS,
        ),
        ("smoky", "its smoke", "without it", "clean", "under that smoke"),
    ),
}


def kind_of(run: RunFiles) -> Kind:
    """How the model of a training run is spoken of."""
    composes = run.config.get("generator") == "composing"  # else the generators paint
    model = "composing" if composes else text(run.config.get("model"))
    return _KINDS.get(model, _KINDS["cyclegan"])


class Training(Learned):
    """What came of a training run."""

    stopped: str = ""
    planned: int = 0
    rate: Number | None = None


def load_training(run: RunFiles) -> Training:
    """Read a training run."""
    rows = run.rows("metrics.jsonl")
    rates = sorted(rate for row in rows if (rate := number(row.get("pairs_per_s"))) is not None)
    rate = rates[len(rates) // 2] if rates else None
    planned = run.config.get("steps")
    return Training.merged({"planned": planned, "rate": rate}, *logged(rows), run.result)


@dataclasses.dataclass(frozen=True)
class Nearest:
    """The lowest kernel distance to real smoky photos that was measured."""

    distance: Estimate = UNKNOWN
    step: int = 0
    features: str = ""

    @classmethod
    def of(cls, run: RunFiles) -> Nearest:
        """Of a training."""
        measured = [
            cls(found, round(number(row.get("step")) or 0), text(mapping(saved).get("features")))
            for row in run.rows("metrics.jsonl")
            if (found := Estimate.of(saved := row.get("distance"))).known
        ]
        return min(measured, key=lambda one: one.distance.value or 0.0, default=cls())


def source_section(sources: Iterable[dict[str, object]]) -> Section:
    """Where the smoke of the data sets comes from."""
    title = "Where the smoke comes from"
    return section("source", title, "Smoke source", sources=list(sources))


def trained(run: RunFiles, pictures: Pictures, name: str = "") -> dict[str, object]:
    """How a model learned."""
    kind = kind_of(run)
    return {
        "model": name,
        "sentence": kind.sentence,
        "training": load_training(run),
        "size": run.config.get("size"),
        "nearest": Nearest.of(run),
        "best_step": run.json("checkpoints/best.json").get("step"),
        "curves": _curves(run.rows("metrics.jsonl"), kind),
        "frames": _frames(run, pictures),
        "heads": kind.heads,
    }


def described(dataset: Dataset) -> dict[str, object]:
    """What is said about the model of a data set without a training run at hand."""
    model, name = dataset.model, dataset.name
    if model == "procedural":
        sentence = (
            "Nothing was trained: the smoke is computed. A cloud of optical density τ is drawn "
            "from warped noise in the shape of a plume, a bank, a veil or a burst, and laid on "
            "the photo by the law of Beer and Lambert, I′ = t·I + (1 − t)·A with t = exp(−s·τ). "
            "So the mask is exact, and a pixel without smoke is left as it was."
        )
    elif model == "real":
        sentence = "Nothing was added: the smoky class are photos of real smoke, of other places."
    elif "+" in model:
        sentence = (
            f"A mixture: equal shares of the pictures come from {name.replace('+', ' and ')}."
        )
    else:
        sentence = f"The smoke was made by “{name}”; its training run is not at hand to be shown."
    return {"model": name, "sentence": sentence, "training": None}


def _curves(rows: list[dict[str, object]], kind: Kind) -> list[Figure]:
    plans: dict[str, list[Series]] = defaultdict(list)
    for title, key, name, class_ in kind.losses:
        plans[title].append(Series.of(rows, key, name, class_))
    distance = dataclasses.replace(Series.of(rows, "distance", "distance"), raw=False)
    return Figure.all_of(*plans.items(), ("Kernel distance to real smoky photos", [distance]))


def _frames(run: RunFiles, pictures: Pictures) -> list[tuple[int, str]]:
    """The first, the last and a few grids of sample pictures between them, with their steps."""
    numbered = [
        (int(digits), path)
        for path in sorted(run.path.glob("samples/step-*.jpg"))
        if (digits := path.stem.removeprefix("step-")).isdigit()
    ]
    if not numbered:
        latest = pictures.photo(run.path, "samples/latest.jpg", 1200)
        return [(load_training(run).steps, latest)] if latest else []
    frames = []
    # The newest first, so that it is the last to be left out when the page grows too heavy.
    for index in reversed(charts.thin(range(len(numbered)), _FRAMES)):
        step, path = numbered[round(index)]
        picture = pictures.photo(run.path, f"samples/{path.name}", 1200)
        if picture:
            frames.append((step, picture))
    return frames[::-1]
