"""A round's rule: who of a block's dealers counts, by the words that its members signed.

It is `decide`, made to need no further exchange. A dealer that words do not decide is left out and
not blamed. One whose pieces are missing or wrong at more members than may lie counts as undecided
too, so that enough members can add what they hold of everybody that counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from protocol.arith.proofs.statement import Statement
from protocol.arith.proofs.verify import NO_POLYNOMIAL, Outcome, decide


@dataclass(frozen=True)
class Settled:
    """`stand` are positions whose word lies on the dealer's polynomial: of an outcome that passed,
    those that can add its piece. `reason` is one line, empty where it passed."""

    outcome: Outcome
    stand: frozenset[int]
    reason: str


def settle(
    statement: Statement,
    binding: bytes,
    commitments: bytes,
    words: Iterable[tuple[int, bytes]],
    speakers: int,
) -> Settled:
    """Whether a dealer counts, by (position, word) of the members that have one, out of `speakers`
    that said anything in the attempt.

    PASSED: no more than `corrupt` speakers have no word or another one. FAILED: proven to cheat.
    Where nobody is taken to lie (corrupt = 0), words that no polynomial explains prove nothing,
    because one liar can make them. OPEN: neither. Raises as `decide` does.
    """
    said = list(words)
    verdict = decide(statement, binding, commitments, said)
    stand = frozenset(p for p, _ in said) - verdict.differing - verdict.liars
    outcome, reason = verdict.outcome, verdict.reason
    if outcome is Outcome.FAILED and reason == NO_POLYNOMIAL:
        stand = frozenset()
        if not statement.corrupt:
            outcome, reason = Outcome.OPEN, "its words contradict each other, and nobody may lie"
    if outcome is Outcome.FAILED and len(stand) <= statement.threshold and not statement.corrupt:
        outcome, reason = Outcome.OPEN, f"{len(stand)} words fail it, which one liar could make"
    if outcome is Outcome.PASSED and speakers - len(stand) > statement.corrupt:
        outcome = Outcome.OPEN
        reason = f"its pieces did not reach, or fit, {speakers - len(stand)} of {speakers} members"
    return Settled(outcome, stand if outcome is not Outcome.OPEN else frozenset(), reason)
