import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from labelled import draw, write_class, write_set
from wisp import engine, metrics
from wisp.config import ClassifyConfig, EvaluateConfig
from wisp.detectors import load_detector, read_square
from wisp.errors import InputError
from wisp.jobs import classify, evaluate
from wisp.jobs.evaluate.figures import Scored, curves_json, group_rows, intervals
from wisp.jobs.evaluate.testsets import RealPicture, set_names
from wisp.jobs.evaluate.worst import overlay, worst
from wisp.report import write_report
from wisp.rundir import RunDir, read_json


def trained(root, members=1):
    config = ClassifyConfig(
        (write_set(root / "set", 24),),
        out=root / "detector",
        members=members,
        backbone="test_resnet",
        weights="none",
        size=32,
        steps=30,
        images_per_step=16,
        learning_rate=3e-3,
        backbone_learning_rate=3e-3,
        augment=False,
        workers=0,
        device="cpu",
    )
    return classify.run(config).run


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("train"))


@pytest.fixture(scope="module")
def evaluated(detector, tmp_path_factory):
    root = tmp_path_factory.mktemp("real")
    write_set(root / "indoor", 20, first=100)
    write_class(root / "steam" / "clean", 8, False, first=200)
    (root / "indoor/clean/broken.jpg").write_bytes(b"\xff\xd8nothing")
    # One smoky picture in the wrong folder is sure to be a false alarm.
    draw(999, True).save(root / "indoor/clean/veiled__0.png")
    config = EvaluateConfig(
        detector, (root / "indoor", root / "steam"), out=root / "run", bootstrap=200, workers=0,
        device="cpu",
    )  # fmt: skip
    return evaluate.run(config)


def test_scores_are_in_float32_whatever_the_processor(detector, tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "cpu_multiplies_bfloat16", lambda: True)
    used = {}
    for precision in ("auto", "bf16"):
        config = EvaluateConfig(
            detector, (write_set(tmp_path / f"set-{precision}", 4, first=100),),
            out=tmp_path / precision, precision=precision, workers=0, device="cpu",
        )  # fmt: skip
        run = evaluate.run(config).run
        used[precision] = read_json(run / "environment.json")["precision"]
    assert used == {"auto": "32", "bf16": "bf16"}


def read_scores(run):
    with (run / "predictions.csv").open() as stream:
        return list(csv.DictReader(stream))


def test_figures_are_those_of_the_written_predictions(evaluated):
    rows = read_scores(evaluated.run)
    saved = read_json(evaluated.run / "metrics.json")
    assert len(rows) == evaluated.images == saved["images"] == 49
    for name in (None, "indoor"):
        part = [row for row in rows if name in (None, row["set"])]
        scores = [float(row["score"]) for row in part]
        labels = [row["label"] == "smoky" for row in part]
        said = np.array([row["predicted"] == "smoky" for row in part])
        figures = saved["per_set"][name] if name else saved
        assert figures["auroc"]["value"] == pytest.approx(
            float(metrics.auroc(scores, labels)), abs=1e-3
        )
        within = metrics.auroc_within(scores, labels, [row["group"] for row in part])
        assert figures["auroc_within_groups"]["value"] == pytest.approx(float(within), abs=1e-3)
        assert figures["fpr"]["value"] == pytest.approx(said[~np.array(labels)].mean())
        assert figures["tpr"]["value"] == pytest.approx(said[np.array(labels)].mean())
        assert figures["auroc"]["low"] <= figures["auroc"]["value"] <= figures["auroc"]["high"]
    assert saved["auroc"]["value"] > 0.9
    counts = np.array(saved["confusion"]["counts"])
    assert counts.sum() == 49 and counts[1].sum() == 20
    assert sum(row["count"] for row in saved["calibration"]["bins"]) == 49
    area = np.trapezoid(saved["curves"]["roc"]["tpr"], saved["curves"]["roc"]["fpr"])
    assert area == pytest.approx(saved["auroc"]["value"])


def test_a_set_of_one_class_has_false_alarms_but_no_auroc(evaluated):
    steam = read_json(evaluated.run / "metrics.json")["per_set"]["steam"]
    assert steam["auroc"] == {"value": None, "low": None, "high": None}
    assert steam["tpr"]["value"] is None and steam["balanced_accuracy"]["value"] is None
    assert 0 <= steam["fpr"]["value"] <= 1 and steam["positives"] == 0
    assert evaluated.sets["steam"]["fpr"].value == steam["fpr"]["value"]


def test_the_figure_within_groups_is_said_where_groups_hold_both_classes(evaluated, detector):
    lines = evaluated.summary().splitlines()
    said = {line.split(":")[0]: "within groups 0." in line or "within groups 1." in line
            for line in lines if line.startswith(("indoor:", "steam:"))}  # fmt: skip
    assert said == {"indoor": True, "steam": False}
    page = write_report(evaluated.run).read_text(encoding="utf-8")
    assert page.count('data-label="AUROC within groups"') == 2
    saved = read_json(evaluated.run / "metrics.json")["per_set"]
    assert {name: figures["groups_of_both"] for name, figures in saved.items()} == {
        "indoor": 10,
        "steam": 0,
    }


def test_the_run_describes_itself(evaluated, detector):
    run = RunDir.open(evaluated.run, "evaluate")
    assert run.parent("detector").path == detector.resolve()
    saved = read_json(evaluated.run / "metrics.json")
    assert saved["threshold"] == read_json(detector / "detector.json")["threshold"]
    assert saved["threshold_source"] == "validation (balanced)"
    assert [row["path"].rsplit("/", 1)[1] for row in saved["skipped"]] == ["broken.jpg"]
    assert "steam: false alarms 0." in evaluated.summary() or "steam: false alarms 1." in (
        evaluated.summary()
    )
    assert evaluated.skipped == 1 and len(run.inputs["files"]) == 49
    groups = {row["group"] for row in saved["per_group"]}
    assert "place-50" in groups and saved["groups"] == len(groups)
    assert sum(row["images"] for row in saved["per_group"]) == 49


def test_training_pictures_are_compared_with_test_pictures_of_their_class(evaluated):
    rows = read_json(evaluated.run / "metrics.json")["distances"]
    of_set = {(row["set"], row["label"]): row for row in rows}
    assert set(of_set) == {("indoor", "clean"), ("indoor", "smoky"), ("steam", "clean")}
    for row in rows:
        assert row["kid"]["low"] <= row["kid"]["value"] <= row["kid"]["high"]
    # Training and test part are drawn alike, so 0 must be a possible distance.
    assert of_set["indoor", "smoky"]["kid"]["low"] <= 0.0


def test_distances_are_those_of_the_same_class_in_training(detector, evaluated):
    """Against features taken here by hand; the other class would be far off."""
    network, settings = load_detector(detector)
    network.eval()

    def features(paths):
        with torch.no_grad():
            batch = torch.stack([read_square(path, settings.size) for path in paths])
            return network.backbone.pooled(batch).double().numpy()

    learned = {
        label: features(
            Path(row["path"])
            for row in RunDir(detector).inputs["files"]
            if (row.get("split"), row.get("label")) == ("train", label)
        )
        for label in ("clean", "smoky")
    }
    tested = RunDir(evaluated.run).inputs["files"]
    rows = {
        (row["set"], row["label"]): row
        for row in read_json(evaluated.run / "metrics.json")["distances"]
    }
    for label, other in (("clean", "smoky"), ("smoky", "clean")):
        real = features(Path(row["path"]) for row in tested if f"/indoor/{label}/" in row["path"])
        row = rows["indoor", label]
        assert (row["train"], row["test"]) == (len(learned[label]), len(real))
        same = metrics.frechet_distance(learned[label], real)
        # bfloat16, where it is the faster, rounds the features of the run.
        assert row["fid"] == pytest.approx(same, rel=0.1)
        assert metrics.frechet_distance(learned[other], real) > 2 * row["fid"]


def test_worst_pictures_have_saliency(evaluated):
    rows = read_json(evaluated.run / "worst" / "index.json")
    alarm = next(row for row in rows if row["file"].endswith("veiled__0.png"))
    assert alarm["kind"] == "false alarm" and alarm["set"] == "indoor"
    picture = Image.open(evaluated.run / alarm["picture"])
    saliency = Image.open(evaluated.run / alarm["saliency"])
    assert picture.size == saliency.size
    assert np.abs(np.asarray(picture, float) - np.asarray(saliency, float)).mean() > 5


def test_overlap_with_training_is_an_error_unless_allowed(detector, tmp_path):
    source = RunDir(detector).inputs["files"][0]["path"]
    write_set(tmp_path / "real", 6, first=300)
    shutil.copy(source, tmp_path / "real/clean/known.png")
    Image.open(source).resize((60, 60)).save(tmp_path / "real/clean/resized.png")

    def config(**changes):
        return EvaluateConfig(
            detector, (tmp_path / "real",), out=tmp_path / "run", bootstrap=100, workers=0,
            pictures=0, device="cpu", **changes,
        )  # fmt: skip

    with pytest.raises(InputError, match=r"2 of 14 .*known\.png \(same file.*--allow-overlap"):
        evaluate.run(config())
    assert not (tmp_path / "run").exists()
    result = evaluate.run(config(allow_overlap=True))
    saved = read_json(result.run / "metrics.json")
    assert result.overlaps == 2 and "seen in training" in result.notes[0]
    assert {row["kind"] for row in saved["overlaps"]} == {"same file", "near-duplicate"}


def test_photos_that_the_smoke_was_learned_from_count_as_seen(detector, tmp_path):
    """detector → data set → CycleGAN: a photo known to the last of them only is found."""
    from wisp.images import decode, perceptual_hash
    from wisp.manifest import FileRecord, sha256_of

    def run(name, kind, files=(), parents=None):
        made = RunDir.create(tmp_path / name, kind, {})
        made.write_inputs([record.to_json() for record in files], parents=parents)
        return made.path

    write_set(tmp_path / "real", 4, first=300)
    photo = sorted((tmp_path / "real/smoky").iterdir())[0]
    known = FileRecord(str(photo), sha256_of(photo), "g", perceptual_hash(decode(photo)))
    gan = run("gan", "train", [known])
    dataset = run("dataset", "synth", parents={"model": gan})
    moved = tmp_path / "detector"
    shutil.copytree(detector, moved)
    files = RunDir(detector).inputs["files"]
    RunDir(moved).write_inputs(files, parents={"dataset": dataset})
    config = EvaluateConfig(
        moved, (tmp_path / "real",), out=tmp_path / "run", workers=0, device="cpu", pictures=0
    )
    with pytest.raises(InputError, match=rf"1 of \d+ test pictures.*{photo.name}"):
        evaluate.run(config)


def test_unusable_test_sets_are_refused(detector, tmp_path):
    write_class(tmp_path / "real" / "fog", 3, True)
    write_class(tmp_path / "real" / "clean", 3, False, first=400)
    config = EvaluateConfig(detector, (tmp_path / "real",), out=tmp_path / "run")
    with pytest.raises(InputError, match=r"folders clean, fog, but .* knows clean, smoky; .*fog"):
        evaluate.run(config)
    with pytest.raises(InputError, match="--positive fog"):
        evaluate.run(
            EvaluateConfig(detector, (tmp_path / "real",), out=tmp_path / "run", positive="fog")
        )
    with pytest.raises(InputError, match="twice"):
        evaluate.run(EvaluateConfig(detector, (tmp_path / "real",) * 2, out=tmp_path / "run"))
    with pytest.raises(InputError, match="not a wisp run"):
        evaluate.run(EvaluateConfig(tmp_path / "real", (tmp_path / "real",), out=tmp_path / "run"))
    (tmp_path / "run").mkdir()
    (tmp_path / "run/precious.txt").touch()
    shutil.rmtree(tmp_path / "real/fog")
    with pytest.raises(InputError, match="not empty"):
        evaluate.run(config)


def test_another_positive_class_turns_the_scores_round(detector, evaluated, tmp_path):
    write_set(tmp_path / "real", 8, first=500)

    def run(name, **changes):
        return evaluate.run(
            EvaluateConfig(
                detector,
                (tmp_path / "real",),
                out=tmp_path / name,
                bootstrap=100,
                pictures=0,
                workers=0,
                device="cpu",
                **changes,
            )
        )

    smoky, clean = run("a", threshold=0.3), run("b", positive="clean")
    assert (smoky.threshold, smoky.threshold_source) == (0.3, "--threshold")
    assert clean.threshold == 0.5
    first, second = (read_scores(result.run) for result in (smoky, clean))
    for a, b in zip(first, second, strict=True):
        assert float(a["score"]) + float(b["score"]) == pytest.approx(1, abs=1e-5)
    assert smoky.figures["auroc"].value == pytest.approx(clean.figures["auroc"].value)


def test_set_names_are_short_and_different(tmp_path):
    roots = [tmp_path / "a/indoor", tmp_path / "b/indoor", tmp_path / "steam"]
    assert set_names(roots) == ["a/indoor", "b/indoor", "steam"]


def scored(scores, labels, groups, classes=("clean", "smoky")):
    pictures = [
        RealPicture(f"{i}.jpg", "set", group, classes[label], "", "")
        for i, (label, group) in enumerate(zip(labels, groups, strict=True))
    ]
    p = np.asarray(scores, dtype=float)
    p = np.stack([1 - p, p], 1) if p.ndim == 1 else p
    return Scored(pictures, list(classes), 1, 0.5, p)


def test_worst_are_ordered_and_spread_over_groups():
    scores = [0.01, 0.02, 0.03, 0.04, 0.9, 0.99, 0.6, 0.1]
    labels = [1, 1, 1, 1, 0, 0, 1, 0]
    groups = ["a", "a", "a", "b", "c", "d", "e", "f"]
    found = worst(scored(scores, labels, groups), 3)
    assert found == [
        ("miss", 0), ("miss", 1), ("miss", 3), ("false alarm", 5), ("false alarm", 4),
    ]  # fmt: skip
    assert worst(scored(scores, labels, groups), 0) == []


def test_group_rows():
    rows = group_rows(scored([0.9, 0.2, 0.6, 0.1], [1, 1, 0, 0], ["a", "a", "a", "b"]))
    assert rows[0] == {
        "group": "a", "set": "set", "images": 3, "positives": 2,
        "mean_score": pytest.approx(1.7 / 3), "tpr": 0.5, "fpr": 1.0, "auroc": 0.5,
    }  # fmt: skip
    assert rows[1]["tpr"] is None and rows[1]["auroc"] is None and rows[1]["fpr"] == 0.0


def test_three_classes_are_averaged():
    random = np.random.default_rng(0)
    labels = np.arange(60) % 3
    p = random.dirichlet([1, 1, 1], 60) + np.eye(3)[labels] * 0.3
    p /= p.sum(1, keepdims=True)
    case = scored(p, labels, [str(i) for i in range(60)], ("a", "b", "c"))
    found = intervals(case, 200, 0)
    each = [float(metrics.auroc(p[:, k], labels == k)) for k in range(3)]
    assert found["auroc"].value == pytest.approx(np.mean(each))
    assert found["tpr"].value == pytest.approx((p[labels == 1, 1] >= 0.5).mean())


def test_long_curves_are_thinned_but_keep_their_ends():
    random = np.random.default_rng(0)
    case = scored(random.random(2000), random.integers(0, 2, 2000), [str(i) for i in range(2000)])
    roc = curves_json(case)["roc"]
    assert len(roc["fpr"]) == 400
    assert (roc["fpr"][0], roc["tpr"][0], roc["fpr"][-1], roc["tpr"][-1]) == (0, 0, 1, 1)


def test_overlay_glows_where_the_heat_is():
    heat = np.zeros((40, 40))
    heat[:20] = 1.0
    shown = np.asarray(overlay(Image.new("RGB", (80, 80), (120, 120, 120)), heat), dtype=float)
    hot, cold = shown[5], shown[75]
    assert hot.mean() > cold.mean() + 50
    assert (hot[:, 0] > hot[:, 2] + 30).all() and np.ptp(cold, axis=1).max() <= 1


def test_an_ensemble_is_measured_and_shown_as_one_detector(tmp_path):
    detector = trained(tmp_path, members=2)
    real = write_set(tmp_path / "real", 20, first=100)
    config = EvaluateConfig(
        detector,
        (real,),
        out=tmp_path / "run",
        bootstrap=100,
        workers=0,
        device="cpu",
        precision="32",
    )
    result = evaluate.run(config)
    assert result.figures["auroc"].value > 0.8
    network, settings = load_detector(detector)
    picture = sorted((real / "smoky").glob("*"))[0]
    with torch.inference_mode():
        square = read_square(picture, settings.size)[None]
        each = [member(look) for member in network.members for look in (square, square.flip(-1))]
        wanted = float(torch.stack(each).mean(0).softmax(1)[0, settings.positive_index])
    rows = {Path(row["file"]): row for row in read_scores(result.run) if row["label"] == "smoky"}
    row = next(row for path, row in rows.items() if path.name == picture.name)
    assert float(row["score"]) == pytest.approx(wanted, abs=1e-4)
    page = write_report(result.run).read_text(encoding="utf-8")
    assert "2 × test_resnet" in page and "2 averaged, each test_resnet" in page
    assert "Curves of the first of 2 members." in page
    assert "(that of its first member, where it has several)" in page
