"""What a remote peer, or ordinary use, does to an unguarded py-libp2p 0.8.1 host."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import libp2p
import pytest
import trio
import trio.testing
from libp2p.abc import IHost, INetStream, ISecureConn
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.custom_types import TProtocol
from libp2p.host.autonat.autonat import AutoNATService
from libp2p.io.exceptions import IncompleteReadError
from libp2p.io.trio import TrioTCPStream
from libp2p.io.utils import read_exactly
from libp2p.network.config import ConnectionConfig
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.pubsub import Pubsub
from libp2p.security.noise.io import MAX_PLAINTEXT_LENGTH
from libp2p.stream_muxer.exceptions import MuxedStreamError
from libp2p.stream_muxer.yamux.yamux import (
    DEFAULT_WINDOW_SIZE,
    FLAG_SYN,
    MAX_MESSAGE_SIZE,
    TYPE_DATA,
    YAMUX_HEADER_FORMAT,
    Yamux,
    YamuxStream,
)
from libp2p.tools.anyio_service import background_trio_service
from libp2p.utils.varint import encode_varint_prefixed
from multiaddr import Multiaddr

LOOPBACK = Multiaddr("/ip4/127.0.0.1/tcp/0")
GOSSIP = TProtocol("/meshsub/1.2.0")


async def wait_until(condition: Callable[[], object], timeout: float = 10) -> None:
    with trio.fail_after(timeout):
        while not condition():  # noqa: ASYNC110 - the conditions have no event
            await trio.sleep(0.02)


@asynccontextmanager
async def running(*listen: Multiaddr, **options: Any) -> AsyncIterator[IHost]:
    host = libp2p.new_host(key_pair=create_new_key_pair(os.urandom(32)), **options)
    async with host.run(list(listen)):
        yield host
        with trio.CancelScope(shield=True), trio.move_on_after(5):
            await host.close()


async def connect(host: IHost, target: IHost) -> None:
    await host.connect(info_from_p2p_addr(target.get_addrs()[0]))


def gossip_router() -> GossipSub:
    return GossipSub([GOSSIP], 6, 4, 12, heartbeat_interval=1)


async def hostile(
    attack: Callable[[IHost, IHost], Any], gossip: bool = True
) -> BaseException | None:
    """Run an attack on a plain host; what came out of the host, if anything did."""
    try:
        async with running(LOOPBACK) as victim:
            if gossip:
                router = gossip_router()
                pubsub = Pubsub(victim, router, strict_signing=True)
                async with background_trio_service(pubsub), background_trio_service(router):
                    await pubsub.subscribe("topic")
                    await _attack(attack, victim)
            else:
                await _attack(attack, victim)
    except BaseException as error:  # noqa: BLE001 - whatever came out is the result
        return error
    return None


async def _attack(attack: Callable[[IHost, IHost], Any], victim: IHost) -> None:
    async with running() as rogue:
        await connect(rogue, victim)
        await attack(rogue, victim)
        await trio.sleep(1)


async def test_garbage_on_the_gossip_protocol_ends_the_host() -> None:
    async def attack(rogue: IHost, victim: IHost) -> None:
        stream = await rogue.new_stream(victim.get_id(), [GOSSIP])
        await stream.write(encode_varint_prefixed(b"\xff" * 100))

    assert "DecodeError" in repr(await hostile(attack))


async def test_an_unreadable_key_in_a_message_ends_the_host() -> None:
    async def attack(rogue: IHost, victim: IHost) -> None:
        message = rpc_pb2.Message(
            from_id=b"\x12\x20" + bytes(32), seqno=bytes(8), topicIDs=["topic"], data=b"x"
        )
        message.signature, message.key = b"x", b"garbage"
        stream = await rogue.new_stream(victim.get_id(), [GOSSIP])
        await stream.write(
            encode_varint_prefixed(rpc_pb2.RPC(publish=[message]).SerializeToString())
        )

    assert await hostile(attack) is not None


async def test_an_exception_in_a_streams_handler_ends_the_host() -> None:
    async def attack(rogue: IHost, victim: IHost) -> None:
        async def explode(stream: INetStream) -> None:
            raise ZeroDivisionError

        victim.set_stream_handler(TProtocol("/boom"), explode)
        await rogue.new_stream(victim.get_id(), [TProtocol("/boom")])

    assert "ZeroDivisionError" in repr(await hostile(attack, gossip=False))


async def test_every_inbound_stream_passes_through_one_function() -> None:
    """node/net/host.py guards them all there."""
    async with running(LOOPBACK) as victim, running() as other:
        network = victim.get_network()
        seen: list[str] = []
        inner = victim._swarm_stream_handler  # type: ignore[attr-defined]

        async def watch(stream: INetStream) -> None:
            seen.append(str(stream.muxed_conn.peer_id))
            await inner(stream)

        network.set_stream_handler(watch)
        await connect(other, victim)
        await wait_until(lambda: str(other.get_id()) in seen)


async def test_two_hosts_listen_on_one_port_unnoticed() -> None:
    async with running(LOOPBACK) as first:
        taken = first.get_addrs()[0].decapsulate(Multiaddr(f"/p2p/{first.get_id()}"))
        async with running(taken) as second:
            assert second.get_addrs()[0].decapsulate(Multiaddr(f"/p2p/{second.get_id()}")) == taken


async def test_the_place_of_an_inbound_connection_is_never_given_back() -> None:
    config = ConnectionConfig(
        max_connections=3, min_connections=0, low_watermark=0, high_watermark=3
    )
    async with running(LOOPBACK, connection_config=config) as victim:
        network = victim.get_network()
        assert isinstance(network, Swarm)
        for used in (1, 2, 3):
            async with running() as guest:
                await connect(guest, victim)
            await wait_until(lambda: not network.connections)
            assert network._inbound_limiter.borrowed_tokens == used


class Line:
    """A secured connection: what is written is kept, what is read comes from `incoming`."""

    is_initiator = False

    def __init__(self, incoming: bytes = b"") -> None:
        self.incoming = incoming

    async def read(self, count: int) -> bytes:
        await trio.lowlevel.checkpoint()
        if not self.incoming:
            await trio.sleep_forever()
        part, self.incoming = self.incoming[:count], self.incoming[count:]
        return part

    async def write(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()

    async def close(self) -> None:
        await trio.lowlevel.checkpoint()


def muxer(line: Line) -> Yamux:
    class Secured(Line, ISecureConn):  # type: ignore[misc]
        get_local_peer = get_local_private_key = get_remote_peer = None  # type: ignore[assignment]
        get_remote_public_key = get_remote_address = None  # type: ignore[assignment]
        get_transport_addresses = get_connection_type = None  # type: ignore[assignment]

    return Yamux(Secured(line.incoming), ID(b"peer"), is_initiator=False)


def data_frame(stream_id: int, length: int, flags: int = 0) -> bytes:
    import struct

    return struct.pack(YAMUX_HEADER_FORMAT, 0, TYPE_DATA, flags, stream_id, length) + bytes(length)


async def test_yamux_buffers_what_a_peer_sends_past_the_window() -> None:
    frames = data_frame(1, 60_000, FLAG_SYN) + data_frame(1, 60_000) * 20
    muxed = muxer(Line(frames))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(muxed.start)
        await wait_until(lambda: len(muxed.stream_buffers.get(1, b"")) == 21 * 60_000)
        assert 4 * DEFAULT_WINDOW_SIZE < 21 * 60_000
        nursery.cancel_scope.cancel()


async def test_a_timeout_in_reading_a_frames_body_ends_the_connection_cleanly() -> None:
    """The one error that does; node/net/muxer.py raises it at its own limit."""
    muxed = muxer(Line(data_frame(1, 10, FLAG_SYN) + data_frame(1, 10)))

    async def refuse(length: int) -> bytes:
        raise trio.TooSlowError

    muxed._read_data_body = refuse  # type: ignore[method-assign]
    with trio.fail_after(5):
        await muxed.start()
    assert muxed.is_closed


async def test_yamux_reads_on_within_a_frame_that_cannot_be_read() -> None:
    """What somebody wrote into it is then taken for frames; node/net/muxer.py ends the line."""
    within = data_frame(3, 0, FLAG_SYN)
    frame = data_frame(1, len(within))[: -len(within)] + within
    muxed = muxer(Line(data_frame(1, 0, FLAG_SYN) + frame))

    async def fail(length: int) -> bytes:
        raise ValueError

    muxed._read_data_body = fail  # type: ignore[method-assign]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(muxed.start)
        await wait_until(lambda: 3 in muxed.streams)
        nursery.cancel_scope.cancel()


async def test_yamux_keeps_what_is_unread_of_a_stream_that_was_reset() -> None:
    muxed = muxer(Line(data_frame(1, 20, FLAG_SYN)))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(muxed.start)
        await (await muxed.accept_stream()).reset()
        assert len(muxed.stream_buffers[1]) == 20
        nursery.cancel_scope.cancel()


async def test_a_writer_gives_up_after_five_seconds_without_window(
    autojump_clock: trio.testing.MockClock,
) -> None:
    stream = YamuxStream(1, muxer(Line()), is_initiator=True)
    stream.send_window = 0
    start = trio.current_time()
    with pytest.raises(MuxedStreamError, match="5 seconds"):
        await stream.write(b"x")
    assert trio.current_time() - start == pytest.approx(5, abs=0.1)


async def test_yamux_answers_every_byte_and_lets_others_run_at_every_lock() -> None:
    """node/net/muxer.py does neither, and cuts frames that fit one message of Noise."""
    assert MAX_MESSAGE_SIZE > MAX_PLAINTEXT_LENGTH
    muxed = muxer(Line(data_frame(1, 20, FLAG_SYN)))
    written: list[int] = []

    async def note(data: bytes) -> None:
        written.append(len(data))

    muxed._write_frame = note  # type: ignore[method-assign]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(muxed.start)
        stream = await muxed.accept_stream()
        written.clear()
        for _ in range(20):
            await stream.read(1)
        assert written == [12] * 20
        with trio.testing.assert_checkpoints():
            await muxed.streams_lock.acquire()
        nursery.cancel_scope.cancel()


async def test_a_length_prefixed_read_gives_up_after_a_hundred_pieces() -> None:
    class Trickle:
        async def read(self, n: int | None = None) -> bytes:
            return b"x"

    assert len(await read_exactly(Trickle(), 100)) == 100  # type: ignore[arg-type]
    with pytest.raises(IncompleteReadError):
        await read_exactly(Trickle(), 101)  # type: ignore[arg-type]


async def test_one_question_for_a_message_a_hundred_times_brings_it_a_hundred_times() -> None:
    async with running(LOOPBACK) as host:
        router = gossip_router()
        pubsub = Pubsub(host, router, strict_signing=True)
        async with background_trio_service(pubsub), background_trio_service(router):
            await pubsub.subscribe("topic")
            await pubsub.publish("topic", b"x")
            sent: list[rpc_pb2.RPC] = []
            router.send_rpc = lambda peer, rpc, priority=False: sent.append(rpc)  # type: ignore[method-assign]
            wanted = next(iter(router.mcache.msgs))
            await router.handle_iwant(rpc_pb2.ControlIWant(messageIDs=[wanted] * 100), ID(b"p"))
            assert len(sent[0].publish) == 100
            # And a PRUNE for a topic that nobody follows is remembered all the same.
            await router.handle_prune(rpc_pb2.ControlPrune(topicID="junk", backoff=9), ID(b"p"))
            assert "junk" in router.back_off


async def test_a_topic_followed_while_a_peer_is_greeted_is_not_announced_to_it() -> None:
    async with running(LOOPBACK) as host:
        router = gossip_router()
        pubsub = Pubsub(host, router, strict_signing=True)
        async with background_trio_service(pubsub), background_trio_service(router):
            told: list[bytes] = []

            class Greeted:
                metric_send_channel = None

                def get_protocol(self) -> TProtocol:
                    return GOSSIP

                async def write(self, data: bytes) -> None:
                    if not told:
                        await pubsub.subscribe("/late/topic")
                    told.append(data)

            async def new_stream(peer: ID, protocols: object) -> Greeted:
                return Greeted()

            host.new_stream = new_stream  # type: ignore[method-assign, assignment]
            await pubsub._handle_new_peer(ID(b"peer"))
            await trio.sleep(0.1)
            assert ID(b"peer") in pubsub.peers
            assert told
            assert not any(b"/late/topic" in each for each in told)


async def test_what_a_peer_follows_is_forgotten_when_our_stream_to_it_breaks() -> None:
    async with running(LOOPBACK) as host:
        router = gossip_router()
        pubsub = Pubsub(host, router, strict_signing=True)
        async with background_trio_service(pubsub), background_trio_service(router):
            peer = ID(b"peer")
            pubsub.handle_subscription(peer, rpc_pb2.RPC.SubOpts(subscribe=True, topicid="topic"))
            assert peer in pubsub.peer_topics["topic"]
            pubsub._handle_dead_peer(peer)
            assert "topic" not in pubsub.peer_topics


async def test_autonat_calls_whoever_is_connected_reachable() -> None:
    """Its server connects, which gives back the line that stands: no port is dialled at all."""
    async with running(LOOPBACK) as server, running() as client:
        await connect(client, server)
        await wait_until(lambda: client.get_id() in server.get_network().connections)
        nowhere = Multiaddr("/ip4/127.0.0.1/tcp/9").to_bytes()
        service = AutoNATService(server)
        assert await service._try_dial(client.get_id(), [nowhere]) == nowhere


async def test_a_peer_on_ipv6_has_no_address() -> None:
    """Its sockets tell theirs in four parts."""
    with trio.socket.socket(trio.socket.AF_INET6) as listening:
        try:
            await listening.bind(("::1", 0))
        except OSError as error:
            pytest.skip(f"this machine has no IPv6: {error}")
        listening.listen(1)
        async with await trio.open_tcp_stream("::1", listening.getsockname()[1]) as stream:
            assert TrioTCPStream(stream).get_remote_address() is None
            assert stream.socket.getpeername()[0] == "::1"
