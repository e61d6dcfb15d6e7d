"""What a machine is told. Time comes in with every input (`at`, Unix milliseconds).

Names show where it comes from: Action… the local user or policy; Receive… a peer; Chain… the
chain; Tick the clock; all others the outcome of an effect.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Annotated

from protocol import params
from protocol.machines.effects import Facts
from protocol.wire.codec import Amount, Range, Size, Wire
from protocol.wire.envelope import Envelope
from protocol.wire.messages import (
    Address,
    Attempt,
    BlobSize,
    Digest,
    Index,
    Milliseconds,
    NoDigest,
    Ready,
    Reason,
    Round,
)


@dataclass(frozen=True, slots=True)
class Tick(Wire):
    at: Milliseconds


@dataclass(frozen=True, slots=True)
class ActionPost(Wire):
    """The local user posts this job."""

    at: Milliseconds


@dataclass(frozen=True, slots=True)
class ActionConsent(Wire):
    """A policy or a person takes the job with a data set (local name), paid to `payout`.

    At least `known_least` of the accounts `known` must sit in this owner's block, and at most
    `max_unpaid` attempts in a row may end without pay.
    """

    at: Milliseconds
    dataset: Annotated[str, Size(1, 100)]
    payout: Address
    rows: Annotated[int, Range(0, 2**32 - 1)]
    known: Annotated[tuple[Address, ...], Size(0, params.MAX_POLICY_ENTRIES)] = ()
    known_least: Annotated[int, Range(0, params.MAX_BLOCK)] = 0
    max_unpaid: Annotated[int, Range(0, params.MAX_ROUNDS * params.MAX_ATTEMPTS)] = (
        params.MAX_ROUNDS * params.MAX_ATTEMPTS
    )


@dataclass(frozen=True, slots=True)
class ActionWithhold(Wire):
    """No policy takes the job by itself; `final` when nobody could take it here."""

    at: Milliseconds
    final: bool
    reason: Reason


@dataclass(frozen=True, slots=True)
class ActionReconsider(Wire):
    """A policy or the data sets changed: a job that waits may fit now."""

    at: Milliseconds


@dataclass(frozen=True, slots=True)
class ActionCancel(Wire):
    at: Milliseconds


@dataclass(frozen=True, slots=True)
class ReceiveMessage(Wire):
    """A verified envelope of this job; `digest` is its own, its attachment is stored already."""

    at: Milliseconds
    envelope: Envelope
    digest: Digest


@dataclass(frozen=True, slots=True)
class BlobArrived(Wire):
    at: Milliseconds
    digest: Digest


@dataclass(frozen=True, slots=True)
class BlobMissing(Wire):
    at: Milliseconds
    digest: Digest
    reason: Reason


@dataclass(frozen=True, slots=True)
class AssembledCohort(Wire):
    """The cohort's list is stored; `root` is its last group's enrolment root."""

    at: Milliseconds
    digest: Digest
    size: BlobSize
    root: Digest


@dataclass(frozen=True, slots=True)
class AssembledRoster(Wire):
    """A block's roster is stored."""

    at: Milliseconds
    round: Round
    attempt: Attempt
    block: Index
    digest: Digest
    size: BlobSize


@dataclass(frozen=True, slots=True)
class AssembledContributions(Wire):
    """A commitment's list is stored; `root` is its index tree's."""

    at: Milliseconds
    round: Round
    attempt: Attempt
    digest: Digest
    size: BlobSize
    root: Digest


@dataclass(frozen=True, slots=True)
class ExaminedCohort(Wire):
    """A fetched cohort list holds.

    `roots` are its groups', `count` is how many owners it has. `mine` is the digest of this node's
    enrolment in it, empty if it has none.
    """

    at: Milliseconds
    digest: Digest
    roots: Annotated[tuple[Digest, ...], Size(0, params.MAX_GROUPS)]
    count: Index
    mine: NoDigest


@dataclass(frozen=True, slots=True)
class ExaminedRoster(Wire):
    """A fetched roster holds. `mine` is the digest of this node's Ready in it, empty if none."""

    at: Milliseconds
    round: Round
    attempt: Attempt
    digest: Digest
    members: Annotated[tuple[Index, ...], Size(0, params.MAX_BLOCK)]
    mine: NoDigest


@dataclass(frozen=True, slots=True)
class ExaminedContributions(Wire):
    """A fetched contribution list holds.

    `root` is its index tree's and `count` how many contributions it has. `members` are those of
    this node's block and roster. `mine` is this node's batch in it, empty if none.
    """

    at: Milliseconds
    round: Round
    attempt: Attempt
    digest: Digest
    root: Digest
    members: Annotated[tuple[Index, ...], Size(0, params.MAX_BLOCK)]
    count: Index
    mine: NoDigest


@dataclass(frozen=True, slots=True)
class RejectedCohort(Wire):
    """A fetched cohort list does not hold."""

    at: Milliseconds
    digest: Digest
    reason: Reason


@dataclass(frozen=True, slots=True)
class RejectedRoster(Wire):
    """A fetched roster does not hold."""

    at: Milliseconds
    round: Round
    attempt: Attempt
    digest: Digest
    reason: Reason


@dataclass(frozen=True, slots=True)
class RejectedContributions(Wire):
    """A fetched contribution list does not hold."""

    at: Milliseconds
    round: Round
    attempt: Attempt
    digest: Digest
    reason: Reason


@dataclass(frozen=True, slots=True)
class CommitmentSigned(Wire):
    at: Milliseconds
    round: Round
    root: Digest
    valid_until: int
    signature: Annotated[bytes, Size(65)]


@dataclass(frozen=True, slots=True)
class InitialModelMade(Wire):
    """The job's first model is stored."""

    at: Milliseconds
    digest: Digest
    size: BlobSize


@dataclass(frozen=True, slots=True)
class ContributionMade(Wire):
    """This owner's batch is stored, masked and encrypted."""

    at: Milliseconds
    round: Round
    attempt: Attempt
    digest: Digest
    size: BlobSize
    facts: Facts


@dataclass(frozen=True, slots=True)
class BatchSound(Wire):
    """A member's batch was checked, and may count."""

    at: Milliseconds
    round: Round
    attempt: Attempt
    member: Index


@dataclass(frozen=True, slots=True)
class SumMade(Wire):
    """A block's batches are added up."""

    at: Milliseconds
    round: Round
    attempt: Attempt
    block: Index
    digest: Digest


@dataclass(frozen=True, slots=True)
class ModelMoved(Wire):
    """The next model is stored, with momentum and the record of measured worth beside it."""

    at: Milliseconds
    round: Round
    digest: Digest
    size: BlobSize
    momentum: NoDigest
    facts: Facts
    worth: NoDigest = b""


@dataclass(frozen=True, slots=True)
class InitialModelFailed(Wire):
    """The spec gives no first model."""

    at: Milliseconds
    reason: Reason


@dataclass(frozen=True, slots=True)
class SecretsFailed(Wire):
    """This attempt's secrets cannot be made."""

    at: Milliseconds
    round: Round
    attempt: Attempt
    reason: Reason


@dataclass(frozen=True, slots=True)
class ContributionFailed(Wire):
    """The data set does not fit, or may not be used (not: a worker that died, which is tried
    again)."""

    at: Milliseconds
    round: Round
    attempt: Attempt
    reason: Reason


@dataclass(frozen=True, slots=True)
class BatchUnsound(Wire):
    """A member's batch does not hold."""

    at: Milliseconds
    round: Round
    attempt: Attempt
    member: Index
    reason: Reason


@dataclass(frozen=True, slots=True)
class SumFailed(Wire):
    """Batches that were checked cannot be added up."""

    at: Milliseconds
    round: Round
    attempt: Attempt
    block: Index
    reason: Reason


@dataclass(frozen=True, slots=True)
class MoveFailed(Wire):
    """The model cannot be moved: its step leaves the range of floats."""

    at: Milliseconds
    round: Round
    reason: Reason


@dataclass(frozen=True, slots=True)
class SecretsMade(Wire):
    """This attempt's secrets are sealed in the vault; `ready` is what may be said of them."""

    at: Milliseconds
    round: Round
    attempt: Attempt
    ready: Ready


@dataclass(frozen=True, slots=True)
class Unmasked(Wire):
    """What a block's releases gave: what takes its masks off (empty: too few good shares).

    `good` released what was sealed for them, `bad` something else; `liars` shared out what does not
    make the secret that they committed to: their block cannot be opened.
    """

    at: Milliseconds
    round: Round
    attempt: Attempt
    block: Index
    digest: NoDigest
    good: Annotated[tuple[Index, ...], Size(0, params.MAX_BLOCK)]
    bad: Annotated[tuple[Index, ...], Size(0, params.MAX_BLOCK)]
    liars: Annotated[tuple[Index, ...], Size(0, params.MAX_BLOCK)]


@dataclass(frozen=True, slots=True)
class Settled(Wire):
    """Evidence stored, merit tree built."""

    at: Milliseconds
    digest: Digest
    size: BlobSize
    merit_root: Digest
    payouts: Annotated[tuple[Address, ...], Size(0, params.MAX_COHORT)]


class Call(enum.Enum):
    """The contract's functions that a machine calls."""

    POST = "post"
    ENROL = "enrol"
    COMMIT = "commit"
    FINISH = "finish"
    CLAIM = "claim"
    CANCEL = "cancel"
    WITHDRAW = "withdraw"


@dataclass(frozen=True, slots=True)
class TransactionFailed(Wire):
    """The chain refuses a transaction for good."""

    at: Milliseconds
    call: Call
    account: Annotated[bytes, Size(0, 20)]  # of a claim; empty otherwise
    reason: Reason


@dataclass(frozen=True, slots=True)
class TransactionFinal(Wire):
    """A transaction of ours is mined, deep enough, and did not revert."""

    at: Milliseconds
    call: Call
    account: Annotated[bytes, Size(0, 20)]  # of a claim; empty otherwise


@dataclass(frozen=True, slots=True)
class ChainHead(Wire):
    at: Milliseconds
    number: int
    timestamp: int


@dataclass(frozen=True, slots=True)
class ChainReorg(Wire):
    """Every fact from blocks above `number` is void."""

    at: Milliseconds
    number: int


@dataclass(frozen=True, slots=True)
class ChainJob(Wire):
    """The terms that the contract holds; `known` is false where it has no such job."""

    at: Milliseconds
    known: bool
    requester: Address
    spec_digest: Digest
    token: Address
    rounds: Round
    cohort: Index
    rate: Amount
    merit: Amount
    expiry: int


@dataclass(frozen=True, slots=True)
class ChainBlockHash(Wire):
    at: Milliseconds
    number: int
    hash: Digest


@dataclass(frozen=True, slots=True)
class ChainPosted(Wire):
    at: Milliseconds
    block: int


@dataclass(frozen=True, slots=True)
class ChainEnrolled(Wire):
    at: Milliseconds
    block: int
    index: int
    root: Digest
    count: Index


@dataclass(frozen=True, slots=True)
class ChainCommitted(Wire):
    at: Milliseconds
    block: int
    round: Round
    root: Digest
    count: Index
    model_digest: Digest


@dataclass(frozen=True, slots=True)
class ChainFinished(Wire):
    at: Milliseconds
    block: int
    model_digest: Digest
    evidence_digest: Digest


@dataclass(frozen=True, slots=True)
class ChainCancelled(Wire):
    at: Milliseconds
    block: int
    effective: int


@dataclass(frozen=True, slots=True)
class ChainClaimed(Wire):
    at: Milliseconds
    block: int
    account: Address
    amount: Amount


@dataclass(frozen=True, slots=True)
class ChainWithdrawn(Wire):
    at: Milliseconds
    block: int
    amount: Amount


#: What a computation comes to (effects.Compute).
Outcome = (
    InitialModelMade
    | ContributionMade
    | BatchSound
    | SumMade
    | ModelMoved
    | InitialModelFailed
    | ContributionFailed
    | BatchUnsound
    | SumFailed
    | MoveFailed
)

Input = (
    Tick
    | ActionPost
    | ActionConsent
    | ActionWithhold
    | ActionReconsider
    | ActionCancel
    | ReceiveMessage
    | BlobArrived
    | BlobMissing
    | AssembledCohort
    | AssembledRoster
    | AssembledContributions
    | ExaminedCohort
    | ExaminedRoster
    | ExaminedContributions
    | RejectedCohort
    | RejectedRoster
    | RejectedContributions
    | CommitmentSigned
    | Outcome
    | SecretsMade
    | SecretsFailed
    | Unmasked
    | Settled
    | TransactionFailed
    | TransactionFinal
    | ChainHead
    | ChainReorg
    | ChainJob
    | ChainBlockHash
    | ChainPosted
    | ChainEnrolled
    | ChainCommitted
    | ChainFinished
    | ChainCancelled
    | ChainClaimed
    | ChainWithdrawn
)
