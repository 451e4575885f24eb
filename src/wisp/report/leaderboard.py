"""The section of a comparison that ranks the sources of smoke, set by set."""

from __future__ import annotations

import dataclasses

from markupsafe import Markup

from wisp.report import standings, wording
from wisp.report.comparison import Comparison, Standing
from wisp.report.page import Section


@dataclasses.dataclass(frozen=True)
class Board:
    """The standings on one set."""

    name: str
    chart: Markup | None
    rows: tuple[Standing, ...]

    @property
    def counts(self) -> str:
        """How many photos of what."""
        first = self.rows[0]
        counts = [f"{first.images - first.positives} clean photos"]
        if self.has_smoke:
            counts.insert(0, f"{first.positives} smoky")
        groups = wording.plural(first.groups, "group")
        if first.groups_of_both:
            groups += f", {first.groups_of_both} of them with both"
        return f"{wording.listed(counts)}, {groups}"

    @property
    def within_groups(self) -> bool:
        """Whether any group of the set shows both classes."""
        return any(row.auroc_within_groups.known for row in self.rows)

    @property
    def has_smoke(self) -> bool:
        """Whether there is anything to find; else false alarms are all that can be counted."""
        return self.rows[0].positives > 0


@dataclasses.dataclass(frozen=True)
class LeaderboardData:
    """A board for each set."""

    boards: tuple[Board, ...]
    reference: str
    seeds: int

    @property
    def within_groups(self) -> bool:
        """Whether any group of any set shows both classes."""
        return any(board.within_groups for board in self.boards)


def leaderboard_section(found: Comparison) -> Section | None:
    """The standings, set by set."""
    boards = [
        Board(name, standings.ladder(rows, found.reference), tuple(rows))
        for name in found.sets
        if (rows := found.on(name))
    ]
    if not boards:
        return None
    data = LeaderboardData(tuple(boards), found.reference, len(found.seeds))
    return Section("leaderboard", "Leaderboard", "Leaderboard", "leaderboard.html.j2", data)
