"""Who of those that wait at the door comes in next, and how many a second do.

Pure: seconds come in. To take a connection in is work for this node before anybody has shown what
it is worth: streams, questions, and the farewell of whoever leaves for it. So many a second come
in, and the others wait, which costs neither side anything. Known ones go first, then those at whose
address, and under whose identity, the fewest were taken in and left without a word. A crowd that
comes again and again then waits for itself, however many addresses it has.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Final

from node.net.rules.worth import group

#: Dialled connections that are taken in a second once it is proved who they are, and at once after
#: a pause: to take one in, and to send another away for it, is 10 to 30 ms of work for this node.
#: Those that may wait for it, and for how many seconds: less than who dials waits.
TAKEN_IN_PER_SECOND: Final = 20
TAKEN_IN_AT_ONCE: Final = 32
MAX_AT_DOOR: Final = 256
DOOR_SECONDS: Final = 12

#: What came in vain is forgotten by half in so many seconds: longer than a crowd takes to come
#: again, and less than an honest node that was in bad luck is willing to wait.
_FADES: Final = 60.0
#: Seconds after somebody was taken in in which all that can run has run once, where nothing is
#: late; how much longer than it was late this node then pauses, and for how long at most.
BREATH: Final = 0.002
_PAUSES: Final = 4
_LONGEST_PAUSE: Final = 0.5

#: Addresses and identities that are remembered.
_MOST_REMEMBERED: Final = 4096


@dataclass(frozen=True, slots=True)
class Waiting:
    """A connection at the door: its side of the line, who it is, since when it waits.

    `known`: a person named it, it is in a running job, or it has been of use before.
    """

    key: Hashable
    address: str
    peer: str
    since: float
    known: bool = False


class Debts:
    """Of each address and each identity, what was taken in and never spoke."""

    def __init__(self) -> None:
        self._of: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def came(self, address: str, peer: str, now: float) -> None:
        """Somebody is taken in."""
        self._change(group(address), 1.0, now)
        self._change(peer, 1.0, now)

    def spoke(self, address: str, peer: str, now: float) -> None:
        """It has spoken as a node of this network does: it did not come in vain."""
        self._change(group(address), -1.0, now)
        self._change(peer, -1.0, now)

    def owes(self, address: str, peer: str, now: float) -> tuple[int, int]:
        """How often somebody of this address, and this one, came in vain: the later the nearer to
        once. They count whole: the last one, once it begins to be forgotten, is none."""
        return int(self._amount(group(address), now)), int(self._amount(peer, now))

    def _amount(self, whose: str, now: float) -> float:
        amount, at = self._of.get(whose, (0.0, now))
        return amount * float(0.5 ** ((now - at) / _FADES))

    def _change(self, whose: str, by: float, now: float) -> None:
        self._of[whose] = max(0.0, self._amount(whose, now) + by), now
        self._of.move_to_end(whose)
        if len(self._of) > _MOST_REMEMBERED:
            self._of.popitem(last=False)


def next_turn(
    waiting: Sequence[Waiting], owes: Callable[[str, str], tuple[int, int]]
) -> Hashable | None:
    """Who comes in: the known, then of an address that owes least, of these an identity that does,
    and of these who has waited longest. None where nobody waits."""
    if not waiting:
        return None
    return min(
        waiting, key=lambda each: (not each.known, owes(each.address, each.peer), each.since)
    ).key


def pause(late: float) -> float:
    """Seconds until the next one is taken in, where this node was `late` by so many after the last:
    what is spent on newcomers is then a small part of its time, however busy the machine is."""
    return min(_LONGEST_PAUSE, _PAUSES * max(0.0, late))


def too_many(
    waiting: Sequence[Waiting], most: int, owes: Callable[[str, str], tuple[int, int]]
) -> Hashable | None:
    """Who is sent away so that `most` wait: of the addresses that have most of them one that owes
    most, because a crowd with an address each would keep everybody else out; of these the one that
    has waited for the shortest time, because the others' waiting would have been in vain; a known
    one last. None while there is room."""
    if len(waiting) <= most:
        return None
    crowds = Counter(group(each.address) for each in waiting)

    def goes(each: Waiting) -> tuple[bool, int, tuple[int, int], float]:
        owed = owes(each.address, each.peer)
        return not each.known, crowds[group(each.address)], owed, each.since

    return max(waiting, key=goes).key
