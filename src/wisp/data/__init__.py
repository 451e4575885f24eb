"""Training data as pure functions of (seed, step), so that an exact resume has no state to save.

:class:`UnpairedFolders` draws crops of two unpaired sets of photos for image translation;
:class:`LabelledSet` reads class folders; :class:`PictureDataset` draws class-balanced, augmented
batches from them. The loaders yield the same batches for any number of workers.
"""

from typing import TYPE_CHECKING

from wisp.data.bank import BANK_FILE, LayerBank, Lift, write_bank
from wisp.data.detection import is_detection_set
from wisp.data.labelled import LabelledItem, LabelledSet, Split, sets_below
from wisp.data.photos import doubt_of_few, find_photos
from wisp.lazily import lazily

if TYPE_CHECKING:
    from wisp.data.pairs import SmokePairs
    from wisp.data.pictures import LabelledBatch, PictureDataset
    from wisp.data.streams import (
        CACHE_BYTES,
        StepLoader,
        derive_seed,
        seeded_generator,
        shuffled,
        start_worker,
    )
    from wisp.data.unpaired import UnpairedFolders, find_shared

_STREAMS = ("CACHE_BYTES", "StepLoader", "derive_seed", "seeded_generator", "shuffled")
__getattr__ = lazily(
    __name__,
    {
        "SmokePairs": "wisp.data.pairs",
        **dict.fromkeys(("LabelledBatch", "PictureDataset"), "wisp.data.pictures"),
        **dict.fromkeys((*_STREAMS, "start_worker"), "wisp.data.streams"),
        **dict.fromkeys(("UnpairedFolders", "find_shared"), "wisp.data.unpaired"),
    },
)

__all__ = [
    "BANK_FILE",
    "CACHE_BYTES",
    "LabelledBatch",
    "LabelledItem",
    "LabelledSet",
    "LayerBank",
    "Lift",
    "PictureDataset",
    "SmokePairs",
    "Split",
    "StepLoader",
    "UnpairedFolders",
    "derive_seed",
    "doubt_of_few",
    "find_photos",
    "find_shared",
    "is_detection_set",
    "seeded_generator",
    "sets_below",
    "shuffled",
    "start_worker",
    "write_bank",
]
