"""Shares come in, masks come off: thresholds, bad shares, liars, deadlines, and who owes."""

from __future__ import annotations

import pytest
from kits.books import Job, Person, digest_of, make_job
from kits.machine import Effects, every, kinds, notes, only
from kits.requester import GRACE_MS, RequesterKit, go_through, owing, requester_at

from protocol.errors import StateError
from protocol.machines import effects
from protocol.machines.effects import OpenBlock
from protocol.machines.job import JobPhase
from protocol.machines.round import Phase
from protocol.wire.messages import Release


def noisy(owners: int = 5, rounds: int = 3) -> Job:
    """Blocks of 5, one may drop: 3 shares rebuild a secret."""
    return make_job(owners, dropouts=1, rounds=rounds)


@pytest.fixture
def final() -> RequesterKit:
    """The commitment of all five is final, their sum is there."""
    return requester_at(Phase.UNMASK, noisy())


def tries(wanted: Effects) -> list[effects.ComputeUnmask]:
    return every(wanted, effects.ComputeUnmask)


def blamed(kit: RequesterKit, wanted: Effects) -> list[tuple[int, str]]:
    peers = [person.peer for person in kit.job.people]
    return [(peers.index(b.peer), b.reason) for b in every(wanted, effects.Blame)]


# --- enough


def test_a_block_opens_at_once_with_everybodys_shares(final: RequesterKit) -> None:
    for member in range(4):
        assert tries(final.release(member)) == []
    (compute,) = tries(final.release(4))
    assert compute.listed == (0, 1, 2, 3, 4)
    assert compute.releases == tuple(final.released(m) for m in range(5))
    assert compute.roster_digest == next(iter(final.round.rosters)).digest
    assert compute.model_digest == final.round.opening.model_digest
    wanted = final.unmasked(0, good=(0, 1, 2, 3, 4))
    apply = only(wanted, effects.ComputeApply)
    block = final.block(0)
    assert apply.blocks == (OpenBlock(0, block.sum, block.unmask, (0, 1, 2, 3, 4)),)
    assert final.round.phase is Phase.APPLY
    assert not final.state.owed


@pytest.mark.parametrize(("noise", "threshold"), [(True, 3), (False, 4)])
def test_fewer_than_the_threshold_are_never_tried(noise: bool, threshold: int) -> None:
    kit = requester_at(Phase.UNMASK, noisy() if noise else make_job(5))
    for member in range(threshold - 1):
        kit.release(member)
    assert tries(kit.tick(kit.now + 10 * GRACE_MS)) == []
    kit.release(threshold - 1)
    assert len(tries(kit.tick(kit.now + 10 * GRACE_MS))) == 1


def test_others_have_a_grace_once_there_are_enough(final: RequesterKit) -> None:
    """They come at about the same time: one look at all of them shows who gave what."""
    for member in range(3):
        assert tries(final.release(member)) == []
    enough = final.now
    assert tries(final.tick(enough + GRACE_MS - 1)) == []
    (compute,) = tries(final.tick(enough + GRACE_MS))
    assert len(compute.releases) == 3
    assert tries(final.tick(enough + 2 * GRACE_MS)) == [], "one try at a time"


def test_where_everybody_is_slow_the_last_have_as_long_as_the_first_took(
    final: RequesterKit,
) -> None:
    took = 7 * GRACE_MS
    final.tick(final.now + took)
    for member in range(3):
        assert tries(final.release(member)) == []
    enough = final.now
    assert tries(final.tick(enough + took - 1)) == []
    assert len(tries(final.tick(enough + took))) == 1


def test_what_is_there_is_opened_before_the_time_for_shares_is_over(final: RequesterKit) -> None:
    until = final.round.unmask_until
    final.tick(until - 1_000)
    for member in range(3):
        assert tries(final.release(member)) == []
    assert tries(final.tick(until - 501)) == []
    assert len(tries(final.tick(until - 500))) == 1


def test_shares_that_come_before_the_commitment_is_final_here_are_kept() -> None:
    """An owner's chain may be a block ahead."""
    kit = requester_at(Phase.COMMIT, noisy())
    kit.list_stored()
    kit.signed()
    kit.summed(0)
    kit.committed()
    for member in range(5):
        assert tries(kit.release(member)) == []
    (compute,) = tries(kit.deep())
    assert len(compute.releases) == 5


def test_shares_before_the_list_is_stored_are_not_taken() -> None:
    kit = requester_at(Phase.COMMIT, noisy())
    body = kit.release_of(0, root=b"\x09" * 32)
    assert "another commitment" in kit.deaf(kit.job.people[0], body)


def test_a_release_is_for_this_commitment_block_and_sender(final: RequesterKit) -> None:
    one = final.job.people[1]
    assert "another commitment" in final.deaf(one, final.release_of(1, root=b"\x09" * 32))
    assert "another commitment" in final.deaf(one, final.release_of(1, block=1))
    assert "not enrolled" in final.deaf(Person(99), final.release_of(1))
    final.release(1)
    with pytest.raises(StateError, match="released its shares already"):
        final.release(1)
    few = final.release_of(2).shares[:4]
    assert blamed(final, final.release(2, shares=few))[0][0] == 2


def test_who_dropped_has_no_shares_to_release() -> None:
    """Its own mask key is what the others release; its word on others could be the other kind."""
    kit = requester_at(Phase.CONTRIBUTE, noisy())
    kit.all_contributed(without=(2,))
    kit.final()
    assert kit.block(0).members == (0, 1, 3, 4)
    body = kit.release_of(0)
    assert "another commitment or block" in kit.deaf(kit.job.people[2], body)
    assert len(body.shares) == 5, "of everybody in the roster"


# --- bad shares, liars


def test_bad_shares_are_named_and_others_tried(final: RequesterKit) -> None:
    for member in range(3):
        final.release(member)
    final.tick(final.now + GRACE_MS)
    wanted = final.unmasked(0, good=(0, 2), bad=(1,), opens=False)
    ((member, why),) = blamed(final, wanted)
    assert member == 1
    assert "not what was sealed" in why
    assert tries(wanted) == [], "two good ones are too few"
    (compute,) = tries(final.release(3))
    assert compute.releases == tuple(final.released(m) for m in (0, 2, 3))
    final.unmasked(0, good=(0, 2, 3))
    assert [owed.member for owed in final.state.owed] == [1, 4]


def test_shares_that_came_meanwhile_are_tried_after_a_try_that_failed(
    final: RequesterKit,
) -> None:
    for member in range(3):
        final.release(member)
    final.tick(final.now + GRACE_MS)
    assert tries(final.release(3)) == []
    (compute,) = tries(final.unmasked(0, good=(0, 2), bad=(1,), opens=False))
    assert compute.releases == tuple(final.released(m) for m in (0, 2, 3))


def test_a_liar_is_named_and_its_block_stays_closed() -> None:
    """What it shared out is no share of its secret: no shares of others help."""
    kit = requester_at(Phase.UNMASK, noisy(10))
    first, second = kit.members(0), kit.members(1)
    for member in (*first, *second):
        kit.release(member)
    liar = first[1]
    wanted = kit.unmasked(0, good=first, liars=(liar,), opens=False)
    ((member, why),) = blamed(kit, wanted)
    assert member == liar
    assert "do not make the secret" in why
    assert kit.block(0).lost
    wanted = kit.unmasked(1, good=second)
    assert "block-closed" in notes(wanted)
    apply = only(wanted, effects.ComputeApply)
    assert [b.block for b in apply.blocks] == [1]
    assert kit.round.count == 10, "the other block's members are paid as well"


def test_a_liar_stays_out_of_later_rosters_and_has_no_merit() -> None:
    """Good shares of others' secrets do not make up for it."""
    kit = requester_at(Phase.UNMASK, noisy(rounds=2))
    for member in range(5):
        kit.release(member)
    kit.unmasked(0, good=(0, 1, 2, 3, 4), liars=(3,), opens=False)
    kit.applied(0.0)
    assert not kit.state.owed
    go_through(kit, Phase.CONTRIBUTE)
    assert next(iter(kit.round.rosters)).members == (0, 1, 2, 4)
    go_through(kit, Phase.APPLY)
    settle = only(kit.applied(4.0), effects.Settle)
    assert settle.withheld == (3,)


def test_a_liar_that_a_block_needs_is_listed_again() -> None:
    """Without noise a block counts whole; after three rounds that moved nothing the job ends."""
    kit = requester_at(Phase.UNMASK, make_job(5))
    for member in range(5):
        kit.release(member)
    kit.unmasked(0, good=(0, 1, 2, 3, 4), liars=(3,), opens=False)
    kit.applied(0.0)
    go_through(kit, Phase.CONTRIBUTE)
    assert next(iter(kit.round.rosters)).members == (0, 1, 2, 3, 4)


# --- time


def test_a_block_without_enough_shares_is_closed_and_the_round_goes_on() -> None:
    kit = requester_at(Phase.UNMASK, noisy(10))
    first, second = kit.members(0), kit.members(1)
    for member in (*first[:2], *second):
        kit.release(member)
    kit.unmasked(1, good=second)
    assert kit.round.phase is Phase.UNMASK
    assert kinds(kit.tick(kit.round.unmask_until - 1)) == []
    wanted = kit.tick(kit.round.unmask_until)
    assert "block-closed" in notes(wanted)
    assert [b.block for b in only(wanted, effects.ComputeApply).blocks] == [1]
    assert {owed.member for owed in kit.state.owed} == set(first[2:])


def test_a_round_of_which_no_block_opens_is_applied_as_nothing(final: RequesterKit) -> None:
    """It is paid; the model goes on under another digest."""
    apply = only(final.tick(final.round.unmask_until), effects.ComputeApply)
    assert apply.blocks == ()
    final.applied(0.0)
    assert final.state.lost_rounds == 1
    assert final.round.number == 1


def test_open_blocks_wait_for_their_sums() -> None:
    kit = requester_at(Phase.COMMIT, noisy())
    kit.list_stored()
    kit.signed()
    kit.committed()
    kit.deep()
    for member in range(5):
        kit.release(member)
    assert "ComputeApply" not in kinds(kit.unmasked(0, good=(0, 1, 2, 3, 4)))
    assert kinds(kit.summed(0)) == ["ComputeApply"]


def test_a_try_that_outlasts_the_time_opens_nothing_and_clears_who_gave(
    final: RequesterKit,
) -> None:
    for member in range(3):
        final.release(member)
    final.tick(final.now + GRACE_MS)
    wanted = final.tick(final.round.unmask_until)
    assert only(wanted, effects.ComputeApply).blocks == ()
    assert {owed.member for owed in final.state.owed} == {3, 4}
    wanted = final.unmasked(0, good=(0, 2), bad=(1,))
    assert final.block(0).unmask == b""
    assert [member for member, _ in blamed(final, wanted)] == [1]
    assert {owed.member for owed in final.state.owed} == {1, 3, 4}


# --- owed


def test_late_shares_are_looked_at_and_clear_the_debt() -> None:
    kit = owing()
    assert [(owed.member, owed.round) for owed in kit.state.owed] == [(4, 0)]
    owed = next(iter(kit.state.owed))
    body = owed_release(kit)
    (compute,) = tries(kit.hear(kit.job.people[4], body, 0, 0))
    assert (compute.round, compute.block, compute.listed) == (0, 0, owed.listed)
    assert len(compute.releases) == 1
    kit.unmasked(0, good=(4,), opens=False, place=(0, 0))
    assert not kit.state.owed
    assert "no shares of round 0.0 are owed" in kit.deaf(kit.job.people[4], body, 0, 0)


def owed_release(kit: RequesterKit) -> Release:
    owed = next(iter(kit.state.owed))
    return Release(owed.root, owed.block, tuple(digest_of("share", 4, of) for of in range(5)))


def test_late_shares_that_are_bad_leave_the_debt() -> None:
    kit = owing()
    kit.hear(kit.job.people[4], owed_release(kit), 0, 0)
    wanted = kit.unmasked(0, bad=(4,), opens=False, place=(0, 0))
    assert [member for member, _ in blamed(kit, wanted)] == [4]
    assert [owed.member for owed in kit.state.owed] == [4]


def test_bad_late_shares_are_looked_at_three_times() -> None:
    """Each look costs a computation; who sends rubbish pays nothing for it."""
    kit = owing()
    for _ in range(3):
        assert len(tries(kit.hear(kit.job.people[4], owed_release(kit), 0, 0))) == 1
        kit.unmasked(0, bad=(4,), opens=False, place=(0, 0))
    assert "bad shares 3 times" in kit.deaf(kit.job.people[4], owed_release(kit), 0, 0)


def test_late_shares_for_another_root_are_not_taken() -> None:
    kit = owing()
    body = Release(b"\x09" * 32, 0, (bytes(32),) * 5)
    assert "than is owed" in kit.deaf(kit.job.people[4], body, 0, 0)


def test_shares_after_the_block_opened_are_looked_at_before_they_count(
    final: RequesterKit,
) -> None:
    """Else rubbish would do to be counted among those who gave."""
    for member in range(4):
        final.release(member)
    final.tick(final.now + GRACE_MS)
    final.unmasked(0, good=(0, 1, 2, 3))
    assert final.round.phase is Phase.APPLY
    assert [owed.member for owed in final.state.owed] == [4]
    (compute,) = tries(final.release(4))
    assert compute.releases == (final.released(4),)
    final.unmasked(0, bad=(4,), opens=False)
    assert [owed.member for owed in final.state.owed] == [4]


def test_one_debt_a_member_is_kept() -> None:
    kit = owing()
    go_on_without(kit, 4)
    assert [(owed.member, owed.round) for owed in kit.state.owed] == [(4, 1)]


def go_on_without(kit: RequesterKit, member: int) -> None:
    go_through(kit, Phase.UNMASK)
    kit.all_released(without=(member,))
    kit.applied()


# --- the last round


def last_round() -> RequesterKit:
    """Opened by four of five; the job's only round is applied."""
    kit = requester_at(Phase.UNMASK, noisy(rounds=1))
    kit.all_released(without=(4,))
    wanted = kit.applied()
    assert "Settle" not in kinds(wanted)
    assert kit.state.phase is JobPhase.TRAINING
    return kit


def test_the_last_round_waits_for_slow_shares_until_their_time() -> None:
    kit = last_round()
    until = kit.round.unmask_until
    assert kinds(kit.tick(until - 1)) == []
    settle = only(kit.tick(until), effects.Settle)
    assert settle.withheld == (4,)


def test_the_last_round_ends_with_the_last_slow_shares() -> None:
    kit = last_round()
    (compute,) = tries(kit.release(4))
    assert len(compute.releases) == 1
    wanted = kit.unmasked(0, good=(4,), opens=False)
    assert only(wanted, effects.Settle).withheld == ()
    assert kit.state.phase is JobPhase.FINISHING
