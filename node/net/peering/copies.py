"""Whether another node runs with this node's identity: a copy of its home, or of a backup of it.

Two of them would draw each other's nonces, and noise that the other's ledger of budgets does not
hold. Each signs records of its own addresses, dated by the nanosecond, and their peers hand them
on. A record that this process did not sign, younger than it is and of other addresses, was signed
by a copy that runs now: nobody else has the key, and a record of an earlier life is older.

A clock that was set back while the node was down makes records of its earlier life younger than it
is. They name the same addresses, unless those changed as well.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

import trio
from libp2p.host.basic_host import BasicHost
from libp2p.peer.envelope import seal_record
from libp2p.peer.id import ID
from libp2p.peer.peer_record import PeerRecord


class Copies:
    """What one node knows of copies of itself, and tells others of theirs."""

    def __init__(self, host: BasicHost) -> None:
        self._host = host
        self._began = time.time_ns()
        self._own: set[str] = set()
        self._seen = trio.Event()
        self._youngest = 0
        self._where = ""

    def look(self, record: PeerRecord) -> None:
        """A record that this node's key signed came from a peer."""
        local = self._host.get_peerstore().get_local_record()
        newest = self._began if local is None else max(self._began, local.record().seq)
        self._own.update(map(_bare, map(str, self._host.get_addrs())))
        others = {_bare(str(address)) for address in record.addrs} - self._own
        if record.seq > newest and others:
            self._youngest = max(self._youngest, record.seq)
            self._where = self._where or ", ".join(sorted(others))
            self._seen.set()

    def of(self, peer: ID, told: bytes) -> tuple[bytes, ...]:
        """Of a peer that just told `told` as its own record: a younger one, if such a one is known.

        A copy of it signed that, or an earlier life whose clock was ahead.
        """
        held = self._host.get_peerstore().get_peer_record(peer) if told else None
        encoded = b"" if held is None else held.marshal_envelope()
        return (encoded,) if encoded not in (b"", told) else ()

    async def meet(self, tell: Callable[[], Awaitable[None]]) -> str:
        """Wait for a copy, and return where it listens.

        A record that is younger than the copy's is signed and told first, so that the copy meets
        this node as well."""
        await self._seen.wait()
        addresses, key = self._host.get_addrs(), self._host.get_private_key()
        record = PeerRecord(self._host.get_id(), addresses, max(time.time_ns(), self._youngest + 1))
        self._host.get_peerstore().set_local_record(seal_record(record, key))
        await tell()
        return self._where


def _bare(address: str) -> str:
    """An address without the peer's id behind it."""
    return address.rpartition("/p2p/")[0] or address
