"""Why jobs stand where they stand, and what their owners do, in words for a person."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kits.books import Job, digest_of, make_job
from kits.budgets import ROWS, Inline, fill, noisy_spec

from node.chain import events
from node.engine.engine import Machine, add_notice
from node.feeds import chain as feed
from node.jobs import standing
from node.jobs.books import Gas, money
from node.privacy import reserving as privacy
from node.store import catalogue, jobs, records
from node.store.jobs import StoredEvent
from node.store.store import Store
from protocol.machines.effects import Notify
from protocol.machines.job import JobPhase
from protocol.machines.machine import JobContext
from protocol.machines.round import Phase, Role
from protocol.owner.state import OwnerState
from protocol.requester.pay import takes_rest
from protocol.requester.state import (
    BlockRecord,
    Blocks,
    ContributionRecord,
    Contributions,
    DeclinedRecord,
    DeclinedRecords,
    EnrolmentRecord,
    Enrolments,
    GroupRecord,
    Members,
    Owed,
    OwedRelease,
    ReadyMembers,
    ReadyRecord,
    ReleaseRecord,
    Releases,
    RequesterRound,
    RequesterState,
    RosterRecord,
    Rosters,
)
from protocol.wire import identity
from protocol.wire.messages import DeclinedTerm, Open, RefusalCode, Refuse

JOB = make_job(6, block_size=6, min_owners=6)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "assay.db") as opened:
        yield opened


def machine(state: RequesterState | OwnerState, job: Job = JOB, listed: bool = True) -> Machine:
    role = Role.OWNER if isinstance(state, OwnerState) else Role.REQUESTER
    me = job.people[0]
    cohort = job.cohort if listed else None
    context = JobContext(job.id, job.spec, 1000, job.spec_digest, me.peer, me.account, cohort)
    return Machine(role, context, state)


def look(store: Store, which: Machine) -> standing.Known:
    with store.snapshot() as tx:
        return standing.look(tx, which)


def note(store: Store, kind: str, round_: int, attempt: int, text: str) -> None:
    with store.transaction() as tx:
        add_notice(tx, JOB.id, Notify(kind, round_, attempt, text))


def committed(store: Store, *numbers: int) -> None:
    with store.transaction() as tx:
        for number in numbers:
            said = events.Committed(JOB.id, number, bytes(32), 6, bytes(32), bytes(20))
            jobs.save_contract_event(
                tx, events.ChainEvent(10 + number, bytes(32), 0, bytes(32), said)
            )


@pytest.mark.parametrize("state", [RequesterState, OwnerState])
def test_a_job_ended_early_if_it_is_over_with_rounds_to_go(store: Store, state: Any) -> None:
    closed = machine(state(phase=JobPhase.CLOSED))
    assert standing.ended_early(closed, look(store, closed))
    for phase in (JobPhase.TRAINING, JobPhase.CANCELLED, JobPhase.FAILED):
        other = machine(state(phase=phase))
        assert not standing.ended_early(other, look(store, other)), phase
    committed(store, 0, 1)
    assert standing.ended_early(closed, look(store, closed))
    committed(store, 2)
    assert look(store, closed).committed == JOB.spec.training.rounds
    assert not standing.ended_early(closed, look(store, closed))


def test_an_owner_is_told_why_its_last_attempt_failed(store: Store) -> None:
    training = machine(OwnerState(phase=JobPhase.TRAINING, dataset="ward"))
    note(store, "attempt-failed", 0, 2, "no roster came in time")
    why = "round 0, attempt 2 failed: no roster came in time"
    assert standing.reason(training, look(store, training)) == why
    over = machine(OwnerState(phase=JobPhase.CLOSED, dataset="ward"))
    said = standing.reason(over, look(store, over))
    assert said == f"its requester ended it after 0 of 3 rounds; {why}"
    note(store, "contributed", 0, 3, "4 KiB")
    assert standing.reason(training, look(store, training)) == ""


def test_a_finished_job_says_when_its_rest_comes_back(store: Store) -> None:
    """The contract keeps what later rounds would have cost until it closes the job."""
    state = RequesterState(phase=JobPhase.CLOSED, cancel_effective=1_800_000_000)
    assert "comes back after 2027-01-15 08:00:00 UTC" in standing.reason(
        machine(state), look(store, machine(state))
    )
    back = machine(dataclasses.replace(state, withdrawals=1))
    assert standing.reason(back, look(store, back)) == ""


def test_what_a_finished_job_returns_is_awaited_until_it_is_back() -> None:
    """By the contract's words alone, so that owners see it too."""
    zero, gas = bytes(32), Gas({}, 0)
    said: list[events.ContractEvent] = [
        events.Posted(JOB.id, bytes(20), zero, bytes(20), 3, 5, 100, 1000, 0),
        events.Committed(JOB.id, 0, zero, 4, zero, bytes(20)),
    ]
    paid = JOB.spec.payment.rate

    def shown() -> tuple[int, float | None]:
        told = [StoredEvent(10, bytes(32), each) for each in said]
        found = money(machine(OwnerState(phase=JobPhase.CLOSED)), told, gas)
        assert found.awaited in (0, found.escrowed - found.earned - found.returned)
        return found.awaited, found.returns_at

    assert shown() == (0, None)  # rounds may come
    said.append(events.Finished(JOB.id, zero, zero, zero, 1000, 7200))
    assert shown() == (1500 - 4 * paid, 7200.0)
    said.append(events.Withdrawn(JOB.id, 1500 - 4 * paid))
    assert shown() == (0, None)


def test_a_finished_job_follows_the_chain_until_its_rest_is_asked_for() -> None:
    state = RequesterState(phase=JobPhase.CLOSED, cancel_effective=1_800_000_000)
    assert feed._follows_chain(machine(state))
    assert not feed._follows_chain(machine(dataclasses.replace(state, withdrawals=1)))
    assert not feed._follows_chain(machine(OwnerState(phase=JobPhase.CLOSED)))


def test_a_job_that_is_over_hangs_on_the_chain_until_its_rest_is_seen_to_be_back() -> None:
    """Where nothing hangs on the chain, events that a node shows late are not waited for."""
    depth = JOB.spec.timing.finality_blocks
    finished = RequesterState(phase=JobPhase.CLOSED)
    context = machine(finished).context

    def hangs(**changes: Any) -> bool:
        return takes_rest(context, dataclasses.replace(finished, **changes))

    assert hangs()  # the event of finish tells the moment
    told = {"cancel_effective": 1_800_000_000}
    assert not hangs(**told)
    closed = {**told, "closed_block": 100, "head": 100}
    assert hangs(**closed)
    assert hangs(**closed, withdrawals=1)
    assert not hangs(**closed, withdrawals=2)
    assert hangs(**{**closed, "head": 100 + depth + 63}, withdrawals=1)
    assert not hangs(**{**closed, "head": 100 + depth + 64}, withdrawals=1)
    assert hangs(**closed, phase=JobPhase.CANCELLED, withdrawals=1, settling=True)
    assert not hangs(phase=JobPhase.CANCELLED)
    assert not hangs(withdrawals=1)
    asked = machine(dataclasses.replace(finished, **closed, withdrawals=1))
    assert feed._follows_chain(asked)


def test_a_finish_of_an_older_contract_is_still_read(store: Store) -> None:
    said = events.Finished(JOB.id, bytes(32), bytes(32), bytes(32), 5, 7)
    with store.transaction() as tx:
        jobs.save_contract_event(tx, events.ChainEvent(10, bytes(32), 0, bytes(32), said))
        tx.execute("UPDATE contract_events SET json = json_remove(json, '$.effective')")
        [read] = jobs.contract_events(tx, JOB.id)
    assert read.event == dataclasses.replace(said, effective=0)


def test_a_waiting_job_says_what_its_policies_said(store: Store) -> None:
    told = "ward: it pays too little; to take it by hand: assay train 0x12345678 --data ward"
    waiting = machine(OwnerState(phase=JobPhase.WAITING, reason=told))
    assert standing.reason(waiting, look(store, waiting)) == told


@pytest.mark.parametrize(
    ("phase", "says"),
    [(JobPhase.SEEN, "compared with the chain's"), (JobPhase.CONSIDERING, "policies and data")],
)
def test_a_job_that_was_not_yet_judged_says_so(store: Store, phase: JobPhase, says: str) -> None:
    """It is `waiting` for its user as well, who would look for a reason in vain."""
    fresh = machine(OwnerState(phase=phase))
    assert says in standing.reason(fresh, look(store, fresh))


async def test_a_budget_that_shrank_below_a_job_halts_it_and_says_so(store: Store) -> None:
    fill(store, "ward", epsilon=8)
    engine = SimpleNamespace(machines={})
    services: Any = SimpleNamespace(store=store, compute=Inline(), engine=engine)
    spec = noisy_spec(4.0)
    assert not await privacy.reserve_job(services, "ward", JOB.id, spec, ROWS)
    running = machine(OwnerState(phase=JobPhase.TRAINING, dataset="ward"))
    running.context = dataclasses.replace(running.context, spec=spec)
    assert standing.reason(running, look(store, running)) == ""
    policy = await store.read(lambda tx: catalogue.policy_of(tx, "ward"))
    smaller = dataclasses.replace(policy, epsilon=1.0)
    await privacy.set_policy(services, "ward", smaller)
    said = standing.reason(running, look(store, running))
    assert said.startswith("no further round runs on ward: its budget, epsilon 1 at delta 1e-05,")
    with store.snapshot() as tx:
        assert standing.is_halted(tx, JOB.id)
    ended = dataclasses.replace(running, state=OwnerState(JobPhase.FINISHING, dataset="ward"))
    assert "no further round" not in standing.reason(ended, look(store, ended))
    await privacy.set_policy(services, "ward", policy)
    assert standing.reason(running, look(store, running)) == ""


def enrolments(count: int) -> Enrolments:
    return Enrolments.of(
        EnrolmentRecord(p.peer, p.account, p.payout, p.sealing_key, digest_of("said", p.number))
        for p in JOB.people[:count]
    )


def test_while_owners_enrol_they_are_listed_and_it_is_said_what_is_waited_for(
    store: Store,
) -> None:
    state = RequesterState(phase=JobPhase.ENROLLING, enrolments=enrolments(5), enrol_until=1000)
    gathering = machine(state, listed=False)
    said = standing.reason(gathering, look(store, gathering))
    assert said.startswith("5 of 6 owners; it starts when all 6 are there, else expires 2030-03-17")
    assert said.endswith("; assay job cancel ends it")
    terms = dataclasses.replace(JOB.spec.cohort, min_owners=5, block_size=5)
    spec = dataclasses.replace(JOB.spec, cohort=terms)
    gathering.context = dataclasses.replace(gathering.context, spec=spec)
    said = standing.reason(gathering, look(store, gathering))
    assert "it starts when 6 are there, or 5 after 1970-01-01 00:00:01 UTC, else" in said
    shown = standing.members(gathering, [], {}, None, {})
    assert [(m.part, m.block) for m in shown] == [("enrolled", None)] * 5
    assert len({m.account for m in shown}) == 5


def training(**changes: Any) -> RequesterState:
    """Member 0 is ready, 1 refused, 2 to 5 have said nothing; the roster is not frozen yet."""
    opening = Open(bytes(32), 1, bytes(32), 1, 1000, 2000)
    ready = ReadyMembers.of([ReadyRecord(0, digest_of("ready"), digest_of("mask"))])
    refused = Members.of([1])
    round_ = RequesterRound(1, 4, Phase.READY, opening, bytes(32), 0, ready=ready, refused=refused)
    return RequesterState(
        phase=JobPhase.TRAINING,
        enrolments=enrolments(6),
        groups=(GroupRecord(6, bytes(32), 1, True, JOB.seeds[0]),),
        adopted=1,
        round=dataclasses.replace(round_, **changes),
    )


def refuse(store: Store, member: int, round_: int, attempt: int, reason: str) -> None:
    body = Refuse(RefusalCode.INVALID, reason)
    said = JOB.people[member].say(JOB.place(round_, attempt), body)
    with store.transaction() as tx:
        records.save_message(tx, records.stored(said))


def test_members_show_refusals_and_absences(store: Store) -> None:
    refuse(store, 1, 0, 0, "an older word")
    refuse(store, 1, 1, 4, "this owner could not train")
    refuse(store, 2, 1, 3, "of the attempt before")
    now = machine(training())
    with store.snapshot() as tx:
        said = standing.refusals(tx, now)
    shown = standing.members(now, [], {}, None, said)
    assert [m.part for m in shown] == ["ready", "refused", "", "", "", ""]
    assert [m.refusal for m in shown[:3]] == ["", "this owner could not train", ""]
    failed = standing.members(machine(training(phase=Phase.FAILED)), [], {}, None, said)
    assert [m.part for m in failed[:3]] == ["ready", "refused", "no answer"]
    rosters = Rosters.of([RosterRecord(0, (0, 2, 3, 4, 5), bytes(32), 1)])
    late = training(phase=Phase.FAILED, rosters=rosters)
    assert standing.members(machine(late), [], {}, None, said)[3].part == "no batch"


def test_a_running_round_says_for_whom_it_waits_and_until_when(store: Store) -> None:
    """An owner that is gone for good leaves no attempt failed: it is named while it is awaited."""

    def said(**changes: Any) -> str:
        now = machine(training(**changes))
        return standing.reason(now, look(store, now))

    peers = [identity.peer_id_text(each.peer) for each in JOB.people]
    assert said() == (
        f"round 1, attempt 4: 1 of 5 members are ready; it waits for {peers[2]}, {peers[3]}, "
        f"{peers[4]} and 1 more until 1970-01-01 00:00:01 UTC at the latest"
    )
    came = Contributions.of(
        ContributionRecord(each, digest_of("said", each), digest_of("batch", each), 9, bad=bad)
        for each, bad in ((0, False), (2, False), (3, True), (4, False))
    )
    collecting = {
        "phase": Phase.CONTRIBUTE,
        "rosters": Rosters.of([RosterRecord(0, (0, 2, 3, 4, 5), bytes(32), 1)]),
    }
    assert said(**collecting, contributions=came) == (
        f"round 1, attempt 4: 3 of 4 contributions are here; it waits for {peers[5]} until "
        "1970-01-01 00:00:02 UTC at the latest"
    )
    opened = BlockRecord(0, (0, 2, 4))
    released = Releases.of(ReleaseRecord(each, digest_of("released", each)) for each in (0, 4))
    unmasking = {"phase": Phase.UNMASK, "unmask_until": 3000, "releases": released}
    assert f"2 of 3 members have released their shares; it waits for {peers[2]} until" in said(
        **unmasking, blocks=Blocks.of([opened])
    )
    lost = dataclasses.replace(opened, lost=True)
    assert said(**unmasking, blocks=Blocks.of([lost])) == ""
    assert said(phase=Phase.APPLY) == ""
    note(store, "attempt-failed", 1, 3, "2 members are ready, which is no block")
    assert said().startswith("round 1, attempt 3 failed: 2 members are ready, which is no block; ")


def test_who_owes_shares_is_shown_with_the_round(store: Store) -> None:
    owed = OwedRelease(3, 0, 0, bytes(32), bytes(32), 0, bytes(32), (3,))
    state = dataclasses.replace(training(), owed=Owed.of([owed]), liars=Members.of([4]))
    shown = standing.members(machine(state), [], {}, None, {})
    assert [(m.withheld, m.owes) for m in shown[2:5]] == [(False, None), (True, 0), (True, None)]


def test_what_owners_say_of_their_policies_is_counted_by_reason(store: Store) -> None:
    price, epsilon = DeclinedTerm.PRICE, DeclinedTerm.EPSILON
    said = DeclinedRecords.of(
        [
            DeclinedRecord(b"\x01" * 38, (epsilon,)),
            DeclinedRecord(b"\x02" * 38, (epsilon, price)),
        ]
    )
    gathering = machine(RequesterState(phase=JobPhase.ENROLLING, declined=said))
    text = standing.reason(gathering, look(store, gathering))
    told = "0 of 6 owners; 2 refused: epsilon too large (2), pays too little (1); it starts when"
    assert text.startswith(told)
    assert [(each.term, each.owners) for each in standing.declined(gathering.state)] == [
        ("epsilon", 2),
        ("price", 1),
    ]
    assert standing.declined(OwnerState()) == ()
    assert set(standing._DECLINED) == set(DeclinedTerm)
