"""Malformed frames of every protocol at one daemon, and honest questions to it meanwhile.

`python -m scripts.benchmarks.frames HOME COUNT SEED` is that daemon. The frames enter where a
stream's handler reads them, each on a stream of an identity of its own: over the wire five of them
are a ban, and a ban's handshakes are all that would be measured. Everything behind the stream is
the daemon's. Nobody else is spared: the honest peer comes over a real connection.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import trio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.custom_types import TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.identity.identify.pb.identify_pb2 import Identify
from libp2p.network.stream.exceptions import StreamEOF
from libp2p.peer.id import ID
from libp2p.pubsub.pb import rpc_pb2
from libp2p.utils.varint import encode_varint_prefixed

from node import daemon
from node.console.failure import Failure
from node.demo.screen import PlainScreen
from node.demo.swarm.processes import Child, Children
from node.demo.swarm.world import build
from node.home.config import load_config
from node.home.home import Home
from node.net.errors import ConversationError, Refused
from node.net.fetch import PROTOCOL as BLOB
from node.net.fetch import Part, Want
from node.net.host import network_of
from node.net.swarm import SwarmConfig, open_swarm
from node.perform.messages import PROTOCOL as MESSAGE
from protocol.wire.codec import encode
from protocol.wire.envelope import NO_JOB, Context, Frame, seal
from protocol.wire.identity import peer_id
from protocol.wire.messages import Ask, RefusalCode, Refuse
from protocol.wire.topics import CARDS_TOPIC, JOBS_TOPIC
from scripts.benchmarks import figures
from scripts.benchmarks.figures import BenchError, Measurement

#: Streams that are open at once, so many frames between two looks at the clock, seconds in all.
_AT_ONCE: Final = 32
_TOLD_EVERY: Final = 1000
_START_SECONDS: Final = 180.0
_SILENT_SECONDS: Final = 120.0
#: An honest question every so often, and how long it may take.
_ASK_SECONDS, _PATIENCE = 0.5, 10.0

#: Frames of gossip that are signed beforehand: a signature takes longer than what reads it.
_SIGNED: Final = 500

#: Our own protocols lead a frame by its length; those of the library by a varint.
_OWN: Final = "/assay/"
_GOSSIP: Final = "/meshsub/"


def frames(context: figures.Context) -> Measurement:
    """Frames after which the daemon is alive; honest questions, all of them answered."""
    count = context.frames
    try:
        with tempfile.TemporaryDirectory() as name, Children() as children:
            world = build(Path(name), children, PlainScreen(sys.stderr))
            home, old = world.bystander.home.path, world.daemons[world.bystander.name]
            old.terminate()
            old.end(30)
            command = [
                sys.executable,
                "-m",
                "scripts.benchmarks.frames",
                str(home),
                str(count),
                "1",
            ]
            child = children.start("frames", command, Path(name) / "frames.log")
            asked = _Asked(str(child.line(_START_SECONDS)["address"]))
            with asked:
                done = _watch(context, child, count)
                answer = world.bystander.ask("status")
    except Failure as failure:
        raise BenchError(f"the daemon did not stand: {failure}") from failure
    if asked.failed or not asked.answered:
        raise BenchError(
            f"{asked.failed} of {asked.answered + asked.failed} honest questions got no answer"
        )
    return Measurement(
        ours=done,
        parts={"honest questions answered": (asked.answered, None)},
        notes=[
            f"on {len(KINDS)} kinds of stream, each frame on one of another identity, behind the "
            f"connection; then `status` named process {answer['pid']}",
        ],
    )


def _watch(context: figures.Context, child: Child, count: int) -> int:
    """Until the daemon has read them all; how many. Raises Failure where it ends before."""
    done = 0
    while done < count:
        done = int(child.line(_SILENT_SECONDS)["frames"])
        if done % 100_000 == 0:
            context.say(f"frames: {done:,} of {count:,}")
    return done


class _Asked:
    """Honest questions over a real connection, in a thread, for as long as the block lasts."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._over = threading.Event()
        self._thread = threading.Thread(target=trio.run, args=(self._ask,), daemon=True)
        self.answered = self.failed = 0

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(60)

    async def _ask(self) -> None:
        peer = self._address.rpartition("/p2p/")[2]
        question = encode(Want(os.urandom(32), 5, Part.CHUNK, 0))
        async with open_swarm(SwarmConfig((), seed=os.urandom(32))) as swarm:
            await swarm.join(self._address)
            while not self._over.is_set():
                try:
                    await swarm.request(peer, BLOB, question, _PATIENCE)
                except Refused as refused:
                    # 'Not held here' is the answer; 'busy' is none.
                    self.answered += refused.lasting
                    self.failed += not refused.lasting
                except ConversationError as error:
                    print(f"bench: an honest question: {error}", file=sys.stderr)
                    self.failed += 1
                await trio.sleep(_ASK_SECONDS)


# --- what is malformed ----------------------------------------------------------------------


def _dice(seed: str) -> random.Random:
    return random.Random(seed)  # noqa: S311 - what is hostile here is repeatable, not secret


def _flipped(dice: random.Random, whole: bytes) -> bytes:
    """Some bits of it changed."""
    out = bytearray(whole)
    for _ in range(dice.randint(1, 4)):
        out[dice.randrange(len(out))] ^= 1 << dice.randrange(8)
    return bytes(out)


def _cut(dice: random.Random, whole: bytes) -> bytes:
    return whole[: dice.randrange(len(whole))]


def _noise(dice: random.Random, whole: bytes) -> bytes:
    return dice.randbytes(dice.randint(0, 2 * len(whole)))


def _spliced(dice: random.Random, whole: bytes) -> bytes:
    """A part of it twice, or left out."""
    one, other = dice.randrange(len(whole)), dice.randrange(len(whole))
    return whole[:one] + whole[other:]


def _nested(dice: random.Random, whole: bytes) -> bytes:
    """MessagePack's arrays of one, or a protobuf's groups, within each other."""
    return (
        dice.choice((b"\x91", b"\x81\xa1a", b"\x0b", b"\x0a\x7f")) * dice.randint(1, 400)
        + whole[:9]
    )


def _huge(dice: random.Random, whole: bytes) -> bytes:
    """A length that no bytes follow: of MessagePack's text and arrays, of a protobuf's field."""
    head = dice.choice((b"\xdb", b"\xdd", b"\xc6", b"\xdf", b"\x0a\xff\xff\xff\xff"))
    return head + b"\xff\xff\xff\xff" + whole[:20]


SPOILT: Final[Sequence[Callable[[random.Random, bytes], bytes]]] = (
    _flipped,
    _cut,
    _noise,
    _spliced,
    _nested,
    _huge,
)


def _said(body: Any, seed: bytes, place: Context) -> bytes:
    """A private message that holds, of an identity."""
    key = Ed25519PrivateKey.from_private_bytes(seed)
    who = peer_id(key.public_key().public_bytes_raw())
    return encode(Frame(encode(seal(place, who, body, key.sign)), b""))


def examples(place: Context) -> Mapping[str, Sequence[bytes]]:
    """What holds, of each protocol, by the beginning of its name; the frame's length left out."""
    seed = bytes(range(32))
    control = rpc_pb2.ControlMessage(
        ihave=[rpc_pb2.ControlIHave(topicID=JOBS_TOPIC, messageIDs=[b"1" * 40])],
        graft=[rpc_pb2.ControlGraft(topicID=JOBS_TOPIC)],
    )
    topic = rpc_pb2.RPC.SubOpts(subscribe=True, topicid=CARDS_TOPIC)
    follow = rpc_pb2.RPC(subscriptions=[topic])
    return {
        MESSAGE: [
            _said(Ask(), seed, place),
            _said(Refuse(RefusalCode.CLOSED, "no"), seed, place),
        ],
        BLOB: [encode(Want(bytes(32), 5, Part.LIST, 0))],
        _GOSSIP: [rpc_pb2.RPC(control=control).SerializeToString(), follow.SerializeToString()],
        "/ipfs/id": [Identify(listen_addrs=[bytes(32)], agent_version="x").SerializeToString()],
        "": [bytes(range(64))],
    }


def _signed(dice: random.Random, place: Context) -> list[bytes]:
    """Gossip whose signature holds and whose content does not."""
    found, (content, *_) = [], examples(place)[MESSAGE]
    for number in range(_SIGNED):
        keys = create_new_key_pair(dice.randbytes(32))
        message = rpc_pb2.Message(
            from_id=ID.from_pubkey(keys.public_key).to_bytes(),
            seqno=number.to_bytes(8, "big"),
            data=dice.choice(SPOILT)(dice, content),
            topicIDs=[dice.choice((JOBS_TOPIC, CARDS_TOPIC))],
        )
        message.signature = keys.private_key.sign(b"libp2p-pubsub:" + message.SerializeToString())
        message.key = keys.public_key.serialize()
        found.append(rpc_pb2.RPC(publish=[message]).SerializeToString())
    return found


def spoilt(dice: random.Random, protocol: str, place: Context) -> Iterator[bytes]:
    """Malformed frames of a protocol, as they stand on its stream, without end."""
    wholes = next(list(w) for name, w in examples(place).items() if protocol.startswith(name))
    signed = _signed(dice, place) if protocol.startswith(_GOSSIP) else []
    while True:
        if signed and dice.random() < 0.3:
            yield encode_varint_prefixed(dice.choice(signed))
            continue
        body = dice.choice(SPOILT)(dice, dice.choice(wholes))
        if dice.random() < 0.1:  # the length itself is a lie, or is none
            yield dice.choice((b"\xff" * 12, b"\xff\xff\xff\xff", b"\x00\x00\x00\x09")) + body[:9]
        elif protocol.startswith(_OWN):
            yield len(body).to_bytes(4, "big") + body
        else:
            yield encode_varint_prefixed(body)


# --- the daemon that reads it ---------------------------------------------------------------


class _Line:
    """The connection of a stream."""

    is_closed, remote_addr = False, None

    def __init__(self, peer: ID) -> None:
        self.peer_id = peer

    def get_remote_address(self) -> None:
        """Unknown."""


class Stream:
    """A stream that brings so many bytes and then ends, as far as the daemon can tell."""

    def __init__(self, peer: ID, data: bytes) -> None:
        self.muxed_conn = _Line(peer)
        self.muxed_stream = SimpleNamespace(muxed_conn=self.muxed_conn)
        self._protocol: TProtocol | None = None
        self._data = data

    async def read(self, count: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        if not self._data:
            raise StreamEOF("the end")
        piece = self._data if count is None else self._data[:count]
        self._data = self._data[len(piece) :]
        return piece

    async def write(self, _: bytes) -> None:
        await trio.lowlevel.checkpoint()

    async def reset(self) -> None:
        await trio.lowlevel.checkpoint()

    close = close_write = close_read = reset

    def get_protocol(self) -> TProtocol | None:
        return self._protocol

    def set_protocol(self, protocol: TProtocol) -> None:
        self._protocol = protocol

    def get_remote_address(self) -> None:
        """Unknown."""


async def _feed(host: BasicHost, place: Context, count: int, seed: int) -> None:
    """Where a connection hands over a stream that a peer opened: the guard around all of them, the
    choice of a protocol, its handler."""
    protocols = sorted(str(name) for name in host.get_mux().handlers if name)
    kinds = {name: spoilt(_dice(f"{seed} {name}"), name, place) for name in protocols}
    dice, done = _dice(str(seed)), 0
    take = network_of(host).common_stream_handler

    async def one() -> None:
        nonlocal done
        while done < count:
            done += 1
            if done % _TOLD_EVERY == 0 or done == count:
                print(json.dumps({"frames": done}), flush=True)
            protocol = dice.choice(protocols)
            peer = ID(b"\x00\x24\x08\x01\x12\x20" + dice.randbytes(32))
            greeting = b"".join(map(_line, ("/multistream/1.0.0", protocol)))
            await take(Stream(peer, greeting + next(kinds[protocol])))  # type: ignore[arg-type]

    async with trio.open_nursery() as nursery:
        for _ in range(_AT_ONCE):
            nursery.start_soon(one)


def _line(text: str) -> bytes:
    return encode_varint_prefixed(f"{text}\n".encode())


def _run(home: Home, count: int, seed: int) -> int:
    """The daemon of a home that reads so many malformed frames; it stays until told to end."""
    config = load_config(home)
    if config.chain_id is None or config.contract is None:
        raise BenchError(f"{home.config} names no chain")
    place = Context(config.chain_id, config.contract, NO_JOB, 0, 0)

    async def fed(_: object, alive: Any) -> None:
        # In the place of the service manager's watchdog: the one task that is handed the swarm.
        await _feed(alive.__self__._parts.host, place, count, seed)

    with contextlib.ExitStack() as stack:
        stack.callback(setattr, daemon, "_watchdog", daemon._watchdog)
        daemon._watchdog = fed  # type: ignore[assignment]
        return daemon.run_daemon(
            home,
            config,
            lambda join: print(json.dumps({"address": join.partition("?")[0]}), flush=True),
        )


#: The kinds of stream that a daemon answers on.
KINDS: Final = (
    MESSAGE,
    BLOB,
    "/assay/1/peers",
    "/meshsub",
    "/ipfs/id",
    "/ipfs/id/push",
    "/ipfs/ping",
)


if __name__ == "__main__":
    sys.exit(_run(Home(Path(sys.argv[1])), int(sys.argv[2]), int(sys.argv[3])))
