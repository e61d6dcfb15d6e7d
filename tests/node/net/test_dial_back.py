"""A node asks its peers to dial it: what arrives counts, and what a stranger can make of it."""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import trio
from kits.net.swarms import LOOPBACK, peer_of, stranger, stream_to, swarm, wait_until
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.io.trio import TrioTCPStream
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.peer.id import ID
from libp2p.protocol_muxer.multiselect_client import MultiselectClient
from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator

from node.net import streams
from node.net.config import Asked, SwarmConfig
from node.net.errors import Refused
from node.net.host import network_of
from node.net.muxer import DIALLED
from node.net.peering import outside
from node.net.peering.dialme import PROTOCOL, DialBack, DialMe
from node.net.rules.callback import Outcome, Verdict
from node.net.swarm import Swarm, open_swarm
from protocol import params
from protocol.wire.codec import decode, encode


def port_of(node: Swarm) -> int:
    return int(node.addresses()[0].split("/")[4])


def lines(node: Swarm, mate: Swarm | None = None) -> int:
    """Connections that the library counts, handshakes that ended well included; `mate`: with it."""
    to = None if mate is None else ID.from_base58(mate.peer_id)
    return len(network_of(node._parts.host).get_connections(to))


def announcing(mate: Swarm, port: int) -> SwarmConfig:
    """A node that tells others another port than it listens on."""
    told = (f"/ip4/127.0.0.1/tcp/{port}",)
    return SwarmConfig(LOOPBACK, (mate.addresses()[0],), os.urandom(32), told)


@contextlib.asynccontextmanager
async def closed_port() -> AsyncIterator[int]:
    """A port that is bound and not listened on: nobody else gets it meanwhile."""
    with trio.socket.socket() as held:
        await held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


async def ask(node: Swarm, asked: Swarm, port: int, nonce: bytes = bytes(32)) -> DialBack:
    reply = await node.request(asked.peer_id, PROTOCOL, encode(DialMe(port, nonce)), 20)
    return decode(DialBack, reply, 64)


async def test_a_dial_back_arrives_and_is_nobodys_line() -> None:
    async with swarm() as a, swarm(a) as b, swarm(a) as c:
        await a.wait_connected(2, 15)
        # b and c find each other meanwhile, and may dial.
        before = lines(a), lines(b, a), lines(c, a)
        seen: list[tuple[int, int]] = []
        arrived = a._parts.outside.arrived

        async def looked(secured: Any) -> None:
            await arrived(secured)
            seen.append((lines(a), lines(b, a) + lines(c, a)))

        a._parts.host._network.upgrader.muxer_multistream.dialled = looked  # type: ignore
        found = await a.reach()
        assert found.verdict is Verdict.NEAR
        assert {each.peer_id for each in found.asked} == {b.peer_id, c.peer_id}
        for each in found.asked:
            assert (each.outcome, each.port) == (Outcome.DIALLED, port_of(a))
            assert (each.told, each.came_from, each.line) == ("127.0.0.1",) * 3
        # Neither while it stood nor afterwards did any side count it.
        assert seen == [(before[0], before[1] + before[2])] * 2
        assert (lines(a), lines(b, a), lines(c, a)) == before
        assert not a._parts.peers.lines.counters["evicted"]
        # The line that was there goes on.
        assert [peer.offences for peer in a.peers()] == [{}, {}]
        assert a.statistics()["peers"] == 2


async def test_a_port_that_nobody_listens_on_is_a_no_after_the_whole_time() -> None:
    async with swarm() as a, swarm(a) as b, closed_port() as port:
        began = trio.current_time()
        assert await ask(b, a, port) == DialBack("127.0.0.1", False)
        assert trio.current_time() - began >= params.DIAL_BACK_SECONDS


async def test_who_announces_a_port_that_is_closed_learns_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(params, "DIAL_BACK_SECONDS", 1)
    async with swarm() as a, closed_port() as port, open_swarm(announcing(a, port)) as b:
        await b.wait_connected(1, 15)
        found = await b.reach()
        assert found.verdict is Verdict.UNREACHED
        assert found.asked[0].outcome is Outcome.NO_ANSWER
        assert (found.asked[0].told, found.asked[0].port) == ("127.0.0.1", port)


async def test_a_port_below_1024_is_asked_of_nobody() -> None:
    async with swarm() as a, open_swarm(announcing(a, 443)) as b:
        await b.wait_connected(1, 15)
        found = await b.reach()
        assert (found.verdict, found.asked[0].outcome) == (Verdict.UNKNOWN, Outcome.REFUSED)
        assert found.asked[0].why == "port 443 is below 1024, and no peer dials it"
        assert a.peers()[0].offences == {}


async def test_who_listens_nowhere_asks_nobody() -> None:
    async with swarm() as a, swarm(a, listen=()) as b:
        found = await b.reach()
        assert found.verdict is Verdict.UNKNOWN
        assert found.asked[0].why == "this node listens on no address of its kind (ip4)"
        # Nobody was bothered: the peer dials at once when it is asked.
        assert a._parts.dial_backs._limits.begin(b.peer_id, "127.0.0.1", trio.current_time()) == ""


async def test_who_has_no_peer_knows_nothing() -> None:
    async with swarm() as a:
        assert await a.reach() == await a.reach()
        assert (await a.reach()).verdict is Verdict.UNKNOWN


async def test_somebody_else_at_the_asked_port_is_a_no(monkeypatch: pytest.MonkeyPatch) -> None:
    """The dial goes where the asker comes from, and there to the asker alone."""
    monkeypatch.setattr(params, "DIAL_BACK_SECONDS", 1)
    async with swarm() as a, swarm(a) as b, swarm() as other:
        assert not (await ask(b, a, port_of(other))).answered
        assert other.peers() == []


async def test_two_who_ask_at_once_share_one_look() -> None:
    async with swarm() as a, swarm(a) as b:
        found: list[Any] = []

        async def look() -> None:
            found.append(await b.reach())

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(look)
        assert [each.verdict for each in found] == [Verdict.NEAR] * 3
        # One look, and at most one more for whoever came while it ran.
        assert len({id(each) for each in found}) == 1


async def test_an_older_peer_is_no_error() -> None:
    async with swarm() as a, stranger(a):
        found = await a.reach()
        assert found.verdict is Verdict.UNKNOWN
        assert found.asked[0].outcome is Outcome.UNABLE
        assert "does not know this question" in found.asked[0].why
        assert a.peers()[0].offences == {}


# -- who asks -------------------------------------------------------------------------------------


@pytest.mark.parametrize("port", [0, 1, 22, 25, 1023, 65536, 70000, -1])
async def test_ports_of_others_are_no_question(port: int) -> None:
    async with swarm() as a, stranger(a) as bad:
        question = encode(DialMe(4001, bytes(32)))
        good = b"\xcd" + (4001).to_bytes(2, "big")
        assert good in question
        packed = {
            -1: b"\xff",
            0: b"\x00",
            1: b"\x01",
            22: b"\x16",
            25: b"\x19",
            1023: b"\xcd\x03\xff",
            65536: b"\xce\x00\x01\x00\x00",
            70000: b"\xce" + (70000).to_bytes(4, "big"),
        }[port]
        with pytest.raises(Refused, match=r"DialMe\.port"):
            await told(bad, a, question.replace(good, packed))
        await wait_until(lambda: a.peers()[0].offences)
        assert a.peers()[0].offences == {"a malformed request": 1}
        assert not a._parts.dial_backs._limits._lately


async def told(host: BasicHost, node: Swarm, question: bytes) -> bytes:
    return await streams.ask(await stream_to(host, node, PROTOCOL), "it", question, 1024, 20)


@pytest.mark.parametrize(
    "question",
    [
        b"",
        random.Random(1).randbytes(40),
        # Another address than one's own: the question has no place for it.
        b"\x93\xcd\x0f\xa1\xc4\x20" + bytes(32) + b"\xa9203.0.113",
        b"\x92\xcd\x0f\xa1\xc4\x1f" + bytes(31),
        b"\x92\xa9203.0.113\xc4\x20" + bytes(32),
    ],
    ids=["nothing", "noise", "an address more", "a short nonce", "an address for a port"],
)
async def test_garbage_is_refused_and_counted(question: bytes) -> None:
    async with swarm() as a, stranger(a) as bad:
        with pytest.raises(Refused, match="DialMe"):
            await told(bad, a, question)
        await wait_until(lambda: a.peers()[0].offences)
        assert a.peers()[0].offences == {"a malformed request": 1}


async def test_who_asks_again_and_again_is_dialled_once_and_banned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(params, "DIAL_BACK_SECONDS", 0.5)
    async with swarm() as a, stranger(a) as bad, closed_port() as port:
        dialled: list[int] = []
        dial = a._parts.dial_backs._dial

        async def counted(*args: Any) -> bool:
            dialled.append(1)
            return await dial(*args)

        monkeypatch.setattr(a._parts.dial_backs, "_dial", counted)

        async def one() -> None:
            with contextlib.suppress(Exception):
                await told(bad, a, encode(DialMe(port, bytes(32))))

        async def again_and_again() -> None:
            while True:
                await one()
                await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(one)
            await wait_until(lambda: dialled)
            for _ in range(200):
                nursery.start_soon(again_and_again)
            await wait_until(lambda: a._parts.warden.banned(str(bad.get_id())), 30)
            nursery.cancel_scope.cancel()
        assert dialled == [1]


async def test_who_never_reads_the_answer_holds_no_dial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(params, "DIAL_BACK_SECONDS", 0.5)
    async with swarm() as a, stranger(a) as bad, swarm(a) as good, closed_port() as port:
        limits = a._parts.dial_backs._limits
        stream = await stream_to(bad, a, PROTOCOL)
        question = encode(DialMe(port, bytes(32)))
        await stream.write(len(question).to_bytes(4, "big") + question)
        await wait_until(lambda: limits._running == 1)
        await wait_until(lambda: limits._running == 0, 3)
        limits._lately.clear()
        assert (await good.reach()).verdict is Verdict.NEAR


@pytest.mark.parametrize("way", ["silent", "garbage", "flood", "refuses"])
async def test_what_listens_at_the_port_costs_its_time_and_no_more(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(params, "DIAL_BACK_SECONDS", 1)
    got = bytearray()
    taken = 0

    async def serve(stream: trio.SocketStream) -> None:
        nonlocal taken
        if way == "refuses":
            return
        if way == "garbage":
            await stream.send_all(os.urandom(64))
        with contextlib.suppress(trio.BrokenResourceError):
            while way == "flood":
                # A frame of multistream-select that says it has 2 GiB.
                await stream.send_all(b"\xff\xff\xff\xff\x07" + bytes(65536))
                taken += 65536
            while piece := await stream.receive_some():
                got.extend(piece)

    async with swarm() as a, swarm(a) as b, trio.open_nursery() as nursery:
        where = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, serve, where)
        began = trio.current_time()
        answer = await ask(b, a, where[0].socket.getsockname()[1])
        assert answer == DialBack("127.0.0.1", False)
        assert 1 <= trio.current_time() - began < 4
        # What a stranger's port is sent is the first words of any libp2p node.
        assert bytes(got) in (
            b"",
            b"\x13/multistream/1.0.0\n",
            b"\x13/multistream/1.0.0\n\x07/noise\n",
        )
        assert a.statistics()["peers"] == 1
        nursery.cancel_scope.cancel()


async def test_a_full_node_moves_nobody_out_to_dial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(params, "MAX_CONNECTIONS", 2)
    async with swarm() as a, swarm(a) as b, swarm(a) as c:
        await a.wait_connected(2, 15)
        assert (await b.reach()).asked[0].outcome is Outcome.DIALLED
        assert sorted(a.connected()) == sorted((b.peer_id, c.peer_id))
        # And the node that is dialled is full itself.
        assert (await a.reach()).verdict is Verdict.NEAR
        assert sorted(a.connected()) == sorted((b.peer_id, c.peer_id))
        assert "evicted" not in a.statistics()


# -- who is asked ---------------------------------------------------------------------------------


def answering(
    host: BasicHost, answer: Callable[[DialMe, INetStream], Awaitable[bytes | None]]
) -> None:
    """Have a bare host answer by the framing of node/net/streams.py, or hold its tongue."""

    async def serve(stream: INetStream) -> None:
        data = b""
        while len(data) < 4 or len(data) < 4 + int.from_bytes(data[:4], "big"):
            data += await stream.read(1024)
        reply = await answer(decode(DialMe, data[4:], 64), stream)
        if reply is not None:
            await stream.write(reply)
            with contextlib.suppress(Exception):
                await stream.close()

    host.set_stream_handler(TProtocol(PROTOCOL), serve)


def ok(body: bytes) -> bytes:
    return b"\x00" + len(body).to_bytes(4, "big") + body


async def only(node: Swarm) -> Asked:
    found = await node.reach()
    assert len(found.asked) == 1
    return found.asked[0]


@pytest.mark.parametrize("host", ["127.0.0.1", "203.0.113.7"])
async def test_a_yes_without_a_dial_is_a_claim(host: str) -> None:
    async with swarm() as a, stranger(a) as bad:

        async def says_yes(question: DialMe, stream: INetStream) -> bytes:
            return ok(encode(DialBack(host, True)))

        answering(bad, says_yes)
        found = await only(a)
        assert (found.outcome, found.came_from) == (Outcome.CLAIMED, "")
        assert "nothing arrived" in found.why


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        random.Random(2).randbytes(8),
        ok(b""),
        ok(random.Random(3).randbytes(20)),
        ok(encode(DialBack("localhost", True))),
        ok(encode(DialBack("0.0.0.0", True))),  # noqa: S104 -- said, not bound
        ok(b"\x92\xda\x00\x40" + b"9" * 64 + b"\xc3"),
        b"\x00\x00\x10\x00\x00" + bytes(1024 * 1024),
        b"\x07\x00\x00\x00\x00",
        b"\x01\x00\x00\x00\x08\x1b[31mno!",
    ],
    ids=lambda reply: reply[:12].hex() or "nothing",
)
async def test_garbage_for_an_answer_is_no_answer(reply: bytes) -> None:
    async with swarm() as a, stranger(a) as bad:

        async def says(question: DialMe, stream: INetStream) -> bytes:
            return reply

        answering(bad, says)
        found = await only(a)
        refused = reply.startswith(b"\x01")
        assert found.outcome is (Outcome.REFUSED if refused else Outcome.SILENT)
        assert found.why.isprintable()
        assert (await a.probe(), found.told, found.came_from) == (True, "", "")


async def test_silence_is_waited_for_in_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outside, "_LOOK_SECONDS", 1.0)
    async with swarm() as a, stranger(a) as bad:

        async def says_nothing(question: DialMe, stream: INetStream) -> None:
            await trio.sleep_forever()

        answering(bad, says_nothing)
        began = trio.current_time()
        assert (await only(a)).outcome is Outcome.SILENT
        assert trio.current_time() - began < 3


@pytest.mark.parametrize("way", ["another nonce", "another identity", "short", "twice", "honest"])
async def test_what_arrives_must_be_the_dial_that_was_asked_for(way: str) -> None:
    """A dialler of the test's own hand, which the honest way shows to be able to."""
    async with swarm() as a, stranger(a) as bad, stranger() as mate:

        async def dials(question: DialMe, stream: INetStream) -> bytes:
            nonce = {"another nonce": os.urandom(32), "short": question.nonce[:31]}
            for _ in range(2 if way == "twice" else 1):
                dialler = mate if way == "another identity" else bad
                await dial(dialler, a, nonce.get(way, question.nonce))
            return ok(encode(DialBack("127.0.0.1", True)))

        answering(bad, dials)
        found = await only(a)
        good = way in ("twice", "honest")
        assert found.outcome is (Outcome.DIALLED if good else Outcome.CLAIMED)
        assert lines(a) == 1
        await wait_until(lambda: not a._parts.outside._awaited)


async def dial(host: BasicHost, node: Swarm, word: bytes) -> None:
    async with await trio.open_tcp_stream("127.0.0.1", port_of(node)) as stream:
        raw = RawConnection(TrioTCPStream(stream), True)
        upgrader = network_of(host).upgrader
        secured = await upgrader.upgrade_security(raw, True, peer_of(node))
        await MultiselectClient().select_one_of(
            [TProtocol(DIALLED)], MultiselectCommunicator(secured)
        )
        await secured.write(word)
        with trio.move_on_after(0.3), contextlib.suppress(Exception):
            await secured.read(1)


async def test_dials_that_nobody_asked_for_are_over_at_once() -> None:
    async with swarm() as a, stranger() as bad:

        async def one() -> None:
            # More at once from one address than may shake hands: some are cut off before.
            with contextlib.suppress(Exception):
                await dial(bad, a, os.urandom(32))

        async with trio.open_nursery() as nursery:
            for _ in range(40):
                nursery.start_soon(one)
        assert (lines(a), a.peers(), await a.probe()) == (0, [], True)
        await wait_until(lambda: not a._parts.host._network._inbound_limiter.borrowed_tokens)  # type: ignore
