"""Lists that travel as blobs: the cohort, a block's frozen roster, a commitment's contributions.

A node that fetches a list verifies it whole: every signature, every place, the order, and the roots
that the chain holds. Pure; run in a thread if the list is long.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from protocol import params
from protocol.books.enrolment import Cohort, block_members, build_cohort
from protocol.books.trees import contribution_leaf, index_root
from protocol.errors import Malformed
from protocol.spec.job import JobSpec
from protocol.wire.codec import Size, Wire, decode, encode
from protocol.wire.envelope import Context, Envelope, open_envelope
from protocol.wire.messages import Contribution, Digest, Index, Ready

_Messages = Annotated[tuple[Envelope, ...], Size(1, params.MAX_COHORT)]


@dataclass(frozen=True, slots=True)
class CohortList(Wire):
    """The blob of a cohort: whole Enrol envelopes, a group for each enrolment root."""

    groups: Annotated[tuple[_Messages, ...], Size(1, params.MAX_GROUPS)]


@dataclass(frozen=True, slots=True)
class RosterList(Wire):
    """The blob of a frozen roster: whole Ready envelopes, by member."""

    messages: Annotated[tuple[Envelope, ...], Size(1, params.MAX_BLOCK)]


@dataclass(frozen=True, slots=True)
class ProvenRosterList(Wire):
    """The same where contributions prove their norm: beside it what shows of members who left that
    they cheated (books/dealings.py)."""

    messages: Annotated[tuple[Envelope, ...], Size(1, params.MAX_BLOCK)]
    cheats: Annotated[
        tuple[Annotated[bytes, Size(1, params.MAX_LIST_BYTES)], ...], Size(0, params.MAX_BLOCK)
    ]


@dataclass(frozen=True, slots=True)
class BlockList(Wire):
    """One block in a commitment: its roster, and who contributed which batch, by member.

    Where contributions prove their norm `roster_digest` is the verdict's, which its members hold
    the list to, and a batch is a dealing.
    """

    block: Index
    roster_digest: Digest
    members: Annotated[tuple[Index, ...], Size(1, params.MAX_BLOCK)]
    batches: Annotated[tuple[Digest, ...], Size(1, params.MAX_BLOCK)]

    def __post_init__(self) -> None:
        Wire.__post_init__(self)
        if len(self.members) != len(self.batches):
            raise Malformed("BlockList: members and batches differ in number")


@dataclass(frozen=True, slots=True)
class ContributionList(Wire):
    """The blob behind a commitment. The index tree has one leaf for each batch, in this order.

    It holds no signatures, because each listed batch costs the requester the rate, and an owner
    looks for its own batch. So it has some forty bytes an owner, and every owner fetches it.
    """

    blocks: Annotated[tuple[BlockList, ...], Size(1, params.MAX_BLOCKS)]


@dataclass(frozen=True, slots=True)
class RosterEntry:
    """A member of a frozen roster: its index, its place in the whole block, what it said."""

    member: int
    position: int
    ready: Ready


@dataclass(frozen=True, slots=True)
class Leaf:
    """One contribution that a commitment counts."""

    member: int
    block: int
    roster_digest: bytes
    batch_digest: bytes


def encode_cohort(groups: Sequence[Sequence[Envelope]]) -> bytes:
    """The blob of a cohort, its groups each in order."""
    return encode(CohortList(tuple(tuple(group) for group in groups)))


def decode_cohort(data: bytes) -> tuple[tuple[Envelope, ...], ...]:
    """Read and verify each signature. Raises Malformed."""
    groups = decode(CohortList, data, params.MAX_LIST_BYTES).groups
    return tuple(tuple(_opened(each) for each in group) for group in groups)


def examine_cohort(spec: JobSpec, job: bytes, data: bytes) -> Cohort:
    """The cohort that a list makes. Raises Malformed where any enrolment does not hold."""
    return build_cohort(spec, job, decode_cohort(data))


def encode_roster(envelopes: Sequence[Envelope]) -> bytes:
    """The blob of a roster, by member."""
    return encode(RosterList(tuple(envelopes)))


def encode_proven_roster(envelopes: Sequence[Envelope], cheats: Sequence[bytes]) -> bytes:
    """The blob of a roster whose members prove their norm, with the cheats of those who left."""
    return encode(ProvenRosterList(tuple(envelopes), tuple(cheats)))


def cheats_of(data: bytes) -> tuple[bytes, ...]:
    """What a roster shows of members who left. Raises Malformed."""
    return decode(ProvenRosterList, data, params.MAX_LIST_BYTES).cheats


def examine_roster(
    spec: JobSpec,
    cohort: Cohort,
    blocks: tuple[int, ...],
    block: int,
    context: Context,
    opening: bytes,
    data: bytes,
) -> tuple[RosterEntry, ...]:
    """A block's frozen roster: Ready messages for this opening, signed by members of the block.

    Without noise it holds the whole block, with noise all but the dropouts that the spec allows.
    With proofs and without noise whoever reads it also looks at `cheats_of`: all others must be
    there. Raises Malformed, naming the member if it is one member's fault.
    """
    messages = _roster(data, spec.proves)
    for each in messages:
        envelope = _opened(each)
        body = envelope.body
        if not isinstance(body, Ready) or envelope.context != context or body.opening != opening:
            raise Malformed("a roster lists something else than Ready for its opening")
    entries = _entries(cohort, blocks, block, messages, spec.proves)
    _ascending([entry.member for entry in entries])
    if len({entry.ready.mask_key for entry in entries}) != len(entries):
        # A copied key's masks could cancel the copied one's, with somebody between the two.
        raise Malformed("two members of a roster have one mask key")
    _enough(spec, block, len(block_members(blocks, block)), len(entries))
    return entries


def roster_entries(
    cohort: Cohort, blocks: tuple[int, ...], block: int, data: bytes, proven: bool = False
) -> tuple[RosterEntry, ...]:
    """A roster that was examined before under its digest: no signature is looked at."""
    return _entries(cohort, blocks, block, _roster(data, proven), proven)


def _entries(
    cohort: Cohort,
    blocks: tuple[int, ...],
    block: int,
    messages: Sequence[Envelope],
    proven: bool,
) -> tuple[RosterEntry, ...]:
    whole = block_members(blocks, block)
    entries = []
    for envelope in messages:
        body, member = envelope.body, cohort.index_of(envelope.sender)
        if member is None or member not in whole:
            raise Malformed("a roster names a key that no enrolment in its block covers")
        if not isinstance(body, Ready) or len(body.boxes) != (0 if proven else len(whole)):
            raise Malformed(f"member {member} does not share among the {len(whole)} of its block")
        entries.append(RosterEntry(member, whole.index(member), body))
    return tuple(entries)


def _roster(data: bytes, proven: bool) -> tuple[Envelope, ...]:
    if proven:
        return decode(ProvenRosterList, data, params.MAX_LIST_BYTES).messages
    return decode(RosterList, data, params.MAX_LIST_BYTES).messages


def contribution_list(
    blocks: tuple[int, ...],
    envelopes: Sequence[Envelope],
    verdicts: Mapping[int, bytes] | None = None,
) -> ContributionList:
    """A commitment's list: accepted contributions, by block and member. Those of one block name one
    roster; with `verdicts`, by block, its verdict stands in the roster's place."""
    found: dict[int, list[Contribution]] = {}
    for envelope in envelopes:
        if not isinstance(envelope.body, Contribution):
            raise Malformed("not a contribution")
        found.setdefault(blocks[envelope.body.member], []).append(envelope.body)
    listed = []
    for block in sorted(found):
        bodies = sorted(found[block], key=lambda body: body.member)
        members = tuple(body.member for body in bodies)
        batches = tuple(body.batch_digest for body in bodies)
        under = bodies[0].roster_digest if verdicts is None else verdicts[block]
        listed.append(BlockList(block, under, members, batches))
    return ContributionList(tuple(listed))


def encode_contributions(contributions: ContributionList) -> bytes:
    """The blob behind a commitment."""
    return encode(contributions)


def examine_contributions(
    spec: JobSpec, cohort: Cohort, blocks: tuple[int, ...], data: bytes
) -> tuple[ContributionList, bytes]:
    """A commitment's list and the root to compare with the chain's. Raises Malformed where a block
    has too few members, a member is not of its block, or the order is wrong."""
    listed = decode(ContributionList, data, params.MAX_LIST_BYTES)
    _ascending([each.block for each in listed.blocks])
    sizes = Counter(blocks)
    for each in listed.blocks:
        for member in each.members:
            if member >= len(blocks) or blocks[member] != each.block:
                raise Malformed(f"member {member} is listed in block {each.block}, not its own")
        _ascending(each.members)
        _enough(spec, each.block, sizes[each.block], len(each.members))
    return listed, contributions_root(cohort, listed)


def leaves(contributions: ContributionList) -> tuple[Leaf, ...]:
    """Every contribution of a list, in the order of the index tree."""
    return tuple(
        Leaf(member, each.block, each.roster_digest, batch)
        for each in contributions.blocks
        for member, batch in zip(each.members, each.batches, strict=True)
    )


def leaf_hash(cohort: Cohort, leaf: Leaf) -> bytes:
    """The index tree's leaf of a contribution: who is paid, block, roster, batch."""
    payout = cohort.members[leaf.member].payout
    return contribution_leaf(payout, leaf.block, leaf.roster_digest, leaf.batch_digest)


def contributions_root(cohort: Cohort, contributions: ContributionList) -> bytes:
    """The root that a commitment puts on the chain."""
    return index_root([leaf_hash(cohort, leaf) for leaf in leaves(contributions)])


def decode_contributions(data: bytes) -> ContributionList:
    """Read a list; its reader verifies it against the chain's root."""
    return decode(ContributionList, data, params.MAX_LIST_BYTES)


def ready_digest(ready: Ready) -> bytes:
    """The entry that a member expects of itself in a roster."""
    return hashlib.sha256(encode(ready)).digest()


def _opened(envelope: Envelope) -> Envelope:
    return open_envelope(encode(envelope))


def _enough(spec: JobSpec, block: int, whole: int, there: int) -> None:
    quorum = spec.quorum(whole)
    if there < quorum:
        raise Malformed(
            f"block {block} stands in a list with {there} of its {whole} members, "
            f"{quorum} are needed"
        )


def _ascending(places: Sequence[int]) -> None:
    if any(not a < b for a, b in itertools.pairwise(places)):
        raise Malformed("a list's entries do not ascend, or one stands twice")
