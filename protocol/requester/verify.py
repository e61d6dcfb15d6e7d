"""A round from its last dealing to its commitment, in a job whose contributions prove their norm.

Members check what they were dealt and sign their words. Words decide who is listed, before the
commitment: who proves nothing is left out, and is named where the words prove that it cheated. The
requester puts the words together and adds nothing of its own: members rebuild every verdict.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from protocol.errors import StateError
from protocol.machines import inputs
from protocol.machines.effects import Blame, Fetch
from protocol.machines.machine import body_of, one_line
from protocol.machines.proving import AssembleDealings, ComputeVerdict
from protocol.machines.round import Phase
from protocol.requester.commit import commit, commit_proven
from protocol.requester.state import (
    CheatRecord,
    RequesterProof,
    RequesterRound,
    RosterRecord,
    Rosters,
    VerdictRecord,
    WordsRecord,
)
from protocol.requester.turn import (
    RequesterTurn,
    abandon,
    blame,
    enough_of,
    present,
    publish,
    sender,
    set_round,
)
from protocol.wire.messages import Dealt, Decided, Roster, Verdict, Words


def go_on(turn: RequesterTurn, at: int) -> None:
    """Contributions are in, or their time is over: commit, or first have members check them."""
    if not turn.context.spec.proves:
        commit(turn, at)
        return
    round_ = present(turn)
    sound = {c.member: c for c in round_.contributions if c.sound}
    going = enough_of(turn, set(sound))
    if not going:
        abandon(turn, at, "too few members of every block have dealt")
        return
    dealt = Rosters.of(RosterRecord(block, members) for block, members in going.items())
    set_round(turn, phase=Phase.VERIFY)
    turn.change(proof=RequesterProof(dealt=dealt))
    for block, members in going.items():
        messages = tuple(sound[member].message for member in members)
        turn.emit(AssembleDealings(round_.number, round_.attempt, block, messages))


def _proof(turn: RequesterTurn) -> RequesterProof:
    if turn.state.proof is None:
        raise StateError("no dealings are looked at")
    return turn.state.proof


def _set(turn: RequesterTurn, **changes: Any) -> RequesterProof:
    changed = dataclasses.replace(_proof(turn), **changes)
    turn.change(proof=changed)
    return changed


def dealings_stored(
    turn: RequesterTurn, round_: RequesterRound, input_: inputs.AssembledDealings
) -> None:
    """A block's dealt list is stored; once all of them are, say so."""
    dealt = _proof(turn).dealt
    stored = dealt.at(input_.block)
    if stored is None or stored.digest:
        raise StateError(f"no dealings of block {input_.block} are awaited")
    dealt = dealt.put(dataclasses.replace(stored, digest=input_.digest, size=input_.size))
    _set(turn, dealt=dealt)
    if dealt.done < len(dealt):
        return
    _set(turn, verify_until=input_.at + 1000 * turn.context.spec.timing.unmask_seconds)
    told = tuple(Roster(each.block, each.digest, each.size) for each in dealt)
    publish(turn, Dealt(round_.opening_digest, told))


def words(turn: RequesterTurn, round_: RequesterRound, input_: inputs.ReceiveMessage) -> None:
    """A member says its words: fetch them. Two that differ are a lie, and count as none."""
    body, member, proof = body_of(input_, Words), sender(turn, input_), _proof(turn)
    blocks = turn.context.drawn(turn.state.seeds, round_.number).blocks
    dealt = proof.dealt.at(body.block)
    mine = (member, blocks[member]) if member < len(blocks) else None
    if dealt is None or not dealt.digest or (body.member, body.block) != mine:
        raise StateError("words of another member, or on a block that does not go on")
    if body.dealt_digest != dealt.digest or len(body.words) != len(dealt.members):
        raise StateError("words on other dealings")
    known = proof.words.at(member)
    if known is not None:
        if known.message != input_.digest and not known.bad and not proof.deciding:
            _set(turn, words=proof.words.put(dataclasses.replace(known, bad=True, here=False)))
            blame(turn, member, "says two different words in one attempt")
            _decide_when_complete(turn, input_.at)
        return
    record = WordsRecord(member, input_.digest, body.words_digest, body.words_size)
    _set(turn, words=proof.words.put(record))
    peer = (input_.envelope.sender,)
    turn.emit(Fetch(body.words_digest, body.words_size, peer, proof.verify_until))


def says_nothing(
    turn: RequesterTurn, round_: RequesterRound, input_: inputs.ReceiveMessage
) -> None:
    """A member stays out: its words are waited for no longer."""
    member = turn.context.require_cohort().index_of(input_.envelope.sender)
    if member is not None and member not in round_.refused:
        set_round(turn, refused=round_.refused.put(member))
        _decide_when_complete(turn, input_.at)


def words_arrived(turn: RequesterTurn, _: RequesterRound, input_: inputs.BlobArrived) -> None:
    """Words are here."""
    table = _proof(turn).words
    for record in table:
        if record.digest == input_.digest and not (record.here or record.bad):
            table = table.put(dataclasses.replace(record, here=True))
    _set(turn, words=table)
    _decide_when_complete(turn, input_.at)


def _decide_when_complete(turn: RequesterTurn, at: int) -> None:
    """Every member of each frozen roster has said its words, or will not."""
    proof, round_ = _proof(turn), present(turn)
    if not proof.verify_until or proof.deciding:
        return
    awaited = [m for r in round_.rosters if proof.dealt.at(r.block) is not None for m in r.members]
    if proof.words.done + len(round_.refused) < len(awaited):
        return
    if all(_heard(proof, m) or m in round_.refused for m in awaited):
        _decide(turn, at)


def _heard(proof: RequesterProof, member: int) -> bool:
    known = proof.words.at(member)
    return known is not None and (known.here or known.bad)


def decide_when_late(turn: RequesterTurn, _: RequesterRound, input_: inputs.Tick) -> None:
    """Time is over for whoever has not said its words."""
    proof = _proof(turn)
    if proof.verify_until and not proof.deciding and input_.at >= proof.verify_until:
        _decide(turn, input_.at)


def _decide(turn: RequesterTurn, at: int) -> None:
    proof, round_ = _set(turn, deciding=True), present(turn)
    blocks = turn.context.drawn(turn.state.seeds, round_.number).blocks
    said: dict[int, list[bytes]] = {}
    for record in proof.words:
        if record.here and not record.bad:
            said.setdefault(blocks[record.member], []).append(record.message)
    if not said:
        abandon(turn, at, "no member has said any words")
        return
    # Blocks of which nobody said anything are out of this attempt.
    kept = Rosters.of(each for each in proof.dealt if each.block in said)
    _set(turn, dealt=kept)
    for dealt in kept:
        roster = round_.roster(dealt.block)
        if roster is None:
            raise StateError(f"block {dealt.block} has no roster")
        place = round_.number, round_.attempt, dealt.block
        messages = tuple(said[dealt.block])
        turn.emit(ComputeVerdict(*place, roster.digest, dealt.digest, messages))


def verdict_made(turn: RequesterTurn, round_: RequesterRound, input_: inputs.VerdictMade) -> None:
    """A block is decided: name who failed; once all are, commit to those that passed."""
    proof = _proof(turn)
    if proof.verdicts.at(input_.block) is not None:
        raise StateError(f"block {input_.block} is decided already")
    verdict = VerdictRecord(
        input_.block, input_.digest, input_.size, input_.passed, input_.failed, input_.able
    )
    proof = _set(turn, verdicts=proof.verdicts.put(verdict))
    for member in input_.bad:
        blame(turn, member, "its words are not the ones that it signed")
    _name(turn, round_, input_)
    if len(proof.verdicts) < len(proof.dealt):
        return
    passed = {member for each in proof.verdicts for member in each.passed}
    going = enough_of(turn, passed)
    told = tuple(Verdict(each.block, each.digest, each.size) for each in proof.verdicts)
    publish(turn, Decided(round_.opening_digest, told))
    if not going:
        abandon(turn, input_.at, "too few members of every block have proven their norm")
        return
    commit_proven(turn, going, {each.block: each.digest for each in proof.verdicts})


def _name(turn: RequesterTurn, round_: RequesterRound, input_: inputs.VerdictMade) -> None:
    """Who failed is proven to cheat, and leaves for good; the undecided are left out this once."""
    reasons, cohort = dict(input_.reasons), turn.context.require_cohort()
    for member in input_.failed:
        why = f"member {member} proved no norm: {reasons[member]}"
        turn.emit(Blame(cohort.members[member].peer, one_line(why)))
        turn.notify("proof-failed", why, round_.number, round_.attempt)
        place = round_.number, round_.attempt, input_.block, input_.digest, input_.size
        turn.change(cheats=turn.state.cheats.put(CheatRecord(member, *place)))
    for member, reason in input_.reasons:
        if member not in input_.failed:
            why = f"member {member} is left out this time: {reason}"
            turn.notify("proof-undecided", why, round_.number, round_.attempt)
