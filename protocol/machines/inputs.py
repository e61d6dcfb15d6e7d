"""What a machine is told. Time comes in with every input (`at`, Unix milliseconds).

Names show where it comes from: Action… the local user or policy; Receive… a peer; Chain… the
chain; Tick the clock; all others the outcome of an effect.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from protocol import params
from protocol.machines.chain_inputs import (
    Call,
    ChainBlockHash,
    ChainCancelled,
    ChainClaimed,
    ChainCommitted,
    ChainEnrolled,
    ChainFinished,
    ChainHead,
    ChainJob,
    ChainPosted,
    ChainReorg,
    ChainWithdrawn,
    TransactionFailed,
    TransactionFinal,
)
from protocol.machines.outcomes import (
    AssembledCohort,
    AssembledContributions,
    AssembledRoster,
    BatchSound,
    BatchUnsound,
    CommitmentSigned,
    ContributionFailed,
    ContributionMade,
    ExaminedCohort,
    ExaminedContributions,
    ExaminedRoster,
    InitialModelFailed,
    InitialModelMade,
    ModelMoved,
    MoveFailed,
    Outcome,
    RejectedCohort,
    RejectedContributions,
    RejectedRoster,
    SecretsFailed,
    SecretsMade,
    Settled,
    SumFailed,
    SumMade,
    Unmasked,
)
from protocol.machines.proving import (
    AssembledDealings,
    ExaminedDealings,
    ExaminedVerdict,
    Proved,
    RejectedDealings,
    VerdictMade,
    WordsMade,
)
from protocol.wire.codec import Range, Size, Wire
from protocol.wire.envelope import Envelope
from protocol.wire.messages import (
    Address,
    DeclinedTerm,
    Digest,
    Milliseconds,
    Reason,
)

#: Every input is found here, wherever it is defined.
__all__ = [
    "ActionCancel",
    "ActionConsent",
    "ActionPost",
    "ActionReconsider",
    "ActionWithhold",
    "AssembledCohort",
    "AssembledContributions",
    "AssembledDealings",
    "AssembledRoster",
    "BatchSound",
    "BatchUnsound",
    "BlobArrived",
    "BlobMissing",
    "Call",
    "ChainBlockHash",
    "ChainCancelled",
    "ChainClaimed",
    "ChainCommitted",
    "ChainEnrolled",
    "ChainFinished",
    "ChainHead",
    "ChainJob",
    "ChainPosted",
    "ChainReorg",
    "ChainWithdrawn",
    "CommitmentSigned",
    "ContributionFailed",
    "ContributionMade",
    "ExaminedCohort",
    "ExaminedContributions",
    "ExaminedDealings",
    "ExaminedRoster",
    "ExaminedVerdict",
    "InitialModelFailed",
    "InitialModelMade",
    "Input",
    "ModelMoved",
    "MoveFailed",
    "Outcome",
    "ReceiveMessage",
    "RejectedCohort",
    "RejectedContributions",
    "RejectedDealings",
    "RejectedRoster",
    "SecretsFailed",
    "SecretsMade",
    "Settled",
    "SumFailed",
    "SumMade",
    "Tick",
    "TransactionFailed",
    "TransactionFinal",
    "Unmasked",
    "VerdictMade",
    "WordsMade",
]


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
    """No policy takes the job by itself; `final` when nobody could take it here. `terms` are what
    the owner lets its requester know of that."""

    at: Milliseconds
    final: bool
    reason: Reason
    terms: Annotated[tuple[DeclinedTerm, ...], Size(0, len(DeclinedTerm))] = ()


@dataclass(frozen=True, slots=True)
class ActionReconsider(Wire):
    """A policy or the data sets changed: a job that waits may fit now."""

    at: Milliseconds


@dataclass(frozen=True, slots=True)
class ActionCancel(Wire):
    at: Milliseconds


@dataclass(frozen=True, slots=True)
class ReceiveMessage(Wire):
    """A verified envelope of this job; `digest` is its own.

    `attached` says that the batch which a contribution names rode along and is stored.
    """

    at: Milliseconds
    envelope: Envelope
    digest: Digest
    attached: bool = False


@dataclass(frozen=True, slots=True)
class BlobArrived(Wire):
    at: Milliseconds
    digest: Digest


@dataclass(frozen=True, slots=True)
class BlobMissing(Wire):
    at: Milliseconds
    digest: Digest
    reason: Reason


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
    | Proved
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
