"""Effects of jobs whose contributions prove their norm, and what becomes of them.

They stand beside effects.py and outcomes.py and follow the same rules.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from protocol import params
from protocol.wire.codec import Size, Wire
from protocol.wire.messages import (
    Attempt,
    BlobSize,
    Digest,
    Index,
    Milliseconds,
    Reason,
    Round,
)

_Members = Annotated[tuple[Index, ...], Size(0, params.MAX_BLOCK)]
_Digests = Annotated[tuple[Digest, ...], Size(0, params.MAX_BLOCK)]


@dataclass(frozen=True, slots=True)
class AssembleDealings(Wire):
    """Build a block's dealt list of stored contributions: AssembledDealings."""

    round: Round
    attempt: Attempt
    block: Index
    messages: _Digests


@dataclass(frozen=True, slots=True)
class ExamineDealings(Wire):
    """Verify a fetched dealt list, and find this member's boxes: ExaminedDealings, or
    RejectedDealings."""

    round: Round
    attempt: Attempt
    block: Index
    digest: Digest
    roster_digest: Digest


@dataclass(frozen=True, slots=True)
class ComputeWords(Wire):
    """Open the boxes that came, and say one word on each dealer: WordsMade.

    Once an attempt, whatever is asked for: words under two challenges are more than is proven.
    """

    round: Round
    attempt: Attempt
    block: Index
    roster_digest: Digest
    dealt_digest: Digest


@dataclass(frozen=True, slots=True)
class ComputeVerdict(Wire):
    """Put a block's words together, and see what they come to: VerdictMade. `messages` are stored
    Words whose blobs are here."""

    round: Round
    attempt: Attempt
    block: Index
    roster_digest: Digest
    dealt_digest: Digest
    messages: _Digests


@dataclass(frozen=True, slots=True)
class AssembleListed(Wire):
    """Build a commitment's list of those that passed, each block under its verdict:
    AssembledContributions."""

    round: Round
    attempt: Attempt
    messages: Annotated[tuple[Digest, ...], Size(1, params.MAX_COHORT)]
    blocks: Annotated[tuple[Index, ...], Size(1, params.MAX_BLOCKS)]
    verdicts: Annotated[tuple[Digest, ...], Size(1, params.MAX_BLOCKS)]


@dataclass(frozen=True, slots=True)
class ExamineVerdict(Wire):
    """Verify a commitment's list, and this block's words on those that it lists: ExaminedVerdict,
    or RejectedContributions."""

    round: Round
    attempt: Attempt
    block: Index
    roster_digest: Digest
    list_digest: Digest
    verdict_digest: Digest


@dataclass(frozen=True, slots=True)
class SendSum(Wire):
    """Add the pieces of the listed members, record that this is the round's one sum, and tell the
    requester its digest."""

    round: Round
    attempt: Attempt
    root: Digest
    block: Index
    roster_digest: Digest
    verdict_digest: Digest
    listed: Annotated[tuple[Index, ...], Size(1, params.MAX_BLOCK)]
    until: Milliseconds


Proving = (
    AssembleDealings
    | ExamineDealings
    | ComputeWords
    | ComputeVerdict
    | AssembleListed
    | ExamineVerdict
    | SendSum
)


@dataclass(frozen=True, slots=True)
class AssembledDealings(Wire):
    """A block's dealt list is stored."""

    at: Milliseconds
    round: Round
    attempt: Attempt
    block: Index
    digest: Digest
    size: BlobSize


@dataclass(frozen=True, slots=True)
class ExaminedDealings(Wire):
    """A fetched dealt list holds: its dealers, and the digest of each one's box for this member."""

    at: Milliseconds
    round: Round
    attempt: Attempt
    digest: Digest
    dealers: _Members
    boxes: _Digests
    box_size: BlobSize


@dataclass(frozen=True, slots=True)
class RejectedDealings(Wire):
    """A fetched dealt list does not hold."""

    at: Milliseconds
    round: Round
    attempt: Attempt
    digest: Digest
    reason: Reason


@dataclass(frozen=True, slots=True)
class WordsMade(Wire):
    """This member's words are stored: their hashes by dealer, the blob that has them, and how many
    of them are missing."""

    at: Milliseconds
    round: Round
    attempt: Attempt
    words: _Digests
    digest: Digest
    size: BlobSize
    missing: Index


@dataclass(frozen=True, slots=True)
class VerdictMade(Wire):
    """A block is decided. `passed` count, `failed` are proven to cheat, `able` can add the pieces
    of all that passed; `reasons` are why a dealer is left out; `bad` are members whose blob is not
    the words that they signed."""

    at: Milliseconds
    round: Round
    attempt: Attempt
    block: Index
    digest: Digest
    size: BlobSize
    passed: _Members
    failed: _Members
    able: _Members
    bad: _Members
    reasons: Annotated[tuple[tuple[Index, Reason], ...], Size(0, params.MAX_BLOCK)]


@dataclass(frozen=True, slots=True)
class ExaminedVerdict(Wire):
    """A commitment's list holds, and what it says of this block is what the block's words say.

    `members` are those it lists of the block, `failed` those that are proven to have cheated;
    `mine` is this node's dealing in it, empty if none; `able`: this node holds what it is to add.
    """

    at: Milliseconds
    round: Round
    attempt: Attempt
    digest: Digest
    root: Digest
    members: _Members
    failed: _Members
    count: Index
    mine: Annotated[bytes, Size(0, 32)]
    able: bool


Proved = (
    AssembledDealings
    | ExaminedDealings
    | RejectedDealings
    | WordsMade
    | VerdictMade
    | ExaminedVerdict
)
