"""What py-libp2p 0.8.1 does when it is not told otherwise. Each fact is why node/net/ tells it.

A test that fails after an upgrade names a line of node/net/ that can change with it.
"""

from __future__ import annotations

import inspect
import math
import os
import time

import libp2p
import pytest
import trio
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.network.auto_connector import AutoConnector
from libp2p.network.config import ConnectionConfig
from libp2p.network.swarm import Swarm
from libp2p.peer.envelope import Envelope, seal_record
from libp2p.peer.id import ID
from libp2p.peer.peer_record import PeerRecord
from libp2p.peer.peerstore import PeerStore
from libp2p.pubsub import pubsub as pubsub_module
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.pubsub import Pubsub, get_peer_and_seqno_msg_id
from libp2p.pubsub.rpc_queue import PriorityQueue, RpcQueue
from libp2p.pubsub.score import PeerScorer, ScoreParams, TopicScoreParams
from libp2p.pubsub.validators import signature_validator
from multiaddr import Multiaddr


def default(function: object, name: str) -> object:
    return inspect.signature(function).parameters[name].default  # type: ignore[arg-type]


def test_the_version_all_this_was_seen_on() -> None:
    assert libp2p.__version__ == "0.8.1"


async def test_a_host_offers_plaintext_and_secio() -> None:
    network = libp2p.new_host().get_network()
    assert isinstance(network, Swarm)
    offered = set(map(str, network.upgrader.security_multistream.transports))
    assert {"/plaintext/2.0.0", "/secio/1.0.0", "/noise"} <= offered


def test_gossipsub_beats_every_two_minutes_adapts_and_drops_over_ten_a_second() -> None:
    assert default(GossipSub.__init__, "heartbeat_interval") == 120
    assert default(GossipSub.__init__, "adaptive_gossip_enabled") is True
    assert default(GossipSub.__init__, "spam_protection_enabled") is True
    assert default(GossipSub.__init__, "max_messages_per_topic_per_second") == 10.0


async def test_queues_hold_32_and_the_place_to_deepen_them_is_there() -> None:
    assert pubsub_module.SUBSCRIPTION_CHANNEL_SIZE == 32
    queue = RpcQueue()
    assert isinstance(queue._queue, PriorityQueue)
    assert [queue.push(rpc_pb2.RPC()) for _ in range(33)] == [True] * 32 + [False]
    # Every peer's queue is stored by assignment, which is where node/net/gossip.py deepens it.
    assert "self.peer_queues[peer_id] = queue" in inspect.getsource(Pubsub._handle_new_peer)


async def test_sequence_numbers_start_from_seconds() -> None:
    host = libp2p.new_host()
    pubsub = Pubsub(host, GossipSub(["/meshsub/1.2.0"], 6, 4, 12))  # type: ignore[list-item]
    assert abs(pubsub.counter - time.time()) < 60


def test_messages_are_known_by_author_and_number() -> None:
    assert default(Pubsub.__init__, "msg_id_constructor") is get_peer_and_seqno_msg_id
    message = rpc_pb2.Message(from_id=b"author", seqno=b"number")
    assert get_peer_and_seqno_msg_id(message) == b"authornumber"


async def test_the_connector_dials_at_a_low_watermark_of_zero_too() -> None:
    assert ConnectionConfig().low_watermark == 100
    config = ConnectionConfig(min_connections=0, low_watermark=0)
    network = libp2p.new_swarm(connection_config=config)
    assert isinstance(network, Swarm)
    peer = ID.from_pubkey(create_new_key_pair(os.urandom(32)).public_key)
    network.peerstore.add_addr(peer, Multiaddr("/ip4/127.0.0.1/tcp/1"), 60)
    dialled: list[ID] = []

    async def dial(wanted: ID) -> list[object]:
        dialled.append(wanted)
        return []

    network.dial_peer = dial  # type: ignore[method-assign, assignment]
    await network.auto_connector.start()
    with trio.move_on_after(2):
        await network.auto_connector.maybe_connect()
    assert dialled == [peer]
    assert {"run_background_task", "maybe_connect"} <= set(dir(AutoConnector))


def test_the_penalty_for_invalid_messages_is_subtracted_and_capped_at_zero() -> None:
    bare = TopicScoreParams()
    assert (bare.weight, bare.cap) == (0.0, 0.0)
    params = ScoreParams()
    assert params.graylist_threshold == params.publish_threshold == -math.inf
    peer = ID(b"peer")
    for weight, expected in ((5.0, -5.0), (-5.0, 5.0)):
        scorer = PeerScorer(
            ScoreParams(p4_invalid_messages=TopicScoreParams(weight, cap=10.0, decay=1.0))
        )
        scorer.on_invalid_message(peer, "topic")
        assert scorer.score(peer, ["topic"]) == expected


def test_an_unreadable_key_raises_instead_of_failing_the_signature() -> None:
    message = rpc_pb2.Message(from_id=b"\x12\x20" + bytes(32), signature=b"x", key=b"garbage")
    with pytest.raises(Exception, match=r".+"):
        signature_validator(message)


def test_any_base58_passes_for_a_peer_id() -> None:
    assert ID.from_string("nonsense").to_bytes()


def record_of(seed: bytes, about: bytes | None = None) -> Envelope:
    keys = create_new_key_pair(seed)
    subject = create_new_key_pair(about or seed).public_key
    address = Multiaddr("/ip4/127.0.0.1/tcp/4001")
    return seal_record(PeerRecord(ID.from_pubkey(subject), [address]), keys.private_key)


def test_an_address_record_counts_only_with_its_owners_signature() -> None:
    """node/net/peering/peers.py hands records on through strangers and relies on this."""
    store = PeerStore()
    mine = ID.from_pubkey(create_new_key_pair(b"m" * 32).public_key)
    assert not store.consume_peer_record(record_of(b"t" * 32, about=b"m" * 32), 60)
    assert mine not in store.peers_with_addrs()
    assert store.consume_peer_record(record_of(b"m" * 32), 60)
    assert list(map(str, store.addrs(mine))) == ["/ip4/127.0.0.1/tcp/4001"]


def test_an_older_address_record_does_not_replace_a_newer_one() -> None:
    store = PeerStore()
    older, newer = record_of(b"m" * 32), record_of(b"m" * 32)
    assert store.consume_peer_record(newer, 60)
    assert not store.consume_peer_record(older, 60)
