"""A payment channel on anvil, whose chain turns around its opening and its redemption: each is on
the chain once in the end, and both sides are paid to the last wei."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from kits.anvil import Anvil
from kits.chain.channels import side, voucher
from kits.chain.devnet import SIGNERS
from kits.daemons.processes import CHAIN_ID, until

from node.chain.channels.calls import ChannelState
from node.chain.client import ChainClient
from node.chain.deploy import deploy
from node.chain.intents.intents import Intents
from node.chain.intents.sequencer import IntentPolicy
from node.store.store import Store

pytestmark = [pytest.mark.long, pytest.mark.waits(120)]

BUYER, SELLER, FOUNDER = SIGNERS[:3]
DEPOSIT, PAID = 10**15, 3 * 10**14
DAY = 86_400

#: Final three blocks deep: what is turned below that was mined, and never final.
POLICY = IntentPolicy(depth=3, interval=0.2)


@pytest.fixture
async def chain(tmp_path: Path) -> AsyncIterator[Anvil]:
    chain = Anvil(tmp_path, [each.account for each in (BUYER, SELLER, FOUNDER)])
    chain.launch()
    try:
        await until(chain.answers, 60, "anvil answers")
        yield chain
    finally:
        chain.destroy()


async def mined(intents: Intents, ident: str) -> None:
    """Wait until a call stands in a block, and is not final."""
    with trio.fail_after(60):
        while True:
            outcome = await intents.get(ident)
            if outcome is not None and outcome.state == "mined":
                return
            await trio.sleep(0.05)


def balance(chain: Anvil, account: bytes) -> int:
    return int(chain.rpc("eth_getBalance", "0x" + account.hex(), "latest"), 16)


@pytest.mark.parametrize("depth", [1, 2], ids=["one", "two"])
async def test_reorganisations_around_opening_and_redemption(
    chain: Anvil, tmp_path: Path, depth: int
) -> None:
    client = await ChainClient.open(chain.url, CHAIN_ID)
    bounty = await deploy(client, FOUNDER, "bounty")
    contract = await deploy(client, FOUNDER, "channel")
    client.close()
    await until(lambda height=chain.height: chain.height > height + depth, 60, "blocks on top")
    expiry = int(chain.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16) + DAY
    with Store.open(tmp_path / "buyer") as bought, Store.open(tmp_path / "seller") as sold:
        options = {"chain_id": CHAIN_ID, "policy": POLICY}
        async with (
            side(chain, bounty, BUYER, bought, contract, **options) as (mine, buys),  # type: ignore[arg-type]
            side(chain, bounty, SELLER, sold, contract, **options) as (theirs, sells),  # type: ignore[arg-type]
            trio.open_nursery() as nursery,
        ):
            held = {each.account: balance(chain, each.account) for each in (BUYER, SELLER)}

            async def open_one() -> None:
                await mine.open(SELLER.account, bytes(20), DEPOSIT, expiry, "one")

            nursery.start_soon(open_one)
            with trio.fail_after(60):
                while not (found := await buys.intents.under_way("channel/")):  # noqa: ASYNC110
                    await trio.sleep(0.05)
            await mined(buys.intents, found[0])
            chain.reorganise(depth)
            assert (await buys.intents.settled(found[0])).state == "final"
            terms = await mine.open(SELLER.account, bytes(20), DEPOSIT, expiry, "one")
            assert await theirs.look(terms) == ChannelState(DEPOSIT, 0, False)

            granted = voucher(contract, terms, BUYER, PAID, CHAIN_ID)
            nursery.start_soon(theirs.redeem, terms, granted)
            ident = f"channel/{terms.channel.hex()}/redeem/{PAID}/0"
            await mined(sells.intents, ident)
            chain.reorganise(depth)
            await theirs.redeem(terms, granted)
            assert await mine.look(terms) == ChannelState(DEPOSIT, PAID, False)
            # With the seller's word at once; the buyer's at the expiry is the devnet's test.
            await theirs.close(terms)
            assert await mine.look(terms) == ChannelState(DEPOSIT, PAID, True)

        assert balance(chain, contract) == 0
        assert (chain_nonce(chain, BUYER.account), chain_nonce(chain, SELLER.account)) == (1, 2)
        spent = {account: before - balance(chain, account) for account, before in held.items()}
        gas = {each.account: fees(chain, each.account) for each in (BUYER, SELLER)}
        assert spent[BUYER.account] == PAID + gas[BUYER.account]
        assert spent[SELLER.account] == gas[SELLER.account] - PAID


def chain_nonce(chain: Anvil, account: bytes) -> int:
    return int(chain.rpc("eth_getTransactionCount", "0x" + account.hex(), "latest"), 16)


def fees(chain: Anvil, account: bytes) -> int:
    """What an account paid for gas, by the receipts of the chain as it is."""
    paid = 0
    for number in range(chain.height + 1):
        block = chain.rpc("eth_getBlockByNumber", hex(number), True)
        for tx in block["transactions"]:
            if tx["from"] == "0x" + account.hex():
                receipt = chain.rpc("eth_getTransactionReceipt", tx["hash"])
                paid += int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16)
    return paid
