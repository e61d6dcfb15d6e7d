"""Whole jobs under virtual time: bad networks, crashes, reorganisations, ends of all kinds."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from simulator.checks import (
    check_all_closed,
    check_done,
    check_models,
    check_money,
    check_paid,
    committed_rounds,
    held,
)
from simulator.network import Weather
from simulator.participant import Node
from simulator.world import Settings, World

from protocol.arith import kernels
from protocol.machines import inputs
from protocol.machines.job import JobPhase
from protocol.machines.round import Phase
from protocol.spec.job import Envelope
from protocol.wire.messages import Body


def run(world: World, seconds: int = 900) -> World:
    assert world.run(seconds), "stuck:\n" + "\n".join(world.log[-40:])
    assert world.rejected == []
    assert all(not node.blamed for node in (world.requester, *world.owners))
    return world


def said(node: Node, kind: str) -> list[str]:
    return [notice.text for notice in node.notices if notice.kind == kind]


def bad_weather() -> Weather:
    return Weather(loss=0.12, duplicates=0.15, delay_ms=(5, 400))


# --- a job, and its log


def test_twenty_owners_in_bad_weather_are_paid_for_a_better_model() -> None:
    world = run(World(Settings(seed=3, owners=20, weather=bad_weather())))
    check_done(world)
    check_all_closed(world)
    assert len(set(committed_rounds(world).values())) == 1
    first = kernels.evaluate(
        _model(world), world.requester.blobs[world.books.records.at(0).model_digest], *world.holdout
    )
    assert world.accuracies[-1] > first.accuracy + 0.4
    assert world.accuracies[-1] > 0.9


def _model(world: World) -> kernels.Model:
    from node.work.tasks import model_of

    return model_of(world.spec)


def test_one_seed_gives_one_log() -> None:
    logs = [run(World(Settings(seed=s, rounds=2, weather=bad_weather()))).log_bytes for s in (5, 5)]
    assert logs[0] == logs[1]
    assert len(logs[0]) > 10_000


def test_another_seed_gives_another_log() -> None:
    one, other = (
        run(World(Settings(seed=s, rounds=2, weather=bad_weather()))).log_bytes for s in (5, 6)
    )
    assert one != other


def test_batches_too_large_for_gossip_are_fetched() -> None:
    world = run(World(Settings(seed=8, rounds=1, hidden=1000)))
    assert world.spec.packing.batch_bytes(world.spec.parameter_count) > 48 * 1024
    check_done(world)
    check_all_closed(world)


def test_masks_alone_train_as_well() -> None:
    world = run(World(Settings(seed=9, envelope=Envelope.MASKS, weather=bad_weather())))
    assert world.accuracies[-1] > 0.9
    check_done(world)
    check_all_closed(world)


@pytest.mark.parametrize("envelope", [Envelope.MASKS, Envelope.PAILLIER], ids=str)
def test_with_noise_blocks_may_shuffle(envelope: Envelope) -> None:
    """Every round draws its blocks anew; an owner's noise is drawn, and paid, once a round."""
    job = {"owners": 12, "block": 6, "epsilon": 8.0, "dropouts": 1, "corrupt": 1, "shuffle": True}
    weather = Weather(loss=0.05, duplicates=0.1)
    world = run(World(Settings(seed=10, envelope=envelope, weather=weather, **job)))
    drawn = [world.requester.executor.listing.blocks(world.job, number) for number in range(3)]
    assert len(set(drawn)) == 3
    for owner in world.owners:
        assert len(set(owner.charged)) == len(owner.charged) <= 3
    check_done(world)
    check_all_closed(world)


# --- crashes

REQUESTER_PHASES = [
    JobPhase.POSTING,
    JobPhase.ENROLLING,
    JobPhase.ROOTING,
    Phase.READY,
    Phase.FREEZE,
    Phase.CONTRIBUTE,
    Phase.COMMIT,
    Phase.APPLY,
    JobPhase.FINISHING,
    JobPhase.PAYING,
]
OWNER_PHASES = [
    JobPhase.SEEN,
    JobPhase.CONSIDERING,
    JobPhase.ENROLMENT_SENT,
    JobPhase.ENROLLED,
    Phase.OPEN,
    Phase.READY,
    Phase.FREEZE,
    Phase.CONTRIBUTE,
    Phase.COMMIT,
    Phase.APPLY,
    Phase.DONE,
    JobPhase.FINISHING,
]


@pytest.mark.parametrize("phase", REQUESTER_PHASES, ids=lambda p: p.value)
@pytest.mark.parametrize("down_ms", [pytest.param(20, marks=pytest.mark.ci), 45_000])
def test_the_requester_crashes(phase: Phase | JobPhase, down_ms: int) -> None:
    world = World(Settings(seed=11, rounds=1))
    world.crash_at(world.requester, phase, down_ms, times=2)
    run(world)
    assert sum("crashes" in line for line in world.log) >= 1
    check_done(world)
    check_all_closed(world)


@pytest.mark.parametrize("phase", OWNER_PHASES, ids=lambda p: p.value)
@pytest.mark.parametrize("down_ms", [pytest.param(20, marks=pytest.mark.ci), 45_000])
def test_an_owner_crashes(phase: Phase | JobPhase, down_ms: int) -> None:
    world = World(Settings(seed=12, rounds=1, enrol_seconds=60))
    for owner in world.owners[:2]:
        world.crash_at(owner, phase, down_ms, times=2)
    run(world)
    assert sum("crashes" in line for line in world.log) >= 2
    check_done(world)
    check_all_closed(world)


def test_everybody_crashes_all_the_time() -> None:
    world = World(Settings(seed=13, weather=Weather(loss=0.05)))
    for number, node in enumerate((world.requester, *world.owners)):
        for again in range(8):
            world.after(4 + 2.3 * number + 11.7 * again, lambda node=node: _bounce(world, node))
    run(world, 1200)
    check_done(world)
    check_all_closed(world)


def _bounce(world: World, node: Node) -> None:
    if node.up:
        node.crash()
        world.after(1.5, node.restart)


# --- lost messages


def _drop(kind: str, to: str = "", origin: str = "", times: int = 10**9) -> Callable[..., bool]:
    """Drop the first `times` frames of a kind, gossip or private."""
    left = times

    def drop(source: str, target: str, body: Body | None, gossip: bool) -> bool:
        nonlocal left
        hit = type(body).__name__ == kind and to in ("", target) and origin in ("", source)
        if not hit or not left:
            return False
        left -= 1
        return True

    return drop


@pytest.mark.parametrize("kind", ["Open", "Freeze", "Committed", "Result", "Finished"])
@pytest.mark.parametrize("to", ["", "o2"], ids=["everybody", "one"])
def test_gossip_of_one_kind_never_arrives(kind: str, to: str) -> None:
    weather = Weather(drops=[_drop(kind, to)])
    world = run(World(Settings(seed=21, rounds=2, weather=weather)))
    check_done(world)
    check_all_closed(world)


def test_contributions_are_never_heard_as_gossip() -> None:
    def drop(source: str, target: str, body: Body | None, gossip: bool) -> bool:
        return gossip and type(body).__name__ == "Contribution"

    world = run(World(Settings(seed=22, rounds=2, weather=Weather(drops=[drop]))))
    check_done(world)
    check_all_closed(world)


@pytest.mark.parametrize("kind", ["Announce", "Enrol", "Enrolled", "Ready", "Ask", "Contribution"])
def test_the_first_messages_of_one_kind_are_lost(kind: str) -> None:
    weather = Weather(drops=[_drop(kind, times=12)])
    world = run(World(Settings(seed=23, rounds=2, enrol_seconds=60, weather=weather)))
    check_done(world)
    check_all_closed(world)


def test_an_owner_whose_ready_comes_too_late_costs_an_attempt() -> None:
    weather = Weather(drops=[_drop("Ready", origin="o1", times=25)])
    world = run(World(Settings(seed=24, rounds=2, weather=weather)))
    assert said(world.requester, "attempt-failed") == ["4 members are ready, which is no block"]
    check_done(world)
    check_all_closed(world)


def test_a_block_goes_on_without_the_other() -> None:
    """Two blocks; a member of one never gets ready: the other trains, and all come to an end."""
    weather = Weather(drops=[_drop("Ready", origin="o1")])
    world = run(World(Settings(seed=25, owners=10, rounds=2, weather=weather)))
    check_done(world)
    check_all_closed(world)
    assert sorted(committed_rounds(world).values()) == [2] * 5


def test_a_computation_that_ends_after_its_attempt_is_dropped() -> None:
    world = World(Settings(seed=26, rounds=2, contribute_seconds=5))
    world.slow["o3"] = 600.0
    world.after(30, lambda: world.slow.clear())
    run(world)
    assert said(world.requester, "attempt-failed")
    assert any("ContributionMade refused" in line for line in world.log)
    check_done(world)
    check_all_closed(world)


# --- who takes part


def test_one_owner_that_comes_late_is_no_block() -> None:
    world = World(Settings(seed=31, owners=6, min_owners=5, rounds=2, enrol_seconds=10))
    late = world.owners[2]
    late.crash()

    def hook(_: Node, state: object) -> None:
        if world.books.phase is JobPhase.TRAINING and not late.up and world.job not in late.jobs:
            late.restart()
            from protocol.spec.job import encode_spec

            late.take_job(next(iter(world.owners[0].jobs.values())).role, encode_spec(world.spec))

    world.requester.hooks.append(hook)
    run(world)
    assert not world.owner_state(late).contributed
    assert world.owner_state(late).phase is JobPhase.CLOSED
    assert len(held(world).enrolled) == 1
    check_done(world)


def test_an_owner_that_wants_more_stays_out() -> None:
    world = World(Settings(seed=32, owners=6, min_owners=5, rounds=2, enrol_seconds=10))
    world.reluctant.add("o4")
    run(world)
    assert world.owner_state(world.owners[4]).phase is JobPhase.DECLINED
    check_done(world)


def test_too_few_owners_leave_the_bounty_to_its_requester() -> None:
    world = World(Settings(seed=33, owners=6, min_owners=6, lifetime_seconds=300))
    world.reluctant.add("o4")
    run(world)
    assert world.books.phase is JobPhase.CANCELLED
    assert world.chain.state.received == {world.requester.account: world.spec.escrow}


# --- the chain


@pytest.mark.parametrize("seed", [41, 42])
def test_reorganisations_change_nothing_in_the_end(seed: int) -> None:
    world = World(Settings(seed=seed, weather=Weather(loss=0.05)))
    for number in range(24):
        depth = 1 + number % 2
        world.after(1.5 + 1.9 * number, lambda depth=depth: world.chain.reorganise(depth))
    run(world)
    world.clock.run(world.clock.now + 30_000)
    assert any("sees a reorganisation" in line for line in world.log)
    check_done(world)
    check_all_closed(world)


def test_a_commitment_that_the_chain_takes_too_late_is_signed_again() -> None:
    world = World(Settings(seed=44, rounds=2, commit_seconds=8))
    world.chain.hold("commit", 1, 12_000)
    run(world)
    assert sum("/commit/0." in id_ for id_ in world.chain.txs) == 2
    check_done(world)
    check_all_closed(world)


# --- ends before the last round


def test_a_cancelled_job_pays_what_was_committed() -> None:
    world = World(Settings(seed=51, rounds=6))
    _when(world, 2, lambda: world.requester.feed(world.job, inputs.ActionCancel(world.clock.now)))
    run(world, 600)
    assert world.books.phase is JobPhase.CANCELLED
    _check_wound_up(world)


def test_an_expired_job_pays_what_was_committed() -> None:
    world = World(Settings(seed=52, rounds=6, lifetime_seconds=22))
    run(world, 600)
    assert world.books.phase is JobPhase.CANCELLED
    assert 0 < len(world.books.records) < 6
    _check_wound_up(world)


def test_a_commitment_that_is_mined_after_the_cancellation_is_paid() -> None:
    world = World(Settings(seed=53, rounds=6, commit_seconds=60))
    world.chain.hold("commit", 2, 12_000)
    _when(
        world,
        1,
        lambda: world.after(
            3.5, lambda: world.requester.feed(world.job, inputs.ActionCancel(world.clock.now))
        ),
    )
    run(world, 600)
    assert len(world.books.records) == 2
    assert world.books.records.at(1).next_model == world.books.records.at(1).model_digest
    _check_wound_up(world)


def _when(world: World, records: int, call: Callable[[], None]) -> None:
    """Once, as the requester's books have so many rounds."""
    waiting = [call]

    def hook(_: Node, state: object) -> None:
        if waiting and len(world.books.records) >= records:
            waiting.pop()()

    world.requester.hooks.append(hook)


def _check_wound_up(world: World) -> None:
    check_money(world)
    check_paid(world)
    check_models(world)
    pay, owed = world.spec.payment, committed_rounds(world)
    share = pay.merit // sum(owed.values())
    for owner in world.owners:
        worth = owed[owner.payout] * (pay.rate + share)
        assert world.chain.state.received.get(owner.payout, 0) == worth
    assert held(world).held == 0


def test_a_commitment_that_comes_back_after_finish_is_paid() -> None:
    """A reorganisation takes out the last commitment and `finish`; `finish` is mined first."""
    world = World(Settings(seed=57, rounds=2))
    chain, found = world.chain, []

    def look() -> None:
        finish = next((t for t in chain.txs.values() if t.function == "finish"), None)
        if found or finish is None or not finish.block:
            return
        last = max((t for t in chain.txs.values() if t.function == "commit"), key=lambda t: t.block)
        found.append((finish, last))
        chain.reorganise(chain.head.number - last.block + 1)
        last.block, last.not_before, finish.not_before = 0, world.clock.now + 500, 0
        chain.reorganise(1)

    chain.watchers.append(look)
    run(world, 600)
    [(finish, last)] = found
    assert 0 < finish.block < last.block
    check_done(world)
    check_all_closed(world)


def test_a_job_whose_finish_comes_too_late_is_wound_up() -> None:
    world = World(Settings(seed=54, rounds=2, lifetime_seconds=60))
    world.chain.hold("finish", 1, 70_000)
    run(world, 600)
    assert world.books.phase is JobPhase.CANCELLED
    assert len(world.books.records) == 2
    _check_wound_up(world)


@pytest.mark.ci
def test_a_job_gives_up_when_an_owner_never_comes_back() -> None:
    world = World(Settings(seed=55, rounds=4, ready_seconds=4))
    lost = world.owners[3]
    _when(world, 2, lost.crash)
    world.after(2_000, lost.restart)
    run(world, 2_800)
    assert world.books.reason == "round 2 failed 16 attempts"
    check_done(world, rounds=2)
    check_all_closed(world)


def test_a_requester_that_breaks_takes_its_bounty_back_at_the_end() -> None:
    world = World(Settings(seed=56, lifetime_seconds=120))
    world.chain.refuse("enrol")
    run(world, 600)
    assert world.books.phase is JobPhase.FAILED
    assert world.chain.state.received == {world.requester.account: world.spec.escrow}
