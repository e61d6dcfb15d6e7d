"""Whole nodes under faults: no promise breaks, whatever comes together.

What fails here is replayed by `scripts/simulate --replay SEED`, with its whole log.
"""

from __future__ import annotations

import pytest

from virtual.faults import FAULTS
from virtual.seeds import terms_of
from virtual.world import Outcome, Terms, World


def hold(terms: Terms) -> Outcome:
    outcome = World(terms).run()
    faults = ",".join(terms.faults)
    told = f"scripts/simulate --replay {terms.seed} --owners {terms.owners} --faults {faults}"
    assert outcome.broken == [], "\n".join([told, *outcome.broken])
    return outcome


@pytest.mark.parametrize("seed", [2, pytest.param(6, marks=pytest.mark.ci), 7])
def test_a_seed_holds(seed: int) -> None:
    assert hold(terms_of(seed, 5)).phase == "closed"


def test_other_faults_are_another_log() -> None:
    """The faults of a world are there: its log is another, and a crash is in it."""
    plain, killed = (hold(Terms(seed=3, rounds=1, faults=f)) for f in ((), ("requester-killed",)))
    assert plain.text != killed.text
    assert any("crashes at act" in line for line in killed.log)
    assert (plain.phase, killed.phase) == ("closed", "closed")


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name, fault in FAULTS.items() if fault.drawn])
def test_a_job_ends_well_under_each_fault(name: str) -> None:
    outcome = hold(Terms(seed=11, faults=(name,)))
    assert (outcome.phase, outcome.rounds) == ("closed", 3)


@pytest.mark.long
def test_a_clock_that_is_an_hour_off_loses_nobody_money() -> None:
    for seed in range(4):
        hold(Terms(seed=seed, rounds=1, faults=("clocks-far",)))


@pytest.mark.long
@pytest.mark.parametrize("name", ["r", "o1"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_kill_at_any_act_changes_nothing_in_the_end(name: str, after: bool) -> None:
    """SIGKILL before or after every seventh thing that others or the disk can see."""
    whole = World(Terms(seed=5, rounds=1))
    assert whole.run().broken == []
    acts = whole.nodes[name].acts
    assert acts > 100
    for act in range(1, acts, 7):
        world = World(Terms(seed=5, rounds=1))
        world.crashes[name] = act, after
        outcome = world.run()
        assert outcome.broken == [], (act, outcome.broken)
        assert (outcome.phase, outcome.rounds) == ("closed", 1), act


@pytest.mark.long
@pytest.mark.parametrize("first", range(1_000, 1_200, 20))
def test_seeds_hold(first: int) -> None:
    for seed in range(first, first + 20):
        hold(terms_of(seed, 5))


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2_000, 2_010))
def test_seeds_of_twenty_owners_hold(seed: int) -> None:
    hold(terms_of(seed, 20))
