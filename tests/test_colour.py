"""Colours come out as a browser shows them: what a profile says, against the equations."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from scenes import scene
from wisp.images import decode

# Primaries adapted to D50, as profiles hold them (rows X, Y, Z; columns red, green, blue).
SRGB = np.array([[0.4361, 0.3851, 0.1431], [0.2225, 0.7169, 0.0606], [0.0139, 0.0971, 0.7141]])
WIDE = np.array([[0.6097, 0.2053, 0.1492], [0.3111, 0.6257, 0.0632], [0.0195, 0.0609, 0.7446]])
GAMMA = 563 / 256


def profile(primaries: np.ndarray, gamma: float = GAMMA) -> bytes:
    """An ICC profile (version 2, three primaries and a gamma): with WIDE, Adobe RGB (1998)."""

    def number(value: float) -> bytes:
        return struct.pack(">i", round(value * 65536))

    def point(values: np.ndarray) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(number(value) for value in values)

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    name = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(78)
    tags = {b"desc": name, b"wtpt": point(np.array([0.9642, 1, 0.8249]))}
    for index, letter in enumerate((b"r", b"g", b"b")):
        tags[letter + b"XYZ"], tags[letter + b"TRC"] = point(primaries[:, index]), curve
    table, data, start = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for tag, content in tags.items():
        table += tag + struct.pack(">II", start + len(data), len(content))
        data += content + bytes(-len(content) % 4)
    header = struct.pack(">I4sI4s4s4s", start + len(data), b"\0\0\0\0", 0x02100000, b"mntr",
                         b"RGB ", b"XYZ ")  # fmt: skip
    header += bytes(12) + b"acsp" + bytes(28)
    header += b"".join(number(value) for value in (0.9642, 1, 0.8249)) + bytes(48)
    return header + table + data


def in_srgb(pixels: np.ndarray) -> np.ndarray:
    """Adobe RGB 0 to 255 as sRGB, by the equations of both."""
    light = (pixels / 255.0) ** GAMMA @ WIDE.T @ np.linalg.inv(SRGB).T
    light = light.clip(0, 1)
    shown = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return 255 * shown


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.webp", "palette.png", "alpha.png"])
def test_colours_follow_the_profile(tmp_path, name):
    photo = scene()
    stored = photo.quantize(64) if name == "palette.png" else photo
    if name == "alpha.png":
        stored = photo.convert("RGBA")
    pixels = np.asarray(stored.convert("RGB"), float)
    how = {"lossless": True} if name == "a.webp" else {}
    stored.save(tmp_path / name, icc_profile=profile(WIDE), **how)
    shown = np.asarray(decode(tmp_path / name), float)
    assert np.abs(shown - pixels).max() > 10  # the profile matters
    assert np.abs(shown - in_srgb(pixels)).max() < 3


def test_pixels_in_srgb_are_kept(tmp_path):
    own = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    scene().save(tmp_path / "a.png", icc_profile=own)
    assert np.array_equal(np.asarray(decode(tmp_path / "a.png")), np.asarray(scene()))


@pytest.mark.parametrize("broken", [b"not a profile", profile(WIDE)[:200]])
def test_a_broken_profile_does_not_cost_the_picture(tmp_path, broken):
    scene().save(tmp_path / "a.png", icc_profile=broken)
    assert np.array_equal(np.asarray(decode(tmp_path / "a.png")), np.asarray(scene()))
    scene().convert("L").save(tmp_path / "grey.png", icc_profile=profile(WIDE))  # of another kind
    grey = np.asarray(scene().convert("L"))
    assert np.array_equal(np.asarray(decode(tmp_path / "grey.png"))[..., 0], grey)


def test_a_colour_that_means_transparent_stays_so(tmp_path):
    red = Image.new("RGB", (16, 16), (255, 0, 0))
    red.save(tmp_path / "a.png", icc_profile=profile(WIDE), transparency=(255, 0, 0))
    assert np.asarray(decode(tmp_path / "a.png")).min() == 255  # laid over white
