"""What a requester hears in another order than it mostly comes."""

from __future__ import annotations

import pytest
from kits.books import make_job
from kits.machine import every, kinds, notes
from kits.requester import RequesterKit, requester_at

from protocol.errors import FatalError
from protocol.machines import effects, inputs
from protocol.machines.job import JobPhase
from protocol.machines.round import Phase
from protocol.wire.messages import RefusalCode, Refuse

_STAY = Refuse(RefusalCode.INVALID, "this owner could not train")


def refuse(kit: RequesterKit, member: int) -> None:
    kit.hear(kit.job.people[member], _STAY)


def test_the_first_model_may_come_after_the_blocks_are_drawn() -> None:
    kit = RequesterKit(make_job(5))
    kit.posted()
    for member in kit.group(0):
        kit.enrol(member)
    if kit.state.phase is JobPhase.ENROLLING:
        kit.tick(kit.state.enrol_until)
    kit.listed()
    kit.rooted()
    kit.seeded()
    assert (kit.state.phase, kit.state.round) == (JobPhase.ROOTING, None)
    kit.initial_model()
    assert (kit.state.phase, kit.round.phase) == (JobPhase.TRAINING, Phase.READY)


def test_the_last_word_on_who_is_ready_may_leave_no_block() -> None:
    kit = requester_at(Phase.READY)
    refuse(kit, 0)
    for member in (1, 2, 3):
        kit.ready(member)
    assert kit.round.phase is Phase.READY
    kit.ready(4)
    assert kit.round.phase is Phase.FAILED


def test_an_attempt_that_everybody_leaves_while_rosters_are_stored_fails() -> None:
    kit = requester_at(Phase.FREEZE)
    for member in range(5):
        refuse(kit, member)
        refuse(kit, member)  # said again, it counts once
    assert (kit.round.phase, len(kit.round.refused)) == (Phase.FREEZE, 5)
    kit.rosters_stored()
    assert kit.round.phase is Phase.FAILED


def test_with_noise_the_last_refusal_lets_the_others_be_committed() -> None:
    kit = requester_at(Phase.CONTRIBUTE, make_job(5, dropouts=1))
    for member in range(4):
        kit.contributed(member)
    assert kit.round.phase is Phase.CONTRIBUTE
    refuse(kit, 4)
    assert kit.round.phase is Phase.COMMIT


def test_without_noise_the_last_sound_batch_does_not_save_a_block() -> None:
    kit = requester_at(Phase.CONTRIBUTE)
    refuse(kit, 0)
    for member in (1, 2, 3, 4):
        kit.contributed(member)
    assert kit.round.phase is Phase.FAILED


def test_a_sum_may_come_after_the_commitment_is_final() -> None:
    kit = requester_at(Phase.COMMIT)
    kit.list_stored()
    kit.signed()
    kit.committed()
    kit.deep()
    assert kit.round.phase is Phase.UNMASK
    assert kinds(kit.summed(0)) == []
    assert kit.round.phase is Phase.UNMASK
    kit.all_released()
    assert kit.round.applying


def test_a_sum_may_come_last() -> None:
    kit = requester_at(Phase.COMMIT)
    kit.list_stored()
    kit.signed()
    kit.committed()
    kit.deep()
    kit.all_released()
    assert (kit.round.phase, kit.round.applying) == (Phase.APPLY, False)
    assert len(every(kit.summed(0), effects.ComputeApply)) == 1


@pytest.mark.parametrize("phase", [Phase.COMMIT, Phase.UNMASK, Phase.APPLY])
def test_a_sum_of_checked_batches_that_fails_is_a_defect(phase: Phase) -> None:
    kit = requester_at(phase)
    failed = inputs.SumFailed(kit.now, *kit.place, 0, "ciphertext 0 is no unit")
    with pytest.raises(FatalError, match="sum of checked batches"):
        kit.peek(failed)


def test_an_owner_that_is_not_in_the_list_yet_may_say_why_it_stays_out() -> None:
    kit = requester_at(Phase.READY, make_job(10, later=(5,)))
    late = kit.group(1)[0]
    kit.enrol(late)
    wanted = kit.hear(kit.job.people[late], _STAY, 0, 0)
    assert notes(wanted) == ["refusal"]
