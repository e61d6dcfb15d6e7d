"""Several jobs at once, honest and hostile: whatever is tried, the balance covers what is owed."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck
from hypothesis.stateful import run_state_machine_as_test
from kits.examples import examples
from kits.solvency import Bounties


class VenomBounties(Bounties):
    experimental = True


@pytest.mark.parametrize(
    ("machine", "part"),
    [
        pytest.param(Bounties, 0.1, id="legacy"),
        pytest.param(VenomBounties, 0.05, id="venom", marks=pytest.mark.ci),
    ],
)
def test_money_out_never_exceeds_money_in_whoever_tries_what(
    machine: type[Bounties], part: float
) -> None:
    # Calls to the chain take their time, whatever is drawn.
    run_state_machine_as_test(machine, settings=examples(part, steps=20, allow=list(HealthCheck)))
