"""Control frames cost their sender what they make the receiver do, and none makes it do much."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from kits.net.swarms import GOSSIP, TOPIC, accept, stranger, stream_to, swarm, wait_until
from libp2p.host.exceptions import StreamFailure
from libp2p.identity.identify.pb.identify_pb2 import Identify
from libp2p.network.stream.exceptions import StreamError
from libp2p.pubsub.pb import rpc_pb2
from libp2p.utils.varint import encode_varint_prefixed
from multiaddr import Multiaddr

from node.net.frames import MAX_MESSAGES, Violation, check_fields, cost
from protocol import params

ID_PUSH = "/ipfs/id/push/1.0.0"
IDS = [b"%040d" % number for number in range(15_000)]


def control(**fields: Any) -> rpc_pb2.RPC:
    return rpc_pb2.RPC(control=rpc_pb2.ControlMessage(**fields))


def ihave(count: int) -> rpc_pb2.RPC:
    return control(ihave=[{"topicID": TOPIC, "messageIDs": IDS[:count]}])


def iwant(count: int) -> rpc_pb2.RPC:
    return control(iwant=[{"messageIDs": IDS[:count]}])


def idontwant(count: int) -> rpc_pb2.RPC:
    return control(idontwant=[{"messageIDs": IDS[:count]}])


def exchange(count: int) -> rpc_pb2.RPC:
    return control(prune=[{"topicID": TOPIC, "peers": [{"peerID": b"x"}] * count}])


def graft(count: int) -> rpc_pb2.RPC:
    return control(graft=[{"topicID": TOPIC}] * count)


def prune(count: int) -> rpc_pb2.RPC:
    return control(prune=[{"topicID": TOPIC}] * count)


def follow(count: int) -> rpc_pb2.RPC:
    return rpc_pb2.RPC(subscriptions=[{"subscribe": True, "topicid": TOPIC}] * count)


@pytest.mark.parametrize(
    "rest", [b"\x1a\x02\x1a\x00" * 20_000, b"\x12\x00" * 20_000], ids=["grafts", "messages"]
)
def test_a_group_hides_nothing_from_the_count(rest: bytes) -> None:
    """A parser skips an unknown group and reads on; so would half a million messages be made."""
    with pytest.raises(Violation, match="too many fields in one frame"):
        check_fields(b"\x7b\x7c" + rest)


@pytest.mark.parametrize("make", [ihave, iwant, idontwant, exchange])
def test_ids_are_counted_and_not_only_the_entries_that_hold_them(make: Any) -> None:
    assert cost(make(1)) == 1
    assert cost(make(2500)) == 101
    assert cost(make(params.MAX_GOSSIP_IDS)) == 201
    with pytest.raises(Violation, match="too many ids"):
        cost(make(params.MAX_GOSSIP_IDS + 1))


@pytest.mark.parametrize("make", [graft, prune, follow])
def test_entries_are_counted(make: Any) -> None:
    assert cost(make(params.MAX_GOSSIP_ENTRIES)) == 1 + params.MAX_GOSSIP_ENTRIES // 4
    with pytest.raises(Violation, match="too many control messages"):
        cost(make(params.MAX_GOSSIP_ENTRIES + 1))


def test_a_frame_at_every_limit_is_paid_for_in_less_than_five_seconds() -> None:
    full = control(
        ihave=[{"messageIDs": IDS[: params.MAX_GOSSIP_IDS]}],
        graft=[{}] * (params.MAX_GOSSIP_ENTRIES - 1),
    )
    full.publish.extend([rpc_pb2.Message()] * MAX_MESSAGES)
    assert cost(full) / params.GOSSIP_MESSAGES_PER_SECOND < 5
    check_fields(full.SerializeToString())


def test_fields_are_counted_before_a_frame_is_parsed() -> None:
    # The frame's field `control`, then in it one IHAVE, then its ids.
    at_limit = ihave(params.MAX_GOSSIP_FIELDS - 3)
    check_fields(at_limit.SerializeToString())
    for over in (
        ihave(params.MAX_GOSSIP_FIELDS - 2),
        ihave(15_000),
        iwant(15_000),
        exchange(15_000),
        graft(15_000),
        prune(15_000),
        follow(15_000),
        rpc_pb2.RPC(publish=[rpc_pb2.Message()] * 15_000),
        rpc_pb2.RPC(publish=[rpc_pb2.Message(topicIDs=[""] * 15_000)]),
    ):
        with pytest.raises(Violation, match="too many fields"):
            check_fields(over.SerializeToString())
    # Nothing that is unknown, malformed or empty escapes the count either.
    for raw in (
        b"\x1a\x00" * 15_000,
        b"\x08\x00" * 15_000,
        b"\x7d1234" * 15_000,
        b"\x79" + bytes(9),
    ):
        if len(raw) > 1000:
            with pytest.raises(Violation, match="too many fields"):
                check_fields(raw)


@given(st.binary(max_size=400))
def test_whatever_a_frame_holds_counting_it_ends(raw: bytes) -> None:
    check_fields(raw)


def test_an_honest_frame_of_large_messages_passes() -> None:
    message = rpc_pb2.Message(
        from_id=b"f" * 38,
        seqno=bytes(8),
        data=b"\x0a" * 60_000,
        topicIDs=[TOPIC],
        signature=bytes(64),
    )
    check_fields(
        rpc_pb2.RPC(publish=[message] * 4, senderRecord=b"\x0a\x00" * 500).SerializeToString()
    )


@pytest.mark.parametrize("make", [ihave, iwant, graft, prune, exchange, follow])
async def test_a_flood_of_control_costs_points_and_keeps_nobody_waiting(make: Any) -> None:
    raw = encode_varint_prefixed(make(15_000).SerializeToString())
    async with swarm() as victim, stranger(victim) as rogue:
        await victim.subscribe(TOPIC, accept)
        stream = await stream_to(rogue, victim, GOSSIP)
        await stream.write(raw)
        record = victim._parts.warden.record(str(rogue.get_id()))
        await wait_until(lambda: record.offences)
        assert dict(record.offences) == {"gossip: too many fields in one frame": 1}
        assert await victim.probe()


async def test_of_many_offers_and_grafts_few_are_looked_at() -> None:
    async with swarm() as victim:
        await victim.subscribe(TOPIC, accept)
        pubsub = victim._parts.pubsub
        frame = ihave(3000)
        frame.control.ihave.add(topicID=TOPIC, messageIDs=IDS[3000:4000])
        frame.control.graft.extend([rpc_pb2.ControlGraft(topicID=TOPIC)] * 200)
        frame.control.prune.extend([rpc_pb2.ControlPrune(topicID=TOPIC)] * 200)
        pubsub._tame(frame.control)
        kept = [each for have in frame.control.ihave for each in have.messageIDs]
        assert kept == IDS[: params.MAX_GOSSIP_OFFERS]
        assert len(frame.control.graft) == 1
        assert len(frame.control.prune) == 1


def known(victim: Any, rogue: Any) -> list[str]:
    store = victim._parts.host.get_peerstore()
    peer = rogue.get_id()
    return [str(each) for each in store.addrs(peer)] if peer in store.peers_with_addrs() else []


async def push(rogue: Any, victim: Any, told: bytes) -> None:
    stream = await stream_to(rogue, victim, ID_PUSH)
    await stream.write(encode_varint_prefixed(told))
    await stream.close()


async def test_identify_pushes_are_few_and_short() -> None:
    address = Multiaddr("/ip4/192.0.2.1/tcp/4001").to_bytes()
    honest = Identify(listen_addrs=[address], protocols=["/x"]).SerializeToString()
    async with swarm() as victim, stranger(victim) as rogue:
        record = victim._parts.warden.record(str(rogue.get_id()))
        await push(rogue, victim, honest)
        await wait_until(lambda: known(victim, rogue) == ["/ip4/192.0.2.1/tcp/4001"])
        assert not record.offences
        for _ in range(12):
            # A reset may overtake the agreement on the stream's protocol, or the first byte.
            with contextlib.suppress(StreamFailure, StreamError):
                await push(rogue, victim, honest)
        await wait_until(lambda: record.offences.get("too many identify pushes", 0) >= 7)


async def test_an_identify_push_is_bounded_in_bytes_and_names() -> None:
    many = [Multiaddr(f"/ip4/192.0.2.1/tcp/{port}").to_bytes() for port in range(1, 500)]
    fits = Identify(listen_addrs=many).SerializeToString()
    fits += b"\xfa\x7f" + encode_varint_prefixed(bytes(params.MAX_IDENTIFY_BYTES - len(fits) - 4))
    assert len(fits) == params.MAX_IDENTIFY_BYTES
    async with swarm() as victim, stranger(victim) as rogue:
        record = victim._parts.warden.record(str(rogue.get_id()))
        await push(rogue, victim, fits)
        await wait_until(lambda: len(known(victim, rogue)) == params.MAX_IDENTIFY_NAMES)
        assert not record.offences
        await push(rogue, victim, fits + b"\x00")
        await wait_until(lambda: record.offences)
        assert dict(record.offences) == {"an identify push that is none": 1}
        with trio.fail_after(5):
            assert await victim.probe()
