from __future__ import annotations

import os

import pytest
import trio
from kits.net.swarms import stranger, stream_to, swarm, wait_until
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.peer.id import ID

from node.net.errors import Broken, Disconnected, Refused, TimedOut, Unreachable
from protocol import params
from protocol.errors import InputError, Malformed, PeerError

ECHO = "/assay/echo/1"


async def echo(peer: str, data: bytes) -> bytes:
    return data[::-1]


async def test_a_question_and_its_answer_name_the_asker() -> None:
    asked: list[str] = []

    async def handler(peer: str, data: bytes) -> bytes:
        asked.append(peer)
        return data * 2

    async with swarm() as a, swarm(a) as b:
        a.serve(ECHO, handler)
        assert await b.request(a.peer_id, ECHO, b"xy", 10) == b"xyxy"
        assert await b.request(a.peer_id, ECHO, b"", 10) == b""
        assert asked == [b.peer_id, b.peer_id]
        # Anybody can give an answer: it makes nobody's place safe.
        deeds = b._parts.peers.lines._of(ID.from_string(a.peer_id))
        assert (deeds.answered is not None, deeds.useful) == (True, None)


async def test_anybody_in_the_swarm_can_be_asked_by_id_alone() -> None:
    """Each joined the bootstrap node and nobody else; addresses come from peers."""
    async with swarm() as boot, swarm(boot) as a, swarm(boot) as b, swarm(boot) as c:
        for node in (a, b, c):
            node.serve(ECHO, echo)
        for asker in (a, b, c):
            for asked in (a, b, c):
                if asker is not asked:
                    assert await asker.request(asked.peer_id, ECHO, b"ab", 15) == b"ba"


async def test_an_answer_can_be_as_large_as_allowed_and_no_larger() -> None:
    async def blow_up(peer: str, data: bytes) -> bytes:
        return bytes(int(data))

    async with swarm() as a, swarm(a) as b:
        a.serve(ECHO, blow_up)
        limit = params.MAX_STREAM_MESSAGE_BYTES
        assert len(await b.request(a.peer_id, ECHO, str(limit).encode(), 20)) == limit
        with pytest.raises(Broken, match=f"{a.peer_id}.*reply is too large"):
            await b.request(a.peer_id, ECHO, str(limit + 1).encode(), 20)
        with pytest.raises(InputError, match="1048577 bytes"):
            await b.request(a.peer_id, ECHO, bytes(limit + 1), 20)


async def test_a_request_over_a_protocols_own_limit_is_counted_against_the_asker() -> None:
    async with swarm() as a, swarm(a) as b:
        a.serve(ECHO, echo, max_request=8)
        assert await b.request(a.peer_id, ECHO, b"12345678", 10) == b"87654321"
        with pytest.raises(Disconnected):
            await b.request(a.peer_id, ECHO, b"123456789", 10)
        await wait_until(lambda: a.peers()[0].offences)
        assert a.peers()[0].offences == {"an oversized request": 1}


async def test_a_refusal_carries_the_handlers_words_and_a_failure_does_not() -> None:
    async def handler(peer: str, data: bytes) -> bytes:
        if data == b"no":
            raise PeerError("not \x1b[31menrolled")
        raise ValueError("secret: 42")

    async with swarm() as a, swarm(a) as b:
        a.serve(ECHO, handler)
        with pytest.raises(Refused, match=r"refused: not \?\[31menrolled") as refused:
            await b.request(a.peer_id, ECHO, b"no", 10)
        assert refused.value.lasting
        assert refused.value.peer == a.peer_id
        with pytest.raises(Refused) as failed:
            await b.request(a.peer_id, ECHO, b"crash", 10)
        assert "secret" not in str(failed.value)
        assert not failed.value.lasting
        a.serve(ECHO, echo)
        assert await b.request(a.peer_id, ECHO, b"ab", 10) == b"ba"
        assert a.statistics()["served.failed"] == 1
        assert b.peers()[0].points == 0


async def test_an_answer_that_does_not_come_is_named() -> None:
    async def never(peer: str, data: bytes) -> bytes:
        await trio.sleep_forever()
        return b""

    async with swarm() as a, swarm(a) as b:
        a.serve(ECHO, never)
        with pytest.raises(TimedOut, match=f"peer {a.peer_id}: no reply within 0.3 seconds"):
            await b.request(a.peer_id, ECHO, b"", 0.3)
        # Whoever gave up let go of the stream: the connection still serves others.
        a.serve(ECHO + "/b", echo)
        assert await b.request(a.peer_id, ECHO + "/b", b"ab", 10) == b"ba"


async def test_who_cannot_be_asked_is_named_with_the_cause() -> None:
    unknown = str(ID.from_pubkey(create_new_key_pair(os.urandom(32)).public_key))
    async with swarm() as a, swarm(a) as b:
        with pytest.raises(Unreachable, match=f"{unknown}: no address is known"):
            await b.request(unknown, ECHO, b"", 10)
        with pytest.raises(Malformed, match="no peer id"):
            await b.request("nonsense", ECHO, b"", 10)
        with pytest.raises(Unreachable, match="does not talk to itself"):
            await b.request(b.peer_id, ECHO, b"", 10)
        with pytest.raises(Unreachable, match="opens no stream for /assay/echo/1"):
            await b.request(a.peer_id, ECHO, b"", 10)
        async with swarm(a) as c:
            gone = c.peer_id
            await wait_until(lambda: gone in {each.peer_id for each in b.peers()})
        await wait_until(lambda: gone not in {each.peer_id for each in b.peers()})
        with pytest.raises(Unreachable, match=f"{gone}: no answer at /ip4/127.0.0.1"):
            await b.request(gone, ECHO, b"", 10)


async def test_who_asks_too_often_is_told_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(params, "REQUESTS_PER_SECOND", 2)
    async with swarm() as a, swarm(a) as b:
        a.serve(ECHO, echo)

        async def hurry() -> None:
            for _ in range(20):
                await b.request(a.peer_id, ECHO, b"", 10)

        with pytest.raises(Refused, match="busy: too many requests") as busy:
            await hurry()
        assert not busy.value.lasting
        assert a.statistics()["served.busy"] == 1


async def test_a_peer_that_asks_and_hangs_up_or_asks_half_costs_nothing() -> None:
    async with swarm() as a, stranger(a) as rude:
        a.serve(ECHO, echo)
        for request in (b"", b"\0", b"\0\0\0\x05abc", b"\0\0\0\x02ab"):
            stream = await stream_to(rude, a, ECHO)
            if request:
                await stream.write(request)
            await stream.reset()
        await wait_until(lambda: a.statistics().get("served.broken", 0) >= 3)
        async with swarm(a) as b:
            assert await b.request(a.peer_id, ECHO, b"ab", 10) == b"ba"


async def test_a_request_that_stops_coming_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(params, "PROGRESS_SECONDS", 0.2)
    async with swarm() as a, stranger(a) as slow:
        a.serve(ECHO, echo)
        stream = await stream_to(slow, a, ECHO)
        await stream.write(b"\0\0\0\x05a")
        await wait_until(lambda: a.statistics().get("served.broken") == 1, 5)


async def test_cancelling_a_request_leaves_nothing_behind() -> None:
    started = trio.Event()

    async def never(peer: str, data: bytes) -> bytes:
        started.set()
        await trio.sleep_forever()
        return b""

    async with swarm() as a, swarm(a) as b:
        a.serve(ECHO, never)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(b.request, a.peer_id, ECHO, b"", 60)
            await started.wait()
            nursery.cancel_scope.cancel()
        a.serve(ECHO, echo)
        assert await b.request(a.peer_id, ECHO, b"ab", 10) == b"ba"
