"""What a job is said to take of gas is what the contract's gas table has."""

from __future__ import annotations

import dataclasses
import json

import pytest
from kits.books import make_job
from kits.paths import TESTS
from kits.specs import SPEC

from protocol.books.lists import Leaf
from protocol.books.whole import whole_pays
from protocol.cost import gas
from protocol.spec.job import JobSpec

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


@pytest.mark.parametrize(
    ("what", "rounds", "accounts"),
    [
        ("pay, 1 round, 256 owners", 1, 256),
        ("pay, 8 rounds, 256 owners", 8, 256),
        ("all of a job: pay", 10, 5),
    ],
)
def test_payment_of_whole_rounds_is_close(what: str, rounds: int, accounts: int) -> None:
    said = gas.pay_gas(rounds, accounts, rounds * accounts)
    assert 0.98 * TABLE[what] <= said <= 1.25 * TABLE[what]


def job(rounds: int, owners: int) -> JobSpec:
    training = dataclasses.replace(SPEC.training, rounds=rounds)
    return dataclasses.replace(
        SPEC, training=training, cohort=dataclasses.replace(SPEC.cohort, max_owners=owners)
    )


def test_a_job_is_counted_as_its_requester_pays() -> None:
    table = {name.rpartition(": ")[2]: used for name, used in TABLE.items() if "a job:" in name}
    claims = table.pop("claim, instead of pay")
    whole, claimed = gas.job_gas(job(10, 5)), gas.job_gas(job(10, 5), whole=False)
    used = sum(table.values())
    assert used <= whole.all <= 1.1 * used
    assert 0.98 * claims <= claimed.claim <= 1.25 * claims
    assert (whole.claim, claimed.pay, claimed.all - whole.all) == (0, 0, claimed.claim - whole.pay)


@pytest.mark.parametrize(("rounds", "owners"), [(20, 256), (255, 10), (255, 200), (1, 256)])
def test_payments_are_counted_as_they_are_made(rounds: int, owners: int) -> None:
    """The calls that are made of a job in which everybody contributes to every round."""
    made = make_job(owners)
    listed = [[Leaf(n, 0, bytes(32), bytes(32)) for n in range(owners)]] * rounds
    calls = whole_pays(made.cohort, listed, ())
    assert sum(call.rounds for call in calls) == rounds
    each = [gas.pay_gas(call.rounds, call.accounts, call.rounds * owners) for call in calls]
    assert gas.job_gas(job(rounds, owners)).pay == sum(each)


def test_more_accounts_than_a_payment_names_are_claimed_for() -> None:
    most, more = gas.job_gas(job(3, 256)), gas.job_gas(job(3, 257))
    assert (most.claim, more.pay) == (0, 0)
    assert more.claim == 257 * gas.claim_gas(3, 9)


def test_a_token_costs_an_approval_and_its_own_work() -> None:
    payment = dataclasses.replace(SPEC.payment, token=b"\x11" * 20)
    ether = gas.job_gas(SPEC)
    token = gas.job_gas(dataclasses.replace(SPEC, payment=payment))
    assert (ether.approve, token.approve) == (0, gas.APPROVE)
    assert token.posting == ether.posting + gas.APPROVE + gas.TRANSFER
    assert token.all > ether.all
    assert ether.all == ether.post + ether.enrol + ether.commit + ether.finish + ether.pay
    assert token.pay == ether.pay + SPEC.cohort.max_owners * gas.TRANSFER
