"""Every kind of picture is decoded correctly or refused in one sentence."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import struct
import time
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import ExifTags, Image

from wisp import images
from wisp.errors import InputError
from wisp.images import UnreadableImageError, decode, find_images, scan
from wisp.images.augmentation import (
    add_noise,
    down_and_up,
    jitter_colour,
    letterbox,
    overexpose,
    resized_crop,
    underexpose,
)


def scene(width: int = 96, height: int = 64, seed: int = 0) -> Image.Image:
    """A picture with structure at every scale."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


def corners(width: int = 48, height: int = 32) -> Image.Image:
    """Red top left, green top right, blue bottom left, white bottom right."""
    array = np.zeros((height, width, 3), np.uint8)
    array[: height // 2, : width // 2] = (255, 0, 0)
    array[: height // 2, width // 2 :] = (0, 255, 0)
    array[height // 2 :, : width // 2] = (0, 0, 255)
    array[height // 2 :, width // 2 :] = 255
    return Image.fromarray(array)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def raw_png(width: int, height: int, depth: int, colour: int, rows: bytes | None) -> bytes:
    """A PNG by hand, for what Pillow does not write: 16-bit colour, and giants without pixels."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    data = b"" if rows is None else zlib.compress(rows)
    chunks = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", data) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def pixel(image: Image.Image, x: int, y: int) -> tuple[int, int, int]:
    value = image.getpixel((x, y))
    assert isinstance(value, tuple)
    return value  # type: ignore[return-value]


# Decoding ------------------------------------------------------------------------------------


def test_rgb_is_kept(tmp_path):
    scene().save(tmp_path / "a.png")
    decoded = decode(tmp_path / "a.png")
    assert decoded.mode == "RGB"
    assert np.array_equal(np.asarray(decoded), np.asarray(scene()))


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bit_grey_is_scaled_not_clipped(tmp_path, name):
    ramp = np.linspace(0, 65535, 64, dtype=np.uint16)[None].repeat(16, 0)
    Image.fromarray(ramp).save(tmp_path / name)
    decoded = np.asarray(decode(tmp_path / name), dtype=float)
    assert np.abs(decoded - ramp[..., None] / 257).max() <= 0.5
    assert len(np.unique(decoded)) == 64


def test_thirty_two_bit_and_float_grey(tmp_path):
    wide = np.linspace(0, 2**31 - 1, 32).astype(np.int32)[None].repeat(16, 0)
    Image.fromarray(wide).save(tmp_path / "wide.tif")
    decoded = np.asarray(decode(tmp_path / "wide.tif"), dtype=float)[0, :, 0]
    assert np.abs(decoded - wide[0] / 4294967295 * 255).max() <= 0.51
    unit = np.linspace(0, 1, 32, dtype=np.float32)[None].repeat(16, 0)
    Image.fromarray(unit).save(tmp_path / "unit.tif")
    assert np.asarray(decode(tmp_path / "unit.tif"))[0, [0, 31], 1].tolist() == [0, 255]
    Image.fromarray(unit * 1e6).save(tmp_path / "hdr.tif")
    with pytest.raises(UnreadableImageError, match="0 to 255"):
        decode(tmp_path / "hdr.tif")


def test_sixteen_bit_colour_is_scaled(tmp_path):
    values = np.linspace(0, 65535, 32 * 8 * 3).astype(">u2").reshape(8, 32, 3)
    rows = b"".join(b"\0" + row.tobytes() for row in values)
    (tmp_path / "deep.png").write_bytes(raw_png(32, 8, 16, 2, rows))
    decoded = np.asarray(decode(tmp_path / "deep.png"), dtype=float)
    assert np.abs(decoded - values / 257.0).max() <= 1


@pytest.mark.parametrize("mode", ["L", "1"])
def test_grey(tmp_path, mode):
    half = Image.fromarray(np.repeat([[0, 255]], 16, 0).repeat(8, 1).astype(np.uint8))
    half.convert(mode).save(tmp_path / "a.png")
    decoded = decode(tmp_path / "a.png")
    assert (pixel(decoded, 2, 2), pixel(decoded, 13, 2)) == ((0, 0, 0), (255, 255, 255))


def test_palette_with_and_without_a_transparent_colour(tmp_path):
    palette = corners().quantize(4)
    palette.save(tmp_path / "a.png")
    assert np.array_equal(np.asarray(decode(tmp_path / "a.png")), np.asarray(corners()))
    red = palette.getpixel((0, 0))
    palette.save(tmp_path / "b.png", transparency=red)
    decoded = decode(tmp_path / "b.png")
    assert (pixel(decoded, 2, 2), pixel(decoded, 40, 2)) == ((255, 255, 255), (0, 255, 0))


def test_alpha_is_laid_over_white(tmp_path):
    ink = Image.new("RGBA", (16, 16), (200, 0, 0, 255))
    ink.putpixel((0, 0), (10, 20, 30, 0))
    ink.putpixel((1, 0), (100, 100, 100, 128))
    ink.save(tmp_path / "a.png")
    decoded = decode(tmp_path / "a.png")
    assert pixel(decoded, 0, 0) == (255, 255, 255)
    assert pixel(decoded, 5, 5) == (200, 0, 0)
    assert abs(pixel(decoded, 1, 0)[0] - (100 * 128 + 255 * 127) / 255) <= 1
    Image.new("LA", (16, 16), (50, 0)).save(tmp_path / "b.png")
    assert pixel(decode(tmp_path / "b.png"), 0, 0) == (255, 255, 255)
    Image.new("RGB", (16, 16), (1, 2, 3)).save(tmp_path / "c.png", transparency=(1, 2, 3))
    assert pixel(decode(tmp_path / "c.png"), 0, 0) == (255, 255, 255)


@pytest.mark.parametrize("name", ["a.jpg", "a.tif"])
def test_cmyk(tmp_path, name):
    Image.new("CMYK", (32, 32), (255, 0, 0, 0)).save(tmp_path / name, quality=100)
    red, green, blue = pixel(decode(tmp_path / name, 16), 8, 8)
    assert red < 6
    assert min(green, blue) > 249


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path, name, orientation):
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    upright = corners()
    stored = upright.transpose(undo[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    stored.save(tmp_path / name, exif=exif, quality=100)
    decoded = decode(tmp_path / name)
    assert decoded.size == (48, 32)
    difference = np.abs(np.asarray(decoded, dtype=int) - np.asarray(upright, dtype=int))
    assert np.median(difference) < 5
    good, _ = scan(find_images([tmp_path]))
    assert (good[0].width, good[0].height) == (48, 32)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_exif_does_not_cost_the_picture(tmp_path):
    scene().save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert decode(tmp_path / "a.jpg").size == (96, 64)


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png"])
def test_the_first_frame_of_an_animation_is_taken(tmp_path, name):
    frames = [Image.new("RGB", (16, 16), colour) for colour in ((250, 0, 0), (0, 250, 0))]
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], lossless=True)
    assert pixel(decode(tmp_path / name), 3, 3) == (250, 0, 0)


def test_a_large_jpeg_is_decoded_at_reduced_scale(tmp_path):
    scene(1600, 1200).save(tmp_path / "a.jpg", quality=95)
    small = decode(tmp_path / "a.jpg", target_px=150)
    assert small.size == (200, 150)
    whole = decode(tmp_path / "a.jpg").resize((200, 150), Image.Resampling.BOX)
    difference = np.abs(np.asarray(small, dtype=int) - np.asarray(whole, dtype=int))
    assert difference.mean() < 2
    good, _ = scan(find_images([tmp_path]))
    assert (good[0].width, good[0].height) == (1600, 1200)


# Bad input -----------------------------------------------------------------------------------


def make_bad(folder: Path, kind: str) -> Path:
    path = folder / f"{kind}.jpg"
    whole = io.BytesIO()
    scene(400, 300).save(whole, "PNG" if kind == "truncated-png" else "JPEG")
    if kind == "empty":
        path.touch()
    elif kind == "text":
        path.write_text("Dies ist kein Foto, sondern Text – wirklich.\n" * 30)
    elif kind.startswith("truncated"):
        path.write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    elif kind == "header":
        path.write_bytes(whole.getvalue()[:40])
    elif kind == "noise":
        path.write_bytes(np.random.default_rng(0).bytes(4000))
    elif kind == "dot":
        Image.new("RGB", (1, 1)).save(path)
    elif kind == "giant":
        path.write_bytes(raw_png(30_000, 30_000, 8, 2, None))
    elif kind == "link":
        path.symlink_to(folder / "gone.jpg")
    elif kind == "folder":
        path.mkdir()
    elif kind == "heic":
        path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
    elif kind == "eps":
        path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n")
    return path


BAD = {
    "empty": "empty",
    "text": "text",
    "truncated": "truncated",
    "truncated-png": "truncated",
    "header": "truncated|decoded|damaged",
    "noise": "not a picture",
    "dot": "1×1",
    "giant": "30000×30000",
    "link": "broken link",
    "folder": "folder",
    "missing": "no such file",
    "heic": "HEIC",
    "eps": "text",
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_refused_in_one_sentence(tmp_path, kind):
    path = make_bad(tmp_path, kind)
    started = time.monotonic()
    with pytest.raises(UnreadableImageError, match=BAD[kind]) as caught:
        decode(path)
    assert time.monotonic() - started < 1
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, InputError)


def test_an_unreadable_file_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.jpg"
    scene().save(path)

    def refuse(*_arguments: object, **_options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # the suite may run as root, who may read anything
    with pytest.raises(UnreadableImageError, match="permission"):
        decode(path)


def test_the_limit_is_ours_not_pillows(tmp_path):
    # 196 megapixels: above Pillow's own limit, below ours, so only the missing pixels are wrong.
    (tmp_path / "a.png").write_bytes(raw_png(14_000, 14_000, 1, 0, None))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UnreadableImageError) as caught:
            decode(tmp_path / "a.png")
    assert "14000" not in str(caught.value)
    assert Image.MAX_IMAGE_PIXELS is not None


def test_the_error_crosses_processes():
    error = pickle.loads(pickle.dumps(UnreadableImageError(Path("a.jpg"), "is empty")))
    assert (error.path, error.reason, str(error)) == (Path("a.jpg"), "is empty", "a.jpg: is empty")


@pytest.mark.filterwarnings("ignore::UserWarning")
@given(st.integers(0, 2**32 - 1), st.integers(1, 60))
def test_damaged_bytes_never_raise_anything_else(tmp_path_factory, seed, flips):
    rng = np.random.default_rng(seed)
    stream = io.BytesIO()
    scene(40, 30).save(stream, ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP"][seed % 6])
    data = bytearray(stream.getvalue())
    for position in rng.integers(0, len(data), flips):
        data[position] = rng.integers(0, 256)
    path = tmp_path_factory.mktemp("fuzz") / "a.jpg"
    path.write_bytes(data)
    with contextlib.suppress(UnreadableImageError):
        assert decode(path).mode == "RGB"


# Finding -------------------------------------------------------------------------------------


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


def test_nothing_found_names_the_source(tmp_path):
    touch(tmp_path / "empty" / "notes.txt")
    with pytest.raises(InputError, match=r"empty.*\.jpg"):
        find_images([tmp_path / "empty"])
    with pytest.raises(InputError, match="nowhere"):
        find_images([tmp_path / "nowhere"])
    with pytest.raises(InputError, match=r"no\*where"):
        find_images([f"{tmp_path}/no*where"])


def test_scan_sorts_good_from_bad(tmp_path, capsys):
    for kind in BAD:
        if kind != "folder":
            make_bad(tmp_path, kind)
    for number in range(5):
        scene(seed=number).save(tmp_path / f"good-{number}.png")
    files = find_images([tmp_path])
    good, bad = scan(files, workers=1)
    assert scan(files, workers=4) == (good, bad)
    assert [file.name for file in good] == [f"good-{number}.png" for number in range(5)]
    assert len(bad) == len(files) - 5
    assert all(skipped.reason and not skipped.reason.startswith("/") for skipped in bad)
    assert bad[0].to_json() == {"path": str(bad[0].path), "reason": bad[0].reason}
    assert len({file.sha256 for file in good}) == len({file.phash for file in good}) == 5
    assert capsys.readouterr().out == ""


# Hash ----------------------------------------------------------------------------------------


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


# Conversions ---------------------------------------------------------------------------------

pictures = arrays.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3)))


@given(pictures)
def test_every_byte_survives_the_tensor_and_back(array):
    tensor = images.to_tensor(array)
    assert tensor.shape == (3, *array.shape[:2])
    assert tensor.min() >= -1
    assert tensor.max() <= 1
    assert np.array_equal(images.to_uint8(tensor), array)
    assert np.array_equal(np.asarray(images.to_pil(tensor)), array)
    assert np.array_equal(np.asarray(images.to_pil(array)), array)
    assert torch.equal(images.to_tensor(Image.fromarray(array)), tensor)


def test_batches_masks_and_range():
    batch = np.random.default_rng(0).integers(0, 256, (2, 4, 5, 3), dtype=np.uint8)
    assert np.array_equal(images.to_uint8(images.from_uint8(batch)), batch)
    assert images.to_uint8(torch.tensor([[[-2.0, -1.0, 0.0, 1.0, 2.0]]])).ravel().tolist() == [
        0, 0, 128, 255, 255,
    ]  # fmt: skip
    assert images.to_pil(torch.zeros(1, 4, 5)).mode == "L"
    read_only = np.asarray(scene())
    images.to_tensor(read_only).zero_()
    assert read_only.any()


def test_jpeg_is_close_and_smaller_at_lower_quality():
    fine, coarse = images.encode_jpeg(scene(), 95), images.encode_jpeg(scene(), 20)
    assert len(coarse) < len(fine)
    decoded = np.asarray(Image.open(io.BytesIO(fine)), dtype=int)
    assert np.abs(decoded - np.asarray(scene(), dtype=int)).mean() < 3
    assert images.encode_jpeg(images.to_tensor(scene())) == images.encode_jpeg(scene())


@pytest.mark.parametrize("ending", ["webp", "png", "tiff"])
def test_a_decoded_picture_does_not_keep_its_decoder(tmp_path, ending):
    """WebP's holds as much memory again as the picture."""
    scene().save(tmp_path / f"a.{ending}")
    assert type(images.decode(tmp_path / f"a.{ending}")) is Image.Image


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="no files in memory here")
@pytest.mark.parametrize("allowed", [True, False])
def test_a_jpeg_is_what_pillow_writes_wherever_it_is_written(allowed, monkeypatch):
    real, asked = os.memfd_create, []

    def memfd_create(name):
        asked.append(name)
        if not allowed:
            raise PermissionError
        return real(name)

    monkeypatch.setattr(os, "memfd_create", memfd_create)
    recipe = images.JpegRecipe((tuple([3] * 64), tuple([5] * 64)), 0)
    tables = [list(table) for table in recipe.tables]
    for how, same in (
        (80, {"quality": 80}),
        (recipe, {"qtables": tables, "subsampling": 0}),
    ):
        written = io.BytesIO()
        scene().save(written, "JPEG", **same)
        assert images.encode_jpeg(scene(), how) == written.getvalue()
    assert len(asked) == 2


def test_the_comment_of_a_photo_is_not_written(tmp_path):
    """A clean picture would have it, the same under smoke not."""
    scene().save(tmp_path / "a.jpg", comment=b"taken by camera 3")
    photo = images.decode(tmp_path / "a.jpg")
    for how in (80, images.jpeg_recipe(tmp_path / "a.jpg")):
        encoded = images.encode_jpeg(photo, how)
        assert encoded == images.encode_jpeg(np.asarray(photo), how)
        assert b"camera 3" not in encoded


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("quality", [60, 87])
def test_encoding_again_by_the_same_recipe_changes_next_to_nothing(tmp_path, quality, subsampling):
    path = tmp_path / "a.jpg"
    scene(160, 120).save(path, quality=quality, subsampling=subsampling)
    recipe = images.jpeg_recipe(path)
    assert recipe is not None
    photo = images.decode(path)

    def change(how):
        again = Image.open(io.BytesIO(images.encode_jpeg(photo, how)))
        return np.abs(np.asarray(again, dtype=int) - np.asarray(photo, dtype=int)).mean()

    assert change(recipe) < 0.25 * change(quality - 15)
    assert recipe == images.jpeg_recipe(_written(tmp_path, images.encode_jpeg(photo, recipe)))


def _written(folder, data):
    path = folder / "again.jpg"
    path.write_bytes(data)
    return path


def test_other_formats_have_no_recipe(tmp_path):
    scene().save(tmp_path / "a.png")
    (tmp_path / "text.jpg").write_text("no picture")
    Image.new("CMYK", (32, 32)).save(tmp_path / "cmyk.jpg")
    for name in ("a.png", "text.jpg", "cmyk.jpg", "absent.jpg"):
        assert images.jpeg_recipe(tmp_path / name) is None
    Image.new("L", (32, 32), 90).save(tmp_path / "grey.jpg")
    grey = images.jpeg_recipe(tmp_path / "grey.jpg")
    assert grey is not None
    assert images.encode_jpeg(scene(), grey)


# Transforms ----------------------------------------------------------------------------------


@given(st.integers(8, 90), st.integers(8, 90), st.integers(8, 64))
def test_sizes(width, height, px):
    photo = Image.new("RGB", (width, height))
    resized = images.resize_short_side(photo, px)
    assert min(resized.size) == px
    assert abs(max(resized.size) - px * max(width, height) / min(width, height)) <= 0.5
    assert images.squash(photo, px).size == (px, px)
    assert images.center_crop(photo, px).size == (px, px)
    enlarged = images.enlarge_to(photo, px)
    assert enlarged.size == photo.size if min(photo.size) >= px else min(enlarged.size) == px


def test_resizing_does_not_alias():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    small = np.asarray(images.squash(Image.fromarray(stripes), 16), dtype=int)
    assert np.abs(small - 127.5).max() < 20


def test_the_centre_crop_is_the_centre():
    array = np.zeros((21, 31, 3), np.uint8)
    array[10, 15] = 255
    cropped = np.asarray(images.center_crop(Image.fromarray(array), 11))
    assert cropped[5, 5].tolist() == [255, 255, 255]


def test_crops_reach_every_position_and_flips_are_fair():
    coordinates = np.stack(np.mgrid[0:10, 0:12, 0:1], -1)[:, :, 0].astype(np.uint8)
    generator = torch.Generator().manual_seed(0)
    starts = set()
    flipped = 0
    for _ in range(400):
        window = images.random_crop(coordinates, 8, generator)
        assert window.shape == (8, 8, 3)
        starts.add((int(window[0, 0, 0]), int(window[0, 0, 1])))
        mirrored = images.random_flip(window, generator)
        flipped += bool(mirrored[0, 0, 1] != window[0, 0, 1])
        assert np.array_equal(np.sort(mirrored[0, :, 1]), window[0, :, 1])
    assert starts == {(top, left) for top in range(3) for left in range(5)}
    assert 150 < flipped < 250
    with pytest.raises(ValueError, match="11"):
        images.random_crop(coordinates, 11, generator)


def test_augmentation_is_a_pure_function_of_the_generator():
    photo = scene(80, 80)
    before = photo.tobytes()

    def draw(seed: int) -> bytes:
        changed = images.augment(photo, 64, torch.Generator().manual_seed(seed))
        assert (changed.size, changed.mode) == ((64, 64), "RGB")
        return changed.tobytes()

    torch.manual_seed(1)
    first = [draw(seed) for seed in range(12)]
    torch.manual_seed(2)
    assert [draw(seed) for seed in range(12)] == first
    assert len(set(first)) == 12
    assert photo.tobytes() == before


def test_augmentations_stay_near_the_picture():
    photo = images.squash(scene(), 64)
    plain = np.asarray(photo, dtype=int)
    generator = torch.Generator().manual_seed(0)
    for change, most in ((jitter_colour, 60), (add_noise, 8), (down_and_up, 12)):
        differences = [
            np.abs(np.asarray(change(photo, generator), dtype=int) - plain).mean()
            for _ in range(20)
        ]
        assert 0 < max(differences) < most, change.__name__


def test_too_much_light_brightens_and_clips_and_too_little_darkens():
    photo = images.squash(scene(), 64)
    plain = np.asarray(photo, dtype=int)
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        bright = np.asarray(overexpose(photo, generator), dtype=int)
        assert (bright >= plain - 1).all()  # light is added, none is taken (but for rounding)
        assert 0.1 < (bright.max(axis=2) == 255).mean() < 0.7
        dark = np.asarray(underexpose(photo, generator), dtype=int)
        assert (dark <= plain).all()
        assert 0.2 < dark.sum() / plain.sum() < 0.75


def test_a_letterbox_squeezes_the_whole_picture_between_even_bars():
    ramp = np.broadcast_to(np.arange(100, 200, dtype=np.uint8)[None, :, None], (100, 100, 3))
    photo = Image.fromarray(np.ascontiguousarray(ramp))
    generator = torch.Generator().manual_seed(0)
    ways = set()
    for _ in range(30):
        frame = np.asarray(letterbox(photo, generator), dtype=int)[..., 0]
        assert frame.shape == (100, 100)
        picture = frame >= 95
        assert len(np.unique(frame[~picture])) == 1
        assert frame[~picture].max() < 30
        rows, columns = picture.any(axis=1).sum(), picture.any(axis=0).sum()
        assert picture.sum() == rows * columns
        assert sorted((rows, columns))[1] == 100 and 40 <= min(rows, columns) <= 80
        inside = frame[picture]
        assert inside.min() <= 104 and inside.max() >= 195  # nothing was cut off
        ways.add(bool(rows == 100))
    assert ways == {True, False}


def test_a_resized_crop_keeps_at_least_the_promised_area():
    height, width = 200, 200
    grid = np.zeros((height, width, 3), np.uint8)
    grid[..., 0], grid[..., 1] = np.arange(width)[None], np.arange(height)[:, None]
    generator = torch.Generator().manual_seed(0)
    areas = []
    for _ in range(100):
        crop = np.asarray(resized_crop(Image.fromarray(grid), 50, generator), dtype=float)
        across = (crop[0, -1, 0] - crop[0, 0, 0]) / 0.98 / width
        down = (crop[-1, 0, 1] - crop[0, 0, 1]) / 0.98 / height
        areas.append(across * down)
    assert min(areas) > 0.56  # 60 %, less what aspect changes cut off at the border
    assert max(areas) < 1.02
    assert max(areas) - min(areas) > 0.25
