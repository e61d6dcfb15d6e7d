"""A blob that is gone or damaged here is fetched again from whoever else of its job may have it.

Models, lists, rosters and batches are held by several nodes of a job, and their names check what
comes. What only this node had (a sum, a model's momentum) cannot come back: its job stops.

A requester may not need a blob any more that its owners still have to fetch. That it is gone shows
when the first of them asks for it in vain (`Missing`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

import trio

from node.engine.engine import Machine
from node.engine.services import Services
from node.store.blobs import BlobLost, BlobRef, BlobsFull
from protocol.errors import AssayError, PeerError
from protocol.machines.job import OVER
from protocol.machines.round import Role
from protocol.requester.state import RequesterState
from protocol.wire import identity
from protocol.wire.codec import Wire
from protocol.wire.tables import Table

log = logging.getLogger("assay.perform")

#: How long others are asked for a lost blob, seconds, and the pause after all of them failed.
_SECONDS, _PAUSE = 120.0, 2.0

#: Each of so many parts of the peers is asked first once, for so many seconds.
_TURNS = 4
_TURN_SECONDS = _SECONDS / _TURNS

#: Blobs that were asked for in vain and wait to be looked after.
_QUEUE = 64


async def recover(services: Services, machine: Machine, lost: BlobLost) -> bool:
    """Whether the blob is here again."""
    size = size_of(machine, lost.digest)
    if size is None:
        return False
    ref = BlobRef(lost.digest, size)
    if services.blobs.holds(ref):
        return True
    context = machine.context
    state, known = machine.state, [context.requester]
    known += [] if context.cohort is None else [each.peer for each in context.cohort.members]
    if isinstance(state, RequesterState):
        known += [
            each.peer for each in state.enrolments
        ]  # it may be the cohort's list that is lost
    texts = [identity.peer_id_text(peer) for peer in known if peer != context.me]
    # Where the cohort's list itself is lost, others of the job are among those who are connected.
    peers = list(dict.fromkeys([*texts, *services.swarm.connected()]))
    log.warning("job %s: %s; it is fetched again", machine.key.hex()[:16], lost)
    services.blobs.delete(lost.digest)  # of another length: it would stand in the way
    with trio.move_on_after(_SECONDS) as patience:
        await _fetch(services, ref, peers)
    return not patience.cancelled_caught


async def _fetch(services: Services, ref: BlobRef, peers: Sequence[str]) -> None:
    """Others come first each time: a blob's chunk list is asked of one peer after the other, and
    one that is slow on purpose must not use up all the time. Chunks that came stay."""
    for turn in count():
        first = turn * max(1, len(peers) // _TURNS) % max(1, len(peers))
        try:
            sink = services.blobs.sink(ref)
            with trio.move_on_after(_TURN_SECONDS):
                order = [*peers[first:], *peers[:first]]
                await services.swarm.fetch(ref.digest, ref.size, order, sink)
                return
        except (PeerError, BlobsFull) as error:
            log.info("a blob is looked for again: %s", error)
            await trio.sleep(_PAUSE)


class Missing:
    """Blobs that peers asked for in vain. Those that this node's jobs are to give are fetched.

    Anybody can ask for anything, so that a question costs a place in a short queue, and looking it
    up a thread's time, one after the other.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._put, self._get = trio.open_memory_channel[tuple[BlobRef, bool]](_QUEUE)
        self._waiting: set[BlobRef] = set()

    def note(self, digest: bytes, size: int, damaged: bool) -> None:
        """The swarm's word that a blob is not held, or that the disk gives another."""
        ref = BlobRef(digest, size)
        if ref in self._waiting or not (damaged or self._requested()):
            return
        with contextlib.suppress(trio.WouldBlock):
            self._put.send_nowait((ref, damaged))
            self._waiting.add(ref)

    async def run(self) -> None:
        """Look after them; until cancelled."""
        async for ref, damaged in self._get:
            try:
                await self._look_after(ref, damaged)
            except (AssayError, OSError) as error:
                log.warning("blob %s: %s", ref.digest.hex(), error)
            self._waiting.discard(ref)

    async def _look_after(self, ref: BlobRef, damaged: bool) -> None:
        if damaged:
            # Set aside, so that the next question costs no hashing.
            with contextlib.suppress(BlobLost):
                await trio.to_thread.run_sync(self._services.blobs.check, ref)
        for machine in self._requested():
            size = await trio.to_thread.run_sync(size_of, machine, ref.digest)
            if size == ref.size:
                lost = BlobLost(ref.digest, str(self._services.home.blobs))
                await recover(self._services, machine, lost)
                return

    def _requested(self) -> list[Machine]:
        machines = self._services.engine.machines.values()
        return [m for m in machines if m.role is Role.REQUESTER and m.state.phase not in OVER]


def size_of(machine: Machine, digest: bytes) -> int | None:
    """The length of a blob that a machine knows by digest and size; None where it has no size."""
    if digest == machine.context.spec_digest:
        return machine.context.spec_bytes
    return next((size for name, size in _named(machine.state) if name == digest), None)


def _named(value: Any) -> Iterator[tuple[bytes, int]]:
    """Every pair of fields `x_digest` and `x_size` (`digest`, `size`; a batch: `batch`, `size`)."""
    if isinstance(value, Table | tuple):
        for each in value:
            yield from _named(each)
    elif isinstance(value, Wire):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}  # type: ignore[arg-type]
        for name, content in fields.items():
            if isinstance(content, bytes):
                size = fields.get(name.removesuffix("digest").removesuffix("batch") + "size")
                if isinstance(size, int) and name.endswith(("digest", "batch")):
                    yield content, size
            else:
                yield from _named(content)
