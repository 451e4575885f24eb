"""Folders of labelled pictures, in the layouts that people have them in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from synthesis import save_photo as save
from wisp.data import LabelledSet
from wisp.errors import InputError
from wisp.jobs.compare import inputs


@pytest.fixture
def dataset(tmp_path) -> Path:
    """Two splits, a loose gallery, one bad file, metadata for some."""
    root = tmp_path / "dataset"
    rows = []
    for number in range(6):
        split = "validation" if number >= 4 else "train"
        for label, suffix in (("clean", ""), ("smoky", "-1")):
            name = f"{split}/{label}/k{number % 2}/{number}{suffix}.jpg"
            save(root / name, number if label == "clean" else 100 + number)
            if number < 5:
                source = {"source": f"in/{number}.jpg", "source_sha256": f"sha-{number}"}
                rows.append({"file_name": name, "group": f"g{number // 2}", "box": None, **source})
    (root / "train" / "smoky" / "bad.jpg").write_text("no picture")
    for extra in ("gallery", "masks/train", "annotations", ".cache"):
        save(root / extra / "000.png", 200)
    (root / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return root


def test_a_data_set_with_splits_and_metadata(dataset):
    labelled = LabelledSet.open(dataset)
    assert labelled.classes == ["clean", "smoky"]
    assert labelled.has_splits
    assert (len(labelled.part("train")), len(labelled.part("validation"))) == (8, 4)
    assert [skipped.path.name for skipped in labelled.skipped] == ["bad.jpg"]
    by_name = {item.name: item for item in labelled.items}
    smoky = by_name["train/smoky/k1/3-1.jpg"]
    assert (smoky.label, smoky.split, smoky.group) == ("smoky", "train", "g1")
    assert (smoky.source, smoky.source_sha256) == ("in/3.jpg", "sha-3")
    assert by_name["validation/clean/k1/5.jpg"].source_sha256 is None
    assert by_name["validation/clean/k1/5.jpg"].group == "validation/clean/k1/5"
    assert len(labelled.items) == 12
    assert all(len(item.sha256) == 64 and item.phash for item in labelled.items)
    sources = labelled.source_records()
    assert sorted(record.sha256 for record in sources) == [f"sha-{number}" for number in range(5)]


def test_metadata_in_the_split_folders_works_too(dataset):
    rows = [json.loads(line) for line in (dataset / "metadata.jsonl").read_text().splitlines()]
    (dataset / "metadata.jsonl").unlink()
    for split in ("train", "validation"):
        inner = [
            {**row, "file_name": row["file_name"].removeprefix(f"{split}/")}
            for row in rows
            if row["file_name"].startswith(split)
        ]
        (dataset / split / "metadata.jsonl").write_text("\n".join(map(json.dumps, inner)))
    by_name = {item.name: item for item in LabelledSet.open(dataset).items}
    assert by_name["train/smoky/k1/3-1.jpg"].group == "g1"


def test_class_folders_only_any_names(tmp_path):
    for number, label in enumerate(("fire", "neutral", "smoke")):
        for frame in range(2):
            save(tmp_path / label / f"cam{frame}__{number}.png", 10 * number + frame)
    save(tmp_path / "loose.png")
    save(tmp_path / "masks" / "loose.png")
    save(tmp_path / "gallery" / "loose.png")
    (tmp_path / "notes").mkdir()
    labelled = LabelledSet.open(tmp_path)
    assert labelled.classes == ["fire", "neutral", "smoke"]
    assert not labelled.has_splits
    assert {item.split for item in labelled.items} == {None}
    assert {item.group for item in labelled.items} == {"cam0", "cam1"}
    by_folder = LabelledSet.open(tmp_path, "folder")
    assert {item.group for item in by_folder.items} == {"fire", "neutral", "smoke"}


def test_training_folders_without_validation_have_no_split(tmp_path):
    save(tmp_path / "train" / "clean" / "a.png", 1)
    save(tmp_path / "train" / "smoky" / "b.png", 2)
    labelled = LabelledSet.open(tmp_path)
    assert (labelled.classes, labelled.has_splits) == (["clean", "smoky"], False)


def test_near_duplicates_in_two_classes_are_one_group(tmp_path):
    save(tmp_path / "clean" / "a.png", 1)
    save(tmp_path / "smoky" / "b.jpg", 1)
    save(tmp_path / "smoky" / "c.png", 2)
    groups = {item.path.name: item.group for item in LabelledSet.open(tmp_path).items}
    assert groups["a.png"] == groups["b.jpg"] != groups["c.png"]


@pytest.mark.parametrize(("doubles", "refused"), [(1, False), (2, True), (20, True)])
def test_pictures_of_two_classes_are_of_neither(tmp_path, doubles, refused):
    for label in ("clean", "smoky"):
        for number in range(20):
            other = 100 if label == "smoky" and number >= doubles else 0
            save(tmp_path / label / f"{number}.png", number + other)
    if not refused:
        assert len(LabelledSet.open(tmp_path).items) == 40
        return
    with pytest.raises(InputError, match=f"of 20 pictures in a class {doubles} lie in another"):
        LabelledSet.open(tmp_path)


def test_what_is_no_labelled_set_says_what_one_looks_like(tmp_path):
    with pytest.raises(InputError, match="one folder per class"):
        LabelledSet.open(tmp_path / "nowhere")
    save(tmp_path / "flat" / "a.png")
    with pytest.raises(InputError, match=r"pictures that lie in none: 1; .* one folder per class"):
        LabelledSet.open(tmp_path / "flat")
    (tmp_path / "bad" / "clean").mkdir(parents=True)
    (tmp_path / "bad" / "clean" / "a.jpg").touch()
    with pytest.raises(InputError, match=r"a\.jpg is empty"):
        LabelledSet.open(tmp_path / "bad")
    (tmp_path / "flat" / "clean").mkdir()
    save(tmp_path / "flat" / "clean" / "a.png")
    (tmp_path / "flat" / "metadata.jsonl").write_bytes(b'{"file_name": "\xff\xfe"}')
    with pytest.raises(InputError, match=r"metadata\.jsonl"):
        LabelledSet.open(tmp_path / "flat")


@pytest.mark.parametrize(
    "names", [("Train", "Val"), ("TRAIN", "valid"), ("training", "Validation"), ("train", "VALID")]
)
def test_the_users_own_split_is_kept_however_it_is_spelt(tmp_path, names, capsys):
    for number, part in enumerate([*names, "Test"]):
        for label in ("clean", "smoky"):
            save(tmp_path / part / label / "a.png", 10 * number + len(label) + ord(label[0]))
    row = {"file_name": "clean/a.png", "group": "own"}
    (tmp_path / names[1] / "metadata.jsonl").write_text(json.dumps(row))
    labelled = LabelledSet.open(tmp_path)
    assert {(item.name.split("/")[0], item.split) for item in labelled.items} == {
        (names[0], "train"),
        (names[1], "validation"),
    }
    assert [item.name for item in labelled.items if item.group == "own"] == [
        f"{names[1]}/clean/a.png"
    ]
    assert "left out, being neither training nor validation: Test/\n" in capsys.readouterr().err


def test_folders_that_are_no_classes_are_said(tmp_path, capsys, shut):
    for number, folder in enumerate(("clean", "smoky", "@eaDir", "#recycle", ".cache", shut)):
        save(tmp_path / folder / "a.png", number)
    assert LabelledSet.open(tmp_path).classes == ["clean", "smoky"]
    said = capsys.readouterr().err
    assert said.count("passed over") == 2 and ".cache" not in said
    assert "shut: cannot be listed" in said


def detection_set(root: Path, layout: str) -> None:
    """Two pictures in each part, one with boxes of the classes 0 and 1, one with none."""
    for number, (part, kinds) in enumerate(
        [("train", "0"), ("train", ""), ("val", "1"), ("val", ""), ("test", "0")]
    ):
        name = f"{part}-{number}"
        picture = root / layout.format(part=part, kind="images") / f"{name}.jpg"
        save(picture, number)
        label = root / layout.format(part=part, kind="labels") / f"{name}.txt"
        label.parent.mkdir(parents=True, exist_ok=True)
        if part != "val" or kinds:  # a picture without objects may have no file, or an empty one
            label.write_text("".join(f"{kind} 0.5 0.5 0.4 0.4\n" for kind in kinds))


@pytest.mark.parametrize("layout", ["{kind}/{part}", "{part}/{kind}", "{part}/{kind}/sub"])
def test_a_detection_set_is_read_by_its_boxes(tmp_path, layout, capsys):
    detection_set(tmp_path, layout)
    found = {item.path.stem: (item.label, item.split) for item in LabelledSet.open(tmp_path).items}
    assert found == {
        "train-0": ("smoky", "train"),
        "train-1": ("clean", "train"),
        "val-2": ("smoky", "validation"),
        "val-3": ("clean", "validation"),
    }
    assert "left out, being neither training nor validation: 1 picture\n" in capsys.readouterr().err


def test_a_detection_set_may_be_a_test_set_of_a_comparison(tmp_path):
    detection_set(tmp_path / "boxes", "{part}/{kind}")
    save(tmp_path / "sets" / "indoor" / "smoky" / "a.png", 1)
    roots = inputs.test_roots([tmp_path / "boxes", tmp_path / "sets"])
    assert roots == (tmp_path / "boxes", tmp_path / "sets" / "indoor")


def test_only_boxes_of_smoke_count_where_classes_have_names(tmp_path, capsys):
    detection_set(tmp_path, "{kind}/{part}")
    for name, said in {
        "labels/classes.txt": "non-smoke\nsmoke\n",
        "classes.txt": "fire\nSMOKE\n",
        "own.yml": "names: [no smoke, fire_smoke]",
        "data.yaml": "names:\n  0: fire\n  1: white smoke",
    }.items():
        (tmp_path / name).write_text(said)
        smoky = [item for item in LabelledSet.open(tmp_path).items if item.label == "smoky"]
        assert [item.path.stem for item in smoky] == ["val-2"]
    (tmp_path / "data.yaml").write_text("names: [fire, person]")
    with pytest.raises(InputError, match="fire, person, none of them smoke"):
        LabelledSet.open(tmp_path)
    (tmp_path / "data.yaml").write_text("names: [plume]")
    assert sum(item.label == "smoky" for item in LabelledSet.open(tmp_path).items) == 2
    assert (
        "data.yaml: boxes of its one class, plume, are taken for smoke" in capsys.readouterr().err
    )
    (tmp_path / "data.yaml").write_text("made: 2024-13-45")
    with pytest.raises(InputError, match="YAML"):
        LabelledSet.open(tmp_path)
    (tmp_path / "data.yaml").write_text("names: [fire")
    with pytest.raises(InputError, match="YAML"):
        LabelledSet.open(tmp_path)
