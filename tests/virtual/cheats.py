"""Owners that cheat in jobs whose contributions prove their norm, on whole nodes.

What a cheat does stands in the place of the functions that its workers run; all else of its node is
the product's. Nothing of it can be reached from the product.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from unittest.mock import patch

import numpy as np
from kits.dealers import Forged, changed, committed, forged

from node.work import proofs as proof_tasks
from protocol.arith.numbers.fixedpoint import Integers
from protocol.arith.proofs import field, prove
from protocol.arith.proofs.prove import Dealing
from protocol.arith.proofs.statement import Statement
from protocol.books import dealings
from virtual.clock import current
from virtual.world import Terms, World

Cheat = Callable[[Statement, Integers, bytes, Dealing], Dealing]


def poison(statement: Statement, integers: Integers, binding: bytes, _: Dealing) -> Dealing:
    """A vector 102 times as long as any honest one can be, and the best proof that it can have."""
    vector = np.full(statement.values, 102 * statement.bound, dtype=np.int64)
    return forged(statement, vector.tolist(), statement.bound**2, binding=binding).dealing


def wraps_around(statement: Statement, integers: Integers, binding: bytes, _: Dealing) -> Dealing:
    """A vector whose squares sum to a small number modulo p."""
    root = pow(7, (field.P - 1) // 4, field.P)  # its square is -1
    vector = [0] * statement.values
    vector[0], vector[1] = 2**40, 0
    found = field.elements(vector)
    found[1] = np.uint64(2**40 * root % field.P)

    def spoil(_: Statement, secrets: field.Elements) -> field.Elements:
        secrets = secrets.copy()
        secrets[:2] = found[:2]
        return secrets

    return forged(statement, [0] * statement.values, 0, binding=binding, spoil=spoil).dealing


def two_vectors(statement: Statement, integers: Integers, binding: bytes, own: Dealing) -> Dealing:
    """Half of the members get pieces of another vector."""
    other = forged(statement, [1] * statement.values, statement.values, 7, binding=binding)
    half = statement.members // 2
    pieces = (*own.pieces[:half], *other.dealing.pieces[half:])
    return committed(statement, pieces, binding)


def wrong_degree(statement: Statement, integers: Integers, binding: bytes, own: Dealing) -> Dealing:
    """Pieces that lie on no polynomial of the degree."""
    pieces = [changed(piece, 0, (place + 1) ** 9) for place, piece in enumerate(own.pieces)]
    return committed(statement, pieces, binding)


def out_of_field(statement: Statement, integers: Integers, binding: bytes, own: Dealing) -> Dealing:
    """A piece that holds p itself."""
    pieces = [field.P.to_bytes(8, "little") + piece[8:] for piece in own.pieces]
    return committed(statement, pieces, binding)


def replayed(statement: Statement, integers: Integers, binding: bytes, own: Dealing) -> Dealing:
    """A dealing of another attempt, with its commitments."""
    return Forged(statement, bytes(32), own).with_pieces(own.pieces).dealing


def other_vector(statement: Statement, integers: Integers, binding: bytes, own: Dealing) -> Dealing:
    """The proof of one vector, and shares of another."""

    def spoil(_: Statement, secrets: field.Elements) -> field.Elements:
        secrets = secrets.copy()
        secrets[0] = field.elements([int(secrets[0]) + 1])[0]
        return secrets

    return forged(statement, [0] * statement.values, 0, binding=binding, spoil=spoil).dealing


class Cheating(World):
    """A world in which `name` deals by `cheat`, and says of others what `says` makes of its words
    (of the dealers in their order); `adds` changes its sum."""

    def __init__(
        self,
        terms: Terms,
        name: str = "o1",
        cheat: Cheat | None = None,
        says: Callable[[list[bytes]], list[bytes]] | None = None,
        adds: Callable[[bytes], bytes] | None = None,
    ) -> None:
        super().__init__(terms)
        self.cheat_name, self.cheat, self.says, self.adds = name, cheat, says, adds

    def _mine(self) -> bool:
        node = current.get()
        return node is not None and node.name == self.cheat_name

    @contextlib.contextmanager
    def _listening(self) -> Iterator[None]:
        share, encode, put = prove.share_and_prove, dealings.encode_words, proof_tasks.add

        def deals(
            statement: Statement, integers: Integers, binding: bytes, entropy: object
        ) -> Dealing:
            own = share(statement, integers, binding, entropy)  # type: ignore[arg-type]
            if self.cheat is None or not self._mine():
                return own
            return self.cheat(statement, integers, binding, own)

        def says(found: list[bytes]) -> bytes:
            if self.says is not None and self._mine():
                found[:] = self.says(list(found))
            return encode(found)

        def adds(work, *args):  # type: ignore[no-untyped-def]
            ref = put(work, *args)
            if self.adds is None or not self._mine():
                return ref
            return proof_tasks.tasks.put(work, self.adds(proof_tasks.tasks.get(work, ref)))

        with (
            super()._listening(),
            patch.object(prove, "share_and_prove", deals),
            patch.object(dealings, "encode_words", says),
            patch.object(proof_tasks, "add", adds),
        ):
            yield
