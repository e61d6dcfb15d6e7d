"""The first row of a table: its columns' names, or values where names belong.

Whether it names anything is said by the owner. Where nothing was said, a first row of numbers alone
is taken for values, which is said: a word in it would make it a header. So nothing but the owner's
word makes every row's meaning independent of the first.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from node.data.cells import GAPS
from node.data.limits import name_list
from node.data.reading import Reading
from protocol.errors import InputError
from protocol.spec.words import number_of

_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}.*|[0-9]{1,2}[./][0-9]{1,2}[./][0-9]{2,4}")


def column_names(
    where: str, cells: Sequence[str], reading: Reading
) -> tuple[list[str], bool, tuple[str, ...]]:
    """The columns' names by the first row's `cells`, whether that row is a header, and words to the
    owner. `where` is the row's place. Raises `InputError`."""
    if reading.header:
        return list(cells), True, ()
    if reading.header is None and not are_values(cells):
        return list(cells), True, _doubted(cells)
    names = list(reading.names) or [f"column_{place}" for place in range(1, len(cells) + 1)]
    if len(names) != len(cells):
        raise InputError(
            f"{where}: {len(cells)} cells, and --names gives {len(names)}: {name_list(names)}",
            "names",
        )
    if reading.names:
        return names, False, ()
    called = f"columns are called column_1 to column_{len(names)}"
    if reading.header is False:
        return names, False, (f"{called}; --names a,b,c calls them otherwise",)
    said = (
        f"its first line is numbers, which name nothing: {called}; declare it by --no-header "
        "--names a,b,c, or by --header if these are names"
    )
    return names, False, (said,)


def _doubted(cells: Sequence[str]) -> tuple[str, ...]:
    """Words to the owner where names look like a row's values: they are names all the same."""
    numbers = [number for cell in cells if (number := number_of(cell)) is not None]
    rising = len(numbers) > 1 and all(after - before == 1 for before, after in pairwise(numbers))
    odd = [cell for cell in cells if number_of(cell) is not None or _DAY.fullmatch(cell)]
    if rising or not odd:  # years rise one by one
        return ()
    return (
        f"its first line is taken for names, and {name_list(odd[:3])} are among them: if that line "
        "is a row, declare it by --no-header --names a,b,c; if not, by --header",
    )


def are_values(cells: Sequence[str]) -> bool:
    """Whether a row stands where names belong: numbers alone, and gaps. Numbers that count up are
    names: so they are written for a table whose columns have none."""
    numbers = [number_of(cell.replace(",", ".", 1)) for cell in cells if cell and cell not in GAPS]
    counted = [*range(len(numbers))], [*range(1, len(numbers) + 1)]
    return bool(numbers) and None not in numbers and numbers not in counted
