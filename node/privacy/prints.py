"""Prints of rows: 64 bits that follow from a row's cells and a key, to tell rows that are the same.

A row's print is a sum over its cells, each with its column's name, so that the order of columns
does not enter it, and empty cells add nothing. A cell counts by what it means: a number by its
value, to a float's precision, however it is written; a text without regard to case and width.

A copy whose columns have other names, or of which some are gone, has other sums. So a row has
further prints: one without names, one without each column, which is what a whole row is where that
column is gone, and eight of a selection of its cells. Which cells are selected
follows from name and value alone, or from the value: where no cell that is gone was selected, the
print is the old one. Three pairs of families select each other's rest, about half of the cells, one
pair of them without names; two more select a quarter and an eighth. The last two select three and
six cells however many there are: of a wide row, of which many cells are gone or others, few enough.

Of each family the lowest prints are kept: a sample of distinct rows that is the same rows in every
data set that has them (bottom-k, Cohen and Kaplan, PODC 2007). Runs in workers.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import struct
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from node.data.cells import GAPS, numbers_of
from node.data.table import Numbers, Table
from protocol.errors import InputError

if TYPE_CHECKING:
    import polars as pl

Prints: TypeAlias = NDArray[np.uint64]

#: Prints kept of whole rows with names, of each family of selections, and of rows without a column:
#: 5 MB for the largest data sets, and all prints of those with fewer rows.
WHOLE_KEPT: Final = 1 << 18
PART_KEPT: Final = 1 << 14
LESS_KEPT: Final = 1 << 12

#: Whole rows with names and without; halves, the last pair without names; a quarter, an eighth;
#: three cells, and six. A sketch of an earlier assay lacks these two.
FAMILIES: Final = 12
_FEW: Final = (3, 6)
_FIRST_FEW: Final = FAMILIES - len(_FEW)
#: Stands beside the rows of these two in a sketch's bytes.
_FEW_MARK: Final = 1 << 63
#: Tables of more columns are not tried without each one: selections tell their rows apart.
_MOST_COLUMNS: Final = 64
#: Bits of a cell's selector that must be set for a half, the other half, a quarter, an eighth.
_SELECTED: Final = (1, 2, 12, 112)

#: A selection of fewer cells says too little of a row.
_LEAST_CELLS: Final = 2
#: Common prints, but for those of whole rows with names, that are no chance.
_LEAST_COMMON: Final = 3
#: More is not asked for by any setting, and not looked for.
_ENOUGH: Final = 0.5

_ROWS_AT_ONCE: Final = 1 << 16
_LAST: Final = (1 << 64) - 1
#: The low bits of a sum count its cells.
_COUNT: Final = np.uint64(0xFFFF)
_HEAD: Final = struct.Struct("<QQI")


@dataclass(frozen=True, slots=True)
class Family:
    """One family's sample: `prints` are all distinct ones up to `limit`, sorted; of `rows` rows."""

    rows: int
    limit: int
    prints: Prints

    @property
    def distinct(self) -> float:
        """How many distinct prints there are; an estimate where not all are kept."""
        if self.limit == _LAST:
            return float(len(self.prints))
        return (len(self.prints) - 1) / (self.limit / 2.0**64)

    def below(self, limit: int) -> Prints:
        """The kept prints up to `limit`."""
        return self.prints[: np.searchsorted(self.prints, np.uint64(limit), side="right")]


Sketch: TypeAlias = tuple[Family, ...]


def sketch_of(table: Table, key: bytes, whole: int = WHOLE_KEPT, part: int = PART_KEPT) -> Sketch:
    """All families of a table's rows, under a key of 32 bytes; `whole` and `part` prints kept."""
    columns = len(table.numbers) + len(table.texts)
    families = FAMILIES + (columns if columns <= _MOST_COLUMNS else 0)
    kept = [np.zeros(0, np.uint64)] * families
    rows, cut = [0] * families, [False] * families
    for sums in _sums(table, key, families > FAMILIES):
        for index, each in enumerate(sums):
            least = _LEAST_CELLS if index > 1 else 1
            usable = each[(each & _COUNT) >= least]
            rows[index] += len(usable)
            less = index >= FAMILIES
            most = min(part, LESS_KEPT) if less else part if index else whole
            # Rows without a column are whole rows of a table that never had it.
            fresh = _mixed(usable, _words(key, b"row %d" % (0 if less else index)))
            if cut[index]:
                fresh = fresh[fresh < kept[index][-1]]
            merged = _merged(kept[index], fresh)
            cut[index] |= len(merged) > most
            kept[index] = merged[:most]
    return tuple(
        Family(n, int(prints[-1]) if short else _LAST, prints)
        for n, short, prints in zip(rows, cut, kept, strict=True)
    )


def shared_part(one: Sketch, other: Sketch) -> float:
    """The part of the smaller data set's distinct rows that the other one has too, 0 to 1: an
    estimate where not all prints are kept. Selections count as rows.

    Prints that do not tell all rows apart find rows of other people by chance: by Good and Turing's
    estimate as many as are not alone in the larger set. That part, and three deviations of it, are
    taken off. More than a half is not looked for further.
    """
    found = 0.0
    for first, second in _pairs(len(one), len(other)):
        a, b = one[first], other[second]
        limit = min(a.limit, b.limit)
        ours, theirs = a.below(limit), b.below(limit)
        sample = len(ours if a.distinct <= b.distinct else theirs)
        common = len(np.intersect1d(ours, theirs, assume_unique=True))
        if not first and not second:
            found = common / sample if sample else 0.0
        elif sample and common >= _LEAST_COMMON:
            # Of rows that are not alone, two or more fall together: a print too few is two rows.
            told = min(_told(one, first), _told(other, second))
            chance = 2 * (1 - told) + 3 / min(a.rows, b.rows)
            found = max(found, common / sample - chance - 3 * math.sqrt(chance / sample))
        if found > _ENOUGH:
            break
    return found


def _pairs(one: int, other: int) -> Iterator[tuple[int, int]]:
    """Which families of two sketches are held against each other: like and like, and whole rows and
    rows without a column in every way."""
    yield from ((index, index) for index in range(FAMILIES))
    yield from ((index, 0) for index in range(FAMILIES, one))
    yield from ((0, index) for index in range(FAMILIES, other))
    yield from itertools.product(range(FAMILIES, one), range(FAMILIES, other))


def encode_sketch(sketch: Sequence[Family]) -> bytes:
    """A sketch's bytes, before they are sealed."""
    parts = []
    for index, each in enumerate(sketch):
        mark = _FEW_MARK if _FIRST_FEW <= index < FAMILIES else 0
        parts.append(_HEAD.pack(each.rows | mark, each.limit, len(each.prints)))
        parts.append(each.prints.astype("<u8").tobytes())
    return b"".join(parts)


def decode_sketch(content: bytes) -> Sketch:
    """Back from `encode_sketch`. Raises InputError where it is of another version."""
    found: list[Family] = []
    at, marked = 0, 0
    try:
        while at < len(content):
            rows, limit, count = _HEAD.unpack_from(content, at)
            at += _HEAD.size
            marked += rows >= _FEW_MARK
            prints = np.frombuffer(content, "<u8", count, at)
            found.append(Family(rows & ~_FEW_MARK, limit, prints))
            at += 8 * count
    except (ValueError, struct.error) as error:
        raise InputError(f"a sketch of rows cannot be read: {error}", "sketch") from error
    if not marked:
        found[_FIRST_FEW:_FIRST_FEW] = [Family(0, _LAST, np.zeros(0, np.uint64)) for _ in _FEW]
    if not FAMILIES <= len(found) <= FAMILIES + _MOST_COLUMNS:
        raise InputError(
            f"a sketch has {len(found)} families; {FAMILIES} and up to {_MOST_COLUMNS} more are "
            "needed",
            "sketch",
        )
    return tuple(found)


def _merged(kept: Prints, fresh: Prints) -> Prints:
    """Both, sorted, each once. (np.union1d hashes first, which takes ten times as long.)"""
    both = np.concatenate([kept, fresh])
    both.sort()
    first = np.ones(len(both), np.bool_)
    np.not_equal(both[1:], both[:-1], out=first[1:])
    found: Prints = both[first]
    return found


def _told(sketch: Sketch, index: int) -> float:
    """The part of a family's rows that it tells apart where whole rows do; 1 at most."""
    whole, part = sketch[0], sketch[index]
    expected = part.rows * whole.distinct / max(whole.rows, 1)
    return min(part.distinct / expected, 1.0) if expected else 1.0


def _sums(table: Table, key: bytes, each_less: bool) -> Iterator[list[Prints]]:
    """Some rows at a time: each family's sums [rows], those without a column if `each_less`."""
    whats = b"bare", b"named", b"selector", b"order"
    bare, named, selector, order = (_words(key, each) for each in whats)
    for begin in range(0, table.rows, _ROWS_AT_ONCE):
        count = min(_ROWS_AT_ONCE, table.rows - begin)
        columns: list[Prints] = []
        whole, nameless, bare_half, *parts = (np.zeros(count, np.uint64) for _ in range(7))
        lowest = [np.full(count, _LAST, np.uint64) for _ in range(max(_FEW))]
        for name, cells, filled in _columns(table, key, begin, count):
            mixed = _mixed(cells, bare)
            summand = _summand(mixed, filled)
            nameless += summand
            bare_half += summand * (_mixed(mixed, selector) >> np.uint64(63))
            mixed = _mixed(cells ^ np.uint64(_hashed(_said(name), key)), named)
            summand = _summand(mixed, filled)
            whole += summand
            if each_less:
                columns.append(summand)
            chosen = _mixed(mixed, selector) >> np.uint64(57)
            for total, bits in zip(parts, map(np.uint64, _SELECTED), strict=True):
                total += summand * ((chosen & bits) == bits)
            _sort_in(lowest, _mixed(mixed, order) | (filled - np.uint64(1)))
        half, other, quarter, eighth = parts
        halves = [half, whole - half, other, whole - other, bare_half, nameless - bare_half]
        few = [_sum_of(lowest[:most]) for most in _FEW]
        less = (whole - each for each in columns)
        yield [whole, nameless, *halves, quarter, eighth, *few, *less]


def _sort_in(lowest: list[Prints], fresh: Prints) -> None:
    """Keep each row's lowest cells of those that were and one more, in order, in place."""
    for kept in lowest:
        higher = np.maximum(kept, fresh)
        np.minimum(kept, fresh, out=kept)
        fresh = higher


def _sum_of(cells: Sequence[Prints]) -> Prints:
    """The sum of a row's lowest cells, where there are so many."""
    total = np.zeros(len(cells[0]), np.uint64)
    for each in cells:
        total += _summand(each, (each != np.uint64(_LAST)).astype(np.uint64))
    return total


def _summand(mixed: Prints, filled: Prints) -> Prints:
    return ((mixed & ~_COUNT) | np.uint64(1)) * filled


def _columns(
    table: Table, key: bytes, begin: int, count: int
) -> Iterator[tuple[str, Prints, Prints]]:
    """Each column's name, its cells as 64 bits, and 1 where there is one, 0 where it is empty
    [count]."""
    for name in table.order:
        if name in table.numbers:
            values = table.numbers[name][begin : begin + count]
            yield name, _bits(values), (~np.isnan(values)).astype(np.uint64)
        elif name in table.texts:
            text = table.texts[name].slice(begin, count)
            values = numbers_of(text, table.marks)
            words = _text_bits(text, np.isnan(values), key)
            number = ~np.isnan(values)
            cells = np.where(number, _bits(values), words)
            yield name, cells, (number | (words != 0)).astype(np.uint64)


def _bits(values: Numbers) -> Prints:
    """Numbers by value: whole ones as they are, others to the precision of a float of 32 bits,
    which a file of those, or one of fewer digits, keeps as well."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        single = values.astype(np.float32).astype(np.float64)
        exact = (values == np.rint(values)) | ~np.isfinite(single)
    return (np.where(exact, values, single) + 0.0).view(np.uint64)


def _text_bits(text: pl.Series, wanted: NDArray[np.bool_], key: bytes) -> Prints:
    """Texts of the `wanted` rows by what they say; 0 for the others, and where a word says that
    nothing is there."""
    import polars as pl

    words = text.filter(pl.Series(wanted)).drop_nulls().unique().to_list()
    if not words:
        return np.zeros(len(text), np.uint64)
    known = [0 if _said(word) in _NOTHING else _hashed(_said(word), key) for word in words]
    bits = text.replace_strict(
        pl.Series(words, dtype=pl.String),
        pl.Series(known, dtype=pl.UInt64),
        default=0,
        return_dtype=pl.UInt64,
    )
    found: Prints = bits.to_numpy()
    return found


def _said(word: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", word).casefold().split())


_NOTHING: Final = frozenset({"", *map(_said, GAPS)})


def _hashed(word: str, key: bytes) -> int:
    digest = hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8, key=key)
    return int.from_bytes(digest.digest(), "little") | 1  # 0 is for nothing


def _words(key: bytes, what: bytes) -> Sequence[np.uint64]:
    """Four secret numbers, the last three odd."""
    stream = hashlib.blake2b(what, digest_size=32, key=key).digest()
    first, *others = np.frombuffer(stream, "<u8")
    return [first, *(each | np.uint64(1) for each in others)]


def _mixed(numbers: Prints, words: Sequence[np.uint64]) -> Prints:
    """Every bit of the result follows from every bit of the number and of the secret words: a
    permutation of 64-bit numbers (as splitmix64, with secret multipliers)."""
    mixed = numbers ^ words[0]
    for word, shift in zip(words[1:], (32, 29, 32), strict=True):
        mixed *= word
        mixed ^= mixed >> np.uint64(shift)
    return mixed
