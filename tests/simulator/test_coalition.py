"""A coalition below the threshold opens no single contribution, whatever it does.

Hypothesis plays a hostile requester with a corrupt member against honest nodes, and after every
step everything that it holds is tried (simulator.spy). test_defences.py switches defences off, one
by one, and shows that the same trying then succeeds: so the property can fail.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck
from kits.coalitions import Coalitions, coalition
from kits.examples import examples

# --- what it may open, it opens


@pytest.mark.parametrize("noisy", [True, False], ids=["noise", "no noise"])
def test_the_sum_of_a_whole_block_is_all_that_it_gets(noisy: bool) -> None:
    them = coalition(1, noisy)
    place, roster = them.play(0, 0, model := them.model(0))
    assert them.gains() == []
    everybody = them.members(them.world.owners)
    them.commit(place, model, them.list_of(roster, everybody), them.honest, on_chain=True)
    assert them.gains() == []
    them.wait(6_000)
    assert them.gains() == [len(them.honest)]
    them.check_truth()


def test_with_a_dropout_the_sum_of_the_others_is_all_that_it_gets() -> None:
    them = coalition(2, noisy=True)
    place, roster = them.play(0, 0, model := them.model(0))
    listed = them.members(them.world.owners[:-1])
    them.commit(place, model, them.list_of(roster, listed), them.honest, on_chain=True)
    them.wait(6_000)
    assert them.gains() == [len(them.honest) - 1]
    them.check_truth()


# --- the property


TestCoalitions = Coalitions.TestCase
TestCoalitions.settings = examples(0.15, steps=15, allow=[HealthCheck.data_too_large])
