"""What became of a machine's effects: lists, computations, secrets, shares, books.

`done` and `failed` say the outcome of a computation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, get_args

from protocol import params
from protocol.machines.effects import (
    Compute,
    ComputeApply,
    ComputeCheck,
    ComputeContribution,
    ComputeInitialModel,
    ComputeSum,
    Facts,
)
from protocol.wire.codec import Size, Wire
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
    """This attempt's secrets cannot be made, or its owner does not want them made.

    `told`: what the requester is told where that is the owner's own word; else empty.
    """

    at: Milliseconds
    round: Round
    attempt: Attempt
    reason: Reason
    told: Annotated[str, Size(0, params.MAX_REASON_BYTES)] = ""


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


#: Every type of outcome, for whoever reads a stored one again.
OUTCOMES: tuple[type[Outcome], ...] = get_args(Outcome)


def done(
    effect: Compute,
    at: int,
    digest: bytes = b"",
    size: int = 0,
    momentum: bytes = b"",
    facts: Facts = (),
    worth: bytes = b"",
) -> Outcome:
    """What `effect` came to: the blob `digest` of `size` bytes, and what else a step wants."""
    match effect:
        case ComputeInitialModel():
            return InitialModelMade(at, digest, size)
        case ComputeContribution():
            return ContributionMade(at, effect.round, effect.attempt, digest, size, facts)
        case ComputeCheck():
            return BatchSound(at, effect.round, effect.attempt, effect.member)
        case ComputeSum():
            return SumMade(at, effect.round, effect.attempt, effect.block, digest)
        case ComputeApply():
            return ModelMoved(at, effect.round, digest, size, momentum, facts, worth)


def failed(effect: Compute, at: int, reason: str) -> Outcome:
    """`effect` found its input wrong; `reason` is one line."""
    match effect:
        case ComputeInitialModel():
            return InitialModelFailed(at, reason)
        case ComputeContribution():
            return ContributionFailed(at, effect.round, effect.attempt, reason)
        case ComputeCheck():
            return BatchUnsound(at, effect.round, effect.attempt, effect.member, reason)
        case ComputeSum():
            return SumFailed(at, effect.round, effect.attempt, effect.block, reason)
        case ComputeApply():
            return MoveFailed(at, effect.round, reason)
