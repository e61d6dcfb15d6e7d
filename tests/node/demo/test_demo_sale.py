"""The verdict on a demo's sale: figures that keep every promise pass, each broken one is found."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from kits.figures import GOOD, faults

from node.console.show import Pairs
from node.demo.outcome.report import as_json, as_parts
from node.demo.outcome.sale import SaleFigures
from node.demo.selling import ROWS, _share, _unseen
from node.demo.swarm.ledger import Gas

PRICE, FEES, GAS = 10**14, 49_000, 900_000

SALE = SaleFigures(
    offer="0x" + "9b" * 32,
    owners=len(GOOD.owners),
    rounds=len(GOOD.accuracies),
    epsilon=8.0,
    rows=20,
    same=20,
    bought=0.85,
    clear=0.85,
    seconds=20.0,
    price=PRICE,
    deposit=25 * PRICE,
    granted=20 * PRICE,
    redeemed=20 * PRICE,
    returned=5 * PRICE,
    held=0,
    buyer_before=10**19,
    buyer_after=10**19 - 20 * PRICE - FEES,
    buyer_fees=FEES,
    started=2 * 10**19,
    ended=2 * 10**19 - GAS,
    fees=GAS,
    gas={"open": Gas(1, 48_771), "redeem": Gas(1, 43_517)},
    failed_transactions=0,
    audited=True,
)


def test_what_keeps_every_promise_passes() -> None:
    assert faults(dataclasses.replace(GOOD, sale=SALE)) == []


LABELS = "the buyer got what the seller's model says in the clear"
PAID = "the seller was paid for each row, by one voucher"
LEFT = "no wei is left in the channel"
BUYER = "the buyer paid that and its gas, no more"
WEI = "wei in equals wei out over all accounts, gas counted"


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"same": 19}, [LABELS]),
        ({"bought": 0.8}, [LABELS]),
        ({"rows": 0, "same": 0}, [LABELS, PAID]),
        ({"owners": 4}, ["an offer shows from the chain who made its model"]),
        ({"granted": 19 * PRICE}, [PAID]),
        ({"redeemed": 19 * PRICE}, [PAID, LEFT, BUYER]),
        ({"returned": 4 * PRICE}, [LEFT]),
        ({"held": 1}, [LEFT]),
        ({"buyer_after": 10**19 - 20 * PRICE - FEES - 1}, [BUYER]),
        ({"ended": 2 * 10**19 - GAS - 1}, [WEI]),
        ({"fees": GAS + 1}, [WEI]),
        ({"failed_transactions": 1}, ["no transaction of the sale failed"]),
        ({"audited": False}, ["the audit finds no fault after the sale, either"]),
    ],
)
def test_each_broken_promise_is_found(changes: dict[str, Any], found: list[str]) -> None:
    assert faults(dataclasses.replace(GOOD, sale=dataclasses.replace(SALE, **changes))) == found


def test_it_is_shown_and_written() -> None:
    sold = dataclasses.replace(GOOD, sale=SALE)
    assert json.loads(json.dumps(as_json(sold, [])))["sale"]["redeemed"] == 20 * PRICE
    assert "sale" not in as_json(GOOD, [])
    shown = [part for part in as_parts(sold) if isinstance(part, Pairs)][-1]
    assert "epsilon 8" in dict(shown.rows)["sold"]


def test_rows_are_sold_without_what_they_are_to_be_told(tmp_path: Path) -> None:
    columns = [f"pixel_{row}_{column}" for row in range(8) for column in range(8)]
    with (tmp_path / "rows.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*columns, "digit"])
        writer.writerows([[number] * 64 + [number % 10] for number in range(30)])
    truth = _unseen("digit", tmp_path / "rows.csv", tmp_path / "unseen.csv")
    assert truth == [str(number % 10) for number in range(ROWS)]
    with (tmp_path / "unseen.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert (len(rows), list(rows[0])) == (ROWS, columns)
    assert _share(truth, truth) == 1.0
    assert _share(["x", *truth[1:]], truth) == 1 - 1 / ROWS
