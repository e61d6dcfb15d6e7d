"""Announcements: jobs that are not known here, looked at, and followed where the chain has them.

Anybody may announce anything. So the work that an announcement can cause here is bounded, and each
one is held to what the contract says of its job.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable

import trio

from node.engine.engine import Machine
from node.engine.services import Services
from node.store import jobs, records
from node.store.blobs import BlobRef, BlobsFull
from node.store.store import Transaction
from protocol import params
from protocol.books.enrolment import job_id, spec_domain
from protocol.errors import ChainError, Malformed, PeerError
from protocol.machines.job import OVER
from protocol.machines.machine import JobContext
from protocol.machines.round import Role
from protocol.owner.state import OwnerState
from protocol.spec.job import JobSpec, decode_spec, spec_digest
from protocol.wire import identity
from protocol.wire.envelope import Envelope
from protocol.wire.messages import Announce

log = logging.getLogger("assay.announcements")

#: Takes in a machine, told its job's past, and stores what goes with it (node.feeds.chain).
Introduce = Callable[[Machine, Callable[[Transaction], None]], Awaitable[bool]]

#: How many announcements are looked at at once, how long each may take, and how long one that does
#: not hold is left alone. The last counts by sender, so that nobody can silence a job by announcing
#: it falsely.
_LEARNING = 8
_LEARN_SECONDS = 30.0
_FORGET_SECONDS = 10.0


class Announcements:
    """Jobs of others, from their announcement to their machine."""

    def __init__(self, services: Services, introduce: Introduce) -> None:
        self._services = services
        self._introduce = introduce
        self._learning: set[tuple[bytes, bytes]] = set()
        self._unknown: OrderedDict[tuple[bytes, bytes], float] = OrderedDict()

    def heard(
        self,
        nursery: trio.Nursery,
        envelope: Envelope,
        body: Announce,
        attachment: bytes,
        source: bytes,
    ) -> None:
        """An announcement of a job that has no machine here: look at it, where there is room."""
        if self._may_learn(envelope):
            self._learning.add((envelope.context.job, envelope.sender))
            nursery.start_soon(self._learn, envelope, body, attachment, source)

    def _may_learn(self, envelope: Envelope) -> bool:
        """Bounds on what announcements can make this node do: the chain is asked for each."""
        said = envelope.context.job, envelope.sender
        if said in self._learning or len(self._learning) >= _LEARNING:
            return False
        # Jobs that are over do not count: each cost its requester a post, and none can fill a node.
        machines = self._services.engine.machines.values()
        if sum(machine.state.phase not in OVER for machine in machines) >= params.MAX_JOBS:
            return False
        return self._unknown.get(said, 0.0) <= trio.current_time()

    async def _learn(
        self, envelope: Envelope, body: Announce, attachment: bytes, source: bytes
    ) -> None:
        """A job that was not known here: is its bounty posted? Then get its spec and follow it."""
        said = envelope.context.job, envelope.sender
        try:
            with trio.fail_after(_LEARN_SECONDS):
                await self._check_posted(envelope.context.job, body)
                await self._read_spec(envelope, body, attachment, source)
        except Exception as error:
            # A stranger's bytes lead here, and must not break the daemon.
            if not isinstance(error, (PeerError, ChainError, BlobsFull, trio.TooSlowError)):
                log.exception("looking at an announcement failed")
            log.info("an announcement is not followed: %s", error or "it took too long")
            self._unknown[said] = trio.current_time() + _FORGET_SECONDS
            while len(self._unknown) > params.MAX_JOBS:
                self._unknown.popitem(last=False)
        finally:
            self._learning.discard(said)

    async def _check_posted(self, job: bytes, body: Announce) -> None:
        """Announcing costs nothing, posting does: only what is on the chain is looked at."""
        posted = await self._services.chain.job(job)
        if posted is None:
            raise PeerError("the chain does not know the job")
        if job_id(self._services.domain, posted.requester, body.spec_digest) != job:
            raise Malformed("an announcement whose job is not its spec's")

    async def _read_spec(
        self, envelope: Envelope, body: Announce, attachment: bytes, source: bytes
    ) -> None:
        job = envelope.context.job
        content = attachment or await self._fetch_spec(envelope, body, source)
        # A spec of the largest size takes some milliseconds to check.
        spec = await trio.to_thread.run_sync(decode_spec, content)
        domain, digest = spec_domain(spec), spec_digest(content)
        if digest != body.spec_digest:
            raise Malformed("an announcement of another spec than it names")
        if domain != self._services.domain:
            raise Malformed("a spec of another chain or contract")
        if spec.requester.peer_id != envelope.sender:
            raise Malformed("an announcement that is not its requester's")
        if job_id(domain, spec.requester.account, digest) != job:
            raise Malformed("an announcement whose job is not its spec's")
        if envelope.sender != self._services.swarm.peer_id_bytes:
            if self._services.clock.ms() >= 1000 * spec.expires_at:
                # Over, unless this machine's clock is fast: that is known after two blocks.
                await self._services.clock.settled.wait()
            await self._follow(envelope, spec, content)

    async def _fetch_spec(self, envelope: Envelope, body: Announce, source: bytes) -> bytes:
        ref = BlobRef(body.spec_digest, body.spec_size)
        if not self._services.blobs.holds(ref):
            sink = self._services.blobs.sink(ref)
            peers = [identity.peer_id_text(peer) for peer in {source, envelope.sender}]
            await self._services.swarm.fetch(ref.digest, ref.size, peers, sink)
        return await trio.to_thread.run_sync(self._services.blobs.get, ref)

    async def _follow(self, envelope: Envelope, spec: JobSpec, content: bytes) -> None:
        job, digest = envelope.context.job, spec_digest(content)
        message = records.stored(envelope)

        def write(tx: Transaction) -> None:
            records.save_spec(tx, digest, content)
            records.save_message(tx, message)
            jobs.save_job(tx, job, Role.OWNER.value, digest)

        await trio.to_thread.run_sync(self._services.blobs.put, content)
        context = JobContext(
            job,
            spec,
            len(content),
            digest,
            self._services.swarm.peer_id_bytes,
            self._services.keys.account,
        )
        # Its requester may have said so by another way, too: the first is the one that counts.
        await self._introduce(Machine(Role.OWNER, context, OwnerState()), write)
