"""What a policy's terms stop: attacks on honest owners' machines, and what the terms say to each.

Without its term each attack reads one owner alone; with it the job is not taken.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from kits.books import make_spec
from simulator.checks import check_done
from simulator.coalition import Coalition
from simulator.participant import Node
from simulator.spy import Spy
from simulator.world import Policy as Asked
from simulator.world import Settings, World

from protocol.policy.policy import Policy
from protocol.policy.rules import DatasetFacts, Decision, Standing, Verdict, judge, without_noise
from protocol.policy.terms import with_changes
from protocol.spec.job import JobSpec, MeritBy

TAKES = with_changes(Policy.closed(), {"accept": "auto", "no_noise": True})


def judged(policy: Policy, spec: JobSpec, joined: int = 0) -> Decision:
    return judge(policy, spec, DatasetFacts(spec.columns, 40), Standing(joined=joined))


# --- corrupt_least


def _puppets(corrupt: int, seed: int) -> tuple[Coalition, list[int]]:
    """Three puppets of five play an attempt up to its contributions: nothing is committed."""
    them = Coalition(Settings(seed=seed, rounds=1, corrupt=corrupt), corrupt=3)
    them.play(0, 0, them.model(0))
    assert [mark for mark in them.world.chain.txs if "/commit/" in mark] == []
    return them, them.gains()


def test_without_corrupt_least_three_puppets_of_five_read_an_owner_alone() -> None:
    them, gained = _puppets(0, 91)
    assert gained == [1, 1]
    them.check_truth()  # the numbers come out, before any commitment
    open_to_it = with_changes(TAKES, {"corrupt_least": 0})
    assert judged(open_to_it, them.world.spec).verdict is Verdict.ACCEPT


def test_with_corrupt_least_the_job_waits_and_one_that_bears_a_puppet_tells_nothing() -> None:
    decision = judged(TAKES, World(Settings(seed=91, rounds=1, corrupt=0)).spec)
    assert decision.verdict is Verdict.WAIT
    assert "the policy asks for 1" in decision.reasons[0]
    them, gained = _puppets(1, 91)
    assert judged(TAKES, them.world.spec).verdict is Verdict.ACCEPT
    assert gained == []


# --- no_noise_jobs


class Exact(World):
    """A world whose owners send the gradient of all of their rows, at the same first weights."""

    def _make_spec(self) -> JobSpec:
        spec = super()._make_spec()
        training = dataclasses.replace(spec.training, local_steps=1, batch_rows=40)
        return dataclasses.replace(spec, training=training)


def _job(owners: int) -> tuple[World, Any]:
    """A job without noise, and the sum that its requester opens."""
    world = Exact(Settings(seed=92, rounds=1, owners=owners, block=owners, corrupt=1))
    assert world.run(900)
    check_done(world)
    spy = Spy(world)
    spy.learn()
    (opened,) = spy.opened()
    assert len(opened.parts) == owners
    return world, spy.compute(opened)


def test_two_jobs_whose_cohorts_differ_by_one_owner_give_its_gradient() -> None:
    (six, sum_of_six), (five, sum_of_five) = _job(6), _job(5)
    victim = six.owners[5]
    # Integers are rounded at random, each time anew: up to one step of the grid for each owner.
    assert np.abs(sum_of_six - sum_of_five - victim.integers[0, 0]).max() <= 5
    assert np.abs(victim.integers[0, 0]).max() > 1000
    # The five who are in both hold the other's gradient in their hands: one term stops them.
    twice = with_changes(TAKES, {"no_noise_jobs": 2})
    assert judged(twice, five.spec, joined=1).verdict is Verdict.ACCEPT
    assert judged(TAKES, six.spec).verdict is Verdict.ACCEPT
    decision = judged(TAKES, five.spec, joined=1)
    assert decision.verdict is Verdict.REFUSE
    assert "sums of two could be subtracted" in decision.reasons[0]


# --- published_sums


def test_members_that_know_their_blocks_sum_know_the_one_that_they_leave_out() -> None:
    """What a job without noise publishes when its merit goes by worth; one term stops it."""
    world, opened = _job(5)
    *pooled, victim = world.owners
    told = opened - np.sum([each.integers[0, 0] for each in pooled], axis=0)
    assert np.array_equal(told, victim.integers[0, 0])
    assert np.abs(told).max() > 1000
    spec = make_spec(15, min_owners=15, rounds=9, merit_by=MeritBy.WORTH)
    decision = judged(TAKES, spec)
    assert decision.verdict is Verdict.REFUSE
    assert "published_sums=true would allow it" in decision.reasons[0]
    assert list(without_noise(TAKES, spec)) == [decision.reasons[0]], "a running job is held to it"
    allowed = with_changes(TAKES, {"published_sums": True})
    assert judged(allowed, spec).verdict is Verdict.ACCEPT
    assert not list(without_noise(allowed, spec))
    for merit_by in (MeritBy.EQUAL, MeritBy.DISCRETION):
        kept = make_spec(15, min_owners=15, rounds=9, merit_by=merit_by)
        assert judged(TAKES, kept).verdict is Verdict.ACCEPT


# --- known_least, in the roster and in the committed list

#: Eight in a block, two may drop out, one may be corrupt: five shares rebuild a secret. Four are
#: puppets; the other four know each other, and ask for three of them.
FRIENDS = {"owners": 8, "block": 8, "epsilon": 8.0, "dropouts": 2, "corrupt": 1}
PUPPETS = 4


def _among_friends(least: int) -> Coalition:
    def policies(world: World) -> dict[str, Asked]:
        friends = world.owners[PUPPETS:]
        known = {o.name: tuple(f.account for f in friends if f is not o) for o in friends}
        return {name: Asked(accounts, least) for name, accounts in known.items()}

    job: dict[str, Any] = FRIENDS
    return Coalition(Settings(seed=93, rounds=1, **job), PUPPETS, policies)


def _play_without(them: Coalition, away: int, *, in_roster: bool) -> None:
    """An attempt in which so many friends are listed as dropouts: in the roster, or in the list."""
    place, model = them.place(0, 0), them.model(0)
    opening = them.open(0, 0, model, them.honest)
    them.wait(1_500)
    own = [them.own_ready(place, opening, node) for node in them.corrupt]
    kept = them.members(them.honest[away:] if in_roster else them.honest)
    roster = them.roster(place, [*own, *(them.readys[opening, m] for m in kept)])
    them.freeze(place, opening, roster, them.honest)
    them.wait(2_500)
    listed = sorted([*them.members(them.corrupt), *them.members(them.honest[away:])])
    them.commit(place, model, them.list_of(roster[0], listed), them.honest, on_chain=True)
    them.wait(30_000)


@pytest.mark.parametrize("in_roster", [True, False], ids=["roster", "committed list"])
def test_known_members_that_are_listed_away_hide_nobody(in_roster: bool) -> None:
    """Of four friends two are left in the sum, though each asked for three of the others."""
    them = _among_friends(0)
    _play_without(them, 2, in_roster=in_roster)
    assert them.gains() == [2]
    them.check_truth()
    them = _among_friends(3)
    _play_without(them, 2, in_roster=in_roster)
    assert them.gains() == []
    said = [text for node in them.honest[2:] for text in _faults(node)]
    where = "roster" if in_roster else "committed list"
    assert said == [f"1 members of its {where} are known to its owner, who asks for 3"] * 2
    computed = [node for node in them.honest if node.integers]
    assert len(computed) == (0 if in_roster else 4)


def _faults(node: Node) -> list[str]:
    return [notice.text for notice in node.notices if notice.kind == "fault"]


def test_with_all_that_it_knows_in_the_list_an_owner_releases() -> None:
    them = _among_friends(3)
    _play_without(them, 0, in_roster=False)
    assert them.gains() == [4]
