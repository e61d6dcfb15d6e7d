"""assay's side of proofs: protocol/arith/proofs, called as a round's workers will call it.

Left out is what is no arithmetic: signatures, messages, the store, the chain.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping

import numpy as np
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from protocol.arith.numbers.fixedpoint import FixedPoint, Integers
from protocol.arith.proofs.prove import Dealing, share_and_prove
from protocol.arith.proofs.statement import Statement, honest_bound
from protocol.arith.proofs.sums import open_sum, sum_shares
from protocol.arith.proofs.verify import Outcome, decide, verify_word
from protocol.arith.secagg.agreement import agree, derive, new_key, public_of
from scripts.benchmarks.sides.parts import Parts, gradient

PACKAGES = ("cryptography", "numpy")

_CLIP = 1.0
_VALUE_BITS = 16
_ENTROPY = secrets.token_bytes
_NONCE = bytes(12)


def statement(values: int, owners: int, threshold: int) -> Statement:
    """What is proven: 16-bit values without noise, one of the block corrupt."""
    bound = honest_bound((1 << (_VALUE_BITS - 1)) - 1, values)
    return Statement(values, bound, owners, threshold, corrupt=1)


def vector(owner: int, values: int) -> Integers:
    """An owner's gradient, clipped to the norm that the largest integer stands for."""
    found = gradient(owner, values, _CLIP)
    found *= _CLIP / np.linalg.norm(found)
    return FixedPoint(_VALUE_BITS, _CLIP).quantise(found, _ENTROPY)


def prove(values: int, owners: int, threshold: int) -> dict[str, object]:
    """One owner shares a vector and proves its norm, to its whole block."""
    terms, integers = statement(values, owners, threshold), vector(0, values)
    began = time.perf_counter()
    dealing = share_and_prove(terms, integers, _ENTROPY(32), _ENTROPY)
    seconds = time.perf_counter() - began
    if len(dealing.pieces) != owners:
        raise ValueError(f"{len(dealing.pieces)} pieces for {owners} owners")
    return {"seconds": seconds}


def verify(values: int, owners: int, threshold: int) -> dict[str, object]:
    """One member checks what one owner dealt it, and decides by the block's words."""
    terms, binding = statement(values, owners, threshold), _ENTROPY(32)
    dealing = share_and_prove(terms, vector(0, values), binding, _ENTROPY)
    others = [
        (position, verify_word(terms, binding, dealing.commitments, position, piece))
        for position, piece in enumerate(dealing.pieces)
        if position
    ]
    parts = Parts()
    with parts("word"):
        word = verify_word(terms, binding, dealing.commitments, 0, dealing.pieces[0])
    with parts("decide"):
        verdict = decide(terms, binding, dealing.commitments, [(0, word), *others])
    if verdict.outcome is not Outcome.PASSED:
        raise ValueError(f"an honest proof did not pass: {verdict.reason}")
    return {
        **parts.reply(),
        "counts": {
            "shares": 8 * values * owners,
            "proofs": (terms.piece_bytes - 8 * values) * owners + len(dealing.commitments),
            "words": terms.word_bytes * owners,
        },
    }


def whole_round(owners: int, dropped: int, threshold: int, values: int) -> dict[str, object]:
    """A whole round's arithmetic; the last `dropped` owners vanish after their shares are out, and
    count all the same.

    Raises ValueError if what is opened is not the sum of what went in.
    """
    parts, terms = Parts(), statement(values, owners, threshold)
    vectors = [vector(owner, values) for owner in range(owners)]
    bindings = [_ENTROPY(32) for _ in range(owners)]
    sealing = [new_key(_ENTROPY) for _ in range(owners)]
    dealings: list[Dealing] = []
    boxes: list[list[tuple[bytes, bytes]]] = []
    for integers, binding in zip(vectors, bindings, strict=True):
        with parts("prove"):
            dealings.append(share_and_prove(terms, integers, binding, _ENTROPY))
        with parts("seal"):
            boxes.append(
                [_sealed(p, k) for p, (_, k) in zip(dealings[-1].pieces, sealing, strict=True)]
            )
    present = range(owners - dropped)
    held, words = [], []
    for me in present:
        with parts("open boxes"):
            held.append([_opened(dealt[me], sealing[me][0]) for dealt in boxes])
        with parts("verify"):
            words.append(
                [
                    verify_word(terms, binding, dealing.commitments, me, piece)
                    for binding, dealing, piece in zip(bindings, dealings, held[-1], strict=True)
                ]
            )
    with parts("decide"):
        for _ in range(len(present) + 1):  # each member, and the requester
            for dealer, (binding, dealing) in enumerate(zip(bindings, dealings, strict=True)):
                said = [(me, words[me][dealer]) for me in present]
                verdict = decide(terms, binding, dealing.commitments, said)
                if verdict.outcome is not Outcome.PASSED:
                    raise ValueError(f"an honest proof did not pass: {verdict.reason}")
    with parts("release"):
        sums = [(me, sum_shares(terms, held[me])) for me in present]
    with parts("open"):
        opened = open_sum(terms, sums, owners)
    if opened.integers is None or not np.array_equal(opened.integers, np.sum(vectors, axis=0)):
        raise ValueError("what was opened is not the sum of what went in")
    return parts.reply()


def _sealed(piece: bytes, public: bytes) -> tuple[bytes, bytes]:
    """(the public key of one box, the box)."""
    private, ours = new_key(_ENTROPY)
    key = derive(agree(private, public), ours + public)
    return ours, ChaCha20Poly1305(key).encrypt(_NONCE, piece, None)


def _opened(box: tuple[bytes, bytes], sealing: bytes) -> bytes:
    theirs, data = box
    key = derive(agree(sealing, theirs), theirs + public_of(sealing))
    return ChaCha20Poly1305(key).decrypt(_NONCE, data, None)


CALLS: Mapping[str, Callable[..., dict[str, object]]] = {
    "prove": prove,
    "verify": verify,
    "round": whole_round,
}
