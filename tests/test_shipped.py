"""Models that ship: made from photos by the script, packed, found by name, and used offline."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import json
import shutil
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image

from labelled import write_class, write_set
from wisp import cli, load, shipped
from wisp.config import (
    ClassifyConfig,
    DemoConfig,
    EvaluateConfig,
    PredictConfig,
    SynthConfig,
)
from wisp.data import BANK_FILE, Lift, write_bank
from wisp.demonstration import DemoResult, world
from wisp.demonstration import loop as demonstration
from wisp.detectors import ask_graph, load_detector, open_settings, score_pictures
from wisp.detectors.graph import GRAPH_FILE
from wisp.engine import make_engine
from wisp.errors import InputError
from wisp.jobs import evaluate, predict, synth
from wisp.jobs.train import lifting, loop
from wisp.manifest import sha256_of
from wisp.models.lifters import load_lifter
from wisp.networks.weights import halved
from wisp.packing import pack_layered
from wisp.rundir import RunDir, read_json
from wisp.smoke import SmokeLayer

SCRIPT = Path(__file__).parents[1] / "scripts" / "make_shipped.py"
TINY = {
    "TRAIN": {
        "model": "layered", "size": 32, "load_size": 48, "steps": 2, "images_per_step": 2,
        "validation_photos": 2, "workers": 0, "device": "cpu", "seed": 3,
        "backbone": "mobilenetv2_035",
    },
    "SYNTH": {"seed": 3, "workers": 1, "probe": False},
    "CLASSIFY": {
        "backbone": "test_resnet", "size": 32, "steps": 30, "images_per_step": 16,
        "learning_rate": 3e-3, "backbone_learning_rate": 3e-3,
        "validate_every": 10, "workers": 0, "device": "cpu", "seed": 3,
    },
    "EVALUATE": {"bootstrap": 100, "pictures": 0, "workers": 0, "device": "cpu"},
}  # fmt: skip


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_shipped", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def lift_two(folder, photos, lifter, config, engine):
    """In place of lifting: a network of two steps sees no smoke."""
    column = np.tile(np.linspace(0, 2, 24, dtype=np.float32), (24, 1))
    grey = np.full((24, 24, 3), 0.85, np.float32)
    layers = [SmokeLayer(density, grey) for density in (column, np.ascontiguousarray(column.T))]
    smoky = [item.record for item in photos.items if item.domain == "smoky"]
    write_bank(
        folder.path / BANK_FILE,
        [
            Lift(layer, record.sha256[:12], record.sha256, record.group, 0.9)
            for layer, record in zip(layers, smoky, strict=False)
        ],
    )
    return lifting.Lifting(2, len(smoky), 1, 0, 0, len(smoky) - 3, 0, 1, 12)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What the script makes of a few pictures, in place of the package's own models."""
    root = tmp_path_factory.mktemp("shipped")
    photos = root / "photos"
    write_class(photos / "clean", 24, smoky=False)
    write_class(photos / "smoky", 8, smoky=True, first=100)
    write_set(photos / "real_validation" / "indoor", 8, first=200)
    write_class(photos / "real_validation" / "steam" / "clean", 4, smoky=False, first=300)
    maker = script()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shipped, "FOLDER", root / "package")
        patch.setattr(loop, "lift_bank", lift_two)
        for name, recipe in TINY.items():
            patch.setattr(maker, name, recipe)
        arguments = [str(photos), "--weights", "none", "--work", str(root / "work")]
        maker.main(arguments)
        first = {path: path.read_bytes() for path in (root / "package").rglob("*.*")}
        maker.main(arguments)
        # What is finished is not trained again, and the same runs give the same files.
        assert first == {path: path.read_bytes() for path in (root / "package").rglob("*.*")}
        patch.setattr(maker, "CLASSIFY", {**TINY["CLASSIFY"], "steps": 40})
        with pytest.raises(SystemExit, match="made with --steps 30, the recipe here says 40"):
            maker.main(arguments)
    return {"package": root / "package", "work": root / "work", "photos": photos}


@pytest.fixture
def package(made: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the stand-ins to find by name."""
    folder = tmp_path / "package"
    shutil.copytree(made["package"], folder)
    monkeypatch.setattr(shipped, "FOLDER", folder)
    return folder


def photo(size: tuple[int, int] = (80, 60)) -> Image.Image:
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 120, (size[1], size[0], 3), dtype=np.uint8))


def test_the_shipped_smoke_is_that_of_the_run(made: dict[str, Path], package: Path) -> None:
    ships, own = load("layered"), load(made["work"] / "lifted")
    assert (ships.name, ships.kind) == ("layered", "layered")
    for seed in range(3):
        smoky = ships.add_smoke(photo(), seed=seed)
        assert smoky.density.max() > 0.1
        assert np.array_equal(smoky.density, own.add_smoke(photo(), seed=seed).density)


def test_r_ships_in_half_precision_and_computes_in_full(
    made: dict[str, Path], package: Path
) -> None:
    ships, own = load_lifter("layered"), load_lifter(made["work"] / "lifted")
    assert {value.dtype for value in ships.parameters()} == {torch.float32}
    batch = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        for half, full in zip(
            ships.opacity_and_airlight(batch), own.opacity_and_airlight(batch), strict=True
        ):
            assert not torch.equal(half, full)
            torch.testing.assert_close(half, full, atol=1e-2, rtol=0)
    checkpoint = next((made["work"] / "lifted" / "checkpoints").glob("step-*/model.safetensors"))
    assert (package / "layered" / "model.safetensors").stat().st_size < checkpoint.stat().st_size


def test_the_detector_ships_in_half_precision_and_says_the_same(
    made: dict[str, Path], package: Path
) -> None:
    pictures = (str(made["photos"] / "real_validation"),)
    half, full = (
        predict.run(PredictConfig(detector, pictures, precision="32", device="cpu"))
        for detector in ("smoke-detector", made["work"] / "detector")
    )
    scores = [np.array([found.score for found in result.predictions]) for result in (half, full)]
    assert scores[1].std() > 0.01
    assert 0 < np.abs(scores[0] - scores[1]).max() < 1e-2
    assert half.threshold == full.threshold
    assert half.detector == Path("smoke-detector")
    network, _ = load_detector(package / "smoke-detector")
    assert {value.dtype for value in network.parameters()} == {torch.float32}
    sizes = [
        (folder / "model.safetensors").stat().st_size
        for folder in (package / "smoke-detector", made["work"] / "detector")
    ]
    assert sizes[0] < 0.6 * sizes[1]


def test_the_graph_says_what_the_network_says(made: dict[str, Path], package: Path) -> None:
    """Of any number of pictures, of which one cannot be read."""
    folder = package / "smoke-detector"
    network, settings = load_detector(folder)
    engine = make_engine("cpu", "32", seed=None, answers=True)
    paths = sorted((made["photos"] / "real_validation").rglob("*.png")) * 3
    paths.insert(1, made["photos"] / "gone.png")
    for some in (paths[:1], paths):
        by_graph = ask_graph(folder, settings, some)
        by_torch = score_pictures(network, some, settings.size, engine, 0)
        assert by_graph.skipped == by_torch.skipped
        assert np.array_equal(by_graph.readable, by_torch.readable)
        readable = by_graph.readable
        np.testing.assert_allclose(
            by_graph.probabilities[readable], by_torch.probabilities[readable], atol=1e-5
        )
    assert len(by_graph.skipped) == 1 and by_graph.probabilities.std() > 0.01


def test_a_graph_that_is_damaged_or_alone_is_said(package: Path, tmp_path: Path) -> None:
    settings = open_settings(package / "smoke-detector")
    whole = (package / "smoke-detector" / GRAPH_FILE).read_bytes()
    for data in (whole, whole[:1000], b"no graph"):
        (tmp_path / GRAPH_FILE).write_bytes(data)
        with pytest.raises(InputError, match=r"model.onnx or the weights beside it are damaged"):
            ask_graph(tmp_path, settings, [])


def test_a_graph_that_is_not_of_its_settings_is_said(package: Path) -> None:
    settings = open_settings(package / "smoke-detector")
    for other in ({"size": 48}, {"classes": ["a", "b", "c"]}):
        with pytest.raises(InputError, match="and its settings say"):
            ask_graph(package / "smoke-detector", dataclasses.replace(settings, **other), [])


def test_half_precision_spares_what_it_would_spoil() -> None:
    state = {
        "weight": torch.randn(4, 4),
        "large": torch.full((2, 2), 1e5),
        "running_var": torch.full((3,), 1e-12),
        "num_batches_tracked": torch.tensor(7),
    }
    packed = halved(state)
    assert packed["weight"].dtype == torch.float16
    torch.testing.assert_close(packed["weight"].float(), state["weight"], atol=1e-3, rtol=1e-3)
    for name in ("large", "running_var", "num_batches_tracked"):
        assert torch.equal(packed[name], state[name]) and packed[name].dtype == state[name].dtype


def test_no_path_of_the_machine_and_no_photo_ships(made: dict[str, Path]) -> None:
    files = [path for path in made["package"].rglob("*") if path.is_file()]
    kinds = {".json", ".jsonl", ".md", ".onnx", ".safetensors", ".zip"}
    assert {path.suffix for path in files} == kinds
    for path in files:
        for place in (
            str(made["work"].parent),
            "site-packages",
            str(Path(ask_graph.__code__.co_filename).parent),
        ):
            assert place.encode() not in path.read_bytes(), path


def test_the_shipped_models_know_what_they_were_trained_on(
    made: dict[str, Path], package: Path, tmp_path: Path
) -> None:
    hashes = {
        domain: {sha256_of(path) for path in (made["photos"] / domain).iterdir()}
        for domain in ("clean", "smoky")
    }
    known = {record.sha256 for record in RunDir(package / "smoke-detector").files_seen()}
    assert known == hashes["clean"] | hashes["smoky"]
    dataset = synth.run(
        SynthConfig((str(made["photos"] / "clean"),), out=tmp_path / "set", model="layered",
                    probe=False, workers=1)
    )  # fmt: skip
    assert hashes["smoky"] <= {record.sha256 for record in RunDir(dataset.run).files_seen()}
    row = json.loads((dataset.run / "metadata.jsonl").read_text().splitlines()[-1])
    assert row["model"] == "layered"

    test = tmp_path / "test"
    write_set(test, 4, first=400)
    shutil.copy(next((made["photos"] / "smoky").iterdir()), test / "smoky" / "known.png")
    with pytest.raises(InputError, match=r"1 of 9 test pictures were seen in training.*known\.png"):
        evaluate.run(EvaluateConfig("smoke-detector", (test,), out=tmp_path / "eval"))


def test_the_cards_tell_what_was_measured(made: dict[str, Path]) -> None:
    metrics = read_json(made["work"] / "eval" / "metrics.json")["per_set"]
    lifted = read_json(made["work"] / "lifting.json")["sets"]
    cards = {name: (made["package"] / name / "card.md").read_text() for name in ("layered",
             "smoke-detector")}  # fmt: skip
    indoor = metrics["indoor"]["auroc"]
    for card in cards.values():
        assert f"{indoor['value']:.3f} ({indoor['low']:.3f} to {indoor['high']:.3f})" in card
        assert "| steam | – |" in card
        assert "Seed 3." in card and "no licence" in card and "{{" not in card
    assert "--steps 2 --images-per-step 2" in cards["layered"]
    assert f"{lifted['indoor']['iou_at_0.2']['value']:.3f}" in cards["layered"]
    threshold = read_json(made["package"] / "smoke-detector" / "detector.json")["threshold"]
    assert f"{threshold:.3f}" in cards["smoke-detector"]


def test_the_shipped_name_wins_and_a_path_is_a_path(
    made: dict[str, Path], package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "smoke-detector").mkdir()
    shutil.copytree(made["work"] / "lifted", tmp_path / "layered")
    assert load("layered").name == "layered"
    assert load("./layered").name == load(Path("layered")).name == str(Path("layered") / BANK_FILE)
    picture = tmp_path / "photo.png"
    photo().save(picture)
    assert predict.run(PredictConfig("smoke-detector", (str(picture),), device="cpu")).predictions
    for own in ("./smoke-detector", Path("smoke-detector")):
        with pytest.raises(InputError, match="not a wisp run"):
            predict.run(PredictConfig(own, (str(picture),), device="cpu"))


def test_unknown_names_are_told_those_that_ship(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"layered \(ships with wisp\)"):
        load("layred")
    with pytest.raises(InputError, match="smoke-detector, which ships with wisp"):
        predict.run(PredictConfig("smokedetector", (str(tmp_path),)))


def test_what_is_missing_or_damaged_is_one_sentence(
    package: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bank = package / "layered" / BANK_FILE
    bank.write_bytes(bank.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"layers\.zip: is missing or not as it was shipped"):
        load("layered")
    bank.unlink()
    with pytest.raises(InputError, match=r"layers\.zip: is missing"):
        load_lifter("layered")
    shutil.rmtree(package / "smoke-detector")
    picture = tmp_path / "photo.png"
    photo().save(picture)
    assert cli.main(["predict", "smoke-detector", str(picture)]) == 2
    said = capsys.readouterr().err.strip()
    assert "\n" not in said
    assert "does not hold it; install wisp again (a folder of your own" in said
    assert "./smoke-detector" in said


def test_names_of_the_wrong_kind_are_refused(package: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a 'classify' run, which holds no smoke"):
        load("smoke-detector")
    photo().save(tmp_path / "photo.png")
    with pytest.raises(InputError, match="'train' run, but a 'classify' run is needed"):
        predict.run(PredictConfig("layered", (str(tmp_path),)))


def test_a_model_that_is_too_large_does_not_ship(
    made: dict[str, Path], package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(shipped.LARGEST_BYTES, "layered", 100_000)
    with pytest.raises(InputError, match=r"but layered may have at most 0\.1 MB; its largest file"):
        pack_layered(made["work"] / "lifted")
    with pytest.raises(InputError, match="does not hold it"):
        shipped.find("layered")


def test_only_a_finished_layered_run_is_packed(
    made: dict[str, Path], package: Path, tmp_path: Path
) -> None:
    shutil.copytree(made["work"] / "lifted", tmp_path / "run")
    (tmp_path / "run" / BANK_FILE).unlink()
    with pytest.raises(InputError, match=r"holds no layers\.zip; finish it with wisp train"):
        pack_layered(tmp_path / "run")
    with pytest.raises(InputError, match="'classify' run, but a 'train' run"):
        pack_layered(made["work"] / "detector")
    assert shipped.find("layered") is not None


def tiny_demo(monkeypatch: pytest.MonkeyPatch, out: Path) -> DemoResult:
    """The demo's loop with hardly any pictures and steps."""
    whole, build = demonstration.train_config, world.build_world
    small = world.WorldSize(clean_kitchens=6, smoky_kitchens=4, test_kitchens=4)
    monkeypatch.setattr(world, "build_world", functools.partial(build, size=small))
    monkeypatch.setattr(
        demonstration,
        "train_config",
        lambda *given: dataclasses.replace(
            whole(*given), steps=2, images_per_step=2, sample_every=2, checkpoint_every=2,
            validation_photos=2,
        ),
    )  # fmt: skip
    monkeypatch.setattr(
        demonstration,
        "ClassifyConfig",
        lambda *given, **more: ClassifyConfig(
            *given,
            **{
                **more,
                "backbone": "test_resnet",
                "weights": "none",
                "members": 1,
                "steps": 2,
                "validate_every": 1,
            },
        ),
    )
    return demonstration.run(DemoConfig(out, device="cpu"))


@pytest.mark.slow
def test_the_demo_shows_the_shipped_smoke_beside_the_others(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tiny_demo(monkeypatch, tmp_path / "demo").report.read_text(encoding="utf-8")
    assert "its layers were lifted off them before, and ship with wisp" in page
    for title in ("<h3>layered</h3>", "Data set 2: layered"):
        assert title in page
    assert "<small>layered, which ships with wisp</small>" in page
    assert RunDir(tmp_path / "demo" / "dataset-layered").parent("model").path == (
        package / "layered"
    )


def test_the_demo_says_when_the_shipped_smoke_is_missing(
    package: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(package / "layered")
    assert cli.main(["demo", "--out", str(tmp_path / "demo")]) == 2
    assert "wisp: layered: is a model that ships" in capsys.readouterr().err
