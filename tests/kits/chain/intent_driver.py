"""One process with one intent, which dies at a chosen point: run by test_intents_crash.py.

Arguments: URL, contract, store, expiry, where to die ('' for nowhere), key. Prints the outcome.
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
from node.store.store import Store


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class DyingSigner(LocalSigner):
    """Dies with the signature in hand and nothing stored."""

    def sign_transaction(self, transaction: Mapping[str, Any]) -> bytes:
        super().sign_transaction(transaction)
        die()
        return b""


async def main(url: str, contract: str, path: str, expiry: int, where: str, key: int) -> None:
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
        args = (b"\x0a" * 32, bytes(20), 3, 5, 100, 0, expiry)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(intents.run)
            await intents.submit(Intent("job/0a/post", "post", args, 1500))
            outcome = await intents.settled("job/0a/post")
            nursery.cancel_scope.cancel()
    print(outcome.state, outcome.error)


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:4], int(sys.argv[4]), sys.argv[5], int(sys.argv[6]))
