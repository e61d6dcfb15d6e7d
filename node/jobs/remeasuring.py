"""Worth measured again by whoever audits: what was published is fetched, then measured here.

An owner holds none of it before it audits. Whoever was in the job may have it: the requester, and
each owner that audited.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from typing import Final, TypeVar, TypeVarTuple

import trio

from node.engine.engine import Machine
from node.engine.services import Services
from node.store.blobs import BlobRef, BlobsFull
from node.work import remeasure, tasks
from node.workers.compute import WorkerDied, in_worker
from protocol.books import evidence, lists
from protocol.books.enrolment import Cohort
from protocol.books.evidence import Evidence
from protocol.books.remeasured import NOT_MEASURED, Remeasured
from protocol.errors import Malformed, PeerError
from protocol.params import MAX_RECORD_BYTES
from protocol.spec.merit import sums_bytes
from protocol.wire import identity

log = logging.getLogger("assay.jobs")

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

#: How long one blob is looked for, seconds: an audit answers a person.
_SECONDS: Final = 60.0

#: How long all of it may take, seconds. Its requester chose how much there is to fetch and to
#: compute; `assay audit` waits a little longer.
MOST_SECONDS: Final = 600.0


async def remeasured(services: Services, machine: Machine) -> Remeasured:
    """Members' weights as they follow from what was published; NOT_MEASURED where it is not here
    and nobody who is asked has it."""
    try:
        with trio.fail_after(MOST_SECONDS):
            return await _remeasured(services, machine)
    except trio.TooSlowError:
        return Remeasured((), f"measuring it again takes more than {MOST_SECONDS / 60:.0f} minutes")
    except WorkerDied as error:
        return Remeasured((), str(error))  # as one that took too much memory


async def _remeasured(services: Services, machine: Machine) -> Remeasured:
    context, digest = machine.context, machine.state.evidence_digest
    cohort = context.cohort
    known = digest and services.blobs.size(digest) is not None
    if not context.spec.payment.publishes or cohort is None or not known:
        return NOT_MEASURED
    try:
        books = await trio.to_thread.run_sync(_read, services, digest)
    except Malformed:
        return NOT_MEASURED  # the audit says so by itself
    # The digest is the spec's: whatever the evidence says, only these rows count.
    holdout = BlobRef(context.spec.holdout, books.holdout_size)
    record = BlobRef(books.record_digest, books.record_size) if books.record_digest else None
    if record is not None and record.size > MAX_RECORD_BYTES:
        return Remeasured((), f"the record of worth has {record.size} bytes")
    near = (context.spec.requester.peer_id, *(each.peer for each in cohort.members))
    work = tasks.Work(services.home.blobs, await services.spec_bytes(context))
    if not await _held(services, holdout, near):
        return NOT_MEASURED
    if record is not None:
        if not await _held(services, record, near):
            return NOT_MEASURED
        try:
            sums = await _aside(services, remeasure.sums_of, work, record)
        except Malformed as error:
            return Remeasured((), f"the record of worth: {error}")
        for each in sums:
            if each.size > sums_bytes(context.spec):
                return Remeasured((), f"a round's sums have {each.size} bytes")
            if not await _held(services, each, near):
                return NOT_MEASURED
    steps = await trio.to_thread.run_sync(_steps, services, cohort, books)
    return await _aside(
        services, remeasure.remeasure, work, record, holdout, steps, len(cohort.members)
    )


def _read(services: Services, digest: bytes) -> Evidence:
    """The evidence. Raises Malformed: it may have as many bytes as its requester likes."""
    return evidence.decode_evidence(services.blobs.get(services.blob(digest)))


async def _aside(services: Services, function: Callable[[*Ts], T], *args: *Ts) -> T:
    """No round of another job waits for what this one's requester published."""
    return await in_worker(services.compute, function, *args, aside=True)


def _steps(services: Services, cohort: Cohort, books: Evidence) -> tuple[remeasure.Step, ...]:
    """The evidence's rounds, each with the blocks of its list; a list that is not here, or is none,
    has no blocks, which the audit says by itself."""
    found = []
    for each in books.rounds:
        blocks: tuple[tuple[int, ...], ...] = ()
        if services.blobs.size(each.list_digest) is not None:
            data = services.blobs.get(services.blob(each.list_digest))
            with contextlib.suppress(Malformed):
                listed = lists.decode_contributions(data)
                blocks = tuple(block.members for block in listed.blocks)
        found.append(remeasure.Step(each.number, each.model_digest, each.next_model, blocks))
    return tuple(found)


async def _held(services: Services, ref: BlobRef, near: tuple[bytes, ...]) -> bool:
    """Whether a blob is here, or could be fetched."""
    if services.blobs.holds(ref):
        return True
    peers = [identity.peer_id_text(peer) for peer in near if peer != services.swarm.peer_id_bytes]
    try:
        with trio.move_on_after(_SECONDS):
            await services.swarm.fetch(ref.digest, ref.size, peers, services.blobs.sink(ref))
    except (PeerError, BlobsFull) as error:
        log.info("what worth is measured by could not be fetched: %s", error)
    return services.blobs.holds(ref)
