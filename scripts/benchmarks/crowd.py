"""Honest dials in a crowd: one process is dialled, one keeps 200 connections to it, one is honest.

`python -m scripts.benchmarks.crowd ROLE ...` is one of the three; `crowd` puts them together.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import trio
from libp2p.abc import IRawConnection
from libp2p.network.exceptions import SwarmException
from libp2p.peer.id import ID
from multiaddr import Multiaddr

from node.net.host import build_host, network_of
from node.net.swarm import SwarmConfig, open_swarm
from node.net.transport import ExclusiveTCP
from protocol import params
from scripts.benchmarks.figures import BenchError, Context, Measurement

_ROOT = Path(__file__).resolve().parents[2]

_CROWD = 200
_DIALS = 25
_SECONDS = 5.0
#: The crowd is back so soon after it was closed, seconds.
_BACK = 0.5
#: Until the crowd stands, at most.
_STANDS_SECONDS = 120.0


def crowd(context: Context) -> Measurement:
    """The fewest of 25 honest dials that got in within 5 s, over both crowds from 1 and 50."""
    found = {}
    for kind in ("silent", "idle"):
        for addresses in (1, 50):
            context.say(f"crowd: {kind}, from {addresses}")
            found[f"{kind}, {addresses}"] = trio.run(_meet, kind, addresses)
    return Measurement(
        ours=min(found.values()),
        parts={name: (got_in, None) for name, got_in in found.items()},
        notes=[
            f"the crowd is {_CROWD} connections of a process beside, each back {_BACK:g} s after "
            "it was closed: silent ones say the first words of a handshake and no more, idle ones "
            "are identities that answer nothing, and fill all places; the honest come from one "
            "process, on one address",
        ],
    )


async def _meet(kind: str, addresses: int) -> int:
    async with trio.open_nursery() as nursery:
        victim = await nursery.start(_process, "victim")
        address = str(await _said(victim, 60))
        others = await nursery.start(_process, "crowd", address, kind, str(addresses))
        await _said(others, _STANDS_SECONDS)
        if kind == "idle":
            # Who waits to be taken in keeps nothing from the honest yet.
            await _said(victim, _STANDS_SECONDS)
        honest = await nursery.start(_process, "honest", address)
        got_in = int(str(await _said(honest, 60 + _DIALS * (_SECONDS + 10))))
        nursery.cancel_scope.cancel()
    return got_in


async def _process(*arguments: str, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
    """A role in a process of its own, which ends with this task."""
    command = [sys.executable, "-m", "scripts.benchmarks.crowd", *arguments]
    await trio.run_process(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=_ROOT,
        check=False,
        task_status=task_status,
    )


async def _said(process: trio.Process, seconds: float) -> object:
    """The one line of JSON that a process says. Raises BenchError."""
    line = b""
    with trio.move_on_after(seconds):
        while process.stdout is not None and not line.endswith(b"\n"):
            piece = await process.stdout.receive_some()
            if not piece:
                break
            line += piece
    if not line.endswith(b"\n"):
        raise BenchError(f"{process.args[3]}: nothing said within {seconds:g} s")
    return json.loads(line)


def _say(value: object) -> None:
    print(json.dumps(value), flush=True)


async def _victim() -> None:
    async with open_swarm(SwarmConfig(("/ip4/127.0.0.1/tcp/0",), seed=os.urandom(32))) as swarm:
        _say(swarm.addresses()[0])
        while len(swarm.peers()) < params.MAX_CONNECTIONS:  # noqa: ASYNC110 (no event)
            await trio.sleep(0.1)
        _say("full")
        await trio.sleep_forever()


async def _honest(address: str) -> None:
    """Each dial is a node of its own that joins, is in, and stays."""
    got_in = 0
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(_DIALS):
            config = SwarmConfig((), seed=os.urandom(32))
            swarm = await stack.enter_async_context(open_swarm(config))
            with trio.move_on_after(_SECONDS):
                with contextlib.suppress(Exception):
                    await swarm.join(address)
                while not swarm.peers():  # noqa: ASYNC110 (the peers have no event)
                    await trio.sleep(0.02)
                got_in += 1
        _say(got_in)


async def _crowd(address: str, kind: str, addresses: int) -> None:
    standing: set[int] = set()
    async with trio.open_nursery() as nursery:
        member = _silent if kind == "silent" else _idle
        for number in range(_CROWD):
            source = f"127.0.1.{1 + number % addresses}" if addresses > 1 else "127.0.0.1"
            nursery.start_soon(member, address, source, partial(standing.add, number))
        while len(standing) < _CROWD:  # noqa: ASYNC110 (a set has no event)
            await trio.sleep(0.1)
        _say("standing")


async def _silent(address: str, source: str, stands: partial[None]) -> None:
    port = int(Multiaddr(address).value_for_protocol("tcp") or 0)
    while True:
        with contextlib.suppress(OSError, trio.BrokenResourceError):
            async with await trio.open_tcp_stream(
                "127.0.0.1", port, local_address=source
            ) as stream:
                await stream.send_all(b"\x13/multistream/1.0.0\n")
                stands()
                while await stream.receive_some():
                    pass
        await trio.sleep(_BACK)


class _From(ExclusiveTCP):
    """Dials from one address."""

    def __init__(self, nursery: trio.Nursery, source: str) -> None:
        super().__init__(nursery)
        self._source = source

    async def dial(self, maddr: Multiaddr) -> IRawConnection:
        return await self.dial_with_source(maddr, (self._source, 0))


async def _idle(address: str, source: str, stands: partial[None]) -> None:
    """An identity that connects and answers nothing."""
    target = Multiaddr(address)
    peer = ID.from_string(str(target.value_for_protocol("p2p")))
    async with trio.open_nursery() as nursery:
        host = build_host(os.urandom(32), (), _From(nursery, source), ())
        async with host.run([]):
            while True:
                with contextlib.suppress(SwarmException):
                    await network_of(host).dial_addr(target, peer)
                stands()
                while network_of(host).connections:  # noqa: ASYNC110 (the library has no event)
                    await trio.sleep(_BACK)
                await trio.sleep(_BACK)


def main(arguments: list[str]) -> None:
    """One role, until it is killed or has said what it found."""
    role, *rest = arguments
    if role == "victim":
        trio.run(_victim)
    elif role == "honest":
        trio.run(_honest, *rest)
    else:
        trio.run(_crowd, rest[0], rest[1], int(rest[2]))


if __name__ == "__main__":
    main(sys.argv[1:])
