import csv
import os
import shutil

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from labelled import write_set
from wisp import engine
from wisp.config import PredictConfig
from wisp.detectors import DetectorSettings, load_detector, save_detector, worker_count
from wisp.errors import InputError
from wisp.jobs import predict
from wisp.networks.backbone import load_backbone
from wisp.networks.detector import Detector
from wisp.rundir import RunDir, read_json, write_json


@pytest.fixture
def detector(tmp_path):
    torch.manual_seed(0)
    backbone = load_backbone("test_resnet", "random")
    net = Detector(backbone, ["clean", "smoky"]).eval()
    run = RunDir.create(tmp_path / "detector", "classify", {})
    settings = DetectorSettings(
        "test_resnet", 0, ["clean", "smoky"], "smoky", 32, 0.5, "balanced",
        list(backbone.mean), list(backbone.std), {},
    )  # fmt: skip
    save_detector(run.path, net, settings)
    return run.path


@pytest.fixture
def pictures(tmp_path):
    return write_set(tmp_path / "pictures", 4)


def test_every_picture_gets_a_score_and_a_label(detector, pictures, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(engine, "cpu_multiplies_bfloat16", lambda: True)
    config = PredictConfig(
        detector, (str(pictures),), out=tmp_path / "out.csv", threshold=0.51, device="cpu"
    )
    result = predict.run(config)
    assert len(result.predictions) == 8 and result.positive == "smoky"
    assert (result.threshold, result.threshold_source) == (0.51, "--threshold")
    assert result.precision == "32"
    assert "threshold 0.510, by --threshold; computed on cpu" in capsys.readouterr().err
    assert [path for path, _, _ in result.rows] == sorted(path for path, _, _ in result.rows)
    for found in result.predictions:
        assert 0 <= found.score <= 1
        assert found.label == ("smoky" if found.score >= 0.51 else "clean")
    with (tmp_path / "out.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["file"] for row in rows] == [str(path) for path, _, _ in result.rows]
    assert [row["label"] for row in rows] == [label for _, _, label in result.rows]


def test_what_wisp_did_not_write_is_not_written_over(detector, pictures, tmp_path):
    folder, out = tmp_path / "photos", tmp_path / "scores.csv"
    folder.mkdir()
    photo = folder / "a.jpg"
    Image.new("RGB", (40, 30), "white").save(photo)
    before = photo.read_bytes()
    os.mkfifo(tmp_path / "pipe")
    for given in (photo, folder, tmp_path / "pipe"):
        with pytest.raises(InputError, match="--out"):
            predict.run(PredictConfig(detector, (str(folder),), out=given))
    assert photo.read_bytes() == before
    for _ in range(2):  # its own table it replaces
        predict.run(PredictConfig(detector, (str(folder),), out=out))
        assert len(out.read_text().splitlines()) == 2


def test_threshold_at_the_ends(detector, pictures):
    labels = [
        {found.label for found in predict.run(
            PredictConfig(detector, (str(pictures),), threshold=t, device="cpu")
        ).predictions}
        for t in (0.0, 1.0)
    ]  # fmt: skip
    assert labels == [{"smoky"}, {"clean"}]


def test_bad_files_are_skipped_and_only_nothing_left_is_an_error(detector, pictures, tmp_path):
    (pictures / "text.jpg").write_text("not a picture")
    (pictures / "gone.png").symlink_to(tmp_path / "nowhere.png")
    result = predict.run(PredictConfig(detector, (str(pictures),), device="cpu"))
    assert len(result.predictions) == 8
    assert {skipped.path.name for skipped in result.skipped} == {"text.jpg", "gone.png"}
    assert all(skipped.reason for skipped in result.skipped)
    lines = result.summary().splitlines()
    assert len(lines) == 10 and sum(line.startswith("skipped") for line in lines) == 2
    with pytest.raises(InputError, match=r"text\.jpg: .*none of 1 files"):
        predict.run(PredictConfig(detector, (str(pictures / "text.jpg"),), device="cpu"))
    with pytest.raises(InputError, match="out"):
        predict.run(PredictConfig(detector, (str(pictures),), out=tmp_path, device="cpu"))


def test_a_picture_scores_the_same_alone_and_among_others(detector, pictures):
    together = predict.run(PredictConfig(detector, (str(pictures),), device="cpu", precision="32"))
    found = together.predictions[5]
    alone = predict.run(
        PredictConfig(detector, (str(found.path),), device="cpu", precision="32")
    ).predictions[0]
    assert alone.score == pytest.approx(found.score, abs=1e-5)


def test_damaged_detectors_are_named(detector, pictures):
    def run():
        predict.run(PredictConfig(detector, (str(pictures),), device="cpu"))

    whole = (detector / "model.safetensors").read_bytes()
    (detector / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"model\.safetensors: damaged"):
        run()
    (detector / "model.safetensors").write_bytes(whole)
    settings = read_json(detector / "detector.json")
    write_json(detector / "detector.json", {**settings, "hidden": 8})
    with pytest.raises(InputError, match=r"does not fit detector\.json"):
        run()
    write_json(detector / "detector.json", {**settings, "members": 0})
    with pytest.raises(InputError, match="has 0 members"):
        run()
    del settings["threshold"]
    write_json(detector / "detector.json", settings)
    with pytest.raises(InputError, match="lacks 'threshold'"):
        run()
    (detector / "detector.json").unlink()
    with pytest.raises(InputError, match="did not finish"):
        run()


def test_scores_that_are_not_finite_are_refused(detector, pictures, tmp_path):
    spoilt = shutil.copytree(detector, tmp_path / "spoilt")
    state = load_file(spoilt / "model.safetensors")
    large = {k: v * 1e30 if v.is_floating_point() else v for k, v in state.items()}
    save_file(large, spoilt / "model.safetensors")
    with pytest.raises(InputError, match=r"DETECTOR .*spoilt: what it says is not finite"):
        predict.run(PredictConfig(spoilt, (str(pictures),)))


def test_loading_leaves_the_random_state_alone(detector):
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    load_detector(detector)
    assert torch.equal(torch.rand(1), expected)


def test_worker_count():
    assert worker_count(0) == 0 and worker_count(3) == 3
    assert 1 <= worker_count(None) <= 8
