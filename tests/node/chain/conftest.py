"""Fixtures of the chain's tests: one devnet for all that do not harm it, others for the rest."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import trio
from kits.chain.devnet import CHAIN_ID, ETHER, SIGNERS, Devnet, LocalSigner, Proxy
from kits.chain.fixtures import limit, shared
from kits.chain.intents import opened

from node.chain.client import ChainClient
from node.chain.deploy import deploy_bounty
from node.store.store import Store

__all__ = ["opened", "shared"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    limit(items, Path(__file__).parent)


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
