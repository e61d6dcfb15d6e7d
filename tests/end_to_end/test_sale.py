"""A model's use sold between real daemons: bought row by row, paid by voucher, redeemed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import trio
from kits.daemons import clouds
from kits.daemons.jobs import stored
from kits.daemons.processes import Daemon, Swarm, until
from kits.daemons.sales import PRICE, channels, granted, predictions, put_on_sale

from node.chain.channels.calls import ChannelState, held, question

pytestmark = pytest.mark.waits(120)


@dataclass
class Market:
    """A swarm whose requester sells the model of a finished job; owner 0 buys."""

    swarm: Swarm
    job: str
    offer: str

    @property
    def seller(self) -> Daemon:
        return self.swarm.requester

    @property
    def buyer(self) -> Daemon:
        return self.swarm.owners[0]


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    swarm = Swarm(tmp_path_factory.mktemp("sale"), owners=5)
    try:
        yield Market(swarm, *put_on_sale(swarm, rounds=2, accuracy=0.99))
    finally:
        swarm.destroy()


def test_an_offer_is_found_and_says_where_it_comes_from(market: Market) -> None:
    listed = market.buyer.command("offers")
    assert market.offer[:10] in listed.stdout, listed
    shown = market.buyer.call("sale.show", offer=market.offer)
    assert (shown["posted"], shown["sold_by_requester"], shown["finished"]) == (True, True, True)
    assert (shown["owners"], shown["rounds"], shown["problem"]) == (5, 2, "")
    assert shown["columns"] == ["x_0", "x_1"]


def test_labels_are_bought_within_a_budget_and_are_the_sellers_own(
    market: Market, tmp_path: Path
) -> None:
    rows = clouds.write_csv(tmp_path / "new.csv", seed=7, rows=12)
    bought, own = tmp_path / "bought.csv", tmp_path / "own.csv"
    words = ("predict", market.offer[:14], str(rows), "-o", str(bought), "--yes", "--force")
    some = market.buyer.command(*words, "--budget", f"{5 * PRICE + 1} wei")
    assert some.returncode == 6, some
    assert [bool(each) for each in predictions(bought)] == 5 * [True] + 7 * [False]

    # The same command goes on: rows that were bought are not bought again.
    rest = market.buyer.command("--json", *words, "--budget", "1 ether")
    assert rest.returncode == 0, rest
    said = json.loads(rest.stdout)
    assert (said["asked"], said["spent"], said["prepared"]["bought"]) == (7, str(7 * PRICE), 5)
    again = json.loads(market.buyer.command("--json", *words, "--budget", "1 ether").stdout)
    assert (again["asked"], again["spent"]) == (0, "0")

    local = market.seller.command("predict", market.job, str(rows), "-o", str(own))
    assert local.returncode == 0, local
    assert predictions(bought) == predictions(own)

    wanted = [5 * PRICE, 7 * PRICE]
    for side in (market.buyer, market.seller):
        there = partial(lambda side: sorted(granted(side).values()) == wanted, side)
        trio.run(until, there, 60, "what was answered is granted, on both sides")
    assert granted(market.seller) == granted(market.buyer)
    # Neither a seed nor a weight lies open in a store.
    for daemon in (market.seller, market.buyer):
        bodies = stored(daemon, "SELECT body FROM sale_channels")
        assert bodies
        assert not any(bytes(channel) in body for (body,) in bodies for (channel,) in
                       stored(daemon, "SELECT channel FROM sale_channels"))  # fmt: skip


def test_what_is_granted_becomes_money(market: Market) -> None:
    before = sum(int(c["redeemed"]) for c in channels(market.seller))
    owed = sum(int(c["granted"]) - int(c["redeemed"]) for c in channels(market.seller))
    redeemed = market.seller.command("redeem")
    if not owed:
        assert redeemed.returncode == 6
        return
    assert redeemed.returncode == 0, redeemed
    assert sum(int(c["redeemed"]) for c in channels(market.seller)) == before + owed
    assert market.seller.command("redeem").returncode == 6


def on_chain(market: Market, channel: str) -> ChannelState | None:
    """What the contract holds of a channel."""
    contract = market.swarm.channels
    assert contract is not None
    data = "0x" + question(bytes.fromhex(channel.removeprefix("0x"))).hex()
    call = {"to": "0x" + contract.hex(), "data": data}
    told = market.swarm.chain.rpc("eth_call", call, "latest")
    return held(bytes.fromhex(told.removeprefix("0x")))


async def test_the_rest_of_a_channel_comes_back_at_once_with_the_sellers_signature(
    market: Market, tmp_path: Path
) -> None:
    """The buyer is killed in the middle of a file, and wants no more of it."""
    buyer = market.buyer
    rows = clouds.write_csv(tmp_path / "many.csv", seed=99, rows=30)
    told = buyer.call("sale.prepare", offer=market.offer, path=str(rows))
    known = {c["channel"] for c in channels(buyer)}

    def some() -> bool:
        given = {"purchase": told["purchase"], "budget": str(30 * PRICE)}
        return bool(buyer.call("sale.buy", **given)["asked"])

    await until(some, 60, "a row is bought")
    buyer.kill()
    await buyer.start()
    await until(lambda: buyer.call("peers") != [], 60, "both are connected again")
    (channel,) = (c["channel"] for c in channels(buyer) if c["channel"] not in known)
    assert on_chain(market, channel) == ChannelState(30 * PRICE, 0, False)
    assert "assay reclaim" in buyer.command("purchases").stdout

    gone = await trio.to_thread.run_sync(buyer.command, "reclaim", channel[:12])
    assert gone.returncode == 0, gone
    (own,) = (c for c in channels(buyer) if c["channel"] == channel)
    assert own["state"] == "closed"
    paid = int(own["granted"])
    assert 0 < paid < 30 * PRICE
    # The contract pays the seller what it is granted, and the buyer the rest (tests/contract).
    assert on_chain(market, channel) == ChannelState(30 * PRICE, paid, True)
    again = buyer.command("reclaim", channel[:12])
    assert again.returncode == 6
    assert "closed already" in again.stderr
    assert buyer.command("reclaim", "0x" + 8 * "0").returncode == 2
    # The seller holds the last voucher too, and finds it redeemed.
    (theirs,) = (c for c in channels(market.seller) if c["channel"] == channel)
    assert (theirs["granted"], theirs["left"]) == (str(paid), "0")
    # What was bought stays; the next command asks over another channel.
    out = tmp_path / "out.csv"
    words = ("predict", market.offer[:14], str(rows), "-o", str(out), "--yes", "--budget")
    rest = buyer.command("--json", *words, f"{2 * PRICE} wei")
    assert rest.returncode == 6, rest
    said = json.loads(rest.stdout)
    assert said["prepared"]["bought"] == paid // PRICE
    assert said["asked"] == 2


def test_an_offer_is_withdrawn(market: Market) -> None:
    made = market.seller.call("sale.offer", job=market.job, price="7", scores=True)
    other = made["offer"]["offer"]
    listed = market.buyer.call("sale.offers")["offers"]
    assert other in [each["offer"] for each in listed]
    assert market.seller.command("offer", "withdraw", other).returncode == 0
    listed = market.buyer.call("sale.offers")["offers"]
    assert other not in [each["offer"] for each in listed]
