"""The figures of a daemon in the world measure what they say."""

from __future__ import annotations

from kits.paths import ROOT
from libp2p.identity.identify.pb.identify_pb2 import Identify
from libp2p.pubsub.pb import rpc_pb2
from libp2p.utils.varint import decode_varint_with_size

from protocol.wire.topics import JOBS_TOPIC
from scripts.benchmarks import flood, loaded


def body(frame: bytes) -> bytes:
    """What one prefixed message holds, which must be all of the frame."""
    length, taken = decode_varint_with_size(frame)
    assert length + taken == len(frame)
    return frame[taken:]


def test_each_flood_is_one_message_on_a_topic_that_every_daemon_follows() -> None:
    for kind, (protocol, frame) in flood.FRAMES.items():
        if protocol == flood._PUSH:
            assert len(Identify.FromString(body(frame)).listen_addrs) == 970, kind
            assert len(frame) > 32 * 1024
            continue
        told = rpc_pb2.RPC.FromString(body(frame))
        named = {each.topicid for each in told.subscriptions}
        for group in (told.control.ihave, told.control.graft, told.control.prune):
            named |= {each.topicID for each in group}
        assert named <= {JOBS_TOPIC}, kind
        assert told.subscriptions or told.control.ByteSize() > 1000, kind


def test_what_is_counted_as_silence_is_what_the_log_says_of_it() -> None:
    assert loaded._SILENT in (ROOT / "node/net/peering/lines.py").read_text()
