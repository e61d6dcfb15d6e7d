"""Dialling a peer back at its asking: which address, how often, whom to ask, what answers come to.

Pure. Whoever is asked opens a connection because somebody else wants it. So it dials nothing but
the address that the asker itself comes from, which nobody can make up, and seldom.
"""

from __future__ import annotations

import ipaddress
from collections import deque
from collections.abc import Collection, Iterable
from enum import StrEnum
from typing import Final

from node.net.rules.worth import group

_MINUTE: Final = 60.0


class Outcome(StrEnum):
    """What came of asking one peer. Only the first is proven; the others are a peer's word."""

    #: Its dial arrived, with the number that it alone was told.
    DIALLED = "dialled"
    #: It says that it dialled and got no answer.
    NO_ANSWER = "no-answer"
    #: It says that it got through, and nothing arrived.
    CLAIMED = "claimed"
    #: It would not dial now: it was asked too often, or this node's port is none that is dialled.
    REFUSED = "refused"
    #: It does not know this question.
    UNABLE = "unable"
    #: It said nothing of use in time.
    SILENT = "silent"


class Verdict(StrEnum):
    """What the answers of all come to."""

    #: Somebody from outside got through.
    OUTSIDE = "outside"
    #: Somebody got through, and nobody from outside was there to try.
    NEAR = "near"
    #: Whoever tried got no answer.
    UNREACHED = "unreached"
    #: Nobody tried.
    UNKNOWN = "unknown"


class Limits:
    """How much one node dials for others: `at_once`, `a_minute` over all, and for one peer or one
    address once in `pause` seconds."""

    def __init__(self, at_once: int, a_minute: int, pause: float) -> None:
        self._at_once, self._a_minute, self._pause = at_once, a_minute, pause
        self._running = 0
        #: Of the last minute: when, for which peer, at whose address. Never more than `a_minute`.
        self._lately: deque[tuple[float, str, str]] = deque()

    def begin(self, peer: str, host: str, now: float) -> str:
        """Why `host` is not dialled for this peer now; empty if it is: then pair it with `end`."""
        while self._lately and self._lately[0][0] <= now - _MINUTE:
            self._lately.popleft()
        whose = group(host)
        for at, asker, place in self._lately:
            if at > now - self._pause and (asker == peer or place == whose):
                return f"it dialled this peer or address less than {self._pause:g} seconds ago"
        if self._running >= self._at_once or len(self._lately) >= self._a_minute:
            return "it dials enough for others just now"
        self._running += 1
        self._lately.append((now, peer, whose))
        return ""

    def end(self) -> None:
        """One dial is over."""
        self._running -= 1


def target(remote: str) -> str | None:
    """The address to dial for a peer whose connection comes from `remote`; None for one that is no
    machine's (nor one without its interface: link-local of IPv6)."""
    try:
        parsed = ipaddress.ip_address(remote)
    except ValueError:
        return None
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return target(str(parsed.ipv4_mapped))
        if parsed.is_link_local:
            return None
    elif parsed == ipaddress.IPv4Address("255.255.255.255"):
        return None
    return None if parsed.is_unspecified or parsed.is_multicast else str(parsed)


def outside(host: str) -> bool:
    """Whether an address is one of the whole Internet, and of no house or machine alone."""
    try:
        parsed = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return (mapped or parsed).is_global


def whom(
    lines: Iterable[tuple[str, str]], lately: Collection[str], most: int
) -> list[tuple[str, str]]:
    """Which of `lines` (peer, address of its line) to ask, at most `most`.

    Those first that were not asked `lately`, then one of each address, then those from outside;
    else in the order in which they come, which is the caller's to shuffle.
    """
    turns: dict[str, int] = {}
    ranked = []
    for peer, host in sorted(lines, key=lambda line: line[0] in lately):
        turn = turns[group(host)] = turns.get(group(host), -1) + 1
        ranked.append(((peer in lately, turn, not outside(host)), (peer, host)))
    # The sort keeps the order of equals.
    return [line for _, line in sorted(ranked, key=lambda each: each[0])][:most]


def verdict(outcomes: Iterable[tuple[Outcome, str]]) -> Verdict:
    """What outcomes come to, each with the address that a dial arrived from (else empty).

    A dial that arrived outweighs any number of peers that say no: it was seen.
    """
    told = list(outcomes)
    arrived = [host for outcome, host in told if outcome is Outcome.DIALLED]
    if arrived:
        return Verdict.OUTSIDE if any(map(outside, arrived)) else Verdict.NEAR
    tried = any(outcome is Outcome.NO_ANSWER for outcome, _ in told)
    return Verdict.UNREACHED if tried else Verdict.UNKNOWN
