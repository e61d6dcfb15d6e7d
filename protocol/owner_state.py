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
    list_holds: bool = False


@dataclass(frozen=True, slots=True)
class ChainCommitment(Wire):
    """A commitment on the chain."""

    round: Round
    root: Digest
    block: int


@dataclass(frozen=True, slots=True)
class EarnedRound(Wire):
    """A round whose final commitment lists this owner: what it will claim."""

    round: Round
    root: Digest
    list_digest: Digest
    list_size: BlobSize


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
    cohort_here: bool = False
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
    paid: Amount = 0
    reason: Annotated[str, Size(0, params.MAX_REASON_BYTES)] = ""
