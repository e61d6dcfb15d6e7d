"""The sale of the demo's model: offered, bought from by the row, paid for, all by commands."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from node.console.amounts import money
from node.console.failure import Failure
from node.control.codes import Exit
from node.demo.outcome.sale import SaleFigures
from node.demo.screen import Screen
from node.demo.swarm.ledger import Sent, by_kind
from node.demo.swarm.user import User
from node.demo.swarm.world import FUND, World
from protocol.amounts import format_amount

#: What a row costs, and how many are bought.
PRICE: Final = 10**14
ROWS: Final = 20

#: The most that the buyer lets the file cost: more than it will.
_BUDGET: Final = 25 * PRICE

#: An offer travels, and a channel's rest returns, within seconds; looks are half a minute apart.
_SECONDS: Final = 120.0
_POLL_SECONDS: Final = 0.5

#: A buyer waits so long after the expiry, so that clocks that differ close nothing early.
_GRACE_SECONDS: Final = 180


def sell(
    answer: str,
    job: str,
    model: Path,
    world: World,
    folder: Path,
    screen: Screen,
    audit: Callable[[], bool],
) -> SaleFigures:
    """Sell labels of a job that is over for rows that nobody trained on; `answer` is the column
    that is to be told, `model` the model's file in the clear, which its requester alone has. Raises
    Failure where the sale cannot go on."""
    buyer, seller = world.buyer, world.requester
    if buyer is None:
        raise Failure(Exit.INTERNAL, "a sale without a buyer")
    screen.stage("the requester offers its model, and a stranger buys labels of it")
    # Not a row of theirs was trained on: this owner stayed out.
    unseen = folder / "unseen.csv"
    truth = _unseen(answer, folder / f"{world.owners[-1].name}.csv", unseen)
    price = format_amount(PRICE)
    sold = seller.command("offer", job, "--price", price, "--yes")
    offer = str(sold["offer"]["offer"])
    screen.note(f"assay offer {job[:10]} --price '{price}'")
    screen.note(str(sold["offer"]["warning"]))
    shown = _known(buyer, offer)
    screen.note(
        f"assay offers show {offer[:10]}, at the buyer: {shown['owners']} owners, "
        f"{shown['rounds']} rounds, epsilon {shown['epsilon']}"
    )
    before = world.ledger.balance(buyer.account)
    began = time.monotonic()
    out, budget = folder / "bought.csv", format_amount(_BUDGET)
    screen.note(f"assay predict {offer[:10]} unseen.csv --budget '{budget}'")
    told = buyer.command(
        "predict", offer, str(unseen), "--out", str(out), "--budget", budget, "--yes"
    )
    seconds = time.monotonic() - began
    bought = _predictions(out)
    clear_file = folder / "clear.csv"
    seller.command("predict", str(model), str(unseen), "--out", str(clear_file))
    clear = _predictions(clear_file)
    same = sum(mine == theirs for mine, theirs in zip(bought, clear, strict=True))
    screen.note(
        f"{told['asked']} labels in {seconds:.1f} s; {same} are what the seller's model says"
    )

    screen.stage("the seller redeems one voucher")
    seller.command("redeem")
    channel = _channel(seller, "sales")
    redeemed = int(channel["redeemed"])
    screen.note(f"assay redeem: {money(redeemed)} for {channel['answers']} answers")
    if redeemed < int(channel["deposit"]):
        _take_back(buyer, channel, world, screen)
    sent = world.ledger.sent(world.contract, world.channels)
    of_channels = [tx for tx in sent if tx.kind in ("open", "redeem", "close")]
    after = world.ledger.balance(buyer.account)
    fees = sum(tx.fee for tx in sent if tx.sender == buyer.account.lower())
    deposit = int(channel["deposit"])
    return SaleFigures(
        offer=offer,
        owners=int(shown["owners"] or 0),
        rounds=int(shown["rounds"] or 0),
        epsilon=shown["epsilon"],
        rows=ROWS,
        same=same,
        bought=_share(bought, truth),
        clear=_share(clear, truth),
        seconds=seconds,
        price=PRICE,
        deposit=deposit,
        granted=int(channel["granted"]),
        redeemed=redeemed,
        returned=deposit - (before - after - fees),
        held=world.ledger.balance(world.channels),
        buyer_before=before,
        buyer_after=after,
        buyer_fees=fees,
        started=2 * FUND,
        ended=_all(world),
        fees=sum(tx.fee for tx in sent),
        gas=by_kind(of_channels),
        failed_transactions=_failed(of_channels),
        audited=audit(),
    )


def _unseen(answer: str, source: Path, target: Path) -> list[str]:
    """Write the first rows of a file without what they are to be told; returns that."""
    with source.open(newline="", encoding="utf-8") as file:
        rows = [row for row, _ in zip(csv.DictReader(file), range(ROWS), strict=False)]
    columns = [name for name in rows[0] if name != answer]
    with target.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return [row[answer] for row in rows]


def _known(buyer: User, offer: str) -> dict[str, Any]:
    """What the buyer's node shows of an offer, once that has come to it."""

    def there() -> bool:
        found = buyer.command("offers")
        return any(each["offer"] == offer for each in found["offers"])

    _until(there, "the offer reaches the buyer")
    shown: dict[str, Any] = buyer.command("offers", "show", offer)
    return shown


def _take_back(buyer: User, channel: dict[str, Any], world: World, screen: Screen) -> None:
    """What was not asked for returns to the buyer once the channel has expired."""
    ahead = max(0, int(channel["expiry"]) - world.ledger.now()) + _GRACE_SECONDS
    screen.note("the rest returns at the expiry, to which this chain's clock is set ahead")
    world.ledger.advance(ahead)
    _until(lambda: _channel(buyer, "purchases")["state"] == "closed", "the channel is closed")


def _channel(user: User, command: str) -> dict[str, Any]:
    """The one channel of this run, as one side shows it."""
    found: dict[str, Any] = user.command(command)["channels"][0]
    return found


def _predictions(path: Path) -> list[str]:
    with path.open(newline="", encoding="utf-8") as file:
        return [row["prediction"] for row in csv.DictReader(file)]


def _share(found: list[str], truth: list[str]) -> float:
    return sum(mine == right for mine, right in zip(found, truth, strict=True)) / len(truth)


def _all(world: World) -> int:
    """Wei of every account and both contracts."""
    accounts = [*(user.account for user in world.users), world.contract, world.channels]
    return sum(world.ledger.balance(account) for account in accounts)


def _failed(sent: list[Sent]) -> int:
    return sum(not tx.succeeded for tx in sent)


def _until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise Failure(Exit.FAULT, f"not within {_SECONDS:g} s: {what}")
        time.sleep(_POLL_SECONDS)
