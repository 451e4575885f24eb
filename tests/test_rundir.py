"""Run directories: atomic, self-describing, strict about what they are given."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from wisp import rundir
from wisp.errors import InputError, WispError


def test_a_failed_write_leaves_the_old_file(tmp_path):
    target = tmp_path / "value.json"
    rundir.write_json(target, {"a": 1})
    with pytest.raises(ValueError, match="JSON compliant"):
        rundir.write_json(target, {"a": float("nan")})

    def interrupted():
        with rundir.atomic_file(target) as stream:
            stream.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert json.loads(target.read_text()) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["value.json"]


def test_full_disk_is_one_clear_sentence(tmp_path, monkeypatch):
    target = tmp_path / "value.json"
    rundir.write_json(target, 1)

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WispError, match="the disk is full"):
        rundir.write_json(target, 2)
    assert json.loads(target.read_text()) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["value.json"]


def test_a_killed_writer_leaves_whole_files_only(tmp_path):
    """A process that rewrites one file for ever is killed; what it leaves parses."""
    code = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from wisp.rundir import write_json
        n = 0
        while True:
            write_json(Path(sys.argv[1]), {"n": n, "filler": "x" * 100_000})
            n += 1
        """
    )
    target = tmp_path / "value.json"
    for delay_s in (0.01, 0.033, 0.05):
        process = subprocess.Popen([sys.executable, "-c", code, str(target)])
        while not target.exists():
            time.sleep(0.005)
        time.sleep(delay_s)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert len(json.loads(target.read_text())["filler"]) == 100_000


def test_create_open_and_kind(tmp_path):
    run = rundir.RunDir.create(tmp_path / "run", "train", {"steps": 3})
    assert rundir.RunDir.open(run.path, "train").config == {"steps": 3}
    with pytest.raises(InputError, match="'train' run, but a 'classify' run"):
        rundir.RunDir.open(run.path, "classify")
    with pytest.raises(InputError, match="not empty"):
        rundir.RunDir.create(run.path, "train", {})
    with pytest.raises(InputError, match="no such run"):
        rundir.RunDir.open(tmp_path / "absent")
    with pytest.raises(InputError, match=r"holds no config\.json"):
        rundir.RunDir.open(tmp_path)
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(InputError, match="is a file"):
        rundir.RunDir.create(file, "train", {})


def test_only_an_unfinished_run_of_the_same_kind_is_replaced(tmp_path):
    def stopped(kind, *, finished=False):
        path = tmp_path / f"{kind}-{finished}"
        run = rundir.RunDir.create(path, kind, {})
        if finished:
            rundir.write_json(run.path / "result.json", {})
        return path

    unfinished = stopped("classify")
    rundir.RunDir.require_free(unfinished, replaces="classify")
    assert not unfinished.exists()
    for path in (stopped("classify", finished=True), stopped("train")):
        with pytest.raises(InputError, match="not empty"):
            rundir.RunDir.require_free(path, replaces="classify")
        assert (path / "config.json").exists()


def test_a_folder_of_another_program_is_not_gone_on_with(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(InputError, match="is not empty"):
        rundir.RunDir.unfinished(tmp_path, "synth", {}, {})


def test_parents_survive_moving_the_whole_folder(tmp_path):
    parent = rundir.RunDir.create(tmp_path / "all" / "dataset", "synth", {})
    child = rundir.RunDir.create(tmp_path / "all" / "detector", "classify", {})
    child.write_inputs([], parents={"dataset": parent.path})
    (tmp_path / "all").rename(tmp_path / "moved")
    found = rundir.RunDir.open(tmp_path / "moved" / "detector").parent("dataset")
    assert found is not None
    assert found.kind == "synth"
    assert found.path == (tmp_path / "moved" / "dataset").resolve()


def test_an_unfinished_last_line_is_dropped(tmp_path):
    run = rundir.RunDir.create(tmp_path / "run", "train", {})
    run.log({"step": 1})
    run.log({"step": 2})
    with run.metrics_file.open("a") as stream:
        stream.write('{"step": 3, "lo')
    assert rundir.read_jsonl(run.metrics_file) == [{"step": 1}, {"step": 2}]


def test_environment_names_versions_and_what_the_caller_adds(tmp_path):
    run = rundir.RunDir.create(tmp_path / "run", "train", {})
    run.write_environment(device="cpu", precision="bf16", why="because")
    saved = rundir.read_json(run.path / "environment.json")
    assert saved["packages"]["torch"]
    assert saved["why"] == "because"
