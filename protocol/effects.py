"""What should happen: effects, stored with the state that wanted them, then carried out.

Every effect is idempotent: after a crash it is carried out again. They carry digests, never
batches, and name keys by their owner, never by value.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Annotated

from protocol import params
from protocol.codec import Range, Size, Wire
from protocol.messages import Address, BlobSize, Body, Digest, Index, Milliseconds, PeerId, Reason

Round = Annotated[int, Range(0, params.MAX_ROUNDS)]
Attempt = Annotated[int, Range(0, params.MAX_ATTEMPTS)]
Peers = Annotated[tuple[PeerId, ...], Size(0, params.MAX_COHORT)]
Digests = Annotated[tuple[Digest, ...], Size(0, params.MAX_COHORT)]
NoDigest = Annotated[bytes, Size(0, 32)]
Fact = tuple[Annotated[str, Size(1, 60)], float]
Facts = Annotated[tuple[Fact, ...], Size(0, 32)]


@dataclass(frozen=True, slots=True)
class Publish(Wire):
    """Sign and gossip `body`; a small blob may ride along by its digest (empty: none)."""

    topic: Annotated[str, Size(1, 160)]
    round: Round
    attempt: Attempt
    body: Body
    attachment: NoDigest


@dataclass(frozen=True, slots=True)
class Send(Wire):
    """Sign and deliver `body` over a stream until the peer answers or `until` passes.

    An Enrolled or Refuse in reply comes back as ReceiveMessage.
    """

    peer: PeerId
    round: Round
    attempt: Attempt
    body: Body
    attachment: NoDigest
    until: Milliseconds


@dataclass(frozen=True, slots=True)
class SendEnrolment(Wire):
    """Sign the enrolment with the account (EIP-712) and the peer's key, and deliver it."""

    peer: PeerId
    payout: Address
    rows: Annotated[int, Range(0, 2**32 - 1)]
    until: Milliseconds


@dataclass(frozen=True, slots=True)
class Fetch(Wire):
    """Get a blob from any of `peers`: BlobArrived, or BlobMissing at `until`."""

    digest: Digest
    size: BlobSize
    peers: Peers
    until: Milliseconds


class BlobKind(enum.Enum):
    """Lists of signed messages that are blobs."""

    COHORT = "cohort"  # Enrol envelopes, in the order of the enrolment root
    FROZEN = "frozen"  # Ready envelopes
    CONTRIBUTIONS = "contributions"  # Contribution envelopes, in the order of the index tree


@dataclass(frozen=True, slots=True)
class Assemble(Wire):
    """Build the blob of these stored messages, in this order, and its root: Assembled."""

    kind: BlobKind
    round: Round
    attempt: Attempt
    messages: Digests


@dataclass(frozen=True, slots=True)
class Examine(Wire):
    """Verify a fetched list, every signature and the root in it: Examined, or Rejected."""

    kind: BlobKind
    round: Round
    attempt: Attempt
    digest: Digest
    binding: NoDigest  # the opening a FROZEN list, the frozen roster a CONTRIBUTIONS list must name


@dataclass(frozen=True, slots=True)
class ReadJob(Wire):
    """Read the job's terms from the chain: ChainJob."""


@dataclass(frozen=True, slots=True)
class ReadBlockHash(Wire):
    """Read the hash of a mined block: ChainBlockHash."""

    number: int


@dataclass(frozen=True, slots=True)
class Consider(Wire):
    """Ask the policies of the owner's data sets: ActionConsent or ActionWithhold."""


@dataclass(frozen=True, slots=True)
class TransactPost(Wire):
    """Escrow the bounty."""


@dataclass(frozen=True, slots=True)
class TransactEnrol(Wire):
    root: Digest
    count: Index


@dataclass(frozen=True, slots=True)
class TransactCommit(Wire):
    round: Round
    root: Digest
    count: Index
    model_digest: Digest
    valid_until: int
    signature: Annotated[bytes, Size(65)]


@dataclass(frozen=True, slots=True)
class TransactFinish(Wire):
    model_digest: Digest
    evidence_digest: Digest
    merit_root: Digest


@dataclass(frozen=True, slots=True)
class TransactClaim(Wire):
    """Claim everything that the evidence shows for `account`, for it and at our cost."""

    account: Address
    evidence_digest: Digest


@dataclass(frozen=True, slots=True)
class TransactCancel(Wire):
    pass


@dataclass(frozen=True, slots=True)
class TransactWithdraw(Wire):
    """Take back what no liability covers. `turn` tells two withdrawals of one job apart."""

    turn: int


@dataclass(frozen=True, slots=True)
class SignCommitment(Wire):
    """EIP-712 over Commitment by the requester's account: CommitmentSigned."""

    round: Round
    root: Digest
    count: Index
    model_digest: Digest
    valid_until: int


@dataclass(frozen=True, slots=True)
class ComputeInitialModel(Wire):
    """The model that the spec's seed gives: ComputeDone(model)."""


@dataclass(frozen=True, slots=True)
class ComputeContribution(Wire):
    """Train, clip, quantise, pack, encrypt: ComputeDone(batch). Stored before it is sent."""

    round: Round
    attempt: Attempt
    model_digest: Digest


@dataclass(frozen=True, slots=True)
class ComputeCheck(Wire):
    """Check a received batch: length, range and unit of every ciphertext."""

    round: Round
    attempt: Attempt
    batch_digest: Digest


@dataclass(frozen=True, slots=True)
class ComputeSum(Wire):
    """Multiply a block's ciphertexts: ComputeDone(sum)."""

    round: Round
    attempt: Attempt
    block: Index
    batches: Digests


@dataclass(frozen=True, slots=True)
class ComputeApply(Wire):
    """Open the blocks' sums, check their lanes, move the model: ComputeDone(next model).

    `sums` and `counts` go by block; `momentum` is empty in the first round.
    """

    round: Round
    model_digest: Digest
    momentum: NoDigest
    sums: Digests
    counts: Annotated[tuple[Index, ...], Size(0, params.MAX_COHORT)]


@dataclass(frozen=True, slots=True)
class Settle(Wire):
    """Build the evidence of all rounds and the merit tree: Settled."""

    model_digest: Digest


@dataclass(frozen=True, slots=True)
class Notify(Wire):
    """Tell the local user; also what `assay job watch` prints."""

    kind: Annotated[str, Size(1, 60)]
    round: Round
    attempt: Attempt
    text: Annotated[str, Size(0, params.MAX_REASON_BYTES)]
    facts: Facts = ()


@dataclass(frozen=True, slots=True)
class Blame(Wire):
    """A peer did what no honest peer does: count it against it."""

    peer: PeerId
    reason: Reason


Compute = ComputeInitialModel | ComputeContribution | ComputeCheck | ComputeSum | ComputeApply
Transact = (
    TransactPost
    | TransactEnrol
    | TransactCommit
    | TransactFinish
    | TransactClaim
    | TransactCancel
    | TransactWithdraw
)
Effect = (
    Publish
    | Send
    | SendEnrolment
    | Fetch
    | Assemble
    | Examine
    | ReadJob
    | ReadBlockHash
    | Consider
    | Transact
    | SignCommitment
    | Compute
    | Settle
    | Notify
    | Blame
)


def labels(effect: Compute) -> tuple[str, int, int, bytes]:
    """Kind, round, attempt and subject of a computation's outcome, as ComputeDone carries them."""
    match effect:
        case ComputeInitialModel():
            return "initial", 0, 0, b""
        case ComputeContribution():
            return "contribution", effect.round, effect.attempt, b""
        case ComputeCheck():
            return "check", effect.round, effect.attempt, effect.batch_digest
        case ComputeSum():
            return "sum", effect.round, effect.attempt, effect.block.to_bytes(4, "big")
        case ComputeApply():
            return "apply", effect.round, 0, b""
