"""Data sets open in the programs that others train with."""

import io
import json

import numpy as np
import pytest
import yaml
from PIL import Image

from synthesis import (
    make,
    opened_by_hugging_face,
    rows_of,
    save_photo,
    seen_by_yolo,
    write_photos,
)
from wisp.config import SynthConfig
from wisp.images import find_images as find
from wisp.images import scan
from wisp.jobs.synth.plan import make_plan
from wisp.jobs.synth.render import encode_mask
from wisp.rundir import RunDir


@pytest.fixture
def photos(tmp_path):
    return write_photos(tmp_path / "photos")


def test_folders_that_sound_like_splits_are_renamed_only_where_they_must_be(tmp_path):
    for folder in ("test", "a/2-eval.x", "contest", "val", "tests"):
        save_photo(tmp_path / "photos" / folder / "a.png", sum(map(ord, folder)))
    scanned, _ = scan(find((str(tmp_path / "photos"),)))
    for validation, expected in ((0.4, "val/a"), (0.0, "vals/a")):
        config = SynthConfig((str(tmp_path),), out=tmp_path / "set", validation=validation)
        names = {photo.source: photo.name for photo in make_plan(config, scanned)}
        assert names["val/a.png"] == expected
        assert names["contest/a.png"] == "contest/a"
        assert names["a/2-eval.x/a.png"] == "a/2-evals.x/a"
        assert names["test/a.png"].startswith("tests/a~")  # there is a tests/a already
        assert names["tests/a.png"] != names["test/a.png"]


def test_boxes_for_coco_and_yolo(photos, tmp_path):
    out = make(photos, tmp_path / "set").run
    rows = {row["file_name"]: row for row in rows_of(out)}
    seen = 0
    for split in ("train", "validation"):
        coco = json.loads((out / "annotations" / f"coco_{split}.json").read_text())
        pictures = {picture["id"]: picture for picture in coco["images"]}
        assert {p["file_name"] for p in pictures.values()} == {
            name for name in rows if name.startswith(split)
        }
        for box in coco["annotations"]:
            picture = pictures[box["image_id"]]
            assert Image.open(out / picture["file_name"]).size == (
                picture["width"],
                picture["height"],
            )
            assert rows[picture["file_name"]]["box"] == box["bbox"]
            seen += 1
        for image, label in seen_by_yolo(out)["val" if split == "validation" else split]:
            row = rows[image.relative_to(out).as_posix()]
            if row["box"] is None:
                assert not label.exists()
                continue
            kind, x, y, width, height = map(float, label.read_text().split())
            across, down = Image.open(image).size
            left, top, *size = row["box"]
            assert kind == 0
            assert (x - width / 2) * across == pytest.approx(left, abs=0.01)
            assert (y - height / 2) * down == pytest.approx(top, abs=0.01)
            assert [width * across, height * down] == pytest.approx(size, abs=0.01)
    assert seen == 12
    settings = yaml.safe_load((out / "annotations" / "yolo" / "data.yaml").read_text())
    assert settings["names"] == {0: "smoke"}


def test_a_single_photo_has_no_validation_part_and_data_yaml_says_so(photos, tmp_path):
    out = make(photos, tmp_path / "set", limit=1).run
    words = (out / "annotations" / "yolo" / "data.yaml").read_text()
    assert "val: ../../yolo_train.txt  # there is no validation part" in words
    assert seen_by_yolo(out)["val"] == seen_by_yolo(out)["train"] != []


def test_pycocotools_opens_it(photos, tmp_path):
    from pycocotools.coco import COCO

    result = make(photos, tmp_path / "set")
    opened = [COCO(result.run / f"annotations/coco_{split}.json") for split in
              ("train", "validation")]  # fmt: skip
    assert sum(len(coco.getImgIds()) for coco in opened) == result.clean + result.smoky
    boxes = [box for coco in opened for box in coco.loadAnns(coco.getAnnIds())]
    assert len(boxes) == result.smoky
    for box in boxes:
        x, y, width, height = box["bbox"]
        assert x >= 0 and y >= 0 and width > 0 and height > 0


def test_torchvision_opens_it(photos, tmp_path):
    from torchvision.datasets import ImageFolder

    result = make(photos, tmp_path / "set")
    train = ImageFolder(str(result.run / "train"))
    validation = ImageFolder(str(result.run / "validation"))
    assert train.classes == validation.classes == ["clean", "smoky"]
    assert (len(train), len(validation)) == (result.train, result.validation)
    image, label = train[0]
    assert label == 0
    assert image.size[1] == 72


def test_hugging_face_datasets_opens_it(photos, tmp_path):
    # Folders called like splits must not mix the splits up, nor make another.
    save_photo(photos / "train" / "x__1.png", 77)
    save_photo(photos / "old-test" / "y__1.png", 78)
    save_photo(photos / "val" / "z__1.png", 79)
    result = make(photos, tmp_path / "set", validation=0.4)
    assert list(result.run.glob("*/clean/old-tests/y__1.jpg"))
    loaded = opened_by_hugging_face(result.run, tmp_path, "label", "split", "image", "box")
    assert set(loaded) == {"train", "validation"}
    for split, count in (("train", result.train), ("validation", result.validation)):
        assert len(loaded[split]) == count
        assert {row[1] for row in loaded[split]} == {split}
        assert {row[0] for row in loaded[split]} == {"clean", "smoky"}
        assert all((row[3] is None) == (row[0] == "clean") for row in loaded[split])


def test_gallery_card_and_result_describe_the_set(photos, tmp_path):
    result = make(photos, tmp_path / "set")
    out = result.run
    index = json.loads((out / "gallery" / "index.json").read_text())
    assert 1 <= len(index) <= 12
    for entry in index:
        before, after, mask = (
            Image.open(out / "gallery" / entry[key]) for key in ("before", "after", "mask")
        )
        assert before.size == after.size == mask.size
        assert (out / "validation" / "clean" / f"{entry['name']}.jpg").exists()
    card = (out / "card.md").read_text()
    assert f"| train | {result.train // 2} | {result.train // 2} |" in card
    summary = json.loads((out / "result.json").read_text())
    assert summary["photos"] == 12
    assert summary["clean_class"] == "pixels"
    inputs = RunDir.open(out, "synth").inputs
    assert len(inputs["files"]) == 12
    assert {entry["split"] for entry in inputs["files"]} == {"train", "validation"}
    assert not list(out.rglob(".*"))


@pytest.mark.parametrize("size", [(1, 1), (16, 1), (1, 16), (61, 83)])
def test_masks_are_packed_without_loss(size):
    rng = np.random.default_rng(0)
    for mask in (
        rng.integers(0, 256, size, dtype=np.uint8),
        np.zeros(size, np.uint8),
        np.linspace(0, 255, size[0] * size[1]).astype(np.uint8).reshape(size)[::-1],
    ):
        data = encode_mask(mask)
        with Image.open(io.BytesIO(data)) as image:
            image.verify()  # the checksums, too
        image = Image.open(io.BytesIO(data))
        assert image.mode == "L"
        assert np.array_equal(np.asarray(image), mask)
