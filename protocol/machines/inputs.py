"""What a machine is told. Time comes in with every input (`at`, Unix milliseconds).

Names show where it comes from: Action… the local user or policy; Receive… a peer; Chain… the
chain; Tick the clock; all others the outcome of an effect.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from protocol import params
from protocol.machines.effects import BlobKind, Facts
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
class Assembled(Wire):
    """A list is stored; `root` is its tree's: of a cohort the last group's, of a roster none."""

    at: Milliseconds
    kind: BlobKind
    round: Round
    attempt: Attempt
    digest: Digest
    size: BlobSize
    root: NoDigest
    block: Index = 0


@dataclass(frozen=True, slots=True)
class Examined(Wire):
    """A fetched list holds: its roots, and the members in it.

    `roots` are a cohort's groups', or a contribution list's one. `members` are a roster's, or those
    of a contribution list that are of this node's block and roster; `count` is how many the whole
    list has. `mine` is the digest of what it lists for this node, empty if nothing: its enrolment,
    the body of its Ready, its batch.
    """

    at: Milliseconds
    kind: BlobKind
    round: Round
    attempt: Attempt
    digest: Digest
    roots: Annotated[tuple[Digest, ...], Size(0, params.MAX_GROUPS)]
    members: Annotated[tuple[Index, ...], Size(0, params.MAX_BLOCK)]
    count: Index
    mine: NoDigest


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
    """A computation's result is stored under `digest`; `extra` (momentum) and `worth` beside it."""

    at: Milliseconds
    kind: Annotated[str, Size(1, 40)]
    round: Round
    attempt: Attempt
    subject: NoDigest  # what a check or a sum was about: member or block number, 4 bytes
    digest: NoDigest
    size: BlobSize
    extra: NoDigest
    facts: Facts
    worth: NoDigest = b""


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
    | SecretsMade
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
