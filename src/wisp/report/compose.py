"""Which sections make the report of each kind of run, and what stands on top."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable

from wisp.report import source, wording
from wisp.report.comparison import load_comparison
from wisp.report.contest import (
    alarms_section,
    comparison_tiles,
    detection_section,
    judge_comparison,
    line_up_section,
    margins_section,
    sources_section,
)
from wisp.report.dataset import (
    dataset_section,
    gallery_section,
    load_dataset,
    model_name,
    probe_section,
    split_caveats,
)
from wisp.report.detector import describe, detector_section, load_detector
from wisp.report.evaluation import load_evaluation
from wisp.report.leaderboard import leaderboard_section
from wisp.report.lifted import lifted_sections, lifted_tile
from wisp.report.mistakes import mistakes_section
from wisp.report.page import Banner, Page, Section, Step, Tile
from wisp.report.pictures import Pictures
from wisp.report.provenance import made_section, skipped_section
from wisp.report.read import Chain, Estimate, RunFiles, follow, text
from wisp.report.results import (
    curves_section,
    distance_section,
    gap_section,
    groups_section,
    leak_section,
    scores_section,
    sets_section,
    tiles,
)
from wisp.report.verdict import judge

RENDERED = (
    "This world is rendered: pans, food and smoke were drawn by a program. It shows that the whole "
    "loop works, not how a detector would do in your place."
)


def compose(run: RunFiles) -> Page:
    """The page for ``run``; InputError is the caller's business if its kind has none."""
    return COMPOSERS[run.kind](run)


def _kept(sections: Iterable[Section | None]) -> tuple[Section, ...]:
    return tuple(section for section in sections if section is not None)


def _made_on(run: RunFiles) -> str:
    return wording.day(text(run.environment.get("started")))


def _dataset_sections(chain: Chain, pictures: Pictures) -> list[Section | None]:
    """Gallery, smoke, counts and probe of the data sets."""
    if not chain.datasets:
        return []
    loaded = [load_dataset(run) for run in chain.datasets]
    gallery = gallery_section(chain.datasets, pictures)
    smoke: dict[str, source.SourceData] = {}
    for run, dataset in zip(chain.datasets, loaded, strict=True):
        if dataset.model not in smoke:
            made_by = chain.source_of(run)
            smoke[dataset.model] = (
                source.described(dataset.model)
                if made_by is None
                else source.trained(made_by, pictures, model_name(dataset.model))
            )
    single = len(loaded) == 1
    counts = [
        dataset_section(
            dataset,
            "The data set" if single else f"Data set {index}: {model_name(dataset.model)}",
            "data" if single else f"data-{index}",
        )
        for index, dataset in enumerate(loaded, start=1)
    ]
    return [gallery, source.source_section(list(smoke.values())), *counts, probe_section(loaded)]


def _banner(run: RunFiles, rendered: bool) -> Banner | None:
    saved = run.json("banner.json")
    if saved.get("text"):
        return Banner(text(saved.get("text")), text(saved.get("command")))
    return Banner(RENDERED) if rendered else None


def _steps(chain: Chain) -> tuple[Step, ...]:
    steps = []
    if chain.datasets:
        loaded = [load_dataset(run) for run in chain.datasets]
        facts = [
            f"{source.kind_of(r).name}, {source.describe(source.load_training(r))}"
            for r in chain.sources
        ]
        models = dict.fromkeys(
            model_name(dataset.model)
            for run, dataset in zip(chain.datasets, loaded, strict=True)
            if chain.source_of(run) is None
        )
        steps.append(Step("Smoke", "; ".join([*facts, *models]), "source"))
        steps.append(
            Step(
                "Data set" if len(loaded) == 1 else f"{len(loaded)} data sets",
                wording.plural(sum(dataset.images for dataset in loaded), "labelled picture"),
                "data" if len(loaded) == 1 else "data-1",
            )
        )
    if chain.detector is not None:
        detector = load_detector(chain.detector)
        several = f"{detector.members} × " if detector.members > 1 else ""
        words = f"{several}{detector.backbone}, {detector.size} px"
        steps.append(Step("Detector", words, "detector"))
    if chain.evaluation is not None:
        evaluation = load_evaluation(chain.evaluation)
        steps.append(
            Step(
                "Test",
                f"{wording.plural(evaluation.measures.images, 'photo')}, "
                f"{wording.plural(evaluation.measures.groups, 'group')}",
                "scores" if evaluation.scores.positive or evaluation.confusion else "leak",
            )
        )
    return tuple(steps) if len(steps) > 1 else ()


def _evaluation(run: RunFiles) -> Page:
    chain, pictures = follow(run), Pictures()
    evaluation = load_evaluation(run)
    detector = load_detector(chain.detector) if chain.detector is not None else None
    verdict = judge(evaluation, detector.auroc.value if detector is not None else None)
    gap = None
    if detector is not None:
        gap = gap_section(
            evaluation,
            detector.auroc,
            detector.balanced_accuracy,
            detector.images,
            detector.groups,
        )
    sections: list[Section | None] = [
        gap,
        mistakes_section(run, pictures, evaluation.names, evaluation.tally),
        scores_section(evaluation),
        sets_section(evaluation),
        groups_section(evaluation),
        curves_section(evaluation),
        *_dataset_sections(chain, pictures),
        detector_section(detector) if detector is not None else None,
        distance_section(evaluation),
        leak_section(evaluation),
        skipped_section(chain),
        made_section(chain),
    ]
    return Page(
        "Evaluation",
        _made_on(run),
        verdict.headline,
        verdict.lead,
        verdict.caveats,
        verdict.tone,
        tiles(evaluation),
        _steps(chain),
        _kept(sections),
        _banner(run, evaluation.rendered),
        problems=_missing(chain),
    )


def _missing(chain: Chain) -> tuple[str, ...]:
    if chain.detector is None:
        return ("The detector's own run is not at hand, so its training is not shown.",)
    if not chain.datasets:
        return (
            "The detector was not trained on a data set made by wisp that is still at hand, so "
            "where its smoke came from is not shown.",
        )
    return ()


def _detector(run: RunFiles) -> Page:
    chain, pictures = follow(run), Pictures()
    detector = load_detector(run)
    synthetic = bool(chain.datasets)
    headline = "A detector that has not met real smoke yet" if synthetic else "A smoke detector"
    if not detector.auroc.known:
        headline = "A detector without a validation score"
    lead = [describe(detector)]
    if detector.auroc.known:
        lead.append(
            f"On {wording.plural(detector.images, 'validation picture')} of its own data set it "
            f"reaches an AUROC of {wording.score(detector.auroc.value)}. That says how well it "
            "learned its lesson, not how it will do on real smoke."
        )
    caveats = []
    if detector.split == "file":
        caveats.append(
            "The validation part was drawn by file: pictures made of one photo may stand on both "
            "sides, so the score is flattered."
        )
    numbers = (
        Tile.rate("AUROC", detector.auroc, "on its own validation part", chance=0.5),
        Tile.rate("Balanced accuracy", detector.balanced_accuracy, "at the threshold", chance=0.5),
        Tile(
            "Threshold",
            wording.score(detector.threshold),
            f"chosen on validation: {detector.threshold_rule or 'rule unknown'}",
        ),
    )
    return Page(
        "Detector",
        _made_on(run),
        headline,
        tuple(lead),
        tuple(caveats),
        "open",
        numbers,
        _steps(chain),
        _kept(
            [
                detector_section(detector),
                *_dataset_sections(chain, pictures),
                skipped_section(chain),
                made_section(chain),
            ]
        ),
        next_command=f"wisp evaluate {_word(run)} REAL_PHOTOS --out EVALUATION",
    )


def _dataset(run: RunFiles) -> Page:
    chain, pictures = follow(run), Pictures()
    dataset = load_dataset(run)
    lead = []
    if dataset.images:
        made = wording.plural(dataset.images, "labelled picture")
        headline = f"{made} from {wording.plural(dataset.sources, 'clean photo')}"
        sides = [
            f"{wording.plural(dataset.groups[split], 'group')} in {split}"
            for split in dataset.splits
        ]
        lead.append(
            f"The smoke comes from “{model_name(dataset.model)}”. "
            + ("Near copies" if dataset.guessed_groups else "Photos that belong together")
            + f" stay together: {wording.listed(sides)}."
        )
    else:
        headline = "A data set without a list of its pictures"
        lead.append("Its metadata.jsonl is missing or empty, so nothing can be counted.")
    numbers = [
        Tile("Pictures", wording.count(dataset.images), "in all classes and splits"),
        Tile("Photos", wording.count(dataset.sources), "they were made from"),
        Tile("Groups", wording.count(sum(dataset.groups.values())), "each on one side only"),
    ]
    if dataset.probe.known:
        numbers.append(
            Tile.rate(
                "Fingerprint probe",
                dataset.probe,
                "AUROC of telling its clean pictures from originals; 0.5 is the aim",
                chance=0.5,
            )
        )
    return Page(
        "Data set",
        _made_on(run),
        headline,
        tuple(lead),
        split_caveats(dataset),
        "open",
        tuple(numbers),
        (),
        _kept([*_dataset_sections(chain, pictures), skipped_section(chain), made_section(chain)]),
        next_command=f"wisp classify {_word(run)} --out DETECTOR" if dataset.divided else "",
    )


def _training(run: RunFiles) -> Page:
    chain, pictures = follow(run), Pictures()
    training = source.load_training(run)
    ended = {
        "finished": "and finished as planned",
        "early": "and stopped early, because the distance no longer fell",
        "interrupted": "and was interrupted; it can be resumed",
    }.get(training.stopped, f"({training.stopped})" if training.stopped else "so far")
    lead = [
        f"It ran for {source.describe(training)} {ended}.",
        source.kind_of(run).warning,
    ]
    numbers = [
        Tile(
            "Steps", wording.count(training.steps), f"of {wording.count(training.planned)} planned"
        ),
        Tile("Time", wording.duration(training.seconds), "spent training"),
        Tile(
            "Rate",
            "–" if training.rate is None else f"{training.rate:.1f}",
            "pairs of photos per second, median",
        ),
    ]
    if training.distance.value is not None:
        numbers.append(
            Tile(
                "Kernel distance",
                f"{training.distance.value:.3g}",
                f"lowest, at step {wording.count(training.distance_step)}; made smoky to real "
                f"smoky photos, on features of {training.features or 'a backbone'}",
                _shown(training.distance),
            )
        )
    if (layers := lifted_tile(run)) is not None:
        numbers.append(layers)
    return Page(
        "Smoke model",
        _made_on(run),
        source.kind_of(run).title,
        tuple(lead),
        training.notes,
        "open",
        tuple(numbers),
        (),
        _kept(
            [
                *lifted_sections(run, pictures),
                source.source_section([source.trained(run, pictures)]),
                skipped_section(chain),
                made_section(chain),
            ]
        ),
        next_command=f"wisp synth PHOTOS --model {_word(run)} --out DATASET",
    )


def _comparison(run: RunFiles) -> Page:
    chain, pictures = follow(run), Pictures()
    found = load_comparison(run)
    opinion = judge_comparison(found)
    return Page(
        "Comparison",
        _made_on(run),
        opinion.headline,
        opinion.lead,
        opinion.caveats,
        opinion.tone,
        comparison_tiles(found),
        (),
        _kept(
            [
                leaderboard_section(found),
                margins_section(found),
                line_up_section(found, run, pictures),
                alarms_section(found),
                detection_section(found),
                sources_section(found, run),
                skipped_section(chain),
                made_section(chain),
            ]
        ),
        _banner(run, rendered=False),
    )


def _word(run: RunFiles) -> str:
    """The run's path as one word of a command line."""
    return shlex.quote(str(run.path))


def _shown(estimate: Estimate) -> Estimate:
    """An estimate that is no share of 1: its interval stands in the tile, but not on a scale."""
    return Estimate(None, estimate.low, estimate.high)


COMPOSERS: dict[str, Callable[[RunFiles], Page]] = {
    "evaluate": _evaluation,
    "classify": _detector,
    "synth": _dataset,
    "train": _training,
    "compare": _comparison,
}
