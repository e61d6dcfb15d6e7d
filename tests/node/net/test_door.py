"""The door: so many are taken in a second, and who has not said a word is not spoken to."""

from __future__ import annotations

from collections import Counter

import pytest
import trio
from kits.net.swarms import dial, stranger, stream_to, swarm, wait_until
from trio.testing import MockClock

from node.net.arrivals import first_words
from node.net.arrivals.door import Door
from node.net.peering import whois
from node.net.rules import turns
from node.net.transport import ExclusiveTCP


async def test_so_many_a_second_come_in_and_the_honest_before_a_crowd(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Two hundred wait, from fifty addresses; one that comes last comes in at once."""
    door = Door(Counter())
    nursery.start_soon(door.run)
    taken_in: list[str] = []

    async def comes(address: str, name: str) -> None:
        if await door.wait(name, address, name):
            taken_in.append(name)

    for number in range(200):
        nursery.start_soon(comes, f"127.0.1.{number % 50}", f"idle {number}")
    await trio.sleep(4)
    expected = turns.TAKEN_IN_AT_ONCE + 4 * turns.TAKEN_IN_PER_SECOND
    assert expected - 3 <= len(taken_in) <= expected
    began = trio.current_time()
    await comes("192.0.2.1", "honest")
    assert trio.current_time() - began <= 2 / turns.TAKEN_IN_PER_SECOND
    # It spoke: the next one of its address is waited for by nobody either.
    door.spoke("192.0.2.1", "honest")
    await comes("192.0.2.1", "another")
    assert trio.current_time() - began <= 4 / turns.TAKEN_IN_PER_SECOND
    assert {"honest", "another"} <= set(taken_in)


async def test_nobody_waits_forever_and_a_known_one_goes_first(
    autojump_clock: MockClock, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = Door(Counter())
    nursery.start_soon(door.run)
    monkeypatch.setattr(turns, "MAX_AT_DOOR", 40)
    door.knows = lambda peer: peer == "friend"
    said: dict[str, bool] = {}

    async def comes(address: str, name: str) -> None:
        said[name] = await door.wait(name, address, name)

    for number in range(turns.TAKEN_IN_AT_ONCE + 100):
        nursery.start_soon(comes, "192.0.2.1", f"idle {number}")
    await trio.sleep(0.001)
    assert list(said.values()).count(False) >= 60
    await comes("192.0.2.1", "friend")
    assert said["friend"]
    assert list(said.values()).count(True) <= turns.TAKEN_IN_AT_ONCE + 3
    await trio.sleep(turns.DOOR_SECONDS + 1)
    assert len(said) == turns.TAKEN_IN_AT_ONCE + 101


async def test_who_has_said_nothing_is_not_spoken_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stranger is asked nothing, until it opens a stream of this network or is here for long."""
    monkeypatch.setattr(first_words, "PATIENCE", 3.0)
    async with swarm() as node, stranger() as talks, stranger() as waits:
        asked: dict[str, float] = {}

        for name, host in (("talks", talks), ("waits", waits)):

            async def asks(stream: object, name: str = name) -> None:
                asked.setdefault(name, trio.current_time())

            host.set_stream_handler(whois.PROTOCOL, asks)  # type: ignore[arg-type]
            await dial(host, node)
        began = trio.current_time()
        await stream_to(talks, node, whois.PROTOCOL)
        await wait_until(lambda: "talks" in asked, 2)
        assert "waits" not in asked
        await wait_until(lambda: "waits" in asked, 10)
        assert asked["waits"] - began >= 2.5


async def test_one_port_that_dials_two_addresses_of_a_node_does_not_end_it() -> None:
    """Connections in their handshake are told apart by where they come from, and both do here."""
    async with swarm(listen=("/ip4/0.0.0.0/tcp/0",)) as node:
        port = int(node.addresses()[0].split("/")[4])
        dialled: list[trio.SocketStream] = []
        source = 0
        for host in ("127.0.0.1", "127.0.0.2"):
            socket = trio.socket.socket()
            socket.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_REUSEADDR, 1)
            await socket.bind(("127.0.0.9", source))
            source = socket.getsockname()[1]
            await socket.connect((host, port))
            dialled.append(trio.SocketStream(socket))
            await dialled[-1].send_all(b"\x13/multistream/1.0.0\n")
            assert await dialled[-1].receive_some(1)
        for each in dialled:
            await each.aclose()
        await trio.sleep(0.2)
        assert await node.probe()


async def test_a_defect_in_taking_in_a_connection_does_not_end_the_node(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails(transport: ExclusiveTCP, stream: object) -> bool:
        raise ZeroDivisionError

    async with swarm() as node:
        with monkeypatch.context() as patched:
            patched.setattr(ExclusiveTCP, "shakes_hands", fails)
            await node.probe()
            await wait_until(lambda: "the node goes on" in caplog.text)
        assert await node.probe()
