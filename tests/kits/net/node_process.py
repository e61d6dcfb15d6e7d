"""A node in a process of its own, driven by lines on stdin. Run by its module's name: [bootstrap].

Prints its address, then a line for each message it hears; publishes each line it reads, and stops
at the end of its input.
"""

from __future__ import annotations

import json
import os
import sys

import trio

from node.net.swarm import Swarm, SwarmConfig, open_swarm
from protocol.wire.verdict import Verdict

TOPIC = "/assay/test/1"


async def main(bootstrap: tuple[str, ...]) -> None:
    config = SwarmConfig(("/ip4/127.0.0.1/tcp/0",), bootstrap, os.urandom(32))
    async with open_swarm(config) as swarm, trio.open_nursery() as nursery:
        inbox = await swarm.subscribe(TOPIC, lambda data, author: Verdict.ACCEPT)
        swarm.serve("/assay/who/1", lambda peer, data: who(swarm))
        swarm.serve("/assay/statistics/1", lambda peer, data: statistics(swarm))
        print(swarm.addresses()[0], flush=True)
        nursery.start_soon(hear, inbox)
        async for line in trio.wrap_file(sys.stdin):
            await swarm.publish(TOPIC, line.strip().encode())
        nursery.cancel_scope.cancel()


async def who(swarm: Swarm) -> bytes:
    return f"{os.getpid()} {swarm.peer_id}".encode()


async def statistics(swarm: Swarm) -> bytes:
    return json.dumps(swarm.statistics()).encode()


async def hear(inbox: trio.MemoryReceiveChannel[tuple[bytes, str]]) -> None:
    async for data, author in inbox:
        print(author, data.decode(), flush=True)


if __name__ == "__main__":
    trio.run(main, tuple(sys.argv[1:]))
