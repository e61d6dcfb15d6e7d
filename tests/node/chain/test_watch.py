"""The watcher: every event once and in order, through reorganisations, outages and restarts."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import pairwise
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
    failure,
    result,
    until,
)

from node.chain import watch
from node.chain.client import ChainClient
from node.chain.cursor import Cursor, load_cursor, save_cursor
from node.chain.deploy import deploy
from node.chain.errors import BadReply
from node.chain.events import ChainEvent, Posted
from node.chain.watch import Batch, Watcher
from node.store.store import Store


class Consumer:
    """Does with batches what the engine does: keeps what their events say, undoes, stores."""

    def __init__(self, store: Store, start: int) -> None:
        self.store = store
        self.start = start
        self.batches: list[Batch] = []
        self.kept: list[ChainEvent] = []
        self.reorgs: list[int] = []

    async def take(self, batch: Batch) -> None:
        if batch.reorg_to is not None:
            self.reorgs.append(batch.reorg_to)
            self.kept = [event for event in self.kept if event.block <= batch.reorg_to]
        self.kept += batch.events
        self.batches.append(batch)
        await self.store.run(lambda tx: save_cursor(tx, batch.cursor))

    async def cursor(self) -> Cursor:
        return await self.store.read(lambda tx: load_cursor(tx, self.start - 1))

    def specs(self) -> list[bytes]:
        return [e.event.spec_digest for e in self.kept if isinstance(e.event, Posted)]


Follow = Callable[..., AbstractAsyncContextManager[Watcher]]


@pytest.fixture
async def consumer(store: Store, shared: Devnet, contract: bytes) -> Consumer:
    return Consumer(store, shared.number + 1)


@pytest.fixture
def follow(shared: Devnet, contract: bytes, consumer: Consumer) -> Follow:
    """Follows the shared devnet (or `url`) from where the consumer stands."""

    @asynccontextmanager
    async def run(url: str | None = None, timeout: float = 10.0) -> AsyncIterator[Watcher]:
        client = await ChainClient.open(url or shared.url, CHAIN_ID, contract, timeout=timeout)
        watcher = Watcher(client, await consumer.cursor(), consumer.take, interval=0.05)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watcher.run)
            yield watcher
            nursery.cancel_scope.cancel()

    return run


@pytest.fixture
async def poster(shared: Devnet, contract: bytes, signer: LocalSigner) -> Poster:
    return Poster(await ChainClient.open(shared.url, CHAIN_ID, contract), signer)


async def test_events_come_once_and_in_order(
    follow: Follow, consumer: Consumer, poster: Poster
) -> None:
    async with follow() as watcher:
        await poster.post(3)
        await until(lambda: len(consumer.kept) == 3)
        await poster.post(2)
        await until(lambda: len(consumer.kept) == 5)
        status = watcher.status()
    assert consumer.specs() == poster.specs
    first = consumer.kept[0]
    assert isinstance(first.event, Posted)
    assert first.job == first.event.job
    assert (first.event.rounds, first.event.cohort, first.event.rate) == (3, 5, 100)
    assert first.event.token == bytes(20)
    places = [(event.block, event.index) for event in consumer.kept]
    assert places == sorted(set(places))
    heads = [batch.head.number for batch in consumer.batches]
    assert heads == sorted(set(heads))
    for batch in consumer.batches:
        assert (batch.cursor.number, batch.cursor.hash) == (batch.head.number, batch.head.hash)
        assert all(event.block <= batch.head.number for event in batch.events)
    assert status.reachable
    assert (status.head or 0) >= heads[-1]
    assert status.last_error == ""


async def test_one_jobs_events_are_found_again_without_a_watcher(
    follow: Follow,
    consumer: Consumer,
    poster: Poster,
    proxy: Proxy,
    contract: bytes,
    shared: Devnet,
) -> None:
    """What a node that comes late asks for: of a job, all and nothing else."""
    async with follow():
        await poster.post(2)
        await until(lambda: len(consumer.kept) == 2)
    wanted, other = consumer.kept
    last = shared.number
    client = await ChainClient.open(proxy.url, CHAIN_ID, contract)
    assert await client.logs_of_job(wanted.job, 1, last) == [wanted]
    assert await client.logs_of_job(wanted.job, wanted.block + 1, last) == []
    assert await client.logs_of_job(bytes(32), 1, last) == []

    def all_jobs(request: dict[str, Any], forward: Callable[[], bytes]) -> bytes:
        request["params"][0].pop("topics")
        return proxy.forward(request)

    proxy.rule = all_jobs
    with pytest.raises(BadReply, match="a log of another job or range"):
        await client.logs_of_job(wanted.job, other.block, other.block)
    client.close()


async def test_it_goes_on_where_the_stored_cursor_stands(
    follow: Follow, consumer: Consumer, poster: Poster, shared: Devnet
) -> None:
    async with follow():
        await poster.post(1)
        await until(lambda: len(consumer.kept) == 1)
    await poster.post(2)
    shared.rpc("evm_mine")
    shared.rpc("evm_mine")
    before = len(consumer.batches)
    async with follow():
        await until(lambda: len(consumer.kept) == 3)
    assert consumer.specs() == poster.specs
    assert consumer.batches[before].events[0].block > consumer.batches[before - 1].head.number


async def test_catching_up_reads_bounded_ranges(
    follow: Follow,
    consumer: Consumer,
    poster: Poster,
    shared: Devnet,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await poster.post(1)
    for _ in range(30):
        shared.rpc("evm_mine")
    await poster.post(1)
    shared.rpc("evm_mine")
    monkeypatch.setattr(watch, "FIRST_CHUNK", 4)
    monkeypatch.setattr(watch, "MAX_CHUNK", 8)
    async with follow():
        await until(lambda: len(consumer.kept) == 2)
    heads = [consumer.start - 1, *(batch.head.number for batch in consumer.batches)]
    steps = [b - a for a, b in pairwise(heads)]
    assert max(steps) <= 8
    assert steps[0] == 4
    assert consumer.specs() == poster.specs


async def test_a_node_that_wants_smaller_ranges_gets_them(
    follow: Follow, consumer: Consumer, poster: Poster, shared: Devnet, proxy: Proxy
) -> None:
    await poster.post(1)
    for _ in range(12):
        shared.rpc("evm_mine")

    def rule(request: dict[str, Any], forward: Callable[[], bytes]) -> bytes:
        where = request["params"][0] if request["method"] == "eth_getLogs" else {}
        if "fromBlock" in where and int(where["toBlock"], 16) - int(where["fromBlock"], 16) > 3:
            return failure(request, -32005, "query returned more than 10000 results")
        return forward()

    proxy.rule = rule
    async with follow(proxy.url):
        await until(lambda: len(consumer.kept) == 1)
    assert consumer.specs() == poster.specs


async def test_a_reorganisation_takes_back_and_gives_anew(
    follow: Follow, consumer: Consumer, poster: Poster, shared: Devnet
) -> None:
    async with follow():
        await poster.post(2)
        await until(lambda: len(consumer.kept) == 2)
        old = [event.block_hash for event in consumer.kept]
        last = max(event.block for event in consumer.kept)
        await until(lambda: consumer.batches[-1].head.number > last)
        shared.rpc("assay_rewind", hex(min(e.block for e in consumer.kept) - 1), True)
        await until(lambda: bool(consumer.reorgs) and len(consumer.kept) == 2)
        await poster.post(1)
        await until(lambda: len(consumer.kept) == 3)
    assert consumer.reorgs[0] < min(event.block for event in consumer.kept)
    assert consumer.specs() == poster.specs
    assert not set(old) & {event.block_hash for event in consumer.kept}


async def test_what_a_reorganisation_loses_is_undone(
    follow: Follow, consumer: Consumer, poster: Poster, shared: Devnet
) -> None:
    async with follow():
        await poster.post(1)
        await until(lambda: len(consumer.kept) == 1)
        shared.rpc("assay_rewind", hex(consumer.kept[0].block - 1), False)
        await until(lambda: bool(consumer.reorgs))
        assert consumer.kept == []


async def test_a_reorganisation_while_away_is_seen_at_the_start(
    follow: Follow, consumer: Consumer, poster: Poster, shared: Devnet
) -> None:
    async with follow():
        await poster.post(1)
        await until(lambda: len(consumer.kept) == 1)
        last = consumer.batches[-1].head.number
    shared.rpc("assay_rewind", hex(consumer.kept[0].block - 1), False)
    while shared.number <= last:
        shared.rpc("evm_mine")
    async with follow():
        await until(lambda: bool(consumer.reorgs))
    assert consumer.kept == []


async def test_a_node_that_lags_takes_nothing_back(
    follow: Follow, consumer: Consumer, poster: Poster, proxy: Proxy, shared: Devnet
) -> None:
    """Behind one URL there may be several nodes, not all at the same block.

    The blocks between the event and the head were read at once: the trail does not hold them.
    """
    await poster.post(1)
    for _ in range(6):
        shared.rpc("evm_mine")
    async with follow(proxy.url):
        await until(lambda: len(consumer.kept) == 1)
        behind = hex(consumer.batches[0].head.number - 2)
        asked = 0

        def lag(request: dict[str, Any], forward: Callable[[], bytes]) -> bytes:
            nonlocal asked
            if request["method"] == "eth_getBlockByNumber" and request["params"][0] == "latest":
                asked += 1
                request["params"][0] = behind
                return proxy.forward(request)
            return forward()

        proxy.rule = lag
        await until(lambda: asked > 3)
        proxy.rule = lambda request, forward: forward()
        count = len(consumer.batches)
        await until(lambda: len(consumer.batches) > count)
    assert consumer.reorgs == []
    assert len(consumer.kept) == 1


@pytest.mark.parametrize(
    ("age", "says"),
    [
        (0, ""),
        (watch.OLD_HEAD_SECONDS, ""),
        (3600, "the newest block of the chain, 7, is 60 minutes old: the chain stands still, its "),
        (-watch.EARLY_HEAD_SECONDS, ""),
        (-3600, "block of the chain, 7, is 60 minutes in the future: this machine's clock is slow"),
    ],
)
def test_a_head_of_an_odd_age_is_said(age: float, says: str) -> None:
    """A chain that stands still answers every call; so does one that an hour divides from us."""
    now = 1_800_000_000
    seen = watch.ChainStatus("http://node", True, 7, "", head_time=int(now - age))
    assert says in seen.doubt(now)
    assert bool(seen.doubt(now)) == bool(says)
    assert watch.ChainStatus("http://node", True, None, "").doubt(now) == ""
    assert watch.ChainStatus("http://node", False, 7, "unreachable").doubt(now) == ""


async def test_a_chain_that_is_down_is_waited_for(store: Store) -> None:
    port = closed_port()
    consumer = Consumer(store, 0)
    with Devnet(port=port) as devnet:
        client = await ChainClient.open(devnet.url, CHAIN_ID)
        address = await deploy(client, SIGNERS[9], "bounty")
        client = await ChainClient.open(devnet.url, CHAIN_ID, address)
        watcher = Watcher(client, await consumer.cursor(), consumer.take, interval=0.05)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watcher.run)
            await until(lambda: len(consumer.batches) > 2)
            devnet.stop()
            await until(lambda: not watcher.status().reachable)
            assert "unreachable" in watcher.status().last_error
            seen = len(consumer.batches)
            with Devnet(port=port, chain_id=5):
                await until(lambda: "chain id 5" in watcher.status().last_error)
            with Devnet(port=port):
                await until(lambda: "has no contract" in watcher.status().last_error)
                assert len(consumer.batches) == seen
            nursery.cancel_scope.cancel()


async def test_a_slow_chain_is_followed_slowly(
    follow: Follow, consumer: Consumer, poster: Poster, proxy: Proxy
) -> None:
    """Every twelfth call is not answered in time."""
    count = 0
    hold = threading.Event()

    def rule(request: dict[str, Any], forward: Callable[[], bytes]) -> bytes | None:
        nonlocal count
        count += 1
        if count % 12 == 0:
            hold.wait(20)
            return None
        return forward()

    proxy.rule = rule
    async with follow(proxy.url, timeout=0.2) as watcher:
        await poster.post(3)
        errors: set[str] = set()

        def done() -> bool:
            errors.add(watcher.status().last_error)
            return len(consumer.kept) == 3 and any("did not answer" in e for e in errors)

        await until(done)
        hold.set()
    assert consumer.specs() == poster.specs


async def test_a_reorganisation_deeper_than_the_bound_stops_for_a_person(
    consumer: Consumer, shared: Devnet, contract: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "MAX_REORG", 3)
    for _ in range(6):
        shared.rpc("evm_mine")
    start = shared.number
    trail = tuple((number, bytes([number % 256]) * 32) for number in range(start - 4, start + 1))
    client = await ChainClient.open(shared.url, CHAIN_ID, contract)
    watcher = Watcher(client, Cursor(start - 5, trail), consumer.take, interval=0.05)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watcher.run)
        await until(lambda: "by more than 3 blocks" in watcher.status().last_error)
        nursery.cancel_scope.cancel()
    assert consumer.batches == []


async def test_a_new_home_begins_near_the_head(
    shared: Devnet, contract: bytes, store: Store, poster: Poster
) -> None:
    await poster.post()
    later = Consumer(store, 1)
    client = await ChainClient.open(shared.url, CHAIN_ID, contract)
    head = await client.head()
    watcher = Watcher(client, Cursor(0), later.take, interval=0.05, history=2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watcher.run)
        await until(lambda: bool(later.batches))
        nursery.cancel_scope.cancel()
    assert later.batches[0].cursor.root >= head.number - 2
    client.close()


class Lag:
    """A node whose index of logs lags: it shows none of a block until it is asked again, later."""

    def __init__(self, *, blooms: bool) -> None:
        self.blooms = blooms
        self.late = True
        self.hid = threading.Event()

    def __call__(self, request: dict[str, Any], forward: Callable[[], bytes]) -> bytes:
        reply = forward()
        value = json.loads(reply).get("result")
        if request["method"] == "eth_getLogs" and self.late and value:
            self.hid.set()
            return result(request, [])
        if request["method"] == "eth_getBlockByNumber" and value and not self.blooms:
            del value["logsBloom"]
            return result(request, value)
        return reply


async def test_logs_that_come_late_are_not_lost(
    follow: Follow, consumer: Consumer, poster: Poster, proxy: Proxy
) -> None:
    """The header says that the block may hold some: the cursor waits for them."""
    lag = proxy.rule = Lag(blooms=True)
    async with follow(url=proxy.url) as watcher:
        await until(lambda: bool(consumer.batches))
        await poster.post()
        await until(lag.hid.is_set)
        await until(lambda: "lags behind its head" in watcher.status().last_error)
        assert consumer.kept == []
        lag.late = False
        await until(lambda: consumer.specs() == poster.specs)
    assert [event.block for event in consumer.kept] == sorted(e.block for e in consumer.kept)


async def test_without_a_bloom_the_last_blocks_are_read_again(
    follow: Follow, consumer: Consumer, poster: Poster, proxy: Proxy
) -> None:
    lag = proxy.rule = Lag(blooms=False)
    async with follow(url=proxy.url):
        await until(lambda: bool(consumer.batches))
        await poster.post()
        await until(lag.hid.is_set)
        lag.late = False
        await poster.post()
        await until(lambda: len(consumer.kept) == 2)
    assert sorted(consumer.specs()) == sorted(poster.specs)
    assert consumer.reorgs == []


async def test_a_header_that_errs_holds_nobody_up_for_ever(
    follow: Follow, consumer: Consumer, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bloom says maybe of one full block in fifty, and means no."""
    monkeypatch.setattr(watch, "PATIENCE", 1)

    def rule(request: dict[str, Any], forward: Callable[[], bytes]) -> bytes:
        reply = json.loads(forward())
        if request["method"] == "eth_getBlockByNumber" and reply["result"]:
            reply["result"]["logsBloom"] = "0x" + "ff" * 256
        return json.dumps(reply).encode()

    proxy.rule = rule
    async with follow(url=proxy.url):
        await until(lambda: bool(consumer.batches))
