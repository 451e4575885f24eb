"""AddSmoke, as torchvision's own transforms are used."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import tv_tensors
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from scenes import scene
from wisp.errors import InputError
from wisp.transforms import AddSmoke


def photo() -> Image.Image:
    return scene(120, 90)


def tensor(dtype: torch.dtype = torch.uint8) -> torch.Tensor:
    whole = torch.from_numpy(np.array(photo())).permute(2, 0, 1).contiguous()
    return whole if dtype == torch.uint8 else whole.to(dtype) / 255


def seeded(seed: int, change: AddSmoke, *sample: object):
    torch.manual_seed(seed)
    return change(*sample)


@pytest.mark.parametrize("model", ["layered", "procedural"])
def test_every_kind_of_picture_gets_the_same_smoke_and_stays_what_it_is(model: str) -> None:
    add = AddSmoke(model)
    pil = seeded(3, add, photo())
    assert isinstance(pil, Image.Image) and pil.size == (120, 90)
    expected = torch.from_numpy(np.array(pil)).permute(2, 0, 1)
    assert (expected.float() - tensor().float()).abs().mean() > 2
    for given in (tensor(), tv_tensors.Image(tensor()), tensor(torch.float32)):
        before = given.clone()
        made = seeded(3, add, given)
        assert type(made) is type(given) and made.dtype == given.dtype
        assert torch.equal(given, before)
        whole = made if made.dtype == torch.uint8 else (made * 255).round().byte()
        assert torch.equal(whole.as_subclass(torch.Tensor), expected)


def test_torchs_seed_fixes_smoke_and_each_call_is_another() -> None:
    add = pickle.loads(pickle.dumps(AddSmoke()))
    torch.manual_seed(1)
    first, second = np.asarray(add(photo())), np.asarray(add(photo()))
    assert not np.array_equal(first, second)
    assert np.array_equal(np.asarray(seeded(1, add, photo())), first)


def test_of_a_batch_each_picture_gets_smoke_of_its_own() -> None:
    for dtype in (torch.uint8, torch.float32, torch.float64):
        batch = tensor(dtype).expand(4, -1, -1, -1)
        made = seeded(2, AddSmoke(), batch)
        assert made.shape == batch.shape and made.dtype == dtype
        assert len({float(one.double().mean()) for one in made}) == 4
        assert float(made.min()) >= 0 and float(made.max()) <= (255 if dtype == torch.uint8 else 1)
        assert torch.equal(made, seeded(2, AddSmoke(), batch))
        assert AddSmoke()(batch[:0]).shape == (0, 3, 90, 120)


def test_smoke_and_look_alikes_come_as_often_as_told() -> None:
    clean = np.asarray(photo())

    def shares(change: AddSmoke) -> float:
        torch.manual_seed(0)
        return float(np.mean([not np.array_equal(change(photo()), clean) for _ in range(60)]))

    assert shares(AddSmoke(p=0.0)) == 0 and shares(AddSmoke(p=1.0)) == 1
    assert 0.2 < shares(AddSmoke(p=0.4)) < 0.6
    assert 0.3 < shares(AddSmoke(p=0.0, lookalikes=0.5, kinds=("blur", "lowlight"))) < 0.7
    batch = tensor(torch.float32).expand(60, -1, -1, -1)
    made = seeded(0, AddSmoke("procedural", p=0.4), batch)
    smoky = (made != batch).flatten(1).any(1)
    assert 0.2 < float(smoky.float().mean()) < 0.6
    assert torch.equal(made[~smoky], batch[~smoky])
    steam = seeded(0, AddSmoke(p=0.0, lookalikes=1.0), batch[:3])
    assert bool((steam >= batch[:3] - 1e-6).all()) and bool((steam > batch[:3]).any())


def test_strength_is_drawn_from_its_range() -> None:
    clean = np.asarray(photo(), float)
    none, little, much = (
        np.abs(np.asarray(seeded(5, AddSmoke(strength=(s, s)), photo())) - clean).mean()
        for s in (0.0, 0.3, 3.0)
    )
    assert none == 0 < little < 0.7 * much


def test_masks_and_boxes_are_added_where_asked() -> None:
    sample = {
        "image": tv_tensors.Image(tensor()),
        "masks": tv_tensors.Mask(torch.zeros(1, 90, 120, dtype=torch.uint8)),
        "boxes": tv_tensors.BoundingBoxes(
            [[1, 2, 3, 4]], format="XYWH", canvas_size=(90, 120), dtype=torch.float32
        ),
        "label": 7,
    }
    plain = seeded(4, AddSmoke(), sample)
    assert torch.equal(plain["masks"], sample["masks"]) and plain["label"] == 7
    assert torch.equal(plain["boxes"], sample["boxes"])
    made = seeded(4, AddSmoke(masks=True, boxes=True), sample)
    assert torch.equal(made["image"], plain["image"])
    assert type(made["masks"]) is tv_tensors.Mask and made["masks"].shape == (2, 90, 120)
    assert made["boxes"].shape == (2, 4) and made["boxes"].dtype == torch.float32
    assert made["boxes"].format == sample["boxes"].format
    x, y, width, height = (int(value) for value in made["boxes"][1])
    opaque = made["masks"][1] > 0.05 * 255
    inside = torch.zeros_like(opaque)
    inside[y : y + height, x : x + width] = True
    assert bool(opaque.any()) and not bool((opaque & ~inside).any())
    assert all(bool(edge.any()) for edge in (opaque[y], opaque[y + height - 1]))
    changed = (made["image"].int() - sample["image"].int()).abs().amax(0) > 1
    assert not bool((changed & (made["masks"][1] == 0)).any())
    without = seeded(4, AddSmoke(p=0.0, masks=True, boxes=True), sample)
    assert without["boxes"].shape == (1, 4) and not without["masks"][1].any()


def test_it_works_in_a_dataset_and_in_worker_processes(tmp_path: Path) -> None:
    (tmp_path / "clean").mkdir()
    for number in range(6):
        scene(64, 48, seed=number).save(tmp_path / "clean" / f"{number}.png")
    steps = [AddSmoke("procedural"), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
    photos = ImageFolder(str(tmp_path), transform=v2.Compose(steps))
    plain = ImageFolder(str(tmp_path), transform=v2.Compose(steps[1:]))

    def drawn() -> torch.Tensor:
        loader = DataLoader(
            photos, batch_size=3, num_workers=2, generator=torch.Generator().manual_seed(0)
        )
        return torch.cat([pictures for pictures, _ in loader])

    first = drawn()
    assert torch.equal(first, drawn())
    for made, (clean, _) in zip(first, plain, strict=True):
        assert float((made - clean).abs().mean()) > 0.005


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"p": 1.5}, "p=1.5: a probability"),
        ({"lookalikes": -0.1}, "lookalikes=-0.1: a probability"),
        ({"strength": (2.0, 1.0)}, r"strength=\(2.0, 1.0\): \(least, most\)"),
        ({"strength": (0.0, float("nan"))}, "strength="),
        ({"kinds": ("fog",)}, "kinds=fog: there are steam, blur"),
        ({"kinds": ()}, "name at least one"),
    ],
)
def test_what_cannot_be_is_refused(options: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        AddSmoke(**options)


def test_a_sample_without_a_picture_or_with_two_is_refused() -> None:
    with pytest.raises(InputError, match="takes one picture or batch, 2 were given"):
        AddSmoke()(tv_tensors.Image(tensor()), tv_tensors.Image(tensor()))
    with pytest.raises(InputError, match="there is no such model"):
        AddSmoke("no-such-model")(photo())
    batch = tv_tensors.Image(tensor().expand(2, -1, -1, -1))
    mask = tv_tensors.Mask(torch.zeros(1, 90, 120))
    with pytest.raises(InputError, match="masks and boxes are of single pictures"):
        AddSmoke(masks=True)(batch, mask)
