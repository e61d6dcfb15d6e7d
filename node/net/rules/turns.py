"""Whose handshake is begun next, and how soon after the last one.

Pure: seconds come in. A handshake is work for this node before anybody has shown what it is worth,
so that handshakes are begun one after the other, and the more slowly the later the loop is: lines
that stand come first. Whoever's address has cost no handshake in vain goes before all others. A
crowd that comes again and again then waits for itself, however many addresses it has.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Final

from node.net.rules.worth import group

#: Handshakes in vain are forgotten by half in so many seconds: longer than a crowd takes to come
#: again, and less than an honest node that was in bad luck is willing to wait.
_FADES: Final = 60.0
#: Addresses that are remembered.
_MOST_REMEMBERED: Final = 4096

#: Seconds after a handshake was begun in which all that can run has run once, where nothing is
#: late; and the longest pause until the next one is begun.
BREATH: Final = 0.002
_LONGEST_PAUSE: Final = 0.25


@dataclass(frozen=True, slots=True)
class Waiting:
    """A connection whose handshake is not begun: its side of the line, and since when it waits."""

    key: Hashable
    address: str
    since: float


class Debts:
    """Of each address, the handshakes that led to nothing: what began and was never proved."""

    def __init__(self) -> None:
        self._of: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def began(self, address: str, now: float) -> None:
        """A handshake with somebody there is begun."""
        self._change(address, 1.0, now)

    def proved(self, address: str, now: float) -> None:
        """Somebody there has spoken as a node of this network does: one was not in vain."""
        self._change(address, -1.0, now)

    def owes(self, address: str, now: float) -> float:
        """Handshakes in vain, the later ones nearly whole."""
        amount, at = self._of.get(group(address), (0.0, now))
        return amount * float(0.5 ** ((now - at) / _FADES))

    def _change(self, address: str, by: float, now: float) -> None:
        whose = group(address)
        self._of[whose] = max(0.0, self.owes(address, now) + by), now
        self._of.move_to_end(whose)
        if len(self._of) > _MOST_REMEMBERED:
            self._of.popitem(last=False)


def next_turn(waiting: Sequence[Waiting], owes: Callable[[str], float]) -> Hashable:
    """Whose handshake is begun: of an address that owes least, and there who has waited longest.

    Debts count in whole handshakes: the last one, once it began to be forgotten, is none.
    """
    debts = {each.address: int(owes(each.address)) for each in waiting}
    return min(waiting, key=lambda each: (debts[each.address], each.since)).key


def too_many(waiting: Sequence[Waiting], most: int) -> Hashable | None:
    """Who is sent away so that `most` wait: of the address that has most of them the one that has
    waited for the shortest time, because the others' waiting would have been in vain. None while
    there is room."""
    if len(waiting) <= most:
        return None
    crowds = Counter(group(each.address) for each in waiting)
    return max(waiting, key=lambda each: (crowds[group(each.address)], each.since)).key


def pause(late: float) -> float:
    """Seconds until the next handshake is begun, where the loop was `late` by so many seconds."""
    return max(0.0, min(_LONGEST_PAUSE, late))
