"""A peer with keys of its own that says whatever a test wants, truthfully signed or not."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from eth_hash.auto import keccak

from kits.daemons.processes import CHAIN_ID, Daemon, until
from node.home.config import Config, init_home
from node.home.home import Home
from node.home.keys import Keys
from node.net.peering.whois import parse_peer
from node.net.swarm import Swarm, SwarmConfig, open_swarm
from node.perform.messages import PROTOCOL
from node.work.secagg import new_sealing_key
from protocol.books.typed_data import Domain, Enrolment, enrolment_digest
from protocol.params import MAX_STREAM_MESSAGE_BYTES
from protocol.wire.codec import decode, encode
from protocol.wire.envelope import Context, Envelope, Frame, open_envelope, seal
from protocol.wire.messages import Ask, AskCards, Body, Enrol
from protocol.wire.verdict import Verdict

NOWHERE = bytes(32)


class Hostile:
    """One such peer; see `hostile`. `heard` is what others have told it in private."""

    def __init__(self, keys: Keys, swarm: Swarm, contract: bytes, victim: str) -> None:
        self.keys = keys
        self.swarm = swarm
        self.domain = Domain(CHAIN_ID, contract)
        self.victim = victim
        #: What others seal their shares to: (private, public).
        self.sealing_key = new_sealing_key()
        self.heard: list[Envelope] = []
        swarm.serve(PROTOCOL, self._hear)

    async def _hear(self, peer: str, data: bytes) -> bytes:
        envelope = opened(data)
        # Every node asks every other for cards, and what jobs there are: no test waits for that.
        asked = isinstance(envelope.body, Ask) and envelope.context.job == NOWHERE
        if not asked and not isinstance(envelope.body, AskCards):
            self.heard.append(envelope)
        return b""

    async def follow(self, topic: str) -> None:
        """Follow a topic, and wait until the victim is known to follow it.

        What this peer publishes goes to the followers that it knows at that moment, and to nobody
        later: that somebody else follows the topic says nothing of the victim.
        """
        await self.swarm.subscribe(topic, _accept)
        victim, followers = parse_peer(self.victim), self.swarm._parts.pubsub.peer_topics
        await until(lambda: victim in followers.get(topic, ()), 10, f"the victim follows {topic}")

    async def push(self, topic: str, data: bytes) -> None:
        """Publish to the victim on a topic that it does not follow."""
        self.swarm._parts.pubsub.peer_topics.setdefault(topic, set()).add(parse_peer(self.victim))
        await self.swarm.publish(topic, data)

    def place(self, job: bytes = NOWHERE, round_: int = 0, attempt: int = 0) -> Context:
        return Context(self.domain.chain_id, self.domain.contract, job, round_, attempt)

    def sealed(
        self, body: Body, job: bytes = NOWHERE, round_: int = 0, attempt: int = 0
    ) -> Envelope:
        """`body` as this peer signs it."""
        place = self.place(job, round_, attempt)
        return seal(place, self.swarm.peer_id_bytes, body, self.keys.sign_peer)

    def frame(self, envelope: Envelope, attachment: bytes = b"") -> bytes:
        return encode(Frame(encode(envelope), attachment))

    async def tell(self, frame: bytes) -> Body | None:
        """Send a frame to the victim; the body of its reply, None where it acknowledges and says no
        more. Raises Refused with its words."""
        reply = await self.swarm.request(self.victim, PROTOCOL, frame, 15)
        return opened(reply).body if reply else None

    async def say(
        self, body: Body, job: bytes, round_: int = 0, attempt: int = 0, attachment: bytes = b""
    ) -> Body | None:
        """Tell the victim something that is signed as it should be."""
        return await self.tell(self.frame(self.sealed(body, job, round_, attempt), attachment))

    def enrolment(self, job: bytes, rows: int = 60, **lies: Any) -> Enrol:
        """A true enrolment; `lies` replace fields of it afterwards."""
        account, me = self.keys.account, keccak(self.swarm.peer_id_bytes)
        statement = Enrolment(job, account, account, me, rows)
        signature = self.keys.sign_digest(enrolment_digest(self.domain, statement))
        honest = Enrol(account, account, rows, self.sealing_key[1], signature)
        return dataclasses.replace(honest, **lies)


def _accept(data: bytes, author: str) -> Verdict:
    return Verdict.ACCEPT


def opened(data: bytes) -> Envelope:
    """The envelope of a frame, its signature verified."""
    return open_envelope(decode(Frame, data, MAX_STREAM_MESSAGE_BYTES).envelope)


def offences(victim: Daemon, peer: str) -> int:
    """How often a daemon has counted something against a connected peer."""
    found = [p["rejected"] for p in victim.call("peers") if p["peer_id"] == peer]
    return int(found[0]) if found else 0


@asynccontextmanager
async def hostile(
    folder: Path, contract: bytes, victim: str, address: str
) -> AsyncIterator[Hostile]:
    """A new peer, connected to `victim` (a peer id) at `address`."""
    home = Home(folder)
    init_home(home, Config())
    keys = Keys.create(home)
    config = SwarmConfig(("/ip4/127.0.0.1/tcp/0",), (address,), keys.peer_seed)
    async with open_swarm(config) as swarm:
        await swarm.wait_connected(1, 20)
        yield Hostile(keys, swarm, contract, victim)
