"""A job's encoder on this node: fetched once its owner's policy accepts it, looked at, kept.

Nothing is asked of anybody before the policy names the digest (protocol/policy/rules.py, encoders).
What comes is checked against the digest as every blob is, and then read in a confined process:
a network that is none, or none that may run, ends here and never meets a row.
"""

from __future__ import annotations

import logging

import trio

from node.encoders import libraries
from node.encoders.piping import EncoderFailed
from node.engine.services import Services
from node.perform.encoders import keeping
from node.store.blobs import BlobRef, BlobsFull
from node.work import embedding
from node.workers.compute import WorkerDied, in_worker
from protocol.errors import FatalError, InputError, PeerError
from protocol.spec.encoder import Encoder
from protocol.spec.job import JobSpec, Terms
from protocol.wire import identity

log = logging.getLogger("assay.encoders")

#: Between two tries to fetch, seconds.
_PAUSE = 2.0


async def ready(services: Services, job: bytes, spec: JobSpec) -> str:
    """Have a job's encoder here, whole and looked at; why that cannot be, for the owner alone, or
    nothing.

    Fetching ends after the seconds that the job gives to enrol, counted from this look, and not
    with the job's own time, which began earlier. Looking at what came takes what it takes.
    """
    encoder = spec.encoder
    if encoder is None:
        return ""
    # Asked first: nothing is fetched that this install could not read.
    if why := libraries.lacking():
        return why
    ref = BlobRef(encoder.digest, encoder.package_bytes)
    reason = "its time to enrol was over"
    with trio.move_on_after(spec.timing.enrol_seconds):
        while not services.blobs.holds(ref):
            try:
                peer = identity.peer_id_text(spec.requester.peer_id)
                sink = services.blobs.sink(ref)
                await services.swarm.fetch(ref.digest, ref.size, [peer], sink)
            except (PeerError, BlobsFull) as error:
                reason = str(error)
                log.info("an encoder is looked for again: %s", error)
                await trio.sleep(_PAUSE)
    if not services.blobs.holds(ref):
        return f"its encoder {encoder.digest.hex()[:16]} could not be fetched: {reason}"
    source = f"job 0x{job.hex()[:8]}"
    if keeping.known(services.home, encoder.digest):
        return ""
    try:
        title = await in_worker(
            services.compute, embedding.looked_at, services.home.blobs, encoder, aside=True
        )
    except (WorkerDied, FatalError, EncoderFailed) as error:
        # Nothing is known against the package: it stays, and is looked at again.
        return f"its encoder could not be looked at: {error}"
    except InputError as error:
        services.blobs.delete(encoder.digest)
        return f"its encoder cannot be used: {error}"
    await trio.to_thread.run_sync(keeping.keep, services.home, *ref_of(encoder), title, source)
    return ""


def ref_of(encoder: Encoder) -> tuple[bytes, int]:
    """The package's digest and size."""
    return encoder.digest, encoder.package_bytes


def require(services: Services, terms: Terms) -> None:
    """Raise InputError, with the next command, unless a job's encoder is of this home: owners fetch
    it from here."""
    encoder = terms.encoder
    if encoder is None:
        return
    ref = BlobRef(*ref_of(encoder))
    if not services.blobs.holds(ref) or not keeping.known(services.home, encoder.digest):
        raise embedding.absent(encoder)
