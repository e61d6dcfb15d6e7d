"""The demo's verdict: figures that keep every promise pass, and each broken one is found."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest
from kits.figures import ESCROW, ETHER, FEES, GOOD, PAID, RETURNED, ROUNDS, faults, owner

from node.console.show import Pairs
from node.demo.outcome.report import (
    Figures,
    Outsider,
    RequesterMoney,
    Sums,
    as_json,
    as_parts,
)
from node.demo.outcome.verdict import TOLERANCE, as_table, judge
from node.demo.swarm.ledger import Gas, Sent, by_kind


def test_what_keeps_every_promise_passes() -> None:
    assert faults(GOOD) == []


def one(**changes: Any) -> Callable[[], Figures]:
    return lambda: dataclasses.replace(GOOD, **changes)


def first_owner(**changes: Any) -> Callable[[], Figures]:
    return one(owners=(owner(1, **changes), *GOOD.owners[1:]))


ACCURACY = "accuracy is within 2 points of pooled training"
SUMS = "sums alone were opened, by owners' shares"
MONEY = "money in equals money out"
BALANCES = "every owner of the job was paid, on the chain"
REQUESTER = "the requester paid that and the gas, no more"
AUDIT = "the audit finds no fault"
OUT = "owner-6 stayed out, and says why"


@pytest.mark.parametrize(
    ("broken", "found"),
    [
        (one(state="failed", reason="too many attempts"), ["the job finished"]),
        (one(accuracies=(0.8, 0.95)), ["the job finished", SUMS]),
        (one(accuracies=()), ["the job finished", ACCURACY, SUMS]),
        (one(sums=Sums(ROUNDS - 1, 1, 15, 75, 4, 1)), [SUMS]),
        (one(sums=Sums(ROUNDS, 0, 11, 55, 4, 1)), [SUMS]),
        (one(accuracies=(0.8, 0.9, 0.9399)), [ACCURACY]),
        (one(returned=RETURNED - 1), [MONEY, REQUESTER]),
        (one(escrowed=ESCROW + 1), [MONEY, REQUESTER]),
        (one(held=1), ["the contract is empty"]),
        (first_owner(balance_after=PAID - 1), [BALANCES]),
        (first_owner(balance_after=0, claimed=0), [MONEY, BALANCES]),
        (first_owner(balance_before=5, balance_after=PAID + 5), ["owners needed no ether"]),
        (one(owners=()), [MONEY, BALANCES]),
        (one(requester=RequesterMoney(10 * ETHER, 9 * ETHER, FEES)), [REQUESTER]),
        (one(audit={"ok": False, "checks": GOOD.audit["checks"]}), [AUDIT]),
        (one(audit={"ok": True, "checks": []}), [AUDIT]),
        (one(outsider=Outsider("owner-6", "running", "", 0)), [OUT]),
        (one(outsider=Outsider("owner-6", "waiting", "", 0)), [OUT]),
        (one(outsider=Outsider("owner-6", "waiting", "it pays too little", 1)), [OUT]),
        (one(failed_transactions=1), ["no transaction failed"]),
        (one(unclean=("owner-2 ended with -9",)), ["every process ended when asked"]),
    ],
)
def test_each_broken_promise_is_found(broken: Callable[[], Figures], found: list[str]) -> None:
    assert faults(broken()) == found


def test_the_tolerance_is_met_exactly() -> None:
    limit = 0.96 - TOLERANCE
    assert faults(dataclasses.replace(GOOD, accuracies=(0.5, 0.5, limit))) == []
    assert faults(dataclasses.replace(GOOD, accuracies=(0.5, 0.5, limit - 0.001))) == [ACCURACY]
    assert faults(dataclasses.replace(GOOD, accuracies=(0.5, 0.5, 1.0))) == []


def test_json_has_what_a_program_reads() -> None:
    result = json.loads(json.dumps(as_json(GOOD, [])))
    assert result["accuracy"] == 0.95
    assert result["pooled_accuracy"] == 0.96
    assert result["rounds"] == ROUNDS
    assert result["paid"] == {each.account: PAID for each in GOOD.owners}
    assert result["escrowed"] == sum(result["paid"].values()) + result["returned"]
    assert result["gas"]["commit"] == {"transactions": ROUNDS, "gas": 390_000}
    assert result["bytes_per_owner"] == {each.account: 40_000 for each in GOOD.owners}
    assert result["seconds"]["total"] == 100.0
    assert result["audit"]["ok"] is True
    assert result["ok"] is True
    assert as_json(GOOD, ["money"])["ok"] is False


def test_a_run_that_ended_early_can_still_be_shown() -> None:
    empty = dataclasses.replace(GOOD, accuracies=(), owners=(), gas={}, memory={})
    assert as_parts(empty)
    assert len(as_table(judge(empty)).rows) == len(judge(empty))


def test_gas_is_summed_by_kind() -> None:
    sent = [
        Sent("0xaa", kind, 0, gas, gas * 7, True)
        for kind, gas in (("post", 5), ("claim", 10), ("claim", 21))
    ]
    assert by_kind(sent) == {"post": Gas(1, 5), "claim": Gas(2, 31)}
    assert by_kind(sent)["claim"].each == 15


def test_it_says_what_the_promise_rests_on() -> None:
    shown = as_parts(GOOD)[-1]
    assert isinstance(shown, Pairs)
    said = dict(shown.rows)["rests on"]
    assert said.startswith(
        "nobody reads one owner's gradient while at most 1 of a block's 5 owners"
    )
    assert "works for the requester: 4 of 5 must release their shares" in said
    (found,) = [each for each in judge(GOOD) if each.name == SUMS]
    assert found.detail == "3 of 3 sums, each by shares of at least 4 of 5 owners"
