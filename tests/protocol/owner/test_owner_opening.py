"""An owner's attempt from its opening to its contribution: what it takes, what it refuses."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from kits.books import REQUESTER, make_job
from kits.machine import every, kinds, notes, only, refusals, sent, told
from kits.owner import go_through, owner_at

from protocol.errors import StateError
from protocol.machines import effects, inputs
from protocol.machines.job import JobPhase
from protocol.machines.round import Phase
from protocol.params import DIRECT_FETCHERS, MAX_BLOB_BYTES
from protocol.wire.envelope import seal
from protocol.wire.messages import Contribution, RefusalCode, Roster

_SECRET_PHASES = [Phase.READY, Phase.FREEZE, Phase.CONTRIBUTE]


def forgets(number: int = 0, attempt: int = 0) -> list[effects.ForgetSecrets]:
    return [effects.ForgetSecrets(number, attempt)]


# --- openings


def test_a_second_opening_of_one_attempt_is_refused() -> None:
    kit = owner_at(Phase.READY)
    before = kit.round
    wanted = kit.open(0, 0, model_digest=b"\x09" * 32)
    assert refusals(wanted) == [(RefusalCode.CONFLICT, "two openings of one attempt")]
    assert kit.round == before
    assert kinds(kit.hear(REQUESTER, before.opening)) == [], "the same again is no other"


@pytest.mark.parametrize("place", [(3, 0), (0, 16)])
def test_an_opening_that_the_job_does_not_have_is_not_taken(place: tuple[int, int]) -> None:
    kit = owner_at(Phase.READY)
    assert "the job has no round" in kit.deaf(REQUESTER, kit.opening(), *place)


def test_an_opening_of_the_past_is_not_taken() -> None:
    kit = owner_at(Phase.READY, round_=1)
    assert "is over" in kit.deaf(REQUESTER, kit.opening(0), 0, 3)
    late = kit.opening(1, ready_until=kit.now)
    assert "time is over" in kit.deaf(REQUESTER, late, 1, 1)


@pytest.mark.parametrize("name", ["ready_until", "contribute_until"])
def test_an_opening_with_longer_deadlines_than_the_specs_is_not_taken(name: str) -> None:
    """Else one attempt could bind an owner's secrets, and its data set, for ever."""
    kit = owner_at(Phase.DONE)
    latest = kit.opening(1)
    skew = 600_000
    allowed = dataclasses.replace(latest, **{name: getattr(latest, name) + skew})
    kit.peek(kit.message(kit.said(REQUESTER, allowed, 1, 0)))
    beyond = dataclasses.replace(allowed, **{name: getattr(allowed, name) + 1})
    assert "later deadlines" in kit.deaf(REQUESTER, beyond, 1, 0)


def test_a_model_is_contributed_to_in_one_round_only() -> None:
    kit = owner_at(Phase.APPLY)
    used = kit.round.opening.model_digest
    wanted = kit.open(1, 0, model_digest=used)
    why = "this round, or this model, was contributed to with another"
    assert refusals(wanted) == [(RefusalCode.CONFLICT, why)]
    assert kit.round.number == 0


def test_a_round_is_contributed_to_with_one_model_only() -> None:
    kit = owner_at(Phase.COMMIT)
    wanted = kit.open(0, 1, model_digest=b"\x09" * 32)
    assert [code for code, _ in refusals(wanted)] == [RefusalCode.CONFLICT]
    assert kit.round.attempt == 0
    kit.open(0, 1)
    assert kit.round.attempt == 1, "the same model again, under fresh masks"


@pytest.mark.parametrize("size", [0, 8, MAX_BLOB_BYTES])
def test_no_room_is_kept_for_a_model_that_is_not_the_jobs(size: int) -> None:
    """Its size is known from the spec: a requester must not fill an owner's disk by names alone."""
    kit = owner_at(Phase.READY)
    wanted = kit.open(0, 1, model_size=size)
    assert [code for code, _ in refusals(wanted)] == [RefusalCode.INVALID]
    assert "Fetch" not in kinds(wanted)
    assert kit.round.attempt == 0


def test_an_opening_of_another_chain_is_not_taken() -> None:
    kit = owner_at(Phase.READY)
    place = dataclasses.replace(kit.job.place(0, 1), chain_id=1)
    envelope = seal(place, REQUESTER.peer, kit.opening(), REQUESTER._peer_key.sign)
    assert "another chain" in kit.refused(kit.message(envelope))


def test_attempts_without_pay_are_counted_to_the_owners_limit() -> None:
    """Nothing of them is on the chain: the requester has contributions, the owner has nothing."""
    kit = owner_at(Phase.COMMIT, max_unpaid=2)
    for attempt in (1, 2):
        go_through(kit, 0, Phase.COMMIT, attempt)
        assert kit.state.unpaid == attempt + 1
    wanted = kit.open(0, 3)
    ((code, why),) = refusals(wanted)
    assert code is RefusalCode.CLOSED
    assert "3 attempts that it contributed to went unpaid" in why
    assert kit.round.attempt == 2


def test_pay_forgives_attempts_without() -> None:
    kit = owner_at(Phase.COMMIT, max_unpaid=0)
    kit.committed()
    kit.list_examined()
    kit.on_chain()
    kit.deep()
    assert kit.state.unpaid == 0
    kit.open(1)
    assert kit.round.number == 1


def test_a_large_cohort_draws_lists_and_models_from_owners_before() -> None:
    """The requester's bytes do not grow with its owners."""
    job = make_job(10)
    for member in (0, DIRECT_FETCHERS - 1, DIRECT_FETCHERS):
        kit = owner_at(Phase.DONE, job, member)
        fetch = only(kit.open(1), effects.Fetch)
        assert fetch.peers == (REQUESTER.peer,)
        before = () if member < DIRECT_FETCHERS else (job.people[0].peer,)
        assert fetch.near == before


# --- ready


def test_secrets_are_drawn_once_list_and_model_are_here() -> None:
    kit = owner_at(Phase.OPEN)
    assert kinds(kit.cohort_examined()) == []
    make = only(kit.model_here(), effects.MakeSecrets)
    assert make.opening == kit.round.opening_digest
    assert make.block == kit.job.blocks[kit.member]
    assert kinds(kit.model_here()) == [], "once an attempt"


def test_ready_is_said_once_the_secrets_are_stored() -> None:
    kit = owner_at(Phase.OPEN)
    kit.cohort_examined()
    kit.model_here()
    ready = only(kit.secrets_made(), effects.Send)
    assert ready.body == kit.ready()
    assert ready.until == kit.round.opening.ready_until
    assert kit.round.phase is Phase.READY


def test_a_round_is_taken_up_only_when_the_one_before_is_on_the_chain() -> None:
    kit = owner_at(Phase.COMMIT)
    kit.committed()
    kit.list_examined()
    kit.open(1)
    assert kinds(kit.model_here()) == []
    assert kinds(kit.on_chain(kit.state.due)) == ["MakeSecrets"]


@pytest.mark.parametrize(("known", "least", "taken"), [(2, 2, True), (2, 3, False), (0, 0, True)])
def test_an_owner_asks_for_members_that_it_knows(known: int, least: int, taken: bool) -> None:
    job = make_job(10)
    mates = [m for m in range(1, 10) if job.blocks[m] == job.blocks[0]]
    accounts = tuple(job.people[m].account for m in mates[:known])
    outside = next(m for m in range(1, 10) if job.blocks[m] != job.blocks[0])
    accounts = (*accounts, job.people[outside].account)
    kit = owner_at(Phase.OPEN, job, known=accounts, known_least=least)
    kit.cohort_examined()
    wanted = kit.model_here()
    assert ("MakeSecrets" in kinds(wanted)) is taken
    if not taken:
        ((code, why),) = refusals(wanted)
        assert code is RefusalCode.CONFLICT
        assert "2 members of its block are known" in why
        assert kit.round.phase is Phase.FAILED


def test_secrets_that_come_too_late_are_destroyed() -> None:
    kit = owner_at(Phase.OPEN)
    kit.cohort_examined()
    kit.model_here()
    kit.now = kit.round.opening.ready_until
    wanted = kit.secrets_made()
    assert sent(wanted) == []
    assert every(wanted, effects.ForgetSecrets) == forgets()
    assert kit.round.phase is Phase.FAILED


@pytest.mark.parametrize("end", ["deadline", "newer attempt", "cancelled"])
def test_secrets_of_an_attempt_that_is_over_are_destroyed(end: str) -> None:
    """It ended while a worker drew them: nobody else would ever destroy them."""
    kit = owner_at(Phase.OPEN)
    kit.cohort_examined()
    kit.model_here()
    made = inputs.SecretsMade(kit.now, 0, 0, kit.ready())
    if end == "deadline":
        kit.tick(kit.round.opening.ready_until)
    elif end == "newer attempt":
        kit.open(0, 1)
    else:
        kit.step(inputs.ChainCancelled(kit.now, 99, 1))
    before = kit.state
    wanted = kit.step(made)
    assert list(wanted) == forgets()
    assert kit.state == before


# --- freeze


def test_a_second_frozen_roster_is_refused() -> None:
    kit = owner_at(Phase.FREEZE)
    for rosters in (
        (Roster(kit.round.block, b"\x09" * 32, 900),),
        (Roster(kit.round.block + 1, b"\x09" * 32, 900),),
    ):
        wanted = kit.freeze(rosters=rosters)
        why = "two frozen rosters of one attempt"
        assert refusals(wanted) == [(RefusalCode.CONFLICT, why)]
    assert kinds(kit.freeze()) == [], "the same again is no other"
    stale = kit.frozen(opening=b"\x09" * 32)
    assert "another opening" in kit.deaf(REQUESTER, stale)


def test_a_stale_roster_is_not_taken() -> None:
    kit = owner_at(Phase.READY)
    old = kit.frozen()
    go_through(kit, 0, Phase.READY, attempt=1)
    assert "Freeze of round 0.0 is not awaited" in kit.deaf(REQUESTER, old, 0, 0)
    assert "another opening" in kit.deaf(REQUESTER, old, 0, 1)


def test_a_roster_of_other_blocks_is_no_fault() -> None:
    kit = owner_at(Phase.READY, make_job(10))
    other = Roster(1 - kit.round.block, b"\x09" * 32, 900)
    wanted = kit.freeze(rosters=(other,))
    assert refusals(wanted) == []
    assert every(wanted, effects.ForgetSecrets) == forgets()
    assert kit.round.phase is Phase.FAILED
    assert kit.state.contributed == ()


def test_a_block_hands_on_its_roster_in_a_large_cohort() -> None:
    job = make_job(10)
    first = job.members_of([1])[0]
    for member in job.members_of([1])[:2]:
        kit = owner_at(Phase.READY, job, member)
        fetch = only(kit.freeze(), effects.Fetch)
        assert fetch.near == (() if member == first else (job.people[first].peer,))
    small = owner_at(Phase.READY, member=3)
    assert only(small.freeze(), effects.Fetch).near == ()


@pytest.mark.parametrize(
    ("mine", "why"),
    [(b"", "a roster without this owner"), (b"\x09" * 32, "another Ready of this owner")],
    ids=["without me", "another Ready of mine"],
)
def test_a_roster_that_does_not_hold_this_owners_word_is_refused(mine: bytes, why: str) -> None:
    kit = owner_at(Phase.FREEZE)
    wanted = kit.roster_examined(mine=mine)
    assert refusals(wanted) == [(RefusalCode.CONFLICT, why)]
    assert every(wanted, effects.ForgetSecrets) == forgets()
    assert "ComputeContribution" not in kinds(wanted)
    assert kit.round.phase is Phase.FAILED
    assert kit.state.contributed == ()
    assert kit.state.phase is (JobPhase.FAILED if mine else JobPhase.TRAINING)


def test_of_two_copies_of_a_home_the_one_that_meets_the_other_leaves() -> None:
    """It follows no further opening, and can release nothing: its keys are destroyed."""
    kit = owner_at(Phase.FREEZE)
    wanted = kit.roster_examined(mine=b"\x09" * 32)
    assert kit.state.reason == "a copy of this home takes part as well; this one leaves"
    assert every(wanted, effects.ForgetSealingKey) == [effects.ForgetSealingKey()]


@pytest.mark.parametrize(
    "reason",
    [
        "block 0 stands in a list with 4 of its 5 members, 5 are needed",
        "a roster names a key that no enrolment in its block covers",
        "member 3: share of the seed for member 0: not what its hash covers",
    ],
)
def test_a_roster_that_does_not_hold_is_refused_with_its_reason(reason: str) -> None:
    """protocol.books.lists finds the first two, the examination of its own boxes the last."""
    kit = owner_at(Phase.FREEZE)
    place = 0, 0, kit.round.roster_digest
    wanted = kit.step(inputs.RejectedRoster(kit.now, *place, reason))
    assert refusals(wanted) == [(RefusalCode.INVALID, reason)]
    assert every(wanted, effects.ForgetSecrets) == forgets()
    assert kit.round.phase is Phase.FAILED


def test_the_model_is_recorded_with_the_order_to_train() -> None:
    kit = owner_at(Phase.FREEZE)
    order = only(kit.roster_examined(), effects.ComputeContribution)
    assert kit.state.contributed == ((kit.round.opening.model_digest, 0),)
    assert order.roster_digest == kit.round.roster_digest
    assert kit.round.roster == kit.mates


def test_another_roster_than_was_frozen_is_not_awaited() -> None:
    kit = owner_at(Phase.FREEZE)
    with pytest.raises(StateError, match="no such roster is awaited"):
        kit.roster_examined(digest=b"\x09" * 32)


# --- contribute


def test_a_stored_batch_is_sent_its_secrets_destroyed_and_gossiped_if_nothing_follows() -> None:
    kit = owner_at(Phase.CONTRIBUTE)
    wanted = kit.trained()
    assert kinds(wanted) == ["ForgetSecrets", "Send"]
    send = only(wanted, effects.Send)
    assert isinstance(send.body, Contribution)
    assert send.until == kit.round.opening.contribute_until
    assert send.body.roster_digest == kit.round.roster_digest
    assert send.body.batch_digest == send.attachment == kit.round.batch_digest
    assert told(kit.tick(kit.now + 9_999)) == []
    assert told(kit.tick(kit.now + 1)) == [send.body]
    assert told(kit.tick(kit.now + 9_999)) == []


def test_a_large_batch_travels_by_digest() -> None:
    wanted = owner_at(Phase.CONTRIBUTE).trained(size=48 * 1024 + 1)
    assert only(wanted, effects.Send).attachment == b""


def test_a_batch_of_another_attempt_is_not_announced() -> None:
    with pytest.raises(StateError, match=r"round 0\.1 is not awaited"):
        owner_at(Phase.CONTRIBUTE).trained(attempt=1)


def test_a_batch_that_comes_late_is_an_absence() -> None:
    kit = owner_at(Phase.CONTRIBUTE)
    kit.now = kit.round.opening.contribute_until
    wanted = kit.trained()
    assert told(wanted) == []
    assert every(wanted, effects.ForgetSecrets) == forgets()
    assert kit.round.phase is Phase.FAILED
    assert kit.state.unpaid == 0


@pytest.mark.parametrize(
    "phase", [Phase.OPEN, Phase.READY, Phase.FREEZE, Phase.CONTRIBUTE], ids=lambda p: p.value
)
def test_an_attempt_ends_with_its_deadline(phase: Phase) -> None:
    kit = owner_at(phase)
    opening = kit.round.opening
    until = opening.ready_until if phase is Phase.OPEN else opening.contribute_until
    kit.tick(until - 1)
    assert kit.round.phase is phase
    wanted = kit.tick(until)
    assert kit.round.phase is Phase.FAILED
    assert every(wanted, effects.ForgetSecrets) == (forgets() if phase in _SECRET_PHASES else [])


@pytest.mark.parametrize("phase", _SECRET_PHASES, ids=lambda p: p.value)
def test_a_newer_attempt_ends_the_one_before_and_destroys_its_secrets(phase: Phase) -> None:
    kit = owner_at(phase)
    wanted = kit.open(0, 1)
    assert every(wanted, effects.ForgetSecrets) == forgets()
    assert (kit.round.number, kit.round.attempt, kit.round.phase) == (0, 1, Phase.OPEN)
    assert kit.round.secrets_asked is False, "the next attempt draws its own"


def test_secrets_are_not_destroyed_twice() -> None:
    """A batch that is stored has cost them already."""
    assert every(owner_at(Phase.COMMIT).open(0, 1), effects.ForgetSecrets) == []


def test_training_that_fails_leaves_the_attempt_only() -> None:
    kit = owner_at(Phase.CONTRIBUTE)
    failed = inputs.ContributionFailed(kit.now, 0, 0, "rows.csv has no rows")
    wanted = kit.step(failed)
    why = "this owner could not train"
    assert refusals(wanted) == [(RefusalCode.INVALID, why)], "its reason quotes data"
    assert every(wanted, effects.ForgetSecrets) == forgets()
    assert "training-failed" in notes(wanted)
    assert kit.state.phase is JobPhase.TRAINING
    with pytest.raises(StateError):
        kit.step(dataclasses.replace(failed, attempt=1))


def test_secrets_that_cannot_be_made_leave_the_attempt() -> None:
    kit = owner_at(Phase.OPEN)
    kit.cohort_examined()
    kit.model_here()
    reason: Any = "sealing key of member 3: of low order"
    failed = inputs.SecretsFailed(kit.now, 0, 0, reason)
    kit.step(failed)
    assert kit.round.phase is Phase.FAILED


def test_an_owner_that_begins_no_attempt_says_so_in_its_own_words() -> None:
    kit = owner_at(Phase.OPEN)
    kit.cohort_examined()
    kit.model_here()
    told = "this owner has left the job"
    wanted = kit.step(inputs.SecretsFailed(kit.now, 0, 0, "you left it", told))
    assert refusals(wanted) == [(RefusalCode.CLOSED, told)]
    assert kit.state.phase is JobPhase.TRAINING
