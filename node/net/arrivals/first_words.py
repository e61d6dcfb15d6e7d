"""Who dialled this node and has not said a word yet: nothing is begun with it until then.

Whoever dials speaks first: an honest node opens its gossip and asks whom we know at once. Three
streams of ours beside them are twice as much work as the connection itself, and a crowd that says
nothing is not worth it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from weakref import WeakKeyDictionary, WeakSet

import trio
from libp2p.abc import IMuxedConn, INetConn, INetwork
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.peer.id import ID
from libp2p.rcmgr.metrics import Direction

#: Whoever has said nothing for so long, and is still here, is spoken to.
PATIENCE: Final = 10.0


class FirstWords:
    """Of each open connection, whether its other end may be spoken to."""

    def __init__(self, network: INetwork) -> None:
        self._network = network
        self._spoken: WeakSet[IMuxedConn] = WeakSet()
        self._seen: WeakKeyDictionary[INetConn, float] = WeakKeyDictionary()
        self._waiting: dict[ID, trio.Event] = {}
        #: Told of each connection on which a first word was said.
        self.on_word: Callable[[IMuxedConn], None] = lambda line: None

    def said(self, line: IMuxedConn) -> None:
        """The peer at the other end opened a stream that a node of this network opens.

        Its streams may be here before the library counts the line among its connections.
        """
        if line in self._spoken:
            return
        self._spoken.add(line)
        self.on_word(line)
        waiting = self._waiting.pop(line.peer_id, None)
        if waiting is not None:
            waiting.set()

    def due(self, peer: ID) -> bool:
        """Whether the peer may be spoken to: we dialled it, it spoke, or it was silent too long."""
        now = trio.current_time()
        return any(
            conn.muxed_conn in self._spoken
            or not _dialled_us(conn)
            or now - self._seen.setdefault(conn, now) >= PATIENCE
            for conn in self._network.get_connections(peer)
        )

    async def wait(self, peer: ID) -> bool:
        """Wait until the peer may be spoken to; whether it is still here then."""
        if not self.due(peer):
            waiting = self._waiting.setdefault(peer, trio.Event())
            with trio.move_on_after(PATIENCE):
                await waiting.wait()
            if self._waiting.get(peer) is waiting and waiting.statistics().tasks_waiting == 0:
                del self._waiting[peer]
        return any(not conn.is_closed for conn in self._network.get_connections(peer))


def _dialled_us(conn: INetConn) -> bool:
    return isinstance(conn, SwarmConn) and conn.direction is Direction.INBOUND
