"""What an owner's machine remembers of a job: digests and numbers, never batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from protocol import params
from protocol.codec import Amount, Size, Wire
from protocol.effects import Attempt, NoDigest, Round
from protocol.job import JobPhase
from protocol.messages import BlobSize, Digest, Index, Milliseconds, Open
from protocol.round import Phase

#: A claim pays at least one round, its equal share of merit, or the merit: each once.
_MAX_CLAIMS = 2 * params.MAX_ROUNDS + 1


@dataclass(frozen=True, slots=True)
class OwnerRound(Wire):
    """One attempt as this owner follows it. Empty digests: not yet."""

    number: Round
    attempt: Attempt
    phase: Phase
    opening: Open
    opening_digest: Digest
    model_here: bool = False
    frozen_digest: NoDigest = b""
    batch_digest: NoDigest = b""
    batch_size: BlobSize = 0
    pushed_at: Milliseconds = 0  # when the header was last said
    commitment_root: NoDigest = b""
    list_digest: NoDigest = b""
    list_size: BlobSize = 0
    listed: Index = 0  # contributions in the list, once it was verified; 0 before


@dataclass(frozen=True, slots=True)
class ChainCommitment(Wire):
    """A commitment on the chain."""

    round: Round
    root: Digest
    count: Index
    model_digest: Digest
    block: int


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
    dataset: Annotated[str, Size(0, 100)] = ""
    payout: Annotated[bytes, Size(0, 20)] = b""
    rows: int = 0
    enrol_sent_at: Milliseconds = 0
    enrol_root: NoDigest = b""
    enrol_count: Index = 0
    enrolled_block: int = 0
    seed: NoDigest = b""
    seed_asked: bool = False
    cohort_digest: NoDigest = b""
    cohort_root: NoDigest = b""  # of the fetched list, which must be the chain's
    cohort_here: bool = False  # fetched, this owner is in it, and its root is the chain's
    round: OwnerRound | None = None
    commitment: ChainCommitment | None = None  # the latest on the chain
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

    @property
    def paid(self) -> int:
        """What the chain has paid this owner for the job, in the token's smallest unit."""
        return sum(claim.amount for claim in self.claims)
