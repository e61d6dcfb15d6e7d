"""Who takes part: signed enrolments, their root, and blocks drawn by a chain block's hash.

The root is on the chain first; the seed is the hash of a chain block that was mined after it, so
the requester cannot choose who sits with whom (docs/design.md, section 2). Enrolments stand in the
order of their digests, which nobody chooses either once the list is fixed.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from eth_hash.auto import keccak

from protocol.books.trees import enrolment_leaf, index_root
from protocol.books.typed_data import Domain, Enrolment, enrolment_digest, recover
from protocol.errors import Malformed
from protocol.spec.job import CohortSpec, JobSpec
from protocol.wire.envelope import Context, Envelope
from protocol.wire.identity import of_low_order
from protocol.wire.messages import Enrol


@dataclass(frozen=True, slots=True)
class Member:
    """One enrolled owner. `digest` is what its account signed (EIP-712), `sealing_key` the X25519
    key that its peer signed for the job."""

    peer: bytes
    account: bytes
    payout: bytes
    rows: int
    digest: bytes
    sealing_key: bytes


@dataclass(frozen=True, slots=True)
class Draw:
    """A round's blocks: each member's, by index, and each block's members, ascending."""

    blocks: tuple[int, ...]
    members: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Cohort:
    """The enrolled, group after group: each has a root of its own on the chain, and blocks of its
    own. A member's index is its place here, and stays: later groups come behind."""

    members: tuple[Member, ...]
    roots: tuple[bytes, ...]
    counts: tuple[int, ...]
    digests: tuple[bytes, ...] = field(init=False, repr=False, compare=False)
    peers: frozenset[bytes] = field(init=False, repr=False, compare=False)
    _places: Mapping[bytes, int] = field(init=False, repr=False, compare=False)
    #: Draws that were asked for, kept here because a look at them must not cost a walk over all
    #: members: every message of a round asks. Nothing but `draw` touches it.
    _draws: OrderedDict[object, Draw] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "digests", tuple(member.digest for member in self.members))
        places = {member.peer: index for index, member in enumerate(self.members)}
        object.__setattr__(self, "_places", places)
        object.__setattr__(self, "peers", frozenset(places))
        object.__setattr__(self, "_draws", OrderedDict())

    @property
    def root(self) -> bytes:
        """The last group's."""
        return self.roots[-1]

    def index_of(self, peer: bytes) -> int | None:
        """The member's index, or None."""
        return self._places.get(peer)

    def first(self, groups: int) -> Cohort:
        """The cohort as it was with so many groups."""
        counts = self.counts[:groups]
        return Cohort(self.members[: sum(counts)], self.roots[:groups], counts)

    def continues(self, earlier: Cohort) -> bool:
        """Whether this is `earlier`, or `earlier` with further groups behind it.

        Members are compared whole: a root does not cover their sealing keys.
        """
        return self.first(len(earlier.roots)) == earlier


def job_id(domain: Domain, requester: bytes, digest: bytes) -> bytes:
    """The contract's id of a job: keccak256(abi.encode(chain id, contract, requester, spec))."""
    return keccak(
        domain.chain_id.to_bytes(32, "big")
        + domain.contract.rjust(32, b"\0")
        + requester.rjust(32, b"\0")
        + digest
    )


def spec_domain(spec: JobSpec) -> Domain:
    """Where the job's EIP-712 signatures hold."""
    return Domain(spec.chain.chain_id, spec.chain.contract)


def read_enrolment(spec: JobSpec, job: bytes, envelope: Envelope) -> Member:
    """Verify one enrolment: its place, and the account's signature over exactly this.

    The envelope's own signature was verified when it was opened. Raises Malformed.
    """
    body = _enrol(spec, job, envelope)
    if bytes(20) in (body.account, body.payout):
        raise Malformed("an enrolment of the zero address")
    if not _agrees(body.sealing_key):
        raise Malformed("an enrolment with a sealing key that agrees on nothing secret (low order)")
    digest = _digest(spec, job, envelope)
    if recover(digest, body.signature) != body.account:
        raise Malformed("an enrolment that its account did not sign")
    if of_low_order(body.sealing_key):
        raise Malformed(
            "an enrolment whose sealing key is of low order: nothing can be sealed to it"
        )
    return Member(envelope.sender, body.account, body.payout, body.rows, digest, body.sealing_key)


def _enrol(spec: JobSpec, job: bytes, envelope: Envelope) -> Enrol:
    body, chain = envelope.body, spec.chain
    place = Context(chain.chain_id, chain.contract, job, 0, 0)
    if not isinstance(body, Enrol) or envelope.context != place:
        raise Malformed("not an enrolment in this job")
    return body


def _digest(spec: JobSpec, job: bytes, envelope: Envelope) -> bytes:
    """What an enrolment's account signs (EIP-712)."""
    body = _enrol(spec, job, envelope)
    statement = Enrolment(job, body.account, body.payout, keccak(envelope.sender), body.rows)
    return enrolment_digest(spec_domain(spec), statement)


def _agrees(public: bytes) -> bool:
    """Whether X25519 with this key gives a secret (RFC 7748, section 6.1: not all zero)."""
    try:
        _ANY_KEY.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:
        return False
    return True


#: A key of low order gives zero with every private key, so one private key finds them all.
_ANY_KEY: Final = X25519PrivateKey.from_private_bytes(bytes(range(32)))


def build_cohort(spec: JobSpec, job: bytes, groups: Sequence[Sequence[Envelope]]) -> Cohort:
    """Verify whole groups. Raises Malformed: an enrolment that does not hold, a peer, account or
    sealing key that stands twice, a wrong order, a wrong number.

    A payout account may stand twice, because nobody asks it before it is named: were it to stand
    once, whoever named another's first would keep that other out. A round pays it once.
    """
    limits = spec.cohort
    total = sum(len(group) for group in groups)
    first = len(groups[0]) if groups else 0
    if not (limits.min_owners <= first and total <= limits.max_owners):
        raise Malformed(
            f"{total} owners are listed, {first} of them at first; "
            f"the job takes {limits.min_owners} to {limits.max_owners}"
        )
    for group in groups[1:]:
        if len(group) < limits.block_size:
            raise Malformed(
                f"{len(group)} owners came later together; a block has {limits.block_size}"
            )
        if limits.group_of(len(group)) != len(group):
            raise Malformed(
                f"{len(group)} owners came later together, who make a block of "
                f"{limits.blocks(len(group))[0]}; the job's have at most {limits.largest_block}"
            )
    members = tuple(read_enrolment(spec, job, each) for group in groups for each in group)
    for name in ("peer", "account", "sealing_key"):
        if len({getattr(m, name) for m in members}) != len(members):
            raise Malformed(f"a {name} is enrolled twice")
    if limits.admission:
        stranger = next((m for m in members if m.account not in limits.admission), None)
        if stranger is not None:
            raise Malformed(f"account 0x{stranger.account.hex()} is not on the admission list")
    roots, at = [], 0
    for group in groups:
        digests = [m.digest for m in members[at : at + len(group)]]
        if digests != sorted(digests):
            raise Malformed("enrolments do not stand in the order of their digests")
        roots.append(index_root([enrolment_leaf(d) for d in digests]))
        at += len(group)
    return Cohort(members, tuple(roots), tuple(len(group) for group in groups))


def cohort_order(spec: JobSpec, job: bytes, envelopes: Sequence[Envelope]) -> list[Envelope]:
    """The one order of a group's enrolments, which `build_cohort` verifies. Raises Malformed for
    what is no enrolment in this job."""
    return sorted(envelopes, key=lambda envelope: _digest(spec, job, envelope))


def draw_blocks(
    cohort: Cohort, limits: CohortSpec, seeds: Sequence[bytes], round_: int
) -> tuple[int, ...]:
    """Each member's block in a round, by index: a shuffle keyed by the chain's hash, cut into
    near-equal runs. Covers the groups that `seeds` has a hash for; later groups have no blocks yet.

    Sorting by SHA-256(seed || digest) is a uniform permutation to anybody who cannot predict
    `seed`. Where blocks shuffle, the round's number follows the seed.
    """
    return draw(cohort, limits, seeds, round_).blocks


def draw(cohort: Cohort, limits: CohortSpec, seeds: Sequence[bytes], round_: int) -> Draw:
    """`draw_blocks`, with each block's members. The last few draws are kept."""
    number = round_ if limits.shuffle else 0
    # All of the limits that a draw rests on. Their list of admitted accounts may be a long one.
    key = limits.block_size, limits.shuffle, tuple(seeds), number
    kept = cohort._draws.get(key)
    if kept is None:
        kept = _draw(cohort.digests, cohort.counts, limits, tuple(seeds), number)
        cohort._draws[key] = kept
        if len(cohort._draws) > _DRAWS:
            cohort._draws.popitem(last=False)
    return kept


#: Draws that a cohort keeps: the present round's, those that are owed shares, and those asked for
#: by whoever looks back.
_DRAWS: Final = 8


@lru_cache(maxsize=64)
def _draw(
    digests: tuple[bytes, ...],
    counts: tuple[int, ...],
    limits: CohortSpec,
    seeds: tuple[bytes, ...],
    round_: int,
) -> Draw:
    blocks: list[int] = []
    number = 0
    for count, seed in zip(counts, seeds, strict=False):
        start = len(blocks)
        key = seed + round_.to_bytes(4, "big") if limits.shuffle else seed

        def place(index: int, key: bytes = key) -> bytes:
            return hashlib.sha256(key + digests[index]).digest()

        shuffled = sorted(range(start, start + count), key=place)
        blocks += [0] * count
        at = 0
        for size in limits.blocks(count):
            for member in shuffled[at : at + size]:
                blocks[member] = number
            at += size
            number += 1
    members: list[list[int]] = [[] for _ in range(number)]
    for member, block in enumerate(blocks):
        members[block].append(member)
    return Draw(tuple(blocks), tuple(tuple(each) for each in members))


def block_members(blocks: Sequence[int], block: int) -> tuple[int, ...]:
    """The members of a block, by index."""
    return tuple(member for member, b in enumerate(blocks) if b == block)
