"""`wisp synth`: what a data set holds."""

import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from synthesis import differences, make, rows_of, save_photo, tiny_run, tree, write_photos
from wisp.config import SynthConfig
from wisp.errors import InputError
from wisp.images import decode, encode_jpeg, jpeg_recipe, scan
from wisp.images import find_images as find
from wisp.jobs import synth
from wisp.jobs.synth.plan import make_plan
from wisp.models import load
from wisp.report import write_report
from wisp.rundir import RunDir, read_json


@pytest.fixture
def photos(tmp_path):
    return write_photos(tmp_path / "photos")


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
        assert result.faint == sum(row["visible"] < 0.01 for row in smoky)
        assert result.faint == (len(smoky) if all_faint else 0)
        said = f"hardly seen: {len(smoky)} of {len(smoky)} smoky pictures (under 1.0% of"
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
    for seed, folder in enumerate(("one", "two")):
        save_photo(tmp_path / folder / "a.jpg", seed)
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


def test_groups_that_nothing_names_are_said_to_be_guessed(tmp_path):
    for number in range(12):
        save_photo(tmp_path / "unnamed" / f"IMG_{number:04d}.jpg", number)
        save_photo(tmp_path / "named" / f"room{number}__0.jpg", number)
    for folder, flags, guessed in (
        ("unnamed", {}, True),
        ("unnamed", {"group_by": "folder"}, False),
        ("named", {}, False),
    ):
        out = tmp_path / f"of-{folder}-{len(flags)}"
        result = make(tmp_path / folder, out, **flags)
        assert result.guessed_groups == guessed
        assert ("no file name says which photos show one place" in result.summary()) == guessed
        page = write_report(out).read_text(encoding="utf-8")
        assert ("No file name says which photos show one place" in page) == guessed
        assert ("Photos that belong together stay together" in page) != guessed


def test_a_single_photo_is_not_drawn_from_a_validation_part(tmp_path):
    save_photo(tmp_path / "photo.jpg")
    result = make(tmp_path / "photo.jpg", tmp_path / "set")
    page = write_report(result.run).read_text(encoding="utf-8")
    assert "Photos drawn at random, not chosen" in page
    assert "wisp classify" not in page.split("Before and after")[0]


def test_what_is_not_asked_for_is_not_made(photos, tmp_path):
    whole = make(photos, tmp_path / "all")
    bare = make(photos, tmp_path / "bare", masks=False, gallery=False)
    assert whole.masks and not bare.masks
    extra = {path.name for path in whole.run.iterdir()} - {path.name for path in bare.run.iterdir()}
    assert extra == {"masks", "gallery"}
    # The boxes and all figures are the same.
    assert rows_of(whole.run) == rows_of(bare.run)
    assert any(row["box"] for row in rows_of(bare.run))
    card = (bare.run / "card.md").read_text()
    assert "`masks/`" not in card and "`annotations/` its boxes" in card
    shown = [write_report(made.run).read_text() for made in (whole, bare)]
    assert ["Opacity masks are in" in page for page in shown] == [True, False]
