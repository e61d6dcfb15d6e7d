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


#: In seed 1036 the event of `finish` is shown after its receipt, when all machines are over.
@pytest.mark.parametrize("seed", [2, pytest.param(6, marks=pytest.mark.ci), 7, 1036])
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


@pytest.mark.parametrize("name", ["r", "o1"])
@pytest.mark.parametrize("seconds", [-3600, 3600], ids=["slow", "fast"])
def test_a_clock_that_is_an_hour_off_costs_nothing(name: str, seconds: int) -> None:
    """Not even an attempt; and it is said."""
    world = World(Terms(seed=8, rounds=1))
    inject = world._inject

    def off() -> None:
        world.nodes[name].skew = seconds
        inject()

    world._inject = off  # type: ignore[method-assign]
    outcome = world.run()
    assert (outcome.broken, outcome.phase, outcome.rounds) == ([], "closed", 1)
    assert not [line for line in outcome.log if "attempt-failed" in line]
    way = "ahead of" if seconds > 0 else "behind"
    said = [line for line in outcome.log if f"60.0 minutes {way} the chain's" in line]
    assert [line.split()[1] for line in said] == [name]


@pytest.mark.long
@pytest.mark.parametrize("seed", range(6))
def test_clocks_that_are_set_an_hour_off_end_no_job(seed: int) -> None:
    outcome = hold(Terms(seed=seed, faults=("clocks-far",)))
    assert (outcome.phase, outcome.rounds) == ("closed", 3)


_PHASES = {
    "r": ("ready", "freeze", "contribute", "commit", "unmask", "apply"),
    "o1": ("open", "ready", "freeze", "contribute", "commit", "apply"),
}


@pytest.mark.long
@pytest.mark.parametrize(("name", "phase"), [(n, p) for n, all_ in _PHASES.items() for p in all_])
@pytest.mark.parametrize("noisy", [False, True], ids=["bare", "noisy"])
def test_a_stop_of_ten_minutes_in_any_phase_ends_no_job(name: str, phase: str, noisy: bool) -> None:
    """SIGSTOP, as a laptop's lid: everybody is paid in the end, for every round."""
    block = 6 if noisy else 5
    terms = Terms(seed=6, owners=block, block=block, rounds=2, noisy=noisy, dropouts=int(noisy))
    world = World(terms)
    world.stops[name] = phase, 600.0
    outcome = world.run()
    assert any("is stopped for 600 s" in line for line in outcome.log)
    assert (outcome.broken, outcome.phase, outcome.rounds) == ([], "closed", 2)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(8))
def test_a_reorganisation_past_finality_loses_nobody_money(seed: int) -> None:
    """A job may end by it, where the roots of its blocks move; what the chain holds is paid."""
    outcome = hold(Terms(seed=seed, faults=("reorganised-deep",)))
    assert outcome.phase in ("closed", "failed")


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
