"""`wisp demo` as a newcomer runs it: a real process, the whole loop, nothing canned."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from wisp import cli
from wisp.demonstration.first import PHOTOS, first_pictures
from wisp.errors import StoppedError
from wisp.jobs import classify, synth, train
from wisp.rundir import read_json, read_jsonl


@pytest.mark.slow
def test_the_demo_runs_the_whole_loop_and_its_report_shows_what_was_measured(tmp_path):
    out = tmp_path / "demo"
    shown = subprocess.run(
        [sys.executable, "-m", "wisp.cli", "demo", "--out", str(out), "--json"],
        capture_output=True, text=True, check=False,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    assert shown.returncode == 0, shown.stderr[-2000:]
    result = json.loads(shown.stdout.strip().splitlines()[-1])
    assert 0 < result["train_seconds"] < result["seconds"]
    assert read_json(out / "gan" / "result.json")["steps"] == 150
    found = [row["lifted"] for row in read_jsonl(out / "gan" / "metrics.jsonl") if "lifted" in row]
    assert sum(found[-2:]) < sum(found[:2])
    measured = read_json(out / "eval" / "metrics.json")
    assert measured["auroc"]["value"] > 0.9
    assert result["metrics"]["auroc"] == measured["auroc"]
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "This world is rendered" in page
    assert f"{measured['auroc']['value']:.2f}" in page
    # No picture of the test world was trained on.
    seen = {row["sha256"] for row in read_json(out / "detector" / "inputs.json")["files"]}
    tested = {row["sha256"] for row in read_json(out / "eval" / "inputs.json")["files"]}
    assert not seen & tested
    assert len(tested) == measured["images"]


@pytest.mark.parametrize("stopped_in", ["train", "synth", "classify"])
def test_ctrl_c_ends_the_demo(tmp_path, monkeypatch, capsys, stopped_in):
    """Half a detector is not measured, the demo is not called finished, and no one is sent to
    parts that the next demo throws away."""

    def stops(_):
        if stopped_in == "train":
            raise StoppedError("go on with: wisp train --resume gan")
        raise KeyboardInterrupt

    made = SimpleNamespace(run=tmp_path / "made", stopped="interrupted")
    monkeypatch.setattr("wisp.demonstration.world.build_world", lambda *_, **__: None)
    monkeypatch.setattr("wisp.demonstration.first.first_pictures", lambda *_: None)
    monkeypatch.setattr("wisp.report.write_report", lambda run: run)
    for job in (train, synth, classify):
        monkeypatch.setattr(job, "run", lambda _: made)
    if stopped_in != "classify":
        monkeypatch.setattr({"train": train, "synth": synth}[stopped_in], "run", stops)
    assert cli.main(["demo", "--out", str(tmp_path / "demo")]) == 130
    said = capsys.readouterr().err
    assert "wisp: stopped; the same command begins the demo anew" in said
    assert "--resume" not in said
    assert not (tmp_path / "demo" / "result.json").exists()


def test_the_first_pictures_show_smoke_and_tell_both_from_each_other(tmp_path, capsys):
    sheet = first_pictures(tmp_path / "first", 0, "cpu")
    said = capsys.readouterr().err
    names = [photo.stem for photo in PHOTOS.glob("*.jpg")]
    assert len(names) == 3
    for name in names:
        clean, smoky = (
            np.asarray(Image.open(tmp_path / "first" / f"{name}{part}.jpg"), np.int16)
            for part in ("", "-smoky")
        )
        assert np.abs(smoky - clean).mean() > 5
        assert re.search(rf"{name}.jpg +0\.\d\d  clean", said)
        assert re.search(rf"{name}-smoky.jpg +0\.\d\d  smoky", said)
    assert Image.open(sheet).size == (3 * 406 - 6, 2 * 273 - 6)


def test_the_first_pictures_are_judged_on_the_device_that_was_named(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "wisp.jobs.predict.run",
        lambda config: asked.append(config.device) or SimpleNamespace(rows=[]),
    )
    first_pictures(tmp_path / "first", 0, "mps")
    assert asked == ["mps"]
