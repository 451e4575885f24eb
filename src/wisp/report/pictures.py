"""Pictures inside the page: re-encoded to a sensible size, as ``data:`` addresses.

One :class:`Pictures` holds the whole page's allowance, so that the file stays small enough to be
mailed whatever the photos weigh.
"""

from __future__ import annotations

import base64
import io
from pathlib import Path

from PIL import Image, ImageDraw, ImageOps

from wisp.errors import InputError
from wisp.manifest import FileRecord, sha256_of

PAGE_BYTES = 5_400_000  # of encoded pictures; base64 adds a third, which leaves room below 8 MB
_CHECKER = ((116, 116, 116), (140, 140, 140))  # both black and white smoke stand out
_CHECKER_PX = 12
_TRIES = ((1.0, 82), (0.8, 74), (0.6, 66), (0.45, 60))


class Pictures:
    """Encodes pictures for one page within ``allowance`` bytes."""

    def __init__(self, allowance: int = PAGE_BYTES) -> None:
        self.left = allowance
        self.left_out: list[str] = []

    def photo(self, folder: Path, name: object, side: int = 640) -> str | None:
        """``folder/name`` as a JPEG address, its longer side at most ``side`` px.

        None (and noted in ``left_out``) if it is no readable picture inside ``folder`` or the
        page's allowance is used up.
        """
        image = self._open(folder, name, side)
        return None if image is None else self._encode(image, str(name), side)

    def tint(self, folder: Path, name: object, side: int = 400) -> str | None:
        """A grey picture (white: full) as a transparent one in the colour of smoke.

        Where the opacity mask is 0 nothing is shown, so that it can lie over the photo.
        """
        image = self._open(folder, name, side)
        if image is None:
            return None
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
        alpha = image.convert("L")
        coloured = Image.new("RGBA", alpha.size, (232, 84, 28, 0))
        coloured.putalpha(alpha.point(lambda level: min(255, round(level * 0.85))))
        stream = io.BytesIO()
        coloured.save(stream, "WEBP", quality=70, alpha_quality=70, method=4)
        return self._address(stream.getvalue(), "image/webp", str(name))

    def recorded(self, record: FileRecord, side: int = 640) -> str | None:
        """The very file that a run has recorded, wherever it lies, as a JPEG address.

        None (and noted in ``left_out``) if it is gone, if its bytes are no longer those of
        ``record``, or if it is no readable picture. So a run that was made elsewhere can show
        nothing that its maker did not have.
        """
        path = Path(record.path)
        try:
            image = None
            if path.is_file() and sha256_of(path) == record.sha256:
                image = self._read(path, side)
        except (InputError, OSError, ValueError):  # a name that no file system would take
            image = None
        if image is None:
            self.left_out.append(record.path)
            return None
        return self._encode(image, record.path, side)

    def over_checker(self, layer: Image.Image, name: str, side: int = 400) -> str | None:
        """A transparent picture over a grey checker as a JPEG address; None as in :meth:`photo`.

        Its longer side becomes ``side`` px, so that the checker is as fine whatever the picture.
        """
        scale = side / max(layer.size)
        width, height = (max(1, round(part * scale)) for part in layer.size)
        shown = layer.convert("RGBA").resize((width, height), Image.Resampling.BICUBIC)
        ground = Image.new("RGBA", shown.size, (*_CHECKER[0], 255))
        draw = ImageDraw.Draw(ground)
        for top in range(0, shown.height, _CHECKER_PX):
            for left in range(top % (2 * _CHECKER_PX), shown.width, 2 * _CHECKER_PX):
                draw.rectangle(
                    (left, top, left + _CHECKER_PX - 1, top + _CHECKER_PX - 1), _CHECKER[1]
                )
        return self._encode(Image.alpha_composite(ground, shown).convert("RGB"), name, side)

    def _open(self, folder: Path, name: object, side: int) -> Image.Image | None:
        if not isinstance(name, str) or not name:
            return None
        path = (folder / name).resolve()
        image = None
        if path.is_relative_to(folder.resolve()):
            image = self._read(path, side)
        if image is None:
            self.left_out.append(name)
        return image

    @staticmethod
    def _read(path: Path, side: int) -> Image.Image | None:
        try:
            with Image.open(path) as opened:
                opened.draft("RGB", (side, side))
                return ImageOps.exif_transpose(opened).convert("RGB")
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            return None

    def _encode(self, image: Image.Image, name: str, side: int) -> str | None:
        allowed = min(self.left, 160_000 if side <= 800 else 420_000)
        data = b""
        for scale, quality in _TRIES:
            smaller = image.copy()
            limit = max(64, round(side * scale))
            smaller.thumbnail((limit, limit), Image.Resampling.LANCZOS)
            stream = io.BytesIO()
            smaller.save(stream, "JPEG", quality=quality, optimize=True, progressive=True)
            data = stream.getvalue()
            if len(data) <= allowed:
                break
        return self._address(data, "image/jpeg", name)

    def _address(self, data: bytes, kind: str, name: str) -> str | None:
        if len(data) > self.left:
            self.left_out.append(name)
            return None
        self.left -= len(data)
        return f"data:{kind};base64,{base64.b64encode(data).decode()}"
