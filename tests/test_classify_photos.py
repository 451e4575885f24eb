"""A detector trained on photos, under smoke that is drawn at each step."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenes import scene
from synthesis import tiny_run
from wisp import shipped
from wisp.config import ClassifyConfig
from wisp.data import LabelledSet, PictureDataset
from wisp.errors import InputError
from wisp.jobs import classify
from wisp.jobs.classify.drawing import Drawing
from wisp.report import write_report
from wisp.rundir import RunDir, read_json

QUICK = {
    "smoke": "procedural", "backbone": "test_resnet", "weights": "none", "size": 32, "steps": 30,
    "images_per_step": 16, "learning_rate": 3e-3, "backbone_learning_rate": 3e-3,
    "validate_every": 10, "patience": 0, "workers": 0, "device": "cpu",
}  # fmt: skip


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for number in range(24):
        # Dark rooms, so that the smoke of most colours shows.
        dark = np.asarray(scene(80, 60, seed=number)) // 3
        Image.fromarray(dark).save(folder / f"room{number // 2}__{number % 2}.png")
    return folder


def config(photos: Path, out: Path, **changes: object) -> ClassifyConfig:
    return ClassifyConfig((photos,), out=out, **{**QUICK, **changes})


@pytest.fixture(scope="module")
def trained(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> classify.ClassifyResult:
    return classify.run(config(photos, tmp_path_factory.mktemp("run") / "detector"))


def test_it_learns_and_describes_itself(trained: classify.ClassifyResult, photos: Path) -> None:
    assert trained.classes == ["clean", "smoky"] and trained.steps == 30
    assert trained.auroc.value > 0.7
    run = RunDir(trained.run)
    assert {record.sha256 for record in run.files_seen()} >= {
        row["sha256"] for row in run.inputs["files"]
    }
    assert len(run.inputs["files"]) == 24 and run.inputs["parents"].keys() == {"lookalikes"}
    lender = run.parent("lookalikes")
    assert lender is not None and lender.path.samefile(shipped.resolve("layered"))
    # What it validates on is a labelled set that can be looked at.
    held = LabelledSet.open(trained.run / "validation")
    assert held.classes == ["clean", "smoky"] and len(held.items) == trained.validation_images
    with (trained.run / "validation_predictions.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert all(Path(row["file"]).is_file() for row in rows)
    assert {row["group"] for row in rows}.isdisjoint(
        row["group"] for row in run.inputs["files"] if row["split"] == "train"
    )
    assert "smoky" in write_report(trained.run).read_text()


def test_the_same_seed_trains_the_same_detector_for_any_workers(
    trained: classify.ClassifyResult, photos: Path, tmp_path: Path
) -> None:
    again = classify.run(config(photos, tmp_path / "again", workers=2))
    assert again.auroc == trained.auroc
    weights = [(run / "model.safetensors").read_bytes() for run in (trained.run, again.run)]
    assert weights[0] == weights[1]
    other = classify.run(config(photos, tmp_path / "other", seed=1))
    assert read_json(other.run / "detector.json") != read_json(trained.run / "detector.json")


def test_each_step_shows_other_smoke_and_only_where_it_belongs(photos: Path) -> None:
    drawing = Drawing.of(config(photos, Path("unused"), negatives=""))
    paths = sorted(photos.iterdir())[:4]

    def changed(pixels: np.ndarray, target: int, seed: int) -> np.ndarray:
        return drawing(pixels, target == 1, seed)

    plain = PictureDataset(paths * 2, [0] * 4 + [1] * 4, size=32)
    drawn = PictureDataset(paths * 2, [0] * 4 + [1] * 4, size=32, change=changed)
    for index in range(8):
        clean = plain[index][0]
        first, again, later = (drawn.augmented(index, step, 0) for step in (0, 0, 1))
        assert bool((first == again).all())
        assert bool((first == clean).all()) == (index < 4)
        assert bool((first == later).all()) == (index < 4)
        assert bool((drawn[index][0] == clean).all())  # in order, nothing is changed


def test_a_head_alone_learns_from_pictures_under_smoke_too(photos: Path, tmp_path: Path) -> None:
    """Its features are computed once: of pictures as they are changed, augmented or not."""
    options = {"preset": "frozen-head", "steps": 60, "strength": "3", "negatives": ""}
    assert classify.run(config(photos, tmp_path / "head", **options)).auroc.value > 0.7


def test_a_model_that_repaints_is_refused(photos: Path, tmp_path: Path) -> None:
    gan = tiny_run(tmp_path / "gan")
    with pytest.raises(InputError, match="repaints photos, and a detector would learn its traces"):
        classify.run(config(photos, tmp_path / "run", smoke=str(gan)))
    assert not (tmp_path / "run").exists()


def test_half_of_the_clean_pictures_are_look_alikes_and_no_fault_tells_the_class(
    photos: Path,
) -> None:
    drawing = Drawing.of(config(photos, Path("unused"), negatives="lowlight", strength="0"))
    pixels = np.full((32, 32, 3), 120, np.uint8)
    darker = [
        np.mean([drawing(pixels, smoky, seed).mean() < 100 for seed in range(200)])
        for smoky in (False, True)
    ]
    assert darker[0] == darker[1] and 0.4 < darker[0] < 0.6
    assert (pixels == 120).all()
    steam = Drawing.of(config(photos, Path("unused"), negatives="steam", strength="0"))
    changed = [
        np.mean([(steam(pixels, smoky, seed) != pixels).any() for seed in range(60)])
        for smoky in (False, True)
    ]
    assert 0.3 < changed[0] < 0.7 and changed[1] == 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"smoke": None, "strength": "2"}, "--strength 2: is of the smoke"),
        ({"smoke": None, "negatives": "blur"}, "--negatives blur: is of the smoke"),
        ({"strength": "2:1"}, "--strength 2:1"),
        ({"negatives": "fog"}, "--negatives fog"),
        ({"positive": "clean"}, "--positive clean"),
    ],
)
def test_flags_that_do_not_fit_are_refused(changes: dict, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        config(tmp_path, tmp_path / "run", **changes)


def test_photos_that_cannot_be_learned_from_are_said(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    for number in range(3):
        scene(64, 48, seed=number).save(tmp_path / "one" / f"room__{number}.png")
    for folder, changes, said in (
        (tmp_path / "one", {}, "all 3 pictures are one group"),
        (tmp_path / "none", {}, "no such file or folder"),
        (photos, {"smoke": "no-such-model"}, "there is no such model"),
    ):
        with pytest.raises(InputError, match=said):
            classify.run(config(folder, tmp_path / "run", **changes))
        assert not (tmp_path / "run").exists()
