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
    """How it stands with one chain node. `problem` says what speaks against it; empty for nothing.

    `doubted`: a comparison showed that it lags or is alone with what it says. It answers calls all
    the same, so that only a comparison can clear it. `disputed`: it contradicts others, and there
    is no majority.
    """

    url: str
    problem: str = ""
    failures: int = 0
    until: float = float("-inf")
    lagged: int = 0
    doubted: bool = False
    disputed: bool = False


class Standings:
    """The chain nodes of one daemon, in the user's order, by their places in it."""

    def __init__(self, urls: Sequence[str]) -> None:
        self.all = [Standing(url) for url in urls]

    def order(self, now: float) -> list[int]:
        """All places, the one to ask first in front: who was left stands behind, by when it ends,
        and who is doubted behind those.

        Nobody is ever out of it: if all were left, the one whose time ends first is asked.
        """
        return sorted(
            range(len(self.all)),
            key=lambda at: (self.all[at].doubted, max(0.0, self.all[at].until - now), at),
        )

    def leave(self, place: int, now: float, problem: str) -> None:
        """Ask the others from now on, longer each time that it happens in a row."""
        found = self.all[place]
        found.until = now + min(FIRST_AWAY * 2**found.failures, MAX_AWAY)
        found.failures = min(found.failures + 1, 16)
        found.problem = problem

    def answered(self, place: int, now: float) -> None:
        """It is asked again, and answers: what was said of it is over, but for what a comparison
        found."""
        found = self.all[place]
        if now >= found.until and not found.doubted and not found.disputed:
            found.problem, found.failures = "", 0

    def compare(self, heads: Mapping[int, int], number: int, hashes: Mapping[int, bytes]) -> None:
        """Doubt who lags, by the newest block's number at each place, and who contradicts most
        about the hash of block `number`. Where there is no most, all are named and none is doubted:
        a person must look.

        Who did not answer stays what it was; of who did, an earlier comparison's word is over.
        """
        lagging, (alone, disputed) = self._lagging(heads), self._contradicting(number, hashes)
        for place in heads:
            found = self.all[place]
            was = found.doubted or found.disputed
            problem = alone.get(place) or lagging.get(place) or disputed.get(place, "")
            found.doubted = place in alone or place in lagging
            found.disputed = place in disputed
            if problem or was:
                found.problem = problem

    def _lagging(self, heads: Mapping[int, int]) -> dict[int, str]:
        problems = {}
        furthest = max(heads, key=lambda place: heads[place])
        for place, number in heads.items():
            found, behind = self.all[place], heads[furthest] - number
            found.lagged = found.lagged + 1 if behind >= LAG_BLOCKS else 0
            if found.lagged >= LAG_TIMES:
                problems[place] = (
                    f"chain node {found.url} is {behind} blocks behind {self.all[furthest].url}"
                )
        return problems

    def _contradicting(
        self, number: int, hashes: Mapping[int, bytes]
    ) -> tuple[dict[int, str], dict[int, str]]:
        """Words about those that a majority contradicts, and about all where there is none."""
        groups: dict[bytes, list[int]] = {}
        for place, found in hashes.items():
            groups.setdefault(found, []).append(place)
        if len(groups) < 2:
            return {}, {}
        most = max(groups.values(), key=len)
        clear = 2 * len(most) > len(hashes)
        problems = {}
        for place, found in hashes.items():
            if clear and place in most:
                continue
            other = most[0] if clear else next(p for p, one in hashes.items() if one != found)
            problems[place] = (
                f"chain node {self.all[place].url} contradicts {self.all[other].url} about block "
                f"{number}: one of them serves another chain, or lies; look at both"
            )
        return (problems, {}) if clear else ({}, problems)
