"""How far the chain was read, and enough of the way to find back after a reorganisation.

A cursor is a trail of (number, hash), dense near its end and thinner behind, so that it can step
back by about any distance. It is stored with the changes that the events made.
"""

from __future__ import annotations

import dataclasses
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

#: The newest blocks are all kept: most reorganisations are of one block or two.
DENSE: Final = 16

#: Behind them, one point is kept of each stretch as long as about an eighth of its distance.
SPARSE: Final = 8


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last block that was read, and the trail to it, oldest first; its end is that block.

    `root` is the chain block before the first that matters; nothing below it counts. An empty trail
    means that nothing was read. `unsure` are blocks that were read and showed no logs, though they
    may hold some: they are read again, after a restart as well.
    """

    root: int
    trail: tuple[tuple[int, bytes], ...] = ()
    unsure: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        numbers = [number for number, _ in self.trail]
        if any(len(block_hash) != 32 for _, block_hash in self.trail):
            raise ValueError("a block's hash has 32 bytes")
        if numbers != sorted(set(numbers)) or (numbers and numbers[0] <= self.root):
            raise ValueError("a trail ascends from its root")

    @property
    def number(self) -> int:
        return self.trail[-1][0] if self.trail else self.root

    @property
    def hash(self) -> bytes | None:
        """None where nothing was read yet."""
        return self.trail[-1][1] if self.trail else None

    def advance(self, points: dict[int, bytes], bound: int) -> Cursor:
        """The cursor after more blocks were read, thinned; none older than `bound` blocks."""
        trail = sorted({**dict(self.trail), **points}.items())
        end = trail[-1][0]
        kept: dict[tuple[int, int], tuple[int, bytes]] = {}
        for point in trail:
            distance = end - point[0]
            if distance <= bound:
                # Of each aligned stretch the oldest stays. Stretches double with the distance, and
                # two halves make a whole: what was kept once is what a wider stretch keeps.
                step = 1 if distance < DENSE else 1 << (distance // SPARSE).bit_length() - 1
                kept.setdefault((step, point[0] // step), point)
        return dataclasses.replace(self, trail=tuple(kept.values()))

    def back_to(self, number: int) -> Cursor:
        """The cursor with everything above `number` forgotten."""
        return Cursor(
            self.root,
            tuple(point for point in self.trail if point[0] <= number),
            frozenset(each for each in self.unsure if each <= number),
        )

    def doubting(self, blocks: Iterable[int]) -> Cursor:
        """The cursor with exactly these blocks unsure."""
        return dataclasses.replace(self, unsure=frozenset(blocks))


def load_cursor(tx: sqlite3.Connection, root: int) -> Cursor:
    """The stored cursor; an empty one where nothing was stored."""
    rows = tx.execute(
        "SELECT number, hash FROM chain_cursor WHERE number > ? ORDER BY number", (root,)
    )
    trail = tuple((number, block_hash) for number, block_hash in rows)
    unsure = tx.execute("SELECT number FROM chain_unsure WHERE number > ?", (root,))
    return Cursor(root, trail, frozenset(number for (number,) in unsure))


def save_cursor(tx: sqlite3.Connection, cursor: Cursor) -> None:
    """Store a cursor inside the transaction that stores what its batch changed."""
    tx.execute("DELETE FROM chain_cursor")
    tx.executemany("INSERT INTO chain_cursor (number, hash) VALUES (?, ?)", cursor.trail)
    tx.execute("DELETE FROM chain_unsure")
    tx.executemany(
        "INSERT INTO chain_unsure (number) VALUES (?)", [(each,) for each in sorted(cursor.unsure)]
    )
