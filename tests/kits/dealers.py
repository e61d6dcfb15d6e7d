"""Dealers of shares by hand, who check nothing of what they deal: for cheats."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from protocol.arith.numbers.entropy import Entropy, from_seed
from protocol.arith.proofs import field
from protocol.arith.proofs.challenge import Challenge, head_digest, piece_digest
from protocol.arith.proofs.field import Elements
from protocol.arith.proofs.prove import Dealing, proven, share_and_prove
from protocol.arith.proofs.shamir import deal
from protocol.arith.proofs.statement import Statement
from protocol.arith.proofs.stream import Stream
from protocol.arith.proofs.verify import Verdict, decide, verify_word

BINDING = bytes(range(32))

#: What a cheat changes of a piece's secrets, its masks included.
Spoil = Callable[[Statement, Elements], Elements]


@dataclass(frozen=True)
class Forged:
    """A dealing, its statement and its binding."""

    statement: Statement
    binding: bytes
    dealing: Dealing

    def words(self) -> list[tuple[int, bytes]]:
        """The words of members who are all honest."""
        return [
            (
                position,
                verify_word(
                    self.statement, self.binding, self.dealing.commitments, position, piece
                ),
            )
            for position, piece in enumerate(self.dealing.pieces)
        ]

    def verdict(self, words: Sequence[tuple[int, bytes]] | None = None) -> Verdict:
        said = self.words() if words is None else words
        return decide(self.statement, self.binding, self.dealing.commitments, said)

    def with_pieces(self, pieces: Sequence[bytes]) -> Forged:
        """The same with other pieces, committed to."""
        return replace(self, dealing=committed(self.statement, pieces, self.binding))


def entropy(number: int) -> Entropy:
    return from_seed(number.to_bytes(32, "big"), "dealers in tests")


def honest(
    statement: Statement, integers: Sequence[int], number: int = 1, binding: bytes = BINDING
) -> Forged:
    vector = np.array(integers, dtype=np.int64)
    return Forged(statement, binding, share_and_prove(statement, vector, binding, entropy(number)))


def forged(
    statement: Statement,
    integers: Sequence[int],
    squared: int,
    number: int = 1,
    spoil: Spoil | None = None,
    binding: bytes = BINDING,
    masks: Sequence[int] | None = None,
) -> Forged:
    """Shares of any integers, with the proof that they would have if their norm were the root of
    `squared`; `spoil` changes what is shared. Masks are such that projections may well fit."""
    stream = Stream(number.to_bytes(32, "big"), "forged")
    vector = np.array(integers, dtype=np.int64)
    head = proven(statement, vector, squared, stream)
    drawn = stream.bounded(statement.rows, statement.spread)
    hidden = field.from_integers(drawn) if masks is None else field.elements(list(masks))
    secrets = np.concatenate((head, hidden))
    if spoil is not None:
        secrets = spoil(statement, secrets)
    return shared(statement, secrets, binding, stream)


def shared(statement: Statement, secrets: Elements, binding: bytes, stream: Stream) -> Forged:
    """Shares of a piece's secrets."""
    degree = statement.threshold - 1
    coefficients = stream.elements(degree * secrets.size).reshape(degree, secrets.size)
    pieces = [field.encode(row) for row in deal(secrets, coefficients, statement.members)]
    return Forged(statement, binding, committed(statement, pieces, binding))


def committed(statement: Statement, pieces: Sequence[bytes], binding: bytes) -> Dealing:
    digests = [
        piece_digest(binding, position, *head_digest(statement, piece))
        for position, piece in enumerate(pieces)
    ]
    return Dealing(tuple(pieces), b"".join(digests))


def challenge(of: Forged) -> Challenge:
    return Challenge(of.statement, of.binding, of.dealing.commitments)


def changed(data: bytes, place: int, by: int = 1) -> bytes:
    """Bytes of elements, one of which has moved."""
    found = field.decode(data, len(data) // 8, "test")
    found[place] = (int(found[place]) + by) % field.P
    return field.encode(found)
