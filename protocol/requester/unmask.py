"""How a committed round is opened: shares come in, masks come off, sums are applied.

A block opens once a threshold of its contributors have released good shares of everybody in its
roster. A block that does not open in time is paid for and left out. Members that owed it shares
earn no merit and stay out of later rosters until their shares come.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from protocol.errors import FatalError, StateError
from protocol.machines import inputs
from protocol.machines.effects import ComputeApply, ComputeUnmask, Fetch, OpenBlock
from protocol.machines.machine import body_of
from protocol.machines.round import Phase
from protocol.requester.state import (
    BlockRecord,
    OwedRelease,
    ReleaseRecord,
    RequesterRound,
    SumRecord,
)
from protocol.requester.turn import (
    RequesterTurn,
    blame,
    present,
    sender,
    set_block,
    set_round,
)
from protocol.wire.messages import Release

#: With enough shares to open a block: how long the others' are waited for at least, milliseconds.
#: They come at about the same time, and one look at all of them costs little more than one at some.
_GRACE_MS = 1_000

_OTHER_SHARES = "shares that are not what was sealed for it"

#: How often a member that owes shares may come with bad ones: each time costs a computation.
_LATE_TRIES = 3


def begin_unmask(turn: RequesterTurn, at: int) -> None:
    """The commitment is final: from now on shares may come, for so long."""
    until = at + 1000 * turn.context.spec.timing.unmask_seconds
    set_round(turn, unmask_until=until)
    for block in present(turn).blocks:
        _try(turn, block.block, at)


def release_early(
    turn: RequesterTurn, round_: RequesterRound, input_: inputs.ReceiveMessage
) -> None:
    """A member's shares, which may come before the commitment is final here."""
    _keep(turn, round_, input_)


def released(turn: RequesterTurn, round_: RequesterRound, input_: inputs.ReceiveMessage) -> None:
    """A member's shares: perhaps its block opens."""
    block = _keep(turn, round_, input_)
    if block is None:
        return
    if block.unmask or block.lost:
        _look_late(turn, round_, input_)
    else:
        _try(turn, block.block, input_.at)


def release_late(
    turn: RequesterTurn, round_: RequesterRound, input_: inputs.ReceiveMessage
) -> None:
    """A member's shares, after its block was opened or given up."""
    if _keep(turn, round_, input_) is not None:
        _look_late(turn, round_, input_)


def _keep(
    turn: RequesterTurn, round_: RequesterRound, input_: inputs.ReceiveMessage
) -> BlockRecord | None:
    """Note a release for the present round; its block. None where its sender is at fault."""
    body, member = body_of(input_, Release), sender(turn, input_)
    block = _block_of(turn, round_, member)
    if block is None or body.root != round_.root or body.block != block.block:
        raise StateError("a release for another commitment or block than its sender's")
    if round_.releases.at(member) is not None:
        raise StateError(f"member {member} has released its shares already")
    roster = round_.roster(block.block)
    spec = turn.context.spec
    if roster is None or len(body.shares) != (1 if spec.proves else len(roster.members)):
        blame(turn, member, f"releases {len(body.shares)} shares, its roster has another number")
        return None
    if spec.proves:
        _fetch_sum(turn, round_, member, input_)
        return None
    record = ReleaseRecord(member, input_.digest)
    set_round(turn, releases=round_.releases.put(record))
    return block


def _fetch_sum(
    turn: RequesterTurn, round_: RequesterRound, member: int, input_: inputs.ReceiveMessage
) -> None:
    """With proofs a release names the digest of its member's sum: it counts once that is here."""
    proof, digest = turn.state.proof, body_of(input_, Release).shares[0]
    if proof is None or proof.sums.at(member) is not None:
        raise StateError(f"member {member} has told of its sum already")
    record = SumRecord(member, input_.digest, digest)
    turn.change(proof=dataclasses.replace(proof, sums=proof.sums.put(record)))
    owed = turn.state.owed.at(member)
    if owed is not None and (owed.round, owed.attempt) == (round_.number, round_.attempt):
        owed = dataclasses.replace(owed, sum=digest)
        turn.change(owed=turn.state.owed.put(owed))
    _fetch(turn, digest, input_.envelope.sender)


def _fetch(turn: RequesterTurn, digest: bytes, peer: bytes) -> None:
    """A member's sum, which it alone has. Late ones are of use, too: they clear a debt."""
    size, until = 8 * turn.context.spec.parameter_count, 1000 * turn.context.spec.expires_at
    turn.emit(Fetch(digest, size, (peer,), until))


def sum_arrived(turn: RequesterTurn, round_: RequesterRound, input_: inputs.BlobArrived) -> None:
    """A member's sum is here: perhaps its block opens."""
    sums = () if turn.state.proof is None else turn.state.proof.sums
    for record in sums:
        if record.digest != input_.digest or round_.releases.at(record.member) is not None:
            continue
        round_ = present(turn)
        kept = ReleaseRecord(record.member, record.message)
        set_round(turn, releases=round_.releases.put(kept))
        block = _block_of(turn, round_, record.member)
        if block is not None and round_.phase is Phase.UNMASK:
            _try(turn, block.block, input_.at)  # nothing, where the block is open


def owed_sum_arrived(turn: RequesterTurn, input_: inputs.BlobArrived) -> None:
    """A sum that was owed is here, of its whole length: its member stays out no longer.

    Nobody looks at it: the block is open, or closed for good, and a wrong one can do nothing any
    more. A word alone clears nothing, or who withholds its sum round by round would stay.
    """
    owed = turn.state.owed
    while (late := owed.find("sum", input_.digest)) is not None:
        owed = owed.without(late.member)
    turn.change(owed=owed)


def _block_of(turn: RequesterTurn, round_: RequesterRound, member: int) -> BlockRecord | None:
    """The committed block that lists a member."""
    blocks = turn.context.drawn(turn.state.seeds, round_.number).blocks
    block = round_.blocks.at(blocks[member]) if member < len(blocks) else None
    return block if block is not None and member in block.members else None


def _try(turn: RequesterTurn, number: int, at: int) -> None:
    """Rebuild a block's secrets if enough shares are there that were not tried yet."""
    round_ = present(turn)
    block = _block(round_, number)
    if block.unmask or block.lost or block.trying:
        return
    there = (round_.releases.at(member) for member in block.members if member not in block.bad)
    good = [release for release in there if release is not None]
    if len(good) <= block.asked:
        return
    if len(good) < _threshold(turn, number):
        return
    enough_at = block.enough_at or at
    set_block(turn, number, enough_at=enough_at)
    all_there = len(good) + len(block.bad) >= len(_able(turn, block))
    if not all_there and at < enough_at + _grace(turn, enough_at):
        return
    set_block(turn, number, trying=True, asked=len(good))
    roster = round_.roster(number)
    if roster is None:
        raise StateError(f"block {number} was committed without a roster")
    turn.emit(
        ComputeUnmask(
            round_.number,
            round_.attempt,
            round_.opening.model_digest,
            number,
            roster.digest,
            block.members,
            tuple(r.message for r in good),
        )
    )


def _able(turn: RequesterTurn, block: BlockRecord) -> tuple[int, ...]:
    """The listed members that have something to release: with proofs, those that hold a right piece
    of everybody that passed."""
    proof = turn.state.proof
    verdict = None if proof is None else proof.verdicts.at(block.block)
    if verdict is None:
        return block.members
    return tuple(member for member in block.members if member in verdict.able)


def _grace(turn: RequesterTurn, enough_at: int) -> int:
    """Milliseconds for the members that are not among the first: as long as these took themselves.

    Where everybody is slow, the last is no more at fault than the first. At most half of what is
    left until `unmask_until`: opening what is there takes time, too.
    """
    until = present(turn).unmask_until
    final_at = until - 1000 * turn.context.spec.timing.unmask_seconds
    return min(max(_GRACE_MS, enough_at - final_at), max(0, until - enough_at) // 2)


def _threshold(turn: RequesterTurn, number: int) -> int:
    drawn, spec = turn.context.drawn(turn.state.seeds, present(turn).number), turn.context.spec
    # Of fewer sums than that, liars could make another sum (docs/spec/proofs.md, 'Sums').
    liars = spec.privacy.corrupt if spec.proves else 0
    return spec.threshold(len(drawn.members[number])) + liars


def _block(round_: RequesterRound, number: int) -> BlockRecord:
    found = round_.blocks.at(number)
    if found is None:
        raise StateError(f"block {number} is not committed in round {round_.number}")
    return found


def unmasked(turn: RequesterTurn, round_: RequesterRound, input_: inputs.Unmasked) -> None:
    """Releases were tried: the block opens, or shares were bad and others are waited for."""
    block = _block(round_, input_.block)
    if not block.trying:
        late_checked(turn, round_, input_)
        return
    _name_liars(turn, input_)
    set_block(
        turn,
        block.block,
        trying=False,
        bad=tuple(sorted({*block.bad, *input_.bad})),
        asked=block.asked - len(input_.bad),  # so that whatever comes next is worth another try
        unmask=input_.digest,
        sum=input_.digest if turn.context.spec.proves else block.sum,
        lost=bool(input_.liars),
    )
    if not (input_.digest or input_.liars):
        _try(turn, block.block, input_.at)
    _finish_unmask(turn, late=False)


def _name_liars(turn: RequesterTurn, input_: inputs.Unmasked) -> None:
    """Blame whoever released or shared out what does not hold."""
    for member in input_.bad:
        what = "a sum that is not of its pieces" if turn.context.spec.proves else _OTHER_SHARES
        blame(turn, member, f"released {what}")
    for member in input_.liars:
        blame(turn, member, "its shares do not make the secret that it committed to")
    # Each such lie costs the requester a block that it pays for, so one is enough to be out.
    liars = turn.state.liars
    for member in input_.liars:
        liars = liars.put(member)
    turn.change(liars=liars)


def _finish_unmask(turn: RequesterTurn, *, late: bool) -> None:
    """Go on once every block is open or lost, or none can be waited for any longer."""
    round_ = present(turn)
    if not late and round_.blocks.done < len(round_.blocks):
        return
    for block in round_.blocks:
        if block.unmask:
            continue
        why = "a member shared out no shares of its secret" if block.lost else "too few shares came"
        why = f"block {block.block} stays closed: {why}"
        turn.notify("block-closed", why, round_.number, round_.attempt)
        # A try that still runs can open nothing now. It only shows who gave what it owed.
        set_block(turn, block.block, trying=False)
    set_round(turn, phase=Phase.APPLY)
    _apply_when_summed(turn)


def go_on_when_late(turn: RequesterTurn, round_: RequesterRound, input_: inputs.Tick) -> None:
    """The shares' time is over: what is closed by now stays closed."""
    if input_.at >= round_.unmask_until:
        _finish_unmask(turn, late=True)
        return
    for block in round_.blocks:
        _try(turn, block.block, input_.at)


def summed(turn: RequesterTurn, round_: RequesterRound, input_: inputs.SumMade) -> None:
    """A block's sum is there."""
    if _block(round_, input_.block).sum:
        raise StateError(f"the sum of block {input_.block} is here already")
    set_block(turn, input_.block, sum=input_.digest)
    if round_.phase is Phase.APPLY:
        _apply_when_summed(turn)


def sum_failed(_: RequesterTurn, __: RequesterRound, input_: inputs.SumFailed) -> None:
    """Batches that were checked must add up. Raises FatalError."""
    raise FatalError(f"the sum of checked batches failed: {input_.reason}")


def _apply_when_summed(turn: RequesterTurn) -> None:
    """Open and apply what can be opened, as soon as its sums are there as well."""
    round_ = present(turn)
    if round_.applying:
        return
    ready = [b for b in round_.blocks if b.unmask]
    if not all(b.sum for b in ready):
        return
    set_round(turn, applying=True)
    _note_owed(turn, present(turn).blocks)
    turn.emit(
        ComputeApply(
            round_.number,
            round_.opening.model_digest,
            turn.state.momentum,
            turn.state.worth,
            tuple(OpenBlock(b.block, b.sum, b.unmask, b.members) for b in ready),
        )
    )


def _note_owed(turn: RequesterTurn, blocks: Iterable[BlockRecord]) -> None:
    """A listed member that has given no shares, or bad ones, owes them from now on."""
    round_ = present(turn)
    owed = turn.state.owed
    for block in blocks:
        roster = round_.roster(block.block)
        for member in _able(turn, block):
            given = round_.releases.at(member) is not None and member not in block.bad
            if given or roster is None:
                continue
            # One round's debt is enough to stay out: the latest of each member is kept.
            owed = owed.put(
                OwedRelease(
                    member,
                    round_.number,
                    round_.attempt,
                    round_.opening.model_digest,
                    round_.root,
                    block.block,
                    roster.digest,
                    block.members,
                    sum=_told_sum(turn, member),
                )
            )
    turn.change(owed=owed)


def _told_sum(turn: RequesterTurn, member: int) -> bytes | None:
    """What a member has said that its sum is, and has not served yet."""
    told = None if turn.state.proof is None else turn.state.proof.sums.at(member)
    return None if told is None else told.digest


def release_owed(turn: RequesterTurn, _: None, input_: inputs.ReceiveMessage) -> None:
    """Shares of a round that is over: looked at, so that only good ones count as given."""
    if not _look_owed(turn, input_):
        place = input_.envelope.context
        raise StateError(f"no shares of round {place.round}.{place.attempt} are owed")


def _look_owed(turn: RequesterTurn, input_: inputs.ReceiveMessage) -> bool:
    """Have a release looked at if its member owes it."""
    place, body, member = input_.envelope.context, body_of(input_, Release), sender(turn, input_)
    owed = turn.state.owed.at(member)
    if owed is None or (owed.round, owed.attempt) != (place.round, place.attempt):
        return False
    if (body.root, body.block) != (owed.root, owed.block):
        raise StateError("a release for another commitment or block than is owed")
    if owed.tries >= _LATE_TRIES:
        what = "told of its sum" if turn.context.spec.proves else "released bad shares"
        raise StateError(f"member {member} {what} {owed.tries} times")
    tried = dataclasses.replace(owed, tries=owed.tries + 1)
    if turn.context.spec.proves:
        tried = dataclasses.replace(tried, sum=body.shares[0])
        _fetch(turn, body.shares[0], input_.envelope.sender)
    turn.change(owed=turn.state.owed.put(tried))
    if turn.context.spec.proves:
        return True
    where = owed.model_digest, owed.block, owed.roster_digest, owed.listed
    turn.emit(ComputeUnmask(place.round, place.attempt, *where, (input_.digest,)))
    return True


def _look_late(turn: RequesterTurn, round_: RequesterRound, input_: inputs.ReceiveMessage) -> None:
    """Have a release for the present round looked at that opens nothing any more."""
    if _look_owed(turn, input_):
        return
    number = body_of(input_, Release).block
    block, roster = _block(round_, number), round_.roster(number)
    if roster is None:
        raise StateError(f"block {number} has no roster")
    where = round_.opening.model_digest, block.block, roster.digest, block.members
    turn.emit(ComputeUnmask(round_.number, round_.attempt, *where, (input_.digest,)))


def owed_checked(turn: RequesterTurn, _: None, input_: inputs.Unmasked) -> None:
    """A late release was looked at: the debt is paid, or stands."""
    _name_liars(turn, input_)
    place, left = (input_.round, input_.attempt, input_.block), turn.state.owed
    for member in input_.good:
        owed = left.at(member)
        if owed is not None and (owed.round, owed.attempt, owed.block) == place:
            left = left.without(member)
    turn.change(owed=left)


def late_checked(turn: RequesterTurn, round_: RequesterRound, input_: inputs.Unmasked) -> None:
    """A late release for the present round was looked at."""
    owed_checked(turn, None, input_)
    if input_.bad:
        block = _block(round_, input_.block)
        set_block(turn, block.block, bad=tuple(sorted({*block.bad, *input_.bad})))
        if round_.applying:
            _note_owed(turn, (_block(present(turn), block.block),))
