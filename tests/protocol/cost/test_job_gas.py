"""What a job is said to take of gas is what the contract's gas table has."""

from __future__ import annotations

import dataclasses
import json

import pytest
from kits.paths import TESTS
from kits.specs import SPEC

from protocol.cost import gas

TABLE = json.loads((TESTS / "contract" / "gas.json").read_text())["legacy"]


@pytest.mark.parametrize("owners", [10, 4096])
@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("post, ether", gas.POST),
        ("enrol, first", gas.ENROL),
        ("commit, next", gas.COMMIT),
        ("claim, 1 round", 1),
        ("claim, 20 rounds", 20),
        ("claim, 32 rounds", 32),
    ],
)
def test_the_estimate_is_no_less_and_not_much_more(what: str, said: int, owners: int) -> None:
    measured = TABLE[f"{what}, {owners} owners"]
    if what.startswith("claim"):
        said = gas.claim_gas(said, (owners - 1).bit_length())
    # A contract that becomes cheaper is no fault of this table; a dearer one is.
    assert 0.98 * measured <= said <= 2 * measured


def test_a_token_costs_an_approval_and_its_own_work() -> None:
    payment = dataclasses.replace(SPEC.payment, token=b"\x11" * 20)
    ether = gas.job_gas(SPEC)
    token = gas.job_gas(dataclasses.replace(SPEC, payment=payment))
    assert (ether.approve, token.approve) == (0, gas.APPROVE)
    assert token.posting == ether.posting + gas.APPROVE + gas.TRANSFER
    assert token.all > ether.all
    assert ether.all == ether.post + ether.enrol + ether.commit + ether.finish + ether.claim
