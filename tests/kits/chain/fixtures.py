"""What tests of the chain and of the devnet have in common: one devnet, and a limit for each."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from kits.chain.devnet import Devnet

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
