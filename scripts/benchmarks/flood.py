"""How long `assay status` takes while a peer floods the daemon with control frames.

`python -m scripts.benchmarks.flood ADDRESS KIND` is the peer, in a process of its own.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import trio
from libp2p.custom_types import TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.identity.identify.pb.identify_pb2 import Identify
from libp2p.peer.id import ID
from libp2p.pubsub.pb import rpc_pb2
from libp2p.utils.varint import encode_varint_prefixed
from multiaddr import Multiaddr

from node.console.failure import Failure
from node.demo.screen import PlainScreen
from node.demo.swarm.processes import Children
from node.demo.swarm.user import User
from node.demo.swarm.world import build
from node.net.host import build_host, network_of
from node.net.transport import ExclusiveTCP
from protocol import params
from protocol.wire.topics import JOBS_TOPIC
from scripts.benchmarks.figures import BenchError, Context, Measurement

_ROOT: Final = Path(__file__).resolve().parents[2]

#: Bytes a second that the peer writes as long as it is read.
_RATE: Final = 4 * 1024 * 1024
_FLOOD_SECONDS: Final = 15.0
_SETTLE_SECONDS: Final = 20.0
_BETWEEN_CALLS: Final = 0.05

_GOSSIP: Final = "/meshsub/1.2.0"
_PUSH: Final = "/ipfs/id/push/1.0.0"
_IDS: Final = [b"%040d" % number for number in range(15_000)]


def _control(**fields: Any) -> bytes:
    frame = rpc_pb2.RPC(control=rpc_pb2.ControlMessage(**fields))
    return encode_varint_prefixed(frame.SerializeToString())


def _follow(count: int) -> bytes:
    frame = rpc_pb2.RPC(
        subscriptions=[rpc_pb2.RPC.SubOpts(subscribe=True, topicid=JOBS_TOPIC)] * count
    )
    return encode_varint_prefixed(frame.SerializeToString())


_MOST: Final = params.MAX_GOSSIP_ENTRIES

#: Kind to the protocol and the bytes that are said again and again: first what is far beyond the
#: limits, then what stands at them.
FRAMES: Final[Mapping[str, tuple[str, bytes]]] = {
    "15,000 ids offered": (_GOSSIP, _control(ihave=[{"topicID": JOBS_TOPIC, "messageIDs": _IDS}])),
    "15,000 grafts": (_GOSSIP, _control(graft=[{"topicID": JOBS_TOPIC}] * 15_000)),
    "ids offered": (
        _GOSSIP,
        _control(ihave=[{"topicID": JOBS_TOPIC, "messageIDs": _IDS[: params.MAX_GOSSIP_IDS]}]),
    ),
    "ids wanted": (_GOSSIP, _control(iwant=[{"messageIDs": _IDS[: params.MAX_GOSSIP_IDS]}])),
    "ids not wanted": (
        _GOSSIP,
        _control(idontwant=[{"messageIDs": _IDS[: params.MAX_GOSSIP_IDS]}]),
    ),
    "grafts": (_GOSSIP, _control(graft=[{"topicID": JOBS_TOPIC}] * _MOST)),
    "prunes": (_GOSSIP, _control(prune=[{"topicID": JOBS_TOPIC}] * _MOST)),
    "topics": (_GOSSIP, _follow(_MOST)),
    "identify pushes": (
        _PUSH,
        encode_varint_prefixed(Identify(listen_addrs=[bytes(32)] * 970).SerializeToString()),
    ),
}


def flood(context: Context) -> Measurement:
    """The 95th of a hundred calls of `status`, milliseconds, in the worst of all floods."""
    found: dict[str, float] = {}
    with _daemon() as (user, address):
        found["none"] = _slow(user)
        for kind in FRAMES:
            context.say(f"flood: {kind}")
            command = [sys.executable, "-m", "scripts.benchmarks.flood", address, kind]
            with subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE) as peer:
                try:
                    if peer.stdout is None or peer.stdout.readline() != b"flooding\n":
                        raise BenchError(f"{' '.join(command)} did not begin")
                    found[kind] = _slow(user)
                finally:
                    peer.kill()
    return Measurement(
        ours=max(found.values()),
        parts={kind: (milliseconds, None) for kind, milliseconds in found.items()},
        notes=[
            f"a new connection and a call every {_BETWEEN_CALLS:g} s for {_FLOOD_SECONDS:g} s; the "
            "peer is a process beside that writes 4 MiB/s as long as it is read, and comes "
            "back under another identity when it is shown out",
        ],
    )


def _slow(user: User) -> float:
    """The 95th of a hundred, milliseconds."""
    taken = []
    until = time.monotonic() + _FLOOD_SECONDS
    while time.monotonic() < until:
        began = time.monotonic()
        user.ask("status")
        taken.append(1000 * (time.monotonic() - began))
        time.sleep(_BETWEEN_CALLS)
    return statistics.quantiles(taken, n=20)[-1]


@contextlib.contextmanager
def _daemon() -> Iterator[tuple[User, str]]:
    """One of eight daemons that wait, and the address that it listens on. Raises BenchError."""
    with tempfile.TemporaryDirectory() as name, Children() as children:
        try:
            world = build(Path(name), children, PlainScreen(sys.stderr))
            time.sleep(_SETTLE_SECONDS)
            yield world.bystander, world.join_line.partition("?")[0]
        except Failure as failure:
            raise BenchError(f"the daemon: {failure}") from failure


async def _peer(address: str, kind: str) -> None:
    protocol, frame = FRAMES[kind]
    target = Multiaddr(address)
    budget = _Budget()
    async with trio.open_nursery() as nursery:
        while True:
            host = build_host(os.urandom(32), (), ExclusiveTCP(nursery), ())
            async with host.run([]):
                with contextlib.suppress(Exception):
                    await _say_on(host, target, protocol, frame, budget)
                with trio.move_on_after(1):
                    await host.close()


async def _say_on(
    host: BasicHost, address: Multiaddr, protocol: str, frame: bytes, budget: _Budget
) -> None:
    """Say the frame until the daemon hears no more of it."""
    peer = ID.from_string(str(address.value_for_protocol("p2p")))
    await network_of(host).dial_addr(address, peer)
    while True:
        stream = await host.new_stream(peer, [TProtocol(protocol)])
        if protocol == _GOSSIP:
            while True:
                await budget.spend(len(frame))
                await stream.write(frame)
        await budget.spend(len(frame))
        await stream.write(frame)
        await stream.close()


class _Budget:
    """So many bytes a second."""

    def __init__(self) -> None:
        self._next = 0.0
        self._begun = False

    async def spend(self, count: int) -> None:
        now = trio.current_time()
        self._next = max(self._next, now) + count / _RATE
        await trio.sleep_until(self._next)
        if not self._begun:
            self._begun = True
            print("flooding", flush=True)


if __name__ == "__main__":
    trio.run(_peer, *sys.argv[1:])
