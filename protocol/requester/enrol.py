"""Who joins a job: enrolments gathered, their roots put on the chain, the seed of their blocks.

The first group begins the training. Owners that come later wait until there are enough of them for
a block. Then they get a root and blocks of their own, and take part from the next round that opens.
"""

from __future__ import annotations

import dataclasses
from itertools import islice
from typing import Any

from protocol.books.enrolment import read_enrolment
from protocol.errors import Malformed, StateError
from protocol.machines import inputs
from protocol.machines.effects import (
    Assemble,
    Blame,
    BlobKind,
    ComputeInitialModel,
    ReadBlockHash,
    Send,
    TransactEnrol,
)
from protocol.machines.job import JobEvent, JobPhase
from protocol.machines.machine import one_line
from protocol.params import MAX_DECLINED, MAX_GROUPS
from protocol.requester.state import (
    DeclinedRecord,
    DeclinedRecords,
    EnrolmentRecord,
    GroupRecord,
    RequesterState,
)
from protocol.requester.turn import RequesterTurn, fail, go
from protocol.wire.messages import Declined, DeclinedTerm, Enrol, Enrolled, RefusalCode, Refuse

#: How long an answer to an enrolment is worth delivering, milliseconds.
_ANSWER_MS = 30_000

_GATHERING = (JobPhase.ENROLLING, JobPhase.ROOTING, JobPhase.TRAINING)


def enrol(turn: RequesterTurn, input_: inputs.ReceiveMessage, body: Enrol) -> None:
    """An owner wants to join: take it, or say why not."""
    state, limits = turn.state, turn.context.spec.cohort
    peer = input_.envelope.sender

    def answer(reply: Enrolled | Refuse) -> None:
        turn.emit(Send(peer, 0, 0, reply, b"", input_.at + _ANSWER_MS))

    def refuse(code: RefusalCode, reason: str) -> None:
        answer(Refuse(code, reason))

    try:
        member = read_enrolment(turn.context.spec, turn.context.job, input_.envelope)
    except Malformed as e:
        turn.emit(Blame(peer, one_line(str(e))))
        refuse(RefusalCode.INVALID, one_line(str(e)))
        return
    known = state.enrolments.find("peer", peer)
    if known is not None:
        said = known.account, known.payout, known.sealing_key
        if said == (member.account, member.payout, member.sealing_key):
            answer(Enrolled(known.message))
        else:
            why = "this peer is enrolled with another account or sealing key"
            refuse(RefusalCode.CONFLICT, why)
    elif state.phase not in _GATHERING or state.late_refused:
        refuse(RefusalCode.CLOSED, "enrolment in this job is over")
    elif len(state.enrolments) >= limits.max_owners:
        refuse(RefusalCode.FULL, f"{limits.max_owners} owners are enrolled, which is the most")
    elif limits.admission and member.account not in limits.admission:
        refuse(RefusalCode.NOT_ADMITTED, "the account is not on the job's admission list")
    elif _holds(state, "account", member.account):
        refuse(RefusalCode.CONFLICT, "the account is enrolled by another peer")
    elif _holds(state, "sealing_key", member.sealing_key):
        # No list of the cohort would hold with both.
        refuse(RefusalCode.CONFLICT, "the sealing key is enrolled by another peer")
    else:
        keys = member.account, member.payout, member.sealing_key
        record = EnrolmentRecord(peer, *keys, input_.digest)
        # Whoever declined has changed its mind.
        before = state.declined.place_of("peer", peer)
        others = state.declined if before is None else state.declined.without(before)
        turn.change(enrolments=state.enrolments.put(record), declined=others)
        answer(Enrolled(input_.digest))
        turn.notify("enrolled", f"{len(turn.state.enrolments)} of {limits.max_owners} owners")
        full = len(turn.state.enrolments) == limits.max_owners
        if full and turn.state.phase is JobPhase.ENROLLING:
            close(turn)


def _holds(state: RequesterState, field: str, value: bytes) -> bool:
    """Whether somebody is enrolled with this."""
    return state.enrolments.place_of(field, value) is not None


def declined(turn: RequesterTurn, input_: inputs.ReceiveMessage, body: Declined) -> None:
    """An owner says why its policy does not take the job. One word counts for each peer, the first;
    anybody may say it, so that it decides nothing, and so many are kept and no more."""
    state, peer = turn.state, input_.envelope.sender
    if state.phase not in _GATHERING or state.late_refused:
        raise StateError("nobody is being enrolled any more")
    if _holds(state, "peer", peer) or state.declined.place_of("peer", peer) is not None:
        raise StateError("Declined from a peer that is enrolled, or has said so before")
    if len(state.declined) >= MAX_DECLINED:
        raise StateError(f"{MAX_DECLINED} peers have declined already, which is as many as count")
    terms = tuple(sorted(set(body.terms), key=list(DeclinedTerm).index))
    turn.change(declined=state.declined.put_at(_free(state.declined), DeclinedRecord(peer, terms)))
    turn.notify("not-taken", f"an owner's policy: {', '.join(term.value for term in terms)}")


def _free(declined: DeclinedRecords) -> int:
    """The first place where nobody stands: who declined and enrols after all leaves one free."""
    return next(n for n in range(len(declined) + 1) if declined.at(n) is None)


def close(turn: RequesterTurn) -> None:
    """The first group is complete."""
    go(turn, JobEvent.COHORT_COMPLETE)
    _root(turn, len(turn.state.enrolments))
    turn.emit(ComputeInitialModel())


def gather(turn: RequesterTurn) -> None:
    """Root the owners that came later, once they are enough for a block of their own."""
    state, spec = turn.state, turn.context.spec
    waiting = len(state.enrolments) - sum(group.count for group in state.groups)
    # One group at a time, until it takes part: an opening names one list, of adopted groups only.
    free = not state.late_refused and state.adopted == len(state.groups) < MAX_GROUPS
    last = len(state.records) + 1 >= spec.training.rounds  # no round is left that they could join
    count = spec.cohort.group_of(waiting)  # of more than fit in blocks, the last wait on
    if free and count and not last:
        _root(turn, count)


def _root(turn: RequesterTurn, count: int) -> None:
    """Put the next `count` enrolments under a root of their own."""
    state = turn.state
    groups = (*state.groups, GroupRecord(count))
    turn.change(groups=groups)
    counts = tuple(group.count for group in groups)
    messages = tuple(r.message for r in islice(state.enrolments, sum(counts)))
    turn.emit(Assemble(BlobKind.COHORT, 0, 0, messages, 0, counts))


def _set_last(turn: RequesterTurn, **changes: Any) -> None:
    groups = turn.state.groups
    turn.change(groups=(*groups[:-1], dataclasses.replace(groups[-1], **changes)))


def _rooting(turn: RequesterTurn) -> GroupRecord:
    group = turn.state.rooting
    if group is None or turn.state.phase not in _GATHERING:
        raise StateError("no owners are being enrolled on the chain")
    return group


def assembled(turn: RequesterTurn, input_: inputs.AssembledCohort) -> None:
    """The list is stored: its root goes on the chain."""
    group = _rooting(turn)
    if group.root:
        raise StateError("no cohort is being assembled")
    _set_last(turn, root=input_.root)
    turn.change(next_cohort_digest=input_.digest, next_cohort_size=input_.size)
    turn.emit(TransactEnrol(len(turn.state.groups) - 1, input_.root, group.count))


def on_chain(turn: RequesterTurn, input_: inputs.ChainEnrolled) -> None:
    """The chain holds the root."""
    group = _rooting(turn)
    if (input_.index, input_.root) != (len(turn.state.groups) - 1, group.root):
        raise StateError("not the enrolment root that is awaited")
    _set_last(turn, block=input_.block)


def look_at_chain(turn: RequesterTurn) -> None:
    """The seed's block must be as final as the root is, and be mined after it."""
    group, depth = turn.state.rooting, turn.context.spec.timing.finality_blocks
    if group is None or not group.block or group.asked:
        return
    if turn.state.head >= group.block + 1 + depth:
        _set_last(turn, asked=True)
        turn.emit(ReadBlockHash(group.block + 1))


def block_hash(turn: RequesterTurn, input_: inputs.ChainBlockHash) -> None:
    """The blocks of the new group are drawn."""
    group = _rooting(turn)
    if not group.asked or input_.number != group.block + 1:
        raise StateError("no such block's hash is awaited")
    _set_last(turn, seed=input_.hash)


def adopt(turn: RequesterTurn) -> None:
    """Let everybody whose blocks are drawn take part from here on."""
    state = turn.state
    ready = sum(1 for group in state.groups if group.seed)
    if ready > state.adopted:
        turn.change(
            adopted=ready,
            cohort_digest=state.next_cohort_digest,
            cohort_size=state.next_cohort_size,
        )


def reorg(turn: RequesterTurn, number: int) -> bool:
    """Roots above `number` are awaited again. False where the job cannot go on."""
    state = turn.state
    if state.phase not in _GATHERING:
        return True
    # Blocks are drawn from the block after the root's: that one must stand as well.
    if any(group.asked and group.block + 1 > number for group in state.groups):
        fail(turn, "the chain reorganised deeper than the job's finality")
        return False
    if state.rooting is not None and state.rooting.block > number:
        _set_last(turn, block=0)
    return True
