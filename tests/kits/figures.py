"""Figures of a demo that kept every promise, and what a verdict finds wrong with others."""

from __future__ import annotations

import dataclasses
from typing import Any

from node.demo.outcome.report import Figures, Outsider, OwnerFigures, RequesterMoney, Sums
from node.demo.outcome.verdict import judge
from node.demo.swarm.ledger import Gas

ETHER = 10**18

RATE = 2 * 10**15

ROUNDS = 3

MERIT = 10**16

PAID = ROUNDS * RATE + MERIT

ESCROW = 6 * ROUNDS * RATE + 5 * MERIT

RETURNED = ESCROW - 5 * PAID

FEES = 123_456_789


def owner(number: int, **changes: Any) -> OwnerFigures:
    figures = OwnerFigures(
        name=f"owner-{number}",
        account="0x" + f"{number:02x}" * 20,
        rows=100 + number,
        contributions=ROUNDS,
        rate=ROUNDS * RATE,
        merit=MERIT,
        claimed=PAID,
        balance_before=0,
        balance_after=PAID,
        batches=3 * 3852,
        sent=40_000,
    )
    return dataclasses.replace(figures, **changes)


GOOD = Figures(
    data="digits",
    model="softmax",
    seed=1,
    job="0x" + "5a" * 32,
    state="finished",
    reason="",
    rounds_planned=ROUNDS,
    sums=Sums(opened=ROUNDS, closed=0, releases=5 * ROUNDS - 1, shares=70, threshold=4, corrupt=1),
    accuracies=(0.8, 0.9, 0.95),
    pooled_accuracy=0.96,
    owners=tuple(owner(number) for number in range(1, 6)),
    outsider=Outsider("owner-6", "waiting", "it pays too little", 0),
    escrowed=ESCROW,
    returned=RETURNED,
    held=0,
    requester=RequesterMoney(10 * ETHER, 10 * ETHER - ESCROW + RETURNED - FEES, FEES),
    gas={"post": Gas(1, 200_000), "commit": Gas(ROUNDS, 390_000)},
    failed_transactions=0,
    audit={"ok": True, "checks": [{"name": "money", "ok": True, "detail": "adds up"}]},
    memory={"requester": 120 << 20, "owner-1": 110 << 20},
    seconds={"start": 30.0, "total": 100.0},
    round_seconds={"ready": 1.0},
)


def faults(figures: Figures) -> list[str]:
    return [finding.name for finding in judge(figures) if not finding.ok]
