"""Many intents, a node that fails at random, and reorganisations: each happens once."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import trio
from kits.chain.devnet import CHAIN_ID, Devnet, LocalSigner, Proxy, failure, post_args, result

from node.chain.client import ChainClient
from node.chain.events import Posted
from node.chain.intents.intents import Intent, Intents
from node.chain.intents.sequencer import IntentPolicy
from node.store.store import Store

COUNT = 12


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_each_intent_happens_once_whatever_fails(
    seed: int, shared: Devnet, proxy: Proxy, contract: bytes, signer: LocalSigner, store: Store
) -> None:
    dice = random.Random(seed)
    calm = False

    def rule(request: dict[str, Any], forward: Callable[[], bytes]) -> bytes | None:
        if calm or dice.random() > 0.15:
            return forward()
        sending = request["method"] == "eth_sendRawTransaction"
        fault = dice.choice(["drop", "lose reply", "error", "swallow" if sending else "garbage"])
        if fault == "drop":
            return None
        if fault == "lose reply":
            forward()
            return None
        if fault == "error":
            return failure(request, -32603, "internal error")
        return result(request, "0x" + "00" * 32) if fault == "swallow" else b"{]"

    client = await ChainClient.open(proxy.url, CHAIN_ID, contract)
    policy = IntentPolicy(depth=3, stuck_blocks=6, interval=0.02)
    wanted = [
        Intent(f"{seed}/{n}", "post", post_args(signer.account + n.to_bytes(12, "big")), 1500)
        for n in range(COUNT)
    ]
    proxy.rule = rule
    for _ in range(3):
        # Each turn is a process that is stopped in the middle, with a reorganisation in between.
        intents = Intents(client, signer, store, policy)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(intents.run)
            for intent in dice.sample(wanted, COUNT):
                await intents.submit(intent)
            await trio.sleep(dice.uniform(0.3, 0.9))
            nursery.cancel_scope.cancel()
        shared.rpc("assay_rewind", hex(shared.number - dice.randint(1, 2)), dice.random() < 0.5)
    calm = True
    intents = Intents(client, signer, store, policy)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(intents.run)
        states = {(await intents.settled(intent.id)).state for intent in wanted}
        nursery.cancel_scope.cancel()
    assert states == {"final"}
    events = [event.event for event in await client.logs(0, shared.number)]
    mine = [
        e.spec_digest for e in events if isinstance(e, Posted) and e.requester == signer.account
    ]
    assert sorted(mine) == sorted(intent.args[0] for intent in wanted)
