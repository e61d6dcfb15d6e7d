"""Who goes when a node is full: connections by what they are worth, handshakes by their silence.

Pure. Bitcoin Core's eviction and Kubo's connection manager are the models: whoever can show that it
is of use stays, the address with the most connections pays first, and a newcomer is let in rather
than kept out. What a peer cannot make cheaply counts most: that a person named it, or that it is a
member of a running job.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache, partial
from typing import Final

#: Seconds in which a newcomer may show that it is more than an open line.
GRACE: Final = 5.0
#: For so long after a peer did something useful it counts as useful.
USEFUL_SECONDS: Final = 600.0
#: A line that answers and has stood so long is worth as much.
OLD_SECONDS: Final = 3600.0
#: For so long after a peer answered it counts as one that answers. It is asked who is there every
#: 375 seconds at least (node/net/rules/pace.py): one answer may be missed.
ANSWERED_SECONDS: Final = 900.0
#: The part of all places that newcomers may take from company, and that those who are not useful
#: yet may take from those who are.
_NEW_SHARE: Final = 8
#: The part of all places that one address may hold while others want them.
_ADDRESS_SHARE: Final = 4
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
    running job of ours. `answered`: since it last answered or announced a topic. `useful`: since
    this node last took something new from it: gossip, a card, a piece of a blob that it wanted. An
    answer alone is no use, anybody can give one.
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
    if peer.answered is not None and peer.answered <= ANSWERED_SECONDS:
        return Rank.USEFUL if peer.age >= OLD_SECONDS else Rank.COMPANY
    return Rank.NEW if peer.age < GRACE else Rank.SILENT


@lru_cache(maxsize=4096)
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

    First those that are silent, and newcomers beyond an eighth of the places: within it the
    youngest count as company, of each address one before any address has two. Then the address that
    holds more than a quarter of the places, while there are others: one machine has as many
    identities as it likes. Then the least rank; but an eighth of the places is for company, so that
    those who are of use already cannot keep everybody else out. Of those that may go, it is the
    address with the most connections (of newcomers and silent ones: with the most such) that loses
    the one that is worth least and has been of no use for longest. Members and those that a person
    named stand outside all this while anybody else is there.
    """
    ranks = {each.key: rank(each) for each in standing}
    for key in _first_of_each([each for each in standing if ranks[each.key] is Rank.NEW])[
        : _share(most, _NEW_SHARE)
    ]:
        ranks[key] = Rank.COMPANY
    left = list(standing)
    gone: list[Hashable] = []
    while len(left) > most:
        guests = [each for each in left if ranks[each.key] < Rank.MEMBER]
        crowds = Counter(group(each.address) for each in guests)
        candidates = _candidates(guests or left, ranks, crowds, most)
        if ranks[candidates[0].key] < Rank.COMPANY:
            # Nobody pays for the company that others at its address are.
            crowds = Counter(group(each.address) for each in candidates)
        goes = max(candidates, key=partial(_goes_before, ranks=ranks, crowds=crowds))
        left.remove(goes)
        gone.append(goes.key)
    return gone


def _goes_before(
    peer: Standing, ranks: Mapping[Hashable, Rank], crowds: Counter[str]
) -> tuple[int, int, float]:
    """Of those that may go, the one with the most of this goes."""
    return crowds[group(peer.address)], -ranks[peer.key], _idle(peer)


def _candidates(
    left: Sequence[Standing], ranks: Mapping[Hashable, Rank], crowds: Counter[str], most: int
) -> Sequence[Standing]:
    """Those of whom one goes: see `leaving`."""
    least = min(ranks[each.key] for each in left)
    lowest = [each for each in left if ranks[each.key] == least]
    if least < Rank.COMPANY or least >= Rank.MEMBER:
        return lowest
    limit = _share(most, _ADDRESS_SHARE)
    crowd = [each for each in left if crowds[group(each.address)] > limit]
    if crowd and len(crowds) > 1:
        return crowd
    if least is Rank.COMPANY and len(lowest) <= _share(most, _NEW_SHARE):
        return [each for each in left if ranks[each.key] is Rank.USEFUL] or lowest
    return lowest


def _share(most: int, part: int) -> int:
    return max(1, most // part)


def _first_of_each(newcomers: Sequence[Standing]) -> list[Hashable]:
    """The youngest of each address, then the second youngest of each, and so on; among those of one
    turn the youngest first."""
    turns: Counter[str] = Counter()
    found: list[tuple[int, float, Hashable]] = []
    for each in sorted(newcomers, key=lambda each: each.age):
        whose = group(each.address)
        found.append((turns[whose], each.age, each.key))
        turns[whose] += 1
    return [key for _, _, key in sorted(found, key=lambda each: each[:2])]


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
