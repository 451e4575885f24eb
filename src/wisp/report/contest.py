"""The page of a comparison: which smoke teaches best, and whether that is more than noise."""

from __future__ import annotations

from collections import defaultdict
from urllib.parse import quote

from wisp.report import standings, wording
from wisp.report.comparison import Comparison, Margin, Source, Standing, side_of_zero
from wisp.report.page import Section, Tile, Verdict, section
from wisp.report.pictures import Pictures
from wisp.report.read import Estimate, RunFiles, text
from wisp.report.verdict import FEW_GROUPS

_PICTURES = 6
_PICTURE_PX = 320
_GROUPS = 12
_FEW_SOURCES = 6


def judge_comparison(found: Comparison) -> Verdict:
    """Which source of smoke is best on which set, and whether its margin is outside noise."""
    if not found.ranked:
        headline = (
            "No test set holds both classes, so only false alarms could be counted"
            if found.leaderboard
            else "A comparison that has not come to an end"
        )
        return Verdict(headline, (), _caveats(found))
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
    return Verdict(headline, tuple(_words(found, n) for n in found.ranked), _caveats(found), tone)


def _best_margin(found: Comparison, name: str) -> tuple[Margin, bool]:
    """The margin that decides a set: of the best, or of the next where the reference is best."""
    best, *rest = found.on(name)
    margin = found.margin(name, best.model)
    if margin is not None:
        return margin, True
    nothing = Margin(set=name, model=best.model)
    return (found.margin(name, rest[0].model) or nothing) if rest else nothing, False


def _words(found: Comparison, name: str) -> str:
    best = found.on(name)[0]
    margin, leads = _best_margin(found, name)
    said = f"On {name}, {best.model} reaches an AUROC of {wording.score(best.auroc.value)}"
    if best.auroc.has_interval:
        said += f" ({wording.interval(best.auroc)})"
    difference, side = margin.auroc, side_of_zero(margin.auroc)
    if not difference.known:
        return f"{said}."
    beside = wording.signed(difference.value)
    if difference.has_interval:
        beside += f" ({wording.signed(difference.low)} to {wording.signed(difference.high)})"
    if not leads:
        outcome = "behind by more than" if side else "behind, but within"
        return f"{said}; the next, {margin.model}, is {outcome} noise: {beside}."
    outcome = "outside" if side > 0 else "within"
    return f"{said}. Its margin over {found.reference} is {outcome} noise: {beside}."


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
    known = sum(row.auroc.known for row in found.differences)
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


def leaderboard_section(found: Comparison) -> Section | None:
    """The standings, set by set."""
    boards = [
        {
            "name": name,
            "counts": _counts(rows[0]),
            "chart": standings.ladder(rows, found.reference),
            "rows": rows,
            # Where there is nothing to find, false alarms are all that can be counted.
            "has_smoke": rows[0].positives > 0,
            "within_groups": any(row.auroc_within_groups.known for row in rows),
        }
        for name in found.sets
        if (rows := found.on(name))
    ]
    if not boards:
        return None
    return section(
        "leaderboard",
        "Leaderboard",
        boards=boards,
        reference=found.reference,
        seeds=len(found.seeds),
        within_groups=any(board["within_groups"] for board in boards),
    )


def _counts(row: Standing) -> str:
    """How many photos of what a set holds."""
    counts = [f"{row.positives} smoky"] if row.positives else []
    counts.append(f"{row.images - row.positives} clean photos")
    both = f", {row.groups_of_both} of them with both" if row.groups_of_both else ""
    return f"{wording.listed(counts)}, {wording.plural(row.groups, 'group')}{both}"


def margins_section(found: Comparison) -> Section | None:
    """Every source less the reference, on the same resampled groups."""
    known = [row for row in found.differences if row.auroc.known]
    if not known:
        return None
    ends = [end for row in known for end in (row.auroc.value, row.auroc.low, row.auroc.high)]
    widest = max(abs(end) for end in ends if end is not None)
    by_set: dict[str, list[Margin]] = defaultdict(list)
    for row in known:
        by_set[row.set].append(row)
    return section(
        "margins",
        f"Better than {found.reference}, or noise?",
        "Margins",
        rows=known,
        noise=_noise,
        charts=[
            (name, standings.margins(rows, found.reference, widest))
            for name, rows in by_set.items()
        ],
        reference=found.reference,
    )


def _noise(estimate: Estimate) -> str:
    if not estimate.has_interval:
        return ""
    return {1: "better", -1: "worse", 0: "within noise"}[side_of_zero(estimate)]


def alarms_section(found: Comparison) -> Section | None:
    """Where the false alarms come from, group by group."""
    groups = found.false_alarms_by_group
    if not groups:
        return None
    loud = [row for row in groups if row.expected > 0]
    shown = [row for row in loud if row.images > 1] or loud  # single photos are no scene
    return section(
        "alarms",
        "Where the false alarms are",
        "False alarms",
        rows=shown[:_GROUPS],
        models=[source.name for source in found.models],
        silent=len(groups) - len(loud),
        total=len(groups),
        singles_left_out=len(shown) < len(loud),
    )


def detection_section(found: Comparison) -> Section | None:
    """Whether the distance of the smoke tells which detector will be the better one."""
    charts, of_set = [], found.distance_and_detection.per_set
    for name in found.sets:
        rows = [row for row in found.on(name) if row.kid.known and row.auroc.known]
        if rows:
            charts.append((name, standings.scatter(rows, found.reference), of_set.get(name)))
    if not charts:
        return None
    return section(
        "detection",
        "Which number to trust?",
        "Distance and detection",
        charts=charts,
        sentence=_correlation_words(found),
    )


def _correlation_words(found: Comparison) -> str:
    rho, count = found.distance_and_detection.value, found.distance_and_detection.n
    if rho is None:
        return (
            "A rank correlation needs at least three sources of smoke whose distance and AUROC are "
            "known and differ."
        )
    value = (
        f"rank correlation {wording.signed(rho, 2)} (Spearman, within each set, "
        f"{wording.plural(count, 'point')}). "
    )
    few = len(found.models)
    chance = f"With only {few} sources that may be chance." if few < _FEW_SOURCES else ""
    if rho <= -0.7:
        said = "Smoke that is nearer to real smoke taught the better detector: "
    elif rho < 0.3:
        said = "The distance hardly tells which detector is the better one: "
    else:
        said = "Here the distance misleads, farther smoke taught the better detector: "
    return f"{said}{value}{chance}".strip()


def line_up_section(found: Comparison, run: RunFiles, pictures: Pictures) -> Section | None:
    """The same photos under the smoke of every source, and as many of the real ones."""
    made = [
        (source, RunFiles(run.path / source.runs[0].dataset))
        for source in found.models
        if source.runs
    ]
    photos = _common_photos([files for source, files in made if not source.parts])
    if not photos:
        return None
    shown: list[tuple[str, str, list[str]]] = []
    for source, files in made:
        rows = files.rows("metadata.jsonl")
        if not shown:
            clean = {_photo(row): row for row in rows if _is(row, "clean")}
            chosen = [clean[photo] for photo in photos if photo in clean]
            shown.append(("clean photos", "before", _shown(chosen, files, pictures)))
        smoky = [row for row in rows if _is(row, "smoky")]
        by_photo = {_photo(row): row for row in reversed(smoky)}
        # Real photos show other places: they fill the places of what has no counterpart.
        made_of = {_photo(row) for row in rows if row.get("label") == "clean"}
        others = iter([row for row in smoky if _photo(row) not in made_of])
        chosen = [by_photo.get(photo) or next(others, {}) for photo in photos]
        shown.append((source.name, _about(source), _shown(chosen, files, pictures)))
    return section("pictures", "What they learned from", "Pictures", "line_up", rows=shown)


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


def _shown(rows: list[dict[str, object]], files: RunFiles, pictures: Pictures) -> list[str]:
    found = [pictures.photo(files.path, row.get("file_name"), _PICTURE_PX) for row in rows]
    return [picture for picture in found if picture is not None]


def _about(source: Source) -> str:
    if source.parts:
        return f"equal shares of {wording.listed(source.parts)}"
    if source.source == "real":
        return "the smoky photos themselves, of other places"
    return "" if source.source == source.name else source.source


def sources_section(found: Comparison, run: RunFiles) -> Section | None:
    """Pictures, probe and the single reports."""
    if not found.models:
        return None
    rows = []
    for source in found.models:
        reports = [(one.seed, f"{one.evaluation}/report.html") for one in source.runs]
        links = [(seed, quote(report)) for seed, report in reports if run.has(report)]
        rows.append((source, _about(source), links))
    return section("sources", "Every single run", "Single runs", rows=rows)
