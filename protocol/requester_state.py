"""What a requester's machine remembers of a job: digests and numbers, never batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from protocol import params
from protocol.codec import Size, Wire
from protocol.effects import Attempt, NoDigest, Round
from protocol.job import JobPhase
from protocol.messages import Address, BlobSize, Digest, Index, Milliseconds, Open, PeerId
from protocol.round import Phase


@dataclass(frozen=True, slots=True)
class EnrolmentRecord(Wire):
    """An accepted enrolment and the digest of the signed message that made it."""

    peer: PeerId
    account: Address
    payout: Address
    message: Digest


@dataclass(frozen=True, slots=True)
class ReadyRecord(Wire):
    member: Index
    message: Digest


@dataclass(frozen=True, slots=True)
class ContributionRecord(Wire):
    """A contribution's header, and whether its batch is here and its ciphertexts are sound."""

    member: Index
    message: Digest
    batch: Digest
    size: BlobSize
    sound: bool


@dataclass(frozen=True, slots=True)
class SumRecord(Wire):
    block: Index
    digest: Digest
    count: Index


@dataclass(frozen=True, slots=True)
class RequesterRound(Wire):
    """One attempt. Empty digests stand for what has not happened yet."""

    number: Round
    attempt: Attempt
    phase: Phase
    opening: Open
    opening_digest: Digest
    retry_at: Milliseconds  # when a failed attempt is followed by the next
    ready: Annotated[tuple[ReadyRecord, ...], Size(0, params.MAX_COHORT)] = ()
    blocks: Annotated[tuple[Index, ...], Size(0, params.MAX_COHORT)] = ()  # that count
    frozen_digest: NoDigest = b""
    frozen_size: BlobSize = 0
    contributions: Annotated[tuple[ContributionRecord, ...], Size(0, params.MAX_COHORT)] = ()
    list_digest: NoDigest = b""
    list_size: BlobSize = 0
    root: NoDigest = b""
    valid_until: int = 0
    signature: Annotated[bytes, Size(0, 65)] = b""
    committed_block: int = 0
    sums: Annotated[tuple[SumRecord, ...], Size(0, params.MAX_COHORT)] = ()
    applying: bool = False


@dataclass(frozen=True, slots=True)
class RoundRecord(Wire):
    """A round that is over, as the evidence shows it."""

    number: Round
    attempt: Attempt
    model_digest: Digest
    frozen_digest: Digest
    frozen_size: BlobSize
    list_digest: Digest
    list_size: BlobSize
    root: Digest
    count: Index
    next_model: Digest


@dataclass(frozen=True, slots=True)
class RequesterState(Wire):
    """A job as its requester sees it. Block numbers are 0 while the fact is not on the chain."""

    phase: JobPhase = JobPhase.POSTING
    head: int = 0
    posted_block: int = 0
    announced_at: Milliseconds = 0
    enrol_until: Milliseconds = 0
    enrolments: Annotated[tuple[EnrolmentRecord, ...], Size(0, params.MAX_COHORT)] = ()
    cohort_digest: NoDigest = b""
    cohort_size: BlobSize = 0
    enrol_root: NoDigest = b""
    enrolled_block: int = 0
    seed: NoDigest = b""
    seed_asked: bool = False
    model_digest: NoDigest = b""
    model_size: BlobSize = 0
    momentum: NoDigest = b""
    round: RequesterRound | None = None
    records: Annotated[tuple[RoundRecord, ...], Size(0, params.MAX_ROUNDS)] = ()
    evidence_digest: NoDigest = b""
    evidence_size: BlobSize = 0
    unpaid: Annotated[tuple[Address, ...], Size(0, params.MAX_COHORT)] = ()
    withdrawals: int = 0
    cancel_effective: int = 0  # Unix seconds at which the contract closes the job
    closed_block: int = 0  # the first block seen at or after that moment
    settling: bool = False
    reason: Annotated[str, Size(0, params.MAX_REASON_BYTES)] = ""
