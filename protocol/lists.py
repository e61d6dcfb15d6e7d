"""Lists of signed messages that travel as blobs: cohort, frozen roster, contributions.

Whoever fetches one verifies it whole: every signature, every place, the order, and the root that
the chain holds. Pure; run in a thread where the list is long.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from protocol import params
from protocol.codec import Size, Wire, decode, encode
from protocol.enrolment import Cohort, build_cohort
from protocol.envelope import Context, Envelope, envelope_digest, open_envelope
from protocol.errors import Malformed
from protocol.messages import Contribution, Ready
from protocol.spec import JobSpec
from protocol.trees import contribution_leaf, index_root


@dataclass(frozen=True, slots=True)
class MessageList(Wire):
    """The blob: whole envelopes in order."""

    messages: Annotated[tuple[Envelope, ...], Size(1, params.MAX_COHORT)]


@dataclass(frozen=True, slots=True)
class Listed:
    """What a verified list says: member indexes in its order, and its root (empty: none)."""

    members: tuple[int, ...]
    root: bytes


def encode_list(envelopes: Sequence[Envelope]) -> bytes:
    return encode(MessageList(tuple(envelopes)))


def decode_list(data: bytes) -> tuple[Envelope, ...]:
    """Read and verify each signature. Raises Malformed."""
    listed = decode(MessageList, data, params.MAX_LIST_BYTES).messages
    return tuple(open_envelope(encode(envelope)) for envelope in listed)


def examine_cohort(spec: JobSpec, job: bytes, data: bytes) -> Cohort:
    """The cohort that a list makes. Raises Malformed where any enrolment does not hold."""
    return build_cohort(spec, job, decode_list(data))


def examine_frozen(
    cohort: Cohort, blocks: tuple[int, ...], context: Context, opening: bytes, data: bytes
) -> Listed:
    """A frozen roster: Ready messages of members, ascending, of whole blocks, for this opening.

    Without noise a block counts whole or not at all (design, section 5), so a block of which only
    some members stand in the list makes it invalid. Raises Malformed.
    """
    members = []
    for envelope in decode_list(data):
        body = envelope.body
        if not isinstance(body, Ready) or envelope.context != context or body.opening != opening:
            raise Malformed("a frozen roster lists something else than Ready for its opening")
        members.append(_member(cohort, envelope))
    _ascending(members)
    _whole(blocks, members)
    return Listed(tuple(members), b"")


def examine_contributions(
    cohort: Cohort, blocks: tuple[int, ...], context: Context, frozen: bytes, data: bytes
) -> Listed:
    """A commitment's list, in the order of the index tree: by block, then by member; whole blocks.

    Gives the root to compare with the chain's. Raises Malformed.
    """
    members, leaves, places = [], [], []
    for envelope in decode_list(data):
        body = envelope.body
        if not isinstance(body, Contribution) or envelope.context != context:
            raise Malformed("a commitment lists something else than contributions to its round")
        member = _member(cohort, envelope)
        if body.member != member or body.block != blocks[member] or body.frozen_digest != frozen:
            raise Malformed(f"contribution of member {member}: wrong index, block or roster")
        members.append(member)
        places.append((body.block, member))
        leaves.append(contribution_leaf_of(cohort, envelope))
    _ascending(places)
    _whole(blocks, members)
    return Listed(tuple(members), index_root(leaves))


def contribution_leaf_of(cohort: Cohort, envelope: Envelope) -> bytes:
    """The index tree's leaf of a contribution: who is paid, block, roster, batch."""
    body = envelope.body
    if not isinstance(body, Contribution):
        raise Malformed("not a contribution")
    payout = cohort.members[body.member].payout
    return contribution_leaf(payout, body.block, body.frozen_digest, body.batch_digest)


def listed_digests(data: bytes) -> tuple[bytes, ...]:
    """The message digests in a list that was verified before."""
    listed = decode(MessageList, data, params.MAX_LIST_BYTES).messages
    return tuple(envelope_digest(envelope) for envelope in listed)


def _member(cohort: Cohort, envelope: Envelope) -> int:
    index = cohort.index_of(envelope.sender)
    if index is None:
        raise Malformed("a list names somebody who is not enrolled")
    return index


def _whole(blocks: tuple[int, ...], members: Sequence[int]) -> None:
    there = set(members)
    for block in sorted({blocks[m] for m in members}):
        absent = [m for m, b in enumerate(blocks) if b == block and m not in there]
        if absent:
            raise Malformed(f"block {block} stands in a list without member {absent[0]}")


def _ascending(places: Sequence[int] | Sequence[tuple[int, int]]) -> None:
    if any(not a < b for a, b in itertools.pairwise(places)):  # type: ignore[operator]
        raise Malformed("a list's entries do not ascend, or one stands twice")
