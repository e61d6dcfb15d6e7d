"""Merit held against what anybody can measure again: whose share is wrong, and by how much."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from protocol.books.merit import MAX_WEIGHT, merit_shares

#: How far a weight may be from what is measured again: losses differ between machines in their
#: last bits (about 1e-13), and a regression is solved to 1e-8. A millionth of the largest weight
#: is far above both, and moves a share by less than a millionth of the pot.
TOLERANCE: Final = MAX_WEIGHT // 1_000_000


@dataclass(frozen=True, slots=True)
class Remeasured:
    """Members' weights by index, as the auditor measured them; empty where nothing tells them
    apart. `fault` says why they could not be measured; empty where they could."""

    weights: tuple[int, ...]
    fault: str = ""


#: What an auditor has that measured nothing.
NOT_MEASURED: Final = Remeasured(
    (), "the hold-out or a round's sums are not here, and nobody who is reached has them"
)


@dataclass(frozen=True, slots=True)
class Wrong:
    """A member, what it is due by the weights measured again, and what the evidence gives it."""

    member: int
    due: int
    given: int


def agree(claimed: Sequence[int], measured: Sequence[int]) -> bool:
    """Whether weights are the same, up to TOLERANCE; empty ones only agree with empty ones."""
    return len(claimed) == len(measured) and all(
        abs(one - other) <= TOLERANCE for one, other in zip(claimed, measured, strict=True)
    )


def wronged(
    pot: int,
    counts: Sequence[int],
    claimed: Sequence[int],
    measured: Sequence[int],
    withheld: tuple[int, ...],
) -> tuple[Wrong, ...]:
    """Members who are due more than they have, the most first; empty where weights agree."""
    if agree(claimed, measured):
        return ()
    due = merit_shares(pot, counts, measured or None, withheld)
    given = merit_shares(pot, counts, claimed or None, withheld)
    found = [
        Wrong(member, owed, had)
        for member, (owed, had) in enumerate(zip(due, given, strict=True))
        if owed > had
    ]
    return tuple(sorted(found, key=lambda each: each.given - each.due))
