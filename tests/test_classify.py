import csv
import importlib
import itertools
import json
import re
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from labelled import draw, write_class, write_set
from wisp import cli
from wisp.config import ClassifyConfig, from_json
from wisp.data import LabelledSet
from wisp.detectors import load_detector, read_square, score_pictures
from wisp.engine import make_engine
from wisp.errors import InputError, TrainingDivergedError
from wisp.jobs import classify
from wisp.jobs.classify.fit import Check, head_groups, network_groups, rate_factor
from wisp.networks.backbone import load_backbone
from wisp.report import write_report
from wisp.rundir import RunDir, read_json, read_jsonl

QUICK = {
    "backbone": "test_resnet",
    "weights": "none",
    "size": 32,
    "steps": 40,
    "images_per_step": 16,
    "learning_rate": 3e-3,
    "backbone_learning_rate": 3e-3,
    "validate_every": 10,
    "patience": 0,
    "workers": 0,
    "device": "cpu",
}


def config(root, out, **changes):
    roots = root if isinstance(root, tuple) else (root,)
    return ClassifyConfig(roots, out=out, **{**QUICK, **changes})


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    return write_set(tmp_path_factory.mktemp("set"), 40)


@pytest.fixture(scope="module")
def trained(labelled, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "detector"
    return classify.run(config(labelled, out))


def test_full_training_learns_and_describes_itself(trained, labelled):
    assert trained.stopped == "finished" and trained.steps == 40
    assert trained.auroc.value > 0.95
    assert trained.auroc.low <= trained.auroc.value <= trained.auroc.high
    run = RunDir.open(trained.run, "classify")
    assert from_json(ClassifyConfig, run.config).steps == 40
    rows = read_jsonl(run.metrics_file)
    losses = [row["loss"] for row in rows if "loss" in row]
    assert len(losses) == 4 and losses[-1] < 0.3  # chance is 0.69
    assert [row["step"] for row in rows if "validation" in row] == [10, 20, 30, 40]
    settings = read_json(trained.run / "detector.json")
    assert settings["classes"] == ["clean", "smoky"] and settings["positive"] == "smoky"
    assert settings["threshold"] == trained.threshold and settings["size"] == 32
    assert settings["validation"]["auroc"]["value"] == trained.auroc.value
    assert run.parent("dataset") is None and "dataset" in run.inputs["parents"]
    files = run.inputs["files"]
    assert len(files) == 80 and all(len(row["sha256"]) == 64 for row in files)
    train = {row["group"] for row in files if row["split"] == "train"}
    held = {row["group"] for row in files if row["split"] == "validation"}
    assert train and held and not train & held
    with (trained.run / "validation_predictions.csv").open() as stream:
        predictions = list(csv.DictReader(stream))
    assert len(predictions) == trained.validation_images
    for row in predictions:
        assert (float(row["score"]) >= trained.threshold) == (row["predicted"] == "smoky")
    assert json.loads((trained.run / "result.json").read_text())["auroc"]["value"] is not None


def test_batch_norm_keeps_its_statistics_only_where_weights_gave_some(trained, labelled, tmp_path):
    given = load_backbone("test_resnet", "none").net.state_dict()
    given["bn1.running_mean"] += 0.5
    torch.save(given, tmp_path / "weights.pth")
    weights = str(tmp_path / "weights.pth")
    kept = classify.run(config(labelled, tmp_path / "kept", weights=weights, steps=2))
    statistics, own = (
        load_detector(run)[0].backbone.net.bn1.running_mean for run in (kept.run, trained.run)
    )
    assert bool((statistics == 0.5).all())
    assert bool((own != 0).any())
    assert not read_json(trained.run / "config.json")["freeze_norm"]
    with pytest.raises(InputError, match="--images-per-step 1"):
        config(labelled, tmp_path / "one", images_per_step=1)


def check_saved_scores(result):
    """The saved detector gives, in float32, the scores that its threshold was chosen by."""
    detector, settings = load_detector(result.run)
    with (result.run / "validation_predictions.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    engine = make_engine("cpu", answers=True)
    assert engine.precision == "32"
    scores = score_pictures(detector, [r["file"] for r in rows], settings.size, engine, 0)
    found = scores.probabilities[:, settings.positive_index]
    assert found == pytest.approx([float(r["score"]) for r in rows], abs=1e-4)
    assert settings.threshold == result.threshold


@pytest.mark.parametrize("precision", ["32", "bf16"])
def test_scores_are_those_of_float32_however_it_was_trained(labelled, tmp_path, precision):
    changes = {"weights": "random", "steps": 2, "precision": precision}
    trained = classify.run(config(labelled, tmp_path / "run", **changes))
    assert read_json(trained.run / "environment.json")["precision"] == precision
    check_saved_scores(trained)


@pytest.mark.parametrize(("members", "freeze_norm"), [(1, False), (2, True)])
def test_a_share_of_the_pretrained_weights_is_mixed_into_the_backbone(
    labelled, tmp_path, members, freeze_norm
):
    given = load_backbone("test_resnet", "none")
    torch.save(given.net.state_dict(), tmp_path / "weights.pth")
    changes = {
        "weights": str(tmp_path / "weights.pth"),
        "steps": 4,
        "members": members,
        "freeze_norm": freeze_norm,
        "precision": "32",
    }
    made = {
        share: classify.run(
            config(labelled, tmp_path / f"{share}", pretrained_share=share, **changes)
        )
        for share in (0.0, 0.4)
    }
    learned, mixed = (load_detector(result.run)[0] for result in made.values())
    before = given.state_dict()
    for one, other in zip(learned.members, mixed.members, strict=True):
        whole, brought_back = one.backbone.state_dict(), other.backbone.state_dict()
        moved = {name for name in whole if not torch.equal(whole[name], before[name])}
        assert len(moved) > 10
        statistics = {name for name in moved if "running_" in name or "num_batches" in name}
        assert bool(statistics) != freeze_norm
        for name, tensor in whole.items():
            expected = tensor  # a number of batches
            if tensor.is_floating_point():
                expected = 0.6 * tensor + 0.4 * before[name]
            torch.testing.assert_close(brought_back[name], expected)
        for name, tensor in one.head.state_dict().items():
            assert torch.equal(tensor, other.head.state_dict()[name])
    # Scores and threshold are those of the detector as it is kept.
    for result in made.values():
        check_saved_scores(result)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pretrained_share": 1.0, "weights": "hub"}, "--pretrained-share 1.0: from 0"),
        ({"pretrained_share": -0.1, "weights": "hub"}, "--pretrained-share -0.1"),
        ({"pretrained_share": float("nan"), "weights": "hub"}, "--pretrained-share nan"),
        ({"pretrained_share": 0.3}, "--weights none are not pretrained"),
        ({"pretrained_share": 0.3, "weights": "hub", "finetune": "head"}, "--finetune head"),
    ],
)
def test_a_pretrained_share_that_means_nothing_is_refused(labelled, tmp_path, changes, words):
    with pytest.raises(InputError, match=words):
        config(labelled, tmp_path / "run", **changes)


def test_saved_detector_gives_the_validation_scores_again(trained):
    check_saved_scores(trained)


def test_a_picture_and_its_mirror_image_get_the_same_score(trained, tmp_path):
    """And it is that of neither alone: what sways a detector one way only cancels out."""
    detector, settings = load_detector(trained.run)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    for number, picture in enumerate(pixels):
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
        Image.fromarray(picture[:, ::-1].copy()).save(tmp_path / f"{number}-mirrored.png")
    one, other = (
        [tmp_path / f"{number}{end}.png" for number in range(4)] for end in ("", "-mirrored")
    )
    engine = make_engine("cpu", "32", 0)
    scores, mirrored = (
        score_pictures(detector, paths, settings.size, engine, 0).probabilities
        for paths in (one, other)
    )
    assert scores == pytest.approx(mirrored, abs=1e-6)
    with torch.inference_mode():
        views = [
            detector(torch.stack([read_square(path, settings.size) for path in paths])).double()
            for paths in (one, other)
        ]
    assert not torch.allclose(views[0], views[1], atol=1e-3)
    assert scores == pytest.approx(((views[0] + views[1]) / 2).softmax(1).numpy(), abs=1e-5)


def test_same_seed_same_detector(labelled, tmp_path):
    runs = [classify.run(config(labelled, tmp_path / n, steps=5, seed=3)) for n in "ab"]
    first, second = (load_detector(run.run)[0].state_dict() for run in runs)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_members_are_trained_one_by_one_and_asked_together(labelled, tmp_path):
    single = classify.run(config(labelled, tmp_path / "one", steps=5, seed=3))
    several = classify.run(config(labelled, tmp_path / "two", steps=5, seed=3, members=2))
    assert (single.member_steps, several.member_steps) == ([5], [5, 5])
    assert "2 members trained for 5 and 5 steps" in several.summary()
    one, _ = load_detector(single.run)
    both, settings = load_detector(several.run)
    assert (settings.members, len(both.members)) == (2, 2)
    first, second = (member.state_dict() for member in both.members)
    # The first is what it would be alone; the second began and went on otherwise.
    assert all(torch.equal(first[name], tensor) for name, tensor in one.state_dict().items())
    stem = next(name for name in first if name.endswith("conv1.weight"))
    for name in ("head.weight", stem):
        assert not torch.allclose(first[name], second[name], atol=1e-3)
    rows = read_jsonl(several.run / "metrics.jsonl")
    steps = {number: [r["step"] for r in rows if r.get("member", 0) == number] for number in (0, 1)}
    assert steps[0] == steps[1] and len(steps[0]) > 0
    assert several.auroc != single.auroc or several.threshold != single.threshold


@pytest.mark.parametrize("validate_every", [1, 10])
def test_ctrl_c_in_a_later_member_leaves_it_out(labelled, tmp_path, monkeypatch, validate_every):
    """Whether or not there has been a validation that it could go back to."""
    fit = importlib.import_module("wisp.jobs.classify.fit")
    real, calls = fit._step, []

    def interrupted(*args):
        calls.append(1)
        if len(calls) == 8:  # in the third step of the second member
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(fit, "_step", interrupted)
    changes = {"steps": 5, "members": 3, "validate_every": validate_every}
    result = classify.run(config(labelled, tmp_path / "run", **changes))
    assert (result.member_steps, result.stopped) == ([5], "interrupted")
    assert result.notes[-1] == "Stopped by Ctrl-C in member 2 of 3, which is left out."
    assert load_detector(result.run)[1].members == 1
    assert result.notes[-1] in write_report(result.run).read_text(encoding="utf-8")


@pytest.mark.parametrize("augment", [False, True])
def test_head_training_leaves_the_backbone_alone(labelled, tmp_path, augment):
    changes = {"finetune": "head", "hidden": 16, "augment": augment, "weights": "random"}
    result = classify.run(config(labelled, tmp_path / "head", **changes))
    detector, _ = load_detector(result.run)
    backbone = load_backbone("test_resnet", "random")
    for name, tensor in backbone.state_dict().items():
        torch.testing.assert_close(detector.backbone.state_dict()[name], tensor)
    assert detector.head[0].out_features == 16
    assert result.auroc.value > 0.8


def test_head_on_features_is_the_head_on_pictures(labelled, tmp_path):
    changes = {"finetune": "head", "augment": False, "weights": "random", "precision": "32"}
    result = classify.run(config(labelled, tmp_path / "head", **changes))
    checks = [r for r in read_jsonl(result.run / "metrics.jsonl") if "validation" in r]
    best = next(r for r in checks if r["step"] == result.best_step)
    # The loop measured on features what the finished detector does on pictures.
    assert best["validation"]["auroc"] == pytest.approx(result.auroc.value)


def test_early_stop_restores_the_best_weights(labelled, tmp_path):
    changes = {"learning_rate": 0.2, "backbone_learning_rate": 0.2, "patience": 2, "steps": 400}
    result = classify.run(config(labelled, tmp_path / "run", **changes, validate_every=2))
    assert result.stopped == "early"
    assert result.steps == result.best_step + 2 * 2 < 400
    rows = read_jsonl(result.run / "metrics.jsonl")
    checks = {r["step"]: r["validation"]["loss"] for r in rows if "validation" in r}
    assert checks[result.best_step] == min(checks.values())


def test_ctrl_c_keeps_the_best_weights_so_far(labelled, tmp_path, monkeypatch, capsys):
    fit = importlib.import_module("wisp.jobs.classify.fit")
    real, calls = fit._step, []

    def interrupted(*args):
        calls.append(1)
        if len(calls) == 25:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(fit, "_step", interrupted)
    result = classify.run(config(labelled, tmp_path / "run"))
    assert (result.stopped, result.steps) == ("interrupted", 24)
    assert result.best_step in (10, 20) and "Ctrl-C" in result.notes[-1]
    load_detector(result.run)
    calls.clear()
    flags = [part for name, value in QUICK.items() for part in (f"--{name}", str(value))]
    assert cli.main(["classify", str(labelled), "--out", str(tmp_path / "told"), *flags]) == 130
    assert "Ctrl-C at step 24 of 40" in capsys.readouterr().out
    calls[:] = [1] * 20
    with pytest.raises(KeyboardInterrupt):
        classify.run(config(labelled, tmp_path / "early"))
    with pytest.raises(InputError, match="did not finish"):
        load_detector(tmp_path / "early")


def test_a_loss_that_is_no_number_is_said(labelled, tmp_path):
    changes = {"learning_rate": 0.99, "backbone_learning_rate": 0.99, "precision": "32"}
    fit = importlib.import_module("wisp.jobs.classify.fit")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit.F, "cross_entropy", lambda *a, **k: a[0].sum() * float("nan"))
        with pytest.raises(TrainingDivergedError, match=r"nan at step 1; .*--learning-rate 0\.99"):
            classify.run(config(labelled, tmp_path / "run", **changes))


def test_split_by_file_leaks_and_says_so(tmp_path):
    write_set(tmp_path / "set", 30)
    result = classify.run(config(tmp_path / "set", tmp_path / "run", split="file", steps=1))
    files = RunDir(result.run).inputs["files"]
    sides = {s: {r["group"] for r in files if r["split"] == s} for s in ("train", "validation")}
    assert sides["train"] & sides["validation"]
    assert sum(r["split"] == "validation" for r in files) == 12
    assert any("both sides" in note for note in result.notes)


def test_folders_decide_and_several_sets_are_joined(tmp_path):
    for split, count, first in (("train", 20, 0), ("validation", 8, 20)):
        write_class(tmp_path / "a" / split / "clean", count, False, first)
        write_class(tmp_path / "a" / split / "smoky", count, True, first)
    write_set(tmp_path / "b", 16, first=40)
    result = classify.run(config((tmp_path / "a", tmp_path / "b"), tmp_path / "run", steps=2))
    files = RunDir(result.run).inputs["files"]
    for row in files:
        if "/a/" in row["path"]:
            assert f"/{row['split']}/" in row["path"]
    drawn = [row["split"] for row in files if "/b/" in row["path"]]
    assert {"train", "validation"} == set(drawn)
    assert set(RunDir(result.run).inputs["parents"]) == {"dataset-0", "dataset-1"}


def test_one_photo_on_both_sides_is_refused(tmp_path):
    for split in ("train", "validation"):
        write_set(tmp_path / "set" / split, 8)
    with pytest.raises(InputError, match=r"16 photos .*--split group"):
        classify.run(config(tmp_path / "set", tmp_path / "run"))
    result = classify.run(config(tmp_path / "set", tmp_path / "run2", split="group", steps=1))
    assert result.validation_groups < 5
    few, note = result.notes
    clean, smoky = map(int, re.findall(r"\d+", few))
    assert 2 * (clean + smoky) == result.training_images > 0  # every photo lies there twice
    assert (
        few.startswith(f"Photos to learn from: {clean} clean and {smoky} smoky")
        and few in result.summary()
    )
    assert note.startswith(f"Validation rests on too few places ({result.validation_groups}; 5")
    assert note in result.summary()


def test_a_group_on_both_sides_is_noted(tmp_path):
    write_class(tmp_path / "set/train/clean", 7, False)
    write_class(tmp_path / "set/train/smoky", 7, True)
    write_class(tmp_path / "set/validation/clean", 5, False, first=7)
    write_class(tmp_path / "set/validation/smoky", 5, True, first=7)
    result = classify.run(config(tmp_path / "set", tmp_path / "run", steps=1))
    assert any("place-3" in note for note in result.notes)


def test_sets_that_cannot_work_are_refused(tmp_path):
    write_set(tmp_path / "set", 8)
    with pytest.raises(InputError, match="--positive fire: the classes are clean, smoky"):
        classify.run(config(tmp_path / "set", tmp_path / "run", positive="fire"))
    write_class(tmp_path / "one" / "smoky", 8, True)
    with pytest.raises(InputError, match="only the class smoky"):
        classify.run(config(tmp_path / "one", tmp_path / "run1"))
    shutil.copytree(tmp_path / "set" / "smoky", tmp_path / "other" / "fog")
    shutil.copytree(tmp_path / "set" / "clean", tmp_path / "other" / "clean")
    with pytest.raises(InputError, match=r"set has the classes clean, smoky, but .*clean, fog"):
        classify.run(config((tmp_path / "set", tmp_path / "other"), tmp_path / "run2"))
    write_class(tmp_path / "few/train/clean", 4, False)
    write_class(tmp_path / "few/train/smoky", 4, True)
    write_class(tmp_path / "few/validation/clean", 4, False, first=4)
    with pytest.raises(InputError, match="validation part holds no picture of smoky"):
        classify.run(config(tmp_path / "few", tmp_path / "run3"))
    assert not list(tmp_path.glob("run*"))  # so that --out is free for the next try


def test_bad_files_are_skipped_and_listed(tmp_path):
    write_set(tmp_path / "set", 16)
    (tmp_path / "set/clean/empty.jpg").touch()
    (tmp_path / "set/smoky/text.jpg").write_text("hello")
    result = classify.run(config(tmp_path / "set", tmp_path / "run", steps=1))
    assert result.skipped == 2
    skipped = RunDir(result.run).inputs["skipped"]
    assert {row["path"].rsplit("/", 1)[1] for row in skipped} == {"empty.jpg", "text.jpg"}


def test_three_classes(tmp_path):
    write_set(tmp_path / "set", 24)
    (tmp_path / "set/dark").mkdir()
    for index in range(24):
        picture = draw(1000 + index, False).point(lambda v: v // 6)
        picture.save(tmp_path / f"set/dark/place-{index // 2}__{index:03d}.png")
    result = classify.run(config(tmp_path / "set", tmp_path / "run"))
    assert result.classes == ["clean", "dark", "smoky"]
    assert result.auroc.value > 0.8


def test_learning_rates_fall_towards_the_stem(tmp_path):
    backbone, head = load_backbone("resnet10t", "none"), torch.nn.Linear(512, 2)
    settings = config(tmp_path, tmp_path / "run", learning_rate=1e-2, backbone_learning_rate=1e-3)
    groups = network_groups(backbone, head, settings)
    rates = {id(p): group["lr"] for group in groups for p in group["params"]}
    assert len(rates) == len(list(backbone.parameters())) + 2
    assert rates[id(head.weight)] == 1e-2
    assert rates[id(backbone.net.layer4[0].conv1.weight)] == 1e-3
    assert rates[id(backbone.net.conv1[0].weight)] == pytest.approx(1e-3 * 0.7**4)
    decays = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    assert decays[id(head.bias)] == 0 and decays[id(head.weight)] == settings.weight_decay
    assert len(head_groups(head, settings)) == 2


def test_schedule_warms_up_and_ends_near_zero():
    factors = [rate_factor(step, 100) for step in range(100)]
    assert factors[:10] == pytest.approx([0.1 * (i + 1) for i in range(10)])
    assert max(factors) == 1.0 and factors[-1] < 0.001
    assert all(a >= b for a, b in itertools.pairwise(factors[10:]))
    assert rate_factor(0, 1) == 1.0


def test_check_of_perfect_logits():
    check = Check.of(torch.tensor([[3.0, -3.0], [-3.0, 3.0]]), torch.tensor([0, 1]), 1)
    assert (check.auroc, check.balanced_accuracy) == (1.0, 1.0)
    assert check.loss == pytest.approx(0.00248, abs=1e-4)


def test_detectors_see_pictures_as_training_does(labelled):
    from wisp.data import PictureDataset

    item = LabelledSet.open(labelled).items[0]
    expected = PictureDataset([item.path], [0], size=32)[0][0]
    torch.testing.assert_close(read_square(item.path, 32), expected)
