"""What the sale of a demo's model came to: its figures, and whether they are what was promised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from node.console.amounts import money
from node.console.show import Pairs, Part
from node.demo.swarm.ledger import Gas


@dataclass(frozen=True)
class SaleFigures:
    """Amounts in wei, accuracies in [0, 1].

    `rows` were asked, of which `same` were answered as the seller's model answers in the clear.
    `bought` and `clear` are the accuracies of both. `granted` is what the buyer signed for,
    `redeemed` what the contract paid for it, `returned` the rest of the deposit. `buyer`: its
    account before and after, and its gas. `started` is all wei that the run's accounts began with,
    `ended` what they and the contracts hold in the end, `fees` all gas of the chain.

    `owners`, `rounds` and `epsilon` are what `offers show` says of the model's making.
    """

    offer: str
    owners: int
    rounds: int
    epsilon: float | None
    rows: int
    same: int
    bought: float
    clear: float
    seconds: float
    price: int
    deposit: int
    granted: int
    redeemed: int
    returned: int
    held: int
    buyer_before: int
    buyer_after: int
    buyer_fees: int
    started: int
    ended: int
    fees: int
    gas: Mapping[str, Gas]
    failed_transactions: int
    audited: bool


def findings_of(f: SaleFigures, owners: int, rounds: int) -> list[tuple[str, bool, str]]:
    """Each promise of a sale: its words, whether it held, by which figures. `owners` and `rounds`
    are the job's own."""
    due = f.rows * f.price
    spent, owed = f.buyer_before - f.buyer_after, f.redeemed + f.buyer_fees
    return [
        (
            "the buyer got what the seller's model says in the clear",
            0 < f.rows == f.same and f.bought == f.clear,
            f"{f.same} of {f.rows} labels; accuracy {_percent(f.bought)} and {_percent(f.clear)}",
        ),
        (
            "an offer shows from the chain who made its model",
            (f.owners, f.rounds) == (owners, rounds),
            f"{f.owners} owners, {f.rounds} rounds",
        ),
        (
            "the seller was paid for each row, by one voucher",
            f.granted == f.redeemed == due > 0,
            f"{money(f.redeemed)} for {f.rows} rows of {money(f.price)}",
        ),
        (
            "no wei is left in the channel",
            f.deposit == f.redeemed + f.returned and f.held == 0,
            f"{money(f.deposit)} = {money(f.redeemed)} paid + {money(f.returned)} returned",
        ),
        (
            "the buyer paid that and its gas, no more",
            spent == owed,
            f"{spent / 10**18:.6f} ether gone, {owed / 10**18:.6f} ether due",
        ),
        (
            "wei in equals wei out over all accounts, gas counted",
            f.started == f.ended + f.fees,
            f"{f.started} = {f.ended} held + {f.fees} for gas",
        ),
        ("no transaction of the sale failed", f.failed_transactions == 0, f"{_count(f)} in all"),
        (
            "the audit finds no fault after the sale, either",
            f.audited,
            "the job's books again" if f.audited else "a fault, or no audit",
        ),
    ]


def as_parts(f: SaleFigures) -> list[Part]:
    """For a person."""
    epsilon = "no epsilon" if f.epsilon is None else f"epsilon {f.epsilon:g}"
    gas = ", ".join(f"{kind} {used.each:,}" for kind, used in f.gas.items())
    return [
        Pairs(
            [
                ("sold", f"{f.rows} labels at {money(f.price)}: {f.owners} owners, {epsilon}"),
                (
                    "labels",
                    f"{_percent(f.bought)} right; the model in the clear {_percent(f.clear)}",
                ),
                ("took", f"{f.seconds:.1f} s, {f.seconds / max(1, f.rows):.2f} s a label"),
                (
                    "deposit",
                    f"{money(f.deposit)}: {money(f.redeemed)} redeemed, {money(f.returned)} back",
                ),
                ("sale's gas", gas),
            ]
        )
    ]


def _count(f: SaleFigures) -> str:
    return str(sum(used.transactions for used in f.gas.values()))


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"
