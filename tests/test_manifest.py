"""Groups stay together, splits hit their share, overlaps are found."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wisp import manifest
from wisp.errors import InputError
from wisp.manifest import FileRecord, find_overlaps, make_groups, split_groups

ROOT = Path("/photos")
BASE_HASH = hashlib.sha256(b"a picture").hexdigest()


def flip_bits(text: str, *positions: int) -> str:
    value = int(text, 16)
    for position in positions:
        value ^= 1 << position
    return f"{value:0{len(text)}x}"


def paths(*names: str) -> list[Path]:
    return [ROOT / name for name in names]


def test_sha256_of_a_file(tmp_path):
    file = tmp_path / "a.bin"
    file.write_bytes(b"smoke" * 1_000_000)
    assert manifest.sha256_of(file) == hashlib.sha256(b"smoke" * 1_000_000).hexdigest()


def test_sha256_of_a_missing_file_names_it(tmp_path):
    with pytest.raises(InputError, match=r"gone\.jpg"):
        manifest.sha256_of(tmp_path / "gone.jpg")


def test_a_record_survives_json():
    record = FileRecord("a.jpg", "12", "house-1", BASE_HASH)
    assert FileRecord.from_json(record.to_json()) == record
    assert FileRecord.from_json({**record.to_json(), "split": "train"}) == record
    with pytest.raises(InputError, match="sha256"):
        FileRecord.from_json({"path": "a.jpg", "group": "g"})


@pytest.mark.parametrize(
    ("group_by", "expected"),
    [
        ("folder", ["kitchen/a", "kitchen", "."]),
        ("prefix", ["house-1", "house-1", "lone"]),
        ("auto", ["house-1", "house-1", "lone"]),
        ("name", ["house-1__01", "house-1__02", "lone"]),
        (r"^(kitchen|hall)", ["kitchen", "kitchen", "lone"]),
    ],
)
def test_grouping_rules(group_by, expected):
    files = paths("kitchen/a/house-1__01.jpg", "kitchen/house-1__02.png", "lone.jpg")
    assert make_groups(files, ROOT, group_by, None) == expected


def test_files_of_the_same_name_in_two_folders_are_two_groups():
    groups = make_groups(paths("a/1.jpg", "b/1.jpg"), ROOT, "auto", None)
    assert len(set(groups)) == 2


@pytest.mark.parametrize("group_by", ["([", "houses", "^kitchen$", "(zebra)"])
def test_a_useless_expression_is_refused(group_by):
    with pytest.raises(InputError, match="--group-by"):
        make_groups(paths("a.jpg", "b.jpg"), ROOT, group_by, None)


def test_near_duplicates_join_their_groups_in_chains():
    near = flip_bits(BASE_HASH, 1, 50, 99)
    further = flip_bits(near, *range(100, 118))  # 18 from near, 21 from the first
    files = paths("x__1.jpg", "x__2.jpg", "y__1.jpg", "z.jpg", "alone.jpg")
    other = hashlib.sha256(b"another").hexdigest()
    phashes = ["", BASE_HASH, near, further, other]
    assert make_groups(files, ROOT, "auto", phashes) == ["x", "x", "x", "x", "alone"]
    assert make_groups(files, ROOT, "prefix", phashes) == ["x", "x", "y", "z", "alone"]
    joined = make_groups(files, ROOT, "near-duplicate", phashes)
    assert joined[1] == joined[2] == joined[3]
    assert len(set(joined)) == 3


def test_near_duplicate_grouping_needs_hashes():
    with pytest.raises(InputError, match="near-duplicate"):
        make_groups(paths("a.jpg"), ROOT, "near-duplicate", None)


def test_flat_pictures_are_not_near_duplicates():
    for flat in ("0" * 64, "f" * 64, flip_bits("0" * 64, 3, 9)):
        assert len(set(make_groups(paths("a.jpg", "b.jpg"), ROOT, "auto", [flat, flat]))) == 2


group_lists = st.lists(st.integers(0, 12).map(str), min_size=2, max_size=80).filter(
    lambda groups: len(set(groups)) > 1
)


@given(group_lists, st.floats(0.01, 0.95), st.integers(0, 5))
def test_split_law(groups, validation, seed):
    sides = split_groups(groups, validation, seed)
    assert set(sides) == {"train", "validation"}
    side_of = {}
    for group, side in zip(groups, sides, strict=True):
        assert side_of.setdefault(group, side) == side
    sizes = Counter(groups)
    count = sides.count("validation")
    target = validation * len(groups)
    alone = [side for side in ("train", "validation") if list(side_of.values()).count(side) == 1]
    if not alone:  # with one group on a side there may be no choice
        assert abs(count - target) <= max(sizes.values()) / 2 + 1e-9


@given(group_lists, st.integers(0, 5), st.randoms())
def test_split_does_not_depend_on_the_order(groups, seed, random):
    before = dict(zip(groups, split_groups(groups, 0.3, seed), strict=True))
    random.shuffle(groups)
    assert dict(zip(groups, split_groups(groups, 0.3, seed), strict=True)) == before


def test_split_hits_the_share_with_small_groups_and_the_seed_matters():
    groups = [str(number // 2) for number in range(200)]
    splits = [split_groups(groups, 0.2, seed) for seed in (0, 1)]
    assert [split.count("validation") for split in splits] == [40, 40]
    assert splits[0] != splits[1]


def test_if_every_group_is_too_large_the_nearest_is_taken():
    groups = ["a"] * 50 + ["b"] * 30 + ["c"] * 40
    for seed in range(6):
        sides = split_groups(groups, 0.1, seed)
        assert {group for group, side in zip(groups, sides, strict=True) if side != "train"} == {
            "b"
        }


def test_split_corner_cases():
    assert split_groups(["a", "b"], 0.0, 0) == ["train", "train"]
    assert split_groups([], 0.2, 0) == []
    assert sorted(split_groups(["big"] * 99 + ["small"], 0.5, 0))[-1] == "validation"
    with pytest.raises(InputError, match="one group"):
        split_groups(["a", "a"], 0.2, 0)


def record(name: str, sha: str = "", phash: str = "") -> FileRecord:
    return FileRecord(name, sha or name, "g", phash)


def test_overlaps_of_both_kinds():
    train = [record("t1", "same"), record("t2", phash=BASE_HASH), record("flat", phash="0" * 64)]
    test = [
        record("copy", "same"),
        record("near", phash=flip_bits(BASE_HASH, 0, 100, 200)),
        record("other", phash=flip_bits(BASE_HASH, *range(0, 256, 4))),
        record("flat2", phash="0" * 64),
    ]
    found = find_overlaps(train, test)
    assert [(hit.kind, hit.train, hit.test) for hit in found] == [
        ("same file", "t1", "copy"),
        ("near-duplicate", "t2", "near"),
    ]
    assert found[0].to_json() == {"kind": "same file", "train": "t1", "test": "copy"}


def test_an_unknown_hash_of_bytes_matches_nothing():
    assert find_overlaps([FileRecord("a", "", "g")], [FileRecord("b", "", "g")]) == []


bit_sets = st.sets(st.integers(0, 255), max_size=30)


@given(st.lists(bit_sets, max_size=8), bit_sets, st.sampled_from([0.0, 0.02, 0.08, 0.2]))
def test_the_index_finds_what_a_full_search_finds(train_bits, test_bits, limit):
    train = [
        record(f"t{number}", phash=flip_bits(BASE_HASH, *bits))
        for number, bits in enumerate(train_bits)
    ]
    test = record("test", phash=flip_bits(BASE_HASH, *test_bits))
    distances = [len(bits ^ test_bits) / 256 for bits in train_bits]
    found = find_overlaps(train, [test], limit)
    if not distances or min(distances) > limit:
        assert found == []
    else:
        assert distances[int(found[0].train[1:])] == min(distances)


def test_differences_spread_over_the_whole_hash_are_found():
    spread = [256 * number // 20 for number in range(20)]
    train, test = record("t", phash=BASE_HASH), record("x", phash=flip_bits(BASE_HASH, *spread))
    assert find_overlaps([train], [test], 20 / 256)
    assert not find_overlaps([train], [test], 19 / 256)


def test_hashes_of_64_bits_work_and_do_not_mix_with_longer_ones():
    short = BASE_HASH[:16]
    train = [record("t", phash=short)]
    assert find_overlaps(train, [record("x", phash=flip_bits(short, 1, 2))])
    assert not find_overlaps(train, [record("x", phash=BASE_HASH)])
