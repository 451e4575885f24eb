"""Bad photos, full disks, kills and other people's folders."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from synthesis import differences, killed_synth, make, rows_of, save_photo, tiny_run, write_photos
from wisp import engine
from wisp.errors import InputError, WispError
from wisp.images import decode
from wisp.rundir import RunDir, read_json


@pytest.fixture
def photos(tmp_path):
    return write_photos(tmp_path / "photos")


def test_a_resumed_set_keeps_the_precision_it_was_begun_in(photos, tmp_path, monkeypatch):
    gan, out = tiny_run(tmp_path / "gan"), tmp_path / "set"
    monkeypatch.setattr(engine, "cpu_multiplies_bfloat16", lambda: True)
    make(photos, out, model=str(gan), device="cpu", limit=2)
    assert read_json(out / "environment.json")["precision"] == "bf16"
    (out / "result.json").unlink()
    monkeypatch.setattr(engine, "cpu_multiplies_bfloat16", lambda: False)
    make(photos, out, model=str(gan), device="cpu", limit=2)
    assert read_json(out / "environment.json")["precision"] == "bf16"
    make(photos, tmp_path / "other", model=str(gan), device="cpu", limit=2)
    assert read_json(tmp_path / "other" / "environment.json")["precision"] == "32"


def test_bad_files_are_skipped_and_listed(photos, tmp_path, capsys):
    (photos / "empty.jpg").write_bytes(b"")
    (photos / "text.jpg").write_text("not a picture")
    good = (photos / "room0" / "place0__0.jpg").read_bytes()
    (photos / "cut.jpg").write_bytes(good[: len(good) // 2])
    result = make(photos, tmp_path / "set")
    assert result.photos == 12
    assert result.skipped == 3
    skipped = RunDir.open(result.run).inputs["skipped"]
    assert {Path(entry["path"]).name for entry in skipped} == {"empty.jpg", "text.jpg", "cut.jpg"}
    assert "3 files were skipped" in capsys.readouterr().err


def test_a_photo_that_goes_bad_on_the_way_is_skipped(photos, tmp_path, monkeypatch):
    from wisp.images import UnreadableImageError
    from wisp.jobs.synth import render

    def flaky(path, *arguments):
        if path.name == "place3__0.jpg":
            raise UnreadableImageError(path, "went away")
        return decode(path, *arguments)

    monkeypatch.setattr(render, "decode", flaky)
    result = make(photos, tmp_path / "set")
    assert (result.photos, result.skipped) == (11, 1)
    assert not any("place3__0" in row["file_name"] for row in rows_of(result.run))


def test_nothing_left_is_an_error_and_leaves_nothing(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "text.jpg").write_text("not a picture")
    with pytest.raises(InputError, match=r"text\.jpg"):
        make(folder, tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_other_peoples_folders_are_left_alone(photos, tmp_path):
    out = tmp_path / "set"
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        make(photos, out)
    assert [path.name for path in out.iterdir()] == ["thesis.txt"]
    finished = make(photos, tmp_path / "done").run
    with pytest.raises(InputError, match="finished"):
        make(photos, finished)


def test_a_set_inside_its_own_source_does_not_eat_itself(photos):
    assert make(photos, photos / "set").photos == 12


def test_a_full_disk_is_said_and_the_rest_can_follow(photos, tmp_path, monkeypatch):
    import errno

    from wisp.jobs.synth import render
    from wisp.rundir import write_bytes

    written = []

    def full(path, data):
        written.append(path)
        if len(written) > 9:
            raise WispError(f"{path}: the disk is full") from OSError(errno.ENOSPC, "full")
        write_bytes(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(render, "write_bytes", full)
        with pytest.raises(WispError, match="full"):
            make(photos, tmp_path / "set")
    assert not (tmp_path / "set" / "result.json").exists()
    make(photos, tmp_path / "set")
    make(photos, tmp_path / "whole")
    assert differences(tmp_path / "set", tmp_path / "whole") == []


_JOB = """
import sys, threading
from pathlib import Path
from wisp.config import SynthConfig
from wisp.jobs import synth
from wisp.jobs.synth import job
render_photo, begun = job.render_photo, []
def render(*photo):
    begun.append(photo)
    if len(begun) == 7:
        threading.Event().wait()  # to be killed
    return render_photo(*photo)
job.render_photo = render
synth.run(
    SynthConfig((sys.argv[1],), out=Path(sys.argv[2]), model="procedural", probe=False, workers=1,
                per_photo=3)
)
"""


def test_a_killed_run_goes_on_and_ends_the_same(photos, tmp_path):
    out = tmp_path / "set"
    process = subprocess.Popen([sys.executable, "-c", _JOB, str(photos), str(out)])
    journal = out / ".journal.jsonl"
    while not (journal.exists() and len(journal.read_text().splitlines()) >= 4):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (out / "result.json").exists()
    finished = {path: path.stat().st_mtime_ns for path in out.rglob("train/*/*/*.jpg")}
    with journal.open("a") as stream:
        stream.write('{"name": "half a li')  # as a killed append leaves it
    (out / "train" / ".tmp-left").write_bytes(b"x")
    with pytest.raises(InputError, match="--seed 0, not 5"):
        make(photos, out, per_photo=3, seed=5)
    done = len(journal.read_text().splitlines()) - 2
    result = make(photos, out, per_photo=3, workers=2)
    assert result.smoky == 36
    kept = [path for path, at in finished.items() if path.stat().st_mtime_ns == at]
    assert len(kept) >= min(4 * done, len(finished)) - 8
    make(photos, tmp_path / "whole", per_photo=3)
    assert differences(out, tmp_path / "whole") == []
    assert not list(out.rglob(".*"))


def test_photos_that_changed_since_the_kill_are_noticed(tmp_path):
    save_photo(tmp_path / "photos" / "a.png", 1)
    save_photo(tmp_path / "photos" / "b.png", 2)
    killed_synth(tmp_path / "photos", tmp_path / "set")
    save_photo(tmp_path / "photos" / "b.png", 3)
    with pytest.raises(InputError, match=r"b is no longer among the photos, or has changed"):
        make(tmp_path / "photos", tmp_path / "set")


def test_a_damaged_journal_is_noticed(tmp_path):
    save_photo(tmp_path / "photos" / "a.png", 1)
    save_photo(tmp_path / "photos" / "b.png", 2)
    journal = killed_synth(tmp_path / "photos", tmp_path / "set") / ".journal.jsonl"
    journal.write_text(journal.read_text().replace('"coverage": 0.', '"coverage": 9.'))
    with pytest.raises(
        InputError, match=r"journal.jsonl: is damaged, or of an earlier wisp; remove .*set$"
    ):
        make(tmp_path / "photos", tmp_path / "set")


def test_a_generator_that_paints_one_colour_is_said_to(photos, tmp_path):
    grey = tiny_run(tmp_path / "grey", way_back=False)
    weights = grey / "checkpoints" / "step-0000001" / "model.safetensors"
    state = {name: torch.zeros_like(value) for name, value in load_file(weights).items()}
    save_file(state, weights, metadata={"format": "pt"})
    result = make(photos, tmp_path / "set", model=str(grey), limit=2)
    assert result.flat == 2
    assert "one colour: 2 of 2" in result.summary()
    assert make(photos, tmp_path / "other", limit=2).flat == 0


def test_a_panorama_costs_only_itself(tmp_path):
    """182 megapixels: more than Pillow opens, so no tool would open its picture in the data set."""
    save_photo(tmp_path / "photos" / "a.png")
    Image.new("L", (19_000, 9_600)).save(tmp_path / "photos" / "pano.jpg", quality=10)
    result = make(tmp_path / "photos", tmp_path / "set")
    assert (result.photos, result.skipped) == (1, 1)
    (skipped,) = RunDir(result.run).inputs["skipped"]
    assert "19000×9600 px, more than the 178 megapixels" in skipped["reason"]
