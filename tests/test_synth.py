import io
import json
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from wisp import engine
from wisp.checkpoint import save_checkpoint
from wisp.config import SynthConfig
from wisp.errors import InputError, WispError
from wisp.images import decode, encode_jpeg, jpeg_recipe, scan
from wisp.images import find_images as find
from wisp.jobs import synth
from wisp.jobs.synth.plan import make_plan
from wisp.jobs.synth.render import encode_mask
from wisp.models import load
from wisp.networks.generator import ResnetGenerator
from wisp.report import write_report
from wisp.rundir import RunDir, read_json, write_json


def save_photo(path, seed=0, size=(96, 72), **kwargs):
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (5, 7, 3), dtype=np.uint8))
    grain = rng.integers(-6, 7, (size[1], size[0], 3))
    image = np.asarray(small.resize(size, Image.Resampling.BICUBIC)) + grain
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)).save(path, **kwargs)


@pytest.fixture
def photos(tmp_path):
    """Six places with two photos each, in two sub-folders, of several sizes and formats."""
    folder = tmp_path / "photos"
    for place in range(6):
        for shot in range(2):
            kind = "png" if shot else "jpg"
            name = f"room{place % 2}/place{place}__{shot}.{kind}"
            save_photo(folder / name, 10 * place + shot, (96 + 8 * place, 72))
    return folder


def make(photos, out, **options):
    options.setdefault("probe", False)
    return synth.run(SynthConfig((str(photos),), out=out, **options))


def rows_of(out):
    return [json.loads(line) for line in (out / "metadata.jsonl").read_text().splitlines()]


def tree(out):
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for split in ("train", "validation", "masks")
        for path in sorted((out / split).rglob("*"))
        if path.is_file()
    }


def differences(one, two):
    """Names of the files that one has and two has not, or that differ."""
    first, second = tree(one), tree(two)
    return sorted(
        name for name in first.keys() | second.keys() if first.get(name) != second.get(name)
    )


def tiny_run(path, way_back=True):
    torch.manual_seed(0)
    names = ["clean_to_smoky", "smoky_to_clean"][: 1 + way_back]
    tensors = {
        f"{name}.{key}": value
        for name in names
        for key, value in ResnetGenerator(width=4, blocks=1).state_dict().items()
    }
    RunDir.create(path, "train", {})
    save_checkpoint(
        path / "checkpoints" / "step-0000001",
        {"model": tensors},
        {"load_size": 48, "fit": "short-side"},
    )
    write_json(
        path / "checkpoints" / "latest.json", {"step": 1, "path": "checkpoints/step-0000001"}
    )
    return path


# --- what is written


def test_names_sizes_and_folders_are_kept(photos, tmp_path):
    result = make(photos, tmp_path / "set", per_photo=2)
    assert (result.photos, result.clean, result.smoky) == (12, 12, 24)
    for path in photos.rglob("*.*"):
        name = path.relative_to(photos).with_suffix("").as_posix()
        split = next(
            s
            for s in ("train", "validation")
            if (result.run / s / "clean" / f"{name}.jpg").exists()
        )
        size = Image.open(path).size
        for file in (
            f"{split}/clean/{name}.jpg",
            f"{split}/smoky/{name}-1.jpg",
            f"{split}/smoky/{name}-2.jpg",
            f"masks/{split}/{name}-1.png",
        ):
            assert Image.open(result.run / file).size == size
    assert len(list((result.run / "train").rglob("*.jpg"))) == result.train


def test_metadata_says_how_each_picture_was_made(photos, tmp_path):
    out = make(photos, tmp_path / "set", strength="0.5:1.5").run
    rows = rows_of(out)
    columns = "file_name label split group source source_sha256 model strength seed coverage"
    assert " ".join(rows[0]) == f"{columns} mean_opacity visible box"
    smoky = [row for row in rows if row["label"] == "smoky"]
    assert len({row["strength"] for row in smoky}) == 12
    assert all(0.5 <= row["strength"] <= 1.5 for row in smoky)
    for row in smoky:
        # The row is enough to make the picture again.
        again = load(row["model"]).add_smoke(row["source"], row["strength"], row["seed"])
        made = np.asarray(decode(out / row["file_name"]), np.int16)
        assert np.abs(made - np.asarray(again.image, np.int16)).mean() < 4
        name = row["file_name"].replace("/smoky/", "/").replace(".jpg", ".png")
        mask = np.asarray(Image.open(out / "masks" / name))
        assert np.abs(mask.astype(int) - np.asarray(again.mask)).max() <= 1
        assert row["mean_opacity"] == pytest.approx(mask.mean() / 255, abs=1e-4)
        assert row["coverage"] == pytest.approx((mask > 25.5).mean(), abs=1e-4)
        above = np.argwhere(mask > 0.05 * 255)
        (top, left), (bottom, right) = above.min(0), above.max(0)
        assert row["box"] == [left, top, right - left + 1, bottom - top + 1]
    assert all(
        row["box"] is None and row["strength"] == 0 for row in rows if row["label"] == "clean"
    )


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


def test_smoke_that_is_hardly_seen_is_counted(photos, tmp_path):
    """Each number is recounted from the pictures themselves."""
    for strength, all_faint in (("0.02", True), ("1.5", False)):
        result = make(photos, tmp_path / strength, strength=strength, quality=98, workers=1)
        smoky = [row for row in rows_of(result.run) if row["label"] == "smoky"]
        for row in smoky:
            before, after = (
                np.asarray(decode(path), np.int16)
                for path in (row["source"], result.run / row["file_name"])
            )
            part = (np.abs(after - before).max(-1) > 0.12 * 255).mean()
            assert row["visible"] == pytest.approx(part, abs=0.03)
        assert result.faint == sum(row["visible"] < 0.005 for row in smoky)
        assert result.faint == (len(smoky) if all_faint else 0)
        said = f"hardly seen: {len(smoky)} of {len(smoky)} smoky pictures (under 0.5% of"
        assert (said in result.summary()) == all_faint
        card = (result.run / "card.md").read_text()
        assert ("the smoke is hardly seen" in card) == all_faint
        page = write_report(result.run).read_text(encoding="utf-8")
        assert ("the smoke is hardly seen" in page) == all_faint


def test_groups_stay_on_one_side(photos, tmp_path):
    sides = defaultdict(set)
    for row in rows_of(make(photos, tmp_path / "set", validation=0.3).run):
        sides[row["group"]].add(row["split"])
        sides[row["source"]].add(row["split"])
    assert all(len(side) == 1 for side in sides.values())
    assert {side for found in sides.values() for side in found} == {"train", "validation"}


def test_the_clean_class_is_the_photo_through_the_same_encoder(photos, tmp_path):
    out = make(photos, tmp_path / "set", strength="0", quality=90).run
    for row in rows_of(out):
        if row["label"] == "smoky":
            twin = row["file_name"].replace("/smoky/", "/clean/").replace("-1.jpg", ".jpg")
            assert (out / row["file_name"]).read_bytes() == (out / twin).read_bytes()


@pytest.mark.parametrize(("strength", "said"), [("0", True), ("0:0", True), ("0:0.5", False)])
def test_strength_zero_is_said_to_lay_no_smoke(photos, tmp_path, capsys, strength, said):
    make(photos, tmp_path / "set", strength=strength, limit=2)
    assert (f"--strength {strength} lays no smoke" in capsys.readouterr().err) == said


def test_pictures_depend_on_seed_and_photo_only(photos, tmp_path):
    one, two, other = (tmp_path / name for name in ("one", "two", "other"))
    make(photos, one, workers=1)
    make(photos, two, workers=3)
    make(photos, other, seed=1)
    assert differences(one, two) == []
    assert len(differences(one, other)) >= 24
    pictures = {Path(name).name: data for name, data in tree(one).items() if "smoky" in name}
    some = make(photos, tmp_path / "some", limit=5).run
    chosen = [*some.glob("train/smoky/*/*.jpg"), *some.glob("validation/smoky/*/*.jpg")]
    assert len(chosen) == 5
    assert all(path.read_bytes() == pictures[path.name] for path in chosen)


def test_colliding_names_are_told_apart(tmp_path):
    for folder in ("one", "two"):
        save_photo(tmp_path / folder / "a.jpg", hash(folder) % 100)
    save_photo(tmp_path / "one" / "a.png", 7)
    save_photo(tmp_path / "one" / "b.png", 8)
    sources = (str(tmp_path / "one"), str(tmp_path / "two"))
    scanned, _ = scan(find(sources))
    config = SynthConfig(sources, out=tmp_path / "set")
    names = {photo.path: photo.name for photo in make_plan(config, scanned)}
    assert len({name.lower() for name in names.values()}) == 4
    assert names[tmp_path / "one" / "b.png"] == "b"
    swapped = make_plan(config, scanned[::-1])
    assert {photo.path: photo.name for photo in swapped} == names


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
        yolo = out / "annotations" / "yolo"
        for line in (yolo / f"{split}.txt").read_text().splitlines():
            # As Ultralytics resolves it: images → labels, suffix → .txt.
            image = yolo / line.removeprefix("./")
            assert image.exists()
            label = Path(str(image).replace("/images/", "/labels/")).with_suffix(".txt")
            row = rows[line.removeprefix("./images/")]
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
    settings = yaml.safe_load((yolo / "data.yaml").read_text())
    # Ultralytics then takes the folder of this file; "path: ." would be where it was started.
    assert "path" not in settings
    for split in ("train", "val"):
        assert (yolo / settings[split]).is_file()
    assert settings["names"] == {0: "smoke"}


def test_a_single_photo_has_no_validation_part_and_data_yaml_says_so(photos, tmp_path):
    out = make(photos, tmp_path / "set", limit=1).run
    words = (out / "annotations" / "yolo" / "data.yaml").read_text()
    assert "val: train.txt  # there is no validation part" in words
    assert yaml.safe_load(words)["val"] == "train.txt"


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
    script = (
        "import sys, json, datasets\n"
        "d = datasets.load_dataset('imagefolder', data_dir=sys.argv[1], cache_dir=sys.argv[2])\n"
        "print(json.dumps({s: [[r['label'], r['split'], list(r['image'].size), r['box']]"
        " for r in d[s]] for s in d}))\n"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [sys.executable, "-c", script, str(result.run), str(tmp_path / "cache")],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    loaded = json.loads(done.stdout.splitlines()[-1])
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


# --- a CycleGAN as model


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


def test_a_cyclegan_makes_a_set_without_masks_and_reconstructs_the_clean_class(photos, tmp_path):
    run = tiny_run(tmp_path / "gan")
    result = make(photos, tmp_path / "set", model=str(run), device="cpu", precision="32")
    assert not result.masks
    assert result.clean_class == "reconstructed"
    out = result.run
    assert not (out / "masks").exists()
    assert not (out / "annotations").exists()
    assert RunDir.open(out).parent("model").path == run.resolve()
    model = load(run)
    for row in rows_of(out):
        assert row["box"] is None
        photo = decode(Path(row["source"]))
        if row["label"] == "clean":
            expected = model.reconstruct(photo)
        else:
            expected = model.add_smoke(photo).image
            assert 0 <= row["mean_opacity"] <= 1
        recipe = jpeg_recipe(Path(row["source"])) or 95
        assert (out / row["file_name"]).read_bytes() == encode_jpeg(expected, recipe)
        assert expected.size == photo.size
    environment = read_json(result.run / "environment.json")
    assert environment["device"] == "cpu" and environment["precision"] in ("32", "bf16")
    assert environment["why"].startswith("cpu")


def test_clean_class_pixels_and_one_direction(photos, tmp_path):
    run = tiny_run(tmp_path / "gan", way_back=False)
    options = {"model": str(run), "device": "cpu", "precision": "32"}
    assert make(photos, tmp_path / "set", **options).clean_class == "pixels"
    with pytest.raises(InputError, match="--clean-class reconstructed"):
        make(photos, tmp_path / "set2", clean_class="reconstructed", **options)
    assert not (tmp_path / "set2").exists()


# --- bad input


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


# --- killed runs

_JOB = """
import sys, time
from pathlib import Path
from wisp.config import SynthConfig
from wisp.jobs import synth
from wisp.jobs.synth import job
render_photo = job.render_photo
job.render_photo = lambda *photo: (time.sleep(0.3), render_photo(*photo))[1]  # time to be killed
synth.run(SynthConfig((sys.argv[1],), out=Path(sys.argv[2]), probe=False, workers=1, per_photo=3))
"""


def test_a_killed_run_goes_on_and_ends_the_same(photos, tmp_path):
    out = tmp_path / "set"
    process = subprocess.Popen([sys.executable, "-c", _JOB, str(photos), str(out)])
    deadline = time.monotonic() + 120
    journal = out / ".journal.jsonl"
    while not (journal.exists() and len(journal.read_text().splitlines()) >= 4):
        assert process.poll() is None, "finished before it could be killed"
        assert time.monotonic() < deadline
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


def test_photos_that_changed_since_the_kill_are_noticed(photos, tmp_path):
    out = make(photos, tmp_path / "set").run
    rows = {"rows": rows_of(out)[:2], "split": "train"}
    (out / "result.json").unlink()
    lines = [{"model": "procedural"}, {"name": "gone", "sha256": "0", **rows}]
    (out / ".journal.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(InputError, match="gone"):
        make(photos, out)


# --- the fingerprint probe


def test_few_photos_cannot_be_probed(photos, tmp_path):
    out = make(photos, tmp_path / "set", probe=True).run
    probe = json.loads((out / "probe.json").read_text())
    assert probe["auroc"] is None
    assert "at least 16 photos" in probe["description"]
    assert "Not measured" in (out / "card.md").read_text()


@pytest.mark.parametrize(("quality", "found"), [(95, False), (20, True)])
def test_the_probe_finds_traces_where_there_are_some(tmp_path, monkeypatch, quality, found):
    from wisp.jobs.synth import probe

    monkeypatch.setattr(probe, "_STEPS", 40)
    for number in range(24):
        # At the quality they have already, encoding them again changes next to nothing.
        save_photo(tmp_path / "photos" / f"p{number}.jpg", number, (160, 128), quality=95)
    result = make(tmp_path / "photos", tmp_path / "set", probe=True, quality=quality)
    told = json.loads((result.run / "probe.json").read_text())
    assert set(told) == {"auroc", "images", "groups", "description"}
    assert (told["auroc"]["value"] > 0.9) == found
    assert result.probe_auroc == told["auroc"]["value"]
    assert told["groups"] == told["images"] / 2


def test_a_single_photo_makes_a_set_without_validation(tmp_path):
    """One group cannot be on two sides; who gives one photo wants to see smoke in it."""
    Image.fromarray(np.random.default_rng(0).integers(0, 90, (64, 80, 3), np.uint8)).save(
        tmp_path / "photo.png"
    )
    result = synth.run(SynthConfig((str(tmp_path / "photo.png"),), out=tmp_path / "set", workers=1))
    assert (result.clean, result.smoky, result.validation) == (1, 1, 0)
    assert (tmp_path / "set/train/smoky/photo-1.jpg").is_file()
    with pytest.raises(InputError, match="cannot be split"):
        synth.run(SynthConfig((str(tmp_path / "photo.png"),), out=tmp_path / "two", validation=0.2))
