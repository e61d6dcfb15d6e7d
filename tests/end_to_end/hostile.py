"""A peer with keys of its own that says whatever a test wants, truthfully signed or not."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from eth_hash.auto import keccak
from processes import CHAIN_ID, Daemon, until

from node import tasks
from node.blobs import BlobRef, Blobs
from node.config import Config, init_home
from node.datasets import import_file
from node.home import Home
from node.keys import Keys
from node.net.swarm import Swarm, SwarmConfig, open_swarm
from node.perform.messages import PROTOCOL
from protocol.blobs import blob_digest
from protocol.codec import decode, encode
from protocol.envelope import Context, Envelope, Frame, open_envelope, opening_digest, seal
from protocol.lists import examine_cohort
from protocol.messages import (
    Acknowledge,
    Ask,
    Body,
    Contribution,
    Enrol,
    Enrolled,
    Freeze,
    Open,
    Ready,
    Told,
)
from protocol.params import MAX_STREAM_MESSAGE_BYTES
from protocol.spec import decode_spec
from protocol.typed_data import Domain, Enrolment, enrolment_digest

NOWHERE = bytes(32)


class Hostile:
    """One such peer; see `hostile`. `heard` is what others have told it in private."""

    def __init__(self, keys: Keys, swarm: Swarm, contract: bytes, victim: str) -> None:
        self.keys = keys
        self.swarm = swarm
        self.domain = Domain(CHAIN_ID, contract)
        self.victim = victim
        self.heard: list[Envelope] = []
        swarm.serve(PROTOCOL, self._hear)

    async def _hear(self, peer: str, data: bytes) -> bytes:
        envelope = _opened(data)
        self.heard.append(envelope)
        return self.frame(self.sealed(Acknowledge(), envelope.context.job))

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

    async def tell(self, frame: bytes) -> Body:
        """Send a frame to the victim; the body of its reply. Raises Refused with its words."""
        reply = await self.swarm.request(self.victim, PROTOCOL, frame, 15)
        return _opened(reply).body if reply else Acknowledge()

    async def say(
        self, body: Body, job: bytes, round_: int = 0, attempt: int = 0, attachment: bytes = b""
    ) -> Body:
        """Tell the victim something that is signed as it should be."""
        return await self.tell(self.frame(self.sealed(body, job, round_, attempt), attachment))

    def enrolment(self, job: bytes, rows: int = 60, **lies: Any) -> Enrol:
        """A true enrolment; `lies` replace fields of it afterwards."""
        account, me = self.keys.account, keccak(self.swarm.peer_id_bytes)
        statement = Enrolment(job, account, account, me, rows)
        signature = self.keys.sign_digest(enrolment_digest(self.domain, statement))
        return dataclasses.replace(Enrol(account, account, rows, signature), **lies)


def _opened(data: bytes) -> Envelope:
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


class Attempt:
    """One attempt of a round, as a hand-driven owner sees it."""

    def __init__(self, opening: Envelope) -> None:
        assert isinstance(opening.body, Open)
        self.opening = opening.body
        self.place = opening.context
        self.frozen = b""

    @property
    def where(self) -> tuple[int, int]:
        return self.place.round, self.place.attempt


class HandOwner:
    """An enrolled owner whose every word the test chooses. All of its job make one block."""

    def __init__(self, peer: Hostile, job: bytes, spec: bytes, folder: Path) -> None:
        self.peer = peer
        self.job = job
        self.spec = decode_spec(spec)
        self._work = tasks.Work(folder / "blobs", spec)
        self._work.blobs.mkdir()
        self.blobs = Blobs(self._work.blobs)
        self.member = -1
        peer.swarm.serve_blobs(self.blobs)

    async def enrol(self) -> None:
        """Take the job, truthfully, and hear that it stands."""
        await self.peer.say(self.peer.enrolment(self.job), self.job)
        await until(lambda: bool(self.peer.heard), 20, "the enrolment is answered")
        assert isinstance(self.peer.heard[-1].body, Enrolled)

    async def _told(self, kind: type[Body], after: tuple[int, int]) -> Envelope:
        """The requester's newest word of a kind, once it is about a later attempt than `after`."""
        while True:
            reply = await self.peer.say(Ask(), self.job)
            assert isinstance(reply, Told)
            for frame in reply.frames:
                found = _opened(frame)
                place = found.context
                if isinstance(found.body, kind) and (place.round, place.attempt) > after:
                    return found
            await trio.sleep(0.2)

    async def ready(self, after: tuple[int, int]) -> Attempt:
        """Follow the next attempt up to its frozen roster."""
        attempt = Attempt(await self._told(Open, after))
        opening = attempt.opening
        await self._fetch(opening.model_digest, opening.model_size)
        if self.member < 0:
            cohort = await self._fetch(opening.cohort_digest, opening.cohort_size)
            found = examine_cohort(self.spec, self.job, cohort)
            self.member = found.index_of(self.peer.swarm.peer_id_bytes) or 0
        await self._say(Ready(opening_digest(attempt.place, opening)), attempt)
        freeze = (await self._told(Freeze, after)).body
        assert isinstance(freeze, Freeze)
        attempt.frozen = freeze.frozen_digest
        return attempt

    async def _fetch(self, digest: bytes, size: int) -> bytes:
        ref = BlobRef(digest, size)
        if not self.blobs.holds(ref):
            sink = self.blobs.sink(ref)
            await self.peer.swarm.fetch(digest, size, [self.peer.victim], sink)
        return self.blobs.get(ref)

    async def _say(self, body: Body, attempt: Attempt, attachment: bytes = b"") -> Body:
        return await self.peer.say(body, self.job, *attempt.where, attachment)

    async def contribute(self, attempt: Attempt, batch: bytes, **lies: Any) -> Body:
        """A header for `batch`, which rides along; `lies` replace fields of the header."""
        header = Contribution(0, self.member, attempt.frozen, blob_digest(batch), len(batch))
        told = dataclasses.replace(header, **lies)
        return await self._say(told, attempt, b"" if lies else batch)

    async def train(self, attempt: Attempt, csv: Path) -> bytes:
        """An honest batch."""
        model = BlobRef(attempt.opening.model_digest, attempt.opening.model_size)

        def work() -> bytes:
            copy = import_file(csv, self._work.blobs).copy
            rows = tasks.Rows(self._work.blobs, copy.digest, "clouds")
            done = tasks.contribution(self._work, rows, model, bytes(32))
            assert done.blob is not None
            return self.blobs.get(done.blob)

        return await trio.to_thread.run_sync(work)
