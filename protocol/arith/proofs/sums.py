"""Sums of shares: what members release of all dealers that count, and what the requester opens.

A sum of shares is a share of the sum. It tells of each vector what the sum tells, and nothing more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from protocol.arith.numbers.fixedpoint import Integers
from protocol.arith.proofs.correction import correct
from protocol.arith.proofs.field import Elements, add, decode, encode, to_integers
from protocol.arith.proofs.statement import Statement
from protocol.errors import FatalError, Malformed

#: What floats may add to a norm, many times over.
_SLACK: Final = 1 + 1e-9


@dataclass(frozen=True)
class Opened:
    """`integers` is the sum of the dealers' vectors, None if it could not be told. `liars` are
    positions whose sum was wrong, or could not be read. `reason` says why there is no sum.

    `certain`: no `corrupt` members could have made another sum of it. Where fewer than threshold +
    corrupt sums are there, they could; its norm is then what the dealers' could be, and no more.
    """

    integers: Integers | None
    liars: frozenset[int]
    reason: str
    certain: bool = False


def sum_shares(statement: Statement, pieces: Sequence[bytes]) -> bytes:
    """One member's sum of the vectors in `pieces`, which it verified, one of each dealer that
    counts. 8 bytes a value.

    Once and for one set of dealers: two sums of different sets tell their difference. Raises
    FatalError if there is no piece, or one is of another length.
    """
    if not pieces:
        raise FatalError("there is no piece to add")
    size = statement.places["vector"].stop * 8
    found = np.zeros(statement.values, dtype=np.uint64)
    for piece in pieces:
        if len(piece) != statement.piece_bytes:
            raise FatalError(f"a piece of {len(piece)} bytes, {statement.piece_bytes} are expected")
        found = add(found, decode(memoryview(piece)[:size], statement.values, "piece"))
    return encode(found)


def open_sum(statement: Statement, sums: Iterable[tuple[int, bytes]], dealers: int) -> Opened:
    """The sum of `dealers` vectors, from (position, sum) pairs of members.

    Any `threshold` of them open it. Wrong ones are corrected as `Statement.allowance` has it. A
    member that verified what it added has no excuse for a wrong sum. Never raises on what members
    released; FatalError on a position that the block has not.
    """
    read: dict[int, Elements] = {}
    liars = set()
    for position, data in sums:
        if not 0 <= position < statement.members:
            raise FatalError(f"a sum of member {position} of {statement.members}")
        try:
            found = decode(data, statement.values, f"sum of member {position}")
        except Malformed:
            liars.add(position)
            continue
        if position in read and np.any(read[position] != found):
            liars.add(position)
        read[position] = found
    there = sorted(position for position in read if position not in liars)
    allowance = statement.allowance(len(there))
    if len(there) < statement.threshold:
        reason = f"{len(there)} sums, {statement.threshold} are needed"
        return Opened(None, frozenset(liars), reason)
    rows = np.stack([read[position] for position in there])
    points = [position + 1 for position in there]
    corrected = correct(points, rows, statement.threshold, max(0, allowance))
    if corrected is None:
        return Opened(None, frozenset(liars), f"{len(there)} sums contradict each other")
    liars |= {there[index] for index in corrected.wrong}
    integers = to_integers(corrected.secrets)
    if float(np.linalg.norm(integers.astype(np.float64))) > dealers * statement.bound * _SLACK:
        return Opened(None, frozenset(liars), "the sum is beyond what was proven of its parts")
    return Opened(integers, frozenset(liars), "", certain=allowance >= 0)
