from __future__ import annotations

import os
from collections.abc import Sequence

import pytest
import trio
from kits.net.swarms import GOSSIP, LOOPBACK, TOPIC, accept, swarm, wait_until
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.peer.id import ID

from node.net.swarm import Swarm
from protocol import params
from protocol.errors import InputError
from protocol.wire.verdict import Verdict

Inbox = trio.MemoryReceiveChannel[tuple[bytes, str]]


async def joined(nodes: Sequence[Swarm], topic: str = TOPIC) -> list[Inbox]:
    """All follow the topic and know of each other that they do."""
    inboxes = [await each.subscribe(topic, accept) for each in nodes]
    for each in nodes:
        await each.wait_topic(topic, len(nodes) - 1, 15)
    return inboxes


async def drain(inbox: Inbox, count: int, timeout: float) -> list[bytes]:
    got: list[bytes] = []
    with trio.move_on_after(timeout):
        while len(got) < count:
            got.append((await inbox.receive())[0])
    return got


async def test_a_message_reaches_everybody_with_its_author() -> None:
    async with swarm() as a, swarm(a) as b, swarm(a) as c:
        _, at_b, at_c = await joined((a, b, c))
        await b.publish(TOPIC, b"hello")
        with trio.fail_after(10):
            assert await at_c.receive() == (b"hello", b.peer_id)
        with pytest.raises(trio.WouldBlock):
            at_b.receive_nowait()


async def test_the_limit_of_a_message() -> None:
    async with swarm() as a, swarm(a) as b:
        at_a, _ = await joined((a, b))
        largest = os.urandom(params.MAX_GOSSIP_BYTES)
        await b.publish(TOPIC, largest)
        with trio.fail_after(10):
            assert (await at_a.receive())[0] == largest
        with pytest.raises(InputError, match="61441 bytes: at most 61440"):
            await b.publish(TOPIC, largest + b"x")
        with pytest.raises(InputError, match="161 bytes"):
            await b.publish("t" * 161, b"")


async def test_a_burst_arrives() -> None:
    sent = [b"%d" % number for number in range(200)]
    async with swarm() as a, swarm(a) as b, swarm(a) as c:
        at_a, at_b, _ = await joined((a, b, c))
        for each in sent:
            await c.publish(TOPIC, each)
        for inbox in (at_a, at_b):
            assert set(await drain(inbox, 200, 30)) == set(sent)


async def test_a_peer_that_joins_while_large_messages_flow_loses_no_connection() -> None:
    """Two tasks write to a joiner's stream: recent messages and the present ones."""
    sent = [bytes((number,)) * params.MAX_GOSSIP_BYTES for number in range(40)]
    async with swarm() as a, swarm(a) as b:
        await joined((a, b))
        async with trio.open_nursery() as nursery:

            async def flow() -> None:
                for each in sent:
                    await a.publish(TOPIC, each)
                    await trio.sleep(0.02)

            nursery.start_soon(flow)
            async with swarm(a) as c:
                inbox = await c.subscribe(TOPIC, accept)
                got = await drain(inbox, 1, 10)
                await wait_until(lambda: a.statistics()["published"] == len(sent))
                await a.publish(TOPIC, b"last")
                while b"last" not in got:
                    got += await drain(inbox, 1, 10)
                assert c.statistics().get("gossip.guard.garbage", 0) == 0
                assert not any(each.offences for each in c.peers())


async def test_ignored_goes_nowhere_and_costs_nothing() -> None:
    def judge(data: bytes, author: str) -> Verdict:
        return Verdict.IGNORE if data == b"stale" else Verdict.ACCEPT

    async with swarm() as a, swarm(a) as b:
        inbox = await a.subscribe(TOPIC, judge)
        await b.subscribe(TOPIC, accept)
        await b.wait_topic(TOPIC, 1, 10)
        await b.publish(TOPIC, b"stale")
        await b.publish(TOPIC, b"fresh")
        with trio.fail_after(10):
            assert (await inbox.receive())[0] == b"fresh"
        assert a.statistics()["gossip.ignored.judge"] == 1
        assert a.peers()[0].points == 0


async def test_who_sends_what_is_rejected_is_banned_in_the_end_and_hung_up_on() -> None:
    def judge(data: bytes, author: str) -> Verdict:
        return Verdict.REJECT if data.startswith(b"bad") else Verdict.ACCEPT

    async with swarm() as a, swarm(a) as b:
        await a.subscribe(TOPIC, judge)
        await b.subscribe(TOPIC, accept)
        await b.wait_topic(TOPIC, 1, 10)
        await b.publish(TOPIC, b"bad 0")
        await wait_until(lambda: a.peers()[0].points > 9)
        assert a.peers()[0].offences == {"gossip: a rejected message": 1}
        for number in range(12):
            await b.publish(TOPIC, b"bad %d" % number)
        await wait_until(lambda: a.statistics().get("bans") == 1)
        await wait_until(lambda: not a.peers())
        assert await a.probe()


async def test_a_judge_that_raises_ignores_and_the_node_goes_on() -> None:
    def judge(data: bytes, author: str) -> Verdict:
        if data == b"trap":
            raise ValueError("a judge is total, this one is not")
        return Verdict.ACCEPT

    async with swarm() as a, swarm(a) as b:
        inbox = await a.subscribe(TOPIC, judge)
        await b.subscribe(TOPIC, accept)
        await b.wait_topic(TOPIC, 1, 10)
        await b.publish(TOPIC, b"trap")
        await b.publish(TOPIC, b"after")
        with trio.fail_after(10):
            assert (await inbox.receive())[0] == b"after"
        assert a.statistics()["gossip.guard.judge"] == 1
        assert a.peers()[0].points == 0


async def test_a_reader_that_sleeps_loses_messages_and_nothing_else() -> None:
    count = params.GOSSIP_INBOX_MESSAGES + 20
    async with swarm() as a, swarm(a) as b:
        inbox, _ = await joined((a, b))
        for number in range(count):
            await b.publish(TOPIC, b"%d" % number)
        await wait_until(lambda: a.statistics().get("dropped.inbox", 0) == 20, 30)
        assert len(await drain(inbox, params.GOSSIP_INBOX_MESSAGES, 5)) == 512
        await b.publish(TOPIC, b"later")
        assert await drain(inbox, 1, 10) == [b"later"]


async def test_unsubscribing_ends_the_channel_and_the_topic_can_be_followed_again() -> None:
    async with swarm() as a, swarm(a) as b:
        inbox, _ = await joined((a, b))
        with pytest.raises(InputError, match="followed already"):
            await a.subscribe(TOPIC, accept)
        await a.unsubscribe(TOPIC)
        with pytest.raises(trio.EndOfChannel):
            await inbox.receive()
        await a.unsubscribe(TOPIC)
        again = await a.subscribe(TOPIC, accept)
        await b.wait_topic(TOPIC, 1, 10)
        await b.publish(TOPIC, b"again")
        assert await drain(again, 1, 15) == [b"again"]


async def test_a_bystander_carries_gossip_between_nodes_that_nobody_can_dial() -> None:
    async with (
        swarm() as bystander,
        swarm(bystander, listen=()) as a,
        swarm(bystander, listen=()) as b,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(
            bystander.relay, lambda topic: accept if topic.startswith("/assay/") else None
        )
        await a.subscribe("/other/topic", accept)
        inbox = await a.subscribe(TOPIC, accept)
        await b.subscribe(TOPIC, accept)
        await a.wait_topic(TOPIC, 1, 15)
        await b.wait_topic(TOPIC, 1, 15)
        await b.publish(TOPIC, b"across")
        assert await drain(inbox, 1, 15) == [b"across"]
        assert [each.peer_id for each in a.peers()] == [bystander.peer_id]
        await a.unsubscribe(TOPIC)
        await b.unsubscribe(TOPIC)
        # It lets go of a topic that nobody else follows, and takes none it has no judge for.
        await wait_until(lambda: not b.peers()[0].topics)
        nursery.cancel_scope.cancel()


async def test_members_of_a_topic_find_each_other_through_the_bootstrap_node() -> None:
    """The bootstrap node does not follow the topic, so gossip must not depend on it."""
    async with swarm(listen=LOOPBACK) as boot, swarm(boot) as a, swarm(boot) as b:
        inbox = await a.subscribe(TOPIC, accept)
        await b.subscribe(TOPIC, accept)
        await b.wait_topic(TOPIC, 1, 15)
        await b.publish(TOPIC, b"found")
        assert await drain(inbox, 1, 15) == [b"found"]


async def test_a_topic_followed_while_a_peer_is_greeted_is_known_to_it() -> None:
    """The library forgets to announce it; one join in fifteen was lost before this was guarded."""
    async with swarm() as a:
        host = a._parts.host
        open_stream = host.new_stream

        async def follow_first(peer: ID, protocols: Sequence[TProtocol]) -> INetStream:
            stream = await open_stream(peer, protocols)
            if GOSSIP in protocols:
                write = stream.write

                async def late(data: bytes) -> None:
                    stream.write = write  # type: ignore[method-assign]
                    await a.subscribe(TOPIC, accept)
                    await write(data)

                stream.write = late  # type: ignore[method-assign]
            return stream

        host.new_stream = follow_first  # type: ignore[method-assign]
        async with swarm(a) as b:
            await b.wait_topic(TOPIC, 1, 10)
