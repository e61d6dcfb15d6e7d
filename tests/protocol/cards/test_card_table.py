"""The table of cards: what is taken, what replaces what, and who makes room, under any sequence."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from kits.message_cases import CARD

from protocol import params
from protocol.cards.table import Entry, Key, NotTaken, Table, Taken
from protocol.wire.cards import Card, Withdrawn

ME = b"\x00" * 38
SECRET = bytes(16)
NOW = 1_750_000_000
DAY = 86_400


def peer(number: int) -> bytes:
    return number.to_bytes(38, "big")


def card(slot: int = 0, sequence: int = 1, until: int = NOW + DAY) -> Card:
    return dataclasses.replace(CARD, slot=slot, sequence=sequence, valid_until=until)


def gone(slot: int = 0, sequence: int = 2, until: int = NOW + DAY) -> Withdrawn:
    return Withdrawn(slot, sequence, until)


def full_table(size: int, since: int = NOW) -> Table:
    """One card of each of `size` peers, from peer 1 on."""
    table = Table(ME, SECRET, size=size)
    for number in range(1, size + 1):
        assert isinstance(table.take(peer(number), card(), since), Taken)
    return table


def reason(found: Taken | NotTaken) -> str:
    assert isinstance(found, NotTaken)
    return found.reason


def test_a_higher_sequence_replaces_and_nothing_else_does() -> None:
    table = Table(ME, SECRET)
    assert isinstance(table.take(peer(1), card(sequence=5), NOW), Taken)
    for sequence in (5, 4, 1):
        assert "not newer" in reason(table.take(peer(1), card(sequence=sequence), NOW))
    assert isinstance(table.take(peer(1), card(sequence=6), NOW), Taken)
    assert isinstance(table.take(peer(2), card(sequence=1), NOW), Taken)
    assert len(table) == 2


def test_what_was_withdrawn_is_not_said_again() -> None:
    table = Table(ME, SECRET)
    old = card(sequence=5, until=NOW + 50)
    table.take(peer(1), old, NOW)
    assert isinstance(table.take(peer(1), gone(sequence=6, until=NOW + 50), NOW), Taken)
    assert "not newer" in reason(table.take(peer(1), old, NOW + 49))
    table.expire(NOW + 50)
    assert "no longer valid" in reason(table.take(peer(1), old, NOW + 50))


def test_a_shorter_card_does_not_let_the_longer_one_back_in() -> None:
    """Its end is not the end of what came before it."""
    table = Table(ME, SECRET)
    table.take(peer(1), card(sequence=5, until=NOW + 100), NOW)
    table.take(peer(1), card(sequence=6, until=NOW + 10), NOW)
    assert table.expire(NOW + 50) == ()
    assert "not newer" in reason(table.take(peer(1), card(sequence=5, until=NOW + 100), NOW + 50))
    assert table.expire(NOW + 100) == ((peer(1), 0),)


def test_validity_is_bounded() -> None:
    table = Table(ME, SECRET)
    longest = NOW + params.MAX_CARD_SECONDS + params.CARD_SKEW_SECONDS
    assert table.refusal(peer(1), card(until=longest), NOW) == ""
    assert "longer than any" in table.refusal(peer(1), card(until=longest + 1), NOW)
    assert table.refusal(peer(1), card(until=NOW + 1), NOW) == ""
    assert "no longer valid" in table.refusal(peer(1), card(until=NOW), NOW)


def test_one_peer_says_so_much_and_then_so_much_a_minute() -> None:
    table = Table(ME, SECRET)
    for sequence in range(1, params.CARD_BURST + 1):
        assert isinstance(table.take(peer(1), card(sequence=sequence), NOW), Taken)
    sequence += 1
    assert "too much" in reason(table.take(peer(1), card(sequence=sequence), NOW))
    # Another is heard, and so is the word that ends its card.
    assert isinstance(table.take(peer(2), card(), NOW), Taken)
    assert isinstance(table.take(peer(1), gone(sequence=sequence), NOW), Taken)
    assert "too much" in reason(table.take(peer(1), gone(sequence=sequence + 1), NOW))
    later = NOW + params.CARD_REFILL_SECONDS
    assert isinstance(table.take(peer(1), card(sequence=sequence + 1), later), Taken)
    assert "too much" in reason(table.take(peer(1), card(sequence=sequence + 2), later))


def test_a_clock_that_goes_back_gives_nothing() -> None:
    table = Table(ME, SECRET)
    for sequence in range(1, params.CARD_BURST + 1):
        table.take(peer(1), card(sequence=sequence), NOW)
    assert "too much" in reason(table.take(peer(1), card(sequence=100), NOW - 10_000))


def test_a_peer_with_many_cards_makes_room_first() -> None:
    table = Table(ME, SECRET, size=10)
    for slot in range(8):
        table.take(peer(1), card(slot), NOW)
    table.take(peer(2), card(), NOW)
    table.take(peer(3), card(), NOW)
    for number in range(4, 11):
        taken = table.take(peer(number), card(), NOW)
        assert isinstance(taken, Taken)
        assert [who for who, _ in taken.gone] == [peer(1)]
    assert Counter(entry.peer for entry in table.entries()) == Counter(map(peer, range(1, 11)))


def test_a_flood_leaves_who_was_there_and_a_sample_of_the_rest() -> None:
    """Twenty times the table in identities: the old half stays, honest newcomers have a chance."""
    size = 100
    table = full_table(size)
    later = NOW + 2 * DAY
    until = later + DAY
    for number in range(1, size + 1):
        table.take(peer(number), card(sequence=2, until=until), later)
    taken = 0
    for number in range(1000, 1000 + 20 * size):
        taken += isinstance(table.take(peer(number), card(until=until), later), Taken)
        assert len(table) == size
    held = {entry.peer for entry in table.entries()}
    assert {peer(number) for number in range(1, size // 2 + 1)} <= held
    # Each newcomer beats a half of 50 with falling luck: about 50 ln 21 of 2000 are taken.
    assert 50 < taken < 400
    # What is left is chosen by the secret alone: another order leaves the same.
    again = full_table(size)
    for number in range(1, size + 1):
        again.take(peer(number), card(sequence=2, until=until), later)
    for number in reversed(range(1000, 1000 + 20 * size)):
        again.take(peer(number), card(until=until), later)
    assert {entry.peer for entry in again.entries()} == held
    other = Table(ME, b"\x01" * 16, table.entries(), size)
    assert any(
        isinstance(other.take(peer(number), card(until=until), later), Taken)
        for number in range(4000, 4100)
    )


def test_a_young_table_is_no_privilege() -> None:
    """Tenure takes a day: a flood that came first does not stay for it."""
    table = full_table(20)
    came = [
        table.take(peer(number), card(until=NOW + 2 * DAY), NOW + 3600)
        for number in range(100, 300)
    ]
    assert sum(isinstance(each, Taken) for each in came) > 15
    first = {peer(number) for number in range(1, 21)}
    assert len(first & {entry.peer for entry in table.entries()}) < 10


def test_own_cards_take_no_room_and_no_pace() -> None:
    table = full_table(4)
    for sequence in range(1, 3 * params.CARD_BURST):
        assert isinstance(table.take(ME, card(sequence=sequence), NOW), Taken)
    assert len(table) == 4
    assert table.entry((ME, 0)) is not None
    for number in range(10, 60):
        table.take(peer(number), card(), NOW)
    assert table.entry((ME, 0)) is not None


def test_a_table_comes_back_from_its_entries() -> None:
    table = full_table(6)
    table.take(peer(3), gone(), NOW)
    table.take(ME, card(), NOW)
    again = Table(ME, SECRET, reversed(table.entries()), 6)
    assert set(again.entries()) == set(table.entries())
    assert "not newer" in reason(again.take(peer(3), card(), NOW))


class Machine(RuleBasedStateMachine):
    """Honest and hostile peers, a clock, restarts: what must hold of the table throughout."""

    size = 6

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.table = Table(ME, SECRET, size=self.size)
        #: The store as the shelf keeps it, and the last word and the latest end of each slot.
        self.store: dict[Key, Entry] = {}
        self.said: list[tuple[bytes, Card | Withdrawn]] = []

    @rule(
        who=st.integers(0, 9),
        slot=st.integers(0, 3),
        sequence=st.integers(1, 6),
        life=st.integers(-5, 3 * DAY),
        withdraws=st.booleans(),
    )
    def say(self, who: int, slot: int, sequence: int, life: int, withdraws: bool) -> None:
        until = max(1, self.now + life)
        word: Card | Withdrawn = (
            gone(slot, sequence, until) if withdraws else card(slot, sequence, until)
        )
        self.said.append((peer(who), word))
        self._hear(peer(who), word)

    @precondition(lambda self: self.said)
    @rule(data=st.data())
    def replay(self, data: st.DataObject) -> None:
        """Anybody may say again what was ever signed."""
        self._hear(*data.draw(st.sampled_from(self.said)))

    def _hear(self, who: bytes, word: Card | Withdrawn) -> None:
        before = {entry.key: entry for entry in self.table.entries()}
        refusal = self.table.refusal(who, word, self.now)
        found = self.table.take(who, word, self.now)
        after = {entry.key: entry for entry in self.table.entries()}
        if isinstance(found, NotTaken):
            assert found.reason == refusal != ""
            assert after == before
            return
        assert refusal == ""
        key = (who, word.slot)
        assert after[key] == found.entry
        assert found.entry.sequence == word.sequence
        assert word.valid_until > self.now
        known = before.get(key)
        if known is not None:
            assert word.sequence > known.sequence
            assert found.entry.kept_until >= known.kept_until
            assert found.gone == ()
        others = {k: v for k, v in after.items() if k != key}
        assert others == {k: v for k, v in before.items() if k != key and k not in found.gone}
        for lost in found.gone:
            assert lost[0] != ME
            assert len([k for k in before if k[0] != ME]) == self.size
        for each in found.gone:
            del self.store[each]
        self.store[key] = found.entry

    @rule(seconds=st.integers(1, 2 * DAY))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @rule()
    def clear(self) -> None:
        kept = {entry.key for entry in self.table.entries() if entry.kept_until > self.now}
        for key in self.table.expire(self.now):
            del self.store[key]
        assert {entry.key for entry in self.table.entries()} == kept

    @rule(secret=st.binary(min_size=16, max_size=16))
    def restart(self, secret: bytes) -> None:
        """The store is all that is left."""
        self.table = Table(ME, secret, self.store.values(), self.size)

    @invariant()
    def holds(self) -> None:
        entries = self.table.entries()
        assert {entry.key: entry for entry in entries} == self.store
        others = [entry for entry in entries if entry.peer != ME]
        assert len(others) == len(self.table) <= self.size
        assert [e.since for e in others] == sorted(e.since for e in others)


TestMachine: Any = Machine.TestCase
TestMachine.settings = settings(
    stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
