"""What an owner hears twice, late, or in another order than it mostly comes."""

from __future__ import annotations

import dataclasses

import pytest
from kits.books import REQUESTER, digest_of
from kits.machine import Effects, every, kinds, notes, refusals, sent
from kits.owner import DEPTH, OwnerKit, due, owner_at

from protocol.errors import StateError
from protocol.machines import effects, inputs
from protocol.machines.effects import BlobKind
from protocol.machines.job import JobPhase
from protocol.machines.round import Phase
from protocol.wire.messages import RefusalCode, Result, Roster

_WITHOUT_ME = [
    Phase.OPEN,
    Phase.READY,
    Phase.FREEZE,
    Phase.CONTRIBUTE,
    Phase.COMMIT,
    Phase.DONE,
    Phase.FAILED,
]
_FROZEN = [Phase.FREEZE, Phase.CONTRIBUTE, Phase.COMMIT, Phase.APPLY, Phase.DONE]


def failed() -> OwnerKit:
    """An attempt whose roster did not hold."""
    kit = owner_at(Phase.FREEZE)
    kit.step(inputs.RejectedRoster(kit.now, 0, 0, kit.round.roster_digest, "a box is missing"))
    assert kit.round.phase is Phase.FAILED
    return kit


def in_phase(phase: Phase) -> OwnerKit:
    return failed() if phase is Phase.FAILED else owner_at(phase)


# --- openings


def test_a_first_opening_that_is_refused_begins_nothing() -> None:
    kit = owner_at(JobPhase.TRAINING)
    ((code, _),) = refusals(kit.open(model_size=7))
    assert code is RefusalCode.INVALID
    assert kit.state.round is None


@pytest.mark.parametrize("phase", [Phase.OPEN, Phase.READY, *_FROZEN, Phase.FAILED])
def test_the_same_opening_again_changes_nothing(phase: Phase) -> None:
    kit = in_phase(phase)
    assert kinds(kit.hear(REQUESTER, kit.round.opening)) == []
    assert kit.round.phase is phase


def test_a_failed_attempt_is_followed_by_the_next() -> None:
    kit = failed()
    kit.open(0, 1)
    assert (kit.round.attempt, kit.round.phase) == (1, Phase.OPEN)


# --- what an attempt waits for, in any order


STRANGER = (b"\x09" * 20,)


def alone(wanted: Effects) -> None:
    """It refuses, because it asks for a member that it knows."""
    ((code, why),) = refusals(wanted)
    assert code is RefusalCode.CONFLICT
    assert "0 members of its block are known" in why


def test_too_few_known_members_end_an_attempt_when_the_list_comes_last() -> None:
    kit = owner_at(Phase.OPEN, known=STRANGER, known_least=1)
    kit.model_here()
    alone(kit.cohort_examined())
    assert kit.round.phase is Phase.FAILED


def test_too_few_known_members_end_an_attempt_when_its_blocks_are_drawn_last() -> None:
    kit = owner_at(JobPhase.TRAINING, known=STRANGER, known_least=1)
    kit.open()
    kit.cohort_examined()
    kit.model_here()
    alone(kit.seeded())
    assert kit.round.phase is Phase.FAILED


def test_too_few_known_members_end_an_attempt_when_the_round_before_comes_last() -> None:
    """Blocks that shuffle may put the members that it knows elsewhere."""
    kit = due(on_chain=False)
    kit.model_here()
    kit.state = dataclasses.replace(kit.state, known=STRANGER, known_least=1)
    alone(kit.on_chain(kit.state.due))
    assert kit.round.phase is Phase.FAILED


# --- rosters


@pytest.mark.parametrize("phase", [*_FROZEN, Phase.FAILED])
def test_the_same_rosters_again_change_nothing(phase: Phase) -> None:
    kit = in_phase(phase)
    roster = kit.round.roster_digest
    assert kinds(kit.freeze()) == []
    assert (kit.round.phase, kit.round.roster_digest) == (phase, roster)


@pytest.mark.parametrize("phase", _FROZEN)
def test_rosters_without_its_block_are_another_word(phase: Phase) -> None:
    kit = owner_at(phase)
    ((code, why),) = refusals(kit.freeze(rosters=(Roster(1, digest_of("another"), 900),)))
    assert (code, why) == (RefusalCode.CONFLICT, "two frozen rosters of one attempt")
    assert kit.round.phase is phase


def test_a_roster_is_examined_once_it_is_here() -> None:
    kit = owner_at(Phase.FREEZE)
    (examine,) = kit.step(inputs.BlobArrived(kit.now, kit.round.roster_digest))
    assert isinstance(examine, effects.Examine)
    assert (examine.kind, examine.block) == (BlobKind.ROSTER, kit.round.block)
    assert examine.binding == kit.round.opening_digest


# --- failures that are told late


@pytest.mark.parametrize("kind", [inputs.SecretsFailed, inputs.ContributionFailed])
def test_why_training_failed_is_told_of_an_attempt_that_is_over(
    kind: type[inputs.SecretsFailed] | type[inputs.ContributionFailed],
) -> None:
    kit = failed()
    wanted = kit.step(kind(kit.now, 0, 0, "rows.csv has no rows"))
    assert notes(wanted) == ["training-failed"]
    assert kinds(wanted) == []


# --- results


@pytest.mark.parametrize("phase", _WITHOUT_ME)
def test_a_model_that_moved_without_this_owner_is_noted(phase: Phase) -> None:
    kit = in_phase(phase)
    assert kinds(kit.hear(REQUESTER, Result(digest_of("moved"), 900))) == []
    assert kit.state.model_digest == digest_of("moved")
    assert kit.round.phase is phase


# --- commitments, of the present round and of one that is due


def awaiting(phase: Phase) -> OwnerKit:
    """A round whose commitment was said, and neither listed nor mined."""
    kit = owner_at(Phase.COMMIT)
    kit.committed()
    if phase is Phase.DUE:
        kit.open(1)
    return kit


def slot(kit: OwnerKit, phase: Phase) -> Phase:
    found = kit.state.due if phase is Phase.DUE else kit.state.round
    assert found is not None
    return found.phase


BOTH = pytest.mark.parametrize(
    ("phase", "released"), [(Phase.COMMIT, Phase.APPLY), (Phase.DUE, Phase.DONE)]
)


@BOTH
@pytest.mark.parametrize("last", ["list", "chain", "head"])
def test_shares_go_whatever_comes_last(phase: Phase, released: Phase, last: str) -> None:
    """List, commitment on the chain, and depth: each may be the last one."""
    kit = awaiting(phase)
    about = kit.state.due if phase is Phase.DUE else kit.round
    mined = kit.state.head + 1
    if last == "list":
        kit.on_chain(about)
        kit.deep()
        wanted = kit.list_examined(about)
    elif last == "chain":
        kit.list_examined(about)
        kit.step(inputs.ChainHead(kit.now, mined + DEPTH, 0))
        wanted = kit.on_chain(about, block=mined)
    else:
        kit.list_examined(about)
        kit.on_chain(about)
        assert every(kit.deep(DEPTH - 1), effects.SendRelease) == []
        assert slot(kit, phase) is phase
        wanted = kit.deep()
    assert len(every(wanted, effects.SendRelease)) == 1
    assert slot(kit, phase) is released


@BOTH
@pytest.mark.parametrize("last", ["list", "chain", "head"])
def test_another_commitment_on_the_chain_ends_it(phase: Phase, released: Phase, last: str) -> None:
    kit = awaiting(phase)
    about = kit.state.due if phase is Phase.DUE else kit.round
    other, mined = b"\x09" * 32, kit.state.head + 1
    if last == "list":
        kit.on_chain(about, root=other)
        kit.deep()
        wanted = kit.list_examined(about)
    elif last == "chain":
        kit.list_examined(about)
        kit.step(inputs.ChainHead(kit.now, mined + DEPTH, 0))
        wanted = kit.on_chain(about, block=mined, root=other)
    else:
        kit.list_examined(about)
        kit.on_chain(about, root=other)
        wanted = kit.deep()
    assert [code for code, _ in refusals(wanted)] == [RefusalCode.CONFLICT]
    assert every(wanted, effects.SendRelease) == []
    assert slot(kit, phase) is Phase.FAILED


def test_a_list_of_a_due_round_that_does_not_hold_ends_it() -> None:
    kit = awaiting(Phase.DUE)
    assert kit.state.due is not None
    listed = kit.state.due.list_digest
    kit.step(inputs.RejectedContributions(kit.now, 0, 0, listed, "member 7 is listed twice"))
    assert slot(kit, Phase.DUE) is Phase.FAILED


def test_a_due_rounds_list_that_was_not_found_is_asked_for_when_it_is_said_again() -> None:
    kit = awaiting(Phase.DUE)
    assert kit.state.due is not None
    kit.step(inputs.BlobMissing(kit.now, kit.state.due.list_digest, "nobody has it"))
    assert slot(kit, Phase.DUE) is Phase.DUE
    assert kinds(kit.committed(kit.state.due)) == ["Fetch"]


def test_a_commitment_that_was_missed_is_asked_for_when_the_next_round_opens() -> None:
    kit = owner_at(Phase.COMMIT)
    wanted = kit.open(1)
    assert [type(body).__name__ for body in sent(wanted)] == ["Ask"]
    kit.step(inputs.ChainFinished(kit.now, 99, digest_of("m"), digest_of("evidence"), 7200))
    assert kit.state.phase is JobPhase.FINISHING
    assert kinds(kit.committed(kit.state.due)) == ["Fetch"], "heard while the job finishes"


def test_a_round_that_is_due_is_kept_beside_the_next() -> None:
    kit = due()
    assert slot(kit, Phase.DUE) is Phase.DUE
    assert (kit.round.number, kit.round.phase) == (1, Phase.OPEN)


def test_a_result_of_a_round_that_was_overtaken_sets_no_model_back() -> None:
    kit = awaiting(Phase.DUE)
    about = kit.state.due
    kit.list_examined(about)
    kit.on_chain(about)
    kit.deep()
    assert slot(kit, Phase.DUE) is Phase.DONE
    with pytest.raises(StateError, match=r"Result of round 0\.0 is not awaited"):
        kit.hear(REQUESTER, Result(digest_of("older"), 900), 0, 0)
