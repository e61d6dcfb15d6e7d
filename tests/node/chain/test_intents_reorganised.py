"""Intents and reorganisations, on a chain that mines when the test says so.

How many blocks stand on a transaction decides what a reorganisation undoes. On a chain with a clock
that would depend on how fast this machine is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trio
from kits.chain.devnet import CHAIN_ID, SIGNERS, Devnet, LocalSigner, Proxy, result, until
from kits.chain.intents import Opener, events, post, send_foreign, until_error

from node.chain.client import ChainClient
from node.chain.deploy import deploy
from node.chain.intents.intents import Intent, IntentOutcome
from node.chain.intents.sequencer import IntentPolicy
from node.store.store import Store


@pytest.fixture(scope="module")
def shared() -> Iterator[Devnet]:
    """A devnet whose own next block is an hour away."""
    with Devnet(block_time=3600) as devnet:
        yield devnet


@pytest.fixture(scope="module")
def contract(shared: Devnet) -> bytes:
    """The bounty contract there."""

    async def bounty() -> bytes:
        client = await ChainClient.open(shared.url, CHAIN_ID)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(mine_on, shared)
            address = await deploy(client, SIGNERS[9], "bounty")
            nursery.cancel_scope.cancel()
        return address

    return trio.run(bounty)


async def mine_on(devnet: Devnet) -> None:
    """Mine until the caller has what it waits for, and leaves."""
    while True:
        devnet.rpc("evm_mine")
        await trio.sleep(0.05)


async def final(devnet: Devnet, opened: Any, ident: str) -> IntentOutcome:
    """What became of an intent, under as many blocks as it takes."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(mine_on, devnet)
        outcome: IntentOutcome = await opened.settled(ident)
        nursery.cancel_scope.cancel()
    return outcome


async def test_a_reorganisation_sends_it_again(
    opened: Opener, shared: Devnet, contract: bytes, signer: LocalSigner
) -> None:
    """The block is gone and the node forgot the transaction: the stored one goes out once more."""
    told: list[str] = []

    async def tell(outcome: IntentOutcome) -> None:
        told.append(outcome.state)
        if told == ["mined"]:
            shared.rpc("assay_rewind", hex((outcome.block or 1) - 1), False)

    async with opened(told=tell, policy=IntentPolicy(depth=3, interval=0.05)) as intents:
        await intents.submit(post(1))
        await until(lambda: shared.nonce(signer.account, "pending") == 1)
        shared.rpc("evm_mine")
        await until(lambda: told == ["mined"])
        outcome = await final(shared, intents, post(1).id)
    assert outcome.state == "final"
    assert told[0] == "mined"
    assert told[-1] == "final"
    assert len(await events(shared, contract, signer)) == 1


async def test_a_refusal_that_a_reorganisation_takes_back_was_none(
    opened: Opener, shared: Devnet, contract: bytes, signer: LocalSigner
) -> None:
    """The job was posted by other means, and is refused as such; then that block is gone."""
    intent = post(1)
    client = await ChainClient.open(shared.url, CHAIN_ID, contract)
    start = shared.number
    raw = signer.sign_transaction(
        {
            "type": 2,
            "chainId": CHAIN_ID,
            "nonce": 0,
            "gas": 500_000,
            "maxFeePerGas": 10**10,
            "maxPriorityFeePerGas": 10**9,
            "to": contract,
            "value": intent.value,
            "data": client.codec.encode("post", intent.args),
        }
    )
    await client.send(raw)
    shared.rpc("evm_mine")
    async with opened(policy=IntentPolicy(depth=12, interval=0.05)) as intents:
        await intents.submit(intent)
        await until_error(intents, intent.id, "post was refused: bounty: posted already")
        shared.rpc("assay_rewind", hex(start), False)
        assert (await final(shared, intents, intent.id)).state == "final"
    assert len(await events(shared, contract, signer)) == 1


async def test_a_nonce_used_elsewhere_may_come_free_again(
    opened: Opener, shared: Devnet, proxy: Proxy, contract: bytes, signer: LocalSigner
) -> None:
    """The foreign transaction is reorganised away before it is final, and ours is mined after all.
    Had it been signed anew at once, there would be two of ours."""
    raws: list[str] = []
    asked = False

    def rule(request: dict[str, Any], forward: Callable[[], bytes]) -> bytes:
        nonlocal asked
        if request["method"] == "eth_sendRawTransaction" and not raws:
            send_foreign(shared, signer, 0)
            raws.append(request["params"][0])  # last: who waits for it mines at once
            return result(request, "0x" + "00" * 32)
        if request["method"] == "eth_getTransactionCount" and request["params"][1] != "latest":
            asked = True
        return forward()

    proxy.rule = rule
    policy = IntentPolicy(depth=20, stuck_blocks=50, interval=0.05)
    while shared.number < policy.depth:  # there is a block that deep to ask about
        shared.rpc("evm_mine")
    start = shared.number
    async with opened(url=proxy.url, policy=policy) as intents:
        await intents.submit(post(1))
        await until(lambda: bool(raws))
        shared.rpc("evm_mine")
        await until(lambda: asked)
        shared.rpc("assay_rewind", hex(start), False)
        shared.rpc("eth_sendRawTransaction", raws[0])
        assert (await final(shared, intents, post(1).id)).state == "final"
    assert shared.nonce(signer.account, "pending") == 1
    assert len(await events(shared, contract, signer)) == 1


async def test_a_gap_that_a_foreign_transaction_left_is_closed(
    opened: Opener, shared: Devnet, contract: bytes, signer: LocalSigner
) -> None:
    """Nonce 0 was foreign, ours is 1; a reorganisation forgets both."""
    send_foreign(shared, signer, 0)
    shared.rpc("evm_mine")
    start = shared.number - 1
    told: list[str] = []

    async def tell(outcome: IntentOutcome) -> None:
        told.append(outcome.id)
        if len(told) == 1:
            shared.rpc("assay_rewind", hex(start), False)

    policy = IntentPolicy(depth=4, stuck_blocks=3, interval=0.05)
    async with opened(policy=policy, told=tell) as intents:
        await intents.submit(post(1))
        await until(lambda: shared.nonce(signer.account, "pending") == 2)
        shared.rpc("evm_mine")
        await until(lambda: bool(told))
        assert (await final(shared, intents, post(1).id)).state == "final"
    assert any(ident.startswith("gap/0/") for ident in told)
    assert shared.nonce(signer.account) == 2
    assert len(await events(shared, contract, signer)) == 1


async def test_what_is_reorganised_away_after_it_was_final_is_sent_again(
    opened: Opener, shared: Devnet, contract: bytes, signer: LocalSigner
) -> None:
    """Somebody asks for the same call once more, as `assay claim` does: byte for byte the same
    transaction. It ended the daemon, at every start."""
    told: list[IntentOutcome] = []

    async def tell(outcome: IntentOutcome) -> None:
        told.append(outcome)

    start, intent = shared.number, post(1)
    async with opened(policy=IntentPolicy(depth=1, interval=0.05), told=tell) as intents:
        await intents.submit(intent)
        assert (await final(shared, intents, intent.id)).state == "final"
        while shared.number > start:
            shared.rpc("assay_rewind", hex(start), False)
        again = Intent("again", intent.function, intent.args, intent.value)
        await intents.submit(again)
        refused = await final(shared, intents, again.id)
        outcome = await intents.get(intent.id)
    assert refused.state == "failed"
    assert outcome is not None
    assert outcome.state == "final"
    assert [each.id for each in told if each.taken_back] == [intent.id]
    assert len(await events(shared, contract, signer)) == 1


async def test_what_the_watcher_saw_vanish_is_sent_again_unasked(
    opened: Opener, shared: Devnet, contract: bytes, signer: LocalSigner, store: Store
) -> None:
    start, intent = shared.number, post(1)
    async with opened(policy=IntentPolicy(depth=1, interval=0.05)) as intents:
        await intents.submit(intent)
        assert (await final(shared, intents, intent.id)).state == "final"
        shared.rpc("assay_rewind", hex(start), False)
        assert await store.run(lambda tx: intents.reopen(tx, start)) == 1
        intents.wake()
        await until(lambda: shared.nonce(signer.account, "pending") == 1)
        assert (await final(shared, intents, intent.id)).state == "final"
    assert len(await events(shared, contract, signer)) == 1
