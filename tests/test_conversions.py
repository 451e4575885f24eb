"""From pictures to tensors, to JPEG, and back."""

from __future__ import annotations

import io
import os

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from scenes import scene
from wisp import images

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
    assert images.encode_jpeg(np.array(scene())) == images.encode_jpeg(scene())


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
