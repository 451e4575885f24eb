"""What a synthetic data set holds, and its sections."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Sequence

from markupsafe import Markup

from wisp.report import charts, wording
from wisp.report.page import Section
from wisp.report.pictures import Pictures
from wisp.report.read import Estimate, RunFiles, mapping, number, sequence, text, whole

_PAIRS, _PAIRS_OF_EACH = 12, 6  # shown of an only data set, and of each of several


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Counts from metadata.jsonl, and the fingerprint probe."""

    model: str
    rows: int
    sources: int
    classes: tuple[str, ...]
    splits: tuple[str, ...]
    counts: dict[tuple[str, str], int]
    groups: dict[str, int]
    coverage: tuple[float, ...]
    opacity: tuple[float, ...]
    strengths: tuple[float, ...]
    negatives: tuple[tuple[str, int], ...]
    shared_groups: int
    guessed_groups: bool
    """Whether nothing but near copies told which photos belong together."""
    sequences: int
    frames: int
    """Of each sequence."""
    faint: int
    """Smoky pictures in which the smoke is hardly seen."""
    clean_class: str
    quality: int | None
    masks: bool
    probe: Estimate
    probe_images: int
    probe_groups: int
    probe_description: str
    probe_off: bool

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
    """Read a data set; anything missing is empty or None."""
    rows = run.rows("metadata.jsonl")
    if not rows:
        for split in ("train", "validation"):
            rows += run.rows(f"{split}/metadata.jsonl")
    config, probe, result = run.config, run.json("probe.json"), run.json("result.json")
    counts: Counter[tuple[str, str]] = Counter()
    groups: dict[str, set[str]] = defaultdict(set)
    negatives: Counter[str] = Counter()
    numeric: dict[str, list[float]] = {"coverage": [], "mean_opacity": [], "strength": []}
    for row in rows:
        split, label = text(row.get("split")), text(row.get("label"))
        counts[split, label] += 1
        groups[split].add(text(row.get("group")))
        if kind := text(row.get("negative")):
            negatives[kind] += 1
        for name, values in numeric.items():
            value = number(row.get(name))
            if value is not None and label != "clean":
                values.append(value)
    splits = sorted({split for split, _ in counts}, key=lambda name: (name != "train", name))
    shared = 0
    if len(splits) > 1:
        shared = len(set.intersection(*(groups[split] for split in splits)) - {""})
    models = sorted({text(row.get("model")) for row in rows if row.get("model")})
    return Dataset(
        model=text(config.get("model")) or wording.listed(models) or "unknown",
        rows=len(rows),
        sources=len({text(row.get("source")) for row in rows if row.get("source")}),
        classes=tuple(sorted({label for _, label in counts})),
        splits=tuple(splits),
        counts=dict(counts),
        groups={split: len(names) for split, names in groups.items()},
        coverage=tuple(numeric["coverage"]),
        opacity=tuple(numeric["mean_opacity"]),
        strengths=tuple(numeric["strength"]),
        negatives=tuple(negatives.most_common()),
        shared_groups=shared,
        guessed_groups=result.get("guessed_groups") is True,
        sequences=len({text(row.get("sequence")) for row in rows} - {""}),
        frames=whole(config.get("frames")),
        faint=whole(result.get("faint")),
        # What was made, where the run got so far; the wish may only have been "auto".
        clean_class=text(result.get("clean_class") or config.get("clean_class"), "auto"),
        quality=whole(config.get("quality")) or None,
        masks=run.has("masks"),
        probe=Estimate.of(probe.get("auroc")),
        probe_images=whole(probe.get("images")),
        probe_groups=whole(probe.get("groups")),
        probe_description=text(probe.get("description")).rstrip("."),
        probe_off=config.get("probe") is False,
    )


def split_caveats(dataset: Dataset) -> tuple[str, ...]:
    """What to keep in mind about its split."""
    said = []
    if dataset.shared_groups:
        said.append(
            f"{wording.plural(dataset.shared_groups, 'group')} stand on both sides of the split."
        )
    if dataset.guessed_groups:
        said.append(
            "No file name says which photos show one place (PLACE__0001.jpg). Photos of one camera "
            "that are no near copies may stand on both sides, and make a validation look good: "
            "make the set anew with --group-by folder, or a regular expression."
        )
    return tuple(said)


@dataclasses.dataclass(frozen=True)
class Pair:
    """A photo before and after smoke was laid on it."""

    name: str
    before: str
    after: str
    mask: str | None
    strength: float | None
    coverage: float | None
    condition: str
    """The fault of the camera that the photo under the smoke shows, if any."""
    frames: tuple[tuple[int, str], ...]
    """Number and picture of some frames, if smoke moves."""
    frames_in_all: int


@dataclasses.dataclass(frozen=True)
class Negative:
    """A look-alike: a picture that is labelled clean and could be taken for smoke."""

    name: str
    kind: str
    picture: str


@dataclasses.dataclass(frozen=True)
class Wall:
    """Pairs of one data set, drawn at random when it was made."""

    model: str
    pairs: tuple[Pair, ...]
    negatives: tuple[Negative, ...]
    left_out: int


@dataclasses.dataclass(frozen=True)
class GalleryData:
    """The pairs of every data set."""

    walls: tuple[Wall, ...]
    any_mask: bool
    divided: bool
    """Whether there is a validation part to draw from."""


def gallery_section(runs: Sequence[RunFiles], pictures: Pictures) -> Section | None:
    """Randomly chosen validation photos before and after, of each data set."""
    most = _PAIRS if len(runs) == 1 else _PAIRS_OF_EACH
    walls = [wall for run in runs if (wall := _wall(run, pictures, most)).pairs]
    if not walls:
        return None
    masked = any(pair.mask for wall in walls for pair in wall.pairs)
    return Section(
        "gallery",
        "Before and after",
        "Before and after",
        "gallery.html.j2",
        GalleryData(tuple(walls), masked, all(load_dataset(run).divided for run in runs)),
    )


def _wall(run: RunFiles, pictures: Pictures, most: int) -> Wall:
    rows = run.json_list("gallery/index.json")[:most]
    pairs: list[Pair] = []
    for row in rows:
        folder = run.path / "gallery"
        before = pictures.photo(folder, row.get("before"))
        after = pictures.photo(folder, row.get("after"))
        if before is None or after is None:
            continue
        pairs.append(
            Pair(
                text(row.get("name")),
                before,
                after,
                pictures.tint(folder, row.get("mask")),
                number(row.get("strength")),
                number(row.get("coverage")),
                text(row.get("condition")),
                tuple(
                    (whole(frame.get("frame")), picture)
                    for frame in map(mapping, sequence(row.get("frames")))
                    if (picture := pictures.photo(folder, frame.get("picture"), 320)) is not None
                ),
                whole(row.get("of")),
            )
        )
    negatives = [
        Negative(text(row.get("name")), text(row.get("kind")), picture)
        for row in run.json_list("gallery/negatives.json")
        if (picture := pictures.photo(run.path / "gallery", row.get("picture"), 400)) is not None
    ]
    return Wall(
        model_name(load_dataset(run).model),
        tuple(pairs),
        tuple(negatives),
        len(rows) - len(pairs),
    )


def model_name(model: str) -> str:
    """``procedural`` as it is; the last two parts of a path."""
    parts = [part for part in model.replace("\\", "/").split("/") if part not in ("", "..", ".")]
    return "/".join(parts[-2:]) or model


@dataclasses.dataclass(frozen=True)
class DatasetData:
    """Counts, distributions and the split."""

    dataset: Dataset
    model: str
    distributions: tuple[Markup, ...]


def dataset_section(dataset: Dataset, title: str = "The data set", anchor: str = "data") -> Section:
    """How many pictures of what, on which side of the split."""
    drawn = []
    if dataset.coverage and any(dataset.coverage):
        drawn.append(charts.bars(dataset.coverage, "part of the picture under smoke", 1.0))
    if dataset.opacity and any(dataset.opacity):
        drawn.append(charts.bars(dataset.opacity, "mean opacity of the smoke", 1.0))
    if len(set(dataset.strengths)) > 1:
        drawn.append(charts.bars(dataset.strengths, "strength (optical density)"))
    return Section(
        anchor,
        title,
        title.removeprefix("The ").capitalize(),
        "dataset.html.j2",
        DatasetData(dataset, model_name(dataset.model), tuple(drawn)),
    )


@dataclasses.dataclass(frozen=True)
class Probed:
    """The fingerprint probe of one data set and what it means."""

    dataset: Dataset
    model: str
    sentence: str


def probe_section(datasets: Sequence[Dataset]) -> Section | None:
    """Whether the clean pictures of the sets give away how they were made."""
    probed = [
        Probed(dataset, model_name(dataset.model), _probe_words(dataset))
        for dataset in datasets
        if dataset.probe.known
    ]
    if not probed:
        return None
    return Section(
        "probe",
        "Does the data set give itself away?",
        "Fingerprint probe",
        "probe.html.j2",
        tuple(probed),
    )


def _probe_words(dataset: Dataset) -> str:
    probe = dataset.probe
    if dataset.clean_class == "pixels" and not dataset.masks:
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
        if dataset.clean_class == "pixels"
        else "the pictures are repainted in a way that can be seen"
    )
    return (
        f"It finds a clear trace: {cause}. Both classes of the data set carry it, so it cannot "
        "give the class away inside the set; real photos carry none, and that is one more step "
        "from here to there."
    )
