"""Colours as a browser shows them: from a picture's own colour profile to sRGB."""

from __future__ import annotations

import functools
import io

import numpy as np
from PIL import Image, ImageCms

_SAME = 2
"""Levels of 255: a profile that changes colours by no more is sRGB, and pixels stay as they are."""


def to_srgb(image: Image.Image) -> Image.Image:
    """``image`` (RGB, RGBA, L or CMYK) by its embedded ICC profile in sRGB, as RGB or RGBA; itself
    where there is none, it is sRGB's, or it cannot be used."""
    profile = image.info.get("icc_profile")
    if not profile or image.mode not in ("RGB", "RGBA", "L", "CMYK"):
        return image
    transform = _transform(profile, image.mode)
    return image if transform is None else transform.apply(image)


@functools.lru_cache(maxsize=16)  # photos of one camera carry the same
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    becomes = "RGBA" if mode == "RGBA" else "RGB"
    try:
        transform = ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            mode,
            becomes,
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, ValueError):  # damaged, or of another kind of picture
        return None
    levels = np.linspace(0, 255, 9).astype(np.uint8)
    lattice = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(27, 27, 3)
    sample = Image.fromarray(lattice).convert(mode)
    plain, shown = (
        np.asarray(one.convert("RGB"), int) for one in (sample, transform.apply(sample))
    )
    return None if np.abs(plain - shown).max() <= _SAME else transform
