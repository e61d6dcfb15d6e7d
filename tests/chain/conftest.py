"""Fixtures of the chain's tests: one devnet for all that do not harm it, others for the rest."""

from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from chain_kit import CHAIN_ID, ETHER, SIGNERS, Devnet, LocalSigner, Proxy

from node.chain.client import ChainClient
from node.chain.deploy import deploy_bounty
from node.store.store import Store

#: Every test ends: a loop that never settles is a failure, not a hang.
LIMIT = 30.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if not isinstance(item, pytest.Function) or item.path.parent != Path(__file__).parent:
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

    async def deploy() -> bytes:
        client = await ChainClient.open(shared.url, CHAIN_ID)
        return await deploy_bounty(client, SIGNERS[9])

    return trio.run(deploy)


@pytest.fixture
def devnet() -> Iterator[Devnet]:
    """A devnet of the test's own."""
    with Devnet() as own:
        yield own


@pytest.fixture
def proxy(shared: Devnet) -> Iterator[Proxy]:
    """A misbehaving way to the shared devnet."""
    with Proxy(shared.url) as between:
        yield between


_fresh = itertools.count(1)


@pytest.fixture
def signer(shared: Devnet) -> LocalSigner:
    """An account that never did anything, with 10 ether on the shared devnet."""
    made = LocalSigner(10_000 + next(_fresh))
    shared.rpc("assay_fund", "0x" + made.account.hex(), hex(10 * ETHER))
    shared.rpc("evm_mine")
    return made


@pytest.fixture
async def client(shared: Devnet, contract: bytes) -> AsyncIterator[ChainClient]:
    """A client of the shared devnet and its contract."""
    opened = await ChainClient.open(shared.url, CHAIN_ID, contract)
    yield opened
    opened.close()


@pytest.fixture
async def bounty(devnet: Devnet) -> bytes:
    """The contract on the test's own devnet."""
    opened = await ChainClient.open(devnet.url, CHAIN_ID)
    address = await deploy_bounty(opened, SIGNERS[9])
    opened.close()
    return address


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "store.sqlite") as opened:
        yield opened
