"""Checkpoints appear whole or not at all, and files never run code."""

from __future__ import annotations

import errno
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from wisp import checkpoint
from wisp.checkpoint import load_checkpoint, read_tensors, save_checkpoint
from wisp.errors import InputError, WispError

TENSORS = {
    "model": {"a.weight": torch.arange(24.0).reshape(2, 3, 4)},
    "state": {"step": torch.tensor(3.0), "b": torch.rand(2, 5)},
}


class Attack:
    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.victim),)


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    saved = dict(
        TENSORS, strided={"c": torch.rand(2, 3, 4, 4).to(memory_format=torch.channels_last)}
    )
    save_checkpoint(tmp_path / "one", saved, {"step": 3, "notes": ["ä"]})
    loaded = load_checkpoint(tmp_path / "one")
    assert loaded.state == {"step": 3, "notes": ["ä"]}
    for file, entries in saved.items():
        assert loaded.tensors[file].keys() == entries.keys()
        for name, value in entries.items():
            assert torch.equal(loaded.tensors[file][name], value)
    assert [p.name for p in tmp_path.iterdir()] == ["one"]


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "one", TENSORS, {})
    file = tmp_path / "one" / "state.safetensors"
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(InputError, match=r"state\.safetensors: is truncated"):
        load_checkpoint(tmp_path / "one")
    file.unlink()
    with pytest.raises(InputError, match=r"state\.safetensors"):
        load_checkpoint(tmp_path / "one")


def test_a_full_disk_keeps_the_earlier_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(tmp_path / "one", TENSORS, {"step": 1})
    synced = os.fsync

    def full(descriptor: int) -> None:
        if full.calls == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        full.calls += 1
        synced(descriptor)

    full.calls = 0
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WispError, match=r"two: the disk is full"):
        save_checkpoint(tmp_path / "two", TENSORS, {"step": 2})
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == ["one"]
    assert load_checkpoint(tmp_path / "one").state == {"step": 1}


def test_a_kill_while_writing_leaves_no_checkpoint(tmp_path: Path) -> None:
    script = f"""
import os, signal, torch
from pathlib import Path
from wisp import checkpoint
real, calls = checkpoint.write_bytes, []
def write(path, data):
    if calls:
        path.write_bytes(data[: len(data) // 2])
        os.kill(os.getpid(), signal.SIGKILL)
    calls.append(path); real(path, data)
checkpoint.write_bytes = write
checkpoint.save_checkpoint(Path({str(tmp_path / "one")!r}),
    {{"model": {{"a": torch.ones(3)}}, "state": {{"b": torch.ones(3)}}}}, {{}})
"""
    done = subprocess.run([sys.executable, "-c", script], check=False)
    assert done.returncode == -9
    assert not (tmp_path / "one").exists()


def test_torch_files_with_tensors_load(tmp_path: Path) -> None:
    plain, nested = tmp_path / "plain.pth", tmp_path / "nested.pth"
    torch.save({"w": torch.ones(2)}, plain)
    torch.save({"state_dict": {"w": torch.ones(2)}, "epoch": 3}, nested)
    for file in (plain, nested):
        (found,) = read_tensors(file).values()
        assert torch.equal(found, torch.ones(2))


@pytest.mark.parametrize("legacy", [False, True])
def test_code_in_a_file_is_refused_and_not_run(tmp_path: Path, legacy: bool) -> None:
    file, victim = tmp_path / "evil.pth", tmp_path / "victim"
    if legacy:
        file.write_bytes(pickle.dumps({"w": Attack(victim)}))
    else:
        torch.save({"w": Attack(victim)}, file)
    with pytest.raises(InputError, match=r"evil\.pth: .*") as caught:
        read_tensors(file)
    assert not victim.exists()
    assert "\n" not in str(caught.value)
    assert "refuses" in str(caught.value)


@pytest.mark.parametrize("name", ["cut.pth", "cut.safetensors"])
def test_truncated_and_foreign_files_are_named(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    if name.endswith("pth"):
        torch.save({"w": torch.rand(1000)}, file)
    else:
        from safetensors.torch import save_file

        save_file({"w": torch.rand(1000)}, file)
    for data in (file.read_bytes()[:900], b"", b"no weights at all, but some text"):
        file.write_bytes(data)
        with pytest.raises(InputError, match=name) as caught:
            read_tensors(file)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="no such file"):
        read_tensors(tmp_path / "absent.pth")


def test_a_file_without_tensors_is_refused(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save({"epoch": 3}, tmp_path / "empty.pth")
    for name in ("list.pth", "empty.pth"):
        with pytest.raises(InputError, match=name):
            read_tensors(tmp_path / name)


def test_the_format_is_checked(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "one", TENSORS, {})
    (tmp_path / "one" / checkpoint.STATE_FILE).write_text('{"format": 99, "files": {}}')
    with pytest.raises(InputError, match="no checkpoint that this version"):
        load_checkpoint(tmp_path / "one")
