"""The report of a layered training: what was lifted, and the clean photos it sees smoke in."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from report_fixtures import HOSTILE, kitchen, make_layered, make_train
from wisp.data import BANK_FILE
from wisp.jobs.train.lifting import SUSPICIOUS_FILE, Lifting
from wisp.manifest import FileRecord
from wisp.report import write_report
from wisp.report.lifted import pick_walls
from wisp.report.pictures import Pictures
from wisp.rundir import read_json, write_json


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_layered(tmp_path)


def section(page: str, anchor: str) -> str:
    """The HTML of one section."""
    found = re.search(rf'<section id="{anchor}".*?</section>', page, re.DOTALL)
    assert found is not None, anchor
    return found[0]


def words(html: str) -> str:
    """Its text, with single spaces."""
    return " ".join(re.sub(r"<[^>]*>", " ", html).replace("\u202f", " ").split())


def report(run: Path) -> str:
    return write_report(run).read_text(encoding="utf-8")


def test_what_was_lifted_is_counted_and_nothing_is_lost(run: Path) -> None:
    lifted = words(section(report(run), "layers"))
    assert "20 layers came from 30 smoky photos." in lifted
    for fate in ("kept 20 ", "no smoke seen 4 ", "not found again 3 ", "near copies 1 "):
        assert fate in lifted
    assert "others 2 " in lifted  # 30 - 20 - 4 - 3 - 1
    assert "unreadable" not in lifted


def test_best_middle_and_lowest_layers_are_shown_with_score_and_photo(run: Path) -> None:
    lifted = section(report(run), "layers")
    walls = lifted.split("<h3>")[1:]
    assert [wall.split("</h3>")[0] for wall in walls] == [
        "The best scores", "In the middle", "The lowest scores that were kept",
    ]  # fmt: skip
    groups = [re.findall(r"<b>(.*?)</b>", wall.replace("<wbr>", "")) for wall in walls]
    assert groups == [
        [f"place-{n}" for n in span] for span in (range(6), range(7, 13), range(14, 20))
    ]
    scores = re.findall(r'class="badge">(.*?)<', lifted)
    assert scores[0] == "0.990" and scores[-1] == "0.61" and len(scores) == 18
    assert lifted.count('<img class="over"') == 18
    assert "Show the photos of all" in lifted


def test_the_note_leads_to_the_clean_photos_in_which_smoke_is_seen(run: Path) -> None:
    page = report(run)
    assert "R finds smoke in 5 of 40 clean photos: look at " in page
    assert '<a href="#suspicious">“Clean photos in which R sees smoke”</a>' in page
    assert "report.html#" not in page
    found = section(page, "suspicious")
    assert "R sees smoke in 5 of 40 clean photos" in words(found)
    assert "move them out of the clean folder" in words(found)
    assert re.findall(r'class="badge">(.*?)<', found.replace("\u202f", " "))[:2] == ["90 %", "87 %"]
    assert found.count("<img") == 5
    assert page.index('id="layers"') < page.index('id="suspicious"') < page.index('id="source"')


def test_many_suspects_are_shown_in_part_and_named_in_full(tmp_path: Path) -> None:
    found = section(report(make_layered(tmp_path, layers=2, suspects=27)), "suspicious")
    assert found.count("<figure") == found.count("<img") == 24
    assert found.count('<td class="path">') == 27


def test_a_photo_that_is_gone_or_changed_is_only_named(run: Path) -> None:
    clean = run.parent / "clean"
    (clean / "clean-0.jpg").unlink()
    kitchen(99).save(clean / "clean-1.jpg")
    found = section(report(run), "suspicious")
    assert found.count("<img") == 3
    assert found.count("moved or changed") == 2
    assert "clean-0.jpg" in found


def test_only_files_that_the_run_recorded_are_shown(run: Path, tmp_path: Path) -> None:
    kitchen(77).save(tmp_path / "secret.jpg")
    named = [{"path": str(tmp_path / "secret.jpg"), "mean_opacity": 0.5}]
    write_json(run / SUSPICIOUS_FILE, named)
    assert "<img" not in section(report(run), "suspicious")
    inputs = read_json(run / "inputs.json")  # nor does naming it there help without its hash
    inputs["files"].append(
        {"path": named[0]["path"], "sha256": "0" * 64, "group": "", "domain": "clean"}
    )
    write_json(run / "inputs.json", inputs)
    assert "<img" not in section(report(run), "suspicious")
    pictures = Pictures()
    for path in ("\0", "n" * 5000, str(tmp_path), "/dev/zero"):
        assert pictures.recorded(FileRecord(path, "0" * 64, "")) is None


def test_text_of_bank_and_list_is_escaped(run: Path) -> None:
    write_json(run / SUSPICIOUS_FILE, [{"path": f"/photos/{HOSTILE}", "mean_opacity": 0.3}])
    with zipfile.ZipFile(run / BANK_FILE) as bank:
        entries = {name: bank.read(name) for name in bank.namelist()}
    index = json.loads(entries["index.json"])
    index["layers"][0]["group"] = HOSTILE
    result = read_json(run / "result.json")
    write_json(run / "result.json", {**result, "notes": [f"report.html#layers {HOSTILE}"]})
    with zipfile.ZipFile(run / BANK_FILE, "w") as bank:
        for name, data in {**entries, "index.json": json.dumps(index)}.items():
            bank.writestr(name, data)
    page = report(run)
    assert page.count("<script>alert") == 0
    assert page.count("&lt;script&gt;alert") >= 3


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: path.unlink(), "the bank of layers is no longer there"),
        (lambda path: path.write_bytes(path.read_bytes()[:500]), "is damaged"),
        (lambda path: path.write_text("no zip"), "is damaged"),
        (lambda path: rewrite(path, "[]"), "is damaged"),
        (lambda path: rewrite(path, "no JSON"), "is damaged"),
        (lambda path: rewrite(path, '{"layers": []}'), "holds no layers"),
    ],
)
def test_a_missing_or_damaged_bank_leaves_a_sentence(run: Path, damage, said: str) -> None:
    damage(run / BANK_FILE)
    lifted = section(report(run), "layers")
    assert said in lifted and str(run / BANK_FILE) in lifted
    assert "20 layers came from 30" in lifted
    assert "<img" not in lifted


def rewrite(path: Path, index: str) -> None:
    with zipfile.ZipFile(path, "w") as bank:
        bank.writestr("index.json", index)


def test_one_damaged_layer_costs_only_itself(run: Path) -> None:
    with zipfile.ZipFile(run / BANK_FILE) as bank:
        entries = {name: bank.read(name) for name in bank.namelist()}
    entries["layer0.webp"] = entries["layer0.webp"][:50]
    del entries["layer1.webp"]
    with zipfile.ZipFile(run / BANK_FILE, "w") as bank:
        for name, data in entries.items():
            bank.writestr(name, data)
    lifted = section(report(run), "layers")
    assert lifted.count('class="badge"') == 16
    assert "2 layers could not be shown" in words(lifted)


def test_before_the_end_nothing_is_lifted_yet(run: Path) -> None:
    (run / BANK_FILE).unlink()
    (run / SUSPICIOUS_FILE).unlink()
    write_json(run / "result.json", {"steps": 20, "stopped": "interrupted", "lifting": None})
    page = report(run)
    assert "Smoke is lifted when the training has come to its end." in section(page, "layers")
    assert 'id="suspicious"' not in page


def test_a_lost_list_is_said_where_photos_were_found(run: Path) -> None:
    (run / SUSPICIOUS_FILE).write_text("{")
    assert "suspicious.json</code>, is missing or cannot be read" in section(
        report(run), "suspicious"
    )


def test_no_smoke_in_clean_photos_is_said_and_has_no_section(tmp_path: Path) -> None:
    page = report(make_layered(tmp_path, suspects=0))
    assert 'id="suspicious"' not in page
    assert "In none of 40 clean photos did R see smoke." in words(section(page, "layers"))


def test_smoke_in_most_clean_photos_is_first_of_all_a_matter_of_steps(tmp_path: Path) -> None:
    few, most = (
        words(section(report(make_layered(tmp_path / str(n), 1, suspects=n)), "suspicious"))
        for n in (20, 21)  # of 40
    )
    assert "R has learned too little" in most and "R has learned too little" not in few


def test_other_models_have_no_layers(tmp_path: Path) -> None:
    page = report(make_train(tmp_path / "gan"))
    assert 'id="layers"' not in page and 'id="suspicious"' not in page


@given(st.integers(0, 60), st.integers(1, 8))
def test_walls_hold_no_layer_twice_and_keep_the_order(count: int, each: int) -> None:
    walls = pick_walls(range(count), each)
    flat = [number for wall in walls for number in wall]
    assert flat == sorted(set(flat))
    assert len(flat) == min(count, 3 * each)
    if count:
        assert flat[0] == 0 and flat[-1] == count - 1
    if len(walls) == 3:  # the middle one is in the middle
        assert abs((flat[each] - 0) - (count - 1 - flat[2 * each - 1])) <= 1


def test_a_layer_hides_the_checker_as_its_opacity_says() -> None:
    layer = Image.new("RGBA", (96, 64), (250, 20, 20, 0))
    layer.paste((250, 20, 20, 255), (48, 0, 96, 64))
    address = Pictures().over_checker(layer, "layer", side=96)
    assert address is not None
    with Image.open(io.BytesIO(base64.b64decode(address.split(",", 1)[1]))) as image:
        shown = np.asarray(image.convert("RGB")).astype(int)
    assert (abs(shown[:, 60:] - (250, 20, 20)) < 12).all()
    for (left, top), grey in {(0, 0): 140, (12, 0): 116, (0, 12): 116, (12, 12): 140}.items():
        assert (abs(shown[top + 3 : top + 9, left + 3 : left + 9] - grey) < 6).all()


def test_notes_say_what_was_found_and_where_to_look() -> None:
    usual = Lifting(60, 100, 20, 0, 2, 13, 5, 3, 400)
    assert usual.notes() == []
    (few,) = dataclasses.replace(usual, layers=3, without_smoke=77).notes()
    assert "lifted off only 3 of 100 smoky photos (77 without smoke, 2 not seen alike" in few
    assert "13 not found again" in few
    assert "report.html#layers" in few and "--steps" in few
    (smoke,) = dataclasses.replace(usual, suspicious_clean=31).notes()
    assert smoke.startswith(
        "R finds smoke in 31 of 400 clean photos: look at report.html#suspicious"
    )
    assert dataclasses.replace(usual, suspicious_clean=8).notes()  # from 2 % on
    assert "--steps" not in smoke
    (untaught,) = dataclasses.replace(usual, suspicious_clean=100).notes()
    assert untaught.endswith("move them to the smoky folder, if not, train with more --steps")
    assert not dataclasses.replace(usual, suspicious_clean=0, clean_looked_at=0).notes()
