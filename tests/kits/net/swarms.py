"""Swarms, raw hostile hosts and in-memory blobs for the network tests."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import trio
from libp2p.abc import INetStream, IRawConnection
from libp2p.custom_types import TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.peer.id import ID
from multiaddr import Multiaddr

from node.net.host import build_host, network_of
from node.net.swarm import Swarm, SwarmConfig, open_swarm
from node.net.transport import ExclusiveTCP
from protocol.wire.blobs import blob_digest
from protocol.wire.verdict import Verdict

LOOPBACK = ("/ip4/127.0.0.1/tcp/0",)
GOSSIP = "/meshsub/1.2.0"
TOPIC = "/assay/test/1"


def accept(data: bytes, author: str) -> Verdict:
    return Verdict.ACCEPT


async def wait_until(condition: Callable[[], object], timeout: float = 15) -> None:
    with trio.fail_after(timeout):
        while not condition():  # noqa: ASYNC110 - the conditions have no event
            await trio.sleep(0.02)


@asynccontextmanager
async def swarm(
    *bootstrap: Swarm, listen: Sequence[str] = LOOPBACK, seed: bytes | None = None
) -> AsyncIterator[Swarm]:
    addresses = tuple(each.addresses()[0] for each in bootstrap)
    config = SwarmConfig(tuple(listen), addresses, seed or os.urandom(32))
    async with open_swarm(config) as opened:
        await wait_until(lambda: len(opened.peers()) >= len(bootstrap))
        yield opened


class DialsFrom(ExclusiveTCP):
    """Dials from one address."""

    def __init__(self, nursery: trio.Nursery, source: str) -> None:
        super().__init__(nursery)
        self._source = source

    async def dial(self, maddr: Multiaddr) -> IRawConnection:
        return await self.dial_with_source(maddr, (self._source, 0))


@asynccontextmanager
async def stranger(*victims: Swarm, source: str = "127.0.0.1") -> AsyncIterator[BasicHost]:
    """A bare libp2p host without any of our manners, connected to the victims."""
    async with trio.open_nursery() as nursery:
        host = build_host(os.urandom(32), (), DialsFrom(nursery, source), ())
        async with host.run([]):
            for victim in victims:
                await dial(host, victim)
            yield host
            with trio.CancelScope(shield=True), trio.move_on_after(3):
                await host.close()
        nursery.cancel_scope.cancel()


async def dial(host: BasicHost, node: Swarm) -> None:
    await network_of(host).dial_addr(Multiaddr(node.addresses()[0]), peer_of(node))


def peer_of(node: Swarm) -> ID:
    return ID.from_string(node.peer_id)


async def stream_to(host: BasicHost, victim: Swarm, protocol: str) -> INetStream:
    return await host.new_stream(peer_of(victim), [TProtocol(protocol)])


class Shelf:
    """Blobs in memory, as a source. `spoil` changes a chunk on its way out."""

    def __init__(self, *contents: bytes) -> None:
        self.contents = {blob_digest(each): each for each in contents}
        self.reads: list[int] = []
        self.spoil: Callable[[bytes, int, bytes], bytes] = lambda digest, offset, data: data

    def size(self, digest: bytes) -> int | None:
        return len(self.contents[digest]) if digest in self.contents else None

    def read(self, digest: bytes, offset: int, length: int) -> bytes:
        self.reads.append(offset)
        return self.spoil(digest, offset, self.contents[digest][offset : offset + length])


class Basket:
    """One blob in memory, as a sink; `writes` are the offsets in the order they came."""

    def __init__(self) -> None:
        self.kept = bytearray()
        self.writes: list[int] = []
        self.finished = False

    def read(self, offset: int, length: int) -> bytes:
        return bytes(self.kept[offset : offset + length])

    def write(self, offset: int, data: bytes) -> None:
        end = offset + len(data)
        if len(self.kept) < end:
            self.kept.extend(bytes(end - len(self.kept)))
        self.kept[offset:end] = data
        self.writes.append(offset)

    def finish(self) -> None:
        self.finished = True
