"""The cells that an encoder reads of a table, and which rows have none. Runs in workers.

A cell is checked by itself, before the network is asked: a gap, a text that is a number, a number
outside of its range. What the network makes of a cell follows from that cell and the spec alone
(node/encoders), so that no row decides about another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from node.bounds.pictures import fault_of
from node.data.cells import number_gaps, numbers_of, text_gaps
from node.data.table import Flags, Numbers, Table
from protocol.errors import FatalError, InputError
from protocol.spec.encoder import Encoder, EncoderKind
from protocol.spec.parts import Outside

#: A text; an image file's bytes; one row's numbers.
Cell: TypeAlias = str | bytes | tuple[float, ...]

#: What a network makes of cells: [cells, size], a row of NaN where it makes nothing of a cell.
Embed: TypeAlias = Callable[[Encoder, Sequence[Cell]], NDArray[np.float32]]


def no_encoder(encoder: Encoder, cells: Sequence[Cell]) -> NDArray[np.float32]:
    """Stands where no spec with an encoder can come."""
    raise FatalError(f"nothing here runs the encoder {encoder.digest.hex()[:16]}")


@dataclass(frozen=True, slots=True)
class Column:
    """One column of an encoder's: which cells are gaps, which do not fit, and what is allowed."""

    name: str
    gaps: Flags
    wrong: Flags
    allowed: str


@dataclass(frozen=True, slots=True)
class Cells:
    """What an encoder reads of a table: its columns' faults, and the cells of chosen rows."""

    columns: tuple[Column, ...]
    of: Callable[[NDArray[np.intp]], list[Cell]]


def cells_of(table: Table, encoder: Encoder, outside: Outside) -> Cells:
    """The cells of an encoder's columns. Raises InputError for a column of another kind, which says
    nothing of a row."""
    if encoder.kind is EncoderKind.NUMBERS:
        return _numbers(table, encoder, outside)
    if encoder.kind is EncoderKind.IMAGE:
        return _images(table, encoder)
    return _texts(table, encoder)


def _texts(table: Table, encoder: Encoder) -> Cells:
    (name,) = encoder.columns
    text = table.texts.get(name)
    if text is None:
        kind = "numbers" if name in table.numbers else "images"
        raise InputError(f"{table.file}: the column holds {kind}; texts are needed", name)
    numbers = numbers_of(text, table.marks)
    gaps = text_gaps(text, encoder.gaps, numbers)
    allowed = "a text is needed that is no number"
    column = Column(name, gaps, np.isfinite(numbers) | text.is_null().to_numpy(), allowed)
    return Cells((column,), lambda rows: text.gather(rows).to_list())


def _images(table: Table, encoder: Encoder) -> Cells:
    (name,) = encoder.columns
    images = table.images.get(name)
    if images is None:
        kind = "numbers" if name in table.numbers else "texts"
        error = InputError(f"{table.file}: the column holds {kind}; images are needed", name)
        if kind == "texts":
            error.add_note(
                f"where its cells are paths of pictures: assay data add NAME FILE --images {name}"
            )
        raise error
    gaps = images.is_null().to_numpy()
    # What its first bytes refuse, the network's process would refuse too, without a word.
    wrong = np.array([cell is None or bool(fault_of(cell)) for cell in images], dtype=np.bool_)
    column = Column(name, gaps, wrong, "an image is needed")
    return Cells((column,), lambda rows: images.gather(rows).to_list())


def _numbers(table: Table, encoder: Encoder, outside: Outside) -> Cells:
    columns: list[Column] = []
    values = np.empty((table.rows, len(encoder.columns)))
    for at, name in enumerate(encoder.columns):
        found, gaps = _read(table, name, encoder.gaps)
        wrong = ~np.isfinite(found)
        if outside is Outside.REFUSE:
            wrong |= (found < encoder.low) | (found > encoder.high)
        np.clip(found, encoder.low, encoder.high, out=values[:, at])
        allowed = f"a number from {encoder.low:g} to {encoder.high:g} is declared"
        columns.append(Column(name, gaps, wrong, allowed))
    return Cells(tuple(columns), lambda rows: [tuple(each) for each in values[rows].tolist()])


def _read(table: Table, name: str, words: Sequence[str]) -> tuple[Numbers, Flags]:
    """A column's numbers [rows], NaN where there is none, and which cells are gaps [rows]."""
    if name in table.numbers:
        values = table.numbers[name]
        return values.copy(), number_gaps(values, words)
    text = table.texts.get(name)
    if text is None:
        raise InputError(f"{table.file}: the column holds images; numbers are needed", name)
    values = numbers_of(text, table.marks)
    return values, text_gaps(text, words, values)
