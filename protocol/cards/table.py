"""The table of known cards: what is taken, what replaces what, and who makes room when it is full.

Identities cost nothing, so a bound for each peer bounds nobody who makes many. When the table is
full, whoever comes takes part in a lottery with a secret of this node: a flood leaves a random
sample of the newcomers, itself among them. The older half of the table, where it is a day old,
stands outside the lottery: a flood drives out nobody who was there before it.
"""

from __future__ import annotations

import hashlib
from collections import Counter, OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final, TypeAlias

from protocol import params
from protocol.wire.cards import Card, Withdrawn

#: A peer, and one of its slots.
Key: TypeAlias = tuple[bytes, int]

#: A peer's cards, and its rank: who has the highest makes room first.
_Place: TypeAlias = tuple[int, bytes]

#: Seconds after which an entry may stand outside the lottery.
_TENURE_SECONDS: Final = 86_400


@dataclass(frozen=True, slots=True)
class Entry:
    """What the table knows of one slot. Times are Unix seconds.

    `valid_until` is that of the last word, `kept_until` the latest of all its words: until then
    somebody could say an older one again. `since`: when its first word came.
    """

    peer: bytes
    slot: int
    sequence: int
    valid_until: int
    kept_until: int
    since: int
    withdrawn: bool

    @property
    def key(self) -> Key:
        return self.peer, self.slot


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a card: the entry that now stands there, and which others made room."""

    entry: Entry
    gone: tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class NotTaken:
    """Why a card was not taken. Nobody's fault."""

    reason: str


class Table:
    """Cards and withdrawals by peer and slot; in memory, the store has the same.

    `me` is this node's peer id: its own cards are no guests and take no room. `secret` (16 bytes)
    ranks peers in the lottery.
    """

    def __init__(
        self,
        me: bytes,
        secret: bytes,
        entries: Iterable[Entry] = (),
        size: int = params.MAX_CARDS,
    ) -> None:
        self._me = me
        self._secret = secret
        self._size = size
        # In the order of `since`: a slot keeps its place when its card is replaced.
        self._entries: OrderedDict[Key, Entry] = OrderedDict()
        self._mine: dict[Key, Entry] = {}
        self._counts: Counter[bytes] = Counter()
        self._ranks: dict[bytes, bytes] = {}
        self._last: tuple[int, _Place, Key | None] | None = None
        self._pace: OrderedDict[bytes, tuple[float, int]] = OrderedDict()
        for entry in sorted(entries, key=lambda each: each.since):
            self._put(entry)

    def __len__(self) -> int:
        return len(self._entries)

    def entry(self, key: Key) -> Entry | None:
        """What stands in a slot."""
        return self._entries.get(key) or self._mine.get(key)

    def entries(self) -> tuple[Entry, ...]:
        """Everything, oldest first, own ones last."""
        return (*self._entries.values(), *self._mine.values())

    def refusal(self, peer: bytes, said: Card | Withdrawn, now: int) -> str:
        """Why a word would not be taken at `now` (Unix seconds); empty where it would."""
        decided = self._decide(peer, said, now)
        return decided.reason if isinstance(decided, NotTaken) else ""

    def take(self, peer: bytes, said: Card | Withdrawn, now: int) -> Taken | NotTaken:
        """Take a word that its peer signed, or say why not; then nothing has changed."""
        decided = self._decide(peer, said, now)
        if isinstance(decided, NotTaken):
            return decided
        if not self._ends_a_card(decided.entry):
            level = self._level(peer, now)
            self._pace[peer] = (level - 1, now)
            self._pace.move_to_end(peer)
            while len(self._pace) > 2 * self._size:
                self._pace.popitem(last=False)
        for key in decided.gone:
            self._drop(key)
        self._put(decided.entry)
        return decided

    def expire(self, now: int) -> tuple[Key, ...]:
        """Forget slots of which no word is valid any more: nobody takes one either."""
        gone = tuple(entry.key for entry in self.entries() if entry.kept_until <= now)
        for key in gone:
            self._drop(key)
        return gone

    def _decide(self, peer: bytes, said: Card | Withdrawn, now: int) -> Taken | NotTaken:
        if said.valid_until <= now:
            return NotTaken("no longer valid")
        if said.valid_until > now + params.MAX_CARD_SECONDS + params.CARD_SKEW_SECONDS:
            return NotTaken("valid for longer than any card may be")
        until, gone = said.valid_until, isinstance(said, Withdrawn)
        new = Entry(peer, said.slot, said.sequence, until, until, now, gone)
        known = self.entry(new.key)
        if known is not None:
            if said.sequence <= known.sequence:
                return NotTaken("not newer than what is known")
            kept = max(until, known.kept_until)
            new = replace(new, since=known.since, kept_until=kept)
        if not self._ends_a_card(new) and peer != self._me and self._level(peer, now) < 1:
            return NotTaken("its peer says too much about its cards")
        if known is not None or peer == self._me or len(self._entries) < self._size:
            return Taken(new, ())
        victim = self._victim(peer, now)
        if victim is None:
            return NotTaken("the table of cards is full")
        return Taken(new, (victim,))

    def _ends_a_card(self, new: Entry) -> bool:
        """Whether it withdraws a card that is known: that is heard at any pace, and only once."""
        known = self.entry(new.key)
        return new.withdrawn and known is not None and not known.withdrawn

    def _level(self, peer: bytes, now: int) -> float:
        level, at = self._pace.get(peer, (float(params.CARD_BURST), now))
        refilled = level + max(0, now - at) / params.CARD_REFILL_SECONDS
        return min(float(params.CARD_BURST), refilled)

    def _victim(self, newcomer: bytes, now: int) -> Key | None:
        """Who makes room for a peer's further card; None where the newcomer does.

        Of the entries outside tenure, and the newcomer: one of a peer with the most cards; among
        those, of the peer that the secret ranks last.
        """
        last, key = self._last_place(now)
        return key if last > (self._counts[newcomer] + 1, self._rank(newcomer)) else None

    def _last_place(self, now: int) -> tuple[_Place, Key | None]:
        """The entry that makes room first, and its place. Looked for once for every second and
        change: those who flood a full table change it ever less."""
        if self._last is not None and self._last[0] == now:
            return self._last[1:]
        oldest = islice(self._entries.values(), self._size // 2)
        kept = sum(1 for entry in oldest if entry.since <= now - _TENURE_SECONDS)
        last: _Place = (0, b"")
        found: Key | None = None
        for entry in islice(self._entries.values(), kept, None):
            place = (self._counts[entry.peer], self._ranks[entry.peer])
            if entry.kept_until <= now:
                place = (params.MAX_CARDS_OF_PEER + 2, b"")
            if place > last:
                last, found = place, entry.key
        self._last = now, last, found
        return last, found

    def _rank(self, peer: bytes) -> bytes:
        return hashlib.blake2b(peer, digest_size=8, key=self._secret).digest()

    def _put(self, entry: Entry) -> None:
        self._last = None
        if entry.peer == self._me:
            self._mine[entry.key] = entry
            return
        if entry.key not in self._entries:
            self._counts[entry.peer] += 1
            self._ranks[entry.peer] = self._rank(entry.peer)
        self._entries[entry.key] = entry

    def _drop(self, key: Key) -> None:
        self._last = None
        self._mine.pop(key, None)
        if self._entries.pop(key, None) is not None:
            self._counts[key[0]] -= 1
            if not self._counts[key[0]]:
                del self._counts[key[0]], self._ranks[key[0]]
