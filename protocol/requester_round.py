"""A round as its requester runs it: open, ready, freeze, contribute, commit, unmask, apply.

Without noise a block counts whole or not at all (design, section 5): that is what `_whole_blocks`
decides, on who is ready and again on who has contributed.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

from protocol import inputs
from protocol.effects import (
    Assemble,
    Blame,
    BlobKind,
    ComputeApply,
    ComputeCheck,
    ComputeSum,
    Fetch,
    Publish,
    SignCommitment,
    TransactCommit,
)
from protocol.enrolment import draw_blocks
from protocol.envelope import Context, opening_digest
from protocol.errors import FatalError, StateError
from protocol.job import JobEvent, JobPhase
from protocol.job import advance as advance_job
from protocol.machine import JobContext, Turn, block_topic, job_topic, kind_of, one_line
from protocol.messages import Committed, Contribution, Freeze, Open, Ready, Result
from protocol.requester_state import (
    ContributionRecord,
    ReadyRecord,
    RequesterRound,
    RequesterState,
    RoundRecord,
    SumRecord,
)
from protocol.round import Event, Phase, Role, advance

RequesterTurn = Turn[RequesterState]

#: How long a failed attempt rests before the next: whoever vanished may be coming back.
_REST_MS = 2_000


def message_context(context: JobContext, number: int, attempt: int) -> Context:
    """Where a round's messages belong."""
    chain = context.spec.chain
    return Context(chain.chain_id, chain.contract, context.job, number, attempt)


def block_topics(context: JobContext, state: RequesterState) -> tuple[str, ...]:
    """One topic a block, while the job trains."""
    if state.phase is not JobPhase.TRAINING:
        return ()
    return tuple(block_topic(context.job, b) for b in sorted(set(_blocks(context, state))))


def open_attempt(turn: RequesterTurn, at: int, number: int, attempt: int) -> None:
    """Publish an attempt's opening and wait for members."""
    state, timing = turn.state, turn.context.spec.timing
    ready_until = at + 1000 * timing.ready_seconds
    opening = Open(
        state.cohort_digest,
        state.cohort_size,
        state.model_digest,
        state.model_size,
        ready_until,
        ready_until + 1000 * timing.contribute_seconds,
    )
    digest = opening_digest(message_context(turn.context, number, attempt), opening)
    phase = advance(Role.REQUESTER, Phase.OPEN, Event.OPENED)
    turn.change(round=RequesterRound(number, attempt, phase, opening, digest, 0))
    _publish(turn, opening)
    turn.notify("round-opened", f"round {number}, attempt {attempt}", number, attempt)


def receive(turn: RequesterTurn, input_: inputs.ReceiveMessage) -> None:
    """A message of the present attempt; anything else raises StateError."""
    body, place = input_.envelope.body, input_.envelope.context
    round_ = _round(turn)
    if (place.round, place.attempt) != (round_.number, round_.attempt):
        raise StateError(f"{kind_of(body)} of round {place.round}.{place.attempt} is not awaited")
    cohort = turn.context.require_cohort()
    member = cohort.index_of(input_.envelope.sender)
    if member is None:
        raise StateError(f"{kind_of(body)} from a peer that is not enrolled")
    if isinstance(body, Ready):
        _ready(turn, input_, body, member)
    elif isinstance(body, Contribution):
        _contribution(turn, input_, body, member)
    else:
        raise StateError(f"a requester does not receive {kind_of(body)}")


def _ready(turn: RequesterTurn, input_: inputs.ReceiveMessage, body: Ready, member: int) -> None:
    round_ = _round(turn, Phase.READY)
    if body.opening != round_.opening_digest:
        raise StateError("Ready for another opening")
    if any(r.member == member for r in round_.ready):
        raise StateError(f"member {member} is ready already")
    _set(turn, ready=(*round_.ready, ReadyRecord(member, input_.digest)))
    if len(_round(turn).ready) == len(turn.context.require_cohort().members):
        _freeze(turn, input_.at)


def _freeze(turn: RequesterTurn, at: int) -> None:
    round_ = _round(turn)
    whole = _whole_blocks(turn, {r.member for r in round_.ready})
    if not whole:
        _abandon(turn, at, f"{len(round_.ready)} members are ready, which is no whole block")
        return
    blocks = _blocks(turn.context, turn.state)
    frozen = sorted((r for r in round_.ready if blocks[r.member] in whole), key=_by_member)
    _advance(turn, Event.MEMBERS_READY, blocks=whole)
    messages = tuple(r.message for r in frozen)
    turn.emit(Assemble(BlobKind.FROZEN, round_.number, round_.attempt, messages))


def assembled(turn: RequesterTurn, input_: inputs.Assembled) -> None:
    """A frozen roster or a contribution list is stored: say so."""
    round_ = _round_of(turn, input_.round, input_.attempt)
    if input_.kind is BlobKind.FROZEN and round_.phase is Phase.FREEZE:
        _advance(turn, Event.FROZEN, frozen_digest=input_.digest, frozen_size=input_.size)
        _publish(turn, Freeze(round_.opening_digest, input_.digest, input_.size))
    elif input_.kind is BlobKind.CONTRIBUTIONS and round_.phase is Phase.COMMIT:
        _set(turn, list_digest=input_.digest, list_size=input_.size, root=input_.root)
        _sign(turn, input_.at)
    else:
        raise StateError(f"no {input_.kind.value} list is awaited in phase {round_.phase.value}")


def _contribution(
    turn: RequesterTurn, input_: inputs.ReceiveMessage, body: Contribution, member: int
) -> None:
    round_ = _round(turn, Phase.CONTRIBUTE)
    block = _blocks(turn.context, turn.state)[member]
    peer = input_.envelope.sender
    spec = turn.context.spec
    expected_bytes = spec.packing.batch_bytes(spec.parameter_count)
    fault = ""
    if (body.member, body.block) != (member, block) or block not in round_.blocks:
        fault = "it names another member or block than its sender's"
    elif body.frozen_digest != round_.frozen_digest:
        fault = "it names another frozen roster"
    elif body.batch_size != expected_bytes:
        fault = f"its batch has {body.batch_size} bytes, not {expected_bytes}"
    elif any(c.batch == body.batch_digest and c.member != member for c in round_.contributions):
        fault = "its batch is another member's"
    if fault:
        turn.emit(Blame(peer, one_line(f"contribution: {fault}")))
        return
    known = next((c for c in round_.contributions if c.member == member), None)
    if known is not None:
        if known.batch != body.batch_digest:
            turn.emit(Blame(peer, "a second contribution that differs from the first"))
        return
    record = ContributionRecord(member, input_.digest, body.batch_digest, body.batch_size, False)
    _set(turn, contributions=(*round_.contributions, record))
    until = round_.opening.contribute_until
    turn.emit(Fetch(body.batch_digest, body.batch_size, (peer,), until))


def blob_arrived(turn: RequesterTurn, input_: inputs.BlobArrived) -> None:
    """A batch is here: have its ciphertexts checked before it can count."""
    round_ = _round(turn, Phase.CONTRIBUTE)
    if not any(c.batch == input_.digest and not c.sound for c in round_.contributions):
        raise StateError("no contribution awaits this blob")
    turn.emit(ComputeCheck(round_.number, round_.attempt, input_.digest))


def blob_missing(turn: RequesterTurn, input_: inputs.BlobMissing) -> None:
    turn.notify("batch-missing", input_.reason)


def computed(turn: RequesterTurn, input_: inputs.ComputeDone) -> None:
    """A check, a sum or the next model is done."""
    if input_.kind == "apply":
        _applied(turn, input_)
        return
    round_ = _round_of(turn, input_.round, input_.attempt)
    if input_.kind == "check" and round_.phase is Phase.CONTRIBUTE:
        sound = tuple(
            dataclasses.replace(c, sound=True) if c.batch == input_.subject else c
            for c in round_.contributions
        )
        _set(turn, contributions=sound)
        expected = sum(b in round_.blocks for b in _blocks(turn.context, turn.state))
        if sum(c.sound for c in sound) == expected:
            _commit(turn, input_.at)
    elif input_.kind == "sum":
        block = int.from_bytes(input_.subject, "big")
        count = Counter(_blocks(turn.context, turn.state))[block]
        _set(turn, sums=(*round_.sums, SumRecord(block, input_.digest, count)))
        _apply(turn)
    else:
        raise StateError(f"no {input_.kind} is awaited in phase {round_.phase.value}")


def compute_failed(turn: RequesterTurn, input_: inputs.ComputeFailed) -> None:
    """A batch with unsound ciphertexts: it never counts, and its sender is blamed."""
    round_ = _round_of(turn, input_.round, input_.attempt)
    bad = next((c for c in round_.contributions if c.batch == input_.subject), None)
    if input_.kind != "check" or bad is None:
        raise FatalError(f"{input_.kind} failed on checked batches: {input_.reason}")
    peer = turn.context.require_cohort().members[bad.member].peer
    turn.emit(Blame(peer, one_line(f"batch: {input_.reason}")))
    turn.notify("batch-refused", input_.reason, round_.number, round_.attempt)


def _commit(turn: RequesterTurn, at: int) -> None:
    round_ = _round(turn)
    whole = _whole_blocks(turn, {c.member for c in round_.contributions if c.sound})
    if not whole:
        _abandon(turn, at, "no whole block has contributed")
        return
    blocks = _blocks(turn.context, turn.state)
    chosen = sorted(
        (c for c in round_.contributions if blocks[c.member] in whole),
        key=lambda c: (blocks[c.member], c.member),
    )
    _advance(turn, Event.CONTRIBUTED, blocks=whole)
    messages = tuple(c.message for c in chosen)
    place = round_.number, round_.attempt
    turn.emit(Assemble(BlobKind.CONTRIBUTIONS, *place, messages))
    for block in whole:
        batches = tuple(c.batch for c in chosen if blocks[c.member] == block)
        turn.emit(ComputeSum(*place, block, batches))


def _sign(turn: RequesterTurn, at: int) -> None:
    round_ = _round(turn)
    valid_until = at // 1000 + turn.context.spec.timing.commit_seconds
    count = _committed_count(turn)
    _set(turn, valid_until=valid_until)
    turn.emit(
        SignCommitment(round_.number, round_.root, count, round_.opening.model_digest, valid_until)
    )


def _committed_count(turn: RequesterTurn) -> int:
    blocks = _round(turn).blocks
    return sum(b in blocks for b in _blocks(turn.context, turn.state))


def signed(turn: RequesterTurn, input_: inputs.CommitmentSigned) -> None:
    """Publish the commitment and put it on the chain; anybody else may, too."""
    round_ = _round(turn, Phase.COMMIT)
    if (input_.round, input_.root) != (round_.number, round_.root):
        raise StateError("a signature of another commitment")
    _set(turn, signature=input_.signature)
    model, count = round_.opening.model_digest, _committed_count(turn)
    terms = (round_.root, count, model, input_.valid_until, input_.signature)
    turn.emit(TransactCommit(round_.number, *terms))
    _publish(turn, Committed(*terms, round_.list_digest, round_.list_size))


def committed(turn: RequesterTurn, input_: inputs.ChainCommitted) -> None:
    """The chain has a root for a round: it must be the one that this node signed."""
    round_ = _round(turn)
    if input_.round != round_.number or round_.phase is not Phase.COMMIT:
        raise StateError(f"no commitment of round {input_.round} is awaited")
    if input_.root != round_.root:
        reason = f"the chain holds another root for round {input_.round}: this key signed twice"
        turn.change(
            reason=reason,
            phase=advance_job(Role.REQUESTER, turn.state.phase, JobEvent.BROKEN),
        )
        turn.notify("failed", reason)
        return
    _set(turn, committed_block=input_.block)
    turn.notify("committed", f"block {input_.block}", round_.number, round_.attempt)


def look_at_chain(turn: RequesterTurn, at: int) -> None:
    """Once the commitment is final, the sums may be opened."""
    round_ = turn.state.round
    if round_ is None or round_.phase is not Phase.COMMIT or not round_.committed_block:
        return
    if turn.state.head < round_.committed_block + turn.context.spec.timing.finality_blocks:
        return
    _advance(turn, Event.COMMITTED)
    # Batches carry no masks in this version: nothing is to be removed (docs/threat-model.md).
    _advance(turn, Event.UNMASKED)
    _apply(turn)


def _apply(turn: RequesterTurn) -> None:
    """Open and apply the sums as soon as the commitment is final and every sum is there."""
    round_ = _round(turn)
    if round_.phase is not Phase.APPLY or round_.applying:
        return
    if len(round_.sums) < len(round_.blocks):
        return
    sums = sorted(round_.sums, key=lambda s: s.block)
    _set(turn, applying=True)
    turn.emit(
        ComputeApply(
            round_.number,
            round_.opening.model_digest,
            turn.state.momentum,
            tuple(s.digest for s in sums),
            tuple(s.count for s in sums),
        )
    )


def _applied(turn: RequesterTurn, input_: inputs.ComputeDone) -> None:
    round_ = _round(turn, Phase.APPLY)
    if input_.round != round_.number:
        raise StateError("another round's model")
    record = RoundRecord(
        round_.number,
        round_.attempt,
        round_.opening.model_digest,
        round_.frozen_digest,
        round_.frozen_size,
        round_.list_digest,
        round_.list_size,
        round_.root,
        _committed_count(turn),
        input_.digest,
    )
    _advance(turn, Event.APPLIED)
    turn.change(
        records=(*turn.state.records, record),
        model_digest=input_.digest,
        model_size=input_.size,
        momentum=input_.extra,
    )
    _publish(turn, Result(input_.digest, input_.size))
    turn.notify(
        "round-applied",
        f"round {round_.number} of {turn.context.spec.training.rounds}",
        round_.number,
        round_.attempt,
        input_.facts,
    )


def tick(turn: RequesterTurn, at: int) -> None:
    """Deadlines of the present attempt."""
    round_ = turn.state.round
    if round_ is None:
        return
    if round_.phase is Phase.READY and at >= round_.opening.ready_until:
        _freeze(turn, at)
    elif round_.phase is Phase.CONTRIBUTE and at >= round_.opening.contribute_until:
        _commit(turn, at)
    elif round_.phase is Phase.COMMIT and round_.signature and not round_.committed_block:
        _sign_again_when_late(turn, at)


def _sign_again_when_late(turn: RequesterTurn, at: int) -> None:
    """Signed but not on the chain in time: the same root once more, under a later deadline."""
    if at > 1000 * _round(turn).valid_until:
        _set(turn, signature=b"")
        _sign(turn, at)


def reorg(turn: RequesterTurn, number: int) -> None:
    """A commitment that is no longer on the chain is awaited again; its transaction stands."""
    round_ = turn.state.round
    if round_ is not None and round_.phase is Phase.COMMIT and round_.committed_block > number:
        _set(turn, committed_block=0)


def _abandon(turn: RequesterTurn, at: int, reason: str) -> None:
    round_ = _round(turn)
    _advance(turn, Event.ABANDONED, retry_at=at + _REST_MS)
    turn.notify("attempt-failed", reason, round_.number, round_.attempt)


def _whole_blocks(turn: RequesterTurn, present: set[int]) -> tuple[int, ...]:
    """Blocks of which every member is in `present`."""
    blocks = _blocks(turn.context, turn.state)
    absent = {b for member, b in enumerate(blocks) if member not in present}
    return tuple(sorted(set(blocks) - absent))


def _blocks(context: JobContext, state: RequesterState) -> tuple[int, ...]:
    return draw_blocks(context.require_cohort(), context.spec.cohort, state.seed)


def _publish(turn: RequesterTurn, body: Open | Freeze | Committed | Result) -> None:
    round_ = _round(turn)
    turn.emit(Publish(job_topic(turn.context.job), round_.number, round_.attempt, body, b""))


def _round(turn: RequesterTurn, phase: Phase | None = None) -> RequesterRound:
    round_ = turn.state.round
    if round_ is None or turn.state.phase is not JobPhase.TRAINING:
        raise StateError(f"no round runs while the job is {turn.state.phase.value}")
    if phase is not None and round_.phase is not phase:
        raise StateError(f"the round is in phase {round_.phase.value}, not {phase.value}")
    return round_


def _round_of(turn: RequesterTurn, number: int, attempt: int) -> RequesterRound:
    round_ = _round(turn)
    if (round_.number, round_.attempt) != (number, attempt):
        raise StateError(f"round {number}.{attempt} is over")
    return round_


def _set(turn: RequesterTurn, **changes: Any) -> None:
    turn.change(round=dataclasses.replace(_round(turn), **changes))


def _advance(turn: RequesterTurn, event: Event, **changes: Any) -> None:
    _set(turn, phase=advance(Role.REQUESTER, _round(turn).phase, event), **changes)


def _by_member(record: ReadyRecord) -> int:
    return record.member
