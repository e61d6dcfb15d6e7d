"""Lines as they are: late and thin, cut in the middle, held up one way, a process that is stopped.

Real sockets and real bytes; what a whole job makes of the same is in tests/virtual (`far`,
`resets`, `one-way`, `stopped`).
"""

from __future__ import annotations

import json
import os
import signal

import pytest
import trio
from kits.net.processes import Lines, process
from kits.net.swarms import TOPIC, Basket, Shelf, accept, swarm, wait_until
from kits.net.weather import Weather, behind

from node.net.errors import FetchFailed, Unreachable
from node.net.peering import lines, peers
from node.net.rules import pace
from node.net.swarm import Swarm
from protocol.wire.blobs import blob_digest

MIB = 1024 * 1024
ECHO = "/assay/echo/1"
#: 300 ms each way, 2 Mbit/s.
FAR = {"delay": 0.3, "bytes_per_second": 250e3}


def echoes(node: Swarm) -> None:
    async def answer(peer: str, data: bytes) -> bytes:
        return data

    node.serve(ECHO, answer)


def hung_up(*nodes: Swarm) -> int:
    return sum(node.statistics().get("hung_up.silent", 0) for node in nodes)


@pytest.mark.ci
async def test_a_line_of_300_ms_and_2_mbit_carries_all_that_a_job_needs() -> None:
    content = os.urandom(2 * MIB)
    async with behind(Weather(**FAR)) as a, swarm(a, listen=()) as b:
        echoes(a)
        a.serve_blobs(Shelf(content))
        heard = await a.subscribe(TOPIC, accept)
        inbox = await b.subscribe(TOPIC, accept)
        for node in (a, b):
            await node.wait_topic(TOPIC, 1, 20)
        large = os.urandom(60_000)
        await b.publish(TOPIC, large)
        await a.publish(TOPIC, b"back")
        with trio.fail_after(20):
            assert (await heard.receive())[0] == large
            assert (await inbox.receive())[0] == b"back"
        asked = os.urandom(100_000)
        assert await b.request(a.peer_id, ECHO, asked, 10) == asked
        basket = Basket()
        with trio.fail_after(60):
            await b.fetch(blob_digest(content), len(content), [a.peer_id], basket)
        assert bytes(basket.kept) == content
        assert hung_up(a, b) == 0


async def test_a_node_that_nobody_can_dial_is_asked_over_the_line_that_it_opened() -> None:
    """As behind a router: both ways, and again after the line broke, because it dials anew."""
    content = os.urandom(MIB + 1)
    weather = Weather()
    async with behind(weather) as a, swarm(a, listen=()) as b:
        for node in (a, b):
            echoes(node)
        b.serve_blobs(Shelf(content))
        for again in range(2):
            if again:
                weather.cut()
                await wait_until(lambda: weather.lines == 2 and a.peers() and b.peers())
            assert await a.request(b.peer_id, ECHO, b"to b", 10) == b"to b"
            assert await b.request(a.peer_id, ECHO, b"to a", 10) == b"to a"
            basket = Basket()
            await a.fetch(blob_digest(content), len(content), [b.peer_id], basket)
            assert bytes(basket.kept) == content


async def test_two_that_nobody_can_dial_reach_each_other_by_gossip_alone() -> None:
    async with swarm() as third, swarm(third, listen=()) as a, swarm(third, listen=()) as b:
        echoes(b)
        with pytest.raises(Unreachable, match="no address is known"):
            await a.request(b.peer_id, ECHO, b"to b", 10)


async def test_a_line_that_is_cut_again_and_again_costs_no_chunk_twice() -> None:
    """Reset in the middle of a blob: the next try goes on with what is there."""
    content = os.urandom(6 * MIB)
    weather = Weather(bytes_per_second=8e6)
    async with behind(weather) as a, swarm(a, listen=()) as b:
        a.serve_blobs(Shelf(content))
        heard = await a.subscribe(TOPIC, accept)
        basket, tries = Basket(), 0
        with trio.fail_after(60):
            while not basket.finished:
                try:
                    async with trio.open_nursery() as nursery:
                        if tries < 3:
                            nursery.start_soon(_cut_after, weather, int(2.3 * MIB))
                        await b.fetch(blob_digest(content), len(content), [a.peer_id], basket)
                        nursery.cancel_scope.cancel()
                except* FetchFailed:
                    await wait_until(b.peers)  # it dials by itself
                tries += 1
        assert bytes(basket.kept) == content
        assert sorted(basket.writes) == [number * MIB for number in range(6)]
        assert (weather.lines, tries) >= (3, 3)
        await b.wait_topic(TOPIC, 1, 15)
        await b.publish(TOPIC, b"after")
        with trio.fail_after(15):
            assert (await heard.receive())[0] == b"after"


async def _cut_after(weather: Weather, size: int) -> None:
    end = weather.carried + size
    await wait_until(lambda: weather.carried >= end, 30)
    weather.cut()


@pytest.mark.parametrize("way", ["in", "out"])
async def test_a_way_that_is_held_up_for_a_while_costs_nothing(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shorter than a line's patience: it stands, and all that was said comes through."""
    monkeypatch.setattr(peers, "ASK_SECONDS", 0.2)
    monkeypatch.setattr(pace, "FIRST_PAUSE", 0.2)
    monkeypatch.setattr(lines, "LEAST_PATIENCE", 5.0)
    weather = Weather()
    async with behind(weather) as a, swarm(a, listen=()) as b:
        heard, inbox = await a.subscribe(TOPIC, accept), await b.subscribe(TOPIC, accept)
        for node in (a, b):
            await node.wait_topic(TOPIC, 1, 15)
        lost, carried = (b, heard) if way == "in" else (a, inbox)
        found, goes = (a, inbox) if way == "in" else (b, heard)
        weather.held.add(way)  # type: ignore[arg-type]
        await lost.publish(TOPIC, b"held up")
        await found.publish(TOPIC, b"comes through")
        with trio.fail_after(2):
            assert (await goes.receive())[0] == b"comes through"
        await trio.sleep(2)
        weather.held.clear()
        with trio.fail_after(10):
            assert (await carried.receive())[0] == b"held up"
        assert (hung_up(a, b), weather.lines) == (0, 1)


@pytest.mark.parametrize("way", ["in", "out"])
async def test_a_way_that_stays_held_up_is_given_up_and_dialled_anew(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "ASK_SECONDS", 0.2)
    monkeypatch.setattr(pace, "FIRST_PAUSE", 0.2)
    monkeypatch.setattr(lines, "LEAST_PATIENCE", 1.0)
    weather = Weather()
    async with behind(weather) as a, swarm(a, listen=()) as b:
        heard = await a.subscribe(TOPIC, accept)
        await b.wait_topic(TOPIC, 1, 15)
        weather.held.add(way)  # type: ignore[arg-type]
        await wait_until(lambda: hung_up(a, b), 30)
        weather.held.clear()
        await wait_until(lambda: a.peers() and b.peers(), 30)
        await b.wait_topic(TOPIC, 1, 30)
        await b.publish(TOPIC, b"after")
        with trio.fail_after(15):
            assert (await heard.receive())[0] == b"after"


@pytest.mark.parametrize("seconds", [4, pytest.param(90, marks=pytest.mark.long)])
async def test_a_process_that_is_stopped_comes_back_and_blames_nobody(seconds: int) -> None:
    """SIGSTOP: a short one is not even noticed, after a long one it dials again by itself."""
    async with swarm() as here, process(here.addresses()[0]) as child:
        heard = Lines(child)
        name = (await heard.next()).rsplit("/", 1)[1]
        await here.subscribe(TOPIC, accept)
        await here.wait_topic(TOPIC, 1, 30)
        child.send_signal(signal.SIGSTOP)
        await here.publish(TOPIC, b"while it is stopped")
        await trio.sleep(seconds)
        assert hung_up(here) == (0 if seconds < lines.LEAST_PATIENCE else 1)
        child.send_signal(signal.SIGCONT)
        await wait_until(lambda: name in {each.peer_id for each in here.peers()}, 45)
        await here.wait_topic(TOPIC, 1, 30)
        await here.publish(TOPIC, b"after")
        with trio.fail_after(20):
            while await heard.next() != f"{here.peer_id} after":
                pass
        told = json.loads(await here.request(name, "/assay/statistics/1", b"", 20))
        assert told.get("hung_up.silent", 0) == 0
