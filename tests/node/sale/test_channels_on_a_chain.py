"""Channels opened, redeemed and closed on a devnet, once each, whatever is asked twice."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from kits.chain.channels import side, voucher
from kits.chain.devnet import CHAIN_ID, ETHER, SIGNERS, Devnet, LocalSigner
from kits.chain.purses import MINT, command, deploy_mock, read

from node.chain.channels.calls import ChannelState
from node.chain.client import ChainClient
from node.chain.deploy import deploy
from node.chain.intents.intents import Intent
from node.chain.tokens.calls import approve
from node.store.store import Store
from protocol.books.typed_data import Domain
from protocol.errors import ChainError, InputError
from protocol.sale.vouchers import Terms, Voucher, release_digest

NO_TOKEN = bytes(20)
SELLER = SIGNERS[3]
DAY = 86_400


@pytest.fixture(scope="session")
def channels(shared: Devnet) -> bytes:
    """The channel contract on the shared devnet."""

    async def put() -> bytes:
        client = await ChainClient.open(shared.url, CHAIN_ID)
        return await deploy(client, SIGNERS[7], "channel")

    return trio.run(put)


def now(chain: Devnet) -> int:
    return int(chain.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)


def ether(chain: Devnet, account: bytes) -> int:
    return int(chain.rpc("eth_getBalance", "0x" + account.hex(), "latest"), 16)


async def test_from_the_deposit_to_the_rest(
    contract: bytes, channels: bytes, signer: LocalSigner, tmp_path: Path
) -> None:
    # The buyer takes its rest at the expiry: a chain whose clock may be set ahead, of its own.
    with (
        Devnet() as chain,
        Store.open(tmp_path / "buyer") as bought,
        Store.open(tmp_path / "seller") as sold,
    ):
        buyer = SIGNERS[2]
        client = await ChainClient.open(chain.url, CHAIN_ID)
        bounty = await deploy(client, SIGNERS[7], "bounty")
        paying = await deploy(client, SIGNERS[7], "channel")
        async with (
            side(chain, bounty, buyer, bought, paying) as (mine, _),
            side(chain, bounty, SELLER, sold, paying) as (theirs, _),
        ):
            expiry = now(chain) + DAY
            unknown = Terms(buyer.account, SELLER.account, NO_TOKEN, expiry, bytes(32))
            assert await theirs.look(unknown) is None
            with pytest.raises(InputError, match="not on the chain"):
                await theirs.redeem(unknown, Voucher(1, bytes(65)))
            terms = await mine.open(SELLER.account, NO_TOKEN, 1000, expiry, "first")
            assert (terms.buyer, terms.seller, terms.expiry) == (
                buyer.account,
                SELLER.account,
                expiry,
            )
            assert await theirs.look(terms) == ChannelState(1000, 0, False)
            # The same action again is the same channel, and no second deposit.
            nonce = chain.nonce(buyer.account)
            assert await mine.open(SELLER.account, NO_TOKEN, 1000, expiry, "first") == terms
            assert chain.nonce(buyer.account) == nonce
            assert ether(chain, paying) == 1000

            for amount in (100, 300):
                await theirs.redeem(terms, voucher(paying, terms, buyer, amount))
            nonce = chain.nonce(SELLER.account)
            await theirs.redeem(terms, voucher(paying, terms, buyer, 300))
            await theirs.redeem(terms, voucher(paying, terms, buyer, 200))
            assert chain.nonce(SELLER.account) == nonce
            assert await mine.look(terms) == ChannelState(1000, 300, False)
            with pytest.raises(ChainError, match="beyond the deposit"):
                await theirs.redeem(terms, voucher(paying, terms, buyer, 1001))
            with pytest.raises(ChainError, match="not signed by the buyer"):
                await theirs.redeem(terms, voucher(paying, terms, SELLER, 400))

            with pytest.raises(ChainError, match="not expired"):
                await mine.close(terms)
            chain.rpc("evm_increaseTime", DAY)
            chain.rpc("evm_mine")
            # What was refused before is tried anew.
            await mine.close(terms)
            await mine.close(terms)
            await theirs.close(terms)
            assert await theirs.look(terms) == ChannelState(1000, 300, True)
            assert ether(chain, paying) == 0


async def test_a_sellers_release_gives_the_rest_back_before_the_expiry(
    shared: Devnet, contract: bytes, channels: bytes, signer: LocalSigner, store: Store
) -> None:
    def release(terms: Terms, amount: int, by: LocalSigner) -> bytes:
        digest = release_digest(Domain(CHAIN_ID, channels), terms.channel, amount)
        return by.sign_digest(digest)

    held = ether(shared, channels)
    async with side(shared, contract, signer, store, channels) as (mine, _):
        terms = await mine.open(SELLER.account, NO_TOKEN, 1000, now(shared) + DAY, "left")
        with pytest.raises(ChainError, match="not redeemed yet"):
            await mine.close_released(terms, 300, release(terms, 300, SELLER))
        before = ether(shared, SELLER.account)
        # Anybody may redeem: the buyer does, whose voucher it is.
        await mine.redeem(terms, voucher(channels, terms, signer, 300))
        for bad in (release(terms, 300, signer), release(terms, 200, SELLER)):
            with pytest.raises(ChainError, match="not released by the seller"):
                await mine.close_released(terms, 300, bad)
        await mine.close_released(terms, 300, release(terms, 300, SELLER))
        nonce = shared.nonce(signer.account)
        await mine.close_released(terms, 300, release(terms, 300, SELLER))
        assert shared.nonce(signer.account) == nonce
        assert await mine.look(terms) == ChannelState(1000, 300, True)
        assert (ether(shared, SELLER.account), ether(shared, channels)) == (before + 300, held)


async def test_an_opening_that_is_cut_off_is_one_deposit(
    shared: Devnet, contract: bytes, channels: bytes, signer: LocalSigner, store: Store
) -> None:
    expiry, held = now(shared) + DAY, ether(shared, channels)
    for patience in (0.05, 0.15, 0.3, 60.0):
        # Cut off wherever it stands; the store is what is left of it.
        async with side(shared, contract, signer, store, channels) as (mine, _):
            with trio.move_on_after(patience) as scope:
                terms = await mine.open(SELLER.account, NO_TOKEN, 700, expiry, "cut")
    assert not scope.cancelled_caught
    # What is stored is followed though the settings have lost the contract, and nothing says that
    # no channel was opened.
    async with side(shared, contract, signer, store, None) as (mine, _):
        assert await mine.open(SELLER.account, NO_TOKEN, 700, expiry, "cut") == terms
    assert ether(shared, channels) == held + 700
    async with side(shared, contract, signer, store, channels) as (mine, _):
        assert await mine.look(terms) == ChannelState(700, 0, False)


async def test_tokens_are_approved_exactly_and_one_after_the_other(
    shared: Devnet, contract: bytes, channels: bytes, signer: LocalSigner, store: Store
) -> None:
    token = deploy_mock(shared, "permit_token_mock")
    command(shared, token, MINT, signer.account, 1000)
    allowance = "allowance(address,address)"
    async with side(shared, contract, signer, store, channels) as (mine, services):
        # Left from before, too little: set to zero first, as some tokens want it.
        data = approve(channels, 5)
        await services.intents.submit(Intent("pay/old", "approve", (data,), to=token))
        await services.intents.settled("pay/old")
        opened: list[Terms] = []

        async def open_one(deposit: int) -> None:
            expiry = now(shared) + DAY
            action = f"token {deposit}"
            opened.append(await mine.open(SELLER.account, token, deposit, expiry, action))

        async with trio.open_nursery() as nursery:
            for deposit in (300, 400):
                nursery.start_soon(open_one, deposit)
        assert sorted([(await mine.look(terms)).deposit for terms in opened]) == [300, 400]  # type: ignore[union-attr]
        assert read(shared, token, allowance, signer.account, channels) == 0
        assert read(shared, token, "balanceOf(address)", channels) == 700
        with pytest.raises(InputError, match="send it more"):
            await mine.open(SELLER.account, token, 301, now(shared) + DAY, "too much")


async def test_what_cannot_be_is_refused_before_anything_is_sent(
    shared: Devnet, contract: bytes, channels: bytes, signer: LocalSigner, store: Store
) -> None:
    nonce = shared.nonce(signer.account)

    async def refused(at: bytes | None, match: str, deposit: int = 10, days: int = 1) -> None:
        async with side(shared, contract, signer, store, at) as (mine, _):
            expiry = now(shared) + days * DAY
            action = f"{match} {deposit}"
            with pytest.raises((InputError, ChainError), match=match):
                await mine.open(SELLER.account, NO_TOKEN, deposit, expiry, action)

    await refused(None, "assay deploy --channel")
    await refused(SIGNERS[0].account, "has no contract at")
    await refused(contract, "not this assay's contract")
    await refused(channels, "send it more", 11 * ETHER)
    await refused(channels, "expiry is too far", days=400)
    await refused(channels, "expiry is past", days=-1)
    assert shared.nonce(signer.account) == nonce
