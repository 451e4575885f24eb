"""Every kind of picture is decoded correctly or refused in one sentence."""

from __future__ import annotations

import io
import pickle
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image, PngImagePlugin, TiffImagePlugin

from scenes import scene
from wisp.errors import InputError
from wisp.images import MIN_SIDE_PX, UnreadableImageError, decode, find_images, scan


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


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_fewer_bits_in_a_sixteen_bit_file_are_scaled_and_said(tmp_path, bits, capsys, monkeypatch):
    monkeypatch.setattr("wisp.progress._said", set())
    ramp = np.linspace(0, 2**bits - 1, 64).astype(np.uint16)[None].repeat(16, 0)
    for name in ("a.png", "b.png"):
        Image.fromarray(ramp).save(tmp_path / name)
        decoded = np.asarray(decode(tmp_path / name), dtype=float)
        assert np.abs(decoded[..., 0] - ramp * (255 / (2**bits - 1))).max() <= 0.51
    assert capsys.readouterr().err.count(f"use {bits} bits") == 1


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


@pytest.mark.parametrize("bands", [3, 4])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_sixteen_bit_colours_are_scaled_by_the_bits_they_use(tmp_path, bits, bands):
    values = np.random.default_rng(0).integers(0, 2**bits, (16, 24, bands))
    values[0, 0], values[..., 3:] = 2**bits - 1, 65535  # opaque
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    path = tmp_path / "deep.png"
    path.write_bytes(raw_png(24, 16, 16, 2 if bands == 3 else 6, rows))
    wanted = values[..., :3] * (255 / (2**bits - 1))
    # Of all 16 bits Pillow keeps the high byte.
    assert np.abs(np.asarray(decode(path)) - wanted).max() <= (0.51 if bits < 16 else 1)


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
        path.write_text("Dies ist kein Foto, sondern Text – wirklich.\n" * 30, encoding="utf-8")
    elif kind.startswith("truncated"):
        path.write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    elif kind == "header":
        path.write_bytes(whole.getvalue()[:40])
    elif kind == "noise":
        path.write_bytes(np.random.default_rng(0).bytes(4000))
    elif kind == "dot":
        Image.new("RGB", (1, 1)).save(path)
    elif kind == "giant":
        path.write_bytes(raw_png(19_000, 9_600, 8, 2, None))
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
    "giant": "19000×9600 px, more than the 178 megapixels",
    "link": "broken link",
    "folder": "folder",
    "missing": "no such file",
    "heic": "HEIC",
    "eps": "text",
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_refused_in_one_sentence(tmp_path, kind):
    path = make_bad(tmp_path, kind)
    with pytest.raises(UnreadableImageError, match=BAD[kind]) as caught:
        decode(path)
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
    # 175 megapixels: Pillow would warn, we read up to 178, so only the missing pixels are wrong.
    (tmp_path / "a.png").write_bytes(raw_png(14_000, 12_500, 1, 0, None))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UnreadableImageError) as caught:
            decode(tmp_path / "a.png")
    assert "14000" not in str(caught.value)
    assert Image.MAX_IMAGE_PIXELS is not None


def test_the_error_crosses_processes():
    error = pickle.loads(pickle.dumps(UnreadableImageError(Path("a.jpg"), "is empty")))
    assert (error.path, error.reason, str(error)) == (Path("a.jpg"), "is empty", "a.jpg: is empty")


def damaged(data: bytes, how: int, at: float, count: int) -> bytes:
    """``data`` with ``count`` bytes from the part ``at`` on zeroed, left out, repeated or changed,
    or cut off there."""
    place = round(at * (len(data) - 1))
    touched = data[place : place + count]
    changes = [bytes(len(touched)), b"", 2 * touched, bytes(b ^ 0x55 for b in touched)]
    return data[:place] + (changes[how] + data[place + count :] if how < 4 else b"")


def verdict(data: bytes) -> tuple[int, int] | None:
    """The size of the picture in ``data`` to a decoder that does nothing besides; None: damaged."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            return image.size
    except Exception:  # decoders raise almost anything
        return None


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "JPEG2000", "AVIF"])
@given(st.integers(0, 4), st.floats(0, 1), st.integers(1, 300), st.sampled_from([None, 16]))
def test_what_a_fresh_decoder_refuses_is_refused(tmp_path_factory, kind, how, at, count, target_px):
    Image.init()
    if kind not in Image.SAVE:
        pytest.skip(f"Pillow was built without {kind}")
    stream = io.BytesIO()
    scene(60, 44).save(stream, kind)
    data = damaged(stream.getvalue(), how, at, count)
    path = tmp_path_factory.mktemp("damaged") / "a.jpg"
    path.write_bytes(data)
    found = verdict(data)
    try:
        assert decode(path, target_px).mode == "RGB"
    except UnreadableImageError:
        assert found is None or min(found) < MIN_SIDE_PX
    else:
        assert found is not None


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


@pytest.mark.parametrize("tags", [{50706: (1, b"\1\4\0\0")}, {254: (4, 1), 330: (4, 1000)}])
def test_the_preview_of_a_raw_photo_is_not_taken_for_it(tmp_path, tags):
    """DNG, NEF and others are TIFFs, whose first picture is a small one."""
    about = TiffImagePlugin.ImageFileDirectory_v2()
    for number, (kind, value) in tags.items():
        about.tagtype[number] = kind
        about[number] = value
    for name, info in (("raw.dng", about), ("plain.tif", {})):
        Image.new("RGB", (160, 120)).save(tmp_path / name, format="TIFF", tiffinfo=info)
    assert decode(tmp_path / "plain.tif").size == (160, 120)
    with pytest.raises(UnreadableImageError, match="raw photo"):
        decode(tmp_path / "raw.dng")


def float_rgb_tiff() -> bytes:
    tags = [(256, 16), (257, 8), (258, 134), (259, 1), (262, 2), (273, 146), (277, 3), (339, 140)]
    entries = b"".join(
        struct.pack("<HHII", tag, 3, 3 if tag in (258, 339) else 1, value) for tag, value in tags
    )
    start = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)
    kinds = struct.pack("<6H", 32, 32, 32, 3, 3, 3)
    return start.ljust(134, b"\0") + kinds + np.full((8, 16, 3), 0.5, "<f4").tobytes()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (float_rgb_tiff(), "TIFF of a kind that cannot be read"),
        (b"\xff\x0a" + bytes(60), "JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(60), "JPEG XL"),
    ],
)
def test_the_true_reason_is_given(tmp_path, data, reason):
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(UnreadableImageError, match=reason):
        decode(tmp_path / "a.tif")


def test_a_picture_with_more_text_than_pillow_takes(tmp_path):
    text = PngImagePlugin.PngInfo()
    text.add_text("words", "x" * 2_000_000, zip=True)
    Image.new("RGB", (20, 20)).save(tmp_path / "a.png", pnginfo=text)
    with pytest.raises(UnreadableImageError, match="more text than a picture may"):
        decode(tmp_path / "a.png")
