"""Builds the libp2p host: TCP, Noise and yamux only, every limit stated, every task guarded."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

import trio
from google.protobuf.message import DecodeError
from libp2p import new_host
from libp2p.abc import INetConn, INetStream, ISecureConn
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_new_x25519_key_pair
from libp2p.custom_types import TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.identity.identify.pb.identify_pb2 import Identify
from libp2p.identity.identify_push.identify_push import ID_PUSH
from libp2p.identity.update import update_peerstore_from_identify
from libp2p.network.auto_connector import AutoConnector
from libp2p.network.config import ConnectionConfig, RetryConfig
from libp2p.network.stream.exceptions import StreamError
from libp2p.network.stream.net_stream import NetStream
from libp2p.network.swarm import Swarm as Network
from libp2p.rcmgr import ResourceLimits, ResourceManager
from libp2p.rcmgr.connection_limits import ConnectionLimits
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE_PROTOCOL_ID
from libp2p.security.noise.transport import Transport as NoiseTransport
from libp2p.stream_muxer.exceptions import MuxedStreamError
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX_PROTOCOL_ID
from libp2p.stream_muxer.yamux.yamux import Yamux, YamuxStream
from libp2p.utils.address_validation import expand_wildcard_address
from multiaddr import Multiaddr

from node.net import guard
from node.net.arrivals.first_words import FirstWords
from node.net.frames import Frames, Violation
from node.net.muxer import DIALLED, BoundedMuxer
from node.net.rules import turns
from node.net.transport import ExclusiveTCP
from protocol import params

log = logging.getLogger("assay.net")

#: What the library may hold: handshakes and who waits at the door take its places, too. The
#: connections are kept to MAX_CONNECTIONS by node/net/peering/lines.py, which closes what is worth
#: least; the library refuses newcomers.
_PLACES = params.MAX_CONNECTIONS + 2 * params.MAX_HANDSHAKES + turns.MAX_AT_DOOR
_UPGRADE_SECONDS = 3 * params.DIAL_SECONDS

#: Connections to one peer: each side may have dialled the other at the same moment.
_CONNECTIONS_PER_PEER = 3


def build_host(
    seed: bytes, announce: Sequence[str], transport: ExclusiveTCP, listen: Sequence[Multiaddr]
) -> BasicHost:
    """A host that is not listening yet. `seed` is its 32-byte Ed25519 seed."""
    library = logging.getLogger("libp2p")
    if not library.handlers:
        # It does not propagate; without any handler its errors would go to stderr, raw.
        library.addHandler(logging.NullHandler())
    keys = create_new_key_pair(seed)
    noise = NoiseTransport(keys, noise_privkey=create_new_x25519_key_pair().private_key)
    host = new_host(
        key_pair=keys,
        # Left to itself the library also offers plaintext and secio.
        sec_opt={TProtocol(NOISE_PROTOCOL_ID): noise},
        muxer_opt={TProtocol(YAMUX_PROTOCOL_ID): Yamux},
        transports=[transport],
        listen_addrs=listen,
        connection_config=ConnectionConfig(
            max_connections=_PLACES,
            min_connections=0,
            low_watermark=0,
            high_watermark=_PLACES,
            max_connections_per_peer=_CONNECTIONS_PER_PEER,
            dial_timeout=params.DIAL_SECONDS,
            # The listener gives a handshake up long before, unless this node itself is late.
            inbound_upgrade_timeout=_UPGRADE_SECONDS,
            outbound_upgrade_timeout=_UPGRADE_SECONDS,
        ),
        resource_manager=ResourceManager(
            limits=ResourceLimits(
                # The library asks for a place before and after the handshake.
                max_connections=2 * _PLACES,
                max_streams=params.MAX_CONNECTIONS * params.MAX_STREAMS_PER_PEER,
            ),
            connection_limits=ConnectionLimits(
                max_established_per_peer=_CONNECTIONS_PER_PEER + 1,
                max_established_total=_PLACES,
            ),
            # Both let one misbehaving peer shut the door for all the others.
            enable_circuit_breaker=False,
            enable_graceful_degradation=False,
        ),
        addrs_factory=_announcer(announce),
        disable_identify_address_discovery=True,
    )
    if not isinstance(host, BasicHost):
        raise TypeError(f"the library built a {type(host).__name__}")
    network = network_of(host)
    network.retry_config = RetryConfig(max_retries=0)
    network.auto_connector = _NoDialling(network)
    network.upgrader.muxer_multistream = BoundedMuxer(
        # The muxer knows the second one for what it is, and makes no streams of it.
        {TProtocol(YAMUX_PROTOCOL_ID): Yamux, TProtocol(DIALLED): Yamux},
        _UPGRADE_SECONDS,
    )
    network.upgrader.muxer_multistream.called = transport.called
    network.upgrader.muxer_multistream.shaken = transport.shaken
    return host


class _NoDialling(AutoConnector):
    """node/net/peering/peers.py decides whom to dial; the library's connector dials anybody.

    A low watermark of zero does not stop it: it then aims at half of the high one.
    """

    async def run_background_task(self, nursery: trio.Nursery) -> None:
        """Start nothing."""

    async def maybe_connect(self) -> None:
        """Dial nobody."""


def network_of(host: BasicHost) -> Network:
    """The host's network, with its own type."""
    network = host.get_network()
    if not isinstance(network, Network):
        raise TypeError(f"the library built a {type(network).__name__}")
    return network


def on_dial_back(host: BasicHost, told: Callable[[ISecureConn], Awaitable[None]]) -> None:
    """Have `told` read what a peer says that dials back."""
    muxer = network_of(host).upgrader.muxer_multistream
    if not isinstance(muxer, BoundedMuxer):
        raise TypeError(f"the host has a {type(muxer).__name__}")
    muxer.dialled = told


def _announcer(announce: Sequence[str]) -> Callable[[list[Multiaddr]], list[Multiaddr]]:
    """The addresses that peers are told: as configured, or each interface's."""
    fixed = [Multiaddr(each) for each in announce]

    def addresses(listening: list[Multiaddr]) -> list[Multiaddr]:
        if fixed:
            return list(fixed)
        found: dict[str, Multiaddr] = {}
        for address in listening:
            for each in expand_wildcard_address(address):
                found[str(each)] = each
        return list(found.values())

    return addresses


def guard_streams(host: BasicHost, warden: guard.Warden) -> None:
    """Wrap the one function through which every inbound stream comes, whatever its protocol.

    In the library an exception in a stream's handler, or a stream on which no protocol is agreed,
    ends the host. Here it ends the stream.
    """
    network = network_of(host)
    handle = host._swarm_stream_handler

    async def guarded(stream: INetStream) -> None:
        peer = str(stream.muxed_conn.peer_id)
        if warden.banned(peer):
            await network.close_peer(stream.muxed_conn.peer_id)
            return
        if not warden.open_stream(peer):
            warden.counters["guard.streams"] += 1
            warden.penalise(peer, guard.HASTE, "too many streams")
            await stream.reset()
            return
        try:
            await handle(stream)
            await _ended(stream)
        except Exception as error:
            warden.counters["guard.handler"] += 1
            log.info("peer %s: a stream failed: %s", peer, error, exc_info=error)
            warden.penalise(peer, guard.UPSET, f"a stream failed: {type(error).__name__}")
            with trio.CancelScope(shield=True), trio.move_on_after(1):
                await stream.reset()
        finally:
            warden.close_stream(peer)

    network.set_stream_handler(guarded)


async def _ended(stream: INetStream) -> None:
    """Wait until the peer ends its side of a stream that was answered; then there is none.

    The muxer remembers a stream until both sides have ended it, and the library's own answers do
    not wait for that: a peer could have any number remembered, and be counted for none.
    """
    muxed = stream.muxed_stream if isinstance(stream, NetStream) else None
    if not isinstance(muxed, YamuxStream):
        return
    with trio.move_on_after(params.PROGRESS_SECONDS), suppress(StreamError, MuxedStreamError):
        await stream.read(1)
    if muxed.recv_closed:
        # What was written last is on its way, and a reset could overtake it.
        await muxed.close()
    else:
        await muxed.reset()


def guard_identify(host: BasicHost, warden: guard.Warden) -> None:
    """Take a peer's pushed account of itself, rarely and in bounds; the library takes any number.

    It parses a thousand addresses of each, and stores them one by one.
    """

    async def pushed(stream: INetStream) -> None:
        peer = stream.muxed_conn.peer_id
        if not warden.allows_push(str(peer)):
            warden.counters["guard.pushes"] += 1
            warden.penalise(str(peer), guard.HASTE, "too many identify pushes")
            await stream.reset()
            return
        try:
            with trio.fail_after(params.DIAL_SECONDS):
                told = Identify.FromString(await Frames(stream).next(params.MAX_IDENTIFY_BYTES))
        except (Violation, DecodeError) as error:
            warden.penalise(str(peer), guard.GARBAGE, "an identify push that is none", str(error))
            await stream.reset()
            return
        except (StreamError, MuxedStreamError, trio.TooSlowError):
            await stream.reset()
            return
        del told.listen_addrs[params.MAX_IDENTIFY_NAMES :]
        del told.protocols[params.MAX_IDENTIFY_NAMES :]
        await update_peerstore_from_identify(host.get_peerstore(), peer, told)
        await stream.close()

    host.set_stream_handler(ID_PUSH, pushed)


def identify_late(host: BasicHost, words: FirstWords) -> None:
    """Ask a peer to identify itself once it may be spoken to; the library asks whoever connects."""
    network = network_of(host)
    identify = host._on_notifee_connected

    async def asked(conn: INetConn) -> None:
        if await words.wait(conn.muxed_conn.peer_id):
            await identify(conn)

    async def connected(conn: INetConn) -> None:
        network.manager.run_task(asked, conn)

    host._on_notifee_connected = connected  # type: ignore[method-assign]


def guard_tasks(manager: Any, warden: guard.Warden) -> None:
    """Wrap the background tasks that a library service starts, so that none takes it down.

    Daemon tasks are left alone: they end only with their service, and if one does fail, the swarm
    must end too rather than live on deaf.
    """
    run = manager.run_task

    def run_guarded(task: Any, *args: Any, daemon: bool = False, **options: Any) -> None:
        if daemon:
            run(task, *args, daemon=True, **options)
            return

        async def guarded() -> None:
            try:
                await task(*args)
            except Exception as error:
                warden.counters["guard.task"] += 1
                log.warning("a network task failed: %s", error, exc_info=error)

        run(guarded, **options)

    manager.run_task = run_guarded
