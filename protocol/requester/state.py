"""What a requester's machine remembers of a job: digests and numbers, never batches."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from protocol import params
from protocol.books.evidence import RoundRecord
from protocol.machines.job import JobPhase
from protocol.machines.round import Phase
from protocol.wire.codec import Size, Wire
from protocol.wire.messages import (
    Address,
    Attempt,
    BlobSize,
    DeclinedTerm,
    Digest,
    Index,
    ListSize,
    Milliseconds,
    NoDigest,
    Open,
    PeerId,
    PublicKey,
    Round,
)
from protocol.wire.tables import Table

_BlockMembers = Annotated[tuple[Index, ...], Size(0, params.MAX_BLOCK)]


@dataclass(frozen=True, slots=True)
class EnrolmentRecord(Wire):
    """An accepted enrolment and the digest of the signed message that made it."""

    peer: PeerId
    account: Address
    payout: Address
    sealing_key: PublicKey
    message: Digest


@dataclass(frozen=True, slots=True)
class DeclinedRecord(Wire):
    """A peer that says which terms of its policy the job does not meet."""

    peer: PeerId
    terms: Annotated[tuple[DeclinedTerm, ...], Size(1, len(DeclinedTerm))]


@dataclass(frozen=True, slots=True)
class GroupRecord(Wire):
    """Owners under one enrolment root: so many of the enrolments, in the order of their arrival.

    Empty and 0 stand for what is not there yet: the root, the chain's block, the blocks' seed.
    """

    count: Index
    root: NoDigest = b""
    block: int = 0
    asked: bool = False
    seed: NoDigest = b""


@dataclass(frozen=True, slots=True)
class ReadyRecord(Wire):
    member: Index
    message: Digest
    mask_key: PublicKey


@dataclass(frozen=True, slots=True)
class RosterRecord(Wire):
    """A block that goes on, and who is in it. An empty digest: its list is being stored."""

    block: Index
    members: _BlockMembers
    digest: NoDigest = b""
    size: ListSize = 0


@dataclass(frozen=True, slots=True)
class ContributionRecord(Wire):
    """A contribution's header, and whether its batch is here and sound, or will never count."""

    member: Index
    message: Digest
    batch: Digest
    size: BlobSize
    sound: bool = False
    bad: bool = False


@dataclass(frozen=True, slots=True)
class BlockRecord(Wire):
    """A committed block on its way to be opened. Empty digests: not yet."""

    block: Index
    members: _BlockMembers  # whose contributions the commitment lists
    sum: NoDigest = b""
    unmask: NoDigest = b""
    enough_at: Milliseconds = 0  # when as many releases were there as the threshold asks for
    asked: Index = 0  # releases that the last try to take the masks off was made with
    trying: bool = False
    bad: _BlockMembers = ()  # whose released shares were not what they had been sealed as
    lost: bool = False  # a member's shares do not make its secret, so the block stays closed


@dataclass(frozen=True, slots=True)
class ReleaseRecord(Wire):
    member: Index
    message: Digest


@dataclass(frozen=True, slots=True)
class OwedRelease(Wire):
    """Shares that a commitment bound a member to release, and that have not come."""

    member: Index
    round: Round
    attempt: Attempt
    model_digest: Digest
    root: Digest
    block: Index
    roster_digest: Digest
    listed: _BlockMembers
    tries: Index = 0  # releases that came for it and were looked at
    sum: Digest | None = None  # with proofs: what the member said that it serves


class Enrolments(Table[EnrolmentRecord]):
    """In the order of their arrival."""

    item, most = EnrolmentRecord, params.MAX_COHORT
    indexed = ("peer", "account", "sealing_key")


class DeclinedRecords(Table[DeclinedRecord]):
    """In the order of their arrival."""

    item, most, indexed = DeclinedRecord, params.MAX_DECLINED, ("peer",)


class Members(Table[int]):
    """Members by their index."""

    item, most, key = Index, params.MAX_COHORT, ""


class ReadyMembers(Table[ReadyRecord]):
    """Who is ready, by member."""

    item, most, key, indexed = ReadyRecord, params.MAX_COHORT, "member", ("mask_key",)


class Rosters(Table[RosterRecord]):
    """Frozen rosters by block, done once stored; their weight is how many members stand in them."""

    item, most, key = RosterRecord, params.MAX_BLOCKS, "block"

    @staticmethod
    def weigh(value: RosterRecord) -> int:
        return len(value.members)

    @staticmethod
    def over(value: RosterRecord) -> bool:
        return bool(value.digest)


class Contributions(Table[ContributionRecord]):
    """Contributions by member, done once judged."""

    item, most, key = ContributionRecord, params.MAX_COHORT, "member"

    @staticmethod
    def over(value: ContributionRecord) -> bool:
        return value.sound or value.bad


class Blocks(Table[BlockRecord]):
    """Committed blocks by number, done once open or lost; their weight is how many contributions
    the commitment lists."""

    item, most, key = BlockRecord, params.MAX_BLOCKS, "block"

    @staticmethod
    def weigh(value: BlockRecord) -> int:
        return len(value.members)

    @staticmethod
    def over(value: BlockRecord) -> bool:
        return bool(value.unmask) or value.lost


class Releases(Table[ReleaseRecord]):
    """Who has released its shares, by member."""

    item, most, key = ReleaseRecord, params.MAX_COHORT, "member"


class Owed(Table[OwedRelease]):
    """What members owe, by member: one round's debt is enough to stay out."""

    item, most, key = OwedRelease, params.MAX_COHORT, "member"
    indexed = ("sum",)


class RoundRecords(Table[RoundRecord]):
    """Rounds that are over, by number."""

    item, most, key = RoundRecord, params.MAX_ROUNDS, "number"


class Unpaid(Table[bytes]):
    """Accounts that a claim is awaited for."""

    item, most, indexed = Address, params.MAX_COHORT, ("",)


@dataclass(frozen=True, slots=True)
class RequesterRound(Wire):
    """One attempt. Empty digests stand for what has not happened yet."""

    number: Round
    attempt: Attempt
    phase: Phase
    opening: Open
    opening_digest: Digest
    retry_at: Milliseconds  # when a failed attempt is followed by the next
    ready: ReadyMembers = field(default_factory=ReadyMembers)
    refused: Members = field(default_factory=Members)  # said that they stay out
    rosters: Rosters = field(default_factory=Rosters)
    contributions: Contributions = field(default_factory=Contributions)
    blocks: Blocks = field(default_factory=Blocks)
    list_digest: NoDigest = b""
    list_size: BlobSize = 0
    root: NoDigest = b""
    valid_until: int = 0
    signature: Annotated[bytes, Size(0, 65)] = b""
    committed_block: int = 0
    releases: Releases = field(default_factory=Releases)
    unmask_until: Milliseconds = 0
    applying: bool = False

    def roster(self, block: int) -> RosterRecord | None:
        """The frozen roster of a block, or None where it did not go on."""
        return self.rosters.at(block)

    @property
    def count(self) -> int:
        """How many contributions the commitment lists."""
        return self.blocks.weight


@dataclass(frozen=True, slots=True)
class WordsRecord(Wire):
    """What a member said of its block's dealers; `here`: the blob is. `bad`: it said two things."""

    member: Index
    message: Digest
    digest: Digest
    size: BlobSize
    here: bool = False
    bad: bool = False


@dataclass(frozen=True, slots=True)
class VerdictRecord(Wire):
    """A block that is decided: its words as a blob, and what they came to."""

    block: Index
    digest: Digest
    size: BlobSize
    passed: _BlockMembers
    failed: _BlockMembers
    able: _BlockMembers


@dataclass(frozen=True, slots=True)
class SumRecord(Wire):
    """A member's sum, and the message that names it."""

    member: Index
    message: Digest
    digest: Digest


@dataclass(frozen=True, slots=True)
class CheatRecord(Wire):
    """A member that is proven to have cheated: the verdict, and the attempt that it was in."""

    member: Index
    round: Round
    attempt: Attempt
    block: Index
    digest: Digest
    size: BlobSize


class WordsRecords(Table[WordsRecord]):
    """Words by member, done once they are here or will never count."""

    item, most, key = WordsRecord, params.MAX_COHORT, "member"

    @staticmethod
    def over(value: WordsRecord) -> bool:
        return value.here or value.bad


class Verdicts(Table[VerdictRecord]):
    """Decided blocks, by number."""

    item, most, key = VerdictRecord, params.MAX_BLOCKS, "block"


class SumRecords(Table[SumRecord]):
    """Sums that were told of, by member."""

    item, most, key = SumRecord, params.MAX_COHORT, "member"


class Cheats(Table[CheatRecord]):
    """Who cheated, by member: it leaves for good."""

    item, most, key = CheatRecord, params.MAX_COHORT, "member"


@dataclass(frozen=True, slots=True)
class RequesterProof(Wire):
    """What beside RequesterRound the present attempt of a job with proofs has."""

    verify_until: Milliseconds = 0  # 0: the dealt lists are being stored
    deciding: bool = False
    dealt: Rosters = field(default_factory=Rosters)
    words: WordsRecords = field(default_factory=WordsRecords)
    verdicts: Verdicts = field(default_factory=Verdicts)
    sums: SumRecords = field(default_factory=SumRecords)


@dataclass(frozen=True, slots=True)
class RequesterState(Wire):
    """A job as its requester sees it. Block numbers are 0 while the fact is not on the chain.

    `groups` covers the enrolments from the first on; the openings name the cohort of the first
    `adopted` of them. A later group is being rooted while its own seed is not there.
    """

    phase: JobPhase = JobPhase.POSTING
    head: int = 0
    posted_block: int = 0
    announced_at: Milliseconds = 0
    enrol_until: Milliseconds = 0
    enrolments: Enrolments = field(default_factory=Enrolments)
    groups: Annotated[tuple[GroupRecord, ...], Size(0, params.MAX_GROUPS)] = ()
    adopted: Index = 0
    late_refused: bool = False  # the chain takes no further root: nobody can join any more
    cohort_digest: NoDigest = b""
    cohort_size: BlobSize = 0
    next_cohort_digest: NoDigest = b""  # with the group that is being rooted
    next_cohort_size: BlobSize = 0
    model_digest: NoDigest = b""
    model_size: BlobSize = 0
    momentum: NoDigest = b""
    worth: NoDigest = b""
    round: RequesterRound | None = None
    lost_rounds: Index = 0  # in a row
    owed: Owed = field(default_factory=Owed)
    liars: Members = field(default_factory=Members)  # closed a block, by index
    records: RoundRecords = field(default_factory=RoundRecords)
    evidence_digest: NoDigest = b""
    evidence_size: BlobSize = 0
    unpaid: Unpaid = field(default_factory=Unpaid)
    withdrawals: int = 0  # 1: the rest is asked for; 2: it is back, or there is none
    cancel_effective: int = 0  # Unix seconds at which the contract closes the job
    closed_block: int = 0  # the first block seen at or after that moment
    settling: bool = False
    reason: Annotated[str, Size(0, params.MAX_REASON_BYTES)] = ""
    declined: DeclinedRecords = field(default_factory=DeclinedRecords)
    proof: RequesterProof | None = None  # of the present attempt, from its dealings on
    cheats: Cheats = field(default_factory=Cheats)

    @property
    def seeds(self) -> tuple[bytes, ...]:
        """What draws the blocks of each adopted group."""
        return tuple(group.seed for group in self.groups[: self.adopted])

    @property
    def withholding(self) -> frozenset[int]:
        """Members that keep shares back, or whose shares make no secret. Later rosters leave them
        out if they can, and they earn no merit."""
        cheats = (cheat.member for cheat in self.cheats)
        return frozenset((*(owed.member for owed in self.owed), *self.liars, *cheats))

    @property
    def rooting(self) -> GroupRecord | None:
        """The group that is on its way to the chain, if any."""
        last = self.groups[-1] if self.groups else None
        return None if last is None or last.seed else last
