"""What tests with a chain have in common: one devnet with the contract, and a limit for each."""

from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from kits.chain.devnet import CHAIN_ID, ETHER, SIGNERS, Devnet, LocalSigner
from node.chain.client import ChainClient
from node.chain.deploy import deploy
from node.store.store import Store

#: Every test ends: a loop that never settles is a failure, not a hang. Far more than a busy machine
#: needs: how fast it is decides nothing.
LIMIT = 150.0


def limit(items: list[pytest.Item], folder: Path) -> None:
    """Give every asynchronous test of a folder its limit."""
    for item in items:
        if not isinstance(item, pytest.Function) or item.path.parent != folder:
            continue
        if inspect.iscoroutinefunction(item.obj):
            item.obj = _limited(item.obj)


def _limited(test: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    @functools.wraps(test)
    async def limited(*args: Any, **kwargs: Any) -> None:
        with trio.fail_after(LIMIT):
            await test(*args, **kwargs)

    return limited


@pytest.fixture(scope="session")
def shared() -> Iterator[Devnet]:
    """A devnet with a block each 0.2 s, for tests that leave it as it is."""
    with Devnet() as devnet:
        yield devnet


@pytest.fixture(scope="session")
def contract(shared: Devnet) -> bytes:
    """The bounty contract on the shared devnet."""

    async def bounty() -> bytes:
        client = await ChainClient.open(shared.url, CHAIN_ID)
        return await deploy(client, SIGNERS[9], "bounty")

    return trio.run(bounty)


_fresh = itertools.count(10_001)


@pytest.fixture
def signer(shared: Devnet) -> LocalSigner:
    """An account that never did anything, with 10 ether on the shared devnet."""
    made = LocalSigner(next(_fresh))
    shared.rpc("assay_fund", "0x" + made.account.hex(), hex(10 * ETHER))
    shared.rpc("evm_mine")
    return made


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "store.sqlite") as opened:
        yield opened
