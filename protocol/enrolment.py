"""Who takes part: signed enrolments, their root, and blocks drawn from a later block's hash.

The root is on the chain first; the seed is the hash of a block that was mined after it, so the
requester cannot choose who sits with whom (design, section 2). Enrolments stand in the order of
their digests, which nobody chooses either once the list is fixed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from eth_hash.auto import keccak

from protocol.envelope import Context, Envelope, envelope_digest
from protocol.errors import Malformed
from protocol.messages import Enrol
from protocol.spec import CohortSpec, JobSpec
from protocol.trees import enrolment_leaf, index_root
from protocol.typed_data import Domain, Enrolment, enrolment_digest, recover


@dataclass(frozen=True, slots=True)
class Member:
    """One enrolled owner. `digest` is what its account signed (EIP-712)."""

    peer: bytes
    account: bytes
    payout: bytes
    rows: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class Cohort:
    """The enrolled, in the order of the enrolment root. A member's index is its place here."""

    members: tuple[Member, ...]
    root: bytes

    def index_of(self, peer: bytes) -> int | None:
        """The member's index, or None."""
        return next((i for i, m in enumerate(self.members) if m.peer == peer), None)


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
    body = envelope.body
    place = Context(spec.chain.chain_id, spec.chain.contract, job, 0, 0)
    if not isinstance(body, Enrol) or envelope.context != place:
        raise Malformed("not an enrolment in this job")
    if bytes(20) in (body.account, body.payout):
        raise Malformed("an enrolment of the zero address")
    statement = Enrolment(job, body.account, body.payout, keccak(envelope.sender), body.rows)
    digest = enrolment_digest(spec_domain(spec), statement)
    if recover(digest, body.signature) != body.account:
        raise Malformed("an enrolment that its account did not sign")
    return Member(envelope.sender, body.account, body.payout, body.rows, digest)


def build_cohort(spec: JobSpec, job: bytes, envelopes: Sequence[Envelope]) -> Cohort:
    """Verify a whole list. Raises Malformed: an enrolment that does not hold, a peer, account or
    payout that stands twice (it would be paid once only), a wrong order, a wrong number."""
    limits = spec.cohort
    if not limits.min_owners <= len(envelopes) <= limits.max_owners:
        raise Malformed(
            f"{len(envelopes)} owners are listed; "
            f"the job takes {limits.min_owners} to {limits.max_owners}"
        )
    members = tuple(read_enrolment(spec, job, envelope) for envelope in envelopes)
    for name in ("peer", "account", "payout"):
        if len({getattr(m, name) for m in members}) != len(members):
            raise Malformed(f"a {name} is enrolled twice")
    if limits.admission:
        stranger = next((m for m in members if m.account not in limits.admission), None)
        if stranger is not None:
            raise Malformed(f"account 0x{stranger.account.hex()} is not on the admission list")
    digests = [m.digest for m in members]
    if digests != sorted(digests):
        raise Malformed("enrolments do not stand in the order of their digests")
    return Cohort(members, index_root([enrolment_leaf(d) for d in digests]))


def cohort_order(spec: JobSpec, job: bytes, envelopes: Sequence[Envelope]) -> list[Envelope]:
    """The one order of a list of enrolments. Raises Malformed for one that does not hold."""
    return sorted(envelopes, key=lambda e: read_enrolment(spec, job, e).digest)


def draw_blocks(cohort: Cohort, limits: CohortSpec, seed: bytes) -> tuple[int, ...]:
    """Each member's block, by index: a shuffle keyed by the chain's hash, cut into near-equal runs.

    Sorting by SHA-256(seed || digest) is a uniform permutation for whoever cannot predict `seed`.
    """
    shuffled = sorted(
        range(len(cohort.members)),
        key=lambda i: hashlib.sha256(seed + cohort.members[i].digest).digest(),
    )
    blocks = [0] * len(shuffled)
    at = 0
    for block, size in enumerate(limits.blocks(len(shuffled))):
        for member in shuffled[at : at + size]:
            blocks[member] = block
        at += size
    return tuple(blocks)


def message_digests(envelopes: Sequence[Envelope]) -> tuple[bytes, ...]:
    """The digests of signed messages, in order."""
    return tuple(envelope_digest(e) for e in envelopes)
