"""What a machine is told. Time comes in with every input (`at`, Unix milliseconds).

Names show where it comes from: Action… the local user or policy; Receive… a peer; Chain… the
chain; Tick the clock; all others the outcome of an effect.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from protocol import params
from protocol.codec import Amount, Range, Size, Wire
from protocol.effects import Attempt, BlobKind, Facts, NoDigest, Round
from protocol.envelope import Envelope
from protocol.messages import Address, BlobSize, Digest, Index, Milliseconds, Reason


@dataclass(frozen=True, slots=True)
class Tick(Wire):
    at: Milliseconds


@dataclass(frozen=True, slots=True)
class ActionPost(Wire):
    """The local user posts this job."""

    at: Milliseconds


@dataclass(frozen=True, slots=True)
class ActionConsent(Wire):
    """A policy or a person takes the job with a data set (local name), paid to `payout`."""

    at: Milliseconds
    dataset: Annotated[str, Size(1, 100)]
    payout: Address
    rows: Annotated[int, Range(0, 2**32 - 1)]


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
class Assembled(Wire):
    """A list is stored; `root` is its tree's (empty for a frozen roster, which has none)."""

    at: Milliseconds
    kind: BlobKind
    round: Round
    attempt: Attempt
    digest: Digest
    size: BlobSize
    root: NoDigest


@dataclass(frozen=True, slots=True)
class Examined(Wire):
    """A fetched list holds: its root, its length, and the positions (member index) in it."""

    at: Milliseconds
    kind: BlobKind
    round: Round
    attempt: Attempt
    digest: Digest
    root: NoDigest
    members: Annotated[tuple[Index, ...], Size(0, params.MAX_COHORT)]
    mine: NoDigest  # the digest of what it lists for this node, empty if nothing


@dataclass(frozen=True, slots=True)
class Rejected(Wire):
    """A fetched list does not hold."""

    at: Milliseconds
    kind: BlobKind
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
class ComputeDone(Wire):
    """A computation's result is stored under `digest`; `extra` is a second result (momentum)."""

    at: Milliseconds
    kind: Annotated[str, Size(1, 40)]
    round: Round
    attempt: Attempt
    subject: NoDigest  # what a check or a sum was about: the batch; or block number, 4 bytes
    digest: NoDigest
    size: BlobSize
    extra: NoDigest
    facts: Facts


@dataclass(frozen=True, slots=True)
class ComputeFailed(Wire):
    """A computation found its input wrong (not: a worker that died, which is tried again)."""

    at: Milliseconds
    kind: Annotated[str, Size(1, 40)]
    round: Round
    attempt: Attempt
    subject: NoDigest
    reason: Reason


@dataclass(frozen=True, slots=True)
class Settled(Wire):
    """Evidence stored, merit tree built."""

    at: Milliseconds
    digest: Digest
    size: BlobSize
    merit_root: Digest
    payouts: Annotated[tuple[Address, ...], Size(0, params.MAX_COHORT)]


@dataclass(frozen=True, slots=True)
class TransactionFailed(Wire):
    """The chain refuses a transaction for good."""

    at: Milliseconds
    function: Annotated[str, Size(1, 40)]
    account: Annotated[bytes, Size(0, 20)]  # of a claim; empty otherwise
    reason: Reason


@dataclass(frozen=True, slots=True)
class TransactionFinal(Wire):
    """A transaction of ours is mined, deep enough, and did not revert."""

    at: Milliseconds
    function: Annotated[str, Size(1, 40)]
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
    | Assembled
    | Examined
    | Rejected
    | CommitmentSigned
    | ComputeDone
    | ComputeFailed
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
