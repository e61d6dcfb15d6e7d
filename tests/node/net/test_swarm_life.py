"""Starting, losing and finding each other again, stopping."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from kits.net.processes import Lines, process
from kits.net.swarms import LOOPBACK, TOPIC, accept, stranger, swarm, wait_until

from node.net import transport
from node.net.errors import Unreachable
from node.net.host import network_of
from node.net.peering import lines as peering_lines
from node.net.peering import peers
from node.net.rules import pace
from node.net.swarm import Swarm, SwarmConfig, open_swarm
from protocol import params
from protocol.errors import FatalError, InputError


def port_of(node: Swarm) -> int:
    found = re.search(r"/tcp/(\d+)/", node.addresses()[0])
    assert found
    return int(found[1])


async def test_a_port_in_use_is_named() -> None:
    async with swarm() as a:
        port = port_of(a)
        for taken in (f"/ip4/127.0.0.1/tcp/{port}", f"/ip4/0.0.0.0/tcp/{port}"):
            with pytest.raises(InputError, match=f"port {port} is in use"):
                async with open_swarm(SwarmConfig((taken,), seed=os.urandom(32))):
                    pass
        assert await a.probe()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (SwarmConfig(("nonsense",), seed=bytes(32)), "'nonsense' is no multiaddr"),
        (SwarmConfig(("/ip4/127.0.0.1/udp/1",), seed=bytes(32)), "not of the form"),
        (SwarmConfig(("/ip4/203.0.113.7/tcp/0",), seed=bytes(32)), "cannot listen on /ip4/203"),
        (SwarmConfig(LOOPBACK, ("/ip4/127.0.0.1/tcp/1",), bytes(32)), "is no peer address"),
        (SwarmConfig(LOOPBACK, ("nonsense",), bytes(32)), "is no peer address"),
        (SwarmConfig(LOOPBACK, seed=b"short"), "seed has 32 bytes"),
    ],
)
async def test_a_configuration_that_cannot_be_is_refused_by_name(
    config: SwarmConfig, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        async with open_swarm(config):
            pass


async def test_the_seed_decides_the_identity_and_is_never_shown() -> None:
    config = SwarmConfig(LOOPBACK, seed=b"\x07" * 32)
    assert "7" not in repr(config).replace("127", "")
    async with open_swarm(config) as a:
        first = a.peer_id
        assert a.addresses()[0].endswith(f"/p2p/{first}")
        with pytest.raises(InputError, match="own address"):
            await a.join(a.addresses()[0])
    async with open_swarm(config) as again:
        assert again.peer_id == first
        assert again.peer_id_bytes[:6] == bytes.fromhex("002408011220")


async def test_the_body_s_own_error_comes_out_as_it_is() -> None:
    with pytest.raises(KeyError, match="mine"):
        async with swarm():
            raise KeyError("mine")


async def test_when_the_networks_machinery_fails_the_block_ends_with_fatal() -> None:
    async def fail() -> None:
        raise ValueError("the library's loop broke")

    async def run() -> None:
        async with swarm() as a:
            a._parts.pubsub.manager.run_daemon_task(fail)
            await trio.sleep(10)

    with pytest.raises(FatalError, match="the library's loop broke"):
        await run()


async def test_a_swarm_that_is_closed_leaves_no_thread_of_the_library() -> None:
    def sweepers() -> list[threading.Thread]:
        return [each for each in threading.enumerate() if "_background_cleanup" in each.name]

    before = len(sweepers())
    async with swarm(), swarm():
        assert len(sweepers()) == before + 2
    assert len(sweepers()) == before


async def test_a_task_of_the_library_that_fails_is_survived() -> None:
    async def fail() -> None:
        raise ValueError("one task broke")

    async with swarm() as a:
        a._parts.pubsub.manager.run_task(fail)
        await wait_until(lambda: a.statistics().get("guard.task") == 1)
        assert await a.probe()


async def test_the_probe_tells_the_living_from_the_deaf() -> None:
    async with swarm() as a:
        assert await a.probe()
        a._parts.gossip.last_beat -= 60
        assert not await a.probe()
        await wait_until(lambda: a._parts.gossip.last_beat > trio.current_time() - 5)
        assert await a.probe()
        for listener in a._parts.host.get_network().listeners.values():
            listener._scope.cancel()  # type: ignore[attr-defined]
        assert not await a.probe()


async def test_more_connections_in_a_life_than_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library never gives the place of an inbound connection back."""
    monkeypatch.setattr(params, "MAX_CONNECTIONS", 3)
    monkeypatch.setattr(transport, "_CLEANUP_SECONDS", 0.01)
    async with swarm() as a:
        for _ in range(8):
            async with stranger(a):
                await wait_until(lambda: len(a.peers()) == 1)
            await wait_until(lambda: not a.peers())


async def test_no_more_connections_at_once_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A newcomer gets in, and the one that has been of no use for longest goes.

    That holds in a crowd too, of which nobody was looked at since it came.
    """
    monkeypatch.setattr(params, "MAX_CONNECTIONS", 2)
    monkeypatch.setattr(peers, "_CROWD_SECONDS", 3600)
    async with swarm() as a, stranger(a) as first, stranger(a) as second:
        await wait_until(lambda: len(a.peers()) == 2)
        async with stranger(a) as third:
            there = {str(second.get_id()), str(third.get_id())}
            await wait_until(lambda: {each.peer_id for each in a.peers()} == there)
            await wait_until(lambda: not network_of(first).connections)
        assert a.statistics()["evicted"] == 1


async def test_members_and_chosen_peers_stay_in_a_crowd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(params, "MAX_CONNECTIONS", 2)
    async with swarm() as chosen, swarm(chosen) as a, stranger(a) as member:
        a.cherish(lambda: [str(member.get_id())])
        stay = {chosen.peer_id, str(member.get_id())}
        for number in range(3):
            async with stranger(a) as another:
                await wait_until(lambda another=another: not network_of(another).connections)
            await wait_until(lambda: {each.peer_id for each in a.peers()} == stay)
            assert a.statistics()["evicted"] == number + 1


async def test_when_the_bootstrap_node_comes_back_everybody_is_back() -> None:
    seed = os.urandom(32)
    async with trio.open_nursery() as nursery:
        ready: list[Swarm] = []

        async def member(bootstrap: str) -> None:
            config = SwarmConfig(LOOPBACK, (bootstrap,), os.urandom(32))
            async with open_swarm(config) as node:
                ready.append(node)
                await trio.sleep_forever()

        async with swarm(seed=seed) as boot:
            port = port_of(boot)
            nursery.start_soon(member, boot.addresses()[0])
            nursery.start_soon(member, boot.addresses()[0])
            await boot.wait_connected(2, 15)
            inboxes = [await node.subscribe(TOPIC, accept) for node in ready]
            await boot.wait_topic(TOPIC, 2, 15)
            await boot.publish(TOPIC, b"before")
            await all_hear(inboxes, b"before")
        config = SwarmConfig((f"/ip4/127.0.0.1/tcp/{port}",), seed=seed)
        async with open_swarm(config) as reborn:
            await reborn.wait_connected(2, 30)
            await reborn.wait_topic(TOPIC, 2, 15)
            await reborn.publish(TOPIC, b"after")
            await all_hear(inboxes, b"after")
        nursery.cancel_scope.cancel()


async def test_a_node_that_moved_finds_those_it_knew_and_they_go_on() -> None:
    """The node that all others dialled is back elsewhere, where nobody looks for it."""
    seed = os.urandom(32)
    async with trio.open_nursery() as nursery:
        ready: list[Swarm] = []

        async def member(bootstrap: str) -> None:
            config = SwarmConfig(LOOPBACK, (bootstrap,), os.urandom(32))
            async with open_swarm(config) as node:
                ready.append(node)
                await trio.sleep_forever()

        async with swarm(seed=seed) as boot:
            nursery.start_soon(member, boot.addresses()[0])
            nursery.start_soon(member, boot.addresses()[0])
            await wait_until(lambda: len(boot.records()) == 2)
            known, before = boot.records(), boot.addresses()
        inboxes = [await node.subscribe(TOPIC, accept) for node in ready]
        async with open_swarm(SwarmConfig(LOOPBACK, seed=seed)) as moved:
            assert moved.addresses() != before
            moved.learn([*known, b"no record", known[0][:-1]])
            await moved.wait_topic(TOPIC, 2, 15)
            await moved.publish(TOPIC, b"from elsewhere")
            await all_hear(inboxes, b"from elsewhere")
            moved.serve("/assay/echo/1", _echo)
            for node in ready:
                assert await node.request(moved.peer_id, "/assay/echo/1", b"?", 10) == b"?"
        nursery.cancel_scope.cancel()


async def _echo(peer: str, data: bytes) -> bytes:
    return data


async def all_hear(
    inboxes: list[trio.MemoryReceiveChannel[tuple[bytes, str]]], message: bytes
) -> None:
    for inbox in inboxes:
        with trio.fail_after(15):
            assert (await inbox.receive())[0] == message


async def test_a_peer_that_is_back_before_its_end_was_noticed_hears_gossip() -> None:
    """Same identity, a second connection, and only then the end of the first."""
    seed = os.urandom(32)
    async with swarm() as a:
        await a.subscribe(TOPIC, accept)
        async with trio.open_nursery() as nursery:
            leave = trio.Event()

            async def first_life() -> None:
                async with swarm(a, seed=seed) as before:
                    await before.subscribe(TOPIC, accept)
                    await a.wait_topic(TOPIC, 1, 15)
                    await leave.wait()

            nursery.start_soon(first_life)
            await a.wait_topic(TOPIC, 1, 15)
            async with swarm(a, seed=seed, listen=()) as after:
                inbox = await after.subscribe(TOPIC, accept)
                leave.set()
                heard: list[bytes] = []
                with trio.fail_after(30):
                    while not heard:
                        await a.publish(TOPIC, b"again?")
                        with trio.move_on_after(0.5):
                            heard.append((await inbox.receive())[0])
                await a.wait_topic(TOPIC, 1, 5)


async def test_joining_nobody_fails_now_and_succeeds_when_somebody_is_there() -> None:
    seed = os.urandom(32)
    async with swarm(seed=seed) as gone:
        address, port = gone.addresses()[0], port_of(gone)
    async with swarm() as a:
        with pytest.raises(Unreachable, match="no answer at /ip4"):
            await a.join(address)
        config = SwarmConfig((f"/ip4/127.0.0.1/tcp/{port}",), seed=seed)
        async with open_swarm(config) as back:
            await wait_until(lambda: [each.peer_id for each in a.peers()] == [back.peer_id])


@asynccontextmanager
async def line_to(node: Swarm) -> AsyncIterator[tuple[str, trio.Event]]:
    """A TCP line to a node that can be cut without a word: bytes vanish, nothing is closed."""
    cut = trio.Event()

    async def carry(stream: trio.SocketStream) -> None:
        if cut.is_set():
            await trio.sleep_forever()
        onward = await trio.open_tcp_stream("127.0.0.1", port_of(node))
        async with trio.open_nursery() as lines:
            lines.start_soon(copy, stream, onward)
            lines.start_soon(copy, onward, stream)

    async def copy(source: trio.SocketStream, target: trio.SocketStream) -> None:
        while True:
            piece = await source.receive_some(65536)
            if cut.is_set():
                await trio.sleep_forever()
            if not piece:
                await target.aclose()
                return
            await target.send_all(piece)

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, carry, 0)
        port = listeners[0].socket.getsockname()[1]
        yield f"/ip4/127.0.0.1/tcp/{port}/p2p/{node.peer_id}", cut
        nursery.cancel_scope.cancel()


async def test_a_line_that_goes_dead_is_noticed_and_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(peers, "ASK_SECONDS", 0.2)
    monkeypatch.setattr(pace, "FIRST_PAUSE", 0.2)
    monkeypatch.setattr(peering_lines, "LEAST_PATIENCE", 1.0)
    async with swarm() as a, line_to(a) as (address, cut):
        config = SwarmConfig((), (address,), os.urandom(32))
        async with open_swarm(config) as b:
            await b.wait_connected(1, 15)
            cut.set()
            await wait_until(lambda: not a.peers())
            assert a.statistics()["hung_up.silent"] == 1


async def test_nodes_dial_more_peers_than_they_were_told_of() -> None:
    async with swarm() as boot, swarm(boot) as a, swarm(boot) as b, swarm(boot) as c:
        for node in (a, b, c):
            await wait_until(lambda node=node: len(node.peers()) == 3)
            assert {each.agent for each in node.peers()} <= {"assay/0.1.0", ""}


async def test_three_processes_gossip_and_answer_across() -> None:
    async with (
        swarm() as here,
        process(here.addresses()[0]) as one,
        process(here.addresses()[0]) as two,
    ):
        from_one, from_two = Lines(one), Lines(two)
        ids = [(await lines.next()).rsplit("/", 1)[1] for lines in (from_one, from_two)]
        inbox = await here.subscribe(TOPIC, accept)
        await here.wait_topic(TOPIC, 2, 30)
        await here.publish(TOPIC, b"from here")
        assert await from_one.next() == f"{here.peer_id} from here"
        assert await from_two.next() == f"{here.peer_id} from here"
        assert one.stdin
        await one.stdin.send_all(b"from one\n")
        with trio.fail_after(20):
            assert await inbox.receive() == (b"from one", ids[0])
        assert await from_two.next() == f"{ids[0]} from one"
        reply = await here.request(ids[1], "/assay/who/1", b"", 20)
        assert reply == f"{two.pid} {ids[1]}".encode()
        # A killed process is noticed; the rest goes on.
        one.kill()
        await wait_until(lambda: ids[0] not in {each.peer_id for each in here.peers()}, 20)
        await here.publish(TOPIC, b"without one")
        assert await from_two.next() == f"{here.peer_id} without one"
