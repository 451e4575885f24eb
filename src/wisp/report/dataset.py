"""What a synthetic data set holds, and its sections."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from wisp.report import charts, wording
from wisp.report.page import Section, section
from wisp.report.pictures import Pictures
from wisp.report.read import UNKNOWN, Measured, Number, RunFiles, Saved, number, text

_PAIRS, _PAIRS_OF_EACH = 12, 6  # shown of an only data set, and of each of several


class Probe(Saved):
    """probe.json."""

    auroc: Measured = UNKNOWN
    images: int = 0
    groups: int = 0
    description: str = ""


class Settings(Saved):
    """What config.json wishes for and result.json says of what came of it."""

    model: str = ""
    frames: int = 0
    """Of each sequence."""
    faint: int = 0
    """Smoky pictures in which the smoke is hardly seen."""
    guessed_groups: bool = False
    """Whether nothing but near copies told which photos belong together."""
    clean_class: str = "auto"
    quality: int | None = None
    probe: bool = True


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Counts from metadata.jsonl, and the fingerprint probe; anything missing is empty or None."""

    model: str
    settings: Settings
    sources: int
    classes: Sequence[str]
    splits: Sequence[str]
    counts: Counter[tuple[str, str]]
    groups: dict[str, int]
    coverage: Sequence[float]
    opacity: Sequence[float]
    strengths: Sequence[float]
    negatives: Sequence[tuple[str, int]]
    shared_groups: int
    sequences: int
    masks: bool
    exact: bool
    """Whether its smoke is known: boxes say what was laid on."""
    probe: Probe

    @property
    def name(self) -> str:
        """What its model is called: ``procedural`` as it is, the last two parts of a path."""
        parts = self.model.replace("\\", "/").split("/")
        return "/".join([part for part in parts if part not in ("", "..", ".")][-2:]) or self.model

    @property
    def images(self) -> int:
        """All pictures."""
        return sum(self.counts.values())

    @property
    def divided(self) -> bool:
        """Whether there are a training and a validation part."""
        return len(self.splits) > 1

    @property
    def camera_faults(self) -> bool:
        """Whether there are look-alikes by the camera's fault; steam is none."""
        return any(kind != "steam" for kind, _ in self.negatives)


def load_dataset(run: RunFiles) -> Dataset:
    """Read a data set."""
    rows = run.rows("metadata.jsonl")
    if not rows:
        rows = run.rows("train/metadata.jsonl") + run.rows("validation/metadata.jsonl")

    def distinct(key: str) -> list[str]:
        return sorted({text(row.get(key)) for row in rows} - {""})

    def measured(key: str) -> list[float]:
        found = [number(row.get(key)) for row in rows if row.get("label") != "clean"]
        return [value for value in found if value is not None]

    counts = Counter((text(row.get("split")), text(row.get("label"))) for row in rows)
    groups: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        groups[text(row.get("split"))].add(text(row.get("group")))
    splits = sorted(groups, key=lambda name: (name != "train", name))
    shared = set.intersection(*groups.values()) - {""} if len(splits) > 1 else set()
    # What was made, where the run got so far; the wish may only have been "auto".
    settings = Settings.merged(run.config, run.result)
    return Dataset(
        settings.model or wording.listed(distinct("model")) or "unknown",
        settings,
        sources=len(distinct("source")),
        classes=sorted({label for _, label in counts}),
        splits=splits,
        counts=counts,
        groups={split: len(names) for split, names in groups.items()},
        coverage=measured("coverage"),
        opacity=measured("mean_opacity"),
        strengths=measured("strength"),
        negatives=Counter(filter(None, (text(row.get("negative")) for row in rows))).most_common(),
        shared_groups=len(shared),
        sequences=len(distinct("sequence")),
        masks=run.has("masks"),
        exact=run.has("annotations"),
        probe=Probe.model_validate(run.json("probe.json")),
    )


def split_caveats(dataset: Dataset) -> tuple[str, ...]:
    """What to keep in mind about its split."""
    said = []
    if dataset.shared_groups:
        said.append(
            f"{wording.plural(dataset.shared_groups, 'group')} stand on both sides of the split."
        )
    if dataset.settings.guessed_groups:
        said.append(
            "No file name says which photos show one place (PLACE__0001.jpg). Photos of one camera "
            "that are no near copies may stand on both sides, and make a validation look good: "
            "make the set anew with --group-by folder, or a regular expression."
        )
    return tuple(said)


class Frame(Saved):
    """One picture of smoke that moves."""

    frame: int = 0
    picture: str | None = None


class Pair(Saved):
    """A photo before and after smoke was laid on it; pictures are file names, then addresses."""

    name: str = ""
    before: str | None = None
    after: str | None = None
    mask: str | None = None
    strength: Number | None = None
    coverage: Number | None = None
    condition: str = ""
    """The fault of the camera that the photo under the smoke shows, if any."""
    frames: tuple[Frame, ...] = ()
    """Some of them, if smoke moves."""
    of: int = 0
    """All frames there are."""


class Negative(Saved):
    """A look-alike: a picture that is labelled clean and could be taken for smoke."""

    name: str = ""
    kind: str = ""
    picture: str | None = None


def gallery_section(runs: Sequence[tuple[RunFiles, Dataset]], pictures: Pictures) -> Section | None:
    """Randomly chosen validation photos before and after, of each data set."""
    most = _PAIRS if len(runs) == 1 else _PAIRS_OF_EACH
    walls = []
    for run, dataset in runs:
        rows, folder = run.json_list("gallery/index.json", Pair)[:most], run.path / "gallery"
        pairs = [pair for row in rows if (pair := _shown(row, folder, pictures))]
        negatives = [
            (row, picture)
            for row in run.json_list("gallery/negatives.json", Negative)
            if (picture := pictures.photo(folder, row.picture, 400))
        ]
        if pairs:
            walls.append((dataset.name, pairs, negatives, len(rows) - len(pairs)))
    if not walls:
        return None
    return section(
        "gallery",
        "Before and after",
        walls=walls,
        any_mask=any(pair.mask for _, pairs, _, _ in walls for pair in pairs),
        divided=all(dataset.divided for _, dataset in runs),
    )


def _shown(pair: Pair, folder: Path, pictures: Pictures) -> Pair | None:
    before, after = pictures.photo(folder, pair.before), pictures.photo(folder, pair.after)
    if before is None or after is None:
        return None
    mask = pictures.tint(folder, pair.mask)
    frames = [
        Frame(frame=one.frame, picture=picture)
        for one in pair.frames
        if (picture := pictures.photo(folder, one.picture, 320))
    ]
    return pair.model_copy(
        update={"before": before, "after": after, "mask": mask, "frames": frames}
    )


def dataset_section(dataset: Dataset, title: str = "The data set", anchor: str = "data") -> Section:
    """How many pictures of what, on which side of the split."""
    drawn = []
    if any(dataset.coverage):
        drawn.append(charts.bars(dataset.coverage, "part of the picture under smoke", 1.0))
    if any(dataset.opacity):
        drawn.append(charts.bars(dataset.opacity, "mean opacity of the smoke", 1.0))
    if len(set(dataset.strengths)) > 1:
        drawn.append(charts.bars(dataset.strengths, "strength (optical density)"))
    short = title.removeprefix("The ").capitalize()
    return section(anchor, title, short, "dataset", dataset=dataset, distributions=drawn)


def probe_section(datasets: Sequence[Dataset]) -> Section | None:
    """Whether the clean pictures of the sets give away how they were made."""
    probed = [(one.name, one.probe, _probe_words(one)) for one in datasets if one.probe.auroc.known]
    if not probed:
        return None
    title, short = "Does the data set give itself away?", "Fingerprint probe"
    return section("probe", title, short, probed=probed)


def _probe_words(dataset: Dataset) -> str:
    probe, clean_class = dataset.probe.auroc, dataset.settings.clean_class
    if clean_class == "pixels" and not dataset.exact:
        return (
            "But here the clean class kept the photos' own pixels while the smoky class was "
            "repainted by a network: whatever the probe says, the two classes differ by that too."
        )
    if probe.value is None or (probe.value < 0.65 and (probe.low is None or probe.low <= 0.5)):
        return (
            "It is guessing. Whatever the detector learned, it was not the trace of the program "
            "that wrote the files."
        )
    if probe.value < 0.75:
        return (
            "It finds a slight trace. Both classes carry the same one, so it cannot give the class "
            "away, but the pictures are not quite what a camera writes."
        )
    cause = (
        "compressing a picture once more can be seen in it"
        if clean_class == "pixels"
        else "the pictures are repainted in a way that can be seen"
    )
    return (
        f"It finds a clear trace: {cause}. Both classes of the data set carry it, so it cannot "
        "give the class away inside the set; real photos carry none, and that is one more step "
        "from here to there."
    )
