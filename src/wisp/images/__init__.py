"""Pictures: finding, decoding, encoding, resizing, hashing and augmenting them.

A picture is a PIL image in mode RGB, or a float32 tensor [3, H, W] or [B, 3, H, W] in [-1, 1]. What
computes with tensors comes with torch when it is first asked for.
"""

from typing import TYPE_CHECKING

from wisp.images.decoding import MAX_PIXELS, MIN_SIDE_PX, UnreadableImageError, decode
from wisp.images.files import EXTENSIONS, ImageFile, find_images, passed_over
from wisp.images.fitting import Fit, decode_fitted, read_squashed
from wisp.images.jpeg import JpegRecipe, encode_jpeg, jpeg_recipe
from wisp.images.scanning import Scanned, Skipped, perceptual_hash, scan
from wisp.images.transforms import (
    center_crop,
    enlarge_to,
    random_crop,
    random_flip,
    resize_short_side,
    squash,
)
from wisp.lazily import lazily

if TYPE_CHECKING:
    from wisp.images.augmentation import augment
    from wisp.images.photometry import apply_cast, colour_cast, vary_photo
    from wisp.images.tensors import ImageLike, from_uint8, to_pil, to_tensor, to_uint8

__getattr__ = lazily(
    __name__,
    {
        **dict.fromkeys(["augment"], "wisp.images.augmentation"),
        **dict.fromkeys(["apply_cast", "colour_cast", "vary_photo"], "wisp.images.photometry"),
        **dict.fromkeys(
            ["ImageLike", "from_uint8", "to_pil", "to_tensor", "to_uint8"], "wisp.images.tensors"
        ),
    },
)

__all__ = [
    "EXTENSIONS",
    "MAX_PIXELS",
    "MIN_SIDE_PX",
    "Fit",
    "ImageFile",
    "ImageLike",
    "JpegRecipe",
    "Scanned",
    "Skipped",
    "UnreadableImageError",
    "apply_cast",
    "augment",
    "center_crop",
    "colour_cast",
    "decode",
    "decode_fitted",
    "encode_jpeg",
    "enlarge_to",
    "find_images",
    "from_uint8",
    "jpeg_recipe",
    "passed_over",
    "perceptual_hash",
    "random_crop",
    "random_flip",
    "read_squashed",
    "resize_short_side",
    "scan",
    "squash",
    "to_pil",
    "to_tensor",
    "to_uint8",
    "vary_photo",
]
