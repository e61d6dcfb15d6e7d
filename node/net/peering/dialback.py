"""The asked side of a dial back: one new connection to where the asker comes from, then none.

The connection belongs to no swarm: it takes no place among the lines, moves nobody out of one, and
is closed before the answer is said. The asker has no say in where it goes but for the port, and
none in what is sent in the clear: those are the first words of any libp2p node.
"""

from __future__ import annotations

import logging
from typing import Final

import trio
from libp2p.abc import ISecureConn
from libp2p.custom_types import TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.io.trio import TrioTCPStream
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.peer.id import ID
from libp2p.protocol_muxer.multiselect_client import MultiselectClient
from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator

from node.net.host import network_of
from node.net.muxer import DIALLED
from node.net.peering.dialme import MAX_QUESTION_BYTES, DialBack, DialMe
from node.net.peering.lines import Lines
from node.net.peering.whois import parse_peer
from node.net.rules import callback
from protocol import params
from protocol.errors import PeerError
from protocol.wire.codec import decode, encode

log = logging.getLogger("assay.net")

#: A handshake is some 600 bytes; whatever listens at that port may send anything.
_MOST_BYTES: Final = 8 * 1024
#: How long the other side may take to read the nonce and close.
_CLOSE_SECONDS: Final = 1.0


class _Metered(TrioTCPStream):
    """A TCP stream from which no more is read than a handshake has."""

    left = _MOST_BYTES

    async def read(self, n: int | None = None) -> bytes:
        # The library takes an empty read for a short one, and reads a hundred times more.
        most = self.left if n is None else min(n, self.left)
        data = await super().read(most) if most else b""
        if not data and n != 0:
            raise ConnectionError("the other side closed, or sent more than a handshake has")
        self.left -= len(data)
        return data


class DialBacks:
    """Dials others at their asking, within limits."""

    def __init__(self, host: BasicHost, lines: Lines) -> None:
        self._upgrader = network_of(host).upgrader
        self._lines = lines
        self._limits = callback.Limits(
            params.DIAL_BACKS_AT_ONCE,
            params.DIAL_BACKS_PER_MINUTE,
            params.DIAL_BACK_PAUSE_SECONDS,
        )

    async def answer(self, peer: str, data: bytes) -> bytes:
        """Answer a DialMe. Raises Malformed, or PeerError where this peer is not dialled now."""
        asked = decode(DialMe, data, MAX_QUESTION_BYTES)
        asker = parse_peer(peer)
        host = callback.target(self._lines.address(asker))
        if host is None:
            raise PeerError("this line comes from no address that can be dialled")
        why = self._limits.begin(peer, host, trio.current_time())
        if why:
            raise PeerError(why)
        try:
            return encode(DialBack(host, await self._dial(asker, host, asked)))
        finally:
            self._limits.end()

    async def _dial(self, asker: ID, host: str, asked: DialMe) -> bool:
        """Whether the asker answers there and was told the nonce. A no takes the whole time."""
        until = trio.current_time() + params.DIAL_BACK_SECONDS + self._lines.attention.lag
        with trio.CancelScope(deadline=until):
            try:
                async with await trio.open_tcp_stream(host, asked.port) as stream:
                    raw = RawConnection(_Metered(stream), True)
                    # This fails unless whoever is there proves the asker's identity.
                    secured = await self._upgrader.upgrade_security(raw, True, asker)
                    await MultiselectClient().select_one_of(
                        [TProtocol(DIALLED)], MultiselectCommunicator(secured)
                    )
                    await secured.write(asked.nonce)
                    await _closed(secured)
                    return True
            except Exception as error:
                log.debug("dialling back %s port %d failed", host, asked.port, exc_info=error)
        await trio.sleep_until(until)
        return False


async def _closed(secured: ISecureConn) -> None:
    """Wait until the other side has read what was written, which it says by closing."""
    with trio.move_on_after(_CLOSE_SECONDS):
        try:
            await secured.read(1)
        except Exception as error:
            log.debug("dialled back; the other side closed", exc_info=error)
