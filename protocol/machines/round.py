"""The table that moves rounds: each role, each phase of an attempt, each type of input.

A row names the handler of an input in a phase, and every phase that may follow. Nothing else moves
an attempt: an input that a phase does not list raises StateError and changes nothing, and a phase
that a row does not list is a defect (machines/machine.py). docs/spec/round.md carries the diagrams
that scripts/round-diagram draws from this table, and tests/protocol/machines compare what machines
did with it, in both directions.

The phase None stands for 'no such attempt': none was opened, or an input is about another one than
the machine follows.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

from protocol.errors import StateError
from protocol.machines import inputs
from protocol.wire.messages import (
    Committed,
    Contribution,
    Dealt,
    Decided,
    Freeze,
    Open,
    Ready,
    Refuse,
    Release,
    Result,
    Words,
)


class Role(enum.Enum):
    REQUESTER = "requester"
    OWNER = "owner"


class Phase(enum.Enum):
    OPEN = "open"  # owner: what the opening names is fetched, secrets are drawn
    READY = "ready"  # members say that they are there
    FREEZE = "freeze"  # rosters are stored; an owner verifies its block's
    CONTRIBUTE = "contribute"  # owners train, mask and encrypt; the requester collects
    VERIFY = "verify"  # with proofs: members check each other's dealings, and say their words
    COMMIT = "commit"  # the commitment is on its way to be final on the chain
    DUE = "due"  # owner: the same, of a round that the next one has overtaken
    UNMASK = "unmask"  # requester: shares are collected
    APPLY = "apply"  # the model is being moved
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Row:
    """`handler` is a module of the role's room, a dot, and a function of it."""

    handler: str
    follows: frozenset[Phase | None]


Key = tuple[Role, Phase | None, type[Any]]

_P = Phase


def _owner() -> dict[Key, Row]:
    def row(at: Phase | None, input_: type[Any], handler: str, *follows: Phase | None) -> None:
        table[Role.OWNER, at, input_] = Row(handler, frozenset(follows))

    table: dict[Key, Row] = {}
    # An opening begins an attempt and ends the one before. A round whose commitment is not final
    # when the next round opens stays due beside it.
    row(None, Open, "attempt.open_first", None, _P.OPEN)
    early = _P.OPEN, _P.READY, _P.FREEZE, _P.CONTRIBUTE, _P.VERIFY
    for at in (*early, _P.APPLY, _P.DONE, _P.FAILED):
        row(at, Open, "attempt.open_next", at, _P.OPEN)
    row(_P.COMMIT, Open, "attempt.open_next", _P.COMMIT, _P.OPEN, _P.DUE)

    row(_P.OPEN, inputs.BlobArrived, "attempt.model_arrived", _P.OPEN, _P.FAILED)
    for news in (inputs.ExaminedCohort, inputs.ChainBlockHash, inputs.ChainCommitted):
        row(_P.OPEN, news, "attempt.look_whether_ready", _P.OPEN, _P.FAILED)
    row(_P.OPEN, inputs.SecretsMade, "attempt.secrets_made", _P.READY, _P.FAILED)
    row(_P.OPEN, inputs.SecretsFailed, "attempt.could_not_train", _P.FAILED)
    row(None, inputs.SecretsMade, "attempt.forget_late_secrets", None)
    row(_P.FAILED, inputs.SecretsMade, "attempt.forget_late_secrets", _P.FAILED)

    row(_P.READY, Freeze, "attempt.freeze", _P.FREEZE, _P.FAILED)
    for at in (*early[2:], _P.COMMIT, _P.APPLY, _P.DONE, _P.FAILED):
        row(at, Freeze, "attempt.freeze_again", at)
    row(_P.FREEZE, inputs.BlobArrived, "attempt.roster_arrived", _P.FREEZE)
    row(_P.FREEZE, inputs.ExaminedRoster, "attempt.roster_holds", _P.CONTRIBUTE, _P.FAILED)
    row(_P.FREEZE, inputs.RejectedRoster, "attempt.roster_fails", _P.FAILED)

    after = _P.COMMIT, _P.VERIFY, _P.FAILED
    row(_P.CONTRIBUTE, inputs.ContributionMade, "attempt.contribute", *after)
    row(_P.CONTRIBUTE, inputs.ContributionFailed, "attempt.could_not_train", _P.FAILED)
    row(_P.FAILED, inputs.ContributionFailed, "attempt.failed_before", _P.FAILED)
    row(_P.FAILED, inputs.SecretsFailed, "attempt.failed_before", _P.FAILED)
    for at in (_P.OPEN, _P.READY, _P.FREEZE, _P.CONTRIBUTE):
        row(at, inputs.Tick, "attempt.give_up_when_late", at, _P.FAILED)
    row(_P.COMMIT, inputs.Tick, "attempt.gossip_when_unanswered", _P.COMMIT)

    row(_P.VERIFY, Dealt, "verify.dealt", _P.VERIFY, _P.FAILED)
    row(_P.VERIFY, inputs.BlobArrived, "verify.arrived", _P.VERIFY)
    row(_P.VERIFY, inputs.BlobMissing, "verify.missing", _P.VERIFY)
    row(_P.VERIFY, inputs.ExaminedDealings, "verify.dealings_hold", _P.VERIFY)
    row(_P.VERIFY, inputs.RejectedDealings, "verify.dealings_fail", _P.FAILED)
    row(_P.VERIFY, inputs.WordsMade, "verify.words_made", _P.COMMIT)
    row(_P.VERIFY, inputs.Tick, "verify.give_up_when_late", _P.VERIFY, _P.FAILED)
    row(_P.VERIFY, Decided, "verify.decided_early", _P.COMMIT)
    row(_P.VERIFY, Committed, "verify.committed_early", _P.COMMIT)
    for at in (_P.COMMIT, _P.DUE, _P.APPLY, _P.DONE, _P.FAILED):
        row(at, Dealt, "verify.dealt_again", at)
        for late in (inputs.WordsMade, inputs.ExaminedDealings, inputs.RejectedDealings):
            row(at, late, "verify.too_late", at)
    for at in (_P.APPLY, _P.DONE, _P.FAILED):
        row(at, Decided, "verify.dealt_again", at)

    for at, released in ((_P.COMMIT, _P.APPLY), (_P.DUE, _P.DONE)):
        row(at, Decided, "verify.decided", at)
        row(at, inputs.ExaminedVerdict, "verify.verdict_holds", at, released, _P.FAILED)
        row(at, Committed, "release.committed", at)
        row(at, inputs.BlobArrived, "verify.list_arrived", at)
        row(at, inputs.BlobMissing, "verify.list_missing", at)
        row(at, inputs.ExaminedContributions, "release.list_holds", at, released, _P.FAILED)
        row(at, inputs.RejectedContributions, "release.list_fails", _P.FAILED)
        row(at, inputs.ChainCommitted, "release.look_at_chain", at, released, _P.FAILED)
        row(at, inputs.ChainHead, "release.look_at_chain", at, released, _P.FAILED)

    row(_P.APPLY, Result, "release.applied", _P.DONE)
    for at in (*early, _P.COMMIT, _P.DONE, _P.FAILED):
        row(at, Result, "release.moved_without_me", at)
    return table


def _requester() -> dict[Key, Row]:
    def row(at: Phase | None, input_: type[Any], handler: str, *follows: Phase | None) -> None:
        table[Role.REQUESTER, at, input_] = Row(handler, frozenset(follows))

    table: dict[Key, Row] = {}
    # The first round opens once blocks are drawn and the first model is there, in whatever order.
    row(None, inputs.ChainBlockHash, "course.begin", None, _P.READY)
    row(None, inputs.InitialModelMade, "course.begin", None, _P.READY)

    row(_P.READY, Ready, "attempt.ready", _P.READY, _P.FREEZE, _P.FAILED)
    row(_P.READY, Refuse, "attempt.not_ready", _P.READY, _P.FREEZE, _P.FAILED)
    row(_P.READY, inputs.Tick, "attempt.freeze_when_late", _P.READY, _P.FREEZE, _P.FAILED)

    row(_P.FREEZE, Refuse, "attempt.refused_early", _P.FREEZE)
    after = _P.FREEZE, _P.CONTRIBUTE, _P.FAILED
    row(_P.FREEZE, inputs.AssembledRoster, "attempt.roster_stored", *after)

    whole = _P.CONTRIBUTE, _P.COMMIT, _P.VERIFY, _P.FAILED
    row(_P.CONTRIBUTE, Contribution, "attempt.contribution", _P.CONTRIBUTE)
    row(_P.CONTRIBUTE, inputs.BlobArrived, "attempt.batch_arrived", _P.CONTRIBUTE)
    row(_P.CONTRIBUTE, inputs.BatchSound, "attempt.batch_sound", *whole)
    row(_P.CONTRIBUTE, inputs.BatchUnsound, "attempt.batch_unsound", *whole)
    row(_P.CONTRIBUTE, Refuse, "attempt.will_not_contribute", *whole)
    row(_P.CONTRIBUTE, inputs.Tick, "attempt.commit_when_late", *whole)

    row(_P.VERIFY, inputs.AssembledDealings, "verify.dealings_stored", _P.VERIFY)
    row(_P.VERIFY, Words, "verify.words", _P.VERIFY)
    row(_P.VERIFY, Refuse, "verify.says_nothing", _P.VERIFY)
    row(_P.VERIFY, inputs.BlobArrived, "verify.words_arrived", _P.VERIFY)
    row(_P.VERIFY, inputs.Tick, "verify.decide_when_late", _P.VERIFY, _P.FAILED)
    row(_P.VERIFY, inputs.VerdictMade, "verify.verdict_made", _P.VERIFY, _P.COMMIT, _P.FAILED)
    for at in (_P.COMMIT, _P.UNMASK, _P.APPLY, _P.DONE):
        row(at, inputs.BlobArrived, "unmask.sum_arrived", at)

    row(_P.COMMIT, inputs.AssembledContributions, "commit.listed", _P.COMMIT)
    row(_P.COMMIT, inputs.CommitmentSigned, "commit.signed", _P.COMMIT)
    row(_P.COMMIT, inputs.Tick, "commit.sign_again_when_late", _P.COMMIT)
    row(_P.COMMIT, inputs.ChainCommitted, "commit.committed", _P.COMMIT)
    row(_P.COMMIT, inputs.ChainHead, "commit.look_at_chain", _P.COMMIT, _P.UNMASK)
    row(_P.COMMIT, Release, "unmask.release_early", _P.COMMIT)

    row(_P.UNMASK, Release, "unmask.released", _P.UNMASK)
    row(_P.UNMASK, inputs.Unmasked, "unmask.unmasked", _P.UNMASK, _P.APPLY)
    row(_P.UNMASK, inputs.Tick, "unmask.go_on_when_late", _P.UNMASK, _P.APPLY)
    for at in (_P.COMMIT, _P.UNMASK, _P.APPLY):
        row(at, inputs.SumMade, "unmask.summed", at)
        row(at, inputs.SumFailed, "unmask.sum_failed")  # nothing follows: a defect

    # Shares that nobody waits for any more are looked at all the same: they clear a debt.
    for at in (_P.APPLY, _P.DONE):
        row(at, Release, "unmask.release_late", at)
    row(_P.APPLY, inputs.Unmasked, "unmask.late_checked", _P.APPLY)
    row(_P.DONE, inputs.Unmasked, "course.last_shares_checked", _P.DONE)
    row(None, Release, "unmask.release_owed", None)
    row(None, inputs.Unmasked, "unmask.owed_checked", None)

    # Applied, a round is done; unless it was the last, the next one opens in the same step.
    row(_P.APPLY, inputs.ModelMoved, "course.applied", _P.DONE, _P.READY)
    row(_P.APPLY, inputs.MoveFailed, "course.could_not_apply", _P.APPLY)
    row(_P.DONE, inputs.Tick, "course.finish_when_given", _P.DONE)
    row(_P.FAILED, inputs.Tick, "course.try_again", _P.FAILED, _P.READY)
    return table


TABLE: dict[Key, Row] = {**_owner(), **_requester()}

_LISTED = frozenset((role, kind) for role, _, kind in TABLE)

#: News of the world, which concern whatever attempt they find: a phase that does not list them has
#: nothing to do. All other inputs are about one attempt, and a phase that does not list them
#: refuses them.
NEWS: dict[Role, frozenset[type[Any]]] = {
    Role.OWNER: frozenset(
        {
            inputs.Tick,
            inputs.BlobArrived,
            inputs.BlobMissing,
            inputs.ExaminedCohort,
            inputs.ChainHead,
            inputs.ChainBlockHash,
            inputs.ChainCommitted,
        }
    ),
    Role.REQUESTER: frozenset(
        {
            inputs.Tick,
            inputs.BlobArrived,  # a sum that is owed comes in any phase
            inputs.ChainHead,
            inputs.ChainBlockHash,
            inputs.InitialModelMade,
            Refuse,
        }
    ),
}


def type_of(input_: inputs.Input) -> type[Any]:
    """What the table calls an input: a message goes by its body."""
    if isinstance(input_, inputs.ReceiveMessage):
        return type(input_.envelope.body)
    return type(input_)


def place_of(input_: inputs.Input) -> tuple[int, int] | None:
    """Round and attempt of an input that is about one; None for all others."""
    match input_:
        case inputs.ReceiveMessage():
            return input_.envelope.context.round, input_.envelope.context.attempt
        case (
            inputs.AssembledRoster()
            | inputs.AssembledContributions()
            | inputs.ExaminedRoster()
            | inputs.ExaminedContributions()
            | inputs.RejectedRoster()
            | inputs.RejectedContributions()
            | inputs.ContributionMade()
            | inputs.BatchSound()
            | inputs.SumMade()
            | inputs.SecretsMade()
            | inputs.SecretsFailed()
            | inputs.ContributionFailed()
            | inputs.BatchUnsound()
            | inputs.SumFailed()
            | inputs.Unmasked()
            | inputs.AssembledDealings()
            | inputs.ExaminedDealings()
            | inputs.RejectedDealings()
            | inputs.WordsMade()
            | inputs.VerdictMade()
            | inputs.ExaminedVerdict()
        ):
            return input_.round, input_.attempt
    return None


def concerns_rounds(role: Role, kind: type[Any]) -> bool:
    """Whether any phase of the role lists this type of input."""
    return (role, kind) in _LISTED


def find(role: Role, phase: Phase | None, input_: inputs.Input) -> Row | None:
    """The row of an input; None for news that the phase does not list.

    Raises StateError for any other input that it does not list.
    """
    kind = type_of(input_)
    row = TABLE.get((role, phase, kind))
    if row is None and kind not in NEWS[role]:
        place = place_of(input_)
        about = "" if place is None else f" of round {place[0]}.{place[1]}"
        where = "" if phase is None else f" in phase {phase.value}"
        raise StateError(f"{kind.__name__}{about} is not awaited{where}")
    return row


def diagram(role: Role) -> str:
    """The moves of one role as a Mermaid state diagram; an arrow names the inputs that take it."""
    moves: dict[tuple[Phase | None, Phase | None], list[str]] = {}
    for (who, at, kind), row in TABLE.items():
        for to in sorted(row.follows, key=lambda each: "" if each is None else each.value):
            if who is role and (to is not at or (kind is Open and at is Phase.OPEN)):
                moves.setdefault((at, to), []).append(kind.__name__)
    lines = ["stateDiagram-v2"]
    for (at, to), kinds in moves.items():
        begin = "[*]" if at is None else at.value
        end = "[*]" if to is None else to.value
        lines.append(f"    {begin} --> {end}: {', '.join(kinds)}")
    lines += [f"    {end.value} --> [*]" for end in (Phase.DONE, Phase.FAILED)]
    return "\n".join(lines)
