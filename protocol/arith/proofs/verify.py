"""The members' side: the word of a piece, and what a block's words say of a dealer.

Words of honest members lie on one polynomial. So a few that lie are found and corrected, and a
dealer whose pieces lie on none is found as well. A word that is off is its member's lie or its
dealer's: the member shows its piece, and `fault` tells which. An honest member has nothing to hide
there, because only a cheat's piece gives an honest word that is off.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

import numpy as np

from protocol.arith.proofs.challenge import (
    DIGEST_BYTES,
    Challenge,
    head_digest,
    piece_digest,
)
from protocol.arith.proofs.correction import correct
from protocol.arith.proofs.field import decode, encode
from protocol.arith.proofs.prove import Dealing
from protocol.arith.proofs.statement import Statement
from protocol.errors import FatalError, Malformed

#: Why a dealer fails whose words no polynomial explains.
NO_POLYNOMIAL: Final = "its shares lie on no polynomial of the degree"


class Outcome(Enum):
    """What a block's words say of a dealer."""

    PASSED = "passed"
    FAILED = "failed"
    OPEN = "open"  # too few words to say anything: more of them may decide


class Fault(Enum):
    """Whose lie a word is that is off."""

    DEALER = "dealer"
    MEMBER = "member"


@dataclass(frozen=True)
class Verdict:
    """`differing` are positions whose word is off the others' polynomial: they or the dealer lied,
    and `fault` tells which. `liars` are positions that said what no honest member says: two words,
    or one that cannot be read. `reason` is one line for a person, empty where it passed."""

    outcome: Outcome
    differing: frozenset[int]
    liars: frozenset[int]
    reason: str


def verify_word(
    statement: Statement, binding: bytes, commitments: bytes, position: int, piece: bytes
) -> bytes:
    """The word of the member at `position` on what a dealer dealt it.

    Raises Malformed, the dealer's fault, unless the piece is what the commitments cover, of the
    right length, and in the field. Such a member says that it has no word (docs/spec/proofs.md,
    'What is said').
    """
    challenge = Challenge(statement, binding, commitments)
    _check_digest(statement, binding, commitments, position, piece)
    return encode(challenge.word(decode(piece, statement.elements, "piece")))


def decide(
    statement: Statement, binding: bytes, commitments: bytes, words: Iterable[tuple[int, bytes]]
) -> Verdict:
    """What `words`, (position, word) pairs of members, say of the dealer of `commitments`.

    Anybody who has the words comes to the same verdict; it never raises on what members said. As
    long as no more than `corrupt` of them lie, none that is honest can be named for its own lie and
    no honest dealer fails. Raises Malformed on commitments of another length, FatalError on a
    position that the block has not.
    """
    challenge = Challenge(statement, binding, commitments)
    said: dict[int, bytes] = {}
    liars = set()
    for position, word in words:
        if not 0 <= position < statement.members:
            raise FatalError(f"a word of member {position} of {statement.members}")
        if said.setdefault(position, word) != word:
            liars.add(position)
    read = {}
    for position, word in sorted(said.items()):
        try:
            read[position] = decode(word, statement.word_elements, f"word of member {position}")
        except Malformed:
            liars.add(position)
    there = [position for position in read if position not in liars]
    named = frozenset(liars)
    allowance = statement.allowance(len(there))
    if allowance < 0:
        needed = statement.threshold + statement.corrupt
        return Verdict(Outcome.OPEN, frozenset(), named, f"{len(there)} words, {needed} are needed")
    rows = np.stack([read[position] for position in there])
    points = [position + 1 for position in there]
    found = correct(points, rows, statement.threshold, allowance)
    if found is None and allowance < statement.corrupt:
        needed = statement.threshold + 2 * statement.corrupt
        return Verdict(
            Outcome.OPEN,
            frozenset(),
            named,
            f"{len(there)} words contradict each other, {needed} are needed to tell who is wrong",
        )
    if found is None:
        return Verdict(Outcome.FAILED, frozenset(), named, NO_POLYNOMIAL)
    wrong = challenge.holds(found.secrets)
    differing = frozenset(there[index] for index in found.wrong)
    return Verdict(Outcome.FAILED if wrong else Outcome.PASSED, differing, named, wrong)


def off_words(
    statement: Statement, binding: bytes, dealing: Dealing, words: Iterable[tuple[int, bytes]]
) -> frozenset[int]:
    """Positions whose word is not the one that their piece makes, as its dealer, who knows all
    pieces, can tell.

    That is what a dealer says where words contradict each other and are too few to tell who lies:
    each member that it names shows its piece (`fault`), and the word of that piece takes the place
    of a lie.
    """
    challenge = Challenge(statement, binding, dealing.commitments)
    found = set()
    for position, word in words:
        piece = decode(dealing.pieces[position], statement.elements, "piece")
        if encode(challenge.word(piece)) != word:
            found.add(position)
    return frozenset(found)


def fault(
    statement: Statement,
    binding: bytes,
    commitments: bytes,
    position: int,
    word: bytes,
    piece: bytes,
) -> Fault:
    """Who lied, where the `word` of the member at `position` is off, or its dealer says so, and it
    has shown its `piece`.

    The dealer, if the commitments cover the piece and it makes that word or none. Else the member:
    it said another word than its piece makes, or shows another piece than it got. A member that
    shows nothing is at fault as well.
    """
    try:
        _check_digest(statement, binding, commitments, position, piece)
    except Malformed:
        return Fault.MEMBER
    try:
        made = verify_word(statement, binding, commitments, position, piece)
    except Malformed:
        return Fault.DEALER
    return Fault.DEALER if made == word else Fault.MEMBER


def _check_digest(
    statement: Statement, binding: bytes, commitments: bytes, position: int, piece: bytes
) -> None:
    start = DIGEST_BYTES * position
    committed = commitments[start : start + DIGEST_BYTES]
    if not 0 <= position < statement.members or len(committed) != DIGEST_BYTES:
        raise FatalError(f"no commitment to a piece of member {position}")
    if len(piece) > statement.piece_bytes:  # before it is hashed
        raise Malformed(f"piece has {len(piece)} bytes, {statement.piece_bytes} are expected")
    head, masks = head_digest(statement, piece)
    if piece_digest(binding, position, head, masks) != committed:
        raise Malformed(f"piece of member {position} is not what its commitment covers")
