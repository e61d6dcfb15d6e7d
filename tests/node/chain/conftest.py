"""Fixtures of the chain's tests: one devnet for all that do not harm it, others for the rest."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from kits.chain.devnet import CHAIN_ID, SIGNERS, Devnet, Proxy
from kits.chain.fixtures import contract, limit, shared, signer, store
from kits.chain.intents import opened

from node.chain.client import ChainClient
from node.chain.deploy import deploy

__all__ = ["contract", "opened", "shared", "signer", "store"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    limit(items, Path(__file__).parent)


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
    address = await deploy(opened, SIGNERS[9], "bounty")
    opened.close()
    return address
