"""What a dealer is asked, once all its pieces are committed to; the answer of a piece is its word.

A word is linear in its piece: words of shares are shares of words (Boneh, Boneh, Corrigan-Gibbs,
Gilboa and Ishai, CRYPTO 2019). Everything asked follows from a hash over the statement, the
attempt's binding and the commitments (Fiat and Shamir 1986), so that nobody has to ask.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from functools import cache, cached_property
from typing import Final

import numpy as np

from protocol.arith.numbers.fixedpoint import Integers
from protocol.arith.proofs import field, transform
from protocol.arith.proofs.field import (
    Elements,
    P,
    add,
    combined,
    multiply,
    product,
    subtract,
)
from protocol.arith.proofs.statement import BIT_PLACES, POINTS, Statement
from protocol.arith.proofs.stream import Stream
from protocol.errors import FatalError, Malformed

DIGEST_BYTES: Final = 32

_PIECE: Final = b"assay/1 proof piece\x00"
_CHALLENGE: Final = b"assay/1 proof challenge\x00"
_TERMS: Final = struct.Struct(">IIBBB")

#: Values that are projected at a time: their signs stay in a core's cache.
_BLOCK: Final = 512

_HALF: Final = np.uint64(32)
_MASK: Final = np.uint64(2**32 - 1)


def piece_digest(binding: bytes, position: int, head_hash: bytes, masks: bytes) -> bytes:
    """The commitment to the piece of the member at `position`: SHA-256 of a tag, the binding, the
    position (4 bytes), SHA-256 of the piece up to its masks, and the masks.

    It tells nothing of a piece, whose elements are random; its dealer cannot find a second piece
    for it.
    """
    data = _PIECE + binding + position.to_bytes(4, "big") + head_hash + masks
    return hashlib.sha256(data).digest()


def head_digest(statement: Statement, piece: bytes | memoryview) -> tuple[bytes, bytes]:
    """(SHA-256 of a piece up to its masks, the masks' bytes)."""
    end = field.ELEMENT_BYTES * statement.places["masks"].start
    return hashlib.sha256(piece[:end]).digest(), bytes(piece[end:])


class Challenge:
    """What is asked of the dealer of `commitments`, one digest after the other in one string.

    `binding` has 32 bytes and stands for the attempt, its roster and the dealer: a proof under
    another binding has another challenge. Raises Malformed on commitments of another length.
    """

    def __init__(self, statement: Statement, binding: bytes, commitments: bytes) -> None:
        if len(binding) != DIGEST_BYTES:
            raise FatalError(f"a binding has {DIGEST_BYTES} bytes, this one {len(binding)}")
        if len(commitments) != DIGEST_BYTES * statement.members:
            raise Malformed(
                f"commitments have {len(commitments)} bytes, {statement.members} digests take "
                f"{DIGEST_BYTES * statement.members}"
            )
        terms = _TERMS.pack(
            statement.values,
            statement.bound,
            statement.members,
            statement.threshold,
            statement.corrupt,
        )
        self.statement = statement
        self._seed = hashlib.sha256(_CHALLENGE + terms + binding + commitments).digest()
        self.points = _points(Stream(self._seed, "points"), statement.length)

    def projections(self, vector: Elements) -> Elements:
        """The random projections of a vector: of shares, or of a secret."""
        low, high = self._projected([vector & _MASK, vector >> _HALF])
        shifted = multiply(field.from_integers(high), np.uint64(1 << 32))
        return add(field.from_integers(low), shifted)

    def projections_of(self, integers: Integers) -> Integers:
        """The same of small integers, as integers."""
        return np.asarray(self._projected([integers])[0])

    def word(self, piece: Elements) -> Elements:
        """The word of a piece, or of what pieces are shares of."""
        statement, at = self.statement, self.statement.places
        powers, length, wires = self._powers, statement.length, statement.wires
        rows = np.zeros(wires * length, dtype=np.uint64)
        rows[: statement.values] = piece[at["vector"]]
        blinders = piece[at["wire blinders"]].reshape(wires, POINTS)
        on_wires = add(
            product(_basis(self.points, length), rows.reshape(wires, length).T),
            product(self._vanishing(length), blinders.T),
        )
        on_bits = add(
            combined(_basis(self.points, BIT_PLACES)[:, : statement.bits], piece[at["bits"]]),
            combined(self._vanishing(BIT_PLACES), piece[at["bit blinders"]]),
        )
        squares, quotient = piece[at["squares"]], piece[at["quotient"]]
        on_squares = combined(powers[:, : squares.size], squares)
        on_quotient = combined(powers[:, : quotient.size], quotient)
        masked = add(self.projections(piece[at["vector"]]), piece[at["masks"]])
        others = np.stack((on_squares, on_bits, on_quotient), axis=1)
        by_point = np.concatenate((on_wires, others), axis=1)
        return np.concatenate((by_point.ravel(), self._sum(piece), masked))

    def holds(self, word: Elements) -> str:
        """What is wrong with a dealer's word, empty if nothing is."""
        statement = self.statement
        count = POINTS * (statement.wires + 3)
        by_point = word[:count].reshape(POINTS, statement.wires + 3)
        wires, (squares, bits, quotient) = by_point[:, :-3], by_point[:, -3:].T
        if word[count]:
            return "the squares do not sum up to what the bits say"
        if np.any(field.total(multiply(wires, wires), axis=1) != squares):
            return "the squares are not those of the vector"
        vanishing = subtract(_power(self.points, BIT_PLACES), np.ones(POINTS, dtype=np.uint64))
        if np.any(subtract(multiply(bits, bits), bits) != multiply(vanishing, quotient)):
            return "a bit is neither 0 nor 1"
        masked = field.to_integers(word[count + 1 :])
        if np.any(np.abs(masked) > statement.window):
            return "a projection is out of its window"
        return ""

    @cached_property
    def _powers(self) -> Elements:
        """(POINTS, ...): powers of the points, for every coefficient of a proof."""
        parts = dict(self.statement.parts)
        return field.powers(self.points, max(parts["squares"], parts["quotient"]))

    def _vanishing(self, length: int) -> Elements:
        """(POINTS, POINTS): r^i (r^length - 1), what blinder i counts at each point."""
        factor = subtract(_power(self.points, length), np.ones(POINTS, dtype=np.uint64))
        return multiply(self._powers[:, :POINTS], factor.reshape(-1, 1))

    def _sum(self, piece: Elements) -> Elements:
        """The squares' sum over the roots of unity, of which powers of `length` alone are left,
        less what the bits say."""
        statement, at = self.statement, self.statement.places
        squares, length = piece[at["squares"]], statement.length
        ends = squares[[0, length, 2 * length]].reshape(3, 1)
        found = multiply(field.total(ends), np.uint64(length))
        weights = field.elements(list(statement.weights)).reshape(1, -1)
        return subtract(found, combined(weights, piece[at["bits"]]))

    def _projected(self, columns: Sequence[Elements | Integers]) -> Integers:
        """(len(columns), rows): exact, since a column's numbers are below 2^32 and a block has
        2^9 of them."""
        rows = self.statement.rows
        signs = Stream(self._seed, "projections")
        found = np.zeros((len(columns), rows), dtype=np.int64)
        table = np.empty((_BLOCK, rows))
        floats = [column.astype(np.float64) for column in columns]
        for start in range(0, floats[0].size, _BLOCK):
            here = table[: min(_BLOCK, floats[0].size - start)]
            np.copyto(here, signs.signs(len(here), rows))
            for index, column in enumerate(floats):
                found[index] += (column[start : start + len(here)] @ here).astype(np.int64)
        return found


def _basis(points: Elements, length: int) -> Elements:
    """(POINTS, length): how much each of the values at the roots of unity counts at each point.

    At r the value at root w counts (1 + y + y^2 + ... + y^(length - 1)) / length with y = r / w,
    which is the product of 1 + y^(2^i), as there are as many factors as `length` has bits.
    """
    y = multiply(_inverse_roots(length), points.reshape(-1, 1))
    one = np.uint64(1)
    found = np.full_like(y, pow(length, -1, P))
    for _ in range(length.bit_length() - 1):
        found = multiply(found, add(y, one))
        y = multiply(y, y)
    return found


@cache
def _inverse_roots(length: int) -> Elements:
    """(1, length): the inverses of the roots of unity, in their order."""
    return field.powers(field.elements([pow(transform.root(length), -1, P)]), length)


def _points(stream: Stream, length: int) -> Elements:
    """Distinct points that are no places of values or bits, where blinders would not count."""
    found: list[int] = []
    while len(found) < POINTS:
        point = int(stream.elements(1)[0])
        fits = pow(point, length, P) != 1 and pow(point, BIT_PLACES, P) != 1
        if fits and point not in found:
            found.append(point)
    return field.elements(found)


def _power(bases: Elements, exponent: int) -> Elements:
    return field.elements([pow(int(base), exponent, P) for base in bases])
