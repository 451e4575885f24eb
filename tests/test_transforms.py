"""Resizing, cropping, and the changes that a detector is trained with."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from scenes import scene
from wisp import images
from wisp.images.augmentation import (
    add_noise,
    down_and_up,
    jitter_colour,
    letterbox,
    overexpose,
    resized_crop,
    underexpose,
)


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
