"""Who joins: enrolments, roots group by group, and what a reorganisation takes back."""

from __future__ import annotations

import dataclasses

import pytest
from kits.books import digest_of, enrol, make_job
from kits.machine import every, kinds, only, ready_of, sent, told
from kits.requester import DEPTH, RequesterKit, go_through, requester_at

from protocol.machines import effects, inputs
from protocol.machines.effects import BlobKind
from protocol.machines.job import JobPhase
from protocol.machines.round import Phase
from protocol.params import MAX_GROUPS
from protocol.wire.envelope import Envelope, envelope_digest, seal
from protocol.wire.messages import Enrol, Enrolled, Open, RefusalCode, Refuse


@pytest.fixture
def enrolling() -> RequesterKit:
    """Six may come, five must."""
    return requester_at(JobPhase.ENROLLING, make_job(6))


def altered(kit: RequesterKit, member: int, **changes: object) -> Envelope:
    """A member's enrolment with another field, signed by its peer all the same."""
    body = kit.enrolment(member).body
    assert isinstance(body, Enrol)
    changed = dataclasses.replace(body, **changes)  # type: ignore[arg-type]
    return kit.job.people[member].say(kit.job.place(), changed)


def codes(wanted: tuple[effects.Effect, ...]) -> list[RefusalCode]:
    return [body.code for body in sent(wanted)]


def test_an_enrolment_is_listed_and_answered(enrolling: RequesterKit) -> None:
    envelope = enrolling.enrolment(0)
    assert sent(enrolling.enrol(0)) == [Enrolled(envelope_digest(envelope))]
    (record,) = enrolling.state.enrolments
    assert record.peer == enrolling.job.people[0].peer
    assert record.sealing_key == enrolling.job.people[0].sealing_key


def test_the_same_enrolment_again_is_answered_again(enrolling: RequesterKit) -> None:
    first, before = sent(enrolling.enrol(0)), enrolling.state
    assert sent(enrolling.enrol(0)) == first
    assert enrolling.state == before


@pytest.mark.parametrize(
    "changes",
    [{"payout": b"\x09" * 20}, {"rows": 101}, {"sealing_key": bytes(32)}],
    ids=["another payout", "other rows", "a sealing key of low order"],
)
def test_an_enrolment_that_does_not_hold_is_refused_and_blamed(
    enrolling: RequesterKit, changes: dict[str, object]
) -> None:
    before = enrolling.state
    wanted = enrolling.step(enrolling.message(altered(enrolling, 0, **changes)))
    assert kinds(wanted) == ["Blame", "Send"]
    assert codes(wanted) == [RefusalCode.INVALID]
    assert enrolling.state == before


def test_a_sealing_key_enrols_once(enrolling: RequesterKit) -> None:
    """The list of a cohort with one key twice holds for nobody: one owner could end the job."""
    enrolling.enrol(0)
    stolen = enrolling.job.people[0].sealing_key
    wanted = enrolling.step(enrolling.message(altered(enrolling, 1, sealing_key=stolen)))
    assert codes(wanted) == [RefusalCode.CONFLICT]
    assert len(enrolling.state.enrolments) == 1


def test_a_peer_keeps_its_sealing_key(enrolling: RequesterKit) -> None:
    """Others seal to the one that is listed: an owner that lost it could open no box."""
    enrolling.enrol(0)
    other = enrolling.job.people[1].sealing_key
    wanted = enrolling.step(enrolling.message(altered(enrolling, 0, sealing_key=other)))
    assert codes(wanted) == [RefusalCode.CONFLICT]


def test_whoever_names_anothers_payout_account_first_keeps_nobody_out(
    enrolling: RequesterKit,
) -> None:
    first, squatter = enrolling.job.people[:2]
    taken = enrol(enrolling.job.spec, enrolling.job.id, squatter, first.payout)
    enrolling.step(enrolling.message(taken))
    assert sent(enrolling.enrol(0)) == [Enrolled(envelope_digest(enrolling.enrolment(0)))]
    assert [each.payout for each in enrolling.state.enrolments] == [first.payout] * 2


def test_enrolment_closes_when_it_is_full(enrolling: RequesterKit) -> None:
    for member in range(5):
        enrolling.enrol(member)
    wanted = enrolling.enrol(5)
    assert kinds(wanted) == ["Send", "Assemble", "ComputeInitialModel"]
    assert enrolling.state.phase is JobPhase.ROOTING


def test_enrolment_closes_at_its_time_if_enough_are_in(enrolling: RequesterKit) -> None:
    until = enrolling.state.enrol_until
    for member in range(4):
        enrolling.enrol(member)
    assert kinds(enrolling.tick(until)) == ["Publish"], "it goes on announcing"
    enrolling.enrol(4)
    wanted = enrolling.tick(until + 1)
    assert kinds(wanted) == ["Assemble", "ComputeInitialModel"]
    assemble = only(wanted, effects.Assemble)
    assert (assemble.kind, assemble.groups) == (BlobKind.COHORT, (5,))


def test_what_is_said_elsewhere_does_not_enrol(enrolling: RequesterKit) -> None:
    owner = enrolling.job.people[0]
    body = enrolling.enrolment(0).body
    for change in ({"chain_id": 1}, {"contract": b"\x09" * 20}, {"job": b"\x09" * 32}):
        place = dataclasses.replace(enrolling.job.place(), **change)  # type: ignore[arg-type]
        envelope = seal(place, owner.peer, body, owner._peer_key.sign)
        assert "another chain" in enrolling.refused(enrolling.message(envelope))


def test_an_admission_list_is_kept_to() -> None:
    kit = requester_at(JobPhase.ENROLLING, make_job(5))
    accounts = (*sorted(p.account for p in kit.job.people[1:]), b"\xff" * 20)
    cohort = dataclasses.replace(kit.job.spec.cohort, admission=accounts)
    spec = dataclasses.replace(kit.job.spec, cohort=cohort)
    kit.context = dataclasses.replace(kit.context, spec=spec)
    assert codes(kit.enrol(0)) == [RefusalCode.NOT_ADMITTED]
    assert [type(body) for body in sent(kit.enrol(1))] == [Enrolled]


# --- later groups


@pytest.fixture
def training() -> RequesterKit:
    """Ten train; five more may come, and then another five."""
    return requester_at(Phase.READY, make_job(10, later=(5, 5), rounds=9))


def come(kit: RequesterKit, group: int, few: int = 0) -> tuple[effects.Effect, ...]:
    """A group's owners enrol, but for a few of them; then time passes."""
    for member in kit.group(group)[: len(kit.group(group)) - few]:
        assert [type(body) for body in sent(kit.enrol(member))] == [Enrolled]
    return kit.tick(kit.now + 1)


def test_later_owners_wait_until_they_are_a_block(training: RequesterKit) -> None:
    assert every(come(training, 1, few=1), effects.Assemble) == []
    training.enrol(training.group(1)[-1])
    assemble = only(training.tick(training.now + 1), effects.Assemble)
    assert (assemble.kind, assemble.groups) == (BlobKind.COHORT, (10, 5))
    assert len(assemble.messages) == 15
    root = only(training.listed(2), effects.TransactEnrol)
    assert (root.index, root.count) == (1, 5)


def test_later_owners_take_part_from_the_next_round_that_opens(training: RequesterKit) -> None:
    come(training, 1)
    training.listed(2)
    training.rooted(1)
    training.seeded(1)
    assert training.state.cohort_digest == digest_of("cohort", 1), "the present round goes on"
    early = ready_of(training.job, 10, training.round.opening_digest)
    assert "has no block yet" in training.deaf(training.job.people[10], early)
    go_through(training, Phase.APPLY)
    assert training.round.count == 10
    (_, opening) = told(training.applied(10.0))
    assert isinstance(opening, Open)
    assert opening.cohort_digest == digest_of("cohort", 2)
    assert training.state.adopted == 2
    go_through(training, Phase.CONTRIBUTE)
    assert [len(r.members) for r in training.round.rosters] == [5, 5, 5]


def test_one_group_is_rooted_at_a_time_until_it_takes_part(training: RequesterKit) -> None:
    """An opening must not name a list with a group whose root is not final."""
    come(training, 1)
    training.listed(2)
    training.rooted(1)
    assert every(come(training, 2), effects.Assemble) == []
    training.seeded(1)
    assert every(training.tick(training.now + 2), effects.Assemble) == []
    go_through(training, Phase.APPLY)
    training.applied(10.0)
    assert training.state.cohort_digest == digest_of("cohort", 2)
    assemble = only(training.tick(training.now + 1), effects.Assemble)
    assert assemble.groups == (10, 5, 5)


def test_a_root_that_the_chain_refuses_ends_late_enrolment_and_nothing_else(
    training: RequesterKit,
) -> None:
    come(training, 1)
    training.listed(2)
    training.step(
        inputs.TransactionFailed(training.now, inputs.Call.ENROL, b"", "the cohort is full")
    )
    assert training.state.phase is JobPhase.TRAINING
    assert (len(training.state.groups), training.state.rooting) == (1, None)
    assert every(training.tick(training.now + 1), effects.Assemble) == []
    (answer,) = sent(training.enrol(training.group(2)[0]))
    assert isinstance(answer, Refuse)
    assert answer.code is RefusalCode.CLOSED
    go_through(training, Phase.APPLY)
    training.applied(10.0)
    assert training.state.cohort_digest == digest_of("cohort", 1)


def test_nobody_is_rooted_for_a_round_that_does_not_come() -> None:
    kit = requester_at(Phase.READY, make_job(10, later=(5,), rounds=1))
    assert every(come(kit, 1), effects.Assemble) == []


def test_groups_are_bounded(training: RequesterKit) -> None:
    """Each has a root on the chain, and a place in every list."""
    group = training.state.groups[0]
    few = dataclasses.replace(group, count=0)
    groups = (group, *[few] * (MAX_GROUPS - 1))
    training.state = dataclasses.replace(training.state, groups=groups, adopted=MAX_GROUPS)
    assert every(come(training, 1), effects.Assemble) == []


def test_a_reorganisation_takes_a_second_root_back(training: RequesterKit) -> None:
    come(training, 1)
    training.listed(2)
    training.rooted(1)
    block = training.state.groups[1].block
    training.step(inputs.ChainReorg(training.now, block - 1))
    assert training.state.groups[1].block == 0
    assert training.state.phase is JobPhase.TRAINING, "nobody acted on it"
    training.rooted(1)
    training.seeded(1)
    assert training.state.groups[1].seed == training.job.seeds[1]


@pytest.mark.parametrize("over", [0, 1])
def test_a_reorganisation_under_a_seed_breaks_the_job(training: RequesterKit, over: int) -> None:
    block = training.state.groups[0].block
    training.step(inputs.ChainReorg(training.now, block + 1))
    assert training.state.phase is JobPhase.TRAINING
    training.step(inputs.ChainReorg(training.now, block - over))
    assert training.state.phase is JobPhase.FAILED


def test_the_seed_is_read_once_it_is_final() -> None:
    kit = requester_at(JobPhase.ROOTING)
    block = kit.state.groups[0].block
    assert kinds(kit.step(inputs.ChainHead(kit.now, block + DEPTH, 0))) == []
    wanted = kit.step(inputs.ChainHead(kit.now, block + 1 + DEPTH, 0))
    assert only(wanted, effects.ReadBlockHash).number == block + 1
