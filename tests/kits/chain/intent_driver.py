"""One process with one posting, which dies at a chosen point: run by test_intents_crash.py.

Arguments: URL, contract, store, expiry, where to die ('' for nowhere), key, and for a posting in a
token, behind its approval, that token and which of the two transactions it dies at (1 or 2). Prints
the posting's outcome.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import trio

from kits.chain.devnet import CHAIN_ID, LocalSigner
from node.chain.client import ChainClient
from node.chain.intents.intents import Intent, IntentOutcome, Intents
from node.chain.intents.sequencer import IntentPolicy
from node.chain.tokens import calls
from node.store.store import Store

#: How many more times the point is passed before the end.
_passes = [0]


def die() -> None:
    """The end, the last time that this point is come to."""
    _passes[0] -= 1
    if _passes[0] <= 0:
        os.kill(os.getpid(), signal.SIGKILL)


class DyingSigner(LocalSigner):
    """Dies with the signature in hand and nothing stored."""

    def sign_transaction(self, transaction: Mapping[str, Any]) -> bytes:
        raw = super().sign_transaction(transaction)
        die()
        return raw


def wanted(contract: bytes, expiry: int, token: bytes) -> list[Intent]:
    """A posting of 1500 units or wei, and the approval that a token's needs."""
    args = (b"\x0a" * 32, token, 3, 5, 100, 0, expiry)
    if token == bytes(20):
        return [Intent("job/0a/post", "post", args, 1500)]
    data = calls.call("approve(address,uint256)", contract, 1500)
    approve = Intent("job/0a/approve", "approve", (data,), to=token)
    return [approve, Intent("job/0a/post", "post", args, needs=approve.id)]


async def main(
    url: str, contract: str, path: str, expiry: int, where: str, key: int, token: bytes
) -> None:
    client = await ChainClient.open(url, CHAIN_ID, bytes.fromhex(contract))
    send = client.send

    async def dying_send(raw: bytes) -> None:
        if where == "stored":
            die()
        await send(raw)
        if where == "sent":
            die()

    client.send = dying_send  # type: ignore[method-assign]

    async def told(outcome: IntentOutcome) -> None:
        if where == outcome.state:
            die()

    signer = DyingSigner(key) if where == "signed" else LocalSigner(key)
    with Store.open(Path(path)) as store:
        intents = Intents(client, signer, store, IntentPolicy(depth=2, interval=0.05), told)
        insert = intents.prepare(*wanted(bytes.fromhex(contract), expiry, token))
        await store.run(insert)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(intents.run)
            outcome = await intents.settled("job/0a/post")
            nursery.cancel_scope.cancel()
    print(outcome.state, outcome.error)


if __name__ == "__main__":
    further = sys.argv[7:]
    paying = bytes.fromhex(further[0]) if further else bytes(20)
    _passes[0] = int(further[1]) if further else 1
    trio.run(main, *sys.argv[1:4], int(sys.argv[4]), sys.argv[5], int(sys.argv[6]), paying)
