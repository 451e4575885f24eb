"""Training streams are pure functions of (seed, step); class folders are read as they are."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from wisp.data import (
    PictureDataset,
    UnpairedFolders,
    derive_seed,
    find_shared,
    shuffled,
    unpaired,
)
from wisp.data.streams import PixelCache
from wisp.errors import InputError
from wisp.images import UnreadableImageError, find_images, scan
from wisp.manifest import FileRecord


def save(path: Path, seed: int = 0, size: tuple[int, int] = (48, 40)) -> Path:
    """A coloured texture of its own for each seed."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (5, 6, 3), dtype=np.uint8))
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse.resize(size, Image.Resampling.BICUBIC).save(path)
    return path


def flat(path: Path, grey: int, size: tuple[int, int] = (48, 40)) -> Path:
    """One grey value: tells which photo a crop comes from."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (grey,) * 3).save(path)
    return path


def grey_of(picture: torch.Tensor) -> int:
    return round((float(picture.mean()) + 1) * 127.5)


@pytest.fixture
def domains(tmp_path) -> tuple[list[Path], list[Path]]:
    clean = [save(tmp_path / "clean" / f"{number}.png", number) for number in range(5)]
    smoky = [save(tmp_path / "smoky" / f"{number}.png", 50 + number) for number in range(3)]
    return clean, smoky


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in ("clean", "smoky"))


# Seeds and streams -----------------------------------------------------------------------------


def test_seeds_depend_on_every_part_and_its_place():
    seeds = [derive_seed(*parts) for parts in ((0,), (1,), (0, 1), (1, 0), ("a", 1), ("a1",))]
    assert len(set(seeds)) == len(seeds)
    assert derive_seed(0, "crop", 3) == 1216139111233122197  # the same on every machine


@given(st.integers(1, 40), st.integers(0, 3), st.integers(0, 99))
def test_every_epoch_is_a_permutation(count, epoch, seed):
    drawn = [shuffled(count, epoch * count + place, seed) for place in range(count)]
    assert sorted(drawn) == list(range(count))


def test_epochs_differ():
    orders = {
        tuple(shuffled(30, epoch * 30 + place, 0) for place in range(30)) for epoch in range(5)
    }
    assert len(orders) == 5


def test_the_cache_keeps_its_budget(tmp_path):
    paths = [flat(tmp_path / f"{number}.png", number) for number in range(6)]
    reads: Counter[Path] = Counter()

    def read(path: Path) -> np.ndarray:
        reads[path] += 1
        return np.asarray(Image.open(path))

    cache = PixelCache(paths, read, budget_bytes=3 * 48 * 40 * 3)
    cache.preload("reading")
    for _ in range(2):
        assert [int(cache[index][0, 0, 0]) for index in range(6)] == list(range(6))
    assert [reads[path] > 1 for path in paths] == [False] * 3 + [True] * 3


# Unpaired ------------------------------------------------------------------------------------


def test_batches_have_the_promised_shape_and_range(domains):
    batch = UnpairedFolders(*domains, size=32, load_size=36, images_per_step=2).batch(0)
    for name in ("clean", "smoky"):
        assert batch[name].shape == (2, 3, 32, 32)
        assert batch[name].dtype == torch.float32
        assert -1 <= batch[name].min() < batch[name].max() <= 1


def test_a_batch_is_a_function_of_seed_and_step_only(domains):
    options = {"size": 32, "load_size": 36, "images_per_step": 2}
    first = UnpairedFolders(*domains, **options, seed=3)
    wanted = [first.batch(step) for step in range(6)]
    torch.manual_seed(1234)
    again = UnpairedFolders(*domains, **options, seed=3, cache_bytes=0)
    for step in (5, 0, 3):
        assert equal(again.batch(step), wanted[step])
    assert not equal(UnpairedFolders(*domains, **options, seed=4).batch(0), wanted[0])
    assert not equal(wanted[0], wanted[5])


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_loaders_do_not_depend_on_workers_nor_touch_the_global_generator(domains, workers):
    folders = UnpairedFolders(*domains, size=32, load_size=36, images_per_step=2)
    torch.manual_seed(7)
    state = torch.get_rng_state()
    loaded = list(folders.loader(4, 3, workers))
    assert torch.equal(torch.get_rng_state(), state)
    assert len(loaded) == 3
    for step, batch in zip(range(4, 7), loaded, strict=True):
        assert equal(batch, folders.batch(step))


def test_each_domain_is_gone_through_in_epochs(tmp_path):
    clean = [flat(tmp_path / "clean" / f"{grey}.png", grey) for grey in range(10, 70, 10)]
    smoky = [flat(tmp_path / "smoky" / f"{grey}.png", grey) for grey in range(100, 140, 10)]
    folders = UnpairedFolders(clean, smoky, size=32, load_size=32, images_per_step=2)
    batches = [folders.batch(step) for step in range(6)]
    seen_clean = [grey_of(picture) for batch in batches for picture in batch["clean"]]
    seen_smoky = [grey_of(picture) for batch in batches for picture in batch["smoky"]]
    assert sorted(seen_clean[:6]) == sorted(seen_clean[6:]) == list(range(10, 70, 10))
    assert Counter(seen_smoky) == dict.fromkeys(range(100, 140, 10), 3)
    # (a fixed pairing would show few of the 24 pairs)
    more = [folders.batch(step) for step in range(60)]
    pairs = {
        (grey_of(c), grey_of(s))
        for batch in more
        for c, s in zip(batch["clean"], batch["smoky"], strict=True)
    }
    assert len(pairs) > 18


def test_domains_of_equal_size_are_not_shuffled_alike(tmp_path):
    paths = [flat(tmp_path / f"{grey}.png", grey) for grey in range(0, 200, 10)]
    folders = UnpairedFolders(paths, paths, size=32, load_size=32, images_per_step=20)
    batch = folders.batch(0)
    assert [grey_of(p) for p in batch["clean"]] != [grey_of(p) for p in batch["smoky"]]


def test_crops_differ_between_slots_and_steps(tmp_path):
    paths = [save(tmp_path / "a.png", size=(90, 90))]
    folders = UnpairedFolders(paths, paths, size=32, load_size=90, images_per_step=3)
    crops = [crop for step in range(2) for crop in folders.batch(step)["clean"]]
    assert all(not torch.equal(a, b) for a, b in itertools.combinations(crops, 2))


@pytest.mark.parametrize(("cache_bytes", "times"), [(0, 3), (1 << 30, 1)])
def test_memory_is_limited(domains, monkeypatch, cache_bytes, times):
    reads: Counter[Path] = Counter()
    decode = unpaired.images.decode_fitted

    def counted(path: Path, size_px: int, fit: str) -> Image.Image:
        reads[path] += 1
        return decode(path, size_px, fit)

    monkeypatch.setattr(unpaired.images, "decode_fitted", counted)
    folders = UnpairedFolders(*domains, size=32, load_size=36, cache_bytes=cache_bytes)
    for step in range(15):
        folders.crop("clean", step, 0)
    assert list(reads.values()) == [times] * 5


def test_ranks_share_the_batch(domains):
    folders = UnpairedFolders(*domains, size=32, load_size=36, images_per_step=4)
    whole = folders.batch(2)["clean"]
    parts = [folders.batch(2, rank, 2)["clean"] for rank in range(2)]
    assert torch.equal(torch.stack(parts, 1).flatten(0, 1), whole)
    loaded = next(iter(folders.loader(2, 1, rank=1, ranks=2)))
    assert torch.equal(loaded["clean"], parts[1])
    with pytest.raises(InputError, match="--images-per-step 4"):
        folders.batch(0, 7, 8)


@pytest.mark.parametrize(
    ("fit", "widths"), [("short-side", {40}), ("squash", {20}), ("none", {80})]
)
def test_fits(tmp_path, fit, widths):
    """A ramp from left to right: its slope in a crop tells the scale."""
    ramp = np.linspace(0, 255, 80)[None, :, None].repeat(40, 0).repeat(3, 2)
    (tmp_path / "a").mkdir()
    Image.fromarray(ramp.astype(np.uint8)).save(tmp_path / "a" / "r.png")
    paths = [tmp_path / "a" / "r.png"]
    folders = UnpairedFolders(paths, paths, size=16, load_size=20, fit=fit, flip=False)
    crop = folders.crop("clean", 0, 0)[0, 8]
    width = 255 / (float(crop[12] - crop[4]) * 127.5 / 8)
    assert min(abs(width - wanted) / wanted for wanted in widths) < 0.05


@pytest.mark.parametrize("fit", ["short-side", "squash", "none"])
def test_small_photos_are_enlarged_to_the_crop(tmp_path, fit):
    paths = [save(tmp_path / "a.png", size=(20, 12))]
    folders = UnpairedFolders(paths, paths, size=32, load_size=32, fit=fit)
    assert folders.batch(0)["clean"].shape == (1, 3, 32, 32)


def test_flip_can_be_turned_off(tmp_path):
    array = np.zeros((32, 32, 3), np.uint8)
    array[:, 16:] = 255
    Image.fromarray(array).save(tmp_path / "a.png")
    paths = [tmp_path / "a.png"]
    for flip, expected in ((True, 2), (False, 1)):
        folders = UnpairedFolders(paths, paths, size=32, load_size=32, flip=flip)
        sides = {bool(folders.crop("clean", step, 0)[0, 0, 0] > 0) for step in range(20)}
        assert len(sides) == expected


def test_an_empty_domain_is_refused(domains):
    with pytest.raises(InputError, match="smoky"):
        UnpairedFolders(domains[0], [], size=32, load_size=36)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_photo_that_goes_bad_is_named_whoever_reads_it(domains, workers):
    folders = UnpairedFolders(*domains, size=32, load_size=36, cache_bytes=0)
    for path in domains[0]:
        path.write_bytes(b"")
    with pytest.raises(UnreadableImageError, match=r"\.png: is empty"):
        list(folders.loader(0, 2, workers))


def test_shared_photos_are_refused(tmp_path):
    save(tmp_path / "clean" / "a.png", 1)
    save(tmp_path / "clean" / "b.png", 2)
    save(tmp_path / "smoky" / "c.png", 3)
    clean, _ = scan(find_images([tmp_path / "clean"]))
    smoky, _ = scan(find_images([tmp_path / "smoky"]))
    find_shared(clean, smoky)
    (tmp_path / "smoky" / "copy.png").write_bytes((tmp_path / "clean" / "b.png").read_bytes())
    smoky, _ = scan(find_images([tmp_path / "smoky"]))
    with pytest.raises(InputError, match=r"share 1 photo,.*b\.png.*copy\.png"):
        find_shared(clean, smoky)
    with pytest.raises(InputError):
        find_shared([FileRecord("x", "1", "g")], [FileRecord("y", "1", "g")])


# Detector pictures ---------------------------------------------------------------------------


def detector_set(tmp_path: Path, counts: tuple[int, ...] = (6, 2), **options) -> PictureDataset:
    paths, targets = [], []
    for target, count in enumerate(counts):
        for number in range(count):
            paths.append(save(tmp_path / f"{target}-{number}.png", 10 * target + number))
            targets.append(target)
    return PictureDataset(paths, targets, size=32, **options)


def test_pictures_are_squashed_and_never_augmented_by_index(tmp_path):
    plain, changing = detector_set(tmp_path), detector_set(tmp_path, augment=True)
    assert len(plain) == 8
    for index in (0, 7):
        picture, target, number = plain[index]
        assert (picture.shape, target, number) == ((3, 32, 32), int(index == 7), index)
        assert torch.equal(picture, changing[index][0])
    batch = plain.batch(0, 4)
    for picture, index in zip(batch[0], batch[2].tolist(), strict=True):
        assert torch.equal(picture, plain[index][0])


@pytest.mark.parametrize("workers", [0, 2])
def test_training_batches_are_functions_of_seed_and_step(tmp_path, workers):
    dataset = detector_set(tmp_path, augment=True, seed=5)
    other = detector_set(tmp_path, augment=True, seed=5, cache_bytes=0)
    loaded = list(dataset.training_loader(3, 3, 4, workers=workers))
    assert len(loaded) == 3
    for step, batch in zip(range(3, 6), loaded, strict=True):
        for got, wanted in zip(batch, other.batch(step, 4), strict=True):
            assert torch.equal(got, wanted)
    assert not torch.equal(detector_set(tmp_path, augment=True).batch(3, 4)[0], loaded[0][0])


def test_the_same_picture_is_augmented_anew_each_time(tmp_path):
    dataset = detector_set(tmp_path, augment=True)
    shown = [dataset.augmented(0, step, slot) for step in range(3) for slot in range(2)]
    assert all(not torch.equal(a, b) for a, b in itertools.combinations(shown, 2))
    assert all(picture.shape == (3, 32, 32) and picture.abs().max() <= 1 for picture in shown)


def test_balance_shows_classes_equally_often_and_members_in_epochs(tmp_path):
    dataset = detector_set(tmp_path, (6, 2, 3))
    batches = [dataset.batch(step, 9) for step in range(4)]
    targets = torch.cat([batch[1] for batch in batches])
    assert Counter(targets.tolist()) == {0: 12, 1: 12, 2: 12}
    assert Counter(batches[0][1].tolist()) == {0: 3, 1: 3, 2: 3}
    assert set(Counter(torch.cat([batch[2] for batch in batches]).tolist()).values()) == {2, 6, 4}
    plain = [dataset.batch(step, 11, balance=False)[2].tolist() for step in range(2)]
    assert [sorted(indices) for indices in plain] == [list(range(11))] * 2
    assert plain[0] != plain[1]


def test_the_ordered_loader_shows_everything_once(tmp_path):
    dataset = detector_set(tmp_path, augment=True)
    for workers in (0, 1):
        batches = list(dataset.ordered_loader(3, workers=workers))
        assert [len(batch[0]) for batch in batches] == [3, 3, 2]
        assert torch.cat([batch[2] for batch in batches]).tolist() == list(range(8))
        assert torch.cat([batch[1] for batch in batches]).tolist() == dataset.targets
        assert torch.equal(batches[2][0][1], dataset[7][0])


def test_lengths_must_agree(tmp_path):
    with pytest.raises(ValueError, match="1 targets"):
        PictureDataset([tmp_path / "a.png", tmp_path / "b.png"], [0], size=32)
