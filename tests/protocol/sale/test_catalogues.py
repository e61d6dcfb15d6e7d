"""Catalogues: the newest counts, what has ended goes, and nobody fills the table for others."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kits.offers import offer_with

from protocol.errors import Malformed
from protocol.sale import limits
from protocol.sale.catalogues import Catalogue, CatalogueTable, Entry
from protocol.wire.codec import decode, encode

NOW = 1_800_000_000_000
YEAR = 1000 * limits.MAX_OFFER_SECONDS
ME = b"me"

OFFER = offer_with(
    job=b"j" * 32,
    spec_digest=b"d" * 32,
    chain_id=1,
    contract=b"c" * 20,
    account=b"a" * 20,
    price=1000,
    features=384,
    classes=10,
    key_bits=3072,
    batch=100,
    minute=60,
    until=NOW + 1000,
)


def word(sequence: int, until: int = NOW + 1000) -> Catalogue:
    return Catalogue(sequence, until, ())


def peer(number: int) -> bytes:
    return b"peer" + number.to_bytes(4, "big")


def full(bearers: dict[bytes, int]) -> CatalogueTable:
    """A full table: how many sellers each bearer told, whose words end one after the other."""
    told = [bearer for bearer, count in bearers.items() for _ in range(count)]
    assert len(told) == limits.MAX_CATALOGUES
    entries = [Entry(peer(n), 1, NOW + 1000 + n, bearer) for n, bearer in enumerate(told)]
    return CatalogueTable(entries, ME)


def test_a_catalogue_ends_with_its_last_offer() -> None:
    assert decode(Catalogue, encode(Catalogue(1, NOW + 1000, (OFFER,))), 1024).offers == (OFFER,)
    with pytest.raises(Malformed, match="an offer ends later"):
        Catalogue(1, NOW + 999, (OFFER,))
    with pytest.raises(Malformed, match="one stands twice"):
        Catalogue(1, NOW + 1000, (OFFER, OFFER))
    many = tuple(dataclasses.replace(OFFER, minute=each) for each in range(1, 18))
    with pytest.raises(Malformed, match="offers"):
        Catalogue(1, NOW + 1000, many)
    assert len(Catalogue(1, NOW + 1000, many[:-1]).offers) == limits.MAX_OFFERS_OF_SELLER


def test_the_newest_word_counts_and_keeps_its_first_bearer() -> None:
    table = CatalogueTable([], ME)
    assert table.take(b"s", word(3), b"one", NOW) == (Entry(b"s", 3, NOW + 1000, b"one"), [])
    for old in (1, 2, 3):
        assert table.take(b"s", word(old, NOW + 9000), b"two", NOW) == (None, [])
    # An earlier end is no reason to forget sooner what was said before.
    entry, gone = table.take(b"s", word(4, NOW + 500), b"two", NOW)
    assert (entry, gone) == (Entry(b"s", 4, NOW + 1000, b"one"), [])
    assert table.entry(b"s") == entry


@pytest.mark.parametrize("until", [NOW, NOW - 1, 0, NOW + YEAR + 1])
def test_what_has_ended_or_ends_too_late_is_not_kept(until: int) -> None:
    table = CatalogueTable([], ME)
    assert table.take(b"s", word(1, until), b"one", NOW) == (None, [])
    assert table.entry(b"s") is None
    assert table.take(b"s", word(1, NOW + YEAR), b"one", NOW)[0] is not None


def test_what_has_ended_goes_and_may_be_said_anew() -> None:
    table = CatalogueTable([], ME)
    table.take(b"s", word(7), b"one", NOW)
    table.take(b"t", word(7, NOW + 2000), b"one", NOW)
    assert table.expire(NOW + 999) == []
    assert table.expire(NOW + 1000) == [b"s"]
    assert table.expire(NOW + 1000) == []
    assert table.take(b"s", word(1, NOW + 3000), b"one", NOW + 1000)[0] is not None


def test_whoever_told_most_makes_room() -> None:
    half = limits.MAX_CATALOGUES // 2
    table = full({b"greedy": half + 10, b"other": half - 10})
    entry, gone = table.take(b"new", word(1), b"fresh", NOW)
    assert entry is not None
    assert gone == [peer(0)]  # the greedy one's that ends first
    assert table.entry(peer(0)) is None


def test_who_told_most_gets_no_more_room() -> None:
    half = limits.MAX_CATALOGUES // 2
    for count in (half, half + 1):
        table = full({b"greedy": count, b"other": limits.MAX_CATALOGUES - count})
        assert table.take(b"new", word(1), b"greedy", NOW) == (None, [])
        assert table.entry(b"new") is None
    # A seller that is known is heard, whoever tells it: it takes no more room.
    table = full({b"greedy": limits.MAX_CATALOGUES})
    assert table.take(peer(5), word(2), b"greedy", NOW)[0] is not None


def test_ones_own_catalogue_needs_no_room_and_makes_none() -> None:
    table = full({b"greedy": limits.MAX_CATALOGUES})
    assert table.take(ME, word(1), ME, NOW) == (Entry(ME, 1, NOW + 1000, ME), [])
    for number in range(5):
        _, gone = table.take(b"new" + bytes([number]), word(1), bytes([number]), NOW)
        assert ME not in gone
    assert table.entry(ME) is not None


class Tellers:
    """Bearers tell of sellers; a stored copy, written from what the table says alone, stays the
    same as the table."""

    def __init__(self) -> None:
        self.now = NOW
        self.table = CatalogueTable([], ME)
        self.stored: dict[bytes, Entry] = {}

    def tell(self, seller: int, sequence: int, left: int, bearer: int) -> None:
        said = word(sequence, self.now + left)
        who = ME if seller == 0 else peer(seller)
        entry, gone = self.table.take(who, said, bytes([bearer]), self.now)
        if gone:
            assert entry is not None
            assert self.stored[gone[0]].bearer != bytes([bearer])
        for each in gone:
            del self.stored[each]
        if entry is not None:
            assert entry.sequence > (self.stored[who].sequence if who in self.stored else -1)
            self.stored[who] = entry

    def wait(self, later: int) -> None:
        self.now += later
        for each in self.table.expire(self.now):
            assert self.stored.pop(each).until <= self.now

    def check(self) -> None:
        for each in [ME, *map(peer, range(1, 13))]:
            assert self.table.entry(each) == self.stored.get(each)
        assert len([each for each in self.stored if each != ME]) <= limits.MAX_CATALOGUES


words = st.tuples(st.integers(0, 12), st.integers(0, 5), st.integers(-5, 50), st.integers(0, 3))


@given(st.lists(st.one_of(words, words, st.integers(1, 30), st.none()), max_size=30))
def test_the_table_and_its_stored_copy_are_the_same(
    steps: list[tuple[int, int, int, int] | int | None],
) -> None:
    """With room for four sellers, so that they make room for each other. A number is a wait, none
    a new start from what is stored."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "MAX_CATALOGUES", 4)
        play = Tellers()
        for step in steps:
            if isinstance(step, tuple):
                play.tell(*step)
            elif step is not None:
                play.wait(step)
            else:
                play.table = CatalogueTable(list(play.stored.values()), ME)
            play.check()
