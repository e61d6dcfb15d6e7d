"""A requester's round to its commitment: readiness, rosters, batches, the signed root."""

from __future__ import annotations

import dataclasses

import pytest
from kits.books import Person, digest_of, make_job
from kits.machine import every, kinds, only, ready_of, told
from kits.requester import DEPTH, RequesterKit, go_through, owing, requester_at

from protocol.errors import StateError
from protocol.machines import effects, inputs
from protocol.machines.effects import BlobKind
from protocol.machines.job import JobPhase
from protocol.machines.round import Phase
from protocol.wire.messages import Committed, Freeze, RefusalCode, Refuse, Roster

# --- ready, freeze


def test_all_ready_freezes_a_roster_for_each_block() -> None:
    kit = requester_at(Phase.READY, make_job(10))
    for member in (4, 0, 3, 1, 2, 9, 8, 7, 6):
        assert kinds(kit.ready(member)) == []
    wanted = kit.ready(5)
    assembled = every(wanted, effects.Assemble)
    assert [(a.kind, a.block) for a in assembled] == [(BlobKind.ROSTER, 0), (BlobKind.ROSTER, 1)]
    for each in assembled:
        assert each.messages == tuple(kit.ready_digest(m) for m in kit.members(each.block))
    assert kit.round.phase is Phase.FREEZE


WORD = Refuse(RefusalCode.INVALID, "this owner could not train")


def test_nobody_waits_for_a_member_that_refuses() -> None:
    kit = requester_at(Phase.READY, make_job(5, dropouts=1))
    for member in range(4):
        assert kinds(kit.ready(member)) == []
    kit.hear(kit.job.people[4], WORD)
    (roster,) = kit.round.rosters
    assert roster.members == (0, 1, 2, 3)


def test_without_noise_one_refusal_ends_the_attempt_at_once_and_attempts_rest_longer() -> None:
    kit = requester_at(Phase.CONTRIBUTE, make_job(5))
    for member in range(4):
        kit.contributed(member)
    assert kit.round.phase is Phase.CONTRIBUTE
    kit.hear(kit.job.people[4], WORD)
    assert kit.round.phase is Phase.FAILED
    rests = [kit.round.retry_at - kit.now]
    for _ in range(6):
        kit.tick(kit.round.retry_at)
        for member in range(5):
            kit.hear(kit.job.people[member], WORD, 0, kit.round.attempt)
        assert kit.round.phase is Phase.FAILED
        rests.append(kit.round.retry_at - kit.now)
    assert rests == [2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]


def test_a_refusal_of_another_attempt_or_after_its_batch_changes_nothing() -> None:
    kit = requester_at(Phase.CONTRIBUTE, make_job(5))
    kit.hear(kit.job.people[4], WORD, 0, 1)
    assert not kit.round.refused
    for member in range(4):
        kit.contributed(member)
    kit.contribute(4)
    kit.arrive(kit.batch(4))
    kit.sound(4)
    assert kit.round.phase is Phase.COMMIT
    kit.hear(kit.job.people[4], WORD)
    assert kit.round.phase is Phase.COMMIT


def test_nothing_is_frozen_before_every_roster_is_stored() -> None:
    """An owner's second Freeze of an attempt is a conflict: there is one, and it is whole."""
    kit = requester_at(Phase.FREEZE, make_job(15))
    assert told(kit.roster_stored(2)) == []
    assert told(kit.roster_stored(0)) == []
    (freeze,) = told(kit.roster_stored(1))
    opening, digests = kit.round.opening_digest, [r.digest for r in kit.round.rosters]
    assert freeze == Freeze(opening, tuple(Roster(b, digests[b], 900) for b in range(3)))
    assert kit.round.phase is Phase.CONTRIBUTE


def test_ready_counts_once_and_for_this_opening_only() -> None:
    kit = requester_at(Phase.READY)
    kit.ready(0)
    with pytest.raises(StateError, match="ready already"):
        kit.ready(0)
    body = ready_of(kit.job, 1, b"\x09" * 32)
    one = kit.job.people[1]
    assert "another opening" in kit.deaf(one, body)
    right = ready_of(kit.job, 1, kit.round.opening_digest)
    assert "not awaited" in kit.deaf(one, right, 0, 1)
    assert "not enrolled" in kit.deaf(Person(99), right)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"mask_key": bytes(32)}, "low order"),
        ({"share_key": b"\x01" + bytes(31)}, "low order"),
        ({"mask_key": digest_of("copied")}, "another member's"),
    ],
    ids=["mask key", "share key", "a copied mask key"],
)
def test_a_ready_that_would_spoil_its_roster_is_blamed(
    changes: dict[str, object], fault: str
) -> None:
    """Its whole block would refuse the roster, and every attempt's."""
    kit = requester_at(Phase.READY)
    kit.ready(1, mask_key=digest_of("copied"))
    before = kit.state
    blame = only(kit.ready(0, **changes), effects.Blame)
    assert blame.peer == kit.job.people[0].peer
    assert fault in blame.reason
    assert kit.state == before


def test_a_ready_that_shares_among_another_number_is_blamed() -> None:
    kit = requester_at(Phase.READY, make_job(11))
    small = next(m for m in range(11) if len(kit.members(kit.job.blocks[m])) == 5)
    large = next(m for m in range(11) if len(kit.members(kit.job.blocks[m])) == 6)
    other = ready_of(kit.job, large, kit.round.opening_digest)
    assert kinds(kit.hear(kit.job.people[small], other)) == ["Blame"]
    assert not kit.round.ready


@pytest.mark.parametrize(
    ("dropouts", "absent", "going"),
    [
        (0, (), (0, 1)),
        (0, (0,), (1,)),
        (1, (0,), (0, 1)),
        (1, (0, 1), (1,)),
    ],
    ids=["all", "one without noise", "one with d = 1", "two with d = 1"],
)
def test_blocks_go_on_by_their_quorum(
    dropouts: int, absent: tuple[int, ...], going: tuple[int, ...]
) -> None:
    """Without noise whole or not at all; with it, all but the dropouts that the spec allows.
    `absent` are places in block 0."""
    kit = requester_at(Phase.READY, make_job(10, dropouts=dropouts))
    block = kit.members(0)
    gone = {block[place] for place in absent}
    kit.all_ready(without=gone)
    assert tuple(r.block for r in kit.round.rosters) == going
    for roster in kit.round.rosters:
        assert roster.members == tuple(m for m in kit.members(roster.block) if m not in gone)


def test_no_block_in_time_fails_the_attempt() -> None:
    kit = requester_at(Phase.READY)
    for member in range(4):
        kit.ready(member)
    until = kit.round.opening.ready_until
    assert kit.tick(until - 1) == ()
    kit.tick(until)
    assert kit.round.phase is Phase.FAILED
    with pytest.raises(StateError):
        kit.ready(4)


def test_a_roster_of_another_attempt_is_not_awaited() -> None:
    kit = requester_at(Phase.FREEZE)
    late = inputs.AssembledRoster(kit.now, 0, 1, 0, bytes(32), 900)
    assert "0.1 is not awaited" in kit.refused(late)


def test_whoever_owes_shares_stays_out_where_its_block_can_do_without() -> None:
    kit = owing()
    kit.all_ready()
    assert next(iter(kit.round.rosters)).members == (0, 1, 2, 3, 4), (
        "without noise the block needs it"
    )
    kit = requester_at(Phase.UNMASK, make_job(5, dropouts=1))
    kit.all_released(without=(4,))
    kit.applied()
    assert [owed.member for owed in kit.state.owed] == [4]
    kit.all_ready()
    assert next(iter(kit.round.rosters)).members == (0, 1, 2, 3)


# --- contribute


@pytest.fixture
def frozen() -> RequesterKit:
    return requester_at(Phase.CONTRIBUTE)


def test_batches_of_all_members_are_committed(frozen: RequesterKit) -> None:
    for member in (3, 1, 0, 4):
        assert kinds(frozen.contribute(member)) == ["Fetch"]
        assert kinds(frozen.arrive(frozen.batch(member))) == ["ComputeCheck"]
        assert kinds(frozen.sound(member)) == []
    wanted = frozen.contributed(2)
    assert kinds(wanted) == ["Assemble", "ComputeSum"]
    total = only(wanted, effects.ComputeSum)
    assert total.batches == tuple(frozen.batch(m) for m in range(5)), "in the list's order"
    assert frozen.round.phase is Phase.COMMIT


def test_a_batch_that_rode_along_is_checked_at_once(frozen: RequesterKit) -> None:
    """It is stored already: nobody is asked for it again."""
    said = frozen.said(frozen.job.people[3], frozen.header(3))
    heard = dataclasses.replace(frozen.message(said), attached=True)
    check = only(frozen.step(heard), effects.ComputeCheck)
    assert (check.member, check.batch_digest) == (3, frozen.batch(3))
    assert kinds(frozen.step(heard)) == [], "its header comes again, by gossip"
    assert kinds(frozen.sound(3)) == []


def test_a_header_that_is_no_good_is_blamed_with_its_batch_too(frozen: RequesterKit) -> None:
    said = frozen.said(frozen.job.people[0], frozen.header(0, member=1))
    heard = dataclasses.replace(frozen.message(said), attached=True)
    assert kinds(frozen.step(heard)) == ["Blame"]


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"member": 1}, "another member or block"),
        ({"block": 1}, "another member or block"),
        ({"roster_digest": b"\x09" * 32}, "another frozen roster"),
        ({"batch_size": 523}, "bytes"),
    ],
    ids=["member", "block", "roster", "size"],
)
def test_a_contribution_that_no_honest_member_makes(
    frozen: RequesterKit, changes: dict[str, object], fault: str
) -> None:
    before = frozen.state
    blame = only(frozen.contribute(0, **changes), effects.Blame)
    assert blame.peer == frozen.job.people[0].peer
    assert fault in blame.reason
    assert frozen.state == before


def test_a_contribution_from_outside_the_roster_is_blamed() -> None:
    """It was ready too late: nobody's masks meet its own."""
    kit = requester_at(Phase.READY, make_job(5, dropouts=1))
    kit.all_ready(without=(2,))
    kit.rosters_stored()
    blame = only(kit.contribute(2), effects.Blame)
    assert "no frozen roster" in blame.reason


def test_a_second_contribution_that_differs_is_blamed_and_the_first_counts(
    frozen: RequesterKit,
) -> None:
    frozen.contribute(0)
    before = frozen.state
    assert kinds(frozen.contribute(0)) == []
    assert kinds(frozen.contribute(0, batch_digest=b"\x09" * 32)) == ["Blame"]
    assert frozen.state == before


@pytest.mark.parametrize("thief_first", [True, False])
def test_a_batch_that_two_announce_is_checked_for_both(
    frozen: RequesterKit, thief_first: bool
) -> None:
    """Its maker stands in it: the thief is found out, and takes nothing from the owner."""
    batch = frozen.batch(0)
    said = [(1, {"batch_digest": batch}), (0, {})]
    for member, changes in said if thief_first else said[::-1]:
        assert kinds(frozen.contribute(member, **changes)) == ["Fetch"]
    checks = every(frozen.arrive(batch), effects.ComputeCheck)
    assert sorted((c.member, c.batch_digest) for c in checks) == [(0, batch), (1, batch)]
    frozen.sound(0)
    blame = only(frozen.unsound(1, "it was made by another member"), effects.Blame)
    assert blame.peer == frozen.job.people[1].peer
    assert [(c.member, c.sound) for c in frozen.round.contributions if c.sound] == [(0, True)]


def test_a_stranger_contributes_nothing(frozen: RequesterKit) -> None:
    assert "not enrolled" in frozen.deaf(Person(99), frozen.header(0))


def test_a_round_is_committed_once_every_batch_is_judged() -> None:
    """Nothing more can come: who failed its check is not waited for to the deadline."""
    kit = requester_at(Phase.CONTRIBUTE, make_job(5, dropouts=1))
    for member in range(4):
        kit.contributed(member)
        assert kit.round.phase is Phase.CONTRIBUTE
    kit.contribute(4)
    kit.arrive(kit.batch(4))
    wanted = kit.unsound(4)
    assert kinds(wanted) == ["Blame", "Assemble", "ComputeSum"]
    assert kit.block(0).members == (0, 1, 2, 3)


def test_an_unsound_batch_never_counts() -> None:
    kit = requester_at(Phase.CONTRIBUTE)
    for member in range(1, 5):
        kit.contributed(member)
    kit.contribute(0)
    kit.arrive(kit.batch(0))
    kit.unsound(0)
    assert kit.round.phase is Phase.FAILED, "without noise a block counts whole"


@pytest.mark.parametrize(
    ("dropouts", "absent", "count"), [(0, 1, None), (1, 1, 9), (1, 2, 5)], ids=str
)
def test_who_is_missing_at_the_deadline_is_left_out(
    dropouts: int, absent: int, count: int | None
) -> None:
    owners = 5 if count is None else 10
    kit = requester_at(Phase.CONTRIBUTE, make_job(owners, dropouts=dropouts))
    gone = kit.members(0)[:absent]
    kit.all_contributed(without=gone)
    if count is None:
        assert kit.round.phase is Phase.FAILED
    else:
        assert kit.round.count == count
        assert not set(gone) & {m for b in kit.round.blocks for m in b.members}


def test_who_dropped_before_and_who_drops_now_add_up() -> None:
    """The quorum is of the whole block, not of what is left of it."""
    kit = requester_at(Phase.READY, make_job(5, dropouts=1))
    kit.all_ready(without=(0,))
    kit.rosters_stored()
    kit.all_contributed(without=(1,))
    assert kit.round.phase is Phase.FAILED


# --- commit


@pytest.fixture
def committing() -> RequesterKit:
    return requester_at(Phase.COMMIT)


def test_the_root_is_signed_said_and_put_on_the_chain(committing: RequesterKit) -> None:
    assert kinds(committing.list_stored()) == ["SignCommitment"]
    wanted = committing.signed()
    assert kinds(wanted) == ["TransactCommit", "Publish"]
    (body,) = told(wanted)
    assert isinstance(body, Committed)
    assert (body.root, body.count) == (committing.round.root, 5)
    assert body.list_digest == committing.round.list_digest
    with pytest.raises(StateError, match="no such signature"):
        committing.signed()


def test_a_sum_counts_once(committing: RequesterKit) -> None:
    committing.summed(0)
    with pytest.raises(StateError, match="here already"):
        committing.summed(0)
    with pytest.raises(StateError, match="block 1 is not committed"):
        committing.summed(1)


def test_unmasking_begins_once_the_commitment_is_final(committing: RequesterKit) -> None:
    committing.list_stored()
    committing.signed()
    committing.committed()
    committing.deep(DEPTH - 1)
    assert committing.round.phase is Phase.COMMIT
    committing.deep()
    assert committing.round.phase is Phase.UNMASK
    until = committing.now + 1000 * committing.job.spec.timing.unmask_seconds
    assert committing.round.unmask_until == until


def test_another_root_on_the_chain_breaks_the_job(committing: RequesterKit) -> None:
    committing.list_stored()
    committing.signed()
    committing.committed(root=b"\x09" * 32)
    assert committing.state.phase is JobPhase.FAILED
    assert "signed twice" in committing.state.reason


def test_a_reorganisation_takes_a_commitment_back(committing: RequesterKit) -> None:
    committing.list_stored()
    committing.signed()
    committing.committed()
    block = committing.round.committed_block
    committing.step(inputs.ChainReorg(committing.now, block - 1))
    assert committing.round.committed_block == 0
    committing.step(inputs.ChainHead(committing.now, block + DEPTH, 0))
    assert committing.round.phase is Phase.COMMIT
    committing.committed()
    committing.deep()
    assert committing.round.phase is Phase.UNMASK


def test_a_commitment_that_is_late_is_signed_again_with_the_same_root(
    committing: RequesterKit,
) -> None:
    committing.list_stored()
    committing.signed()
    late, root = 1000 * committing.round.valid_until, committing.round.root
    assert committing.tick(late) == ()
    again = only(committing.tick(late + 1), effects.SignCommitment)
    assert again.root == root
    assert again.valid_until > late // 1000


def test_a_commitment_is_never_given_up_by_time(committing: RequesterKit) -> None:
    committing.tick(committing.round.opening.contribute_until + 3_600_000)
    assert committing.round.phase is Phase.COMMIT


def test_blocks_shuffle_with_the_round_where_the_job_says_so() -> None:
    """Rosters follow the round's own draw."""
    job = make_job(10, shuffle=True, rounds=9)
    kit = requester_at(Phase.CONTRIBUTE, job)
    first = [r.members for r in kit.round.rosters]
    go_through(kit, Phase.APPLY)
    kit.applied(10.0)
    go_through(kit, Phase.CONTRIBUTE)
    second = [r.members for r in kit.round.rosters]
    assert first != second
    assert sorted(m for members in second for m in members) == list(range(10))
    assert dataclasses.astuple(next(iter(kit.round.rosters)))[1] == tuple(
        m for m, b in enumerate(job.blocks_in(1)) if b == 0
    )
