"""Owners that vanish, and owners that lie: what it costs, and whom."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from simulator.checks import check_all_closed, check_done, committed_rounds, held
from simulator.moments import member_of, vanish_at
from simulator.participant import Node
from simulator.spy import Spy
from simulator.world import Policy, Settings, World

from protocol.books.evidence import decode_evidence
from protocol.machines.job import JobPhase
from protocol.machines.round import Role
from protocol.owner.state import OwnerState
from protocol.spec.job import encode_spec
from protocol.wire.messages import Ready, Release

MOMENTS = ["before ready", "after ready", "after freeze", "after contributing", "during unmasking"]

#: Six in a block, one may drop out, one may be corrupt: four shares rebuild a secret.
NOISY: dict[str, Any] = {"owners": 6, "block": 6, "epsilon": 8.0, "dropouts": 1, "corrupt": 1}


def run(world: World, seconds: int = 900) -> World:
    assert world.run(seconds), "stuck:\n" + "\n".join(world.log[-40:])
    assert world.rejected == []
    return world


def said(node: Node, kind: str) -> list[str]:
    return [notice.text for notice in node.notices if notice.kind == kind]


def check_private(world: World, *corrupt: Node) -> None:
    """All that can be opened are sums of a quorum of honest owners, and they are what they were."""
    spy = Spy(world, corrupt)
    spy.learn()
    by_peer = {owner.peer: owner for owner in world.owners}
    least = world.spec.quorum(world.spec.cohort.block_size) - len(corrupt)
    for opened in spy.opened():
        assert len(opened.parts) >= least > 1
        total = np.zeros(world.spec.parameter_count, dtype=np.int64)
        held_ = spy.held()
        for index, factor in opened.recipe.items():
            each = held_[index]
            integers = by_peer[each.sender].integers[each.place.round, each.place.attempt]
            total += int(factor) * integers
        assert np.array_equal(spy.compute(opened), total)


def opened_rounds(world: World) -> list[int]:
    """How many contributions moved the model, round by round."""
    facts = [dict(n.facts) for n in world.requester.notices if n.kind == "round-applied"]
    return [int(each.get("contributors", 0)) for each in facts]


# --- owners vanish


#: Without noise, breadth.
WITH_AND_WITHOUT = [
    pytest.param(True, id="noise"),
    pytest.param(False, id="no noise", marks=pytest.mark.ci),
]


@pytest.mark.parametrize("moment", MOMENTS)
def test_with_noise_one_owner_may_vanish(moment: str) -> None:
    world = World(Settings(seed=61, rounds=2, ready_seconds=4, contribute_seconds=6, **NOISY))
    vanish_at(world, moment, world.owners[:1], 300)
    run(world)
    assert said(world.requester, "attempt-failed") == []
    first = 5 if moment in MOMENTS[:3] else 6
    assert opened_rounds(world) == [first, 5]
    check_done(world)
    check_all_closed(world)
    check_private(world)
    check_private(world, world.owners[1])


@pytest.mark.parametrize("moment", MOMENTS[:3])
def test_with_noise_two_are_too_many(moment: str) -> None:
    """The attempt fails, opens nothing, and the next one runs once they are back."""
    world = World(Settings(seed=62, rounds=2, ready_seconds=4, contribute_seconds=6, **NOISY))
    vanish_at(world, moment, world.owners[:2], 14)
    run(world)
    assert said(world.requester, "attempt-failed")
    assert opened_rounds(world) == [6, 6]
    check_done(world)
    check_all_closed(world)
    check_private(world)


@pytest.mark.parametrize("moment", MOMENTS[:3])
def test_without_noise_one_is_too_many(moment: str) -> None:
    world = World(Settings(seed=63, rounds=2, ready_seconds=4, contribute_seconds=6))
    vanish_at(world, moment, world.owners[:1], 14)
    run(world)
    assert said(world.requester, "attempt-failed")
    assert opened_rounds(world) == [5, 5]
    check_done(world)
    check_all_closed(world)
    check_private(world)


@pytest.mark.parametrize("noisy", WITH_AND_WITHOUT)
@pytest.mark.parametrize("moment", MOMENTS[3:])
def test_as_many_may_vanish_with_their_shares_as_leave_a_threshold(
    moment: str, noisy: bool
) -> None:
    settings = Settings(seed=64, rounds=1, **(NOISY if noisy else {}))
    world = World(settings)
    vanish_at(world, moment, world.owners[:2], 300)
    run(world)
    assert opened_rounds(world) == [settings.owners]
    check_done(world)
    check_private(world)
    # They come back too late for the books: who did not give its shares has no merit.
    withheld = set(decode_evidence(world.requester.blobs[world.books.evidence_digest]).withheld)
    assert withheld == {member_of(world, owner) for owner in world.owners[:2]}


@pytest.mark.parametrize("noisy", WITH_AND_WITHOUT)
@pytest.mark.parametrize("moment", MOMENTS[3:])
def test_one_more_costs_the_requester_the_round_and_nobody_privacy(
    moment: str, noisy: bool
) -> None:
    """Too few shares: the block is paid, and closed; the next round runs when they are back."""
    timing = {"ready_seconds": 4, "contribute_seconds": 6, "unmask_seconds": 8}
    world = World(Settings(seed=65, rounds=2, **timing, **(NOISY if noisy else {})))
    vanish_at(world, moment, world.owners[:3], 30)
    run(world)
    lost, moved = opened_rounds(world)
    assert (lost, moved >= 5) == (0, True)
    assert said(world.requester, "block-closed") == ["block 0 stays closed: too few shares came"]
    assert sum(committed_rounds(world).values()) == len(world.owners) + moved
    check_done(world)
    check_all_closed(world)
    check_private(world)
    # Their shares came late, but they came: nobody is left out of merit.
    assert decode_evidence(world.requester.blobs[world.books.evidence_digest]).withheld == ()


# --- shares that are none


def _forged(release: Release) -> Release:
    return dataclasses.replace(release, shares=(bytes(32), *release.shares[1:]))


def _swapped(release: Release) -> Release:
    first, second, *rest = release.shares
    return dataclasses.replace(release, shares=(second, first, *rest))


def _withheld(_: Release) -> None:
    return None


@pytest.mark.parametrize("trick", [_forged, _swapped, _withheld])
def test_an_owner_without_good_shares_has_no_merit(
    trick: Callable[[Release], Release | None],
) -> None:
    world = World(Settings(seed=66, rounds=2))
    liar = world.owners[2]
    liar.tricks.release = trick
    run(world)
    assert opened_rounds(world) == [5, 5]
    check_done(world)
    check_private(world)
    received, rate = world.chain.state.received, world.spec.payment.rate
    assert received[liar.payout] == 2 * rate
    assert all(received[o.payout] > 2 * rate for o in world.owners if o is not liar)
    blamed = {peer for peer, _ in world.requester.blamed}
    assert blamed == (set() if trick is _withheld else {liar.peer})


def test_where_a_block_can_do_without_it_who_owes_shares_stays_out() -> None:
    world = World(Settings(seed=67, rounds=2, **NOISY))
    world.owners[2].tricks.release = _withheld
    run(world)
    assert opened_rounds(world) == [6, 5]
    check_done(world)


def test_a_secret_that_its_shares_do_not_make_closes_its_block() -> None:
    """The hash of the seed is of another seed: nobody can know before the shares are together."""
    world = World(Settings(seed=68, rounds=1))
    liar = world.owners[1]
    liar.tricks.ready = lambda ready: dataclasses.replace(ready, seed_hash=bytes(32))
    run(world)
    assert opened_rounds(world) == [0]
    assert {peer for peer, _ in world.requester.blamed} == {liar.peer}
    check_done(world)
    check_private(world)


def test_boxes_that_do_not_open_are_found_before_anything_is_masked() -> None:
    world = World(Settings(seed=69, rounds=1, ready_seconds=4, contribute_seconds=4))
    liar, left = world.owners[1], [2]

    def spoiled(ready: Ready) -> Ready:
        left[0] -= 1
        if left[0] < 0:
            return ready
        return dataclasses.replace(ready, boxes=(b"no box".ljust(64),) * len(ready.boxes))

    liar.tricks.ready = spoiled
    run(world)
    refusals = said(world.requester, "refusal")
    name = f"invalid: member {member_of(world, liar)}: share of the seed for member"
    assert Counter(text.startswith(name) for text in refusals) == {True: 2 * 5}
    assert len(said(world.requester, "attempt-failed")) == 2
    assert all(set(o.integers) == {(0, 2)} for o in world.owners), "masked under a bad roster"
    check_done(world)


# --- contributions that are none


def _garbage(batch: bytes) -> bytes:
    return batch[:45] + bytes(len(batch) - 45)


def _not_its_own(batch: bytes) -> bytes:
    return batch[:20] + bytes([batch[20] ^ 1]) + batch[21:]


@pytest.mark.parametrize(
    "spoil", [_garbage, _not_its_own, lambda b: b + b"\0", lambda b: b[:-1], lambda b: b""]
)
def test_a_contribution_that_is_none_costs_an_attempt(spoil: Callable[[bytes], bytes]) -> None:
    world = World(Settings(seed=70, rounds=1, ready_seconds=4, contribute_seconds=5))
    liar, left = world.owners[3], [1]

    def once(batch: bytes) -> bytes:
        left[0] -= 1
        return spoil(batch) if left[0] == 0 else batch

    liar.tricks.batch = once
    run(world)
    assert len(said(world.requester, "attempt-failed")) == 1
    assert {peer for peer, _ in world.requester.blamed} == {liar.peer}
    assert opened_rounds(world) == [5]
    check_done(world)
    check_private(world)


def test_with_noise_a_contribution_that_is_none_is_left_out() -> None:
    world = World(Settings(seed=71, rounds=1, contribute_seconds=5, **NOISY))
    world.owners[3].tricks.batch = _garbage
    run(world)
    assert opened_rounds(world) == [5]
    assert said(world.requester, "attempt-failed") == []
    assert world.owners[3].payout not in world.chain.state.received
    check_done(world)
    check_private(world)


def test_huge_values_cost_a_paid_round_and_move_nothing() -> None:
    """Any number can be added under Paillier; the sum's lanes tell, and the block is dropped."""
    world = World(Settings(seed=72, rounds=2))
    n = world.paillier.public.n
    left = [1]

    def huge(batch: bytes) -> bytes:
        left[0] -= 1
        if left[0] < 0:
            return batch
        head, number = batch[:45], int.from_bytes(batch[45:], "big")
        added = number * (1 + (n // 3) * n) % (n * n)
        return head + added.to_bytes(len(batch) - 45, "big")

    world.owners[3].tricks.batch = huge
    run(world)
    assert opened_rounds(world) == [0, 5]
    records = tuple(world.books.records)
    assert records[0].next_model != records[0].model_digest
    before, after = (
        world.requester.blobs[d] for d in (records[0].model_digest, records[0].next_model)
    )
    assert before[16:] == after[16:], "a dropped block moved the model"
    assert set(committed_rounds(world).values()) == {2}
    check_done(world)


# --- who takes part


def test_owners_that_come_late_form_a_block_of_their_own() -> None:
    world = World(Settings(seed=73, owners=10, min_owners=5, rounds=4, enrol_seconds=8))
    late = world.owners[5:]
    for owner in late:
        owner.crash()

    def join() -> None:
        for owner in late:
            owner.restart()
            owner.take_job(Role.OWNER, encode_spec(world.spec))

    world.after(14, join)
    run(world)
    assert len(held(world).enrolled) == 2
    counts = [record.count for record in world.books.records]
    assert counts[0] == 5
    assert counts[-1] == 10
    assert opened_rounds(world) == counts
    check_done(world)
    check_all_closed(world)
    check_private(world)


def test_an_owner_may_ask_for_members_that_it_knows() -> None:
    world = World(Settings(seed=74, rounds=1, ready_seconds=4, **NOISY))
    friends = tuple(owner.account for owner in world.owners[:3])
    world.policies["o4"] = Policy(friends, 3)
    world.policies["o5"] = Policy((*friends[:2], bytes(20)), 3)
    run(world)
    refusals = said(world.requester, "refusal")
    assert refusals == ["conflict: 2 members of its block are known to its owner, who asks for 3"]
    assert opened_rounds(world) == [5]
    assert world.owners[5].integers == {}
    check_done(world)


@pytest.mark.ci
def test_an_owner_stops_where_too_much_went_unpaid() -> None:
    """Five contribute, the requester never commits; one of them has had enough after two."""
    world = World(Settings(seed=75, rounds=1, ready_seconds=3, contribute_seconds=4))
    world.owners[0].tricks.batch = _garbage
    world.policies["o1"] = Policy(max_unpaid=2)
    run(world)
    assert world.books.reason == "round 0 failed 16 attempts"
    assert sorted(world.owners[1].integers) == [(0, 0), (0, 1), (0, 2)]
    assert "3 attempts that it contributed to went unpaid" in said(world.requester, "refusal")[-1]
    assert len(world.owners[2].integers) == 3  # a block of five does not go on with four
    check_private(world)


# --- a node that is restored


def test_a_restored_node_releases_nothing_for_old_attempts() -> None:
    """All that a backup may hold is put back, a second node made of it: it has no boxes' key."""
    world = World(Settings(seed=76, rounds=1, finality=3))
    owner, taken = world.owners[2], []

    def back_up(_: Node, state: object) -> None:
        assert isinstance(state, OwnerState)
        if state.round is not None and state.round.batch_digest and not taken:
            stored = owner.jobs[world.job]
            taken.append((stored.backup(), dict(stored.effects)))
            world.after(0.5, restore)

    def restore() -> None:
        owner.crash()
        stored = owner.jobs[world.job]
        stored.put_back(taken[0][0])
        stored.effects = dict(taken[0][1])
        owner.vault.clear()
        owner.releases.clear()
        owner.given.clear()
        owner.restart()

    owner.hooks.append(back_up)
    run(world)
    assert any("releases nothing" in line for line in world.log)
    assert opened_rounds(world) == [5], "the others' shares suffice"
    assert owner.releases == {}
    assert world.books.phase is JobPhase.CLOSED
    check_private(world)
