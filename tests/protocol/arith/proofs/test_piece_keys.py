"""Two dealings under one key of an attempt have boxes under keys that differ."""

from __future__ import annotations

from kits.dealers import BINDING, honest

from protocol.arith.encoding import boxes
from protocol.arith.proofs.statement import Statement
from protocol.arith.secagg.agreement import new_key

SIX = Statement(5, 30, 6, 4, 1)


def test_a_dealing_that_is_made_again_reuses_no_keystream() -> None:
    private, _ = new_key(lambda n: bytes([7]) * n)
    _, recipient = new_key(lambda n: bytes([9]) * n)
    dealt = [honest(SIX, [18, -24, 0, 0, 0], number).dealing for number in (1, 2)]
    pieces = [dealing.pieces[2] for dealing in dealt]
    sealed = [
        boxes.seal_piece(
            private, recipient, BINDING, 2, dealing.pieces[2], dealing.commitments[64:96]
        )
        for dealing in dealt
    ]
    both = bytes(a ^ b for a, b in zip(*sealed, strict=True))[: SIX.piece_bytes]
    assert both != bytes(a ^ b for a, b in zip(*pieces, strict=True)), "one keystream, two pieces"
