"""The messages of participants. Frozen, checked when built; the envelope around them signs them.

The docstring of each has its direction and path. Gossip topics are for what several need to know,
private streams for what concerns two. No message is the only way to learn a thing: a node that was
away asks (`Ask`) and is told (`Told`) the same signed messages.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Annotated

from protocol import params
from protocol.errors import Malformed
from protocol.wire.cards import Card, Withdrawn
from protocol.wire.codec import Range, Size, Wire

Digest = Annotated[bytes, Size(32)]
NoDigest = Annotated[bytes, Size(0, 32)]  # a digest, or empty where there is none
Address = Annotated[bytes, Size(20)]
PeerId = Annotated[bytes, Size(38)]
BlobSize = Annotated[int, Range(0, params.MAX_BLOB_BYTES)]
ListSize = Annotated[int, Range(0, params.MAX_LIST_BYTES)]
Milliseconds = Annotated[int, Range(0, 2**53)]
Index = Annotated[int, Range(0, params.MAX_COHORT)]
Round = Annotated[int, Range(0, params.MAX_ROUNDS)]
Attempt = Annotated[int, Range(0, params.MAX_ATTEMPTS)]
Reason = Annotated[str, Size(1, params.MAX_REASON_BYTES)]
Signature = Annotated[bytes, Size(65)]
PublicKey = Annotated[bytes, Size(32)]
Share = Annotated[bytes, Size(params.SHARE_BYTES)]
ShareHash = Annotated[bytes, Size(params.SHARE_HASH_BYTES)]
ShareBox = Annotated[bytes, Size(0, params.SHARE_BOX_BYTES)]
HeldDigest = Annotated[bytes, Size(params.HELD_BYTES)]
_PerMember = Size(params.MIN_BLOCK, params.MAX_BLOCK)


@dataclass(frozen=True, slots=True)
class Announce(Wire):
    """Requester to all, topic `jobs`: a job is posted. A spec that fits rides along."""

    spec_digest: Digest
    spec_size: Annotated[int, Range(1, params.MAX_SPEC_BYTES)]


@dataclass(frozen=True, slots=True)
class Enrol(Wire):
    """Owner to requester, stream: I take the job.

    `signature` is the account's EIP-712 signature over Enrolment(job, account, payout, peer, rows);
    the peer's own signature is the envelope's, and covers `sealing_key` as well: the X25519 key
    that other members seal their shares to, for this job alone.
    """

    account: Address
    payout: Address
    rows: Annotated[int, Range(0, 2**32 - 1)]
    sealing_key: PublicKey
    signature: Signature


@dataclass(frozen=True, slots=True)
class Enrolled(Wire):
    """Requester to owner, reply to Enrol: it stands on the list for the next root."""

    enrolment: Digest


@dataclass(frozen=True, slots=True)
class Open(Wire):
    """Requester, topic of the job: a round's attempt begins on this model, among this cohort."""

    cohort_digest: Digest
    cohort_size: ListSize
    model_digest: Digest
    model_size: BlobSize
    ready_until: Milliseconds
    contribute_until: Milliseconds


@dataclass(frozen=True, slots=True)
class Ready(Wire):
    """Owner to requester, stream: I am here, hold the opening's cohort and model, and share this
    attempt's secrets among my block.

    `mask_key` is a fresh X25519 key, which dropping out may reveal; `share_key` another, which
    seals `boxes` and is forgotten at once; `seed_hash` commits to the self-mask's seed. The tuples
    have an entry for each member of the whole block, by index, this one included: hashes of its
    share of the seed and of the mask key, and the box that only it can open; empty where it knows
    its shares without one. Lists of these messages are a block's frozen roster (docs/design.md,
    section 5; docs/spec/round.md).
    """

    opening: Digest
    mask_key: PublicKey
    share_key: PublicKey
    seed_hash: Digest
    seed_hashes: Annotated[tuple[ShareHash, ...], _PerMember]
    key_hashes: Annotated[tuple[ShareHash, ...], _PerMember]
    boxes: Annotated[tuple[ShareBox, ...], _PerMember]

    def __post_init__(self) -> None:
        Wire.__post_init__(self)
        if not len(self.seed_hashes) == len(self.key_hashes) == len(self.boxes):
            raise Malformed("Ready: hashes and boxes are not one of each for every member")


@dataclass(frozen=True, slots=True)
class Roster(Wire):
    """A block that goes on: the list of its members' signed Ready messages, by digest."""

    block: Index
    digest: Digest
    size: ListSize


@dataclass(frozen=True, slots=True)
class Freeze(Wire):
    """Requester, topic of the job: the frozen rosters of the blocks that go on, by block."""

    opening: Digest
    rosters: Annotated[tuple[Roster, ...], Size(1, params.MAX_BLOCKS)]

    def __post_init__(self) -> None:
        Wire.__post_init__(self)
        blocks = [roster.block for roster in self.rosters]
        if blocks != sorted(set(blocks)):
            raise Malformed("Freeze: blocks must ascend, each once")

    def of(self, block: int) -> Roster | None:
        """The roster of one block, or None where it does not go on."""
        return next((roster for roster in self.rosters if roster.block == block), None)


@dataclass(frozen=True, slots=True)
class Contribution(Wire):
    """Owner to requester, stream; later also the block's topic. The header of an encrypted batch,
    which may be attached."""

    block: Index
    member: Index
    roster_digest: Digest
    batch_digest: Digest
    batch_size: BlobSize


@dataclass(frozen=True, slots=True)
class Committed(Wire):
    """Requester, topic of the job: its signed commitment; anybody may put it on the chain."""

    root: Digest
    count: Annotated[int, Range(1, params.MAX_COHORT)]
    model_digest: Digest
    valid_until: Annotated[int, Range(0, 2**53)]
    signature: Signature
    list_digest: Digest
    list_size: ListSize


@dataclass(frozen=True, slots=True)
class Release(Wire):
    """Owner to requester, stream, once the commitment `root` is final: one share a roster member.

    In the order of the block's roster: a share of the seed of a member that the commitment lists, a
    share of the mask key of a member that it leaves out. Never the other kind, whatever happens
    later.
    """

    root: Digest
    block: Index
    shares: Annotated[tuple[Share, ...], Size(1, params.MAX_BLOCK)]


@dataclass(frozen=True, slots=True)
class Result(Wire):
    """Requester, topic of the job: the round is applied; the next model is this one."""

    model_digest: Digest
    model_size: BlobSize


@dataclass(frozen=True, slots=True)
class Finished(Wire):
    """Requester, topic of the job: the job is over; the evidence shows every claim's proof."""

    model_digest: Digest
    model_size: BlobSize
    evidence_digest: Digest
    evidence_size: ListSize


class RefusalCode(enum.Enum):
    """Why a participant does not do what was asked."""

    CLOSED = "closed"  # enrolment, the phase or the job is over
    FULL = "full"  # the cohort has its largest size
    NOT_ADMITTED = "not-admitted"  # the job's admission list leaves this account out
    CONFLICT = "conflict"  # it contradicts what the sender said before
    INVALID = "invalid"  # a signature or a field does not fit
    UNKNOWN = "unknown"  # no such job, round or blob here
    BUSY = "busy"  # try again later


@dataclass(frozen=True, slots=True)
class Refuse(Wire):
    """A reply, or word to the requester on why an owner stays out of an attempt."""

    code: RefusalCode
    reason: Reason


class DeclinedTerm(enum.Enum):
    """A term of an owner's policy that a job's spec does not meet: nothing that its data say."""

    NO_NOISE = "no-noise"
    EPSILON = "epsilon"
    PAID_IN = "token"
    PRICE = "price"
    PURPOSE = "purpose"
    SEALED = "sealed"
    OPEN = "open"
    BLOCK = "block"
    CORRUPT = "corrupt"
    FINALITY = "finality"
    ROUNDS = "rounds"
    SECONDS = "seconds"
    SUMS = "sums"


@dataclass(frozen=True, slots=True)
class Declined(Wire):
    """Owner to requester, stream, once a job and only where its policy says so: the job is not
    taken, and these terms are why."""

    terms: Annotated[tuple[DeclinedTerm, ...], Size(1, len(DeclinedTerm))]


@dataclass(frozen=True, slots=True)
class Ask(Wire):
    """Anybody to anybody, stream: what did I miss? For a job, or for all jobs (job id zero).

    `held` are the first bytes of the digests of messages that the asker has heard already.
    """

    held: Annotated[tuple[HeldDigest, ...], Size(0, params.MAX_TOLD_FRAMES)] = ()


@dataclass(frozen=True, slots=True)
class Told(Wire):
    """Reply to Ask: the latest signed messages, each a whole frame without attachment."""

    frames: Annotated[
        tuple[Annotated[bytes, Size(1, params.MAX_GOSSIP_BYTES)], ...],
        Size(0, params.MAX_TOLD_FRAMES),
    ]


@dataclass(frozen=True, slots=True)
class AskCards(Wire):
    """Anybody to anybody, stream: which cards did you learn after `mark`?

    Marks number what the answerer learned, and mean nothing elsewhere; 0 asks for all.
    """

    mark: Annotated[int, Range(0, 2**53)]


@dataclass(frozen=True, slots=True)
class ToldCards(Wire):
    """Reply to AskCards: `Card`s and `Withdrawn`s as whole frames, and the mark to go on from.

    Without frames there is nothing new.
    """

    mark: Annotated[int, Range(0, 2**53)]
    frames: Annotated[
        tuple[Annotated[bytes, Size(1, params.MAX_CARD_BYTES + 16)], ...],
        Size(0, params.MAX_TOLD_CARDS),
    ]


Body = (
    Announce
    | Enrol
    | Enrolled
    | Open
    | Ready
    | Freeze
    | Contribution
    | Committed
    | Release
    | Result
    | Finished
    | Refuse
    | Declined
    | Ask
    | Told
    | Card
    | Withdrawn
    | AskCards
    | ToldCards
)

#: What only a job's requester says; a job's own topic carries nothing else.
FROM_REQUESTER = (Announce, Open, Freeze, Committed, Result, Finished)

#: What anybody says of data sets of its own, on the topic of cards; about no job.
OF_CARDS = (Card, Withdrawn)
