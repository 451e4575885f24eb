"""The command line as a user meets it: real processes, exit codes, streams."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from wisp import cli, resources


def wisp(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "wisp.cli", *map(str, arguments)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_help_lists_every_command():
    shown = wisp("--help")
    assert shown.returncode == 0
    assert all(name in shown.stdout for name in cli.COMMANDS)


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"]])
def test_help_is_shown_where_there_is_no_utf_8(arguments):
    shown = subprocess.run(
        [sys.executable, "-m", "wisp.cli", *arguments],
        capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
    )  # fmt: skip
    assert "wisp" in shown.stdout and "?" in shown.stdout


def test_streams_may_be_closed():
    """As services start programs; the number of a closed stream is the next file's."""
    code = "from wisp import cli; cli._open_streams(); assert open(cli.__file__).fileno() > 2"
    for arguments, wanted in ((["-c", code], 0), (["-m", "wisp.cli", "no-command"], 2)):
        closed = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, *arguments]
        assert subprocess.run(closed, check=False).returncode == wanted


def test_json_holds_any_path_in_any_encoding():
    path = Path(os.fsdecode(b"k\xfcche \xc3\xa9.jpg"))
    told = cli._told([path], as_json=True)
    assert told.isascii()
    assert json.loads(told) == [str(path)]


def test_help_is_quick_because_it_loads_nothing_heavy():
    code = (
        "import sys; from wisp.cli import main; main(['--help']);"
        "print(sorted({'torch','numpy','PIL','tyro','rich','pydantic'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip().splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", sorted(cli.COMMANDS))
def test_each_command_has_help(name):
    shown = wisp(name, "--help")
    assert shown.returncode == 0
    assert f"usage: wisp {name}" in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "usage: wisp COMMAND"),
        (("trane",), "did you mean 'train'?"),
        (("train", "clean", "smoky"), "--out"),
        (("synth", "no-such-folder", "--out", "d"), "no-such-folder"),
        (("evaluate", "no-such-run", "real", "--out", "e"), "no-such-run"),
        (("classify", "no-such-set", "--out", "e"), "no-such-set"),
        (("train", "c", "s", "--out", "r", "--size", "31"), "--size 31"),
        (("synth", "x", "--out", "d", "--bogus", "1"), "--bogus"),
    ],
)
def test_wrong_use_exits_2_with_one_message(arguments, said, tmp_path):
    shown = subprocess.run(
        [sys.executable, "-m", "wisp.cli", *arguments],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert shown.returncode == 2
    assert said in shown.stdout + shown.stderr
    assert "Traceback" not in shown.stderr


def test_json_is_the_last_line_of_stdout(tmp_path):
    from PIL import Image

    photos = tmp_path / "photos"
    photos.mkdir()
    for i in range(4):
        Image.effect_noise((64, 48), 40 + i).convert("RGB").save(photos / f"room{i}__{i}.jpg")
    shown = wisp("synth", photos, "--out", tmp_path / "d", "--no-probe", "--json")
    assert shown.returncode == 0, shown.stderr
    assert len(shown.stdout.strip().splitlines()) == 1
    result = json.loads(shown.stdout)
    assert result["run"] == str(tmp_path / "d")


def test_what_libraries_say_of_damaged_pictures_is_not_shown(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    for number, compression in enumerate(("tiff_deflate", "tiff_lzw")):
        file = tmp_path / f"{number}.tif"
        Image.fromarray(noise).save(file, compression=compression)
        data = bytearray(file.read_bytes())
        data[3000:3400] = bytes(400)
        file.write_bytes(data)
    shown = wisp("predict", "smoke-detector", tmp_path)
    assert shown.returncode == 2
    lines = shown.stderr.splitlines()
    assert all(line.startswith(("wisp: ", "asking the detector")) for line in lines)
    assert "0.tif: cannot be decoded" in lines[-1]


def test_without_json_stdout_is_the_summary(monkeypatch, capsys, tmp_path):
    from wisp import api
    from wisp.jobs.synth import SynthResult

    result = SynthResult(tmp_path / "d", 4, 4, 4, 6, 2, 4, 1, True, "pixels", 0.5, 61.0)
    monkeypatch.setattr(api, "synth", lambda **_: result)
    assert cli.main(["synth", "photos", "--out", str(tmp_path / "d")]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"4 clean and 4 smoky pictures of 4 photos (4 groups) in 1:01: {tmp_path / 'd'}",
        "files skipped: 1 (inputs.json lists them)",
        "fingerprint probe: AUROC 0.50 (chance: 0.50)",
    ]


@pytest.mark.parametrize("kind", ["train", "synth", "classify"])
@pytest.mark.parametrize("name", ["runs/a b", "layered", "-x", "-x/y"])
def test_what_comes_next_can_be_typed(kind, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path(name).mkdir(parents=True)
    Path(name, "config.json").write_text(json.dumps({"kind": kind}))
    rows = "".join(f'{{"split": "{split}"}}\n' for split in ("train", "validation"))
    Path(name, "metadata.jsonl").write_text(rows)
    Path(name, "report.html").touch()
    for taken in ("dataset", "runs/detector", "runs/detector-2", "runs/eval"):
        Path(taken).mkdir(parents=True)
    told = cli._told(SimpleNamespace(summary=str, run=Path(name)), as_json=False)
    _, command, *arguments = shlex.split(told.splitlines()[-1].removeprefix("next: "))
    config = dataclasses.asdict(cli._parse(command, arguments))
    assert name in str(config) and not config["out"].exists()
    assert not {"layered", "-x", "-x/y"} & set(arguments)


def test_a_command_keeps_freed_memory(tmp_path, monkeypatch):
    kept = []
    monkeypatch.setattr(resources, "keep_freed_memory", lambda: kept.append(True))
    assert cli.main(["predict", "smoke-detector", str(tmp_path / "none")]) == 2
    assert kept == [True]


@pytest.mark.parametrize(
    ("told", "policy"),
    [({}, "passive"), ({"OMP_WAIT_POLICY": "active"}, "active"), ({"GOMP_SPINCOUNT": "5"}, None)],
)
def test_threads_that_wait_sleep_unless_told_otherwise(told, policy, tmp_path, monkeypatch):
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.setenv(name, "")  # so that it is put back
        monkeypatch.delenv(name)
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    assert cli.main(["predict", "smoke-detector", str(tmp_path / "none")]) == 2
    assert os.environ.get("OMP_WAIT_POLICY") == policy


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("synth", "stopped by Ctrl-C; repeat the command to go on"),
        ("classify", "stopped by Ctrl-C; the same command begins anew"),
        ("train", "stopped by Ctrl-C"),
    ],
)
def test_ctrl_c_says_what_the_same_command_does_next(command, said, monkeypatch, capsys):
    def stops(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_run", stops)
    monkeypatch.setattr(cli.signal, "signal", lambda *_: None)
    assert cli.main([command]) == 130
    assert capsys.readouterr().err == f"wisp: {said}\n"
