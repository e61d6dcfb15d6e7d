"""Intents that run against a devnet, and what became of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
import trio

from kits.chain.devnet import CHAIN_ID, SIGNERS, Devnet, LocalSigner, post_args
from node.chain.client import ChainClient
from node.chain.events import Posted
from node.chain.intents.intents import Intent, IntentOutcome, Intents
from node.chain.intents.sequencer import IntentPolicy
from node.store.store import Store

FAST = IntentPolicy(depth=1, stuck_blocks=3, interval=0.05)
Opener = Callable[..., AbstractAsyncContextManager[Intents]]


@pytest.fixture
def opened(store: Store, contract: bytes, shared: Devnet, signer: LocalSigner) -> Opener:
    """Opens intents that run, on the shared devnet (or through `url`)."""

    @asynccontextmanager
    async def open_intents(
        signer: LocalSigner = signer,
        policy: IntentPolicy = FAST,
        url: str | None = None,
        told: Callable[[IntentOutcome], Awaitable[None]] | None = None,
        timeout: float = 10.0,
    ) -> AsyncIterator[Intents]:
        client = await ChainClient.open(url or shared.url, CHAIN_ID, contract, timeout=timeout)
        more = {} if told is None else {"on_outcome": told}
        intents = Intents(client, signer, store, policy, **more)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(intents.run)
            yield intents
            nursery.cancel_scope.cancel()

    return open_intents


def post(number: int = 1, value: int = 1500) -> Intent:
    return Intent(f"job/{number}/post", "post", post_args(bytes([number]) * 32), value)


async def events(shared: Devnet, contract: bytes, signer: LocalSigner) -> list[Any]:
    """What the contract said about the jobs of one account."""
    client = await ChainClient.open(shared.url, CHAIN_ID, contract)
    found = [event.event for event in await client.logs(0, shared.number)]
    jobs = {e.job for e in found if isinstance(e, Posted) and e.requester == signer.account}
    return [event for event in found if event.job in jobs]


def send_foreign(shared: Devnet, signer: LocalSigner, nonce: int, tip: int = 10**9) -> str:
    """Use the key elsewhere."""
    raw = signer.sign_transaction(
        {
            "type": 2,
            "chainId": CHAIN_ID,
            "nonce": nonce,
            "gas": 21_000,
            "maxFeePerGas": 10**10 + tip,
            "maxPriorityFeePerGas": tip,
            "to": SIGNERS[5].account,
            "value": 1,
            "data": b"",
        }
    )
    return str(shared.rpc("eth_sendRawTransaction", "0x" + raw.hex()))


async def until_error(intents: Intents, ident: str, text: str) -> None:
    while True:
        outcome = await intents.get(ident)
        assert outcome is not None
        if text in outcome.error:
            return
        await trio.sleep(0.05)
