"""Which of several chain nodes is asked: the first in the user's order that nothing speaks against.

Pure: times come in, seconds of one clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

#: A chain node that failed is asked last for so long, seconds; twice as long each time, at most
#: MAX_AWAY. It comes back by itself: the user's order is what the user wants.
FIRST_AWAY: Final = 30.0
MAX_AWAY: Final = 900.0

#: Chain blocks behind the furthest at which a node counts as lagging: nodes of one provider differ
#: by one or two.
LAG_BLOCKS: Final = 4

#: Comparisons in a row that must find it so: a node may just be taking in a block.
LAG_TIMES: Final = 2


@dataclass
class Standing:
    """How it stands with one chain node. `problem` says why it was left; empty while nothing is."""

    url: str
    problem: str = ""
    failures: int = 0
    until: float = float("-inf")
    lagged: int = 0


class Standings:
    """The chain nodes of one daemon, in the user's order, by their places in it."""

    def __init__(self, urls: Sequence[str]) -> None:
        self.all = [Standing(url) for url in urls]

    def order(self, now: float) -> list[int]:
        """All places, the one to ask first in front: who was left stands behind, by when it ends.

        Nobody is ever out of it: if all were left, the one whose time ends first is asked.
        """
        return sorted(
            range(len(self.all)),
            key=lambda place: (max(0.0, self.all[place].until - now), place),
        )

    def leave(self, place: int, now: float, problem: str) -> None:
        """Ask the others from now on, longer each time that it happens in a row."""
        found = self.all[place]
        found.until = now + min(FIRST_AWAY * 2**found.failures, MAX_AWAY)
        found.failures = min(found.failures + 1, 16)
        found.problem = problem

    def answered(self, place: int, now: float) -> None:
        """It is asked again, and answers: what was said of it is over."""
        found = self.all[place]
        if now >= found.until and not found.lagged:
            found.problem, found.failures = "", 0

    def compare_heads(self, heads: Mapping[int, int], now: float) -> None:
        """Leave who lags, by the newest block's number at each place."""
        furthest = max(heads, key=lambda place: heads[place])
        for place, number in heads.items():
            found, behind = self.all[place], heads[furthest] - number
            found.lagged = found.lagged + 1 if behind >= LAG_BLOCKS else 0
            if found.lagged >= LAG_TIMES:
                problem = (
                    f"chain node {found.url} is {behind} blocks behind {self.all[furthest].url}"
                )
                self.leave(place, now, problem)

    def compare_hashes(self, number: int, hashes: Mapping[int, bytes], now: float) -> None:
        """Leave who contradicts most about an old block. Where there is no most, all are named: a
        person must look, and nobody is believed less than before."""
        groups: dict[bytes, list[int]] = {}
        for place, found in hashes.items():
            groups.setdefault(found, []).append(place)
        if len(groups) < 2:
            return
        most = max(groups.values(), key=len)
        clear = 2 * len(most) > len(hashes)
        for group in groups.values():
            if clear and group is most:
                continue
            others = most if clear else next(each for each in groups.values() if each is not group)
            for place in group:
                problem = (
                    f"chain node {self.all[place].url} contradicts {self.all[others[0]].url} about "
                    f"block {number}: one of them serves another chain, or lies; look at both"
                )
                if clear:
                    self.leave(place, now, problem)
                else:
                    self.all[place].problem = problem
