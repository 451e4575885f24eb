"""What a layered training lifted off the smoky photos, and the clean photos it sees smoke in."""

from __future__ import annotations

import dataclasses
import io
import json
import lzma
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from markupsafe import Markup
from PIL import Image

from wisp.errors import InputError
from wisp.manifest import FileRecord
from wisp.report import charts, wording
from wisp.report.page import Section, Tile
from wisp.report.pictures import Pictures
from wisp.report.read import RunFiles, mapping, number, sequence, text, whole

T = TypeVar("T")

_PER_WALL = 6
_TITLES = {  # by the number of walls
    1: ("All of them, the best score first",),
    3: ("The best scores", "In the middle", "The lowest scores that were kept"),
}
_SUSPICIOUS_SHOWN = 24
_SUSPICIOUS_LISTED = 200
_SIDE_PX = 360
_MAX_BYTES = 8 << 20  # of an entry of the bank: beyond, it is no layer
# RuntimeError: an encrypted entry, an unknown method of compression, JSON that is nested too deep.
_DAMAGED = (
    OSError, EOFError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, KeyError, TypeError,
    ValueError, RuntimeError, SyntaxError, Image.DecompressionBombError,
)  # fmt: skip
_FATES = (
    ("without_smoke", "no smoke seen", "R saw hardly any smoke in them."),
    (
        "unsteady",
        "not seen alike",
        "Seen mirrored or smaller, R found other smoke in them.",
    ),
    (
        "inconsistent",
        "not found again",
        "What was lifted was not found again once it lay over clean photos, as happens with sky, "
        "walls and text.",
    ),
    ("near_copies", "near copies", "A photo that looks the same has given its layer already."),
    ("unreadable", "unreadable", "They could no longer be read."),
)


@dataclasses.dataclass(frozen=True)
class Layer:
    """One row of the bank's index."""

    name: str
    source_sha256: str
    group: str
    score: float | None
    mean_opacity: float | None


@dataclasses.dataclass(frozen=True)
class Fate:
    """What became of a number of photos."""

    name: str
    photos: int
    meaning: str


@dataclasses.dataclass(frozen=True)
class ShownLayer:
    """A layer as a picture, and the photo it was lifted off where that is still there."""

    layer: Layer
    picture: str
    photo: str | None


@dataclasses.dataclass(frozen=True)
class Wall:
    """Layers of like score."""

    title: str
    layers: tuple[ShownLayer, ...]


@dataclasses.dataclass(frozen=True)
class LayersData:
    """What was lifted, in numbers and pictures; ``problem`` says why there are none."""

    sentence: str
    fates: tuple[Fate, ...]
    walls: tuple[Wall, ...]
    any_photo: bool
    distributions: tuple[Markup, ...]
    damaged: int
    problem: str


@dataclasses.dataclass(frozen=True)
class Suspect:
    """A clean photo in which R sees smoke."""

    path: str
    name: str
    folder: str
    mean_opacity: float | None
    picture: str | None


@dataclasses.dataclass(frozen=True)
class SuspiciousData:
    """The clean photos in which R sees smoke, the worst first."""

    total: int
    looked_at: int
    shown: tuple[Suspect, ...]
    listed: tuple[Suspect, ...]


def lifted_sections(run: RunFiles, pictures: Pictures) -> list[Section | None]:
    """The sections of a layered training; none of them for another model."""
    if text(run.config.get("model")) != "layered":
        return []
    records = _records(run)
    return [_layers_section(run, records, pictures), _suspicious_section(run, records, pictures)]


def lifted_tile(run: RunFiles) -> Tile | None:
    """How many layers there are; None where nothing was lifted."""
    lifting = mapping(run.json("result.json").get("lifting"))
    if not lifting:
        return None
    photos = wording.plural(whole(lifting.get("looked_at")), "smoky photo")
    return Tile("Layers", wording.count(whole(lifting.get("layers"))), f"of smoke, from {photos}")


def pick_walls(ranked: Sequence[T], each: int) -> list[Sequence[T]]:
    """The first, the middle and the last ``each`` of ``ranked``, no item twice; all of it in one
    piece if there are no more than three times ``each``."""
    if len(ranked) <= 3 * each:
        return [ranked] if ranked else []
    middle = (len(ranked) - each) // 2
    return [ranked[:each], ranked[middle : middle + each], ranked[-each:]]


def _records(run: RunFiles) -> dict[str, dict[str, FileRecord]]:
    """The photos of ``inputs.json`` by domain: clean ones by path, smoky ones by hash."""
    found: dict[str, dict[str, FileRecord]] = {"clean": {}, "smoky": {}}
    for item in sequence(run.json("inputs.json").get("files")):
        row = mapping(item)
        try:
            record = FileRecord.from_json(row)
        except InputError:
            continue
        domain = text(row.get("domain"))
        if domain in found:
            found[domain][record.path if domain == "clean" else record.sha256] = record
    return found


def _entry(bank: zipfile.ZipFile, name: str) -> bytes:
    if bank.getinfo(name).file_size > _MAX_BYTES:
        raise ValueError(f"{name} is larger than any layer")
    return bank.read(name)


def _index(bank: zipfile.ZipFile) -> list[Layer]:
    """The rows of the bank's index, the best score first."""
    rows = [
        mapping(row) for row in sequence(mapping(json.loads(_entry(bank, "index.json")))["layers"])
    ]
    layers = [
        Layer(
            text(row.get("name")),
            text(row.get("source_sha256")),
            text(row.get("group")),
            number(row.get("score")),
            number(row.get("mean_opacity")),
        )
        for row in rows
    ]
    return sorted(layers, key=lambda layer: -(layer.score or 0.0))


def _layers_section(
    run: RunFiles, records: dict[str, dict[str, FileRecord]], pictures: Pictures
) -> Section:
    """How many photos were lifted from, and layers of high, middling and low score."""
    lifting = mapping(run.json("result.json").get("lifting"))
    layers: list[Layer] = []
    path = run.path / "layers.zip"
    try:
        with zipfile.ZipFile(path) as bank:
            layers = _index(bank)
        problem = "" if layers else f"{path}: holds no layers."
    except FileNotFoundError:
        problem = (
            f"{path}: the bank of layers is no longer there, so none can be shown."
            if lifting
            else "Smoke is lifted when the training has come to its end."
        )
    except _DAMAGED as error:
        problem = f"{path}: is damaged, so no layers can be shown ({error})."
    walls, damaged = _walls(path, layers, records["smoky"], pictures) if layers else ([], 0)
    shown = [one for wall in walls for one in wall.layers]
    return Section(
        "layers",
        "What was lifted",
        "What was lifted",
        "layers.html.j2",
        LayersData(
            _lifted_words(lifting),
            _fates(lifting),
            tuple(walls),
            any(one.photo for one in shown),
            _distributions(layers),
            damaged,
            problem,
        ),
    )


def _lifted_words(lifting: dict[str, object]) -> str:
    if not lifting:
        return ""
    kept = wording.plural(whole(lifting.get("layers")), "layer")
    said = f"{kept} came from {wording.plural(whole(lifting.get('looked_at')), 'smoky photo')}."
    looked_at = whole(lifting.get("clean_looked_at"))
    if looked_at and not whole(lifting.get("suspicious_clean")):
        said += f" In none of {wording.plural(looked_at, 'clean photo')} did R see smoke."
    return said


def _fates(lifting: dict[str, object]) -> tuple[Fate, ...]:
    """What became of every smoky photo; empty where it is not known."""
    looked_at, kept = whole(lifting.get("looked_at")), whole(lifting.get("layers"))
    if not looked_at:
        return ()
    fates = [Fate("kept", kept, "Smoke of your pictures is made of their layers.")]
    fates += [
        Fate(name, whole(lifting.get(key)), meaning)
        for key, name, meaning in _FATES
        if whole(lifting.get(key))
    ]
    rest = looked_at - sum(fate.photos for fate in fates)
    if rest > 0:
        fates.append(Fate("others", rest, "Dropped for another reason."))
    return tuple(fates)


def _distributions(layers: Sequence[Layer]) -> tuple[Markup, ...]:
    drawn = []
    for title, values in (
        ("score", [layer.score for layer in layers]),
        ("mean opacity of a layer", [layer.mean_opacity for layer in layers]),
    ):
        known = [value for value in values if value is not None and 0 <= value <= 1]
        if len(known) > 1:
            drawn.append(charts.bars(known, title, 1.0))
    return tuple(drawn)


def _walls(
    path: Path, layers: Sequence[Layer], photos: dict[str, FileRecord], pictures: Pictures
) -> tuple[list[Wall], int]:
    """Layers as pictures, and how many of the chosen ones could not be shown."""
    chosen = pick_walls(layers, _PER_WALL)
    walls, damaged = [], 0
    with zipfile.ZipFile(path) as bank:
        for title, wall in zip(_TITLES[len(chosen)], chosen, strict=True):
            shown = []
            for layer in wall:
                picture = _picture(bank, layer, pictures)
                if picture is None:
                    damaged += 1
                    continue
                record = photos.get(layer.source_sha256)
                photo = pictures.recorded(record, _SIDE_PX) if record else None
                shown.append(ShownLayer(layer, picture, photo))
            if shown:
                walls.append(Wall(title, tuple(shown)))
    return walls, damaged


def _picture(bank: zipfile.ZipFile, layer: Layer, pictures: Pictures) -> str | None:
    try:
        with Image.open(io.BytesIO(_entry(bank, f"{layer.name}.webp")), formats=["WEBP"]) as opened:
            return pictures.over_checker(opened, layer.name, _SIDE_PX)
    except _DAMAGED:
        return None


def _suspicious_section(
    run: RunFiles, records: dict[str, dict[str, FileRecord]], pictures: Pictures
) -> Section | None:
    """The clean photos in which R sees smoke; None if there are none."""
    rows = run.json_list("suspicious.json")
    lifting = mapping(run.json("result.json").get("lifting"))
    total = whole(lifting.get("suspicious_clean"), len(rows))
    if not rows and not total:
        return None
    suspects = []
    for index, row in enumerate(rows[:_SUSPICIOUS_LISTED]):
        path = text(row.get("path"))
        record = records["clean"].get(path) if index < _SUSPICIOUS_SHOWN else None
        parts = path.replace("\\", "/").rsplit("/", 2)
        suspects.append(
            Suspect(
                path,
                parts[-1],
                parts[-2] if len(parts) > 1 else "",
                number(row.get("mean_opacity")),
                pictures.recorded(record, _SIDE_PX) if record else None,
            )
        )
    return Section(
        "suspicious",
        "Clean photos in which R sees smoke",
        "Smoke in clean photos",
        "suspicious.html.j2",
        SuspiciousData(
            total,
            whole(lifting.get("clean_looked_at")),
            tuple(suspects[:_SUSPICIOUS_SHOWN]),
            tuple(suspects),
        ),
    )
