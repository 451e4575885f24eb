"""What wisp made itself is no photo to learn from."""

import pytest

from labelled import write_class, write_set
from wisp import cli
from wisp.config import SynthConfig
from wisp.data import find_photos
from wisp.errors import InputError
from wisp.jobs import synth
from wisp.rundir import RunDir


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Photos, and beside them a data set made of them."""
    root = tmp_path_factory.mktemp("home")
    write_class(root / "photos" / "clean", 4, False)
    write_set(root / "real", 2)
    synth.run(SynthConfig((str(root / "photos"),), out=root / "dataset", probe=False))
    return root


@pytest.mark.parametrize(
    ("source", "domain", "made"),
    [
        (".", "clean", r"\d+"),
        ("dataset", "clean", r"\d+"),
        ("dataset/train", "clean", 2),
        ("dataset/masks", "smoky", 4),
        ("dataset/*/smoky/**/*.jpg", "clean", 4),
        ("dataset/train/clean", "smoky", 2),
    ],
)
def test_pictures_of_a_data_set_are_refused(home, source, domain, made):
    with pytest.raises(InputError, match=f": {made} of ") as refused:
        find_photos([str(home / source)], domain)
    assert f"were made by wisp synth, such as {home}" in str(refused.value)
    assert str(refused.value).endswith(f"give photos only, or {home}/dataset/train/{domain}")


def test_its_own_class_and_the_photos_may_be_used(home, monkeypatch):
    assert len(find_photos([str(home / "dataset/train/clean")], "clean")) == 2
    assert len(find_photos([str(home / "dataset/*/smoky")], "smoky")) == 4
    assert len(find_photos([str(home)], "clean", besides=home / "dataset")) == 8
    monkeypatch.chdir(home / "dataset" / "validation")
    assert len(find_photos(["clean"], "clean")) == 2
    with pytest.raises(InputError, match="holds no pictures besides --out"):
        find_photos(["clean"], "clean", besides=home / "dataset")


def test_samples_of_a_training_are_refused_and_folders_of_others_are_not(tmp_path):
    write_class(tmp_path / "run" / "samples", 2, True)
    (tmp_path / "run" / "config.json").write_text("[1]")
    assert len(find_photos([str(tmp_path)], "smoky")) == 2
    (tmp_path / "run" / "config.json").unlink()
    write_class(tmp_path / "other", 2, True)
    RunDir.create(tmp_path / "train", "train", {})
    (tmp_path / "run").rename(tmp_path / "train" / "run")
    with pytest.raises(InputError, match=r"2 of 4 .* made by wisp train, .*; give photos only$"):
        find_photos([str(tmp_path)], "smoky")


@pytest.mark.parametrize("command", ["synth", "train", "compare"])
def test_commands_refuse_them(home, tmp_path, capsys, command):
    write_class(tmp_path / "other", 3, True)
    arguments = {
        "synth": [],
        "train": [str(tmp_path / "other"), "--weights", "none"],
        "compare": [str(tmp_path / "other"), str(home / "real"), "--models", "procedural,real",
                    "--weights", "none", "--backbone", "test_resnet", "--size", "32"],
    }[command]  # fmt: skip
    told = [command, str(home / "dataset"), *arguments, "--out", str(tmp_path / "run")]
    assert cli.main(told) == 2
    assert "were made by wisp synth" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
