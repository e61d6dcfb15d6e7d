"""Money that moves by itself: a seller redeems in good time, a buyer takes its rest back; and what
a SIGKILL at any stored step of opening, redeeming and closing leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import trio
from kits.chain.devnet import CHAIN_ID, SIGNERS, Devnet
from kits.chain.sale_sides import PEER, PRICE, Life, buyer_of, grant, made_offer, seller_of
from kits.paths import ROOT, TESTS

from node.chain.channels.calls import ChannelState
from node.chain.client import ChainClient
from node.chain.deploy import deploy
from node.home.home import Home
from node.store.backup import snapshot
from node.store.sale import channels as stored
from node.store.store import Store
from protocol.errors import ChainError, PeerError
from protocol.sale import limits

pytestmark = pytest.mark.waits(60)

BUYER, SELLER = SIGNERS[2], SIGNERS[3]


@pytest.fixture
async def chain() -> AsyncIterator[Life]:
    """A devnet whose clock may be set ahead, of its own, with both contracts."""
    with Devnet() as devnet:
        client = await ChainClient.open(devnet.url, CHAIN_ID)
        bounty = await deploy(client, SIGNERS[7], "bounty")
        channels = await deploy(client, SIGNERS[7], "channel")
        client.close()
        yield Life(devnet, bounty, channels)


async def over(check: Callable[[], bool]) -> None:
    """Wait until `check()` holds; the test's limit ends what never does."""
    while not check():  # noqa: ASYNC110 - the chain and the store tell nobody
        await trio.sleep(0.05)


async def test_a_seller_redeems_and_a_buyer_takes_its_rest_back_by_themselves(
    chain: Life, tmp_path: Path
) -> None:
    with Store.open(tmp_path / "buyer") as bought, Store.open(tmp_path / "seller") as sold:
        async with (
            buyer_of(chain, BUYER, bought) as buying,
            seller_of(chain, SELLER, sold) as selling,
            trio.open_nursery() as nursery,
        ):
            offer = made_offer(chain, SELLER)
            some, whole, none = [await buying.opened(offer, 10 * PRICE) for _ in range(3)]
            for paying, rows in ((some, 3), (whole, 10), (none, 0)):
                await grant(chain, paying, selling, BUYER, rows)
            expiry = some.state.terms.expiry

            # Neither worth a transaction nor urgent: the first look redeems nothing.
            chain.pass_time(expiry - chain.now() - limits.SALE_REDEEM_SECONDS - 1800)
            standing = selling.served.standing
            waits = [selling.redeeming.due(c, s, 10**18) for c, s in standing.items()]
            assert waits == [False] * 3
            worth = [selling.redeeming.due(c, s, 3 * PRICE) for c, s in standing.items()]
            assert worth == [True, True, False]

            chain.pass_time(3600)  # well before the expiry still: 5.5 hours
            nursery.start_soon(selling.redeeming.run)
            await over(
                lambda: [s.redeemed for s in standing.values()] == [3 * PRICE, 10 * PRICE, 0]
            )
            assert chain.now() < expiry - 5 * 3600
            assert chain.ether(chain.channels) == 17 * PRICE

            # The buyer's node is down at the expiry: it is taken back when it next looks.
            chain.pass_time(expiry - chain.now() + 200)
            nonce = chain.devnet.nonce(BUYER.account)
            nursery.start_soon(buying.channels.run)
            await over(lambda: all(each.row.over for each in (some, whole, none)))
            # One that was redeemed to the last unit costs no transaction.
            assert chain.devnet.nonce(BUYER.account) == nonce + 2
            assert chain.ether(chain.channels) == 0
            found = [await selling.chain.look(each.state.terms) for each in (some, whole, none)]
            assert found == [
                ChannelState(10 * PRICE, 3 * PRICE, True),
                ChannelState(10 * PRICE, 10 * PRICE, False),
                ChannelState(10 * PRICE, 0, True),
            ]
            assert await bought.read(lambda tx: stored.channels(tx, "buyer", live=True)) == []
            nursery.cancel_scope.cancel()
        async with seller_of(chain, SELLER, sold) as selling, trio.open_nursery() as nursery:
            nursery.start_soon(selling.redeeming.run)
            await over(lambda: not selling.served.standing)
            nursery.cancel_scope.cancel()
        assert await sold.read(lambda tx: stored.channels(tx, "seller", live=True)) == []


async def test_a_channel_that_the_chain_does_not_show_is_not_given_up(
    chain: Life, tmp_path: Path
) -> None:
    with Store.open(tmp_path / "buyer") as bought:
        async with buyer_of(chain, BUYER, bought) as buying:
            paying = await buying.opened(made_offer(chain, SELLER), PRICE)
            look, behind = buying.chain.look, buying.nothing
            buying.chain.look = behind  # type: ignore[method-assign, assignment]
            chain.pass_time(3 * 86_400)
            with pytest.raises(ChainError, match="does not show"):
                await buying.channels.close(paying)
            assert not paying.row.over
            buying.chain.look = look  # type: ignore[method-assign]
            await buying.channels.close(paying)
    assert chain.ether(chain.channels) == 0


async def test_a_restored_home_uses_no_old_channel_and_gets_its_money_back(
    chain: Life, tmp_path: Path
) -> None:
    homes = {name: Home(tmp_path / name) for name in ("buyer", "seller", "buyer2", "seller2")}
    for home in homes.values():
        home.create()
    offer = made_offer(chain, SELLER)
    with (
        Store.open(homes["buyer"].database) as bought,
        Store.open(homes["seller"].database) as sold,
    ):
        async with (
            buyer_of(chain, BUYER, bought) as buying,
            seller_of(chain, SELLER, sold) as selling,
        ):
            paying = await buying.opened(offer, 10 * PRICE)
            await grant(chain, paying, selling, BUYER, 3)
            assert buying.channels.usable(offer) is paying
            channel = paying.row.channel
            assert (await selling.served.of(channel, PEER)).state.voucher.amount == 3 * PRICE
    for name in ("buyer", "seller"):
        assert snapshot.unpack(homes[f"{name}2"], snapshot.pack(homes[name]), "then") is not None
    with (
        Store.open(homes["buyer2"].database) as bought,
        Store.open(homes["seller2"].database) as sold,
    ):
        async with (
            buyer_of(chain, BUYER, bought) as buying,
            seller_of(chain, SELLER, sold) as selling,
            trio.open_nursery() as nursery,
        ):
            assert buying.channels.usable(offer) is None
            with pytest.raises(PeerError, match="restored from a backup"):
                await selling.served.of(channel, PEER)
            (left,) = buying.channels.all()
            await selling.redeeming.redeem(channel)
            assert selling.served.standing[channel].redeemed == 3 * PRICE
            chain.pass_time(3 * 86_400)
            nursery.start_soon(buying.channels.run)
            await over(lambda: bool(left.row.over))
            nursery.cancel_scope.cancel()
    assert chain.ether(chain.channels) == 0


@pytest.mark.parametrize(
    ("when", "most"),
    [
        ("before", 2),
        pytest.param("before", 99, marks=pytest.mark.ci),
        pytest.param("after", 99, marks=pytest.mark.ci),
    ],
)
async def test_a_kill_at_any_step_of_the_chain_opens_redeems_and_closes_once(
    chain: Life, tmp_path: Path, when: str, most: int
) -> None:
    paths = os.pathsep.join([str(ROOT), str(TESTS)])
    given = json.dumps(
        [
            chain.devnet.url,
            chain.bounty.hex(),
            chain.channels.hex(),
            str(tmp_path),
            when,
            most,
            BUYER.number,
            SELLER.number,
        ]
    )

    def lives() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "kits.chain.sale_lives", given],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": paths},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    ended = await trio.to_thread.run_sync(lives)
    assert ended.returncode == 0, ended.stderr[-4000:]
    told = json.loads(ended.stdout.splitlines()[-1])
    # So many lives were killed, each at another commit; what each left was carried to its end.
    assert all(told[name] >= min(most, 3) for name in ("open", "redeem", "close")), told
