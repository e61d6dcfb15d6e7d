"""Who goes when a node is full: connections by what they are worth, handshakes by their silence.

Pure. Bitcoin Core's eviction and Kubo's connection manager are the models: whoever can show that it
is of use stays, the address with the most connections pays first, and a newcomer is let in rather
than kept out. What a peer cannot make cheaply counts most: that a person named it, or that it is a
member of a running job.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

#: Seconds in which a newcomer may show that it is more than an open line.
GRACE: Final = 5.0
#: For so long after a peer did something useful it counts as useful.
USEFUL_SECONDS: Final = 600.0
#: A line that answers and has stood so long is worth as much.
OLD_SECONDS: Final = 3600.0
#: The part of all places that newcomers may take from company that is no more than that.
_NEW_SHARE: Final = 8
#: More than multistream's first word, and less than it and a second one: whoever has said the first
#: alone is where everybody begins.
_WORD_BYTES: Final = 24


class Rank(IntEnum):
    """What a connection is worth; the least go first."""

    SILENT = 0
    NEW = 1
    COMPANY = 2
    USEFUL = 3
    MEMBER = 4
    CHOSEN = 5


@dataclass(frozen=True, slots=True)
class Standing:
    """One peer's connection. Ages in seconds; None is never.

    `address` is its side of the line. `chosen`: the user gave its address. `member`: it is in a
    running job of ours. `answered`: since it last answered or announced a topic. `useful`: since it
    last gave something that was asked for, or gossip that was new and right.
    """

    key: Hashable
    address: str
    age: float
    chosen: bool = False
    member: bool = False
    answered: float | None = None
    useful: float | None = None


def rank(peer: Standing) -> Rank:
    """What it is worth."""
    if peer.chosen:
        return Rank.CHOSEN
    if peer.member:
        return Rank.MEMBER
    if peer.useful is not None and peer.useful <= USEFUL_SECONDS:
        return Rank.USEFUL
    if peer.answered is not None and peer.age >= OLD_SECONDS:
        return Rank.USEFUL
    if peer.answered is not None:
        return Rank.COMPANY
    return Rank.NEW if peer.age < GRACE else Rank.SILENT


def group(address: str) -> str:
    """Whose address it is: an IPv4 address, or the /64 of an IPv6 one, which one machine holds."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


def leaving(standing: Sequence[Standing], most: int) -> list[Hashable]:
    """Keys of those that go so that `most` are left, the first to go first.

    Of the least rank that is there, the address with the most connections of that rank loses the
    one that has been of no use for longest. An eighth of the places is for the youngest newcomers:
    they count as company, so that those who are here already cannot keep everybody else out, and
    those who come again and again cannot push out who is here.
    """
    ranks = {each.key: rank(each) for each in standing}
    newcomers = [each for each in standing if ranks[each.key] is Rank.NEW]
    for each in sorted(newcomers, key=lambda each: each.age)[: max(1, most // _NEW_SHARE)]:
        ranks[each.key] = Rank.COMPANY
    left = list(standing)
    gone: list[Hashable] = []
    while len(left) > most:
        least = min(ranks[each.key] for each in left)
        candidates = [each for each in left if ranks[each.key] == least]
        crowds = Counter(group(each.address) for each in candidates)
        goes = max(candidates, key=lambda each: (crowds[group(each.address)], _idle(each)))
        left.remove(goes)
        gone.append(goes.key)
    return gone


def _idle(peer: Standing) -> float:
    """Seconds since it was last of any use; a newcomer's are its age."""
    return min(each for each in (peer.useful, peer.answered, peer.age) if each is not None)


@dataclass(frozen=True, slots=True)
class Shaking:
    """A connection in its handshake: the bytes that it has said, and the seconds since the last."""

    key: Hashable
    address: str
    quiet: float
    said: int = 0


def crowded_out(
    shaking: Sequence[Shaking], most: int, most_of_one: int, newcomer: Hashable = None
) -> Hashable | None:
    """Whose handshake is given up so that `most` are under way, and `most_of_one` from one address.

    The address with the most pays, with the one that has got least far, and of these the one that
    has been quiet for longest: what a handshake has to say takes the dialler work, and a word that
    does not belong there ends it. It is not `newcomer`, unless that is alone at its address. None
    while there is room.
    """
    crowds = Counter(group(each.address) for each in shaking)
    if not crowds or (len(shaking) <= most and max(crowds.values()) <= most_of_one):
        return None
    goes = max(
        shaking,
        key=lambda each: (
            crowds[group(each.address)],
            # A newcomer's first word is still unread.
            each.key != newcomer,
            -(each.said // _WORD_BYTES),
            each.quiet,
        ),
    )
    return goes.key
