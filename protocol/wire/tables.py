"""Tables: collections in a machine's state that change by an entry and are never copied whole.

A state that holds thousands of records in a tuple pays for all of them with every step: to copy
them, to check them, to store them. A table shares with the one before it all but the run of entries
that changed, so that a step costs the same in a large job as in a small one, and `changes` finds
what a step changed without looking at the rest.

Entries have places, whole numbers from 0: a field of the record (`key`), the value itself (`key` is
empty), or the order in which they were added (`key` is None). A table yields its values by place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import (
    Annotated,
    Any,
    ClassVar,
    Final,
    Generic,
    TypeVar,
    cast,
    get_args,
    get_origin,
)

from protocol.errors import Malformed

V = TypeVar("V")
T = TypeVar("T", bound="Table[Any]")

#: Entries that a change copies, and runs that it copies the list of: the square covers 4,096.
_RUN: Final = 64
_EMPTY_RUN: Final[tuple[Any, ...]] = (None,) * _RUN
#: Buckets of an index, in runs as well.
_BUCKETS: Final = _RUN * _RUN

_Runs = tuple[tuple[Any, ...], ...]


class Table(Generic[V]):
    """A frozen collection; a subclass says of what.

    `item` is the annotation of a value, `most` how many a table may hold. `indexed` names fields
    that `find` looks values up by; a value that is no record is its own (an empty name). What
    `weigh` says is added up in `weight`, of how many `over` is true is counted in `done`. Compared
    and hashed as what is stored: values and their places.
    """

    item: ClassVar[Any]
    most: ClassVar[int]
    key: ClassVar[str | None] = None
    indexed: ClassVar[tuple[str, ...]] = ()

    __slots__ = ("_count", "_indices", "_next", "_runs", "done", "weight")

    def __init__(self) -> None:
        self._runs: _Runs = ()
        self._count = 0
        self._next = 0
        self._indices: dict[str, _Runs] = dict.fromkeys(self.indexed, ())
        self.weight = self.done = 0

    @classmethod
    def of(cls: type[T], values: Iterable[Any]) -> T:
        """A table of these values, later ones in the place of earlier ones. Raises Malformed."""
        table = cls()
        for value in values:
            table = table.put(value)
        return table

    @classmethod
    def placed(cls: type[T], values: Iterable[tuple[int, Any]]) -> T:
        """A table of these places and values. Raises Malformed."""
        table = cls()
        for place, value in values:
            table = table.put_at(place, value)
        return table

    @staticmethod
    def weigh(value: Any) -> int:
        """What a value adds to `weight`: nothing, where a subclass does not say."""
        return 0

    @staticmethod
    def over(value: Any) -> bool:
        """Whether a value is one that nothing more is awaited for."""
        return False

    # --- reading ----------------------------------------------------------------------------

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[V]:
        return (value for _, value in self.items())

    def items(self) -> Iterator[tuple[int, V]]:
        """Places and values, by place."""
        for number, run in enumerate(self._runs):
            if run is not _EMPTY_RUN:
                for at, value in enumerate(run, start=number * _RUN):
                    if value is not None:
                        yield at, value

    def at(self, place: int) -> V | None:
        """The value at a place; None if there is none."""
        number, at = divmod(place, _RUN)
        return cast("V | None", self._runs[number][at]) if 0 <= number < len(self._runs) else None

    def find(self, field: str, wanted: object) -> V | None:
        """The value whose `field` is `wanted`, which `indexed` must name; None if there is none."""
        place = self.place_of(field, wanted)
        return None if place is None else self.at(place)

    def place_of(self, field: str, wanted: object) -> int | None:
        """The place of the value that `find` finds."""
        number, at = divmod(hash(wanted) % _BUCKETS, _RUN)
        runs = self._indices[field]
        bucket = runs[number][at] if number < len(runs) else None
        for place in bucket or ():
            if _field(self.at(place), field) == wanted:
                return cast(int, place)
        return None

    def __contains__(self, value: object) -> bool:
        if self.key == "":
            return isinstance(value, int) and self.at(value) is not None
        return any(value == each for each in self)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._runs == other._runs

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return f"{type(self).__name__}.of({list(self)!r})"

    # --- what a step makes of it ------------------------------------------------------------

    def put(self: T, value: Any) -> T:
        """With a value: in the place that is its own, whatever stood there, or else behind all.

        Raises Malformed for one of another kind, or a place that the table cannot have.
        """
        return self.put_at(self._next if self.key is None else _field(value, self.key), value)

    def put_at(self: T, place: int, value: Any) -> T:
        """`put` for whoever knows the place. Raises Malformed as it does."""
        name = type(self).__name__
        if type(place) is not int or not 0 <= place < self.most:
            raise Malformed(f"{name}: place {place!r}, allowed 0 to {self.most - 1}")
        kind = get_args(self.item)[0] if get_origin(self.item) is Annotated else self.item
        if type(value) is not kind:
            raise Malformed(f"{name}: expected {kind.__name__}, got {type(value).__name__}")
        if self.key is not None and _field(value, self.key) != place:
            raise Malformed(f"{name}: a value of place {_field(value, self.key)!r} at {place}")
        return self._with(place, value)

    def without(self: T, place: int) -> T:
        """Without the value at a place, if there is one."""
        return self if self.at(place) is None else self._with(place, None)

    def changes(self, before: Table[V]) -> Iterator[tuple[int, V | None]]:
        """Places whose values are not those of `before`, with what is there now; None: nothing."""
        for number in range(max(len(self._runs), len(before._runs))):
            now, was = _run(self._runs, number), _run(before._runs, number)
            if now is not was:
                for at in range(_RUN):
                    if now[at] is not was[at] and now[at] != was[at]:
                        yield number * _RUN + at, now[at]

    def _with(self: T, place: int, value: Any) -> T:
        old = self.at(place)
        made = type(self)()
        runs = _set(self._runs, place, value)
        made._runs = runs if value is not None else _trimmed(runs)
        made._count = self._count + (value is not None) - (old is not None)
        made._next = max(self._next, place + 1)
        made.weight, made.done = self.weight, self.done
        if value is not None:
            made.weight += self.weigh(value)
            made.done += self.over(value)
        if old is not None:
            made.weight -= self.weigh(old)
            made.done -= self.over(old)
        for field, runs in self._indices.items():
            had = None if old is None else _field(old, field)
            has = None if value is None else _field(value, field)
            if had != has:
                # Python salts the hashes of bytes: nobody can choose values that share a bucket,
                # and nothing that is seen depends on which bucket a value is in.
                if had is not None:
                    runs = _bucket(runs, hash(had) % _BUCKETS, place, there=False)
                if has is not None:
                    runs = _bucket(runs, hash(has) % _BUCKETS, place, there=True)
            made._indices[field] = runs
        return made


def _field(value: Any, name: str) -> Any:
    return getattr(value, name) if name else value


def _run(runs: _Runs, number: int) -> tuple[Any, ...]:
    return runs[number] if number < len(runs) else _EMPTY_RUN


def _set(runs: _Runs, place: int, value: Any) -> _Runs:
    number, at = divmod(place, _RUN)
    run = _run(runs, number)
    missing = (_EMPTY_RUN,) * (number - len(runs))
    return (
        *runs[:number],
        *missing,
        (*run[:at], value, *run[at + 1 :]),
        *runs[number + 1 :],
    )


def _trimmed(runs: _Runs) -> _Runs:
    """Without empty runs at the end, so that tables of the same values are equal."""
    while runs and all(value is None for value in runs[-1]):
        runs = runs[:-1]
    return runs


def _bucket(runs: _Runs, bucket: int, place: int, *, there: bool) -> _Runs:
    held = _run(runs, bucket // _RUN)[bucket % _RUN] or ()
    others = tuple(each for each in held if each != place)
    return _set(runs, bucket, (*others, place) if there else others or None)
