"""The report of a comparison: what it says follows from the intervals, not from the ranks."""

import re

import pytest

from report_comparison import make_comparison
from report_fixtures import HOSTILE
from test_report import Page
from wisp.report import write_report
from wisp.report.comparison import load_comparison, side_of_zero
from wisp.report.contest import judge_comparison, leaderboard_section, line_up_section
from wisp.report.pictures import Pictures
from wisp.report.read import Estimate, RunFiles
from wisp.rundir import read_json, read_jsonl, write_json, write_jsonl


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_comparison(tmp_path_factory.mktemp("compared") / "run")


@pytest.fixture(scope="module")
def page(run):
    return Page(write_report(run))


def test_the_headline_says_who_is_best_where_and_what_is_noise(page):
    assert (
        page.words.count(
            "“layered” teaches best on indoor (beyond noise), “real” on outdoor (within noise)"
        )
        == 2
    )
    assert "layered reaches an AUROC of 0.97" in page.words
    assert "Its margin over real is outside noise: +0.040 (+0.010 to +0.080)." in page.words
    assert (
        "the next, layered, is behind, but within noise: −0.006 (−0.020 to +0.005)." in page.words
    )
    assert "There are only 7 groups in indoor, so those intervals are rough." in page.words


def judged(run, **changed):
    """The opinion where the margins of ``layered`` are others: {set: (value, low, high)}."""
    found = load_comparison(RunFiles(run))
    margins = [
        row.model_copy(update={"auroc": Estimate(*changed[row.set])})
        if row.model == "layered" and row.set in changed
        else row
        for row in found.differences
    ]
    return judge_comparison(found.model_copy(update={"differences": margins}))


def test_only_an_interval_beyond_zero_is_beyond_noise(run):
    sure = judged(run, outdoor=(-0.02, -0.03, -0.01))
    assert sure.headline.endswith("“real” on outdoor (beyond noise)") and sure.tone == "middling"
    assert "is behind by more than noise" in sure.lead[1]
    unsure = judged(run, indoor=(0.04, -0.001, 0.08))
    assert "beyond" not in unsure.headline and unsure.tone == "open"
    assert "beyond" not in judged(run, indoor=(0.04, None, None)).headline


def test_one_seed_and_one_class_are_spoken_of(run):
    found = load_comparison(RunFiles(run))
    single = judge_comparison(found.model_copy(update={"seeds": (0,)}))
    assert "There is one seed only." in single.caveats[0]
    steam = [row for row in found.leaderboard if row.set == "steam"]
    alone = judge_comparison(found.model_copy(update={"sets": ("steam",), "leaderboard": steam}))
    assert "only false alarms could be counted" in alone.headline


def test_side_of_zero():
    assert side_of_zero(Estimate(0.1, 0.01, 0.2)) == 1
    assert side_of_zero(Estimate(-0.1, -0.2, -0.01)) == -1
    assert side_of_zero(Estimate(0.1, 0.0, 0.2)) == side_of_zero(Estimate(0.1)) == 0


def test_every_source_has_its_row_of_the_same_photos(page):
    for name in ("clean photos", "procedural", "layered", "real"):
        assert f"{name} picture 6".replace(" picture", ", picture") in page.html
        assert f"{name}, picture 7" not in page.html
    assert len([source for source in page.sources if source.startswith("data:image/jpeg")]) == 24


def test_a_mixture_shows_its_share_of_the_photos_and_real_ones_between(tmp_path):
    """Half of the photos have their counterpart in it; real photos stand in for the others."""
    run = make_comparison(tmp_path / "run")
    file = run / "seed-0/layered/dataset/metadata.jsonl"
    rows = read_jsonl(file)
    for row in rows:
        number = int(row["source_sha256"].removeprefix("photo-"))
        if row["label"] == "smoky" and number % 2:
            row["source_sha256"] = f"real-{number}"
    write_jsonl(file, rows)
    saved = read_json(run / "compare.json")
    saved["models"][1]["parts"] = ["procedural", "real"]
    write_json(run / "compare.json", saved)
    files = RunFiles(run)
    section = line_up_section(load_comparison(files), files, Pictures())
    made = {name: pictures for name, _, pictures in section.data["rows"]}
    same = [a == b for a, b in zip(made["procedural"], made["layered"], strict=True)]
    assert same == [True] * 6  # drawn alike, photo by photo, in the same places
    assert len(made["real"]) == 6


def test_tables_and_links(page):
    assert [link for link in page.links if not link.startswith("#")] == [
        f"seed-0/{model}/eval/report.html" for model in ("procedural", "layered", "real")
    ]
    assert "rank correlation −0.75 (Spearman, within each set, 6 points)" in page.words
    assert "1 of 2 groups with clean photos raise none" in page.words
    assert {
        "leaderboard",
        "margins",
        "pictures",
        "alarms",
        "detection",
        "sources",
        "made",
    } <= page.ids
    board = page.html.split('aria-label="Standings on steam"')[1].split("</table>")[0]
    assert "False alarms" in board and "AUROC" not in board


def test_hostile_names_stay_text(tmp_path):
    run = make_comparison(tmp_path / "run", (HOSTILE, "a" * 60, "real"))
    page = Page(write_report(run))
    assert "<script>alert(1)" not in page.html
    assert len(page.scripts) == 1


@pytest.mark.parametrize("damage", ["compare.json", "seed-0"])
def test_what_is_missing_is_left_out(tmp_path, damage):
    run = make_comparison(tmp_path / "run")
    if damage == "compare.json":
        (run / damage).write_text("{", encoding="utf-8")
        assert "A comparison that has not come to an end" in Page(write_report(run)).words
        return
    (run / damage).rename(tmp_path / "elsewhere")
    page = Page(write_report(run))
    assert "pictures" not in page.ids and "leaderboard" in page.ids
    assert re.search(r"Reports.*–", page.words)


def test_two_models_have_no_rank_correlation(tmp_path):
    run = make_comparison(tmp_path / "run")
    saved = read_json(run / "compare.json")
    saved["distance_and_detection"] |= {"value": None, "per_set": {"indoor": None}}
    write_json(run / "compare.json", saved)
    assert "needs at least three sources of smoke" in Page(write_report(run)).words


def test_the_figure_within_groups_is_shown_where_groups_have_both_classes(run):
    section = leaderboard_section(load_comparison(RunFiles(run)))
    boards = {board["name"]: board for board in section.data["boards"]}
    assert {name: board["within_groups"] for name, board in boards.items()} == {
        "indoor": True,
        "outdoor": False,
        "steam": False,
    }
    assert (
        boards["indoor"]["counts"] == "40 smoky and 40 clean photos, 7 groups, 6 of them with both"
    )
    assert "both" not in boards["outdoor"]["counts"]
    html = write_report(run).read_text(encoding="utf-8")
    assert html.count('data-label="AUROC within groups"') == len(boards["indoor"]["rows"]) == 3
