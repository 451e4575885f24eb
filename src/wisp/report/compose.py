"""Which sections make the report of each kind of run, and what stands on top."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from wisp.report import contest, dataset, results, source, wording
from wisp.report.comparison import load_comparison
from wisp.report.dataset import Dataset, load_dataset
from wisp.report.detector import describe, detector_section, load_detector
from wisp.report.evaluation import Evaluation, load_evaluation
from wisp.report.lifted import lifted_sections, lifted_tile
from wisp.report.page import Page, Section, Step, Tile, Verdict
from wisp.report.pictures import Pictures
from wisp.report.provenance import made_section, skipped_section
from wisp.report.read import Estimate, RunFiles, follow, text
from wisp.report.verdict import judge

RENDERED = (
    "This world is rendered: pans, food and smoke were drawn by a program. It shows that the whole "
    "loop works, not how a detector would do in your place."
)


_NEXT = {
    "train": ("wisp synth CLEAN --model {run} --out {out}", "dataset"),
    "synth": ("wisp classify {run} --out {out}", "runs/detector"),
    "classify": ("wisp evaluate {run} REAL --out {out}", "runs/eval"),
}


def next_command(path: Path) -> str:
    """What one types after the run in ``path``; nothing where it is the last, or cannot go on."""
    run = RunFiles(path)
    command, out = _NEXT.get(run.kind, ("", ""))
    if not command or (run.kind == "synth" and not load_dataset(run).divided):
        return ""
    free, number = out, 1
    while Path(free).exists():
        number += 1
        free = f"{out}-{number}"
    # A name alone may be that of a model that ships, or look like a flag.
    word = f"./{path}" if path.parent == Path() or str(path).startswith("-") else str(path)
    return command.format(run=shlex.quote(word), out=free)


class Reporter:
    """What the page of a run is made of: its chain, the data sets in it, and their pictures."""

    def __init__(self, run: RunFiles) -> None:
        self.run = run
        self.chain = follow(run)
        self.datasets = [(one, load_dataset(one)) for one in self.chain.datasets]
        self.pictures = Pictures()

    def page(
        self,
        kind: str,
        verdict: Verdict,
        tiles: Sequence[Tile],
        sections: Sequence[Section | None],
        *,
        evaluation: Evaluation | None = None,
        problems: Sequence[str] = (),
    ) -> Page:
        """The page, with what every report ends with, and without the sections that are None."""
        said = self.run.json("banner.json")
        banner = text(said.get("text")), text(said.get("command"))
        if not banner[0]:
            banner = RENDERED if evaluation and evaluation.rendered else "", ""
        ends = [*sections, skipped_section(self.chain), made_section(self.chain)]
        return Page(
            kind,
            wording.day(text(self.run.environment.get("started"))),
            verdict,
            tiles,
            [section for section in ends if section is not None],
            self._steps(evaluation),
            banner,
            next_command(self.run.path),
            problems,
        )

    def dataset_sections(self) -> list[Section | None]:
        """Gallery, smoke, counts and probe of the data sets."""
        if not self.datasets:
            return []
        smoke: dict[str, dict[str, object]] = {}
        gallery = dataset.gallery_section(self.datasets, self.pictures)
        for run, made in self.datasets:
            if made.model not in smoke:
                by = self.chain.source_of(run)
                smoke[made.model] = (
                    source.trained(by, self.pictures, made.name) if by else source.described(made)
                )
        loaded = [made for _, made in self.datasets]
        if len(loaded) == 1:
            counts = [dataset.dataset_section(loaded[0])]
        else:
            counts = [
                dataset.dataset_section(made, f"Data set {index}: {made.name}", f"data-{index}")
                for index, made in enumerate(loaded, start=1)
            ]
        sources = source.source_section(smoke.values())
        return [gallery, sources, *counts, dataset.probe_section(loaded)]

    def _steps(self, evaluation: Evaluation | None) -> list[Step]:
        """How the result of a detector or of an evaluation came about."""
        if self.chain.detector is None:
            return []
        steps = []
        if self.datasets:
            models = [
                f"{source.kind_of(run).name}, {source.load_training(run).duration}"
                for run in self.chain.sources
            ]
            given = [m.name for run, m in self.datasets if self.chain.source_of(run) is None]
            steps.append(Step("Smoke", "; ".join([*models, *dict.fromkeys(given)]), "source"))
            several = len(self.datasets) > 1
            pictures = sum(made.images for _, made in self.datasets)
            steps.append(
                Step(
                    f"{len(self.datasets)} data sets" if several else "Data set",
                    wording.plural(pictures, "labelled picture"),
                    "data-1" if several else "data",
                )
            )
        detector = load_detector(self.chain.detector)
        members = f"{detector.members} × " if detector.members > 1 else ""
        words = f"{members}{detector.backbone}, {detector.size} px"
        steps.append(Step("Detector", words, "detector"))
        if evaluation is not None:
            measures = evaluation.measures
            photos = wording.plural(measures.images, "photo")
            known = evaluation.scores.positive or measures.confusion.counts
            fact = f"{photos}, {wording.plural(measures.groups, 'group')}"
            steps.append(Step("Test", fact, "scores" if known else "leak"))
        return steps if len(steps) > 1 else []


def compose(run: RunFiles) -> Page:
    """The page for ``run``; InputError is the caller's business if its kind has none."""
    return COMPOSERS[run.kind](Reporter(run))


def _evaluation(at: Reporter) -> Page:
    evaluation, chain = load_evaluation(at.run), at.chain
    detector = load_detector(chain.detector) if chain.detector is not None else None
    promised = detector.validation if detector is not None else None
    problems = []
    if detector is None:
        problems.append("The detector's own run is not at hand, so its training is not shown.")
    elif not chain.datasets:
        problems.append(
            "The detector was not trained on a data set made by wisp that is still at hand, so "
            "where its smoke came from is not shown."
        )
    return at.page(
        "Evaluation",
        judge(evaluation, promised.auroc.value if promised is not None else None),
        results.tiles(evaluation),
        [
            results.gap_section(evaluation, promised) if promised is not None else None,
            results.mistakes_section(at.run, at.pictures, evaluation),
            results.scores_section(evaluation),
            results.sets_section(evaluation),
            results.groups_section(evaluation),
            results.curves_section(evaluation),
            *at.dataset_sections(),
            detector_section(chain.detector, detector) if chain.detector and detector else None,
            results.distance_section(evaluation),
            results.leak_section(evaluation),
        ],
        evaluation=evaluation,
        problems=problems,
    )


def _detector(at: Reporter) -> Page:
    detector = load_detector(at.run)
    validation, lead = detector.validation, [describe(detector)]
    headline = "A detector that has not met real smoke yet" if at.datasets else "A smoke detector"
    if validation.auroc.known:
        lead.append(
            f"On {wording.plural(validation.images, 'validation picture')} of its own data set it "
            f"reaches an AUROC of {wording.score(validation.auroc.value)}. That says how well it "
            "learned its lesson, not how it will do on real smoke."
        )
    else:
        headline = "A detector without a validation score"
    caveats = []
    if detector.split == "file":
        caveats.append(
            "The validation part was drawn by file: pictures made of one photo may stand on both "
            "sides, so the score is flattered."
        )
    balanced = validation.balanced_accuracy
    rule = f"chosen on validation: {detector.threshold_rule or 'rule unknown'}"
    return at.page(
        "Detector",
        Verdict(headline, lead, caveats),
        [
            Tile.rate("AUROC", validation.auroc, "on its own validation part", chance=0.5),
            Tile.rate("Balanced accuracy", balanced, "at the threshold", chance=0.5),
            Tile("Threshold", wording.score(detector.threshold), rule),
        ],
        [detector_section(at.run, detector), *at.dataset_sections()],
    )


def _dataset(at: Reporter) -> Page:
    made: Dataset = at.datasets[0][1]
    if made.images:
        pictures = wording.plural(made.images, "labelled picture")
        headline = f"{pictures} from {wording.plural(made.sources, 'clean photo')}"
        sides = [f"{wording.plural(made.groups[one], 'group')} in {one}" for one in made.splits]
        kept = "Near copies" if made.settings.guessed_groups else "Photos that belong together"
        lead = f"The smoke comes from “{made.name}”. {kept} stay together: {wording.listed(sides)}."
    else:
        headline = "A data set without a list of its pictures"
        lead = "Its metadata.jsonl is missing or empty, so nothing can be counted."
    tiles = [
        Tile("Pictures", wording.count(made.images), "in all classes and splits"),
        Tile("Photos", wording.count(made.sources), "they were made from"),
        Tile("Groups", wording.count(sum(made.groups.values())), "each on one side only"),
    ]
    if made.probe.auroc.known:
        note = "AUROC of telling its clean pictures from originals; 0.5 is the aim"
        tiles.append(Tile.rate("Fingerprint probe", made.probe.auroc, note, chance=0.5))
    return at.page(
        "Data set",
        Verdict(headline, [lead], dataset.split_caveats(made)),
        tiles,
        at.dataset_sections(),
    )


def _training(at: Reporter) -> Page:
    run, kind = at.run, source.kind_of(at.run)
    training, nearest = source.load_training(run), source.Nearest.of(run)
    ended = {
        "finished": "and finished as planned",
        "early": "and stopped early, because the distance no longer fell",
        "interrupted": "and was interrupted; it can be resumed",
    }.get(training.stopped, f"({training.stopped})" if training.stopped else "so far")
    planned = f"of {wording.count(training.planned)} planned"
    rate = wording.NO_VALUE if training.rate is None else f"{training.rate:.1f}"
    tiles = [
        Tile("Steps", wording.count(training.steps), planned),
        Tile("Time", wording.duration(training.seconds), "spent training"),
        Tile("Rate", rate, "pairs of photos per second, median"),
    ]
    if nearest.distance.value is not None:
        tiles.append(
            Tile(
                "Kernel distance",
                f"{nearest.distance.value:.3g}",
                f"lowest, at step {wording.count(nearest.step)}; made smoky to real smoky photos, "
                f"on features of {nearest.features or 'a backbone'}",
                # It is no share of 1: its interval stands in the tile, but not on a scale.
                Estimate(None, nearest.distance.low, nearest.distance.high),
            )
        )
    if (layers := lifted_tile(run)) is not None:
        tiles.append(layers)
    lead = [f"It ran for {training.duration} {ended}.", kind.warning]
    smoke = source.source_section([source.trained(run, at.pictures)])
    return at.page(
        "Smoke model",
        Verdict(kind.title, lead, training.notes),
        tiles,
        [*lifted_sections(run, at.pictures), smoke],
    )


def _comparison(at: Reporter) -> Page:
    found = load_comparison(at.run)
    return at.page(
        "Comparison",
        contest.judge_comparison(found),
        contest.comparison_tiles(found),
        [
            contest.leaderboard_section(found),
            contest.margins_section(found),
            contest.line_up_section(found, at.run, at.pictures),
            contest.alarms_section(found),
            contest.detection_section(found),
            contest.sources_section(found, at.run),
        ],
    )


COMPOSERS: dict[str, Callable[[Reporter], Page]] = {
    "evaluate": _evaluation,
    "classify": _detector,
    "synth": _dataset,
    "train": _training,
    "compare": _comparison,
}
