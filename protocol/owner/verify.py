"""What an owner does between its dealing and its sum, where contributions prove their norm.

It fetches its own pieces, says one word on each dealer, once an attempt, and later holds the
commitment to what its whole block's signed words say: the commitment lists exactly those that
passed. Without noise everybody else of the roster must be proven to have cheated, because a sum
without an honest member could be taken from one with it.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from protocol.errors import StateError
from protocol.machines import inputs
from protocol.machines.effects import Fetch
from protocol.machines.machine import body_of
from protocol.machines.proving import ComputeWords, ExamineDealings, ExamineVerdict
from protocol.machines.round import Phase
from protocol.owner import release
from protocol.owner.state import OwnerProof, OwnerRound
from protocol.owner.turn import (
    FETCH_MS,
    OwnerTurn,
    abandon,
    fetch_near,
    my_place,
    refuse,
    send,
    set_round,
)
from protocol.wire.messages import Dealt, Decided, RefusalCode, Verdict, Words


def proof_of(turn: OwnerTurn, round_: OwnerRound) -> OwnerProof:
    """What is known of an attempt; nothing yet, if it is a new one."""
    place = round_.number, round_.attempt
    found = (p for p in turn.state.proofs if (p.number, p.attempt) == place)
    return next(found, OwnerProof(*place))


def _put(turn: OwnerTurn, round_: OwnerRound, **changes: Any) -> OwnerProof:
    """Change it. Those of attempts that are not followed any more are forgotten."""
    changed = dataclasses.replace(proof_of(turn, round_), **changes)
    followed = {(r.number, r.attempt) for r in (turn.state.due, turn.state.round) if r is not None}
    followed.discard((round_.number, round_.attempt))
    kept = [p for p in turn.state.proofs if (p.number, p.attempt) in followed]
    turn.change(proofs=(*kept, changed))
    return changed


def dealt(turn: OwnerTurn, round_: OwnerRound, input_: inputs.ReceiveMessage) -> None:
    """The block's dealings are named: fetch their list."""
    body = body_of(input_, Dealt)
    _same_opening(round_, body.opening)
    mine, known = body.of(round_.block), proof_of(turn, round_)
    if known.dealt_digest:
        dealt_again(turn, round_, input_)
    elif mine is None:
        abandon(turn, "too few members of this owner's block dealt anything")
    else:
        _put(turn, round_, dealt_digest=mine.digest, dealt_size=mine.size)
        at, until = input_.at, _until(turn, input_.at)
        fetch_near(turn, mine.digest, mine.size, at, until, None, 0)


def _same_opening(round_: OwnerRound, opening: bytes) -> None:
    if opening != round_.opening_digest:
        raise StateError("dealings or words of another opening")


def _until(turn: OwnerTurn, at: int) -> int:
    """For how long pieces are looked for: half of the time that words may take."""
    return at + 500 * turn.context.spec.timing.unmask_seconds


def dealt_again(turn: OwnerTurn, round_: OwnerRound, input_: inputs.ReceiveMessage) -> None:
    """What was said before, once more: it must be the same."""
    body, known = input_.envelope.body, proof_of(turn, round_)
    if isinstance(body, Dealt) and body.opening == round_.opening_digest:
        mine = body.of(round_.block)
        if known.dealt_digest and (mine is None or mine.digest != known.dealt_digest):
            refuse(turn, input_.at, RefusalCode.CONFLICT, "two lists of dealings of one attempt")


def arrived(turn: OwnerTurn, round_: OwnerRound, input_: inputs.BlobArrived) -> None:
    """The dealt list, or a box."""
    known = proof_of(turn, round_)
    if input_.digest == known.dealt_digest and not known.asked:
        place = round_.number, round_.attempt, round_.block
        turn.emit(ExamineDealings(*place, input_.digest, round_.roster_digest))
    elif input_.digest in known.waiting:
        _no_longer_awaited(turn, round_, input_.digest)


def missing(turn: OwnerTurn, round_: OwnerRound, input_: inputs.BlobMissing) -> None:
    """A box that did not come is a word that is not said."""
    known = proof_of(turn, round_)
    if input_.digest in known.waiting:
        _no_longer_awaited(turn, round_, input_.digest)
    elif input_.digest == known.dealt_digest and not known.asked:
        _put(turn, round_, dealt_digest=b"", dealt_size=0)  # whoever names it is to say so again


def dealings_hold(turn: OwnerTurn, round_: OwnerRound, input_: inputs.ExaminedDealings) -> None:
    """The list holds: fetch this member's box of each dealer, from that dealer."""
    known = proof_of(turn, round_)
    if input_.digest != known.dealt_digest or known.asked:
        raise StateError("no such list of dealings is awaited")
    cohort, until = turn.context.require_cohort(), _until(turn, input_.at)
    # Two dealers may name one box, so that a pair of cheats could stop nobody by it: it opens under
    # the key of one of them at most, and the other has dealt nothing.
    peers: dict[bytes, tuple[bytes, ...]] = {}
    for dealer, box in zip(input_.dealers, input_.boxes, strict=True):
        peers[box] = (*peers.get(box, ()), cohort.members[dealer].peer)
    _put(turn, round_, asked=True, waiting=tuple(peers))
    for box, from_ in peers.items():
        turn.emit(Fetch(box, input_.box_size, from_, until))


def dealings_fail(turn: OwnerTurn, round_: OwnerRound, input_: inputs.RejectedDealings) -> None:
    """A list that does not hold: say so, and stay out of this attempt."""
    refuse(turn, input_.at, RefusalCode.INVALID, input_.reason)
    abandon(turn, input_.reason)


def _no_longer_awaited(turn: OwnerTurn, round_: OwnerRound, box: bytes) -> None:
    known = proof_of(turn, round_)
    left = tuple(each for each in known.waiting if each != box)
    known = _put(turn, round_, waiting=left)
    if left or known.words_asked:
        return
    _put(turn, round_, words_asked=True)
    place = round_.number, round_.attempt, round_.block
    turn.emit(ComputeWords(*place, round_.roster_digest, known.dealt_digest))


def words_made(turn: OwnerTurn, round_: OwnerRound, input_: inputs.WordsMade) -> None:
    """The words are stored, and may be said: the only ones of this attempt."""
    member, block = my_place(turn.context, turn.state, round_.number)
    known = proof_of(turn, round_)
    body = Words(block, member, known.dealt_digest, input_.words, input_.digest, input_.size)
    seconds = turn.context.spec.timing.unmask_seconds
    send(turn, body, input_.at + 1000 * seconds)
    set_round(turn, phase=Phase.COMMIT, said_at=input_.at)
    dealers = len(input_.words)
    told = f"{dealers - input_.missing} of {dealers} dealers' pieces hold"
    turn.notify("words-said", told, round_.number, round_.attempt)


def too_late(turn: OwnerTurn, _: OwnerRound, input_: inputs.Input) -> None:
    """An outcome that nobody waits for any more."""


def give_up_when_late(turn: OwnerTurn, round_: OwnerRound, input_: inputs.Tick) -> None:
    """No dealings were named, or no words came about, in all the time that there is for both."""
    opening, timing = round_.opening, turn.context.spec.timing
    if input_.at >= opening.contribute_until + 2000 * timing.unmask_seconds:
        abandon(turn, "no dealings came in time")


def decided_early(turn: OwnerTurn, round_: OwnerRound, input_: inputs.ReceiveMessage) -> None:
    """The others have decided while this owner was slow: its words are not needed any more."""
    set_round(turn, phase=Phase.COMMIT, said_at=input_.at)
    decided(turn, turn.state.round or round_, input_)


def committed_early(turn: OwnerTurn, round_: OwnerRound, input_: inputs.ReceiveMessage) -> None:
    """The same, where the commitment is heard first."""
    set_round(turn, phase=Phase.COMMIT, said_at=input_.at)
    release.committed(turn, turn.state.round or round_, input_)


def decided(turn: OwnerTurn, round_: OwnerRound, input_: inputs.ReceiveMessage) -> None:
    """The words that decide the block are named: fetch them."""
    body = body_of(input_, Decided)
    _same_opening(round_, body.opening)
    mine, known = body.of(round_.block), proof_of(turn, round_)
    if mine is None or known.verdict_here:
        return
    if not known.verdict_digest:
        _put(turn, round_, verdict_digest=mine.digest, verdict_size=mine.size)
        _fetch_verdict(turn, mine, input_.at)
    elif known.verdict_digest != mine.digest:
        refuse(turn, input_.at, RefusalCode.CONFLICT, "two verdicts on one attempt")


def _fetch_verdict(turn: OwnerTurn, mine: Verdict, at: int) -> None:
    turn.emit(Fetch(mine.digest, mine.size, (turn.context.requester,), at + FETCH_MS))


def list_arrived(turn: OwnerTurn, round_: OwnerRound, input_: inputs.BlobArrived) -> None:
    """The commitment's list, or the words behind it: with proofs both are looked at together."""
    if not turn.context.spec.proves:
        release.list_arrived(turn, round_, input_)
        return
    known = proof_of(turn, round_)
    if input_.digest == round_.list_digest and not round_.count:
        known = _put(turn, round_, list_here=True)
    elif input_.digest == known.verdict_digest and not known.verdict_here:
        known = _put(turn, round_, verdict_here=True)
    else:
        return
    if known.list_here and known.verdict_here:
        place = round_.number, round_.attempt, round_.block
        digests = round_.roster_digest, round_.list_digest, known.verdict_digest
        turn.emit(ExamineVerdict(*place, *digests))


def list_missing(turn: OwnerTurn, round_: OwnerRound, input_: inputs.BlobMissing) -> None:
    """What was not found is looked for again when it is heard of again."""
    known = proof_of(turn, round_)
    if input_.digest == known.verdict_digest and not known.verdict_here:
        _put(turn, round_, verdict_digest=b"", verdict_size=0)
    else:
        release.list_missing(turn, round_, input_)


def verdict_holds(turn: OwnerTurn, round_: OwnerRound, input_: inputs.ExaminedVerdict) -> None:
    """List and words hold, and say the same: what is left is what every owner looks at."""
    _put(turn, round_, able=input_.able)
    left_out = set(round_.roster) - set(input_.members)
    if not turn.context.spec.privacy.noisy and not left_out <= set(input_.failed):
        # Nobody's contribution may become the difference of two sums, but a cheat's own.
        who = min(left_out - set(input_.failed))
        why = f"member {who} is left out, and nothing shows that it cheated"
        refuse(turn, input_.at, RefusalCode.CONFLICT, why, (round_.number, round_.attempt))
        release.abandon_round(turn, round_, why)
        return
    for member in input_.failed:
        text = f"member {member} did not prove its norm: its block's words say so"
        turn.notify("proof-failed", text, round_.number, round_.attempt)
    told = inputs.ExaminedContributions(
        input_.at,
        input_.round,
        input_.attempt,
        input_.digest,
        input_.root,
        input_.members,
        input_.count,
        input_.mine,
    )
    release.list_holds(turn, round_, told)
