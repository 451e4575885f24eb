"""The page of a comparison: which smoke teaches best, and whether that is more than noise."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from urllib.parse import quote

from markupsafe import Markup

from wisp.report import standings, wording
from wisp.report.comparison import (
    Comparison,
    GroupAlarms,
    Margin,
    Source,
    side_of_zero,
)
from wisp.report.page import Section, Tile
from wisp.report.pictures import Pictures
from wisp.report.read import UNKNOWN, Estimate, RunFiles, text
from wisp.report.verdict import FEW_GROUPS

_PICTURES = 6
_PICTURE_PX = 320
_GROUPS = 12
_FEW_SOURCES = 6


@dataclasses.dataclass(frozen=True)
class Opinion:
    """A headline, what stands behind it, and what to keep in mind."""

    headline: str
    lead: tuple[str, ...]
    caveats: tuple[str, ...]
    tone: str


def judge_comparison(found: Comparison) -> Opinion:
    """Which source of smoke is best on which set, and whether its margin is outside noise."""
    if not found.ranked:
        headline = (
            "No test set holds both classes, so only false alarms could be counted"
            if found.standings
            else "A comparison that has not come to an end"
        )
        return Opinion(headline, (), _caveats(found), "open")
    sides = {name: side_of_zero(_best_margin(found, name)[0].auroc) for name in found.ranked}
    won: dict[tuple[str, bool], list[str]] = defaultdict(list)
    for name, side in sides.items():
        won[found.on(name)[0].model, side != 0].append(name)
    headline = ", ".join(
        f"“{model}” {'' if position else 'teaches best '}on {wording.listed(sets)} "
        f"({'beyond' if sure else 'within'} noise)"
        for position, ((model, sure), sets) in enumerate(won.items())
    )
    ahead = [side > 0 for side in sides.values()]
    tone = "good" if all(ahead) else "middling" if any(ahead) else "open"
    return Opinion(headline, tuple(_words(found, n) for n in found.ranked), _caveats(found), tone)


def _best_margin(found: Comparison, name: str) -> tuple[Margin, bool]:
    """The margin that decides a set: of the best, or of the next where the reference is best."""
    best, *rest = found.on(name)
    margin = found.margin(name, best.model)
    if margin is not None:
        return margin, True
    nothing = Margin(name, best.model, UNKNOWN, UNKNOWN)
    return (found.margin(name, rest[0].model) or nothing) if rest else nothing, False


def _words(found: Comparison, name: str) -> str:
    best = found.on(name)[0]
    margin, leads = _best_margin(found, name)
    said = f"On {name}, {best.model} reaches an AUROC of {wording.score(best.auroc.value)}"
    if best.auroc.has_interval:
        said += f" ({wording.interval(best.auroc)})"
    if margin.auroc.value is None:
        return f"{said}."
    beside = f"{wording.signed(margin.auroc.value)}{_range(margin)}"
    if not leads:
        outcome = "behind by more than" if side_of_zero(margin.auroc) else "behind, but within"
        return f"{said}; the next, {margin.model}, is {outcome} noise: {beside}."
    if side_of_zero(margin.auroc) > 0:
        return f"{said}. Its margin over {found.reference} is outside noise: {beside}."
    return f"{said}. Its margin over {found.reference} is within noise: {beside}."


def _range(margin: Margin) -> str:
    low, high = margin.auroc.low, margin.auroc.high
    if low is None or high is None:
        return ""
    return f" ({wording.signed(low)} to {wording.signed(high)})"


def _caveats(found: Comparison) -> tuple[str, ...]:
    said = []
    if len(found.seeds) == 1:
        said.append(
            "There is one seed only. The intervals are over groups of photos; how much another "
            "training would differ is not known."
        )
    elif found.seeds:
        said.append(
            "The intervals are those of the mean over seeds, over groups of test photos. How much "
            "single trainings differ is shown by the small dots."
        )
    few = [name for name in found.ranked if found.on(name)[0].groups < FEW_GROUPS]
    if few:
        counts = [f"{wording.plural(found.on(n)[0].groups, 'group')} in {n}" for n in few]
        said.append(f"There are only {wording.listed(counts)}, so those intervals are rough.")
    known = sum(row.auroc.known for row in found.margins)
    if known > 5:
        said.append(
            f"Of {2 * known} differences, one in twenty would be called outside "
            "noise even if all sources were equally good."
        )
    return tuple(said)


def comparison_tiles(found: Comparison) -> tuple[Tile, ...]:
    """The best AUROC on each set, and the fewest false alarms where there is no smoke."""
    tiles = []
    for name in found.sets:
        rows = found.on(name)
        if not rows:
            continue
        best = rows[0]
        if best.auroc.known:
            tiles.append(Tile.rate(f"AUROC, {name}", best.auroc, f"of {best.model}, the best"))
        else:
            note = f"of {best.model}, the fewest, on photos without smoke"
            tiles.append(
                Tile.rate(f"False alarms, {name}", best.false_alarms, note, as_percent=True)
            )
    return tuple(tiles)


@dataclasses.dataclass(frozen=True)
class MarginsData:
    """Differences to the reference, with a chart for each set."""

    rows: tuple[tuple[Margin, str, str], ...]
    charts: tuple[tuple[str, Markup], ...]
    reference: str


def margins_section(found: Comparison) -> Section | None:
    """Every source less the reference, on the same resampled groups."""
    known = [row for row in found.margins if row.auroc.known]
    if not known:
        return None
    charts = []
    widest = max(
        abs(end)
        for row in known
        for end in (row.auroc.value, row.auroc.low, row.auroc.high)
        if end is not None
    )
    for name in dict.fromkeys(row.set for row in known):
        rows = [(row.model, row.auroc) for row in known if row.set == name]
        charts.append((name, standings.margins(rows, found.reference, widest)))
    return Section(
        "margins",
        f"Better than {found.reference}, or noise?",
        "Margins",
        "margins.html.j2",
        MarginsData(
            tuple((row, _noise(row.auroc), _noise(row.balanced_accuracy)) for row in known),
            tuple(charts),
            found.reference,
        ),
    )


def _noise(estimate: Estimate) -> str:
    if not estimate.has_interval:
        return ""
    return {1: "better", -1: "worse", 0: "within noise"}[side_of_zero(estimate)]


@dataclasses.dataclass(frozen=True)
class AlarmsData:
    """The groups that raise most false alarms."""

    rows: tuple[GroupAlarms, ...]
    models: tuple[str, ...]
    silent: int
    total: int
    singles_left_out: bool
    """Whether groups of a single photo are not among ``rows``."""


def alarms_section(found: Comparison) -> Section | None:
    """Where the false alarms come from, group by group."""
    if not found.alarms:
        return None
    loud = [row for row in found.alarms if row.expected > 0]
    shown = [row for row in loud if row.images > 1] or loud  # single photos are no scene
    return Section(
        "alarms",
        "Where the false alarms are",
        "False alarms",
        "alarms.html.j2",
        AlarmsData(
            tuple(shown[:_GROUPS]),
            tuple(source.name for source in found.sources),
            len(found.alarms) - len(loud),
            len(found.alarms),
            len(shown) < len(loud),
        ),
    )


@dataclasses.dataclass(frozen=True)
class DetectionData:
    """Distance beside detection, with a chart for each set."""

    charts: tuple[tuple[str, Markup, float | None], ...]
    sentence: str


def detection_section(found: Comparison) -> Section | None:
    """Whether the distance of the smoke tells which detector will be the better one."""
    charts = []
    for name in found.sets:
        rows = [row for row in found.on(name) if row.kid.known and row.auroc.known]
        if rows:
            chart = standings.scatter(rows, found.reference)
            charts.append((name, chart, found.correlation_of_set.get(name)))
    if not charts:
        return None
    return Section(
        "detection",
        "Which number to trust?",
        "Distance and detection",
        "detection.html.j2",
        DetectionData(tuple(charts), _correlation_words(found)),
    )


def _correlation_words(found: Comparison) -> str:
    rho, count = found.correlation, found.correlated
    if rho is None:
        return (
            "A rank correlation needs at least three sources of smoke whose distance and AUROC are "
            "known and differ."
        )
    value = (
        f"rank correlation {wording.signed(rho, 2)} (Spearman, within each set, "
        f"{wording.plural(count, 'point')}). "
    )
    few = len(found.sources)
    chance = f"With only {few} sources that may be chance." if few < _FEW_SOURCES else ""
    if rho <= -0.7:
        said = "Smoke that is nearer to real smoke taught the better detector: "
    elif rho < 0.3:
        said = "The distance hardly tells which detector is the better one: "
    else:
        said = "Here the distance misleads, farther smoke taught the better detector: "
    return f"{said}{value}{chance}".strip()


@dataclasses.dataclass(frozen=True)
class LineUpData:
    """A row of pictures for each source."""

    rows: tuple[tuple[str, str, tuple[str, ...]], ...]


def line_up_section(found: Comparison, run: RunFiles, pictures: Pictures) -> Section | None:
    """The same photos under the smoke of every source, and as many of the real ones."""
    metadata = {
        source.name: (RunFiles(run.path / source.runs[0][1]), source)
        for source in found.sources
        if source.runs
    }
    photos = _common_photos([files for files, source in metadata.values() if not source.parts])
    if not photos:
        return None
    rows: list[tuple[str, str, tuple[str, ...]]] = []
    for name, (files, source) in metadata.items():
        if not rows:
            clean = {_photo(row): row for row in files.rows("metadata.jsonl") if _is(row, "clean")}
            shown = _shown([clean[photo] for photo in photos if photo in clean], files, pictures)
            rows.append(("clean photos", "before", shown))
        smoky = [row for row in files.rows("metadata.jsonl") if _is(row, "smoky")]
        by_photo = {_photo(row): row for row in reversed(smoky)}
        # Real photos show other places: they fill the places of what has no counterpart.
        made_of = {
            _photo(row) for row in files.rows("metadata.jsonl") if row.get("label") == "clean"
        }
        others = iter([row for row in smoky if _photo(row) not in made_of])
        chosen = [by_photo.get(photo) or next(others, {}) for photo in photos]
        rows.append((name, _about(source), _shown(chosen, files, pictures)))
    return Section(
        "pictures", "What they learned from", "Pictures", "line_up.html.j2", LineUpData(tuple(rows))
    )


def _is(row: dict[str, object], label: str) -> bool:
    same = row.get("label") == label and row.get("split") == "validation"
    return same and not row.get("negative")


def _photo(row: dict[str, object]) -> str:
    return text(row.get("source_sha256"))


def _common_photos(datasets: list[RunFiles]) -> list[str]:
    """Clean validation photos that as many sources as possible have laid smoke on."""
    count: dict[str, int] = {}
    for files in datasets:
        rows = files.rows("metadata.jsonl")
        clean = {_photo(row) for row in rows if _is(row, "clean")}
        smoky = {_photo(row) for row in rows if _is(row, "smoky")}
        for photo in clean:
            count[photo] = count.get(photo, 0) + (photo in smoky)
    return sorted(count, key=lambda photo: (-count[photo], photo))[:_PICTURES]


def _shown(rows: list[dict[str, object]], files: RunFiles, pictures: Pictures) -> tuple[str, ...]:
    found = [pictures.photo(files.path, row.get("file_name"), _PICTURE_PX) for row in rows]
    return tuple(picture for picture in found if picture is not None)


def _about(source: Source) -> str:
    if source.parts:
        return f"equal shares of {wording.listed(source.parts)}"
    if source.source == "real":
        return "the smoky photos themselves, of other places"
    return "" if source.source == source.name else source.source


@dataclasses.dataclass(frozen=True)
class SourcesData:
    """What was made of each source, with the reports of its evaluations."""

    rows: tuple[tuple[Source, str, tuple[tuple[int, str], ...]], ...]


def sources_section(found: Comparison, run: RunFiles) -> Section | None:
    """Pictures, probe and the single reports."""
    if not found.sources:
        return None
    rows = []
    for source in found.sources:
        links = tuple(
            (seed, quote(f"{evaluation}/report.html"))
            for seed, _, evaluation in source.runs
            if run.has(f"{evaluation}/report.html")
        )
        rows.append((source, _about(source), links))
    return Section(
        "sources", "Every single run", "Single runs", "sources.html.j2", SourcesData(tuple(rows))
    )
