"""Several ways to one chain: one that fails is left, and two must agree where the user asks it."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import trio
from kits.chain.devnet import (
    CHAIN_ID,
    SIGNERS,
    Devnet,
    LocalSigner,
    Poster,
    Proxy,
    closed_port,
    result,
    until,
)

from node.chain.client import ChainClient
from node.chain.cursor import Cursor
from node.chain.endpoints import endpoints as several
from node.chain.errors import Contradicted, TooFew, WrongChain
from node.chain.watch import Batch, Watcher


@pytest.fixture
def ways(shared: Devnet) -> Iterator[tuple[Proxy, Proxy]]:
    """Two ways to the shared devnet."""
    with ExitStack() as stack:
        yield stack.enter_context(Proxy(shared.url)), stack.enter_context(Proxy(shared.url))


@pytest.fixture
async def posted(shared: Devnet, contract: bytes, signer: LocalSigner) -> int:
    """The number of a block in which, or below which, a job was posted."""
    client = await ChainClient.open(shared.url, CHAIN_ID, contract)
    await Poster(client, signer).post(1)
    client.close()
    shared.rpc("evm_mine")
    return shared.number


Open = Callable[..., Any]


@pytest.fixture
async def of(contract: bytes) -> AsyncIterator[Open]:
    """Opens a client of some URLs."""
    opened: list[ChainClient] = []

    async def make(*urls: str, agree: int = 1) -> ChainClient:
        client = await ChainClient.open(urls, CHAIN_ID, contract, agree=agree, chance=lambda: 0.0)
        opened.append(client)
        return client

    yield make
    for client in opened:
        client.close()


def dead(request: dict[str, Any], forward: Callable[[], bytes]) -> None:
    """A node that hangs up."""


async def test_the_next_is_asked_where_one_fails(ways: tuple[Proxy, Proxy], of: Open) -> None:
    first, second = ways
    client = await of(first.url, second.url)
    await client.check()
    await client.head()
    assert "eth_getBlockByNumber" in first.seen
    first.rule = dead
    found = await client.head()
    assert found.number >= 0
    assert client.url == second.url
    assert [bool(problem) for _, problem in client.nodes] == [True, False]
    assert first.url in client.nodes[0][1]


async def test_nobody_is_asked_who_was_not_held_to_what_is_expected(
    ways: tuple[Proxy, Proxy], of: Open
) -> None:
    """The node that takes over is asked for its chain and its contract before anything else."""
    first, second = ways
    client = await of(first.url, second.url)
    await client.check()
    assert second.seen == []
    first.rule = dead
    await client.balance(SIGNERS[0].account)
    assert second.seen == ["eth_chainId", "eth_getCode", "eth_getBalance"]


async def test_another_chain_is_left_before_it_is_asked(
    ways: tuple[Proxy, Proxy], of: Open
) -> None:
    first, second = ways
    first.rule = lambda request, forward: (
        result(request, "0x1") if request["method"] == "eth_chainId" else forward()
    )
    client = await of(first.url, second.url)
    await client.check()
    assert client.url == second.url
    assert "serves chain id 1" in client.nodes[0][1]
    second.rule = first.rule
    with pytest.raises(WrongChain):
        await client.check()


async def test_all_that_fail_are_one_failure_that_names_one(of: Open) -> None:
    urls = [f"http://127.0.0.1:{closed_port()}" for _ in range(2)]
    client = await of(*urls)
    with pytest.raises(Exception, match="is unreachable"):
        await client.head()
    assert all(problem for _, problem in client.nodes)


async def test_a_refusal_is_no_fault_of_the_node(ways: tuple[Proxy, Proxy], of: Open) -> None:
    first, second = ways
    client = await of(first.url, second.url)
    with pytest.raises(Exception, match="refused"):
        await client.send(b"\x00")
    assert second.seen == []
    assert client.url == first.url


class TestAgreement:
    async def test_two_that_agree(self, ways: tuple[Proxy, Proxy], of: Open) -> None:
        client = await of(ways[0].url, ways[1].url, agree=2)
        head = await client.head()
        assert await client.block_hash(head.number) == head.hash
        assert all("eth_getBlockByNumber" in way.seen for way in ways)

    async def test_logs_that_one_invents_or_hides_are_not_acted_on(
        self, ways: tuple[Proxy, Proxy], of: Open, posted: int, shared: Devnet
    ) -> None:
        first, second = ways
        client = await of(first.url, second.url, agree=2)
        assert await client.logs(0, posted)
        second.rule = lambda request, forward: (
            result(request, []) if request["method"] == "eth_getLogs" else forward()
        )
        with pytest.raises(Contradicted, match=r"chain\.agree"):
            await client.logs(0, posted)

    async def test_a_head_that_one_has_not_seen_is_not_the_head(
        self, ways: tuple[Proxy, Proxy], of: Open
    ) -> None:
        first, second = ways
        client = await of(first.url, second.url, agree=2)
        head = (await client.head()).number

        def behind(request: dict[str, Any], forward: Callable[[], bytes]) -> bytes:
            if request["method"] == "eth_getBlockByNumber" and request["params"][0] == "latest":
                request["params"][0] = hex(head - 1)
            return forward()

        second.rule = behind
        assert (await client.head()).number == head - 1

    async def test_one_alone_is_too_few(self, ways: tuple[Proxy, Proxy], of: Open) -> None:
        client = await of(ways[0].url, ways[1].url, agree=2)
        ways[1].rule = dead
        with pytest.raises(TooFew, match=r"1 chain nodes answer, and chain\.agree wants 2"):
            await client.head()


async def test_a_node_that_stands_still_is_left(
    ways: tuple[Proxy, Proxy], of: Open, shared: Devnet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers every call, from an old block: nothing but a comparison can tell."""
    monkeypatch.setattr(several, "COMPARE_SECONDS", 0.0)
    first, second = ways
    client = await of(first.url, second.url)
    head = (await client.head()).number

    def still(request: dict[str, Any], forward: Callable[[], bytes]) -> bytes:
        if request["method"] == "eth_getBlockByNumber" and request["params"][0] == "latest":
            request["params"][0] = hex(head)
        return forward()

    first.rule = still
    for _ in range(5):
        shared.rpc("evm_mine")
    for _ in range(3):
        found = await client.head()
    assert found.number >= head + 5
    assert client.url == second.url
    assert "blocks behind" in client.nodes[0][1]


async def test_a_node_that_tells_of_another_chain_is_left_for_good(
    ways: tuple[Proxy, Proxy], of: Open, shared: Devnet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has the right chain id and contract, and other blocks: two that are alike show it."""
    monkeypatch.setattr(several, "COMPARE_SECONDS", 0.0)
    monkeypatch.setattr(several, "COMPARED_DEPTH", 1)
    first, second = ways

    def forked(request: dict[str, Any], forward: Callable[[], bytes]) -> bytes:
        reply = json.loads(forward())
        if request["method"] == "eth_getBlockByNumber" and reply["result"] is not None:
            reply["result"]["hash"] = "0x" + "ab" * 32
        return json.dumps(reply).encode()

    first.rule = forked
    client = await of(first.url, second.url, shared.url)
    for _ in range(3):
        found = await client.head()
        assert found.hash != b"\xab" * 32
    assert client.url == second.url
    assert f"{first.url} contradicts" in client.nodes[0][1]
    first.rule = lambda request, forward: forward()
    await client.head()
    assert client.url == first.url
    assert client.nodes[0][1] == ""


async def test_a_node_that_hangs_keeps_nobody_from_the_next(
    ways: tuple[Proxy, Proxy], of: Open
) -> None:
    """More calls wait for it than may run at once; the next node answers meanwhile."""
    first, second = ways
    client = await of(first.url, second.url)
    await client.check()
    released = threading.Event()

    def hang(request: dict[str, Any], forward: Callable[[], bytes]) -> bytes:
        released.wait(30)
        return forward()

    first.rule = hang
    try:
        async with trio.open_nursery() as nursery:
            for _ in range(several.MAX_CALLS):
                nursery.start_soon(client.balance, SIGNERS[0].account)
            await until(lambda: len(first.seen) >= 2 + several.MAX_CALLS)
            client.leave(TooFew(1, 0))
            with trio.fail_after(5):
                await client.balance(SIGNERS[0].account)
            released.set()
    finally:
        released.set()
    assert "eth_getBalance" in second.seen


async def test_the_watcher_goes_on_by_another_and_says_which_it_left(
    ways: tuple[Proxy, Proxy], of: Open, posted: int, shared: Devnet
) -> None:
    first, second = ways
    client = await of(first.url, second.url)
    seen: list[Batch] = []

    async def take(batch: Batch) -> None:
        seen.append(batch)

    watcher = Watcher(client, Cursor(0), take, interval=0.02)
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watcher.run)
            await until(lambda: bool(seen) and seen[-1].head.number >= posted)
            first.rule = dead
            shared.rpc("evm_mine")
            head = int(shared.rpc("eth_blockNumber"), 16)
            await until(lambda: seen[-1].head.number >= head)
            status = watcher.status()
            nursery.cancel_scope.cancel()
    assert status.reachable
    assert status.url == second.url
    assert len(status.left) == 1
    assert first.url in status.left[0]
    events = [event for batch in seen for event in batch.events]
    assert len(events) == len(set(events))
