"""The report's words, numbers, pictures and its manners towards broken runs."""

import base64
import hashlib
import io
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from report_fixtures import (
    HOSTILE,
    estimate,
    kitchen,
    make_chain,
    make_classify,
    make_evaluate,
    make_synth,
    make_train,
    opacity,
)
from wisp.errors import InputError
from wisp.jobs.train.composing import LOSS_NAMES
from wisp.report import charts, lines, svg, verdict, wording, write_report
from wisp.report.detector import Validation
from wisp.report.evaluation import Metrics, Scores, load_evaluation
from wisp.report.pictures import Pictures
from wisp.report.read import Estimate, RunFiles, follow
from wisp.report.results import gap_section
from wisp.rundir import RunDir, read_json, read_jsonl, write_json, write_jsonl


class Page(HTMLParser):
    """The parts of a page the tests ask about."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.text, self.ids, self.sources, self.links, self.scripts = [], set(), [], [], []
        self.titles, self._open = [], ""
        self.html = path.read_text(encoding="utf-8")
        self.feed(self.html)
        self.words = re.sub(r"[\s\u202f]+", " ", " ".join(self.text))

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        if "id" in found:
            assert found["id"] not in self.ids, f"id {found['id']} twice"
            self.ids.add(found["id"])
        if tag in ("img", "script", "link", "iframe", "image", "use"):
            self.sources += [found[key] for key in ("src", "href", "srcset") if key in found]
        if "title" in found:
            self.titles.append(found["title"])
        if tag == "a":
            self.links.append(found["href"])
        if tag == "img":
            assert found.get("alt"), "a picture without alternative text"
        assert not any(name.startswith("on") for name in found), "an inline handler"
        self._open = tag
        if tag == "script":
            self.scripts.append(found.get("type", ""))

    def handle_endtag(self, tag):
        self._open = ""

    def handle_data(self, data):
        if self._open not in ("script", "style"):
            self.text.append(data)


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chain")
    return make_chain(folder)


@pytest.fixture(scope="module")
def page(chain):
    path = write_report(chain)
    assert path == chain / "report.html"
    return Page(path)


def change(run: Path, file: str, **values) -> None:
    saved = read_json(run / file)
    write_json(run / file, saved | values)


def test_the_evaluation_tells_the_whole_story_in_order(page):
    order = [
        "gap",
        "mistakes",
        "scores",
        "sets",
        "groups",
        "curves",
        "gallery",
        "source",
        "data",
        "probe",
        "detector",
        "leak",
        "skipped",
        "made",
    ]
    places = [page.html.index(f'<section id="{name}"') for name in order]
    assert places == sorted(places)
    assert [link for link in page.links if link.startswith("#")]
    assert all(link[1:] in page.ids for link in page.links)


def test_its_numbers_are_those_of_the_run(page, chain):
    metrics = read_json(chain / "metrics.json")
    clean, smoky = metrics["confusion"]["counts"]
    assert f"found {smoky[1]} of {sum(smoky)} smoky photos and missed {smoky[0]}" in page.words
    assert f"false alarm on {clean[1]} of {sum(clean)} clean photos" in page.words
    assert wording.score(metrics["auroc"]["value"]) in page.words
    assert f"{metrics['images']} photos from {metrics['groups']} groups" in page.words
    assert "80 pictures made of 40 photos" in page.words
    assert "wisp synth clean --model" in page.words


def test_distances_have_their_own_section_where_they_were_measured(page, tmp_path):
    assert "How far is synthetic from real?" in page.words
    assert "0.193 – 0.244" in page.words
    bare = make_evaluate(tmp_path / "eval")
    metrics = json.loads((bare / "metrics.json").read_text())
    del metrics["distances"]
    (bare / "metrics.json").write_text(json.dumps(metrics))
    assert "How far is synthetic" not in write_report(bare).read_text(encoding="utf-8")


def test_the_page_asks_nothing_of_any_server(page):
    assert page.sources
    assert all(source.startswith("data:image/") for source in page.sources)
    assert all(link.startswith("#") for link in page.links)
    assert not re.search(r"url\(\s*['\"]?(?!data:)", page.html)
    assert "default-src 'none'" in page.html


def test_only_its_own_script_may_run(page):
    assert sorted(page.scripts) == ["", "application/json"]
    body = page.html.rsplit("<script>", 1)[1].split("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page.html


def test_text_from_files_is_escaped(page, chain):
    assert HOSTILE not in page.html
    assert "<script>alert" not in page.html
    assert any(title.endswith(HOSTILE) for title in page.titles)


def test_text_from_every_json_file_is_escaped(tmp_path):
    run = make_evaluate(
        tmp_path / "eval", make_classify(tmp_path / "det", make_synth(tmp_path / "set"))
    )
    evil = "<img src=x onerror=alert(1)>"
    change(
        run,
        "metrics.json",
        threshold_source=evil,
        overlaps=[{"kind": evil, "train": evil, "test": evil}],
    )
    change(run, "config.json", **{evil: evil})
    change(run, "environment.json", command=["wisp", evil], started=evil)
    write_json(run / "banner.json", {"text": evil, "command": evil})
    change(tmp_path / "det", "detector.json", backbone=evil, threshold_rule=evil)
    change(tmp_path / "set", "probe.json", description=evil)
    html = write_report(run).read_text(encoding="utf-8")
    assert "<img src=x" not in html
    assert html.count("&lt;img src=x") >= 8


def test_pictures_are_small_and_whole(page):
    assert len(page.html) < 8_000_000
    for source in page.sources:
        data = base64.b64decode(source.split(",", 1)[1])
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            assert max(image.size) <= 1200


def test_heavy_pictures_fit_the_page(tmp_path):
    Image.effect_noise((700, 700), 90).convert("RGB").save(tmp_path / "noise.jpg", quality=98)
    pictures = Pictures(allowance=200_000)
    shown = [pictures.photo(tmp_path, "noise.jpg") for _ in range(8)]
    assert shown[0] is not None
    assert shown[-1] is None
    assert pictures.left_out
    assert sum(len(one) for one in shown if one) < 200_000 * 1.4
    assert pictures.left >= 0


def test_pictures_outside_the_run_are_not_shown(tmp_path):
    (tmp_path / "run").mkdir()
    kitchen(1).save(tmp_path / "secret.jpg")
    pictures = Pictures()
    assert pictures.photo(tmp_path, "secret.jpg") is not None
    assert pictures.photo(tmp_path / "run", "../secret.jpg") is None
    assert pictures.photo(tmp_path / "run", str(tmp_path / "secret.jpg")) is None
    (tmp_path / "run" / "text.jpg").write_text("no picture")
    assert pictures.photo(tmp_path / "run", "text.jpg") is None


def test_the_mask_is_clear_where_there_is_no_smoke(tmp_path):
    mask = opacity(1)
    mask.paste(0, (0, 0, 40, 240))
    mask.save(tmp_path / "mask.png")
    address = Pictures().tint(tmp_path, "mask.png")
    assert address is not None
    with Image.open(io.BytesIO(base64.b64decode(address.split(",", 1)[1]))) as image:
        alpha = image.convert("RGBA").getchannel("A")
    assert alpha.crop((0, 0, 30, 240)).getextrema()[1] <= 2
    assert alpha.getextrema()[1] > 100


@pytest.mark.parametrize(
    ("auroc", "expected", "tone"),
    [
        ((0.93, 0.88, 0.97), "Good on photos like these", "good"),
        ((0.85, 0.74, 0.92), "second pair of eyes", "middling"),
        ((0.70, 0.58, 0.80), "not yet of use", "poor"),
        ((0.85, 0.45, 0.99), "too few to prove", "open"),
        ((0.52, 0.42, 0.62), "guessing", "poor"),
    ],
)
def test_the_headline_follows_the_lower_end(tmp_path, auroc, expected, tone):
    run = make_evaluate(tmp_path / "eval")
    change(
        run,
        "metrics.json",
        auroc=dict(zip(("value", "low", "high"), auroc, strict=True)),
        balanced_accuracy=estimate(0.85, 0.02),
    )
    found = verdict.judge(load_evaluation(RunFiles(run)))
    assert expected in found.headline
    assert found.tone == tone


def test_few_mistakes_are_promised_only_without_a_flaw(tmp_path):
    """No figure over all photos makes up for a place that is nothing but false alarms."""
    best = {
        "auroc": {"value": 0.98, "low": 0.96, "high": 0.99},
        "balanced_accuracy": estimate(0.95, 0.02),
        "auroc_within_groups": estimate(0.97, 0.02),
    }
    quiet = make_evaluate(tmp_path / "quiet", shift=-1.35)
    change(quiet, "metrics.json", **best)
    found = verdict.judge(load_evaluation(RunFiles(quiet)))
    assert (found.headline, found.tone) == ("Few mistakes on photos like these", "good")
    assert not any("Against false alarms" in said for said in found.caveats)
    change(quiet, "metrics.json", auroc_within_groups=estimate(0.84, 0.05))
    found = verdict.judge(load_evaluation(RunFiles(quiet)))
    assert "not free of mistakes" in found.headline
    assert any("Among photos of one place it ranks worse" in said for said in found.caveats)
    loud = make_evaluate(tmp_path / "loud", shift=2)
    change(loud, "metrics.json", **best)
    found = verdict.judge(load_evaluation(RunFiles(loud)))
    assert "not free of mistakes" in found.headline
    said = " ".join(found.caveats)
    assert "On “steam” it calls" in said
    assert "False alarms on half or more of the clean photos of a place: “" in said
    assert "Against false alarms" in said and "fpr05" in said
    change(loud, "metrics.json", threshold_source="validation (fpr05)")
    said = " ".join(verdict.judge(load_evaluation(RunFiles(loud))).caveats)
    assert "Against false alarms" in said and "fpr05" not in said


def test_few_groups_forbid_trust(tmp_path):
    run = make_evaluate(tmp_path / "eval", houses=12)
    change(
        run,
        "metrics.json",
        auroc={"value": 0.99, "low": 0.97, "high": 1.0},
        balanced_accuracy=estimate(0.95, 0.02),
    )
    found = verdict.judge(load_evaluation(RunFiles(run)))
    assert "not free of mistakes" in found.headline
    assert any("Only 14 groups" in caveat for caveat in found.caveats)


def test_caveats_name_what_is_wrong(tmp_path):
    run = make_evaluate(tmp_path / "eval", shift=2.5)
    change(
        run,
        "metrics.json",
        auroc={"value": 0.93, "low": 0.72, "high": 0.99},
        balanced_accuracy=estimate(0.6, 0.05),
    )
    found = verdict.judge(load_evaluation(RunFiles(run)), synthetic_auroc=0.999)
    said = " ".join(found.caveats)
    assert "threshold does not fit" in found.headline
    assert "interval is wide" in said
    assert "On “indoor” it calls" in said
    change(run, "metrics.json", auroc=estimate(0.8, 0.05), rendered_world=True)
    said = " ".join(verdict.judge(load_evaluation(RunFiles(run)), 0.999).caveats)
    assert "rendered, not real" in said
    assert "Synthetic validation promised" in said


def test_an_overlap_outweighs_every_number(tmp_path):
    run = make_evaluate(tmp_path / "eval")
    change(
        run,
        "metrics.json",
        auroc={"value": 0.99, "low": 0.98, "high": 1.0},
        overlaps=[{"kind": "same file", "train": "a/x.jpg", "test": "b/y.jpg"}],
    )
    page = Page(write_report(run))
    assert "cannot be trusted: some test photos were seen in training" in page.words
    assert "b/y.jpg" in page.words


def test_a_set_of_one_class_is_judged_by_its_false_alarms(tmp_path):
    run = make_evaluate(tmp_path / "eval")
    none = {"value": None, "low": None, "high": None}
    rows = (run / "predictions.csv").read_text().splitlines()
    kept = [rows[0], *(row for row in rows[1:] if ",steam," in row)]
    (run / "predictions.csv").write_text("\n".join(kept) + "\n")
    change(
        run,
        "metrics.json",
        auroc=none,
        average_precision=none,
        balanced_accuracy=none,
        tpr_at_fpr_01=none,
        tpr_at_fpr_05=none,
        per_group=[],
        per_set={},
        curves={},
    )
    page = Page(write_report(run))
    assert "only false alarms could be counted" in page.words
    assert "undefined for these photos" in page.words
    assert "False alarms: clean, but scored high" in page.words
    assert "Missed: smoky" not in page.words and "It missed none" not in page.words
    assert "scores are not probabilities" not in page.words


def test_more_than_two_classes_have_a_matrix_of_their_size(tmp_path):
    run = make_evaluate(tmp_path / "eval")
    classes = ["fire", "neutral", "smoky"]
    change(
        run,
        "metrics.json",
        classes=classes,
        confusion={"classes": classes, "counts": [[5, 1, 2], [0, 9, 1], [3, 0, 7]]},
    )
    page = Page(write_report(run))
    assert "called neutral" in page.words
    assert "data-cell" not in page.html.split('<table class="confusion">')[1].split("</table>")[0]


def test_without_parents_the_rest_is_told(tmp_path):
    page = Page(write_report(make_evaluate(tmp_path / "eval", tmp_path / "gone")))
    assert "The detector's own run is not at hand" in page.words
    assert "no longer at" in page.words
    assert "scores" in page.ids
    assert not page.ids & {"detector", "gap", "gallery"}


@pytest.mark.parametrize(
    "file",
    [
        "metrics.json",
        "predictions.csv",
        "worst/index.json",
        "inputs.json",
        "environment.json",
        "../detector/detector.json",
        "../detector/metrics.jsonl",
        "../dataset/metadata.jsonl",
        "../dataset/probe.json",
        "../dataset/gallery/index.json",
        "../gan/metrics.jsonl",
    ],
)
def test_a_broken_file_costs_only_its_part(chain, tmp_path, file):
    without_pictures = shutil.ignore_patterns("*.html", "*.jpg", "*.png")
    shutil.copytree(chain.parent, tmp_path / "runs", ignore=without_pictures)
    broken = tmp_path / "runs/eval" / file
    for content in (b"", b"{", b"[]", b"null", b'{"auroc": "high", "step": []}', b"\xff\xfe"):
        broken.write_bytes(content)
        page = Page(write_report(tmp_path / "runs/eval"))
        assert "How it was made" in page.words
        assert "None" not in page.words
        if content == b"\xff\xfe":
            assert "not readable" in page.words


def test_an_empty_evaluation_still_has_a_page(tmp_path):
    run = RunDir.create(tmp_path / "eval", "evaluate", {})
    page = Page(write_report(run.path))
    assert "holds no score to judge by" in page.words
    assert "no result of a leak check" in page.words


@pytest.mark.parametrize("kind", ["train", "synth", "classify"])
def test_an_empty_run_of_each_kind_still_has_a_page(tmp_path, kind):
    assert Page(write_report(RunDir.create(tmp_path / kind, kind, {}).path)).words


def test_training_report(tmp_path):
    page = Page(write_report(make_train(tmp_path / "gan")))
    assert "2 000 steps in 13 min and finished as planned" in page.words
    assert page.html.count("data-step=") == 4
    assert "Cycle loss" in page.words
    assert "Kernel distance" in page.words


def test_a_cyclegan_that_composes_is_spoken_of_as_such(tmp_path):
    run = make_train(tmp_path / "gan")
    assert "Beer and Lambert" not in Page(write_report(run)).words
    change(run, "config.json", model="cyclegan", generator="composing")
    rows = [{"step": step, **dict.fromkeys(LOSS_NAMES, 0.5 / step)} for step in (1, 2, 3)]
    write_jsonl(run / "metrics.jsonl", rows)
    page = Page(write_report(run))
    assert "A CycleGAN that lays smoke over clean photos" in page.words
    assert "a pixel without smoke is left as it was" in page.words
    assert "with smoke with other smoke that smoke’s opacity taken off again" in page.words
    assert page.html.count('class="raw-') == len(LOSS_NAMES) - 1  # all but the sum


def test_data_set_report(tmp_path):
    page = Page(write_report(make_synth(tmp_path / "set")))
    assert "80 labelled pictures from 40 clean photos" in page.words
    assert page.html.count('class="mask"') == 6
    assert "It is guessing." in page.words
    assert "clean/broken.jpg" in page.words
    assert "Beer and Lambert" in page.words


def test_a_clear_fingerprint_is_said(tmp_path):
    run = make_synth(tmp_path / "set")
    change(run, "probe.json", auroc=estimate(0.97, 0.02))
    assert "It finds a clear trace" in Page(write_report(run)).words


def test_a_fingerprint_probe_that_did_not_run_is_said(tmp_path):
    run = make_synth(tmp_path / "set")
    assert "Fingerprint probe: not measured" not in Page(write_report(run)).words
    change(run, "probe.json", auroc=None, description="needs at least 40 photos")
    assert "not measured, needs at least 40 photos." in Page(write_report(run)).words
    (run / "probe.json").unlink()
    assert "Fingerprint probe: not measured." in Page(write_report(run)).words
    change(run, "config.json", probe=False)
    assert "Fingerprint probe: not measured, switched off." in Page(write_report(run)).words


def test_smoke_of_strength_0_is_said_to_show_none(tmp_path):
    run = make_synth(tmp_path / "set")
    assert "Strength 0" not in Page(write_report(run)).words
    rows = read_jsonl(run / "metadata.jsonl")
    write_jsonl(run / "metadata.jsonl", [{**row, "strength": 0.0} for row in rows])
    assert "Strength 0 lays no smoke" in Page(write_report(run)).words


def test_weights_that_were_mixed_back_are_said(tmp_path):
    run = make_classify(tmp_path / "det", make_synth(tmp_path / "set"))
    assert "times the pretrained" not in Page(write_report(run)).words
    change(run, "config.json", pretrained_share=0.4)
    assert "0.4 times the pretrained plus 0.6 times the learned" in Page(write_report(run)).words


def test_groups_on_both_sides_are_said(tmp_path):
    run = make_synth(tmp_path / "set")
    rows = (run / "metadata.jsonl").read_text().replace("train-house", "house")
    (run / "metadata.jsonl").write_text(rows.replace("validation-house", "house"))
    assert "stand on both sides of the split" in Page(write_report(run)).words


def test_detector_report_claims_nothing_about_real_smoke(tmp_path):
    run = make_classify(tmp_path / "det", make_synth(tmp_path / "set"))
    page = Page(write_report(run))
    assert "has not met real smoke yet" in page.words
    assert "The split is by group" in page.words
    change(run, "config.json", split="file")
    assert "the score is flattered" in Page(write_report(run)).words


def test_several_data_sets_are_all_shown(tmp_path):
    gan = make_train(tmp_path / "gan")
    sets = [make_synth(tmp_path / "one", gan), make_synth(tmp_path / "two")]
    run = make_classify(tmp_path / "det", sets[0])
    change(run, "inputs.json", parents={"dataset-0": "../one", "dataset-1": "../two"})
    page = Page(write_report(make_evaluate(tmp_path / "eval", run)))
    assert {"data-1", "data-2", "probe", "gallery", "source"} <= page.ids
    assert all(link[1:] in page.ids for link in page.links)
    assert "160 labelled pictures" in page.words
    assert "Beer and Lambert" in page.words
    assert "Zhu et al. 2017" in page.words
    assert page.html.count('class="wipe"') == 12
    assert page.html.count("Probe AUROC") == 2


def test_a_clean_class_that_was_not_repainted_is_a_caveat(tmp_path):
    run = make_synth(tmp_path / "set", make_train(tmp_path / "gan"))
    change(run, "result.json", clean_class="pixels")  # although config.json says "auto"
    page = Page(write_report(run))
    assert "the two classes differ by that too" in page.words
    assert "cannot give the class away" not in page.words


def test_rounded_scores_stay_on_the_side_that_was_decided(tmp_path):
    run = make_evaluate(tmp_path / "eval")
    threshold = 0.4700004
    head = "file,set,group,label,score,predicted"
    rows = ["a.jpg,s,g,smoky,0.47,smoky", "b.jpg,s,h,clean,0.470001,clean"]
    (run / "predictions.csv").write_text("\n".join([head, *rows]) + "\n")
    change(run, "metrics.json", threshold=threshold)
    tally = load_evaluation(RunFiles(run)).tally
    assert tally is not None
    assert (tally.found, tally.missed, tally.false_alarms) == (1, 0, 0)


def test_the_demo_folder_gets_the_evaluation_with_its_banner(tmp_path):
    RunDir.create(tmp_path / "demo", "demo", {})
    run = make_chain(tmp_path / "demo", gan=False)
    write_json(run / "banner.json", {"text": "This world is rendered.", "command": "wisp demo"})
    target = write_report(tmp_path / "demo")
    assert target == tmp_path / "demo/report.html"
    assert target.read_bytes() == (run / "report.html").read_bytes()
    assert "This world is rendered. For your own photos: wisp demo" in Page(target).words


def test_other_folders_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such run"):
        write_report(tmp_path / "gone")
    with pytest.raises(InputError, match="'watch'"):
        write_report(RunDir.create(tmp_path / "x", "watch", {}).path)


def test_the_chain_is_followed_by_kind(chain):
    found = follow(RunFiles(chain))
    assert [title for title, _ in found.runs] == [
        "Smoke model",
        "Data set",
        "Detector",
        "Evaluation",
    ]
    assert not found.problems


@given(
    st.lists(st.floats(0, 1), max_size=40), st.lists(st.floats(0, 1), max_size=40), st.floats(0, 1)
)
def test_counts_at_a_threshold_add_up(positive, negative, threshold):
    tally = Scores(tuple(positive), tuple(negative)).at(threshold)
    assert tally.found + tally.missed == len(positive)
    assert 0 <= tally.false_alarms <= len(negative)
    assert tally.errors == sum(p < threshold for p in positive) + sum(
        n >= threshold for n in negative
    )


@given(st.lists(st.floats(0, 1), max_size=500), st.integers(2, 50))
def test_thinning_keeps_the_ends_and_the_order(values, most):
    values.sort()
    kept = charts.thin(values, most)
    assert len(kept) == min(len(values), most)
    assert kept == sorted(kept)
    assert not values or (kept[0], kept[-1]) == (values[0], values[-1])


@given(st.floats(0, 1e6), st.floats(1e-6, 1e6))
def test_ticks_are_inside_and_few(low, span):
    ticks = svg.nice_ticks(low, low + span)
    assert len(ticks) <= 12
    assert all(low - span * 0.01 <= tick <= (low + span) * (1 + 1e-9) for tick in ticks)


def test_svg_text_is_escaped():
    drawn = lines.curves(
        "<b>", [lines.Series("<i>", [1.0], [2.0]), lines.Series("&", [1.0], [2.0])]
    )
    assert "<b>" not in drawn
    assert "<i>" not in drawn
    assert "&lt;i&gt;" in drawn


def test_estimates_are_read_from_anything():
    assert Estimate.of({"value": 0.5, "low": None, "high": 1}) == Estimate(0.5, None, 1.0)
    assert Estimate.of(0.5) == Estimate(0.5)
    for nothing in (None, True, "x", [], {"value": float("nan")}):
        assert not Estimate.of(nothing).known


def test_a_saved_value_that_is_odd_costs_only_itself():
    saved = {"images": "many", "groups": 3, "auroc": [], "balanced_accuracy": 0.5, "new": 1}
    odd = Metrics.model_validate(saved | {"threshold": True, "classes": None})
    assert (odd.images, odd.groups, odd.threshold, odd.classes) == (0, 3, None, ())
    assert (odd.auroc, odd.balanced_accuracy) == (Estimate(), Estimate(0.5))


def test_embedded_scores_are_those_of_the_file(page, chain):
    found = re.search(r'class="scores-data">(.*?)</script>', page.html)
    assert found
    scores = json.loads(found.group(1))
    rows = (chain / "predictions.csv").read_text().splitlines()[1:]
    assert len(scores["positive"]) + len(scores["negative"]) == len(rows)
    assert scores["threshold"] == 0.47


def test_a_threshold_that_does_not_carry_over_is_said_beside_the_promise(chain, tmp_path):
    shutil.copytree(chain.parent, tmp_path / "runs", ignore=shutil.ignore_patterns("*.jpg"))
    run = tmp_path / "runs/eval"
    change(run, "metrics.json", auroc=estimate(0.99, 0.01), balanced_accuracy=estimate(0.7, 0.02))
    words = Page(write_report(run)).words
    assert "balanced accuracy falls from 0.95 to 0.70" in words.replace("0.96", "0.95")
    change(run, "metrics.json", balanced_accuracy=estimate(0.95, 0.02))
    assert "balanced accuracy falls" not in Page(write_report(run)).words


@pytest.mark.parametrize(
    ("synthetic", "real", "said"),
    [
        (Estimate(0.19, 0.05, 0.4), 0.57, "0.40), less than guessing does"),
        (
            Estimate(0.6, 0.45, 0.75),
            0.9,
            "(0.45\u202f–\u202f0.75), which may be no more than guessing",
        ),
        (Estimate(0.45), 0.9, "scores 0.45, which may be no more"),
        (Estimate(0.95, 0.9, 0.98), 0.94, "what it learned carries over"),
        (Estimate(0.95, 0.9, 0.98), 0.9, "most of what it learned carries over"),
        (Estimate(0.95, 0.9, 0.98), 0.6, "does not exist"),
    ],
)
def test_only_a_detector_that_learned_something_can_carry_it_over(synthetic, real, said):
    evaluation = SimpleNamespace(measures=Metrics(auroc=Estimate(real)))
    section = gap_section(evaluation, Validation(auroc=synthetic))
    assert said in section.data["sentence"]
