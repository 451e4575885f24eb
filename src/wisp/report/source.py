"""The smoke model: how one that was trained learned, or what the procedural model does."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from wisp.report import charts, lines, wording
from wisp.report.dataset import model_name
from wisp.report.lines import Figure
from wisp.report.page import Section
from wisp.report.pictures import Pictures
from wisp.report.read import Estimate, RunFiles, number, sequence, text, whole

# A chart's title, and its lines: key in metrics.jsonl, name, colour.
Chart = tuple[str, tuple[tuple[str, str, str], ...]]
_CYCLEGAN_LOSSES: tuple[Chart, ...] = (
    (
        "Adversarial loss",
        (
            ("adversarial_clean_to_smoky", "clean → smoky", "smoky"),
            ("adversarial_smoky_to_clean", "smoky → clean", "clean"),
        ),
    ),
    (
        "Discriminator loss",
        (
            ("discriminator_smoky", "real or made smoky", "smoky"),
            ("discriminator_clean", "real or made clean", "clean"),
        ),
    ),
    (
        "Cycle loss",
        (
            ("cycle_smoky", "smoky → clean → smoky", "smoky"),
            ("cycle_clean", "clean → smoky → clean", "clean"),
        ),
    ),
    (
        "Identity loss",
        (
            ("identity_smoky", "smoky stays smoky", "smoky"),
            ("identity_clean", "clean stays clean", "clean"),
        ),
    ),
)
_LAYERED_LOSSES: tuple[Chart, ...] = (
    (
        "Lifting known smoke",
        (
            ("opacity", "opacity", "smoky"),
            ("airlight", "airlight", "clean"),
        ),
    ),
    ("Smoke seen in clean photos", (("identity", "mean opacity", "clean"),)),
    ("Lifting again what was lifted", (("cycle", "opacity and airlight", "smoky"),)),
    _CYCLEGAN_LOSSES[1],
)
_COMPOSING_LOSSES: tuple[Chart, ...] = (
    (
        "Adversarial loss",
        (
            ("adversarial_smoky", "made smoky", "smoky"),
            ("adversarial_clean", "made clean", "clean"),
        ),
    ),
    _CYCLEGAN_LOSSES[1],
    ("Cycle loss", (("cycle", "clean → smoky → clean", "clean"),)),
    ("Smoke that was laid, found again", (("lifted", "opacity and airlight", "smoky"),)),
    _LAYERED_LOSSES[1],
    ("Two draws of smoke too alike", (("variety", "likeness", "smoky"),)),
)
_FRAMES = 6


@dataclasses.dataclass(frozen=True)
class Kind:
    """How a model of one kind is spoken of."""

    name: str
    title: str
    sentence: str
    warning: str
    losses: tuple[Chart, ...]
    heads: tuple[str, ...]
    """Columns of its sample pictures."""


_KINDS = {
    "cyclegan": Kind(
        "CycleGAN",
        "A CycleGAN that puts smoke into clean photos",
        "Two generators learned from unpaired photos, one to put smoke in and one to take it out, "
        "each checked by a discriminator that tries to tell its work from real photos, and by the "
        "other, which must be able to lead the picture back (CycleGAN, Zhu et al. 2017).",
        "Losses of a CycleGAN do not say how good the smoke is: look at the samples, then make a "
        "data set and let a detector that is tested on real smoke be the judge.",
        _CYCLEGAN_LOSSES,
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
        "Losses of a CycleGAN do not say how good the smoke is: look at the samples, then make a "
        "data set and let a detector that is tested on real smoke be the judge.",
        _COMPOSING_LOSSES,
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
        "colour, on clean photos under computed smoke and, if it was asked to, on what it lifts "
        "itself. The layers it lifted off real smoky photos are laid over clean ones by the law of "
        "Beer and Lambert: masks are exact, and a pixel without smoke is left as it was.",
        "The losses are on computed smoke: look at what was lifted off real photos, then make a "
        "data set and let a detector that is tested on real smoke be the judge.",
        _LAYERED_LOSSES,
        ("smoky", "its smoke", "without it", "clean", "under that smoke"),
    ),
}


def kind_of(run: RunFiles) -> Kind:
    """How the model of a training run is spoken of."""
    composes = run.config.get("generator") == "composing"  # else the generators paint
    model = "composing" if composes else text(run.config.get("model"))
    return _KINDS.get(model, _KINDS["cyclegan"])


@dataclasses.dataclass(frozen=True)
class Training:
    """A training run in numbers."""

    steps: int
    planned: int
    seconds: float | None
    stopped: str
    rate: float | None
    notes: tuple[str, ...]
    distance: Estimate
    distance_step: int
    features: str
    best_step: int
    size: int


def load_training(run: RunFiles) -> Training:
    """Read a training run; anything missing is empty or None."""
    rows, result, config = run.rows("metrics.jsonl"), run.json("result.json"), run.config
    measured = [
        (whole(row.get("step")), Estimate.of(row.get("distance")), row.get("distance"))
        for row in rows
        if Estimate.of(row.get("distance")).known
    ]
    best = min(measured, key=lambda one: one[1].value or 0.0, default=(0, Estimate(), None))
    features = best[2].get("features") if isinstance(best[2], dict) else None
    rates = sorted(r for row in rows if (r := number(row.get("pairs_per_s"))) is not None)
    seconds = [s for row in rows if (s := number(row.get("seconds"))) is not None]
    return Training(
        steps=whole(result.get("steps"), max((whole(row.get("step")) for row in rows), default=0)),
        planned=whole(config.get("steps")),
        seconds=number(result.get("seconds")) or max(seconds, default=None),
        stopped=text(result.get("stopped")),
        rate=rates[len(rates) // 2] if rates else None,
        notes=tuple(text(note) for note in sequence(result.get("notes"))),
        distance=best[1],
        distance_step=best[0],
        features=text(features),
        best_step=whole(run.json("checkpoints/best.json").get("step")),
        size=whole(config.get("size")),
    )


@dataclasses.dataclass(frozen=True)
class SampleFrame:
    """A grid of sample pictures at one step."""

    step: int
    picture: str


@dataclasses.dataclass(frozen=True)
class SourceData:
    """Curves, samples and a sentence about the model."""

    model: str
    sentence: str
    training: Training | None
    curves: tuple[Figure, ...]
    frames: tuple[SampleFrame, ...]
    heads: tuple[str, ...] = ()


def source_section(sources: Sequence[SourceData]) -> Section:
    """Where the smoke of the data sets comes from."""
    return Section(
        "source", "Where the smoke comes from", "Smoke source", "source.html.j2", tuple(sources)
    )


def trained(run: RunFiles, pictures: Pictures, name: str = "cyclegan") -> SourceData:
    """How a model learned."""
    kind = kind_of(run)
    return SourceData(
        name,
        kind.sentence,
        load_training(run),
        tuple(_curves(run.rows("metrics.jsonl"), kind)),
        tuple(_frames(run, pictures)),
        kind.heads,
    )


def described(model: str) -> SourceData:
    """What is said about a model without a training run at hand."""
    name = model_name(model)
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
    return SourceData(name, sentence, None, (), ())


def _curves(rows: list[dict[str, object]], kind: Kind) -> list[Figure]:
    drawn: list[Figure] = []
    for title, pairs in kind.losses:
        series = []
        for key, name, class_ in pairs:
            points = [
                (step, value)
                for row in rows
                if (step := number(row.get("step"))) is not None
                and (value := number(row.get(key))) is not None
            ]
            if any(value != 0 for _, value in points):  # a term that is off has nothing to show
                series.append(
                    lines.Series(name, [p[0] for p in points], [p[1] for p in points], class_)
                )
        if series:
            drawn.append(Figure(title, lines.curves(title, series)))
    distances = [
        (step, distance.value)
        for row in rows
        if (step := number(row.get("step"))) is not None
        and (distance := Estimate.of(row.get("distance"))).value is not None
    ]
    if distances:
        values = [value for _, value in distances if value is not None]
        title = "Kernel distance to real smoky photos"
        line = lines.Series("distance", [step for step, _ in distances], values, raw=False)
        drawn.append(Figure(title, lines.curves(title, [line])))
    return drawn


def _frames(run: RunFiles, pictures: Pictures) -> list[SampleFrame]:
    """The first, the last and a few sample grids between them."""
    found = sorted(run.path.glob("samples/step-*.jpg"))
    numbered = [
        (int(digits), path)
        for path in found
        if (digits := path.stem.removeprefix("step-")).isdigit()
    ]
    if not numbered:
        latest = pictures.photo(run.path, "samples/latest.jpg", 1200)
        return [SampleFrame(load_training(run).steps, latest)] if latest else []
    kept = charts.thin([float(i) for i in range(len(numbered))], _FRAMES)
    frames = []
    # The newest first, so that it is the last to be left out when the page grows too heavy.
    for index in reversed(kept):
        step, path = numbered[round(index)]
        picture = pictures.photo(run.path, f"samples/{path.name}", 1200)
        if picture:
            frames.append(SampleFrame(step, picture))
    return frames[::-1]


def describe(training: Training) -> str:
    """``20 000 steps in 3 h``."""
    sentence = wording.plural(training.steps, "step")
    if training.seconds:
        sentence += f" in {wording.duration(training.seconds)}"
    return sentence
