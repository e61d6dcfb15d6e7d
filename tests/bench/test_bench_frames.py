"""The malformed frames of the figure `frames`: of every protocol, and read by what reads frames."""

from __future__ import annotations

import itertools
import random

import pytest
import trio
from kits.net.swarms import Shelf, swarm
from libp2p.identity.identify.pb.identify_pb2 import Identify
from libp2p.pubsub.pb import rpc_pb2

from node.net.fetch import Part, Want
from protocol.wire.blobs import blob_digest
from protocol.wire.codec import decode, encode
from protocol.wire.envelope import NO_JOB, Context, Frame, open_envelope
from scripts.benchmarks import frames

PLACE = Context(1337, bytes(20), NO_JOB, 0, 0)


def test_what_is_spoilt_holds_before() -> None:
    found = frames.examples(PLACE)
    for whole in found[frames.MESSAGE]:
        open_envelope(decode(Frame, whole, 4096).envelope)
    for whole in found[frames.BLOB]:
        decode(Want, whole, 4096)
    for whole in found["/meshsub/"]:
        assert rpc_pb2.RPC.FromString(whole).ByteSize() == len(whole)
    for whole in found["/ipfs/id"]:
        assert Identify.FromString(whole).listen_addrs


@pytest.mark.parametrize("protocol", frames.KINDS)
def test_frames_are_repeatable_and_of_many_kinds(protocol: str) -> None:
    one, other = (
        list(itertools.islice(frames.spoilt(random.Random(3), protocol, PLACE), 200))
        for _ in range(2)
    )
    assert one == other
    assert len(set(one)) > 150


async def test_a_node_reads_them_on_every_protocol_and_answers_on() -> None:
    """Each is read and judged; the node is alive, and an honest peer is served."""
    content = b"what an honest peer asks for"
    async with swarm() as victim, swarm(victim) as honest:
        victim.serve_blobs(Shelf(content))
        host = victim._parts.host
        named = {str(name) for name in host.get_mux().handlers if name}
        assert {kind for kind in frames.KINDS if not any(n.startswith(kind) for n in named)} == {
            frames.MESSAGE  # of a whole daemon
        }
        with trio.fail_after(60):
            await frames._feed(host, PLACE, 600, 1)
        statistics = victim.statistics()
        assert statistics["served.refused"] > 50
        assert statistics["offence.a malformed request"] > 50
        assert statistics["gossip.guard.garbage"] > 50
        assert await victim.probe()
        want = encode(Want(blob_digest(content), len(content), Part.CHUNK, 0))
        assert await honest.request(victim.peer_id, frames.BLOB, want, 10) == content
