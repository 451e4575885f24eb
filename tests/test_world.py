"""The demo's rendered world."""

from __future__ import annotations

import numpy as np
from PIL import Image

from wisp.demonstration.kitchens import random_kitchen
from wisp.demonstration.puffs import puff_density
from wisp.demonstration.world import (
    SIZE_PX,
    WorldSize,
    build_world,
    render,
)


def test_the_same_seed_renders_the_same_world(tmp_path):
    size = WorldSize(clean_kitchens=1, smoky_kitchens=1, test_kitchens=1, photos_per_kitchen=2)
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        build_world(tmp_path / name, seed=seed, size=size)
    files = {
        name: {
            str(p.relative_to(tmp_path / name)): p.read_bytes()
            for p in sorted((tmp_path / name).rglob("*.jpg"))
        }
        for name in "abc"
    }
    assert files["a"] == files["b"]
    assert set(files["a"]) == set(files["c"])
    assert files["a"] != files["c"]


def test_no_place_stands_in_two_parts(tmp_path):
    size = WorldSize(clean_kitchens=2, smoky_kitchens=2, test_kitchens=2, photos_per_kitchen=2)
    build_world(tmp_path, size=size)
    places = [
        {p.name.split("__")[0] for p in (tmp_path / part).rglob("*.jpg")}
        for part in ("clean", "smoky", "real")
    ]
    assert all(len(part) == 2 for part in places)
    assert len(set().union(*places)) == 6
    masks = {p.stem for p in (tmp_path / "real_masks").iterdir()}
    assert masks == {p.stem for p in (tmp_path / "real" / "smoky").iterdir()}


def test_puffs_are_a_density_that_begins_at_the_source_and_drifts_with_the_draught():
    """Turbulence carries a single cloud anywhere; twenty together show where smoke comes from."""
    rows, columns = np.mgrid[:SIZE_PX, :SIZE_PX] / SIZE_PX
    x, y = 0.3, 0.6
    near = np.hypot(columns - x, rows - y) < 0.03
    still, blown = [], []
    for seed in range(20):
        for centres, draught in ((still, 0.0), (blown, 0.3)):
            density = puff_density(np.random.default_rng(seed), (x, y), (draught, 0.0), SIZE_PX)
            assert density.shape == (SIZE_PX, SIZE_PX)
            assert np.isfinite(density).all()
            assert density.min() >= 0
            assert density[near].max() > 0.25 * density.max()
            weight = density / density.sum()
            centres.append([(weight * columns).sum(), (weight * rows).sum()])
    assert np.hypot(*(np.mean(still, axis=0) - [x, y])) < 0.1
    assert np.mean(blown, axis=0)[0] > np.mean(still, axis=0)[0] + 0.05


def test_smoke_changes_the_picture_where_the_mask_says():
    """Mean over places: pixels under smoke differ from the clean render, others hardly."""
    under, beside = [], []
    for seed in range(6):
        kitchen = random_kitchen(np.random.default_rng(seed))
        # One generator state for both, so that everything but the smoke is alike; noise off.
        import dataclasses

        quiet = dataclasses.replace(kitchen, noise=0.0)
        smoky = render(quiet, np.random.default_rng([seed, 1]), smoke=True)
        assert smoky.opacity is not None
        assert smoky.image.size == (SIZE_PX, SIZE_PX)
        clean = render(quiet, np.random.default_rng([seed, 1]), smoke=False)
        a, b = (np.asarray(p.image.convert("L"), np.float32) for p in (smoky, clean))
        # Exposure is drawn after the smoke, so compare contrast: local detail fades under smoke.
        detail_smoky, detail_clean = (np.abs(np.diff(i, axis=1))[:, :] for i in (a, b))
        thick = smoky.opacity[:, 1:] > 0.6
        thin = smoky.opacity[:, 1:] < 0.02
        if thick.sum() > 200:
            under.append(detail_smoky[thick].mean() / (detail_clean[thick].mean() + 1e-3))
            beside.append(detail_smoky[thin].mean() / (detail_clean[thin].mean() + 1e-3))
    assert np.mean(under) < 0.7 * np.mean(beside)


def test_pictures_are_ordinary_files(tmp_path):
    size = WorldSize(clean_kitchens=1, smoky_kitchens=1, test_kitchens=1, photos_per_kitchen=1)
    build_world(tmp_path, size=size)
    with Image.open(next((tmp_path / "clean").iterdir())) as picture:
        assert picture.mode == "RGB"
