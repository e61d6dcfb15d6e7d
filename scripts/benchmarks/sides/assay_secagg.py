"""assay's side: the kernels of protocol/arith, called as the daemons' workers call them.

Left out is what is no arithmetic on either side: signatures, messages, the store, the chain.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from protocol.arith import kernels
from protocol.arith.encoding.envelope import Envelope
from protocol.arith.paillier.cryptosystem import PrivateKey, generate_key
from protocol.arith.secagg import sharing
from protocol.arith.secagg.agreement import new_key
from protocol.arith.secagg.masks import Binding, Words
from protocol.arith.secagg.sharing import Kind, ReadyParts, Secrets
from protocol.layout.packing import batch_maker
from protocol.params import DEFAULT_KEY_BITS
from scripts.benchmarks.sides.parts import Parts, gradient

PACKAGES = ("cryptography", "pycryptodome", "numpy", "gmpy2")

_CLIP = 1.0
_VALUE_BITS = 16

#: The width that a word has in a block of 32: 16 bits of a value, 5 of carries, whole bytes.
_WORD_BITS = 24

_ENTROPY = secrets.token_bytes
_PLACE = b"the encoding of chain, contract, job, round and attempt"


def masks(count: int, pairs: int) -> dict[str, object]:
    """Masks of `pairs` pairs, `count` values each, one after another, as a contribution takes them
    up: the mean's seconds."""
    space = Words(_WORD_BITS)
    seeds, total = [_ENTROPY(32) for _ in range(pairs)], space.zero(count)
    began = time.perf_counter()
    for seed in seeds:
        space.mix(total, seed, 1)
    seconds = time.perf_counter() - began
    if not space.reduced(total).any():
        raise ValueError("the masks add up to nothing")
    return {"seconds": seconds / pairs}


@cache
def private_key(bits: int) -> PrivateKey:
    """The requester's key: made once a job, so it is no part of a round."""
    return generate_key(bits, _ENTROPY)


@dataclass(frozen=True, slots=True)
class Member:
    """An owner in the one block, with its job's sealing key."""

    position: int
    peer: bytes
    sealing_private: bytes
    sealing_public: bytes


def block(owners: int) -> list[Member]:
    """A block's members: sealing keys come with the enrolment, so they are no part of a round."""
    return [Member(n, b"peer %02d" % n, *new_key(_ENTROPY)) for n in range(owners)]


def whole_round(
    owners: int,
    dropped: int,
    threshold: int,
    values: int,
    envelope: str,
    key_bits: int = DEFAULT_KEY_BITS,
) -> dict[str, object]:
    """A whole round's arithmetic; the last `dropped` owners vanish before they contribute.

    Raises ValueError if what is opened is not the sum of what went in.
    """
    parts, key, members = Parts(), private_key(key_bits), block(owners)
    layout = Envelope(key.public.to_bytes(), _VALUE_BITS, _CLIP, owners, envelope)
    opening, roster_digest = _ENTROPY(32), _ENTROPY(32)
    binding = Binding(1, bytes(20), bytes(32), 1, 1, bytes(32), roster_digest, layout.n)
    present, gone = members[: owners - dropped], members[owners - dropped :]
    gradients = [gradient(member.position, values, _CLIP) for member in present]

    with parts("ready"):
        told = [made_ready(member, members, opening, threshold) for member in members]
    with parts("check"):
        for member in members:
            opened_boxes(member, members, told, opening)

    roster = [(member.position, told[member.position][1].mask_key) for member in members]
    batches, truth = [], np.zeros(values, dtype=np.int64)
    for member, vector in zip(present, gradients, strict=True):
        mine, maker = told[member.position][0], batch_maker(_PLACE, member.peer)
        with parts("contribute"):
            integers = layout.fixed_point.quantise(vector, _ENTROPY)
            batch = kernels.close(
                layout, integers, mine, member.position, roster, binding, maker, _ENTROPY
            )
        batches.append(batch)
        truth += integers

    with parts("sum"):
        for member, batch in zip(present, batches, strict=True):
            kernels.check_batch(layout, batch, values, batch_maker(_PLACE, member.peer))
        total = kernels.sum_batches(layout, batches, values)

    with parts("release"):
        # What was found in the boxes is not kept: they are opened again.
        shares = [opened_boxes(member, members, told, opening) for member in present]
    shares = shares[:threshold]
    with parts("reconstruct"):
        seeds = [
            (m.position, told[m.position][1].mask_key, rebuilt("seed", m, shares, told, opening))
            for m in present
        ]
        keys = [(m.position, rebuilt("key", m, shares, told, opening)) for m in gone]
    with parts("unmask"):
        removal = kernels.unmask_vector(layout, values, binding, seeds, keys)
    with parts("open"):
        sums = kernels.open_sum(key, total, removal, layout, len(present), values)
        layout.fixed_point.restore(sums, len(present))
    if not np.array_equal(sums, truth):
        raise ValueError("what was opened is not the sum of what went in")
    return parts.reply()


Told = list[tuple[Secrets, ReadyParts]]
Shares = list[tuple[bytes, bytes]]


def made_ready(
    member: Member, members: list[Member], opening: bytes, threshold: int
) -> tuple[Secrets, ReadyParts]:
    """What a member keeps and says at the start of an attempt."""
    keys = [(other.peer, other.sealing_public) for other in members]
    return sharing.make_ready(_ENTROPY, opening, _PLACE, member.peer, keys, threshold)


def opened_boxes(member: Member, members: list[Member], told: Told, opening: bytes) -> Shares:
    """All shares that were sealed to a member, in the order of the block."""
    private, index = member.sealing_private, member.position
    return [
        sharing.check_box(private, parts, index, opening, _PLACE, sender.peer, member.peer)
        for sender, (_, parts) in zip(members, told, strict=True)
    ]


def rebuilt(kind: Kind, of: Member, shares: list[Shares], told: Told, opening: bytes) -> bytes:
    """A member's secret from released shares, one list of them a member, in order.

    Raises ValueError if it does not come out.
    """
    which = 0 if kind == "seed" else 1
    released = {position: boxes[of.position][which] for position, boxes in enumerate(shares)}
    parts = told[of.position][1]
    made = sharing.reconstruct(kind, released, parts, len(released), of.peer, opening)
    if made.secret is None:
        raise ValueError(f"the {kind} of member {of.position} does not come out of its shares")
    return made.secret


CALLS: Mapping[str, Callable[..., dict[str, object]]] = {"masks": masks, "round": whole_round}
