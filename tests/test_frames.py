"""Sequences: smoke that moves without a jump, and the data set they make."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.datasets import ImageFolder

from scenes import tau_of
from synthesis import rows_of, seen_by_yolo
from wisp import load
from wisp.config import SynthConfig
from wisp.data import LabelledSet
from wisp.errors import InputError, StoppedError
from wisp.images import decode
from wisp.jobs import synth
from wisp.jobs.synth import job
from wisp.models import DrawnModel
from wisp.networks.generator import ResnetGenerator
from wisp.report import write_report
from wisp.smoke import Dice, LiftedSmoke, ProceduralSmoke, SmokeLayer, SourceBox, opacity, sequence
from wisp.smoke.noise import blur

BOX = SourceBox(0.4, 0.7, 0.2, 0.15)
SCENE = np.full((90, 120, 3), 90, np.uint8)


def clouds():
    return [ProceduralSmoke().layer(SCENE, Dice(n)) for n in range(6)]


SMOKES = {
    "procedural": ProceduralSmoke(),
    "layered": LiftedSmoke(clouds()),
    "procedural from a box": ProceduralSmoke().rising_from(BOX),
    "layered from a box": LiftedSmoke(clouds()).rising_from(BOX),
}
every_kind = pytest.mark.parametrize("smoke", SMOKES.values(), ids=SMOKES)


def opacities(smoke, seed, frames):
    moving = sequence(smoke, SCENE, Dice(seed), frames)
    return [opacity(tau_of(layer, 90, 120)) for layer in moving]


def change(one, two):
    return float(np.abs(one - two).mean())


@every_kind
def test_frames_follow_from_one_another(smoke):
    """The change between frames is far below that between draws, never none, and never a jump."""
    steps, draws_apart, unevenness = [], [], []
    for seed in range(4):
        frames = opacities(smoke, seed, 24)
        own = [change(*pair) for pair in itertools.pairwise(frames)]
        assert min(own) > 1e-4
        unevenness.append(max(own) / np.median(own))
        # It does not come back to where it was: the later frames are another smoke than the first.
        assert min(change(frames[0], later) for later in frames[12:]) > 1.5 * np.mean(own)
        steps.append(np.mean(own))
        draws_apart.append(change(frames[0], opacities(smoke, 100 + seed, 1)[0]))
    # (A jump would be a draw apart: ten times as much and more.)
    assert np.median(unevenness) < 1.7 and max(unevenness) < 3
    assert np.mean(steps) < 0.25 * np.mean(draws_apart)


@every_kind
def test_smoke_rises(smoke):
    """The folds of a later frame are best found again above those of the first."""
    shifts = range(-8, 9)
    best = []
    for seed in range(10):
        first, *_, later = (one - blur(one, 0.025) for one in opacities(smoke, seed, 4))
        alike = [float((first[8 + n : 50 + n] * later[8:50]).sum()) for n in shifts]
        best.append(shifts[int(np.argmax(alike))])
    assert np.mean(best) > 1
    assert sum(shift > 0 for shift in best) >= 8


def test_sequences_do_not_pulse():
    """Half one copy and half the other, smoke is about as rich in contrast as one copy alone."""
    smoke = ProceduralSmoke().rising_from(BOX)
    lowest = []
    for seed in range(4):
        frames = [layer.density for layer in sequence(smoke, SCENE, Dice(seed), 30)]
        contrast = [float((one - blur(one, 0.03)).std()) for one in frames]
        lowest.append(min(contrast) / max(contrast))
    assert np.mean(lowest) > 0.78  # merely cross-faded: 0.68


@every_kind
def test_the_first_frame_is_the_picture_without_frames(smoke):
    model = DrawnModel("some", "procedural", smoke)
    photo = np.random.default_rng(0).integers(0, 255, (90, 120, 3), np.uint8)
    untouched = photo.copy()
    frames = list(model.sequence(photo, 0.8, 5, 3))
    assert np.array_equal(photo, untouched)
    alone = model.render(photo.copy(), 0.8, 5)
    assert np.array_equal(frames[0].pixels, alone.pixels)
    assert np.array_equal(frames[0].mask, alone.mask)
    again = list(model.sequence(photo, 0.8, 5, 5))
    for one, two in zip(frames, again, strict=False):
        assert np.array_equal(one.pixels, two.pixels)
        empty = one.mask == 0
        near = np.abs(one.pixels.astype(int) - photo).max(2)
        assert near[empty].max(initial=0) <= 1  # an opacity below 1/510 shows as none


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.3, 0.8), st.floats(0.05, 0.2))
def test_moving_smoke_stays_at_its_source(seed, y, height):
    """None is ever carried below the box, and the source never runs dry."""
    box = SourceBox(0.4, y, 0.2, height)
    for smoke in SMOKES.values():
        for tau in sequence(smoke.rising_from(box), SCENE, Dice(seed), 7):
            rows = tau_of(tau, 90, 120)
            assert float(rows[int(np.ceil((y + height) * 90)) :].sum()) == 0
            assert float(rows[int(y * 90) : int((y + height) * 90) + 1].max()) > 0.5


def test_finer_detail_rises_with_the_smoke():
    """On a large picture detail that stood still would show as a dirty window."""
    flat = SmokeLayer(np.ones((40, 60), np.float32), np.full((40, 60, 3), 0.5, np.float32))
    smoke = LiftedSmoke([flat], mixed=0, distant=0)
    pixels = np.full((800, 1200, 3), 128, np.uint8)
    one, two = (tau_of(layer, 800, 1200)[300:500] for layer in sequence(smoke, pixels, Dice(3), 2))
    risen = [change(one[20 + n : 180 + n], two[20:180]) for n in range(20)]
    assert int(np.argmin(risen)) >= 3
    assert min(risen) < 0.7 * risen[0]


# --- the data set


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    for place in range(4):
        rng = np.random.default_rng(place)
        small = Image.fromarray(rng.integers(0, 256, (5, 7, 3), dtype=np.uint8))
        path = folder / f"room/place{place}__0.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        small.resize((96, 72), Image.Resampling.BICUBIC).save(path)
    return folder


def make(photos, out, **options):
    options = {
        "model": "procedural", "frames": 3, "probe": False, "strength": "0.5:1.5", **options
    }  # fmt: skip
    return synth.run(SynthConfig((str(photos),), out=out, **options))


def pictures(out):
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.suffix in (".jpg", ".png") or path.name == "metadata.jsonl"
    }


def test_each_sequence_is_a_folder_of_frames_that_are_described(photos, tmp_path):
    result = make(photos, tmp_path / "set", per_photo=2, source="0.4,0.6,0.2,0.2")
    assert (result.photos, result.clean, result.smoky) == (4, 4, 24)
    rows = rows_of(result.run)
    smoky = [row for row in rows if row["label"] == "smoky"]
    assert {row["frame"] for row in smoky} == {1, 2, 3}
    assert all(row["frame"] is row["sequence"] is None for row in rows if row["label"] == "clean")
    by_sequence: dict[str, list[dict[str, object]]] = {}
    for row in smoky:
        by_sequence.setdefault(row["sequence"], []).append(row)
    assert len(by_sequence) == 8
    for name, frames in by_sequence.items():
        split, seed, strength = (frames[0][key] for key in ("split", "seed", "strength"))
        assert [frame["file_name"] for frame in frames] == [
            f"{split}/smoky/{name}/frame-{number:04d}.jpg" for number in (1, 2, 3)
        ]
        assert all(frame["seed"] == seed and frame["strength"] == strength for frame in frames)
        model = load("procedural").placed("0.4,0.6,0.2,0.2")
        photo = np.array(decode(Path(frames[0]["source"])))
        for frame, again in zip(
            frames, model.sequence(photo, strength, seed, 3), strict=True
        ):  # the row is enough to make the frame again
            file = result.run / "masks" / frame["file_name"].replace("/smoky/", "/")
            mask = np.asarray(Image.open(file.with_suffix(".png")))
            assert np.abs(mask.astype(int) - again.mask).max() <= 1
            made = np.asarray(decode(result.run / frame["file_name"]), np.int16)
            assert np.abs(made - again.pixels).mean() < 4
            assert frame["mean_opacity"] == pytest.approx(mask.mean() / 255, abs=1e-4)
            above = np.argwhere(mask > 0.05 * 255)
            (top, left), (bottom, right) = above.min(0), above.max(0)
            assert frame["box"] == [left, top, right - left + 1, bottom - top + 1]
    card = (result.run / "card.md").read_text()
    assert "sequence of 3 frames" in card and "rises from the box 0.4,0.6,0.2,0.2" in card


def test_it_opens_as_an_ordinary_image_folder_and_as_a_labelled_set(photos, tmp_path):
    out = make(photos, tmp_path / "set").run
    rows = rows_of(out)
    for split in ("train", "validation"):
        opened = ImageFolder(str(out / split))
        assert opened.classes == ["clean", "smoky"]
        assert len(opened) == sum(row["split"] == split for row in rows)
    labelled = LabelledSet.open(out, workers=1)
    assert len(labelled.items) == len(rows) == 16
    sides = {(item.group, item.split) for item in labelled.items}
    assert len(sides) == len({group for group, _ in sides}) == 4


def test_every_frame_has_its_boxes(photos, tmp_path):
    out = make(photos, tmp_path / "set").run
    rows = {row["file_name"]: row for row in rows_of(out)}
    for split in ("train", "validation"):
        coco = json.loads((out / "annotations" / f"coco_{split}.json").read_text())
        names = {picture["id"]: picture["file_name"] for picture in coco["images"]}
        assert set(names.values()) == {name for name in rows if name.startswith(split)}
        found = {names[box["image_id"]]: box["bbox"] for box in coco["annotations"]}
        assert found == {
            name: row["box"] for name, row in rows.items() if name in names.values() and row["box"]
        }
    seen = [pair for pairs in seen_by_yolo(out).values() for pair in pairs]
    labels = {picture.relative_to(out).as_posix(): label for picture, label in seen}
    assert sorted(labels) == sorted(rows) and len(seen) == len(rows)
    for name, row in rows.items():
        label = labels[name]
        assert label.exists() == (row["label"] == "smoky")
        if row["box"]:
            x, _, width, _ = row["box"]
            assert float(label.read_text().split()[1]) == pytest.approx(
                (x + width / 2) / 96, abs=1e-5
            )
    index = json.loads((out / "gallery" / "index.json").read_text())
    assert len(index) == 1
    for entry in index:
        assert all((out / "gallery" / entry[part]).exists() for part in ("before", "after", "mask"))
        assert [one["frame"] for one in entry["frames"]] == [1, 2, 3] and entry["of"] == 3
        assert all((out / "gallery" / one["picture"]).exists() for one in entry["frames"])
    page = write_report(out).read_text(encoding="utf-8")
    assert page.count('alt="Frame ') == 3 and "frames 1, 2, 3 of 3" in page
    sequences = {row["sequence"] for row in rows.values() if row["label"] == "smoky"}
    assert f"the frames of {len(sequences)} sequences, 3 of each" in page


def test_hugging_face_opens_it_whatever_the_photos_are_called(photos, tmp_path):
    """A folder called ``test-1`` would be taken for a split."""
    from datasets import load_dataset

    (photos / "room/place0__0.png").rename(photos / "room/test.png")
    out = make(photos, tmp_path / "set").run
    opened = load_dataset("imagefolder", data_dir=str(out), cache_dir=str(tmp_path / "cache"))
    counts = {split: part.num_rows for split, part in opened.items()}
    assert set(counts) == {"train", "validation"} and sum(counts.values()) == 16
    assert set(opened["train"]["frame"]) == {None, 1, 2, 3}


def test_a_stopped_run_goes_on_and_ends_the_same(photos, tmp_path, monkeypatch):
    whole = pictures(make(photos, tmp_path / "whole", workers=2).run)
    render, calls = job.render_photo, []

    def stopping(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return render(*arguments)

    monkeypatch.setattr(job, "render_photo", stopping)
    with pytest.raises(StoppedError, match="repeat the command"):
        make(photos, tmp_path / "set", workers=1)
    monkeypatch.setattr(job, "render_photo", render)
    with pytest.raises(InputError, match=r"--frames 3, not 4"):
        make(photos, tmp_path / "set", frames=4)
    finished = make(photos, tmp_path / "set", workers=1).run
    assert pictures(finished) == whole


def test_without_frames_there_are_neither_folders_nor_columns(photos, tmp_path):
    out = make(photos, tmp_path / "set", frames=1).run
    assert not {"frame", "sequence"} & set().union(*rows_of(out))
    assert not list(out.rglob("frame-*"))
    assert "sequence" not in (out / "card.md").read_text()


def test_frames_are_counted_from_one(tmp_path):
    with pytest.raises(InputError, match=r"--frames 0: at least 1"):
        SynthConfig(("photos",), out=tmp_path, frames=0)


def test_a_cyclegan_has_no_smoke_to_move(photos, tmp_path):
    torch.save(ResnetGenerator(width=4, blocks=1).state_dict(), tmp_path / "gan.pth")
    with pytest.raises(InputError, match=r"--frames 3: .*gan.pth makes smoke"):
        make(photos, tmp_path / "set", model=str(tmp_path / "gan.pth"))
    assert not (tmp_path / "set").exists()
    with pytest.raises(InputError, match="for a still picture"):
        load(tmp_path / "gan.pth").sequence(np.zeros((8, 8, 3), np.uint8), 1.0, 0, 2)


@pytest.mark.parametrize(
    ("strength", "frames", "said"),
    [(float("nan"), 2, "strength nan"), (-1.0, 2, "strength -1"), (1.0, 0, "frames 0")],
)
def test_a_sequence_refuses_what_cannot_be(strength, frames, said):
    pixels = np.zeros((32, 40, 3), np.uint8)
    with pytest.raises(InputError, match=said):
        next(load("procedural").sequence(pixels, strength, 0, frames))
