"""An attack's outcome: rows of two columns, without the defence and with it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

_WIDTH = 100
_COLUMN = 30
_HEADER = ("", "without the defence", "with it", "")


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that was tried.

    `holds` is true only if the attack worked without the defence *and* failed with it: an attack
    that never works says nothing of what stops it. None: the defence does not claim to stop this,
    and the row tells what it does.
    """

    what: str
    without_defence: str
    with_defence: str
    holds: bool | None


@dataclass(frozen=True, slots=True)
class Table:
    """All that was tried under one name; notes say what it was tried on."""

    name: str
    title: str
    rows: Sequence[Row]
    notes: Sequence[str] = ()

    @property
    def holds(self) -> bool:
        """Whether every row does that claims it, and there is one."""
        claimed = [row.holds for row in self.rows if row.holds is not None]
        return bool(claimed) and all(claimed)

    def as_json(self) -> dict[str, object]:
        """The table as JSON has it."""
        rows = [
            {
                "what": row.what,
                "without the defence": row.without_defence,
                "with it": row.with_defence,
                "holds": row.holds,
            }
            for row in self.rows
        ]
        return {
            "attack": self.name,
            "title": self.title,
            "rows": rows,
            "notes": list(self.notes),
            "holds": self.holds,
        }

    def as_text(self) -> str:
        """The table for people: no line past 100 characters."""
        cells = [_HEADER]
        for row in self.rows:
            verdict = "told" if row.holds is None else "holds" if row.holds else "FELL"
            cells.append((row.what, row.without_defence, row.with_defence, verdict))
        lines = [f"{self.title} ({self.name})", ""]
        for row_cells in cells:
            lines += [*_wrapped(row_cells), ""]
        for note in self.notes:
            lines += textwrap.wrap(note, _WIDTH)
        return "\n".join(lines) + "\n"


def _wrapped(cells: Sequence[str]) -> list[str]:
    """One row's lines: each cell broken to its column's width."""
    columns = [textwrap.wrap(cell, _COLUMN) for cell in cells]
    height = max(map(len, columns))
    padded = [column + [""] * (height - len(column)) for column in columns]
    return [
        "  ".join(part.ljust(_COLUMN) for part in parts).rstrip()
        for parts in zip(*padded, strict=True)
    ]
