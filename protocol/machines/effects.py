"""What should happen: effects, stored with the state that wanted them, then carried out.

Every effect is idempotent: after a crash it is carried out again. They carry digests, never
batches, and name keys by their owner, never by value.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Annotated

from protocol import params
from protocol.machines.proving import Proving
from protocol.wire.codec import Range, Size, Wire
from protocol.wire.messages import (
    Address,
    Attempt,
    BlobSize,
    Body,
    Digest,
    Index,
    Milliseconds,
    NoDigest,
    PeerId,
    Reason,
    Round,
)

Peers = Annotated[tuple[PeerId, ...], Size(0, params.MAX_COHORT)]
Digests = Annotated[tuple[Digest, ...], Size(0, params.MAX_COHORT)]
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
    """Get a blob: BlobArrived, or BlobMissing at `until`.

    `near`, if any, are asked alone until `patience`, and `peers` beside them from then on: so that
    what everybody needs is handed on, and not drawn from one node by all.
    """

    digest: Digest
    size: BlobSize
    peers: Peers
    until: Milliseconds
    near: Peers = ()
    patience: Milliseconds = 0


class BlobKind(enum.Enum):
    """Lists that are blobs (protocol.books.lists)."""

    COHORT = "cohort"  # Enrol envelopes of every enrolment root, in the order of each
    ROSTER = "roster"  # one block's Ready envelopes, by member
    CONTRIBUTIONS = "contributions"  # what a commitment stands for, in the order of its index tree


@dataclass(frozen=True, slots=True)
class Assemble(Wire):
    """Build the list of these stored messages, and its root: AssembledCohort and its like.

    `block` is a roster's. `groups` are how many of a cohort's enrolments each root covers.
    """

    kind: BlobKind
    round: Round
    attempt: Attempt
    messages: Digests
    block: Index = 0
    groups: Annotated[tuple[Index, ...], Size(0, params.MAX_GROUPS)] = ()


@dataclass(frozen=True, slots=True)
class Examine(Wire):
    """Verify a fetched list, every signature and root in it: ExaminedCohort and its like,
    or RejectedCohort.

    Of its own block's roster a member also opens the box of every entry, and compares the shares in
    it with their hashes.
    """

    kind: BlobKind
    round: Round
    attempt: Attempt
    digest: Digest
    binding: NoDigest = b""  # the opening of a roster; the roster that a contribution list names
    block: Index = 0  # this owner's


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
    """Store the job's enrolment root number `index`, over `count` owners."""

    index: Index
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
class TransactPay(Wire):
    """Pay everybody at once, in whole rounds, at our cost; by claims where that cannot be."""

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
    """The model that the spec's seed gives: InitialModelMade, or InitialModelFailed."""


@dataclass(frozen=True, slots=True)
class MakeSecrets(Wire):
    """Draw this attempt's mask key and seed, seal and share them: SecretsMade, SecretsFailed.

    Done again after a crash it draws others: none of the first ones has left by then.
    """

    round: Round
    attempt: Attempt
    block: Index
    opening: Digest


@dataclass(frozen=True, slots=True)
class ForgetSecrets(Wire):
    """Destroy this attempt's mask key and seed: nothing can be masked with them any more."""

    round: Round
    attempt: Attempt


@dataclass(frozen=True, slots=True)
class ForgetSealingKey(Wire):
    """Destroy the job's sealing key: the boxes of its attempts can be opened no more."""


@dataclass(frozen=True, slots=True)
class ComputeContribution(Wire):
    """Train, clip, add noise, quantise, mask, encrypt: ContributionMade, ContributionFailed.

    Stored before it is sent. The noise is drawn once a round, and charged before that.
    """

    round: Round
    attempt: Attempt
    model_digest: Digest
    block: Index
    roster_digest: Digest


@dataclass(frozen=True, slots=True)
class ComputeCheck(Wire):
    """Check a received batch, its maker, its length, its ciphertexts: BatchSound, BatchUnsound."""

    round: Round
    attempt: Attempt
    member: Index
    batch_digest: Digest


@dataclass(frozen=True, slots=True)
class ComputeSum(Wire):
    """Add up a block's batches: SumMade, or SumFailed."""

    round: Round
    attempt: Attempt
    block: Index
    batches: Digests


@dataclass(frozen=True, slots=True)
class SendRelease(Wire):
    """Open this node's boxes, record which kind of share of whom it gives away, and send them.

    `listed` are the members of the block whose contribution the commitment `root` counts: of them
    the seed's share, of the roster's others the mask key's.
    """

    round: Round
    attempt: Attempt
    model_digest: Digest
    root: Digest
    block: Index
    roster_digest: Digest
    listed: Annotated[tuple[Index, ...], Size(1, params.MAX_BLOCK)]
    until: Milliseconds


@dataclass(frozen=True, slots=True)
class ComputeUnmask(Wire):
    """Rebuild a block's seeds and dropped keys from released shares: Unmasked.

    `releases` are stored Release messages.
    """

    round: Round
    attempt: Attempt
    model_digest: Digest
    block: Index
    roster_digest: Digest
    listed: Annotated[tuple[Index, ...], Size(1, params.MAX_BLOCK)]
    releases: Annotated[tuple[Digest, ...], Size(1, params.MAX_BLOCK)]


@dataclass(frozen=True, slots=True)
class OpenBlock(Wire):
    """One block's sum, what takes its masks off, and who is in it."""

    block: Index
    sum: Digest
    unmask: Digest
    members: Annotated[tuple[Index, ...], Size(1, params.MAX_BLOCK)]


@dataclass(frozen=True, slots=True)
class ComputeApply(Wire):
    """Open and check the blocks' sums, measure them, move the model: ModelMoved, MoveFailed.

    With no block the model stays what it is, for the next round under another digest. `momentum`
    and `worth` are empty in the first round; the outcome carries the next ones.
    """

    round: Round
    model_digest: Digest
    momentum: NoDigest
    worth: NoDigest
    blocks: Annotated[tuple[OpenBlock, ...], Size(0, params.MAX_BLOCKS)]


@dataclass(frozen=True, slots=True)
class Settle(Wire):
    """Build the evidence of all rounds and the merit tree: Settled.

    `withheld` are the members that kept back shares which a commitment bound them to release.
    """

    model_digest: Digest
    worth: NoDigest = b""
    withheld: Annotated[tuple[Index, ...], Size(0, params.MAX_COHORT)] = ()


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
    | TransactPay
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
    | MakeSecrets
    | ForgetSecrets
    | ForgetSealingKey
    | SendRelease
    | ComputeUnmask
    | Proving
    | Settle
    | Notify
    | Blame
)
