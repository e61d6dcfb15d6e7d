"""The pot shared by worth: integers that add up to it, which anybody can compute again.

Worths are floats that the requester measured; nobody else could. They are turned into integer
weights once, by exact rational arithmetic, and the evidence shows those weights. All further steps
use integers, so an audit shares the pot again to the last unit (docs/spec/worth.md).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Final

from protocol.errors import FatalError

#: The weight of the largest worth. A power of two keeps halves exact; finer steps than these are
#: far below what rows held out can measure.
MAX_WEIGHT: Final = 2**32


def merit_weights(worths: Sequence[float]) -> tuple[int, ...]:
    """Each member's weight per contribution: floor(MAX_WEIGHT x worth / largest worth), exactly.

    A float is the rational number that it stands for, so no rounding of a platform enters. A
    negative worth counts as 0; if none is positive, all weights are 0. Weights are their own
    weights: `merit_weights(merit_weights(w)) == merit_weights(w)`. Raises FatalError for a worth
    that is not finite.
    """
    for member, worth in enumerate(worths):
        if not math.isfinite(worth):
            raise FatalError(f"the worth of member {member} is {worth}")
    exact = [max(worth, 0).as_integer_ratio() for worth in worths]
    top, below = max(worths, default=0).as_integer_ratio()
    if top <= 0:
        return (0,) * len(worths)
    return tuple(MAX_WEIGHT * n * below // (d * top) for n, d in exact)


def merit_shares(
    pot: int,
    counts: Sequence[int],
    worths: Sequence[float] | None,
    withheld: Collection[int] = frozenset(),
) -> tuple[int, ...]:
    """What each member gets of `pot`, in the token's smallest unit, by index.

    `counts` are committed contributions, `worths` each member's worth per contribution (floats, or
    the weights that `merit_weights` made of them: the result is the same) or None where nothing
    tells members apart, `withheld` the members that withheld a share that they owed. The first of
    these rules under which anybody has a part decides:

    1. count x weight, for those who withheld nothing;
    2. count, for those who withheld nothing (worths unknown, or none of theirs positive);
    3. count, for all: the contract takes no merit root that adds up to less than the pot once
       anything was contributed, and if everybody withheld, none is preferred.

    Shares are floor(pot x part / sum of parts). The rest, which is less than one unit for each
    member that has a part, goes one unit each to the first of them. Shares add up to the pot
    exactly. If nobody contributed, all are 0, and the pot is the requester's again. Raises
    FatalError for a negative pot or count, worths of another number, or a member that there is not.
    """
    if pot < 0 or any(count < 0 for count in counts):
        raise FatalError("a pot or a count of contributions is negative")
    if worths is not None and len(worths) != len(counts):
        raise FatalError(f"{len(worths)} worths for {len(counts)} members")
    if any(not 0 <= member < len(counts) for member in withheld):
        raise FatalError(f"a member withheld that is none of {len(counts)}")
    out = frozenset(withheld)
    true = [0 if member in out else count for member, count in enumerate(counts)]
    weighed = [0] * len(counts)
    if worths is not None:
        weighed = [c * w for c, w in zip(true, merit_weights(worths), strict=True)]
    for parts in (weighed, true, counts):
        if any(parts):
            return _split(pot, parts)
    return (0,) * len(counts)


def _split(pot: int, parts: Sequence[int]) -> tuple[int, ...]:
    """`pot` in proportion to `parts`, of which one at least is positive."""
    total = sum(parts)
    shares = [pot * part // total for part in parts]
    first = [member for member, part in enumerate(parts) if part]
    for member in first[: pot - sum(shares)]:
        shares[member] += 1
    return tuple(shares)
