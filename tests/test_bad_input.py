"""What wisp says to bad input: one sentence with the file or flag, the exit code, nothing lost."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import timm
import torch
from PIL import Image

from wisp import cli
from wisp.errors import WispError
from wisp.jobs.train.layered import LayeredTrainer
from wisp.networks.lifter import Lifted
from wisp.rundir import append_jsonl

SMALL_DETECTOR = [
    "--backbone", "mobilenetv3_small_050", "--size", "32", "--steps", "1", "--images-per-step", "4",
    "--device", "cpu", "--precision", "32", "--workers", "0",
]  # fmt: skip
SMALL_GAN = [
    "--generator", "resnet6",
    "--size", "32", "--width", "4", "--discriminator-width", "4", "--device", "cpu",
    "--validation-photos", "1",
]  # fmt: skip
SMALL_LAYERED = [
    "--model", "layered", "--backbone", "mobilenetv2_035", "--weights", "none", "--size", "32",
    "--load-size", "32", "--steps", "1", "--images-per-step", "1", "--device", "cpu",
    "--validation-photos", "1", "--precision", "32",
]  # fmt: skip


def picture(path: Path, seed: int, side: int = 48) -> None:
    """A picture that looks like no other: waves of random frequency and colour."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    waves = [np.sin(x * random.uniform(0.05, 0.5) + y * random.uniform(0.05, 0.5)) for _ in "rgb"]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((127 + 120 * np.stack(waves, -1)).astype(np.uint8)).save(path)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """clean/ and smoky/ photos, a labelled set/ and real/ test pictures."""
    root = tmp_path_factory.mktemp("world")
    places = ["clean", "smoky", "real/clean", "real/smoky"]
    places += [f"set/{split}/{label}" for split in ("train", "validation") for label in places[:2]]
    for number, place in enumerate(places):
        for index in range(4):
            seed = 100 * number + index
            picture(root / place / f"place{seed}__1.png", seed)
    return root


@pytest.fixture(scope="module")
def detector(world: Path) -> Path:
    """A finished run of classify."""
    out = world / "detector"
    arguments = ["classify", str(world / "set"), "--out", str(out), "--weights", "none"]
    assert cli.main([*arguments, *SMALL_DETECTOR]) == 0
    return out


def sentence(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 2) -> str:
    """The one sentence that ends the output of a command that fails with ``code``."""
    capsys.readouterr()
    assert cli.main([str(argument) for argument in arguments]) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    said = [line for line in shown.err.splitlines() if not line.startswith("reading ")]
    assert len(said) == 1, shown.err
    assert said[0].startswith("wisp: ")
    return said[0]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("synth", "--out PATH must be given"),
        ("synth --out d", "PHOTOS: name at least one folder, file or glob"),
        ("predict", "DETECTOR must be given (wisp predict --help)"),
        ("evaluate", "DETECTOR and --out PATH must be given"),
        ("synth a --out d --worker 2", "--worker, 2; did you mean --workers?"),
        ("train a b --out d --steps many", "--steps: invalid literal"),
        ("train a b --out d --fit round", "'--fit'. Expected one of ('short-side'"),
        ("train a b c --out d", "Unrecognized options: c"),
        ("train a b --out d --lambda-cycle inf", "--lambda-cycle inf: must be a finite number"),
        ("train a b --out d --workers -3", "--workers -3: from 0"),
        ("synth a --out d --seed -1", "--seed -1: from 0"),
        ("synth a --out d --seed 99999999999999999999", "below 2^63"),
        ("classify a --out d --weight-decay -1", "--weight-decay -1.0: not below 0"),
        (f"synth {'n' * 300} --out d", "file name too long"),
        ("train --resume nowhere", "--resume nowhere: no such run directory; give the --out"),
        ("predict nowhere a.jpg", "DETECTOR nowhere: no such run directory"),
    ],
)
def test_wrong_usage_is_one_sentence(
    line: str,
    said: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert said in sentence(capsys, *line.split())
    assert not any(tmp_path.iterdir())


def spoil(folder: Path) -> set[str]:
    """Put one of each kind of bad file into ``folder``; their names."""
    picture(folder / "whole.jpg", 999, side=64)
    whole = (folder / "whole.jpg").read_bytes()
    (folder / "whole.jpg").unlink()
    (folder / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.jpg").touch()
    (folder / "text.jpg").write_text("not a picture\n")
    (folder / "link.jpg").symlink_to("/nowhere/photo.jpg")
    Image.new("RGB", (1, 1)).save(folder / "one.png")
    huge = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (30_000).to_bytes(4, "big") * 2 + b"\x08\x02\0\0\0"
    import zlib

    (folder / "huge.png").write_bytes(huge + zlib.crc32(huge[12:]).to_bytes(4, "big"))
    return {"truncated.jpg", "empty.jpg", "text.jpg", "link.jpg", "one.png", "huge.png"}


def test_bad_files_are_listed_and_only_nothing_left_is_an_error(
    world: Path, detector: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    real = tmp_path / "real"
    shutil.copytree(world / "real", real)
    bad = spoil(real / "clean")
    command = ["evaluate", str(detector), str(real), "--out", str(tmp_path / "e"), "--json"]
    capsys.readouterr()
    assert cli.main([*command, "--bootstrap", "100", "--device", "cpu"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["skipped"] == len(bad)
    listed = json.loads((tmp_path / "e" / "inputs.json").read_text(encoding="utf-8"))["skipped"]
    assert {Path(entry["path"]).name for entry in listed} == bad
    only_bad = tmp_path / "bad"
    only_bad.mkdir()
    spoil(only_bad)
    for command in (["synth", str(only_bad)], ["train", str(only_bad), str(world / "smoky")]):
        assert f"{only_bad}: none of" in sentence(capsys, *command, "--out", tmp_path / "none")
        assert not (tmp_path / "none").exists()


def test_a_folder_too_high_is_told_with_the_right_one(
    world: Path, detector: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    high, out = tmp_path / "high", tmp_path / "out"
    shutil.copytree(world / "real", high / "site")
    for command in (
        ["evaluate", detector, high, "--out", out],
        ["classify", high, "--out", out, "--weights", "none", *SMALL_DETECTOR],
    ):
        assert f"one folder above the class folders; give {high / 'site'}" in sentence(
            capsys, *command
        )
        assert not out.exists()


def test_overlaps_are_refused(
    world: Path, detector: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    said = sentence(capsys, "evaluate", detector, world / "set", "--out", out)
    assert "16 of 16 test pictures were seen" in said
    shared = tmp_path / "shared"
    shutil.copytree(world / "smoky", shared)
    shutil.copy(world / "clean" / "place0__1.png", shared / "copy.png")
    said = sentence(capsys, "train", world / "clean", shared, "--out", out, *SMALL_GAN)
    assert "share 1 photo, for" in said
    assert "copy.png" in said
    assert not out.exists()


def test_a_photo_in_both_folders_is_refused_also_where_one_holds_the_other(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    for clean, smoky in (("clean", "clean"), ("real", "real/smoky")):
        said = sentence(capsys, "train", world / clean, world / smoky, "--out", out, *SMALL_LAYERED)
        assert "CLEAN and SMOKY share 4 photos" in said
        assert not out.exists()


class Lamp(torch.nn.Module):
    """In place of R: what is brighter than ``limit`` (of -1 to 1) is white smoke."""

    def __init__(self, limit: float) -> None:
        super().__init__()
        self.limit = limit

    def forward(self, photos: torch.Tensor) -> Lifted:
        half = torch.nn.functional.avg_pool2d(photos, 2)
        density = 2.0 * (half.mean(1, keepdim=True) > self.limit)
        return Lifted(density, torch.ones_like(half))


def test_a_smoky_folder_without_smoke_is_told_with_what_was_found(
    world: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(LayeredTrainer, "lifter_in_use", lambda _: Lamp(limit=1.0).eval())
    command = ["train", world / "clean", world / "smoky", "--out", tmp_path / "run"]
    assert cli.main([str(word) for word in [*command, *SMALL_LAYERED]]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith(f"wisp: {world / 'smoky'}: R found usable smoke in none of 4 photos")
    assert "(4 without smoke)" in said
    assert not (tmp_path / "run" / "layers.zip").exists()


def test_ten_photos_of_mixed_sizes_are_trained_on_with_a_note(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LayeredTrainer, "lifter_in_use", lambda _: Lamp(limit=0.5).eval())
    sizes = [(200, 40), (40, 200), (64, 64), (640, 480), (33, 20)]
    for index, size in enumerate(sizes):
        random = np.random.default_rng(index)
        for domain in ("clean", "smoky"):
            pixels = random.integers(0, 90, (size[1], size[0], 3), dtype=np.uint8)
            if domain == "smoky":
                pixels[: size[1] // 2] = 250
            (tmp_path / domain).mkdir(exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / domain / f"place{index}.png")
    run = tmp_path / "run"
    command = ["train", tmp_path / "clean", tmp_path / "smoky", "--out", run, *SMALL_LAYERED]
    assert cli.main([str(word) for word in [*command, "--json"]]) == 0
    shown = capsys.readouterr()
    result = json.loads(shown.out.splitlines()[-1])
    assert result["lifting"]["looked_at"] == 5
    assert result["lifting"]["layers"] >= 1
    few = [note for note in result["notes"] if "Photos to learn from" in note]
    assert few == [few[0]]
    assert few[0].startswith("Photos to learn from: 4 clean and 4 smoky.")
    assert few[0] in shown.err
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "4 clean and 4 smoky. What is learned" in page
    assert 'id="layers"' in page


class Attack:
    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.victim}",)


@pytest.mark.parametrize(("command", "flag"), [("classify", "--weights"), ("synth", "--model")])
def test_weights_with_code_or_damage_name_flag_and_file(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, flag: str
) -> None:
    torch.save({"w": Attack(tmp_path / "victim")}, tmp_path / "zip.pth")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps({"w": Attack(tmp_path / "victim")}))
    (tmp_path / "cut.pth").write_bytes((tmp_path / "zip.pth").read_bytes()[:300])
    (tmp_path / "empty.safetensors").touch()
    (tmp_path / "text.pth").write_text("no weights")
    start = [
        command,
        world / ("set" if command == "classify" else "clean"),
        "--out",
        tmp_path / "o",
    ]
    if command == "classify":
        start += SMALL_DETECTOR
    for name in ("zip.pth", "plain.pt", "cut.pth", "empty.safetensors", "text.pth"):
        said = sentence(capsys, *start, flag, tmp_path / name)
        assert f"{flag} {tmp_path / name}: " in said
        assert ("holds code" in said) == (name in ("zip.pth", "plain.pt"))
    assert not (tmp_path / "victim").exists()
    assert not (tmp_path / "o").exists()


def test_damaged_runs_are_named(
    detector: Path, world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage = {
        "config.json": ("[1]", "holds no configuration"),
        "detector.json": ("[1]", "holds no detector settings; train"),
        "model.safetensors": ("short", "damaged, truncated"),
    }
    for number, (name, (content, words)) in enumerate(damage.items()):
        copy = tmp_path / str(number)
        shutil.copytree(detector, copy)
        (copy / name).write_text(content)
        said = sentence(capsys, "predict", copy, world / "clean")
        assert f"{copy / name}" in said
        assert words in said


def test_an_absent_network_is_told_at_once(
    world: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise ConnectionError("name not known")

    def downloads(*_: object, **__: object) -> None:
        raise AssertionError("this would try for most of a minute")

    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", unreachable)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr(timm, "create_model", downloads)
    said = sentence(capsys, "classify", world / "set", "--out", tmp_path / "o", *SMALL_DETECTOR)
    assert "--weights imagenet: the weights of mobilenetv3_small_050 could not be fetched" in said
    assert "(ConnectionError)" in said
    assert "take --backbone mobilenetv2_100" in said
    assert "--weights FILE" in said


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_full_disk_is_one_sentence(
    detector: Path,
    world: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(WispError, match="/dev/full: the disk is full"):
        append_jsonl(Path("/dev/full"), {"a": "row"})
    full = Path("/dev/full").open("w")  # noqa: SIM115 - closing it fails, as it must
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", full)
        assert cli.main(["predict", str(detector), str(world / "clean"), "--device", "cpu"]) == 1
    with contextlib.suppress(OSError):
        full.close()
    assert capsys.readouterr().err.splitlines()[-1].startswith("wisp: the output: the disk is full")


def interrupted(arguments: list[object], sign: str, log: Path) -> tuple[int, str]:
    """Exit code and stderr of a process group that gets Ctrl-C once it has said ``sign``."""
    # What a shell starts in the background ignores Ctrl-C, and so would its children.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with log.open("w") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "wisp.cli", *map(str, arguments)],
            stdout=subprocess.DEVNULL, stderr=stream, start_new_session=True,
        )  # fmt: skip
        signal.signal(signal.SIGINT, before)
        try:
            while sign not in log.read_text():
                assert process.poll() is None, log.read_text()
                time.sleep(0.02)
            time.sleep(0.3)
            os.killpg(process.pid, signal.SIGINT)
            return process.wait(), log.read_text()
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def test_ctrl_c_of_synth_says_how_to_go_on(world: Path, tmp_path: Path) -> None:
    out = tmp_path / "d"
    # A photo takes far longer than Ctrl-C may: it is not gone through to its end.
    command = ["synth", world / "clean", "--out", out, "--per-photo", "5000", "--workers", "1"]
    code, said = interrupted([*command, "--no-probe"], "reading photos: 4/4", tmp_path / "log")
    assert code == 130
    assert said.splitlines()[-1].startswith("wisp: stopped by Ctrl-C with ")
    assert said.splitlines()[-1].endswith("of 4 photos finished; repeat the command to go on")
    assert "Traceback" not in said
    assert (out / ".journal.jsonl").exists()


def test_ctrl_c_of_train_is_told_once_and_resumes(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    command = ["train", world / "clean", world / "smoky", "--out", run, *SMALL_GAN]
    command += ["--steps", "500", "--workers", "2"]
    code, said = interrupted(command, "training on", tmp_path / "log")
    assert code == 130
    assert said.count("finishing the step") == 1, said  # the workers keep quiet
    assert said.splitlines()[-1].endswith(f"go on with: wisp train --resume {run}")
    assert "Traceback" not in said
    stopped = json.loads((run / "result.json").read_text())
    assert (run / stopped["checkpoint"] / "model.safetensors").exists()
    for file in run.glob("checkpoints/step-*/model.safetensors"):
        file.write_bytes(file.read_bytes()[:1000])
    capsys.readouterr()
    assert cli.main(["train", "--resume", str(run)]) == 2
    shown = capsys.readouterr().err.splitlines()
    assert "is truncated (1000 of" in shown[0]
    assert shown[-1].startswith(f"wisp: --resume {run}: none of its checkpoints is whole")
