"""A job's encoder on this node: fetched once its owner's policy accepts it, looked at, kept.

Nothing is asked of anybody before the policy names the digest (protocol/policy/rules.py, encoders).
What comes is checked against the digest as every blob is, and then read in a confined process:
a network that is none, or none that may run, ends here and never meets a row.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from itertools import count
from math import inf
from typing import Final

import trio

from node.encoders import libraries
from node.encoders.piping import EncoderFailed
from node.engine.engine import Wanted
from node.engine.services import Services
from node.net.fetch import BlobSink
from node.perform.encoders import keeping
from node.store.blobs import BlobRef, BlobsFull
from node.work import embedding
from node.workers.compute import WorkerDied, in_worker
from protocol.errors import FatalError, InputError, PeerError
from protocol.spec.encoder import Encoder
from protocol.spec.job import JobSpec, Terms
from protocol.wire import identity

log = logging.getLogger("assay.encoders")

#: Between two tries to fetch, seconds: it doubles up to the second while no byte comes.
_PAUSE: Final = 2.0
_MOST_PAUSE: Final = 30.0
#: Where a person waits, so many tries in vain end it; so many peers beside the seller are asked.
_VAIN: Final = 4
_MOST_OTHERS: Final = 8


class _Counted:
    """A blob's sink that counts what came."""

    def __init__(self, sink: BlobSink) -> None:
        self._sink = sink
        self.came = 0

    def read(self, offset: int, length: int) -> bytes:
        return self._sink.read(offset, length)

    def write(self, offset: int, data: bytes) -> None:
        self._sink.write(offset, data)
        self.came += len(data)

    def finish(self) -> None:
        self._sink.finish()


async def ready(
    services: Services,
    job: bytes,
    spec: JobSpec,
    wanted: Wanted | None = None,
) -> str:
    """Have a job's encoder here, whole and looked at; why that cannot be, for the owner alone, or
    nothing.

    It is fetched until the job's time is over, because later groups are taken, and while `wanted`
    is not pointless; without one a person waits, for as long as the job gives to enrol. Looking at
    what came takes what it takes.
    """
    encoder = spec.encoder
    if encoder is None:
        return ""
    # Asked first: nothing is fetched that this install could not read.
    if why := libraries.lacking():
        return why
    ref = BlobRef(encoder.digest, encoder.package_bytes)
    reason = "its time was over"
    seconds: float = spec.timing.enrol_seconds
    if wanted is not None:
        seconds = max(0.0, spec.expires_at - services.clock.ms() / 1000)
    with trio.move_on_after(seconds):
        peer = identity.peer_id_text(spec.requester.peer_id)
        over = _never if wanted is None else (lambda: wanted.pointless)
        reason = await _brought(services, ref, lambda: [peer], over)
    if not services.blobs.holds(ref):
        return f"its encoder {encoder.digest.hex()[:16]} could not be fetched: {reason}"
    return await _looked_at(services, encoder, f"job 0x{job.hex()[:8]}", "its encoder")


def _never() -> bool:
    return False


async def fetched(services: Services, encoder: Encoder, peer: bytes, source: str) -> None:
    """Have an encoder here for a person, who named its digest: from `peer`, and where that gave
    nothing, from whoever else is connected and has it. What is here and noted is left alone.

    Raises InputError where it cannot be read or run here, PeerError where it does not come: the
    same call then goes on from what came.
    """
    if why := libraries.lacking():
        raise InputError(why, "encoder")
    ref = BlobRef(*ref_of(encoder))
    seller = identity.peer_id_text(peer)

    asked = count()

    def peers() -> list[str]:
        # Not at first: of strangers some may be slow on purpose.
        others = [each for each in services.swarm.connected() if each != seller]
        return [seller, *others[:_MOST_OTHERS]] if next(asked) else [seller]

    why = await _brought(services, ref, peers, _never, _VAIN)
    if not services.blobs.holds(ref):
        raise PeerError(f"the encoder {encoder.digest.hex()} could not be fetched: {why}")
    if why := await _looked_at(services, encoder, source, "the encoder"):
        raise InputError(why, "encoder")


async def _brought(
    services: Services,
    ref: BlobRef,
    peers: Callable[[], list[str]],
    over: Callable[[], bool],
    vain: float = inf,
) -> str:
    """Fetch a package, again and again, until it is here, or `over`, or so many tries in a row were
    in `vain`; why it did not come.

    What came stays, so that a line which breaks under load costs no byte twice.
    """
    reason, pause, left = "its time was over", _PAUSE, vain
    while not services.blobs.holds(ref) and not over():
        counted: _Counted | None = None
        try:
            counted = _Counted(services.blobs.sink(ref))
            await services.swarm.fetch(ref.digest, ref.size, peers(), counted)
        except (PeerError, BlobsFull) as error:
            reason = str(error)
            log.info("an encoder is looked for again: %s", error)
            came = counted is not None and counted.came
            pause = _PAUSE if came else min(2 * pause, _MOST_PAUSE)
            left = vain if came else left - 1
            if left <= 0:
                break
            await trio.sleep(pause)
    return reason


async def _looked_at(services: Services, encoder: Encoder, source: str, named: str) -> str:
    """Read a package that is here in a confined process, and note it as this home's; why it cannot
    be used, or nothing. `named` is what it is called in that."""
    if keeping.known(services.home, encoder.digest):
        return ""
    try:
        title = await in_worker(
            services.compute, embedding.looked_at, services.home.blobs, encoder, aside=True
        )
    except (WorkerDied, FatalError, EncoderFailed) as error:
        # Nothing is known against the package: it stays, and is looked at again.
        return f"{named} could not be looked at: {error}"
    except InputError as error:
        services.blobs.delete(encoder.digest)
        return f"{named} cannot be used: {error}"
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
