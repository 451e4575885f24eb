"""Names that are no UTF-8, end lines or speak to terminals, through every command and back."""

import csv
import os
from pathlib import Path

import pytest

from labelled import draw
from wisp import cli
from wisp.progress import one_line
from wisp.report.evaluation import load_evaluation
from wisp.report.read import RunFiles
from wisp.rundir import RunDir, readable

PLACES = [
    os.fsdecode(name)
    for name in (b"k\xfcche", b"\xff\xfe", b"two\nlines", b"esc\x1b[31m", b"50%#<b>&amp;", b"-dash")
]
TINY = ["--backbone", "test_resnet", "--weights", "random", "--size", "32", "--steps", "4"]
GAN = [
    "--steps", "2", "--size", "32", "--images-per-step", "2", "--validation-photos", "2",
    "--workers", "0",
]  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp("odd") / os.fsdecode(b"w\xfcrld\n1")
    for part, first in (("set", 0), ("real", 100)):
        for label in ("clean", "smoky"):
            (root / part / label).mkdir(parents=True)
            for seed, place in enumerate(PLACES, start=first):
                for shot in range(2):
                    picture = draw(4 * seed + 2 * shot + (label == "smoky"), label == "smoky")
                    picture.save(root / part / label / f"{place}__{shot}.png")
    return root


def wisp(*words):
    assert cli.main([*map(str, words)]) == 0


@pytest.fixture(scope="module")
def chain(world):
    domains = world / "set/clean", world / "set/smoky"
    wisp("train", *domains, *GAN, "--out", world / "gan")
    wisp("synth", domains[0], "--model", world / "gan", "--no-probe", "--out", world / "data")
    wisp("classify", world / "data", world / "set", *TINY, "--out", world / "detector")
    wisp("evaluate", world / "detector", world / "real", "--out", world / "eval")
    models = "--models", "procedural,real", "--seeds", "1"
    wisp("compare", *domains, world / "real", *models, *TINY, "--out", world / "compared")
    return world


@pytest.mark.parametrize("run", ["gan", "data", "detector", "eval", "compared"])
def test_every_command_takes_and_keeps_them(chain, run):
    assert (chain / run / "report.html").is_file()
    for file in chain.glob(f"{run}/**/*.json*"):
        file.read_bytes().decode()  # or it is no JSON
    files = RunDir(chain / run).inputs["files"]
    # What a data set was made of is told by its metadata, which every tool must read.
    paths = [Path(file["path"]) for file in files if file.get("role") != "source"]
    assert paths
    assert [path for path in paths if not path.is_file()] == []


def test_the_report_finds_the_scores_of_every_place(chain):
    groups = load_evaluation(RunFiles(chain / "eval")).groups
    assert {readable(row.group) for row in groups} == set(map(readable, PLACES))
    assert all(len(row.scores.positive) == len(row.scores.negative) == 2 for row in groups)


def test_predict_writes_one_row_and_one_line_a_picture(chain, tmp_path, capsys):
    wisp("predict", chain / "detector", chain / "real", "--out", tmp_path / "scores.csv")
    lines = capsys.readouterr().out.splitlines()
    with (tmp_path / "scores.csv").open(newline="", encoding="utf-8") as stream:
        rows = [row["file"] for row in csv.DictReader(stream)]
    pictures = sorted(str(path) for path in chain.glob("real/*/*"))
    assert sorted(rows) == sorted(map(readable, pictures))
    assert sorted(line.split("  ", 2)[2] for line in lines) == sorted(map(one_line, pictures))
    assert not any("\x1b" in line for line in lines)


def test_a_message_is_one_line_whatever_it_names(world, capsys):
    assert cli.main(["predict", str(world / "real"), str(world / "real")]) == 2
    assert cli.main(["synth", str(world / "gone"), "--out", str(world / "x")]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert r"w\xfcrld\n1/real" in first and r"w\xfcrld\n1/gone" in second
