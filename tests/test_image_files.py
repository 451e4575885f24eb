"""Pictures are found, sorted, scanned, and known again by their look."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from PIL import Image

from scenes import scene
from wisp import images
from wisp.errors import InputError
from wisp.images import find_images


def touch(*files: Path) -> None:
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


def test_folders_are_searched_recursively_and_sorted(tmp_path):
    touch(
        tmp_path / "b.JPG", tmp_path / "a.png", tmp_path / "notes.txt", tmp_path / ".hidden.jpg",
        tmp_path / ".tmp-xyz" / "c.jpg", tmp_path / "sub" / "c.webp", tmp_path / "x.jpg" / "in.jpg",
    )  # fmt: skip
    (tmp_path / "sub" / "up").symlink_to(tmp_path)
    (tmp_path / "z.jpg").symlink_to(tmp_path / "gone.jpg")
    found = find_images([tmp_path])
    assert [file.name for file in found] == [
        "a.png",
        "b.JPG",
        "sub/c.webp",
        "x.jpg/in.jpg",
        "z.jpg",
    ]
    assert {file.root for file in found} == {tmp_path}


def test_files_globs_and_repetitions(tmp_path):
    touch(tmp_path / "k1" / "a.jpg", tmp_path / "k2" / "b.jpg", tmp_path / "k2" / "b.txt")
    touch(tmp_path / "photo")
    by_glob = find_images([f"{tmp_path}/k*/*"])
    assert [file.name for file in by_glob] == ["k1/a.jpg", "k2/b.jpg"]
    assert [file.name for file in find_images([f"{tmp_path}/k?"])] == ["k1/a.jpg", "k2/b.jpg"]
    named = find_images([tmp_path / "photo", tmp_path / "k1", str(tmp_path / "k1" / "a.jpg")])
    assert [file.name for file in named] == ["photo", "a.jpg"]


def test_a_folder_with_brackets_in_its_name_is_a_folder(tmp_path):
    touch(tmp_path / "[2024] kitchen" / "a.jpg")
    assert len(find_images([f"{tmp_path}/[2024] kitchen"])) == 1


def test_a_glob_below_a_folder_that_reads_as_one(tmp_path, monkeypatch):
    for name in ("a [1]/b*/x.jpg", "a [1]/b*/y.jpg", "a 1/bc/z.jpg"):
        touch(tmp_path / name)
    found = find_images([f"{tmp_path}/a [1]/b*/*.jpg"])
    assert [file.name for file in found] == ["x.jpg", "y.jpg"]
    assert [file.name for file in find_images([f"{tmp_path}/a [1]/*/x*"])] == ["b*/x.jpg"]
    assert [file.name for file in find_images([f"{tmp_path}/a [12]/*/*"])] == ["a 1/bc/z.jpg"]
    monkeypatch.chdir(tmp_path / "a [1]")
    assert [file.path for file in find_images(["b[*]/x.jpg"])] == [Path("b*/x.jpg")]


def test_pictures_of_any_ending_are_told_by_content_and_others_counted(tmp_path, capsys):
    picture = Image.new("RGB", (20, 20), "red")
    for name, kind in {"a.760": "JPEG", "b.jpg_large": "PNG", "c": "WEBP", "d.mpo": "MPO"}.items():
        picture.save(tmp_path / name, format=kind)
    for name in ("e.mov", "f.mov", "g", "h.P6"):
        (tmp_path / name).write_bytes(b"P6 is no picture")
    (tmp_path / "notes.txt").write_bytes(b"words")
    os.mkfifo(tmp_path / "pipe")
    found = find_images([tmp_path])
    assert [file.name for file in found] == ["a.760", "b.jpg_large", "c", "d.mpo"]
    said = capsys.readouterr().err
    assert said.count("passed over") == 1
    assert f"2 .mov, 1 without ending, 1 .p6 (for example {tmp_path / 'e.mov'})" in said


def test_thumbnails_and_deleted_files_are_passed_over(tmp_path, capsys):
    for name in ("a.jpg", "@eaDir/a.jpg/SYNO.jpg", "#recycle/b.jpg", ".thumbs/d.jpg", ".git/e.jpg"):
        touch(tmp_path / name)
    assert [file.name for file in find_images([tmp_path])] == ["a.jpg"]
    said = capsys.readouterr().err
    for name in ("@eaDir", "#recycle", ".thumbs"):
        assert f"{name}: passed over (thumbnails or deleted files)" in said
    assert ".git" not in said


def test_a_folder_that_cannot_be_listed_is_passed_over(tmp_path, capsys, shut):
    touch(tmp_path / "a.jpg", tmp_path / shut / "c.jpg")
    assert [file.name for file in find_images([tmp_path])] == ["a.jpg"]
    assert "shut: cannot be listed (Permission denied)" in capsys.readouterr().err
    with pytest.raises(InputError, match="cannot be listed"):
        find_images([tmp_path / shut])


def test_globs_pass_over_thumbnails_unless_they_name_them(tmp_path):
    touch(tmp_path / "a.jpg", tmp_path / "@eaDir/b.jpg", tmp_path / "k/Thumbnails/c.jpg")
    for pattern, found in {"**/*.jpg": ["a.jpg"], "*": ["a.jpg"], "@eaDir/*": ["b.jpg"]}.items():
        assert [file.path.name for file in find_images([f"{tmp_path}/{pattern}"])] == found


def test_files_that_may_not_be_looked_at_are_left_to_the_decoder(tmp_path, monkeypatch):
    touch(tmp_path / "a.jpg", tmp_path / "b.mov")

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_dir", lambda path: path == tmp_path or refuse())
    monkeypatch.setattr(Path, "stat", refuse)
    assert [file.name for file in find_images([tmp_path])] == ["a.jpg"]


def test_nothing_found_names_the_source(tmp_path):
    touch(tmp_path / "empty" / "notes.txt")
    with pytest.raises(InputError, match=r"empty.*\.jpg"):
        find_images([tmp_path / "empty"])
    with pytest.raises(InputError, match="nowhere"):
        find_images([tmp_path / "nowhere"])
    with pytest.raises(InputError, match=r"no\*where"):
        find_images([f"{tmp_path}/no*where"])


def bits_between(first: str, second: str) -> int:
    return (int(first, 16) ^ int(second, 16)).bit_count()


def test_the_perceptual_hash_survives_what_web_sites_do():
    photo = scene(640, 480)
    small = Image.open(io.BytesIO(images.encode_jpeg(photo.resize((200, 150)), 50)))
    brighter = photo.point(lambda value: min(255, int(value * 1.1)))
    original = images.perceptual_hash(photo)
    assert len(original) == 64
    assert bits_between(original, images.perceptual_hash(small)) <= 20
    assert bits_between(original, images.perceptual_hash(brighter)) <= 20
    for seed in range(1, 6):
        assert bits_between(original, images.perceptual_hash(scene(640, 480, seed))) > 60


def test_a_flat_picture_hashes_to_zeros():
    assert images.perceptual_hash(Image.new("RGB", (64, 64), (9, 9, 9))) == "0" * 64
