"""Two nodes with one identity meet each other through whoever both are connected to."""

from __future__ import annotations

import os
import time
from typing import Any

import trio
from kits.net.swarms import LOOPBACK, swarm
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.peer.id import ID
from libp2p.peer.peer_record import PeerRecord
from multiaddr import Multiaddr

from node.net.host import build_host
from node.net.peering.copies import Copies
from node.net.swarm import SwarmConfig, open_swarm
from node.net.transport import ExclusiveTCP


async def test_both_copies_of_a_home_meet_each_other() -> None:
    """Each is told where the other listens, and by a peer that does nothing but answer."""
    seed, found = os.urandom(32), {}
    async with swarm() as between:
        home = SwarmConfig(LOOPBACK, (between.addresses()[0],), seed)
        async with open_swarm(home) as one, open_swarm(home) as other, trio.open_nursery() as both:

            async def meet(name: str, node: Any) -> None:
                found[name] = await node.meet_copy()

            both.start_soon(meet, "one", one)
            both.start_soon(meet, "other", other)
            with trio.fail_after(60):
                while len(found) < 2:
                    await trio.sleep(0.05)
                    for node in (one, other):
                        # A daemon asks by itself, ever more rarely.
                        for asked in node._parts.peers._asked.values():
                            asked.at = min(asked.at, trio.current_time())
            where = {name: node.addresses()[0] for name, node in (("one", one), ("other", other))}
    for name, told in found.items():
        mate = where["other" if name == "one" else "one"]
        assert told == mate.rpartition("/p2p/")[0]


async def test_a_node_that_starts_again_is_no_copy_of_itself() -> None:
    """Though peers remember the addresses of its earlier life."""
    seed = os.urandom(32)
    async with swarm() as between:
        home = SwarmConfig(LOOPBACK, (between.addresses()[0],), seed)
        for _ in range(2):
            async with open_swarm(home) as node:
                await node.wait_connected(1, 30)
                await node._parts.peers.tell()
                with trio.move_on_after(0.5) as waited:
                    await node.meet_copy()
                assert waited.cancelled_caught


async def test_what_is_no_sign_of_a_copy() -> None:
    seed = os.urandom(32)
    keys = create_new_key_pair(seed)
    me = ID.from_pubkey(keys.public_key)
    async with trio.open_nursery() as nursery:
        host = build_host(seed, ("/ip4/192.0.2.1/tcp/9",), ExclusiveTCP(nursery), ())
        copies = Copies(host)
        own, foreign = Multiaddr("/ip4/192.0.2.1/tcp/9"), Multiaddr("/ip4/192.0.2.2/tcp/9")
        later = time.time_ns() + 10**12
        copies.look(PeerRecord(me, [own], later))  # its own, by a clock that was set back
        copies.look(PeerRecord(me, [foreign], copies._began - 1))  # an earlier life's
        assert not copies._seen.is_set()
        copies.look(PeerRecord(me, [foreign], later))
        assert copies._seen.is_set()
        nursery.cancel_scope.cancel()
