"""Tables and parts: what a step changed, all of it and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import Malformed
from protocol.wire.codec import Range, Size, Wire, decode, encode
from protocol.wire.parts import Part, changes, head, join
from protocol.wire.tables import Table

MOST = 300
LIMIT = 1 << 20

Place = Annotated[int, Range(0, MOST)]
Name = Annotated[bytes, Size(0, 8)]


@dataclass(frozen=True, slots=True)
class Entry(Wire):
    member: Place
    name: Name


class Entries(Table[Entry]):
    item, most, key, indexed = Entry, MOST, "member", ("name",)

    @staticmethod
    def weigh(value: Entry) -> int:
        return len(value.name)

    @staticmethod
    def over(value: Entry) -> bool:
        return value.name > b"m"


class Numbers(Table[int]):
    item, most, key = Place, MOST, ""


class Names(Table[bytes]):
    item, most, indexed = Name, MOST, ("",)


@dataclass(frozen=True, slots=True)
class Inner(Wire):
    word: Annotated[str, Size(0, 20)] = ""
    entries: Entries = field(default_factory=Entries)


@dataclass(frozen=True, slots=True)
class Outer(Wire):
    count: int = 0
    numbers: Numbers = field(default_factory=Numbers)
    inner: Inner | None = None
    names: Names = field(default_factory=Names)


places = st.integers(0, MOST - 1)
names = st.binary(max_size=2)
puts = st.tuples(st.just("put"), places, names)
removals = st.tuples(st.just("remove"), places, st.just(b""))


@given(st.lists(st.one_of(puts, removals), max_size=60))
def test_a_table_is_a_dictionary_that_is_never_changed(told: list[tuple[str, int, bytes]]) -> None:
    table, model = Entries(), dict[int, bytes]()
    versions = [(table, dict(model))]
    for what, place, name in told:
        if what == "put":
            table, model[place] = table.put(Entry(place, name)), name
        else:
            table = table.without(place)
            model.pop(place, None)
        versions.append((table, dict(model)))
    for table, model in versions:
        listed = sorted(model.items())
        assert [(entry.member, entry.name) for entry in table] == listed
        assert [place for place, _ in table.items()] == sorted(model)
        assert len(table) == len(model)
        assert bool(table) == bool(model)
        assert table.weight == sum(len(name) for name in model.values())
        assert table.done == sum(name > b"m" for name in model.values())
        assert table == Entries.of(Entry(*each) for each in listed)
        assert hash(table) == hash(Entries.of(Entry(*each) for each in listed))
        for name in {*model.values(), b"none"}:
            found = table.find("name", name)
            assert (found is not None) == (name in model.values())
            assert found is None or (found.name == name and model[found.member] == name)


@given(
    st.lists(st.one_of(puts, removals), max_size=30),
    st.lists(st.one_of(puts, removals), max_size=30),
)
def test_changes_lead_from_any_table_to_any_other(
    one: list[tuple[str, int, bytes]], more: list[tuple[str, int, bytes]]
) -> None:
    def told(table: Entries, steps: list[tuple[str, int, bytes]]) -> Entries:
        for what, place, name in steps:
            table = table.put(Entry(place, name)) if what == "put" else table.without(place)
        return table

    before = told(Entries(), one)
    for after in (told(before, more), told(Entries(), more)):
        found = dict(before.items())
        for place, value in after.changes(before):
            assert found.get(place) != value, "nothing that stayed is told"
            if value is None:
                del found[place]
            else:
                found[place] = value
        assert sorted(found.items()) == list(after.items())


@given(st.lists(st.tuples(st.sampled_from(["number", "entry", "name", "inner", "none"]), places)))
def test_what_is_stored_of_each_step_makes_the_state(steps: list[tuple[str, int]]) -> None:
    state, kept, stored = Outer(), None, dict[tuple[str, int], bytes]()
    for what, n in steps:
        inner = state.inner
        if what == "number":
            state = replace(state, numbers=state.numbers.put(n))
        elif what == "name":
            here = n in [place for place, _ in state.names.items()]
            names = state.names.without(n) if here else state.names.put(bytes([n % 256]))
            state = replace(state, names=names)
        elif what == "inner":
            state = replace(state, inner=Inner(str(n)))
        elif what == "none":
            state = replace(state, inner=None, count=n)
        elif inner is not None:
            entries = inner.entries.put(Entry(n, b"x"))
            state = replace(state, inner=replace(inner, entries=entries))
        for part in changes(kept, state):
            if part.body:
                stored[part.field, part.place] = part.body
            else:
                del stored[part.field, part.place]
        kept = state
        parts = [Part(*at, body) for at, body in stored.items()]
        assert join(Outer, head(state), parts, LIMIT) == state
    whole = decode(Outer, encode(state), LIMIT)
    assert list(whole.numbers) == list(state.numbers)
    assert list(whole.names) == list(state.names)


def test_places_end_where_the_limit_is() -> None:
    assert list(Numbers.of([MOST - 1])) == [MOST - 1]
    for wrong in (MOST, -1):
        with pytest.raises(Malformed, match=f"allowed 0 to {MOST - 1}"):
            Numbers.of([wrong])
    full = Names.of(bytes([n % 256]) for n in range(MOST))
    with pytest.raises(Malformed, match=f"place {MOST}"):
        full.put(b"x")


def test_values_of_another_kind_are_refused() -> None:
    for table, wrong in ((Numbers(), b"x"), (Numbers(), True), (Names(), 1), (Names(), None)):
        with pytest.raises(Malformed, match="expected"):
            table.put_at(1, wrong)
    with pytest.raises(Malformed, match="of place 1 at 2"):
        Entries().put_at(2, Entry(1, b""))
    with pytest.raises(Malformed, match="length 9"):
        changes(None, Outer(names=Names.of([b"too long!"])))


@pytest.mark.parametrize(
    ("part", "why"),
    [
        (Part("owners", 1, b"\x01"), "no table 'owners'"),
        (Part("numbers", 1, b"\x02"), "of place 2 at 1"),
        (Part("numbers", 1, b"\xc1"), "no msgpack"),
        (Part("numbers", 1, b""), "no msgpack"),
        (Part("numbers", MOST, b"\xcd\x01\x2c"), "allowed 0 to"),
        (Part("names", 1, b"\x01"), "expected bytes"),
        (Part("inner.entries", 1, b"\x92\x01\xc4\x00"), "which is not there"),
    ],
)
def test_parts_that_cannot_be_are_refused(part: Part, why: str) -> None:
    with pytest.raises(Malformed, match=why):
        join(Outer, head(Outer()), [part], LIMIT)


def test_a_table_in_bytes_is_held_to_its_limits() -> None:
    def outer(numbers: Any) -> bytes:
        return bytes(msgpack.packb([0, numbers, None, []]))

    assert decode(Outer, outer([1, 2]), LIMIT).numbers == Numbers.of([1, 2])
    for wrong in ([2, 1], [1, 1], [MOST + 1], ["1"], 1, [*range(MOST), 0]):
        with pytest.raises(Malformed):
            decode(Outer, outer(wrong), LIMIT)


def test_a_change_copies_two_runs_and_not_the_table() -> None:
    """Of a table of 4,096 a step copies 64 entries and the list of 64 runs: counted by identity."""

    class Large(Table[int]):
        item, most, key = Annotated[int, Range(0, 4096)], 4096, ""

    table = Large.of(range(0, 4096, 2))
    after = table.put(1001)
    shared = sum(one is other for one, other in zip(table._runs, after._runs, strict=True))
    assert (shared, len(after._runs)) == (63, 64)
    assert list(after.changes(table)) == [(1001, 1001)]
