"""``wisp synth --negatives``: look-alikes in the data set."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from synthesis import (
    differences,
    make,
    opened_by_hugging_face,
    rows_of,
    save_photo,
    seen_by_yolo,
    tiny_run,
    tree,
    write_photos,
)
from wisp import shipped
from wisp.config import LOOKALIKES, SynthConfig
from wisp.errors import InputError, WispError
from wisp.images import decode, encode_jpeg, find_images, jpeg_recipe, scan
from wisp.jobs import synth
from wisp.jobs.synth.plan import Photo, make_plan, picture_condition, picture_negative
from wisp.jobs.synth.probe import measure_fingerprint
from wisp.models import load, parents_of, shipped_layers
from wisp.report import write_report
from wisp.report.read import RunFiles, follow
from wisp.rundir import RunDir, read_json
from wisp.smoke import add_lookalike

ALL = ",".join(LOOKALIKES)


@pytest.fixture
def photos(tmp_path):
    return write_photos(tmp_path / "photos")


def photo_number(number):
    return Photo(Path("p"), "p", f"p{number}", f"{number:064x}", "0", "g", "train")


def altered(row, kind, seed):
    """The pixels of the row's photo as look-alike ``kind``."""
    pixels = np.array(decode(Path(row["source"])))
    add_lookalike(kind, pixels, seed, shipped_layers())
    return Image.fromarray(pixels)


def encoded(row, image):
    return encode_jpeg(image, jpeg_recipe(Path(row["source"])) or 95)


# --- what is made


def test_every_photo_gets_one_look_alike_beside_its_clean_picture(photos, tmp_path):
    result = make(photos, tmp_path / "set", negatives=ALL, per_photo=2)
    assert (result.photos, result.clean, result.smoky, result.negatives) == (12, 24, 24, 12)
    assert "look-alikes among the clean pictures: 12" in result.summary()
    rows = rows_of(result.run)
    twins = {row["source"]: row for row in rows if row["label"] == "clean" and not row["negative"]}
    negatives = [row for row in rows if row["negative"]]
    assert len({row["source"] for row in negatives}) == 12
    for row in negatives:
        twin = twins[row["source"]]
        same = ("label", "split", "group", "source_sha256", "model", "strength", "coverage", "box")
        assert [row[key] for key in same] == [twin[key] for key in same]
        assert row["label"] == "clean" and row["box"] is None
        assert row["file_name"] == twin["file_name"].replace(".jpg", f"~{row['negative']}.jpg")
        # The row is enough to make the picture again, by the recipe of all the photo's pictures.
        expected = encoded(row, altered(row, row["negative"], row["seed"]))
        assert (result.run / row["file_name"]).read_bytes() == expected
    assert len(list(result.run.glob("masks/**/*.png"))) == 24


def test_smoke_is_laid_over_the_degraded_photo(photos, tmp_path):
    options = {"negatives": "blur,lowlight", "per_photo": 4}
    out = make(photos, tmp_path / "set", **options).run
    bare = make(photos, tmp_path / "bare", strength="0", **options).run
    smoky = [row for row in rows_of(out) if row["label"] == "smoky"]
    assert {row["condition"] for row in smoky} == {None, "blur", "lowlight"}
    model = load("procedural")
    for row in smoky:
        found = picture_condition(SynthConfig(("x",), out=out, **options), row["seed"])
        assert row["condition"] == (found and found[0])
        photo = decode(Path(row["source"]))
        host = altered(row, *found) if found else photo
        # Without smoke it is the host, bit by bit.
        assert (bare / row["file_name"]).read_bytes() == encoded(row, host)
        expected = model.add_smoke(host, row["strength"], row["seed"])
        assert (out / row["file_name"]).read_bytes() == encoded(row, expected.image)
        untouched = np.asarray(expected.density) == 0
        assert (np.asarray(expected.image)[untouched] == np.asarray(host)[untouched]).all()


def test_the_plain_pictures_of_a_set_are_the_same_with_and_without(photos, tmp_path):
    plain = make(photos, tmp_path / "plain").run
    out = make(photos, tmp_path / "set", negatives=ALL).run
    conditions = {row["file_name"]: row["condition"] for row in rows_of(out)}
    extra = {row["file_name"] for row in rows_of(out) if row["negative"]}
    differing = {name for name in differences(plain, out) if name.endswith(".jpg")}
    assert differing == extra | {name for name, kind in conditions.items() if kind}
    first = rows_of(plain)[0]
    assert "negative" not in first and "condition" not in first
    assert not (plain / "gallery" / "negatives.json").exists()
    assert "look-alike" not in (plain / "card.md").read_text()


# --- how often


@pytest.mark.parametrize("negatives", [ALL, "steam", "steam,blur", "fog-lens"])
def test_no_fault_of_the_camera_is_more_frequent_in_one_class(negatives):
    config = SynthConfig(("x",), out=Path("y"), negatives=negatives)
    kinds = negatives.split(",")
    count = 4000
    made, under = Counter(), Counter()
    for number in range(count):
        kind, seed = picture_negative(config, photo_number(number))
        made[kind] += 1
        condition = picture_condition(config, seed)
        under[condition and condition[0]] += 1
    for kind in kinds:
        assert made[kind] == pytest.approx(count / len(kinds), rel=0.12)
        if kind != "steam":
            # Of clean pictures, one in two is a look-alike.
            assert under[kind] / count == pytest.approx(made[kind] / (2 * count), abs=0.025)
    assert under["steam"] == 0


def test_look_alikes_depend_on_seed_and_photo_only(photos, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    make(photos, one, negatives="steam,fog-lens,blur", workers=1)
    make(photos, two, negatives="blur,steam, fog-lens", workers=3)
    assert differences(one, two) == []
    other = make(photos, tmp_path / "other", negatives="steam,fog-lens,blur", seed=1).run
    assert [row["seed"] for row in rows_of(one)] != [row["seed"] for row in rows_of(other)]
    files = {Path(name).name: data for name, data in tree(one).items() if "~" in name}
    some = make(photos, tmp_path / "some", negatives="steam,fog-lens,blur", limit=5).run
    found = [path for path in some.rglob("*~*.jpg") if path.parent.parent.name == "clean"]
    assert len(found) == 5
    assert all(path.read_bytes() == files[path.name] for path in found)


# --- names


def test_a_photo_named_like_a_look_alike_keeps_out_of_its_way(tmp_path):
    folder = tmp_path / "photos"
    names = ["a.png", "a~steam.png", "a~STEAM~1.png", "b~Blur.png", "b.png", "c~steamy.png"]
    for number, name in enumerate(names):
        save_photo(folder / name, number)
    scanned, _ = scan(find_images((str(folder),)))
    plain = {p.name for p in make_plan(SynthConfig((str(folder),), out=tmp_path), scanned)}
    assert plain == {name.removesuffix(".png") for name in names}
    for kind in ("steam", "blur"):
        config = SynthConfig((str(folder),), out=tmp_path / kind, negatives=kind, validation=0.4)
        planned = make_plan(config, scanned)
        files = [file.lower() for p in planned for file in (p.clean_file(), p.negative_file(kind))]
        files = [file.split("/", 1)[1] for file in files]
        assert len(set(files)) == 2 * len(names)
        assert {"a", "b", "c~steamy", "a~STEAM~1"} <= {p.name for p in planned}
    made = make(folder, tmp_path / "set", negatives="steam", group_by="name", validation=0.4)
    assert len(list(made.run.glob("*/clean/*.jpg"))) == made.clean == 12


# --- bad input


@pytest.mark.parametrize(
    ("negatives", "message"),
    [
        ("smog", "--negatives smog: 'smog' is no look-alike; name some of steam, blur, lowlight"),
        ("steam,", "'' is no look-alike"),
        ("steam,blur,steam", "'steam' is named twice"),
        ("Steam", "'Steam' is no look-alike"),
    ],
)
def test_unknown_and_repeated_kinds_are_refused(tmp_path, negatives, message):
    with pytest.raises(InputError, match=message):
        SynthConfig(("x",), out=tmp_path, negatives=negatives)


def test_kinds_are_kept_in_one_order(tmp_path):
    config = SynthConfig(("x",), out=tmp_path, negatives=" blur, steam")
    assert config.negatives == "steam,blur"
    assert SynthConfig(("x",), out=tmp_path, negatives=" ").negatives == ""


# --- a run that was stopped


def test_a_stopped_run_goes_on_with_the_same_look_alikes(photos, tmp_path, monkeypatch):
    from wisp.jobs.synth import render
    from wisp.rundir import write_bytes

    written = []

    def full(path, data):
        written.append(path)
        if len(written) > 13:
            raise WispError(f"{path}: the disk is full")
        write_bytes(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(render, "write_bytes", full)
        with pytest.raises(WispError, match="full"):
            make(photos, tmp_path / "set", negatives="steam,blur", workers=1)
    with pytest.raises(InputError, match="--negatives steam,blur, not steam;"):
        make(photos, tmp_path / "set", negatives="steam")
    result = make(photos, tmp_path / "set", negatives="blur,steam")
    whole = make(photos, tmp_path / "whole", negatives="steam,blur")
    assert differences(result.run, whole.run) == []
    assert rows_of(result.run) == rows_of(whole.run)
    assert result.negatives == whole.negatives == 12


# --- those who open the set


def test_image_folder_coco_and_yolo_see_clean_pictures(photos, tmp_path):
    from pycocotools.coco import COCO
    from torchvision.datasets import ImageFolder

    result = make(photos, tmp_path / "set", negatives=ALL)
    out = result.run
    negatives = {row["file_name"] for row in rows_of(out) if row["negative"]}
    listed = set()
    for split in ("train", "validation"):
        folder = ImageFolder(str(out / split))
        assert folder.classes == ["clean", "smoky"]
        for path, label in folder.samples:
            if Path(path).relative_to(out).as_posix() in negatives:
                assert label == 0
        coco = COCO(out / "annotations" / f"coco_{split}.json")
        for picture in coco.imgs.values():
            if picture["file_name"] in negatives:
                assert coco.getAnnIds(imgIds=[picture["id"]]) == []
                size = Image.open(out / picture["file_name"]).size
                assert size == (picture["width"], picture["height"])
                listed.add(picture["file_name"])
    assert listed == negatives
    pairs = [pair for pairs in seen_by_yolo(out).values() for pair in pairs]
    labels = {picture.relative_to(out).as_posix(): label for picture, label in pairs}
    assert sorted(labels) == sorted(row["file_name"] for row in rows_of(out))
    assert not any(labels[name].exists() for name in negatives)


def test_hugging_face_datasets_opens_it_where_a_column_is_empty_in_one_split(photos, tmp_path):
    # One place of two photos in validation: some column has nothing but nulls there.
    result = make(photos, tmp_path / "set", negatives="steam,blur", validation=0.1)
    validation = [row for row in rows_of(result.run) if row["split"] == "validation"]
    assert len(validation) == 6
    assert {row["condition"] for row in validation} == {None}
    loaded = opened_by_hugging_face(result.run, tmp_path, "label", "negative", "condition")
    for split, rows in loaded.items():
        expected = [
            [row["label"], row["negative"] or "", row["condition"] or ""]
            for row in rows_of(result.run)
            if row["split"] == split
        ]
        assert sorted(map(str, rows)) == sorted(map(str, expected))


def test_card_gallery_and_report_show_the_look_alikes(photos, tmp_path):
    result = make(photos, tmp_path / "set", negatives="steam,fog-lens", per_photo=2)
    out = result.run
    rows = rows_of(out)
    kinds = Counter(row["negative"] for row in rows if row["negative"])
    card = (out / "card.md").read_text()
    assert "12 of the clean pictures, one of each photo, are look-alikes" in card
    assert f"{kinds['steam']} steam" in card
    under = sum(row["condition"] == "fog-lens" for row in rows)
    assert f"{under} fog-lens of the smoky pictures" in card
    index = json.loads((out / "gallery" / "negatives.json").read_text())
    shown = Counter(entry["kind"] for entry in index)
    assert set(shown) <= set(kinds) and max(shown.values()) <= 2
    for entry in index:
        made = out / "validation" / "clean" / f"{entry['name']}~{entry['kind']}.jpg"
        assert Image.open(out / "gallery" / entry["picture"]).size == Image.open(made).size
    page = write_report(out).read_text()
    assert "Look-alikes, labelled clean" in page
    assert page.count("as look-alike: ") == len(index)
    assert f"{kinds['steam']} steam" in page
    assert "faults of the camera" in page
    assert "fault of the camera" in card
    steam = make(photos, tmp_path / "steam", negatives="steam").run
    assert "of the camera" not in (steam / "card.md").read_text() + write_report(steam).read_text()
    plain = make(photos, tmp_path / "plain").run
    assert "ook-alike" not in write_report(plain).read_text()


def test_the_probe_compares_plain_clean_pictures_only(tmp_path, monkeypatch):
    from wisp.jobs.synth import probe

    monkeypatch.setattr(probe, "_STEPS", 2)
    for number in range(16):
        save_photo(tmp_path / "photos" / f"p{number}.jpg", number, (80, 72), quality=95)
    result = make(tmp_path / "photos", tmp_path / "set", probe=True, negatives="lowlight")
    scanned, _ = scan(find_images((str(tmp_path / "photos"),)))
    plan = make_plan(SynthConfig((str(tmp_path / "photos"),), out=result.run), scanned)
    for path in result.run.rglob("*~lowlight.jpg"):
        path.unlink()  # not needed
    assert measure_fingerprint(result.run, plan, 0)["auroc"]["value"] == result.probe_auroc


# --- a model that repaints


def test_a_generator_repaints_look_alikes_last_as_it_does_the_smoky_pictures(photos, tmp_path):
    run = tiny_run(tmp_path / "gan")
    options = {"model": str(run), "device": "cpu", "precision": "32", "negatives": "blur,steam"}
    result = synth.run(
        SynthConfig((str(photos),), out=tmp_path / "set", probe=False, per_photo=2, **options)
    )
    assert result.clean_class == "reconstructed" and result.negatives == 12
    model = load(run)
    seen = set()
    for row in rows_of(result.run):
        file = (result.run / row["file_name"]).read_bytes()
        if row["negative"]:
            expected = model.reconstruct(altered(row, row["negative"], row["seed"]))
        elif row["condition"]:
            found = picture_condition(SynthConfig(("x",), out=result.run, **options), row["seed"])
            expected = model.add_smoke(altered(row, *found)).image
        else:
            continue
        seen.add(row["negative"] or f"under {row['condition']}")
        assert file == encoded(row, expected)
    assert seen == {"blur", "steam", "under blur"}


@pytest.mark.parametrize(
    ("negatives", "lends"), [("steam,blur", True), ("blur", False), ("", False)]
)
def test_photos_that_lent_steam_its_folds_count_as_seen(photos, tmp_path, negatives, lends):
    """Whatever model the smoke is of; and that model is not taken for the source of the smoke."""
    run = make(photos, tmp_path / "set", negatives=negatives, limit=3).run
    lent = {row["sha256"] for row in read_json(shipped.FOLDER / "layered" / "inputs.json")["files"]}
    seen = {record.sha256 for record in RunDir(run).files_seen()}
    assert (lent <= seen) == lends and bool(lent & seen) == lends
    chain = follow(RunFiles(run))
    assert chain.source_of(chain.datasets[0]) is None and chain.sources == ()


def test_a_run_that_is_called_real_is_a_parent_like_any_other(tmp_path, monkeypatch):
    RunDir.create(tmp_path / "real", "train", {})
    monkeypatch.chdir(tmp_path)
    config = SynthConfig(("clean",), out=tmp_path / "out", model="real", negatives="blur")
    assert parents_of(config.model, config.negatives) == {"model": Path("real")}
