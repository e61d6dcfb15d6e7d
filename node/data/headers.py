"""The first row of a table: its columns' names, or values where names belong.

Whether it names anything is said by the owner. Where nothing was said, a first row of numbers alone
is taken for values, which is said: a word in it would make it a header. So nothing but the owner's
word makes every row's meaning independent of the first.
"""

from __future__ import annotations

from collections.abc import Sequence

from node.data.cells import GAPS
from node.data.limits import name_list
from node.data.reading import Reading
from protocol.errors import InputError
from protocol.spec.words import number_of


def column_names(
    where: str, cells: Sequence[str], reading: Reading
) -> tuple[list[str], bool, tuple[str, ...]]:
    """The columns' names by the first row's `cells`, whether that row is a header, and words to the
    owner. `where` is the row's place. Raises `InputError`."""
    if reading.header or (reading.header is None and not are_values(cells)):
        return list(cells), True, ()
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


def are_values(cells: Sequence[str]) -> bool:
    """Whether a row stands where names belong: numbers alone, and gaps. Numbers that count up are
    names: so they are written for a table whose columns have none."""
    numbers = [number_of(cell.replace(",", ".", 1)) for cell in cells if cell and cell not in GAPS]
    counted = [*range(len(numbers))], [*range(1, len(numbers) + 1)]
    return bool(numbers) and None not in numbers and numbers not in counted
