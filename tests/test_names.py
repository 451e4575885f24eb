"""Whatever photos and their folders are called, data sets open in every tool, also when copied."""

import json
import os
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torchvision.datasets import ImageFolder

from synthesis import make, opened_by_hugging_face, rows_of, save_photo, seen_by_yolo
from wisp.jobs.synth.names import file_stems
from wisp.rundir import RunDir, readable

NAMES = (
    "plain__1.jpg",
    "two\nlines.jpg",
    "carriage\rreturn.jpg",
    "next\x85line\u2028separator.jpg",
    os.fsdecode(b"k\xfcche.jpg"),
    os.fsdecode(b"k\xfdche.jpg"),
    "images/train/images/a.jpg",
    "labels/a.jpg",
    "a./b /c.jpg",
    "back\\slash and: colon?.jpg",
    "con.jpg",
    "\N{FIRE} \N{LATIN SMALL LETTER E WITH ACUTE}.jpg",
    "e\N{COMBINING ACUTE ACCENT}.jpg",
    "\N{LATIN SMALL LETTER E WITH ACUTE}.jpg",
    f"{'x' * 251}.jpg",
    f"{'x' * 250}y.jpg",
    "trailing .jpg",
    f"{'x' * 199} yy/cut.jpg",
    f"{'x' * 199}.yy/cut.jpg",
    "-dash.jpg",
    "%41 &amp; <b>.jpg",
    "$HOME [1] {2} #3.jpg",
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("odd")
    for number, name in enumerate(NAMES):
        save_photo(folder / "photos" / name, number, (48, 40))
    return make(folder / "photos", folder / "set", validation=0.3).run


def pictures(out):
    return sorted(row["file_name"] for row in rows_of(out))


def seen_by_all(out, folder):
    """The names of the pictures that each tool sees, the number of Hugging Face's."""
    yolo = [
        (picture.relative_to(out).as_posix(), label)
        for split, pairs in seen_by_yolo(out).items()
        for picture, label in pairs
    ]
    smoky = {name for name, label in yolo if label.exists()}
    assert smoky == {row["file_name"] for row in rows_of(out) if row["label"] == "smoky"}
    folders = [
        os.path.relpath(path, out)
        for split in ("train", "validation")
        for path, _ in ImageFolder(str(out / split)).samples
    ]
    coco = [
        picture["file_name"]
        for split in ("train", "validation")
        for picture in json.loads((out / f"annotations/coco_{split}.json").read_text())["images"]
    ]
    rows = opened_by_hugging_face(out, folder, "label", "source_sha256")
    count = sum(len(own) for own in rows.values())
    return [sorted(name for name, _ in yolo), sorted(folders), sorted(coco)], count


def test_every_tool_sees_every_picture_once(made, tmp_path):
    assert len(pictures(made)) == 2 * len(NAMES) == len(set(pictures(made)))
    seen, count = seen_by_all(made, tmp_path)
    assert all(names == pictures(made) for names in seen)
    assert count == len(pictures(made))


@pytest.mark.parametrize("way", ["zip", "cp", "no links"])
def test_a_data_set_survives_being_copied(made, tmp_path, way):
    if way == "zip":
        shutil.unpack_archive(
            shutil.make_archive(str(tmp_path / "set"), "zip", made), tmp_path / "c"
        )
    elif way == "cp":
        subprocess.run(["cp", "-rL", str(made), str(tmp_path / "c")], check=True)
    else:
        shutil.copytree(made, tmp_path / "c", symlinks=True)
        assert not any(path.is_symlink() for path in (tmp_path / "c").rglob("*"))
    seen, count = seen_by_all(tmp_path / "c", tmp_path)
    assert all(names == pictures(made) for names in seen)
    assert count == len(pictures(made))


def test_original_names_are_kept_beside_the_safe_ones(made):
    paths = [row["path"] for row in RunDir(made).inputs["files"]]
    assert {os.path.relpath(path, made.parent / "photos") for path in paths} == set(NAMES)
    sources = {row["source"] for row in rows_of(made)}
    assert {readable(path) for path in paths} == sources


def test_a_data_set_below_a_folder_called_images_is_doubted(tmp_path, capsys):
    save_photo(tmp_path / "photos" / "a.jpg")
    out = make(tmp_path / "photos", tmp_path / "images" / "set").run
    assert "below a folder called images" in capsys.readouterr().err
    assert not any(label.exists() for pairs in seen_by_yolo(out).values() for _, label in pairs)
    moved = out.rename(tmp_path / "set")
    assert any(label.exists() for pairs in seen_by_yolo(moved).values() for _, label in pairs)


texts = st.text(st.characters(exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1)
parts = texts.map(lambda t: os.fsdecode(t.encode()[:255])).filter(lambda t: t not in (".", ".."))
bytes_ = st.binary(min_size=1, max_size=255).filter(
    lambda b: not {0, 47} & set(b) and b not in (b".", b"..")
)
named = st.lists(parts | bytes_.map(os.fsdecode), min_size=1, max_size=3).map("/".join)


@given(st.lists(named, min_size=1, max_size=8, unique=True), st.booleans())
def test_stems_are_distinct_and_safe_everywhere(names, has_validation):
    stems = file_stems(
        [(name, f"{number:064x}") for number, name in enumerate(names)],
        has_validation=has_validation,
    )
    assert len({stem.casefold() for stem in stems}) == len(names)
    for stem in stems:
        assert len(f"./{stem}-1.jpg".splitlines()) == 1
        assert "./" not in f"{stem}/"
        for part in stem.split("/"):
            assert 0 < len(part.encode()) <= 220
            assert part == part.strip()
            assert part not in (".", "..", "images")
            assert not set(part) & set('\\:*?"<>|')
