"""Decoding any common picture file to upright RGB, or saying in one sentence why not."""

from __future__ import annotations

import math
import re
import struct
import sys
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageFile, ImageOps, JpegImagePlugin

from wisp.errors import InputError
from wisp.images.colour import to_srgb
from wisp.progress import say_once

MIN_SIDE_PX = 8
"""Pictures with a shorter side are refused: nothing can be seen on them."""
MAX_PIXELS = 178_956_970
"""Pictures with more pixels are refused before they are decoded (decompression bombs): what every
program that uses Pillow opens, and a data set is opened by."""
# A closed list: Pillow also knows formats (EPS, WMF, ...) that start other programs.
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "PPM", "JPEG2000")
_ALPHA_MODES = ("RGBA", "RGBa", "LA", "La", "PA")
_DNG_VERSION, _SUBFILE_TYPE, _SUB_IFDS = 50706, 254, 330
_JPEG_XL = (b"\xff\x0a", b"\0\0\0\x0cJXL ")
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")


class UnreadableImageError(InputError):
    """A file is not a picture that can be used; ``reason`` says why in a few words."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = Path(path)
        self.reason = reason

    def __reduce__(self) -> tuple[type[UnreadableImageError], tuple[Path, str]]:
        return type(self), (self.path, self.reason)  # so that it crosses from worker processes


def open_lazily(stream: BinaryIO) -> ImageFile.ImageFile | None:
    """The picture, its header read and its pixels not, or None if no format fits.

    Like ``Image.open``, without its process-wide pixel limit: ours is checked by the caller.
    """
    Image.init()
    prefix = stream.read(16)
    for name in _FORMATS:
        if name not in Image.OPEN:  # Pillow was built without it
            continue
        factory, accept = Image.OPEN[name]
        try:
            accepted = accept is None or accept(prefix)
            if not accepted or isinstance(accepted, str):
                continue
            stream.seek(0)
            return factory(stream, "")
        except (SyntaxError, IndexError, TypeError, struct.error):
            continue  # what Pillow's own loop takes for "another format"
    return None


def _unknown_reason(path: Path) -> str:
    with path.open("rb") as stream:
        head = stream.read(512)
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS:
        return "is a HEIC photo, which cannot be read here; convert it to JPEG or PNG"
    if head.startswith(_JPEG_XL):
        return "is a JPEG XL photo, which cannot be read here; convert it to JPEG or PNG"
    if head.startswith((b"II*\0", b"MM\0*")):
        return (
            "is a TIFF of a kind that cannot be read (such as floating-point colour), or damaged "
            "at its start; convert it to 8 bits"
        )
    try:
        text = head.decode("utf-8", errors="ignore")
        if b"\0" not in head and len(text.encode()) > len(head) - 4:
            return "holds text, not a picture"
    except UnicodeError:
        pass
    return "is not a picture of a known format, or is damaged at its start"


def _is_preview(image: Image.Image) -> bool:
    """Whether a TIFF is a DNG, or says that it is a small picture of another within the file."""
    tags = getattr(image, "tag_v2", {})
    return _DNG_VERSION in tags or bool(int(tags.get(_SUBFILE_TYPE, 0)) & 1 and _SUB_IFDS in tags)


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # damaged EXIF data must not cost the picture
        return 1


def _upright(image: Image.Image) -> Image.Image:
    if _orientation(image) == 1:  # Pillow would copy it
        return image
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF data must not cost the picture
        return image


def _bits_used(values: npt.NDArray[Any], path: Path) -> int:
    """How many bits the largest value needs, of those that cameras have; said if fewer than 16."""
    largest = int(values.max(initial=0))
    bits = next(bits for bits in (8, 10, 12, 14, 16, 32) if largest < 2**bits)
    if bits < 16:
        say_once(f"its 16-bit pixels use {bits} bits and are scaled by these", path)
    return bits


def _scale_deep(image: Image.Image, path: Path) -> Image.Image:
    """Grey pixels of 16 or 32 bits, or floating point, scaled to 8 bits."""
    values = np.asarray(image)
    if image.mode == "F":
        if not np.isfinite(values).all():
            raise ValueError("its floating-point pixels are not all finite")
        low, high = float(values.min()), float(values.max())
        if low < 0 or high > 255:
            raise ValueError(f"its floating-point pixels go from {low:g} to {high:g}, not 0 to 255")
        scaled = values * 255.0 if high <= 1 else values
    else:
        # Pillow gives "I" both for 16-bit files and for 32-bit ones.
        scaled = values.astype(np.float32) * (255.0 / (2 ** _bits_used(values, path) - 1))
    eight: npt.NDArray[np.uint8] = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
    return Image.fromarray(eight)


def _other_order(arguments: Any) -> Any:  # noqa: ANN401 - a decoder's
    """Arguments that give the low bytes of 16-bit colours; None where pixels are no such colours.

    Pillow keeps the high byte of each value: the low one, when told the other order of bytes.
    """
    if isinstance(arguments, tuple):
        mode = _other_order(arguments[0]) if arguments else None
        return None if mode is None else (mode, *arguments[1:])
    found = re.fullmatch(r"(RGB[AX]?;16)([BLN])", str(arguments))
    if found is None:
        return None
    big = found[2] == "B" or (found[2] == "N" and sys.byteorder == "big")
    return found[1] + ("L" if big else "B")


def _load(image: ImageFile.ImageFile, stream: BinaryIO, path: Path) -> None:
    """Decode the pixels; 16-bit colours that use few of their bits are scaled by these."""
    orders = [_other_order(tile.args) for tile in image.tile]
    image.load()
    # What is darker than a quarter of all that fits has been measured with fewer bits.
    if None in orders or not orders or np.asarray(image)[..., :3].max() >= 2**6:
        return
    stream.seek(0)
    low = open_lazily(stream)
    assert low is not None  # it was opened before
    low.tile = [tile._replace(args=order) for tile, order in zip(low.tile, orders, strict=True)]
    low.load()
    values = np.asarray(image)[..., :3].astype(np.uint16) << 8 | np.asarray(low)[..., :3]
    scaled = np.rint(values * (255.0 / (2 ** _bits_used(values, path) - 1)))
    alpha = image.getchannel("A") if image.mode == "RGBA" else None
    image.paste(Image.fromarray(scaled.astype(np.uint8)))  # into what knows profile and orientation
    if alpha is not None:
        image.putalpha(alpha)


def _to_rgb(image: Image.Image, path: Path) -> Image.Image:
    if image.mode == "F" or image.mode.startswith("I"):
        image = _scale_deep(image, path)
    if image.mode == "P" or "transparency" in image.info:
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    image = to_srgb(image)
    if image.mode in _ALPHA_MODES:
        over = image.convert("RGBA")
        white = Image.new("RGBA", over.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, over).convert("RGB")
    # Of other formats the decoder, with all it holds, would live as long as the picture.
    if image.mode == "RGB" and isinstance(image, JpegImagePlugin.JpegImageFile):
        return image
    return image.convert("RGB")


def _check_file(path: Path) -> None:
    if path.is_symlink() and not path.exists():
        raise UnreadableImageError(path, f"is a broken link (to {path.readlink()})")
    if not path.exists():
        raise UnreadableImageError(path, "no such file")
    if path.is_dir():
        raise UnreadableImageError(path, "is a folder, not a picture")
    if not path.is_file():
        raise UnreadableImageError(path, "is not an ordinary file")
    if path.stat().st_size == 0:
        raise UnreadableImageError(path, "is empty (0 bytes)")


def _check_size(path: Path, width: int, height: int) -> None:
    if min(width, height) < MIN_SIDE_PX:
        raise UnreadableImageError(
            path, f"is {width}×{height} px; both sides must have at least {MIN_SIDE_PX} px"
        )
    if width * height > MAX_PIXELS:
        raise UnreadableImageError(
            path,
            f"is {width}×{height} px, more than the {MAX_PIXELS // 1_000_000} megapixels that are "
            "read; make it smaller",
        )


def decode_sized(path: Path, target_px: int | None = None) -> tuple[Image.Image, int, int]:
    """Like :func:`decode`, with the (upright) width and height the file has at full size [px]."""
    path = Path(path)
    try:
        _check_file(path)
        with path.open("rb") as stream:
            image = open_lazily(stream)
            if image is None:
                raise UnreadableImageError(path, _unknown_reason(path))
            if _is_preview(image):
                raise UnreadableImageError(
                    path,
                    "is a raw photo, of which only a preview can be read; convert it to JPEG",
                )
            width, height = image.size
            _check_size(path, width, height)
            if target_px is not None:
                scale = min(1.0, target_px / min(width, height))
                image.draft(image.mode, (math.ceil(width * scale), math.ceil(height * scale)))
            reduced = image.size != (width, height)
            # Before anything is looked up: that may load, too, and keep errors quiet.
            _load(image, stream, path)
            swapped = _orientation(image) >= 5
            rgb = _to_rgb(_upright(image), path)
            if not reduced:  # (some decoders turn the picture themselves)
                width, height = rgb.size
            elif swapped:
                width, height = height, width
            return rgb, width, height
    except UnreadableImageError:
        raise
    except MemoryError:
        raise UnreadableImageError(path, "needs more memory than there is") from None
    except PermissionError:
        raise UnreadableImageError(path, "may not be read (permission denied)") from None
    except Exception as error:  # decoders raise almost anything on damaged data
        words = " ".join(str(error).split()) or type(error).__name__
        if "MAX_TEXT" in words:
            reason = "holds more text than a picture may (Pillow's limit)"
        elif "truncated" in words or isinstance(error, EOFError):
            reason = "is truncated (the file ends before the picture does)"
        else:
            reason = f"cannot be decoded ({words})"
        raise UnreadableImageError(path, reason) from None


def decode(path: Path, target_px: int | None = None) -> Image.Image:
    """The picture in ``path`` as an upright 8-bit RGB image.

    EXIF orientation is applied; palettes, grey, CMYK and 16-bit pixels (scaled, not clipped) become
    RGB; transparency is laid over white; of an animation the first frame is taken. By an embedded
    colour profile colours become those of sRGB.

    Args:
        path: JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF, PNM or JPEG 2000, told by content.
        target_px: if the short side need not have more pixels than this, a large JPEG is decoded
            at a half, a quarter or an eighth of its size, which is quicker.

    Raises:
        UnreadableImageError: the file is missing, empty, truncated, no picture, below
            ``MIN_SIDE_PX`` or above ``MAX_PIXELS`` (told before decoding).
    """
    return decode_sized(path, target_px)[0]
