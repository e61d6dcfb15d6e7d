"""Connections that say nothing hold no places: honest peers get in beside any number of them."""

from __future__ import annotations

import contextlib

import pytest
import trio
from kits.net.swarms import dial, stranger, swarm, wait_until
from libp2p.network.exceptions import SwarmException
from multiaddr import Multiaddr

from node.net.host import network_of
from node.net.rules import turns, worth
from node.net.swarm import Swarm
from protocol import params

CROWD = 200


async def test_honest_dials_get_in_beside_two_hundred_silent_connections() -> None:
    async with swarm() as victim, contextlib.AsyncExitStack() as stack:
        port = int(Multiaddr(victim.addresses()[0]).value_for_protocol("tcp") or 0)
        for _ in range(CROWD):
            await stack.enter_async_context(await trio.open_tcp_stream("127.0.0.1", port))
        for number in range(5):
            await stack.enter_async_context(stranger(victim))
            await wait_until(lambda number=number: len(victim.peers()) == number + 1, 5)


async def test_the_oldest_silent_connection_goes_and_each_does_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(params, "MAX_SILENT_CONNECTIONS", 2)
    async with swarm() as victim, contextlib.AsyncExitStack() as stack:
        port = int(Multiaddr(victim.addresses()[0]).value_for_protocol("tcp") or 0)

        async def silent() -> trio.SocketStream:
            stream = await trio.open_tcp_stream("127.0.0.1", port)
            return await stack.enter_async_context(stream)

        first, second = await silent(), await silent()
        with trio.move_on_after(0.3) as waiting:
            await first.receive_some()
        assert waiting.cancelled_caught  # at the limit, both stay
        await silent()
        with trio.fail_after(2):
            assert await first.receive_some() == b""
        with trio.fail_after(params.SILENT_SECONDS + 3):
            assert await second.receive_some() == b""


@pytest.mark.parametrize("addresses", [1, 50])
async def test_honest_dials_get_in_beside_handshakes_that_stop(
    addresses: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of the crowd says the first words and no more, and is back when it is closed."""
    monkeypatch.setattr(params, "MAX_HANDSHAKES", 32)
    monkeypatch.setattr(params, "MAX_HANDSHAKES_OF_ONE", 16)
    async with swarm() as victim, trio.open_nursery() as crowd:
        port = int(Multiaddr(victim.addresses()[0]).value_for_protocol("tcp") or 0)
        for number in range(60):
            crowd.start_soon(stalled, f"127.0.1.{1 + number % addresses}", port)
        await wait_until(lambda: len(shaking(victim)) >= params.MAX_HANDSHAKES_OF_ONE)
        async with contextlib.AsyncExitStack() as stack:
            for number in range(5):
                await stack.enter_async_context(stranger(victim))
                await wait_until(lambda number=number: len(victim.peers()) == number + 1, 5)
            assert len(shaking(victim)) <= params.MAX_HANDSHAKES + 1
            assert victim.statistics()["handshakes.crowded_out"] > 0
        crowd.cancel_scope.cancel()


async def test_who_owes_nothing_goes_before_a_crowd_at_the_door(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Forty dial from five addresses, and say nothing; one comes after them, two of them a second
    come in."""
    monkeypatch.setattr(turns, "TAKEN_IN_PER_SECOND", 2)
    monkeypatch.setattr(turns, "TAKEN_IN_AT_ONCE", 8)
    async with swarm() as victim, trio.open_nursery() as nursery:

        async def dials(number: int) -> None:
            async with stranger(victim, source=f"127.0.1.{1 + number % 5}"):
                await trio.sleep_forever()

        for number in range(40):
            nursery.start_soon(dials, number)
        await wait_until(lambda: len(victim.peers()) >= 8)
        async with swarm(victim) as honest:
            there = {each.peer_id for each in victim.peers()}
            assert honest.peer_id in there
            # All at once, they would all be in before it: they began before it.
            assert len(there) <= 20
        nursery.cancel_scope.cancel()


@pytest.mark.long
async def test_honest_nodes_get_in_and_stay_beside_idle_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As many idle identities as there are places, each back when it is closed."""
    monkeypatch.setattr(params, "MAX_CONNECTIONS", 16)
    monkeypatch.setattr(worth, "GRACE", 2.0)
    async with swarm() as victim, trio.open_nursery() as crowd:
        for _ in range(18):
            crowd.start_soon(idle, victim)
        await wait_until(lambda: victim.statistics().get("evicted", 0) >= 4, 30)
        async with swarm(victim) as one, swarm(victim) as two, swarm(victim) as three:
            honest = {one.peer_id, two.peer_id, three.peer_id}
            await wait_until(lambda: honest <= set(map(str, victim._parts.peers.agents)), 60)
            evicted = victim.statistics()["evicted"]
            await wait_until(lambda: victim.statistics()["evicted"] >= evicted + 10, 30)
            assert honest <= {each.peer_id for each in victim.peers()}
            assert len(victim.peers()) <= params.MAX_CONNECTIONS
        crowd.cancel_scope.cancel()


async def idle(victim: Swarm) -> None:
    """A peer that connects, answers nothing, and comes again when it is closed."""
    async with stranger() as host:
        while True:
            with contextlib.suppress(SwarmException):
                await dial(host, victim)
                await wait_until(lambda: not network_of(host).connections, 60)
            await trio.sleep(0.3)


def shaking(victim: Swarm) -> dict[tuple[str, int], object]:
    (listener,) = network_of(victim._parts.host).listeners.values()
    return listener._transport._shaking  # type: ignore[attr-defined,no-any-return]


async def stalled(address: str, port: int) -> None:
    """A dialler that stops in its handshake, again and again."""
    while True:
        with contextlib.suppress(OSError, trio.BrokenResourceError):
            async with await trio.open_tcp_stream(
                "127.0.0.1", port, local_address=address
            ) as stream:
                await stream.send_all(b"\x13/multistream/1.0.0\n")
                while await stream.receive_some():
                    pass
        await trio.sleep(1)
