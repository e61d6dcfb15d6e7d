"""What an owner's machine remembers of a job: digests and numbers, never batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from protocol import params
from protocol.machines.job import JobPhase
from protocol.machines.round import Phase
from protocol.wire.codec import Amount, Size, Wire
from protocol.wire.messages import (
    Address,
    Attempt,
    BlobSize,
    Digest,
    Index,
    ListSize,
    Milliseconds,
    NoDigest,
    Open,
    Round,
)

#: A claim pays at least one round, its equal share of merit, or the merit: each once.
_MAX_CLAIMS = 2 * params.MAX_ROUNDS + 1

_BlockMembers = Annotated[tuple[Index, ...], Size(0, params.MAX_BLOCK)]


@dataclass(frozen=True, slots=True)
class OwnerRound(Wire):
    """One attempt as this owner follows it. Empty digests: not yet."""

    number: Round
    attempt: Attempt
    phase: Phase
    opening: Open
    opening_digest: Digest
    model_here: bool = False
    block: Index = 0  # of this owner, once its secrets are asked for
    secrets_asked: bool = False
    ready_digest: NoDigest = b""  # of the body of this owner's Ready
    roster_digest: NoDigest = b""
    roster_size: ListSize = 0
    roster: _BlockMembers = ()
    batch_digest: NoDigest = b""
    batch_size: BlobSize = 0
    said_at: Milliseconds = 0  # when the header was sent
    gossiped: bool = False  # the header, too
    commitment_root: NoDigest = b""
    list_digest: NoDigest = b""
    list_size: BlobSize = 0
    count: Index = 0  # contributions in the list, once it was verified; 0 before
    listed: _BlockMembers = ()  # those of this owner's block


@dataclass(frozen=True, slots=True)
class OwnerProof(Wire):
    """What beside OwnerRound an attempt of a job with proofs is followed by. Empty: not yet."""

    number: Round
    attempt: Attempt
    dealt_digest: NoDigest = b""
    dealt_size: ListSize = 0
    asked: bool = False  # the boxes
    waiting: Annotated[tuple[Digest, ...], Size(0, params.MAX_BLOCK)] = ()  # boxes on their way
    words_asked: bool = False
    list_here: bool = False  # the commitment's
    verdict_digest: NoDigest = b""
    verdict_size: BlobSize = 0
    verdict_here: bool = False
    able: bool = False  # it holds a piece of everybody that the commitment lists


@dataclass(frozen=True, slots=True)
class ChainCommitment(Wire):
    """A commitment on the chain."""

    round: Round
    root: Digest
    count: Index
    model_digest: Digest
    block: int


@dataclass(frozen=True, slots=True)
class EnrolRoot(Wire):
    """An enrolment root on the chain, and the hash that draws its blocks (empty: not final yet)."""

    index: Index
    root: Digest
    count: Index
    block: int
    asked: bool = False
    seed: NoDigest = b""


@dataclass(frozen=True, slots=True)
class EarnedRound(Wire):
    """A round whose commitment lists this owner: what it can claim, once it is on the chain."""

    round: Round
    root: Digest
    list_digest: Digest
    list_size: BlobSize
    block: int  # 0 while the chain does not hold the root


@dataclass(frozen=True, slots=True)
class PaidClaim(Wire):
    """A claim that was paid to this owner's payout account."""

    block: int
    amount: Amount


@dataclass(frozen=True, slots=True)
class OwnerState(Wire):
    """A job as one of its owners sees it. Block numbers are 0 while not on the chain."""

    phase: JobPhase = JobPhase.SEEN
    head: int = 0
    heard_at: Milliseconds = 0
    asked_at: Milliseconds = 0
    asks: Index = 0  # since anything new was heard
    heard: Annotated[
        tuple[tuple[Annotated[str, Size(1, 40)], Digest], ...], Size(0, params.MAX_TOLD_FRAMES)
    ] = ()  # the latest of each kind that the requester said
    dataset: Annotated[str, Size(0, 100)] = ""
    payout: Annotated[bytes, Size(0, 20)] = b""
    rows: int = 0
    known: Annotated[tuple[Address, ...], Size(0, params.MAX_POLICY_ENTRIES)] = ()
    known_least: int = 0
    max_unpaid: int = 0
    unpaid: int = 0  # attempts that were contributed to since the last that the chain pays
    enrol_sent_at: Milliseconds = 0
    roots: Annotated[tuple[EnrolRoot, ...], Size(0, params.MAX_GROUPS)] = ()
    cohort_digest: NoDigest = b""
    cohort_roots: Annotated[tuple[Digest, ...], Size(0, params.MAX_GROUPS)] = ()  # of that list
    cohort_mine: bool = False  # this owner stands in that list
    cohort_here: bool = False  # and its roots are the chain's, each with its seed
    held_cohort: NoDigest = b""  # the last list that was so: rounds before go on by it
    held_groups: Index = 0
    round: OwnerRound | None = None
    due: OwnerRound | None = None  # a round whose commitment was not final when the next opened
    commitments: Annotated[tuple[ChainCommitment, ...], Size(0, 2)] = ()  # the latest, by round
    contributed: Annotated[
        tuple[tuple[Digest, Round], ...], Size(0, params.MAX_ROUNDS)
    ] = ()  # models contributed to, each in one round only
    earned: Annotated[tuple[EarnedRound, ...], Size(0, params.MAX_ROUNDS)] = ()
    model_digest: NoDigest = b""
    model_size: BlobSize = 0
    evidence_digest: NoDigest = b""
    evidence_size: BlobSize = 0
    evidence_on_chain: NoDigest = b""
    claims: Annotated[tuple[PaidClaim, ...], Size(0, _MAX_CLAIMS)] = ()
    reason: Annotated[str, Size(0, params.MAX_REASON_BYTES)] = ""
    explained: bool = False  # the requester was told why the job is not taken: once, for good
    proofs: Annotated[tuple[OwnerProof, ...], Size(0, 2)] = ()  # of the attempts that are followed

    @property
    def paid(self) -> int:
        """What the chain has paid this owner for the job, in the token's smallest unit."""
        return sum(claim.amount for claim in self.claims)

    @property
    def seeds(self) -> tuple[bytes, ...]:
        """The seeds of the blocks, one a group of the last list that holds; empty before it."""
        return tuple(root.seed for root in self.roots[: self.held_groups])
