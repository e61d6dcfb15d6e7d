"""The dealer's side: a vector is shared among a block, together with a proof of its norm.

The proof is that of a sum of squares (Boneh et al., CRYPTO 2019; Prio3's parallel sum, in
draft-irtf-cfrg-vdaf), blinded at as many points as it is looked at, and random projections that
exclude a sum that wraps around p (Rothblum, Omri, Chen and Talwar 2023), whose values are masked
instead of being told in bits (docs/adr/0800).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from protocol.arith.numbers.entropy import SEED_BYTES, Entropy, draw
from protocol.arith.numbers.fixedpoint import Integers
from protocol.arith.proofs.challenge import Challenge, head_digest, piece_digest
from protocol.arith.proofs.field import (
    Elements,
    add,
    elements,
    encode,
    from_integers,
    multiply,
    powers,
    subtract,
    total,
)
from protocol.arith.proofs.shamir import deal
from protocol.arith.proofs.statement import BIT_PLACES, POINTS, Statement
from protocol.arith.proofs.stream import Stream
from protocol.arith.proofs.transform import coefficients_of, root, values_of
from protocol.errors import FatalError, InputError

#: Masks that are tried. One set in three lets nothing through: 256 in a row fail with 2^-150.
_TRIES: Final = 256


@dataclass(frozen=True)
class Dealing:
    """What a dealer sends: `pieces`, one for each member by position, secret to all but that
    member; `commitments` to all of them, 32 bytes each, for everybody."""

    pieces: tuple[bytes, ...] = field(repr=False)
    commitments: bytes


def share_and_prove(
    statement: Statement, integers: Integers, binding: bytes, entropy: Entropy
) -> Dealing:
    """Shares of `integers` (one dimension, int64), with a proof of the statement.

    `binding` as `Challenge` has it. Two calls never agree: store the outcome before any of it
    leaves, and never deal another vector under a binding whose commitments were said. Raises
    InputError if the vector's norm is above the bound, FatalError if it is of another shape.
    """
    if integers.shape != (statement.values,) or integers.dtype != np.int64:
        raise FatalError(f"{integers.dtype} of shape {integers.shape} to share as {statement}")
    if np.any(np.abs(integers) > statement.bound) or norm(integers) > statement.bound**2:
        raise InputError(f"has a norm above {statement.bound}, which is the bound", "vector")
    stream = Stream(draw(entropy, SEED_BYTES), "shares")
    head = proven(statement, integers, norm(integers), stream)
    return dealt(statement, integers, head, binding, stream, entropy)


def norm(integers: Integers) -> int:
    """The squared L2 norm, exactly, of integers whose squares sum below 2^63."""
    return int(np.dot(integers, integers))


def proven(statement: Statement, integers: Integers, squared: int, stream: Stream) -> Elements:
    """A piece's elements up to its masks, as they are before they are shared. `squared` is what the
    bits say; `stream` gives the blinders."""
    blinders = stream.elements(POINTS * statement.wires)
    bit_blinders = stream.elements(POINTS)
    vector, bits = from_integers(integers), bits_of(statement, squared)
    squares = _squares(statement, vector, blinders.reshape(statement.wires, POINTS))
    quotient = _quotient(bits, bit_blinders)
    return np.concatenate((vector, blinders, bits, bit_blinders, squares, quotient))


def bits_of(statement: Statement, squared: int) -> Elements:
    """The bits that make `squared` with the statement's weights, for 0 to bound^2."""
    weights = statement.weights
    last = squared > sum(weights[:-1])
    rest = squared - weights[-1] * last
    return elements([*(rest >> place & 1 for place in range(statement.bits - 1)), int(last)])


def dealt(
    statement: Statement,
    integers: Integers,
    head: Elements,
    binding: bytes,
    stream: Stream,
    entropy: Entropy,
) -> Dealing:
    """Shares of `head` by `stream`, then masks, drawn until all masked projections of `integers`
    lie in their window.

    An accepted set of masked projections is uniform in its window, whatever the vector is, because
    each value of the window is as likely as another (Lyubashevsky 2009: Fiat-Shamir with aborts).
    Only a projection beyond the tail, which no honest vector has, would be told by its absence.
    """
    degree = statement.threshold - 1
    coefficients = stream.elements(degree * head.size).reshape(degree, head.size)
    shares = deal(head, coefficients, statement.members)
    heads = [encode(share) for share in shares]
    hashes = [head_digest(statement, data)[0] for data in heads]
    for _ in range(_TRIES):
        masks = Stream(draw(entropy, SEED_BYTES), "masks")
        hidden = masks.bounded(statement.rows, statement.spread)
        coefficients = masks.elements(degree * statement.rows).reshape(degree, statement.rows)
        tails = [
            encode(share) for share in deal(from_integers(hidden), coefficients, statement.members)
        ]
        digests = [
            piece_digest(binding, position, hashed, tail)
            for position, (hashed, tail) in enumerate(zip(hashes, tails, strict=True))
        ]
        commitments = b"".join(digests)
        projected = Challenge(statement, binding, commitments).projections_of(integers)
        small = np.all(np.abs(projected) <= statement.tail)
        if small and np.all(np.abs(projected + hidden) <= statement.window):
            pieces = tuple(a + b for a, b in zip(heads, tails, strict=True))
            return Dealing(pieces, commitments)
    raise FatalError(f"no masks in {_TRIES} fit the projections: the entropy source repeats itself")


def _squares(statement: Statement, vector: Elements, blinders: Elements) -> Elements:
    """The coefficients of the sum of the wires' squares.

    A wire is the polynomial that has its values at the roots of unity of order `length`, plus
    X^length - 1 times its blinders. The sum has degree 2 length + 2 POINTS - 2: it is found modulo
    X^(2 length) - 1, from its values at the roots of that order, and its top coefficients, to which
    few of a wire's contribute, are taken out of where they fell.
    """
    wires, length = statement.wires, statement.length
    rows = np.zeros(wires * length, dtype=np.uint64)
    rows[: statement.values] = vector
    values = rows.reshape(wires, length)
    coefficients = coefficients_of(values)
    ends = coefficients[:, length - POINTS + 1 :]
    # At the odd roots X^length is -1: what is left of a wire there has these coefficients.
    doubled = add(blinders, blinders)
    coefficients[:, :POINTS] = subtract(coefficients[:, :POINTS], doubled)
    odd = values_of(multiply(coefficients, powers(elements([root(2 * length)]), length)))
    both = np.stack((total(multiply(values, values)), total(multiply(odd, odd))), axis=1)
    found = coefficients_of(both.reshape(1, -1))[0]
    top = np.zeros(2 * POINTS - 1, dtype=np.uint64)
    for i in range(POINTS):
        # X^(length + i) meets X^(length + j), and twice, from either factor, X^(length - j).
        for j in range(-i, POINTS):
            factors = (blinders[:, i], blinders[:, j]) if j >= 0 else (doubled[:, i], ends[:, j])
            place = slice(i + j, i + j + 1)
            top[place] = add(top[place], total(multiply(*factors)).reshape(1))
    found[: top.size] = subtract(found[: top.size], top)
    return np.concatenate((found, top))


def _quotient(bits: Elements, blinders: Elements) -> Elements:
    """The coefficients of (F^2 - F) / (X^64 - 1), F the polynomial of the bits: there is such a
    quotient because F is 0 or 1 at every root."""
    rows = np.zeros((1, BIT_PLACES), dtype=np.uint64)
    rows[0, : bits.size] = bits
    polynomial = np.zeros((1, 4 * BIT_PLACES), dtype=np.uint64)
    polynomial[0, :BIT_PLACES] = coefficients_of(rows)[0]
    polynomial[0, :POINTS] = subtract(polynomial[0, :POINTS], blinders)
    polynomial[0, BIT_PLACES : BIT_PLACES + POINTS] = blinders
    values = values_of(polynomial)
    product = coefficients_of(subtract(multiply(values, values), values))[0]
    count = BIT_PLACES + 2 * POINTS - 1
    found = product[BIT_PLACES : BIT_PLACES + count].copy()
    carried = count - BIT_PLACES
    found[:carried] = add(found[:carried], found[BIT_PLACES:])
    return np.asarray(found)
