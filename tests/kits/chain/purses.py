"""Accounts that hold tokens on a devnet, behind what a daemon's calls about money need."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, Protocol

import trio
from eth_hash.auto import keccak

from kits.bounty import MOCKS, compiled
from kits.chain.devnet import CHAIN_ID, SIGNERS, Asked, LocalSigner, transact
from node.chain.client import ChainClient
from node.chain.intents.intents import Intents
from node.chain.intents.sequencer import IntentPolicy
from node.chain.tokens import calls
from node.engine.clock import Clock
from node.home.config import Config
from node.perform import chain as chain_effects
from node.store.store import Store
from protocol.books.typed_data import Domain
from protocol.tokens import Token, Tokens

FAST = IntentPolicy(depth=1, stuck_blocks=3, interval=0.05)

#: `mint(address,uint256)`, and what makes token_mock.vy misbehave.
MINT, REFUSE, TAKE_FEE = "40c10f19", "10773d14", "55694ca6"


def deploy_mock(chain: Asked, name: str) -> bytes:
    """A contract of tests/contract/mocks; its address."""
    code = bytes.fromhex(compiled(MOCKS / f"{name}.vy")["bytecode"][2:])
    return transact(chain, SIGNERS[8], None, code)


def command(chain: Asked, token: bytes, selector: str, *words: int | bytes) -> None:
    """Call a function of a mock."""
    data = bytes.fromhex(selector) + b"".join(calls.word(w) for w in words)
    transact(chain, SIGNERS[8], token, data)


def read(chain: Asked, token: bytes, signature: str, *words: int | bytes) -> int:
    """A number that a token says."""
    own = keccak(signature.encode())[:4]  # a mock has functions that the product does not call
    data = "0x" + (own + b"".join(calls.word(w) for w in words)).hex()
    return int(chain.rpc("eth_call", {"to": "0x" + token.hex(), "data": data}, "latest"), 16)


class Served(Protocol):
    """A chain node by its URL."""

    url: str


async def _fed(*_: Any) -> None:
    """No machine is there to be told how a transaction ended."""


@asynccontextmanager
async def purse(
    chain: Served,
    contract: bytes,
    signer: LocalSigner,
    store: Store,
    token: bytes,
    *,
    chain_id: int = CHAIN_ID,
    policy: IntentPolicy = FAST,
) -> AsyncIterator[Any]:
    """A node's parts that move money, its intents running; `token` is called TUSD."""
    client = await ChainClient.open(chain.url, chain_id, contract)
    services: Any = SimpleNamespace(
        chain=client,
        keys=signer,
        store=store,
        config=Config(),
        domain=Domain(chain_id, contract),
        engine=SimpleNamespace(machines={}, feed=_fed, complete=_fed),
        clock=Clock(),
        tokens=lambda: Tokens((Token(chain_id, token, "TUSD", 6),)),
    )
    services.intents = Intents(
        client, signer, store, policy, lambda outcome: chain_effects.settled(services, outcome)
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(services.intents.run)
        yield services
        nursery.cancel_scope.cancel()
    client.close()
