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
WordsSize = Annotated[int, Range(0, params.MAX_WORDS_BYTES)]
VerdictSize = Annotated[int, Range(0, params.MAX_VERDICT_BYTES)]
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
_PerMember = Size(0, params.MAX_BLOCK)


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

    In a job whose contributions prove their norm there is nothing to share yet: `mask_key` is the
    fresh key that seals this member's pieces, and all that follows it is empty.
    """

    opening: Digest
    mask_key: PublicKey
    share_key: NoDigest
    seed_hash: NoDigest
    seed_hashes: Annotated[tuple[ShareHash, ...], _PerMember]
    key_hashes: Annotated[tuple[ShareHash, ...], _PerMember]
    boxes: Annotated[tuple[ShareBox, ...], _PerMember]

    def __post_init__(self) -> None:
        Wire.__post_init__(self)
        if not len(self.seed_hashes) == len(self.key_hashes) == len(self.boxes):
            raise Malformed("Ready: hashes and boxes are not one of each for every member")
        length = 32 if self.boxes else 0
        if {len(self.share_key), len(self.seed_hash)} != {length}:
            raise Malformed(f"Ready: its share key and seed hash have not {length} bytes each")
        if 0 < len(self.boxes) < params.MIN_BLOCK:
            raise Malformed(f"Ready: {len(self.boxes)} boxes, {params.MIN_BLOCK} are the fewest")


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


def _ascend(blocks: list[int], what: str) -> None:
    if blocks != sorted(set(blocks)):
        raise Malformed(f"{what}: blocks must ascend, each once")


@dataclass(frozen=True, slots=True)
class Dealt(Wire):
    """Requester, topic of the job: the dealings of each block that goes on, lists by digest.

    Only in a job whose contributions prove their norm: members fetch their own pieces by what these
    lists name, and say their words on them (docs/spec/round.md).
    """

    opening: Digest
    lists: Annotated[tuple[Roster, ...], Size(1, params.MAX_BLOCKS)]

    def __post_init__(self) -> None:
        Wire.__post_init__(self)
        _ascend([each.block for each in self.lists], "Dealt")

    def of(self, block: int) -> Roster | None:
        """The list of one block, or None where it does not go on."""
        return next((each for each in self.lists if each.block == block), None)


@dataclass(frozen=True, slots=True)
class Words(Wire):
    """Owner to requester, stream, once an attempt: what this member's pieces say of each dealer.

    `words` are SHA-256 of its word on each dealer, in the order of the list `dealt_digest`; the
    word is empty where its piece did not come, or does not hold. The blob `words_digest` has them
    all (docs/spec/proofs.md).
    """

    block: Index
    member: Index
    dealt_digest: Digest
    words: Annotated[tuple[Digest, ...], Size(1, params.MAX_BLOCK)]
    words_digest: Digest
    words_size: WordsSize


@dataclass(frozen=True, slots=True)
class Verdict(Wire):
    """One block's words on all of its dealers, by digest: who passed is what they say."""

    block: Index
    digest: Digest
    size: VerdictSize


@dataclass(frozen=True, slots=True)
class Decided(Wire):
    """Requester, topic of the job: the words that decide who is listed, a block at a time."""

    opening: Digest
    verdicts: Annotated[tuple[Verdict, ...], Size(1, params.MAX_BLOCKS)]

    def __post_init__(self) -> None:
        Wire.__post_init__(self)
        _ascend([each.block for each in self.verdicts], "Decided")

    def of(self, block: int) -> Verdict | None:
        """The verdict on one block, or None where it does not go on."""
        return next((each for each in self.verdicts if each.block == block), None)


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

    In a job whose contributions prove their norm there is one entry: the digest of the sum of this
    member's pieces of those that the commitment lists, of 8 bytes a value. The requester fetches
    it. Never a second one in a round.
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
    ENCODER = "encoder"


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
    | Dealt
    | Words
    | Decided
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
FROM_REQUESTER = (Announce, Open, Freeze, Dealt, Decided, Committed, Result, Finished)

#: What anybody says of data sets of its own, on the topic of cards; about no job.
OF_CARDS = (Card, Withdrawn)
