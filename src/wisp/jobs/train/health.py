"""What is watched before and while a network trains, because it fails quietly."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from wisp.data import doubt_of_few
from wisp.jobs.train.samples import Fault

_ADVICE: Final[dict[Fault, str]] = {
    "collapsed": "has collapsed: it paints nearly the same picture for every photo; try "
    "--diffaugment, a lower --learning-rate or more photos",
    "idle": "leaves photos as they are; if that does not change, try a lower --lambda-identity or "
    "--lambda-cycle, or look whether the two folders differ in what they should",
    "silent": "finds none in smoky photos; look whether the second folder shows any, or train "
    "longer",
}
WON_LOSS = 0.005
WON_STEPS = 2000


@dataclasses.dataclass
class Health:
    """Notices too few photos, collapse, idle generators and discriminators that have won.

    Each is noted once. ``notes`` are sentences for the user; ``to_json`` is the whole state.
    """

    notes: list[str] = dataclasses.field(default_factory=list)
    won_since: dict[str, int] = dataclasses.field(default_factory=dict)
    seen: list[str] = dataclasses.field(default_factory=list)

    def _note(self, key: str, note: str) -> str | None:
        if key in self.seen:
            return None
        self.seen.append(key)
        self.notes.append(note)
        return note

    def check_photos(self, counts: Mapping[str, int]) -> list[str]:
        """New notes on ``counts``, the photos to train on by domain: are there too few?"""
        notes = [self._note("few-photos", note) for note in doubt_of_few(counts)]
        return [note for note in notes if note]

    def check_losses(self, step: int, means: dict[str, float]) -> list[str]:
        """New notes after a row of mean losses: is a discriminator's near 0 for 2000 steps?"""
        found = []
        for domain in ("smoky", "clean"):
            if means.get(f"discriminator_{domain}", 1.0) >= WON_LOSS:
                self.won_since.pop(domain, None)
                continue
            since = self.won_since.setdefault(domain, step)
            if step - since >= WON_STEPS:
                note = self._note(
                    f"won-{domain}",
                    f"step {step}: the discriminator of {domain} photos has won (its loss is below "
                    f"{WON_LOSS} since step {since}), so the generator learns nothing from it; try "
                    "a lower --learning-rate or more photos",
                )
                found += [note] if note else []
        return found

    def check_samples(self, step: int, faults: Mapping[str, Fault | None]) -> list[str]:
        """New notes after samples: ``faults`` names what is wrong for each target domain."""
        found = []
        for domain, fault in faults.items():
            if fault is not None:
                who = "what finds smoke" if fault == "silent" else f"the generator to {domain}"
                note = self._note(f"{fault}-{domain}", f"step {step}: {who} {_ADVICE[fault]}")
                found += [note] if note else []
        return found

    def to_json(self) -> dict[str, Any]:
        """JSON values to go on from."""
        return dataclasses.asdict(self)
