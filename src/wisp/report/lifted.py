"""What a layered training lifted off the smoky photos, and the clean photos it sees smoke in."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from markupsafe import Markup
from PIL import Image

from wisp.errors import InputError
from wisp.manifest import FileRecord
from wisp.report import charts, wording
from wisp.report.page import Section, Tile, section
from wisp.report.pictures import Pictures
from wisp.report.read import Number, RunFiles, Saved, mapping, sequence, text
from wisp.rundir import ZIP_ERRORS

T = TypeVar("T")
Wall = tuple[str, list[tuple["Layer", str, str | None]]]

_PER_WALL = 6
_TITLES = {  # by the number of walls
    1: ("All of them, the best score first",),
    3: ("The best scores", "In the middle", "The lowest scores that were kept"),
}
_SUSPICIOUS_SHOWN = 24
_SUSPICIOUS_LISTED = 200
_SIDE_PX = 360
_MAX_BYTES = 8 << 20  # of an entry of the bank: beyond, it is no layer
_DAMAGED = (*ZIP_ERRORS, SyntaxError, Image.DecompressionBombError)
_FATES = (
    ("without_smoke", "no smoke seen", "R saw hardly any smoke in them."),
    ("unsteady", "not seen alike", "Seen mirrored or smaller, R found other smoke in them."),
    (
        "inconsistent",
        "not found again",
        "What was lifted was not found again once it lay over clean photos, as happens with sky, "
        "walls and text.",
    ),
    ("near_copies", "near copies", "A photo that looks the same has given its layer already."),
    ("unreadable", "unreadable", "They could no longer be read."),
)


class Layer(Saved):
    """One row of the bank's index."""

    name: str = ""
    source_sha256: str = ""
    group: str = ""
    score: Number | None = None
    mean_opacity: Number | None = None


class Suspect(Saved):
    """A clean photo in which R sees smoke."""

    path: str = ""
    mean_opacity: Number | None = None

    @property
    def place(self) -> list[str]:
        """Its folder, if there is one, and its name."""
        return self.path.replace("\\", "/").rsplit("/", 2)[-2:]


class Lifting(Saved):
    """What was made of the photos, as result.json says it."""

    layers: int = 0
    looked_at: int = 0
    without_smoke: int = 0
    unsteady: int = 0
    inconsistent: int = 0
    near_copies: int = 0
    unreadable: int = 0
    suspicious_clean: int | None = None
    clean_looked_at: int = 0


def _lifting(run: RunFiles) -> Lifting | None:
    saved = mapping(run.result.get("lifting"))
    return Lifting.model_validate(saved) if saved else None


def lifted_sections(run: RunFiles, pictures: Pictures) -> list[Section | None]:
    """The sections of a layered training; none of them for another model."""
    if text(run.config.get("model")) != "layered":
        return []
    records = _records(run)
    return [_layers_section(run, records, pictures), _suspicious_section(run, records, pictures)]


def lifted_tile(run: RunFiles) -> Tile | None:
    """How many layers there are; None where nothing was lifted."""
    lifting = _lifting(run)
    if lifting is None:
        return None
    photos = wording.plural(lifting.looked_at, "smoky photo")
    return Tile("Layers", wording.count(lifting.layers), f"of smoke, from {photos}")


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
    rows = sequence(mapping(json.loads(_entry(bank, "index.json")))["layers"])
    layers = [Layer.model_validate(mapping(row)) for row in rows]
    return sorted(layers, key=lambda layer: -(layer.score or 0.0))


def _layers_section(
    run: RunFiles, records: dict[str, dict[str, FileRecord]], pictures: Pictures
) -> Section:
    """How many photos were lifted from, and layers of high, middling and low score."""
    lifting = _lifting(run)
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
    except ZIP_ERRORS as error:
        problem = f"{path}: is damaged, so no layers can be shown ({error})."
    walls, damaged = _walls(path, layers, records["smoky"], pictures) if layers else ([], 0)
    return section(
        "layers",
        "What was lifted",
        sentence=_lifted_words(lifting) if lifting else "",
        fates=_fates(lifting) if lifting and lifting.looked_at else (),
        walls=walls,
        any_photo=any(photo for _, shown in walls for _, _, photo in shown),
        distributions=_distributions(layers),
        damaged=damaged,
        problem=problem,
    )


def _lifted_words(lifting: Lifting) -> str:
    kept = wording.plural(lifting.layers, "layer")
    said = f"{kept} came from {wording.plural(lifting.looked_at, 'smoky photo')}."
    if lifting.clean_looked_at and not lifting.suspicious_clean:
        clean = wording.plural(lifting.clean_looked_at, "clean photo")
        said += f" In none of {clean} did R see smoke."
    return said


def _fates(lifting: Lifting) -> list[tuple[str, int, str]]:
    """What became of every smoky photo: in a word, of how many, and why."""
    counts = lifting.model_dump()
    fates = [("kept", lifting.layers, "Smoke of your pictures is made of their layers.")]
    fates += [(name, counts[key], meaning) for key, name, meaning in _FATES if counts[key]]
    rest = lifting.looked_at - sum(photos for _, photos, _ in fates)
    return fates + ([("others", rest, "Dropped for another reason.")] if rest > 0 else [])


def _distributions(layers: Sequence[Layer]) -> list[Markup]:
    drawn = []
    for title, values in (
        ("score", [layer.score for layer in layers]),
        ("mean opacity of a layer", [layer.mean_opacity for layer in layers]),
    ):
        known = [value for value in values if value is not None and 0 <= value <= 1]
        if len(known) > 1:
            drawn.append(charts.bars(known, title, 1.0))
    return drawn


def _walls(
    path: Path, layers: Sequence[Layer], photos: dict[str, FileRecord], pictures: Pictures
) -> tuple[list[Wall], int]:
    """Layers of like score as pictures, each with its photo where that is still there, and how
    many of the chosen ones could not be shown."""
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
                shown.append((layer, picture, photo))
            if shown:
                walls.append((title, shown))
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
    suspects = run.json_list("suspicious.json", Suspect)
    lifting = _lifting(run) or Lifting()
    total = len(suspects) if lifting.suspicious_clean is None else lifting.suspicious_clean
    if not suspects and not total:
        return None
    shown = []
    for suspect in suspects[:_SUSPICIOUS_SHOWN]:
        record = records["clean"].get(suspect.path)
        shown.append((suspect, pictures.recorded(record, _SIDE_PX) if record else None))
    return section(
        "suspicious",
        "Clean photos in which R sees smoke",
        "Smoke in clean photos",
        total=total,
        looked_at=lifting.clean_looked_at,
        shown=shown,
        listed=suspects[:_SUSPICIOUS_LISTED],
    )
