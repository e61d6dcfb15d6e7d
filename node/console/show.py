"""Tables and pairs on a terminal (rich) or into a pipe (plain text, nothing cut off).

Text that comes from peers (titles, reasons, agents) is shown without its control characters: a
requester must not be able to move the cursor on an owner's terminal.
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias


@dataclass(frozen=True)
class Pairs:
    """Names and values, one pair a line. An empty name continues the pair above."""

    rows: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Table:
    """Rows under headings. `empty` is said where there are none. `right`: columns of numbers."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    empty: str = "none"
    title: str = ""
    right: frozenset[str] = frozenset()


#: What a command shows: text is a line of its own.
Part: TypeAlias = "Pairs | Table | str"

_GAP: Final = "  "


def clean(text: str) -> str:
    """`text` on one line, with every control and format character replaced."""
    if text.isascii() and text.isprintable():
        return text
    return "".join("�" if unicodedata.category(c) in _UNSAFE else c for c in text)


#: Controls, format (direction overrides too), surrogates, line and paragraph separators.
_UNSAFE: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def show(parts: Sequence[Part]) -> None:
    """Write to standard output."""
    if sys.stdout.isatty() and any(isinstance(part, Table) for part in parts):
        _rich(parts)
        return
    sys.stdout.write("\n".join(_plain(part) for part in parts) + "\n")


def _plain(part: Part) -> str:
    if isinstance(part, str):
        return clean(part)
    if isinstance(part, Pairs):
        width = max((len(name) for name, _ in part.rows), default=0)
        return "\n".join(
            f"{name:<{width}}{_GAP}{clean(value)}".rstrip() for name, value in part.rows
        )
    lines = [f"\n{part.title}"] if part.title else []
    if not part.rows:
        return "\n".join([*lines, part.empty])
    rows = [list(part.headings), *([clean(cell) for cell in row] for row in part.rows)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(part.headings))]
    for row in rows:
        cells = [
            f"{cell:>{width}}" if heading in part.right else f"{cell:<{width}}"
            for cell, width, heading in zip(row, widths, part.headings, strict=True)
        ]
        lines.append(_GAP.join(cells).rstrip())
    return "\n".join(lines)


def _rich(parts: Sequence[Part]) -> None:
    # Late: rich costs 40 ms on a fast core, and a pipe does not need it.
    from rich import box, table
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    for part in parts:
        if not isinstance(part, Table):
            console.print(Text(_plain(part)))
            continue
        if not part.rows:
            console.print(Text(_plain(part)))
            continue
        drawn = table.Table(
            title=Text(part.title) if part.title else None,
            title_justify="left",
            box=box.SIMPLE_HEAD,
        )
        for heading in part.headings:
            justify: Literal["left", "right"] = "right" if heading in part.right else "left"
            drawn.add_column(heading, justify=justify, overflow="fold")
        for row in part.rows:
            drawn.add_row(*(Text(clean(cell)) for cell in row))
        console.print(drawn)
