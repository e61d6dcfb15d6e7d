"""One chain for each of Vyper's code generators, rolled back after every test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kits.bounty import World

#: The first is what is deployed.
GENERATORS = [
    pytest.param(False, id="legacy"),
    pytest.param(True, id="venom", marks=pytest.mark.ci),
]


@pytest.fixture(scope="session", params=GENERATORS)
def chain(request: pytest.FixtureRequest) -> World:
    return World(experimental=request.param)


@pytest.fixture
def world(chain: World) -> Iterator[World]:
    snapshot = chain.tester.take_snapshot()
    yield chain
    chain.tester.revert_to_snapshot(snapshot)
