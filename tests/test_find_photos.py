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
    ("source", "made"),
    [
        (".", r"\d+ of \d+"),
        ("dataset", r"\d+ of \d+"),
        ("dataset/train", "4 of 4"),
        ("dataset/masks", "4 of 4"),
        ("dataset/*/smoky/**/*.jpg", "4 of 4"),
        ("dataset/train/clean", "2 of 2"),
        ("dataset/train/../validation/clean", "2 of 2"),
    ],
)
def test_pictures_of_a_data_set_are_refused(home, source, made):
    with pytest.raises(InputError, match=rf": {made} pictures were made by wisp synth, such as "):
        find_photos([str(home / source)])


def test_the_source_that_holds_them_is_named(home):
    with pytest.raises(InputError, match=f"^{home}/dataset: ") as refused:
        find_photos([str(home / "photos"), str(home / "dataset")])
    assert str(refused.value).endswith(f"give the photos themselves, without {home / 'dataset'}")


def test_photos_are_found_wherever_one_stands(home, tmp_path, monkeypatch):
    assert len(find_photos([str(home)], besides=home / "dataset")) == 8
    monkeypatch.chdir(home / "dataset" / "validation")
    assert len(find_photos(["../../photos"])) == 4
    with pytest.raises(InputError, match="were made by wisp synth"):
        find_photos(["clean"])
    with pytest.raises(InputError, match="holds no pictures besides --out"):
        find_photos(["clean"], besides=home / "dataset")
    (tmp_path / "link").symlink_to(home)
    assert len(find_photos([str(tmp_path / "link")], besides=tmp_path / "link" / "dataset")) == 8
    with pytest.raises(InputError, match="were made by wisp synth"):
        find_photos([str(tmp_path / "link" / "dataset")])


def test_samples_of_a_training_are_refused_and_folders_of_others_are_not(tmp_path):
    write_class(tmp_path / "run" / "samples", 2, True)
    (tmp_path / "run" / "config.json").write_text("[1]")
    assert len(find_photos([str(tmp_path)])) == 2
    (tmp_path / "run" / "config.json").unlink()
    write_class(tmp_path / "other", 2, True)
    RunDir.create(tmp_path / "train", "train", {})
    (tmp_path / "run").rename(tmp_path / "train" / "run")
    with pytest.raises(InputError, match=r"2 of 4 pictures were made by wisp train, "):
        find_photos([str(tmp_path)])


@pytest.mark.parametrize("command", ["synth", "train", "compare"])
def test_commands_refuse_them(home, tmp_path, capsys, command):
    write_class(tmp_path / "other", 3, True)
    arguments = {
        "synth": [],
        "train": [str(tmp_path / "other")],
        "compare": [str(tmp_path / "other"), str(home / "real"), "--models", "procedural,real",
                    "--weights", "none", "--backbone", "test_resnet", "--size", "32"],
    }[command]  # fmt: skip
    told = [command, str(home / "dataset"), *arguments, "--out", str(tmp_path / "run")]
    assert cli.main(told) == 2
    assert "were made by wisp synth" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
