"""Comparing sources of smoke: the same budget for all, and figures that can be recounted."""

import csv
import dataclasses
import json
import shutil
from hashlib import sha256

import numpy as np
import pytest
from PIL import Image

import wisp
from labelled import write_class, write_set
from wisp import engine, metrics, shipped
from wisp.config import CompareConfig, parse_models
from wisp.data import LabelledSet
from wisp.errors import InputError, StoppedError
from wisp.images import jpeg_recipe
from wisp.jobs import classify, compare, evaluate, synth
from wisp.jobs.compare.datasets import Photos, make_dataset, plan_real, synth_config
from wisp.rundir import RunDir, read_json, read_jsonl, write_json

MODELS = "procedural,real,mix=procedural+real"


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    root = tmp_path_factory.mktemp("photos")
    write_class(root / "clean", 20, False)
    write_class(root / "smoky", 14, True, first=100)
    write_set(root / "real" / "indoor", 16, first=200)
    write_class(root / "real" / "steam" / "clean", 6, False, first=300)
    return root


def configured(photos, out, **changes):
    flags = {
        "models": MODELS, "seeds": 2, "backbone": "test_resnet", "weights": "none", "size": 32,
        "steps": 2, "images_per_step": 8, "workers": 0, "device": "cpu",
    }  # fmt: skip
    return CompareConfig(
        photos / "clean", photos / "smoky", (photos / "real",), out=out, **{**flags, **changes}
    )


@pytest.fixture(scope="module")
def compared(photos, tmp_path_factory):
    config = configured(photos, tmp_path_factory.mktemp("compared") / "run")
    return wisp.compare(**{name: getattr(config, name) for name in config.__dataclass_fields__})


@pytest.fixture(scope="module")
def saved(compared):
    return read_json(compared.run / "compare.json")


def rows_of(run, model, seed):
    return read_jsonl(run / f"seed-{seed}" / model / "dataset" / "metadata.jsonl")


def predictions(run, model, seed, set_name):
    with (run / f"seed-{seed}" / model / "eval" / "predictions.csv").open() as stream:
        return [row for row in csv.DictReader(stream) if row["set"] == set_name]


def test_every_model_and_seed_is_a_chain_of_ordinary_runs(compared):
    for seed in (0, 1):
        for model in ("procedural", "real", "mix"):
            place = compared.run / f"seed-{seed}" / model
            for part, kind in (
                ("dataset", "synth"),
                ("detector", "classify"),
                ("eval", "evaluate"),
            ):
                assert RunDir.open(place / part, kind).config["seed"] == (
                    seed if part != "eval" else 0
                )
                assert (place / part / "report.html").exists()
            assert read_json(place / "detector" / "result.json")["steps"] == 2
            assert LabelledSet.open(place / "dataset").classes == ["clean", "smoky"]
    assert (compared.run / "report.html").exists()
    assert len(compared.runs) == 18 and compared.reference == "real"


@pytest.mark.parametrize("seed", [0, 1])
def test_all_models_learn_from_the_same_clean_photos_on_the_same_side(compared, seed):
    def clean(model):
        return {
            (row["source_sha256"], row["split"], row["group"])
            for row in rows_of(compared.run, model, seed)
            if row["label"] == "clean"
        }

    assert len(clean("procedural")) == 20
    assert clean("procedural") == clean("real") == clean("mix")
    other = {
        (row["source_sha256"], row["split"], row["group"])
        for row in rows_of(compared.run, "real", 1 - seed)
        if row["label"] == "clean"
    }
    assert other != clean("real")


def test_real_smoke_is_split_by_group(compared):
    rows = rows_of(compared.run, "real", 0)
    smoky = [row for row in rows if row["label"] == "smoky"]
    assert len(smoky) == 14 and {row["model"] for row in smoky} == {"real"}
    sides = {}
    for row in rows:
        sides.setdefault(row["group"], set()).add(row["split"])
    assert all(len(side) == 1 for side in sides.values())


def test_real_smoke_is_encoded_as_the_clean_class_is(photos, tmp_path):
    """Else a detector could tell the classes apart by the quantisation of their files."""
    for folder, qualities in (("clean", (60, 80)), ("smoky", (95, 95))):
        (tmp_path / folder).mkdir()
        for number, file in enumerate(sorted((photos / folder).iterdir())):
            image = Image.open(file).convert("RGB")
            image.save(tmp_path / folder / f"{file.stem}.jpg", quality=qualities[number % 2])
    config = dataclasses.replace(
        configured(photos, tmp_path / "run"), clean=tmp_path / "clean", smoky=tmp_path / "smoky"
    )
    real = parse_models(MODELS)[1]
    dataset = make_dataset(config, real, 0, tmp_path / "seed-0", Photos.read(config))
    recipes = {"clean": set(), "smoky": set()}
    for row in read_jsonl(dataset / "metadata.jsonl"):
        recipes[row["label"]].add(jpeg_recipe(dataset / row["file_name"]))
    assert len(recipes["clean"]) == 2 and recipes["smoky"] == recipes["clean"]


@pytest.mark.parametrize("negatives", ["steam", "blur"])
def test_photos_that_lent_steam_its_folds_count_as_seen_by_real_smoke_too(
    photos, tmp_path, negatives
):
    config = configured(photos, tmp_path / "run", negatives=negatives)
    real = next(model for model in config.contenders if model.name == "real")
    dataset = make_dataset(config, real, 0, tmp_path / "seed-0", Photos.read(config))
    lent = {row["sha256"] for row in read_json(shipped.FOLDER / "layered" / "inputs.json")["files"]}
    seen = {record.sha256 for record in RunDir(dataset).files_seen()}
    assert (lent <= seen) == (negatives == "steam")


def test_smoky_photos_are_no_more_than_clean_ones_and_follow_their_side(photos, tmp_path):
    write_class(tmp_path / "smoky", 40, True)  # the groups of the clean photos, and more
    config = dataclasses.replace(configured(photos, tmp_path / "run"), smoky=tmp_path / "smoky")
    read = Photos.read(config)
    for seed in range(5):
        given = synth_config(config, "real", seed, config.out)
        clean, real = plan_real(given, str(config.smoky), read)
        assert len(real) == len(clean) == 20
        sides = {photo.group: photo.split for photo in clean}
        shared = [photo for photo in real if photo.group in sides]
        assert shared and all(photo.split == sides[photo.group] for photo in shared)


def test_a_mixture_takes_half_of_each_class_from_each_part(compared):
    rows = rows_of(compared.run, "mix", 0)
    smoky = [row["model"] for row in rows if row["label"] == "smoky" and row["split"] == "train"]
    parts = {
        model: sum(
            row["label"] == "smoky" and row["split"] == "train"
            for row in rows_of(compared.run, model, 0)
        )
        for model in ("procedural", "real")
    }
    assert smoky.count("procedural") == pytest.approx(parts["procedural"] / 2, abs=0.5)
    assert smoky.count("real") == pytest.approx(parts["real"] / 2, abs=0.5)
    run = RunDir.open(compared.run / "seed-0/mix/dataset")
    assert run.parent("procedural") is not None and run.parent("real") is not None


def test_figures_are_those_of_the_written_predictions(compared, saved):
    rows = {(row["set"], row["model"]): row for row in saved["leaderboard"]}
    assert len(rows) == 6
    for model in ("procedural", "real", "mix"):
        each = []
        for seed in (0, 1):
            own = predictions(compared.run, model, seed, "indoor")
            labels = [row["label"] == "smoky" for row in own]
            each.append(float(metrics.auroc([float(row["score"]) for row in own], labels)))
            alarms = [row["predicted"] == "smoky" for row in own if row["label"] == "clean"]
            assert rows["indoor", model]["seeds"][seed]["false_alarms"] == pytest.approx(
                np.mean(alarms)
            )
        row = rows["indoor", model]
        assert row["auroc"]["value"] == pytest.approx(np.mean(each))
        assert [one["auroc"] for one in row["seeds"]] == pytest.approx(each)
        assert row["auroc"]["low"] <= row["auroc"]["value"] <= row["auroc"]["high"]
        steam = rows["steam", model]
        assert steam["auroc"]["value"] is None and 0 <= steam["false_alarms"]["value"] <= 1
        assert row["kid"]["low"] <= row["kid"]["value"] <= row["kid"]["high"]
        assert steam["kid"]["value"] is None
    order = [row["auroc"]["value"] for row in saved["leaderboard"] if row["set"] == "indoor"]
    assert order == sorted(order, reverse=True)


def test_differences_are_to_the_reference(saved):
    rows = {(row["set"], row["model"]): row for row in saved["leaderboard"]}
    found = {(row["set"], row["model"]): row for row in saved["differences"]}
    assert {model for _, model in found} == {"procedural", "mix"}
    for model in ("procedural", "mix"):
        for key in ("auroc", "balanced_accuracy"):
            wanted = rows["indoor", model][key]["value"] - rows["indoor", "real"][key]["value"]
            assert found["indoor", model][key]["value"] == pytest.approx(wanted)
    assert found["steam", "mix"]["auroc"] == {"value": None, "low": None, "high": None}


def test_false_alarms_are_counted_by_group(compared, saved):
    rows = saved["false_alarms_by_group"]
    assert {row["set"] for row in rows} == {"indoor", "steam"}
    row = rows[0]
    for model in ("procedural", "real", "mix"):
        shares = [
            np.mean(
                [
                    one["predicted"] == "smoky"
                    for one in predictions(compared.run, model, seed, row["set"])
                    if (one["group"], one["label"]) == (row["group"], "clean")
                ]
            )
            for seed in (0, 1)
        ]
        assert row["models"][model] == pytest.approx(np.mean(shares))


def test_distance_and_detection_are_correlated_over_models(saved):
    found = saved["distance_and_detection"]
    assert (found["n"], found["models"]) == (3, 3)
    assert found["value"] == found["per_set"]["indoor"]
    assert found["value"] is None or -1 <= found["value"] <= 1


def test_a_killed_comparison_goes_on_and_comes_to_the_same(
    photos, compared, saved, tmp_path, monkeypatch
):
    config = configured(photos, tmp_path / "run")
    trained = []

    def killed_at_the_third(*args):
        trained.append(args)
        if len(trained) == 3:
            raise KeyboardInterrupt
        return real_run(*args)

    real_run = classify.run
    monkeypatch.setattr(classify, "run", killed_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        compare.run(config)
    monkeypatch.setattr(classify, "run", real_run)
    assert not (config.out / "result.json").exists()
    first = config.out / "seed-0/procedural/detector/model.safetensors"
    made = first.stat().st_mtime_ns
    with pytest.raises(InputError, match=r"unfinished 'compare' run with --steps 2, not 3"):
        compare.run(configured(photos, config.out, steps=3))
    # As a version before there were members has begun it.
    begun = read_json(config.out / "config.json")
    assert begun.pop("members") == 1
    write_json(config.out / "config.json", begun)
    with pytest.raises(InputError, match=r"unfinished 'compare' run with --members 1, not 2"):
        compare.run(configured(photos, config.out, members=2))
    # Where another precision would be faster by now, the rest keeps the one it began with.
    used = read_json(config.out / "environment.json")["precision"]
    monkeypatch.setattr(engine, "cpu_multiplies_bfloat16", lambda: used == "32")
    result = compare.run(config)
    assert first.stat().st_mtime_ns == made
    assert read_json(result.run / "compare.json") == saved
    for chain in read_json(result.run / "compare.json")["models"]:
        for run in chain["runs"]:
            environments = {
                part: read_json(result.run / run[part] / "environment.json")
                for part in ("detector", "evaluation")
            }
            assert environments["detector"]["precision"] == used
            assert environments["evaluation"]["precision"] == "32"
    with pytest.raises(InputError, match="holds a finished 'compare' run"):
        compare.run(config)


def test_a_training_stopped_by_ctrl_c_is_done_again(photos, tmp_path, monkeypatch):
    config = configured(photos, tmp_path / "run", seeds=1, models="procedural,real")
    real_run = classify.run

    def interrupted(given):
        result = real_run(given)
        object.__setattr__(result, "stopped", "interrupted")
        return result

    monkeypatch.setattr(classify, "run", interrupted)
    with pytest.raises(StoppedError, match="while procedural, seed 0, was trained; repeat"):
        compare.run(config)
    monkeypatch.setattr(classify, "run", real_run)
    result = compare.run(config)
    assert read_json(result.run / "seed-0/procedural/detector/result.json")["stopped"] == "finished"
    assert "One seed: the intervals are over groups of photos only" in result.summary()
    assert "Validation rests on too few places" in result.summary()
    assert read_json(result.run / "compare.json")["distance_and_detection"]["value"] is None


def test_photos_that_come_or_go_on_the_way_are_noticed(photos, tmp_path, monkeypatch):
    copy = shutil.copytree(photos, tmp_path / "photos")
    models = "procedural,mix=procedural+real"
    config = configured(copy, tmp_path / "run", models=models, seeds=1)
    gone = {
        "synth": (copy / "clean" / "place-1__003.png", "20 of now.*remove .*procedural and"),
        "evaluate": (copy / "real/indoor/smoky/place-101__203.png", "of now.*remove .*eval and"),
    }
    for job, (path, said) in gone.items():
        module = {"synth": synth, "evaluate": evaluate}[job]
        real_run = module.run

        def without(given, path=path, real_run=real_run):
            path.rename(tmp_path / "away")
            return real_run(given)

        monkeypatch.setattr(module, "run", without)
        with pytest.raises(InputError, match=said) as noticed:
            compare.run(config)
        assert str(path) in str(noticed.value)
        (tmp_path / "away").rename(path)
        monkeypatch.setattr(module, "run", real_run)
        with pytest.raises(InputError, match=said):
            compare.run(config)
        shutil.rmtree(str(noticed.value).partition("remove ")[2].partition(" and")[0])
    assert compare.run(config).models == ["procedural", "mix"]


def test_the_summary_names_every_model_beside_the_reference(compared):
    lines = compared.summary().splitlines()
    assert lines[0].startswith("3 sources of smoke, 2 seeds each")
    assert any(line.startswith("indoor: mix AUROC 0.") and ", over real " in line for line in lines)
    assert json.loads((compared.run / "result.json").read_text())["reference"] == "real"


def test_unusable_input_is_refused_before_anything_is_made(photos, tmp_path):
    out = tmp_path / "run"

    def refused(said, **changes):
        given = dataclasses.replace(configured(photos, out), **changes)
        with pytest.raises(InputError, match=said):
            compare.run(given)
        assert not given.out.exists()

    refused(
        r"--models nothing: there is no such model.*; or real, or a mixture", models="nothing,real"
    )
    refused(
        r"real/indoor/clean: holds no folder clean or smoky", real=(photos / "real/indoor/clean",)
    )
    refused("no-such: no such folder", real=(tmp_path / "no-such",))
    (tmp_path / "empty").mkdir()
    refused("empty", smoky=tmp_path / "empty")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/a.jpg").write_bytes(b"\xff\xd8nothing")
    refused("broken: none of 1 pictures can be used", smoky=tmp_path / "broken")
    shutil.copytree(photos / "real/indoor/smoky", tmp_path / "seen")
    refused(
        r"REAL: 16 of 38 test pictures are among the photos to learn from", smoky=tmp_path / "seen"
    )
    refused("lies in .*clean; name a folder beside", out=photos / "clean" / "run")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"models": "real,mix=layered+real"}, "layered learned its smoke from.*change --models"),
        ({"negatives": "steam"}, "look-alikes of steam have their folds from.*--negatives"),
    ],
)
def test_test_photos_that_smoke_was_lifted_from_are_refused_before_anything_is_made(
    photos, tmp_path, monkeypatch, changes, said
):
    shutil.copytree(shipped.FOLDER / "layered", tmp_path / "shipped" / "layered")
    monkeypatch.setattr(shipped, "FOLDER", tmp_path / "shipped")
    inputs = tmp_path / "shipped" / "layered" / "inputs.json"
    test = next((photos / "real/indoor/smoky").iterdir())
    record = {"path": "a.jpg", "sha256": sha256(test.read_bytes()).hexdigest(), "group": "a"}
    files = [*read_json(inputs)["files"], {**record, "phash": ""}]
    write_json(inputs, {**read_json(inputs), "files": files})
    shipped.seal("layered")
    config = configured(photos, tmp_path / "run", **changes)
    with pytest.raises(InputError, match=f"REAL: 1 of 38 test pictures are .*{said}"):
        compare.run(config)
    assert not config.out.exists()


def test_every_detector_gets_the_share_of_pretrained_weights(photos, tmp_path):
    given = tmp_path / "weights.pth"
    asked = configured(photos, tmp_path / "out", weights=str(given), pretrained_share=0.3)
    made = compare._classify_config(asked, tmp_path / "set", 4, tmp_path / "det")
    assert made.pretrained_share == 0.3 and made.weights == str(given)
    with pytest.raises(InputError, match="--weights none are not pretrained"):
        configured(photos, tmp_path / "out", pretrained_share=0.3)
