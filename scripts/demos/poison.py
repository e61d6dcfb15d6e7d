"""What an owner that poisons runs in its workers: shares of a vector far too long, and the best
proof that such a vector can have."""

from __future__ import annotations

from typing import Final
from unittest.mock import patch

import numpy as np

from node.work import proofs, tasks
from protocol.arith.numbers.entropy import SEED_BYTES, Entropy, draw
from protocol.arith.numbers.fixedpoint import Integers
from protocol.arith.proofs import prove
from protocol.arith.proofs.challenge import head_digest, piece_digest
from protocol.arith.proofs.field import encode, from_integers
from protocol.arith.proofs.prove import Dealing, proven
from protocol.arith.proofs.shamir import deal
from protocol.arith.proofs.statement import Statement
from protocol.arith.proofs.stream import Stream
from protocol.wire.envelope import Context

#: The product's own: in the daemon that names this module, its place is taken.
_CONTRIBUTION: Final = proofs.contribution

#: How many times the largest norm that an honest contribution can have.
TIMES: Final = 102


def contribution(
    work: tasks.Work,
    gradient: tasks.Gradient,
    place: Context,
    roster_digest: bytes,
    peer: bytes,
    keys: proofs.Keys,
) -> tasks.Result:
    """The product's own, but for the vector and its proof."""
    with patch.object(prove, "share_and_prove", _poisoned):
        return _CONTRIBUTION(work, gradient, place, roster_digest, peer, keys)


def _poisoned(
    statement: Statement, integers: Integers, binding: bytes, entropy: Entropy
) -> Dealing:
    """`TIMES` the bound, against the true direction; bits say that it is as long as is allowed."""
    length = max(float(np.linalg.norm(integers)), 1.0)
    vector = np.rint(-integers * (TIMES * statement.bound / length)).astype(np.int64)
    stream = Stream(draw(entropy, SEED_BYTES), "shares")
    head = proven(statement, vector, statement.bound**2, stream)
    masks = from_integers(stream.bounded(statement.rows, statement.spread))
    secrets = np.concatenate((head, masks))
    degree = statement.threshold - 1
    coefficients = stream.elements(degree * secrets.size).reshape(degree, secrets.size)
    pieces = tuple(encode(row) for row in deal(secrets, coefficients, statement.members))
    digests = [
        piece_digest(binding, position, *head_digest(statement, piece))
        for position, piece in enumerate(pieces)
    ]
    return Dealing(pieces, b"".join(digests))
