"""The asking side of a dial back: whether peers can reach this node, by what arrives here.

Each asked peer is told a number of its own. A dial counts if it arrives by a new connection, from
the identity that was asked, with that number. What peers merely say is told as their word.
"""

from __future__ import annotations

import logging
import secrets
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import trio
from libp2p.abc import ISecureConn
from libp2p.host.basic_host import BasicHost
from libp2p.peer.id import ID
from multiaddr import Multiaddr

from node.net.config import Asked, Reach
from node.net.errors import Broken, Refused, Unspoken
from node.net.peering.dialme import MAX_ANSWER_BYTES, DialBack, DialMe
from node.net.peering.lines import Lines
from node.net.rules import callback
from node.net.rules.callback import Outcome
from protocol import params
from protocol.errors import Malformed, PeerError
from protocol.wire.codec import decode, encode

log = logging.getLogger("assay.net")

#: What a peer's answer may take: its dial, and some for a slow line.
ASK_SECONDS: Final = params.DIAL_BACK_SECONDS + 5.0
#: The whole look, however late a peer or this node is.
_LOOK_SECONDS: Final = 20.0
#: A dial may arrive after the word that it was made: another connection is faster.
_ARRIVE_SECONDS: Final = 1.0
_MAX_REMEMBERED: Final = 256
#: Peers that are asked in one look where most are too old to know the question.
_MAX_TURNS: Final = 12

#: Asks one connected peer one question; raises PeerError.
Ask = Callable[[str, bytes], Awaitable[bytes]]
#: Told of a peer that sent what no honest peer sends.
Blame = Callable[[str], None]


@dataclass(slots=True)
class _Awaited:
    """A dial that was asked for: of whom, and whence it came."""

    peer: ID
    came: trio.Event = field(default_factory=trio.Event)
    host: str = ""


class Outside:
    """Looks at one node from outside, through its peers. `arrived` is told of each dial back."""

    def __init__(self, host: BasicHost, lines: Lines, blame: Blame) -> None:
        self._host = host
        self._lines = lines
        self._blame = blame
        self._ask: Ask | None = None
        self._awaited: dict[bytes, _Awaited] = {}
        #: When each peer was asked last.
        self._asked: OrderedDict[str, float] = OrderedDict()
        self._looking = trio.Lock()
        #: The last look, and when it ended.
        self._last: tuple[Reach, float] | None = None

    def bind(self, ask: Ask) -> None:
        """Give it the means to ask a peer."""
        self._ask = ask

    async def arrived(self, secured: ISecureConn) -> None:
        """A peer dials back: note it if it is one that was asked, and says what it was told."""
        nonce = await secured.read(params.DIAL_NONCE_BYTES)
        awaited = self._awaited.get(nonce)
        remote = secured.get_remote_address()
        if awaited is None or remote is None or secured.get_remote_peer() != awaited.peer:
            log.debug("a dial back that nobody waits for")
            return
        awaited.host = callback.target(remote[0]) or remote[0]
        awaited.came.set()

    async def look(self) -> Reach:
        """Ask some connected peers to dial this node. Whoever asks meanwhile gets the same look."""
        began = trio.current_time()
        async with self._looking:
            if self._last is None or self._last[1] < began:
                self._last = await self._look(), trio.current_time()
            return self._last[0]

    async def _look(self) -> Reach:
        now = trio.current_time()
        lines = [(str(peer), self._lines.address(peer)) for peer in self._lines.connected()]
        secrets.SystemRandom().shuffle(lines)
        pause = params.DIAL_BACK_PAUSE_SECONDS
        lately = {peer for peer, at in self._asked.items() if at > now - pause}
        turns = deque(callback.whom(lines, lately, _MAX_TURNS))
        found: dict[str, Asked] = {}
        with trio.move_on_after(_LOOK_SECONDS):
            async with trio.open_nursery() as nursery:
                for _ in range(params.DIAL_BACK_PEERS):
                    nursery.start_soon(self._ask_in_turn, turns, found)
        asked = tuple(found.values())
        return Reach(callback.verdict((each.outcome, each.came_from) for each in asked), asked)

    async def _ask_in_turn(self, turns: deque[tuple[str, str]], found: dict[str, Asked]) -> None:
        """Ask the next peer, and the one after it where that one does not know the question."""
        while turns:
            peer, line = turns.popleft()
            found[peer] = Asked(peer, line, Outcome.SILENT, why="it did not answer in time")
            await self._ask_one(peer, line, found)
            if found[peer].outcome is not Outcome.UNABLE:
                return

    async def _ask_one(self, peer: str, line: str, found: dict[str, Asked]) -> None:
        port = self._port_for(line)
        if isinstance(port, str):
            found[peer] = Asked(peer, line, Outcome.REFUSED, why=port)
            return
        self._remember(peer)
        nonce = secrets.token_bytes(params.DIAL_NONCE_BYTES)
        awaited = self._awaited[nonce] = _Awaited(ID.from_string(peer))
        outcome, told, why = Outcome.SILENT, "", "it did not answer in time"
        try:
            outcome, told, why = await self._outcome(peer, DialMe(port, nonce))
            if outcome is Outcome.CLAIMED:
                with trio.move_on_after(_ARRIVE_SECONDS):
                    await awaited.came.wait()
        finally:
            del self._awaited[nonce]
            if awaited.came.is_set():
                # Whatever it says of its dial: here it is.
                outcome, why = Outcome.DIALLED, ""
            found[peer] = Asked(peer, line, outcome, port, told, awaited.host, why)

    async def _outcome(self, peer: str, question: DialMe) -> tuple[Outcome, str, str]:
        """What a peer says: the outcome, the address that it dialled, and why it did not."""
        if self._ask is None:
            return Outcome.SILENT, "", "this node only answers"
        try:
            reply = decode(DialBack, await self._ask(peer, encode(question)), MAX_ANSWER_BYTES)
            told = callback.target(reply.host)
            if told is None:
                raise Malformed("it says that it dialled what is no address")
        except Unspoken:
            return Outcome.UNABLE, "", "its version does not know this question"
        except Refused as error:
            return Outcome.REFUSED, "", str(error)
        except Malformed as error:
            if not isinstance(error, Broken):  # then it is counted already
                self._blame(peer)
            return Outcome.SILENT, "", str(error)
        except PeerError as error:
            return Outcome.SILENT, "", str(error)
        if reply.answered:
            return Outcome.CLAIMED, told, "it says that it got through, and nothing arrived here"
        return Outcome.NO_ANSWER, told, "it says that it got no answer"

    def _remember(self, peer: str) -> None:
        self._asked[peer] = trio.current_time()
        self._asked.move_to_end(peer)
        if len(self._asked) > _MAX_REMEMBERED:
            self._asked.popitem(last=False)

    def _port_for(self, line: str) -> int | str:
        """The port that peers are told, of the kind of address that a line has; or why none."""
        kind = "ip6" if ":" in (callback.target(line) or "") else "ip4"
        ports = [
            int(address.value_for_protocol("tcp") or 0)
            for address in self._host.get_addrs()
            if _kind(address) in (kind, "dns", kind.replace("ip", "dns"))
        ]
        if not ports:
            return f"this node listens on no address of its kind ({kind})"
        allowed = [port for port in ports if port >= params.LEAST_DIAL_BACK_PORT]
        if not allowed:
            return f"port {ports[0]} is below {params.LEAST_DIAL_BACK_PORT}, and no peer dials it"
        return allowed[0]


def _kind(address: Multiaddr) -> str:
    return str(address.protocols()[0].name)
