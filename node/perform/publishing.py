"""The hold-out of a job whose merit is by worth: named at its posting, published at its end.

What is in the home's blobs/ may be fetched by whoever knows its digest, and the spec tells this one
from the start. So its bytes are put there once no round follows, and not before.
"""

from __future__ import annotations

import hmac
import logging
from typing import Final

from node.engine.engine import Machine
from node.engine.services import Services
from node.perform.compute import holdout_rows, key_name
from node.store.blobs import BlobRef
from node.work import remeasure, tasks
from node.workers.compute import in_worker
from protocol.spec.job import JobSpec, encode_spec

log = logging.getLogger("assay.jobs")

_LABEL: Final = b"assay/holdout/1"


def _nonce(private_key: bytes) -> bytes:
    """32 bytes that nobody else can tell before they are published: a small hold-out could be found
    out by its digest. They follow from the job's key, so that nothing more need be kept."""
    return hmac.digest(private_key, _LABEL, "sha256")


async def name(services: Services, spec: JobSpec, rows: tasks.Rows, private_key: bytes) -> bytes:
    """The digest for the spec. Raises InputError where the set is too large to be published."""
    content = encode_spec(spec)
    return await in_worker(services.compute, remeasure.name, content, rows, _nonce(private_key))


async def publish(services: Services, machine: Machine) -> BlobRef | None:
    """Let peers fetch the hold-out from now on; None where the spec names none.

    A set that is not the one that the spec names is not published: it would only be somebody's
    data. The audit then misses it, as it should.
    """
    spec, job = machine.context.spec, machine.key
    rows = await holdout_rows(services, job)
    if not spec.payment.publishes or rows is None:
        return None
    work = tasks.Work(services.home.blobs, await services.spec_bytes(machine.context))
    nonce = _nonce(services.keys.unseal(key_name(spec.modulus)))
    found = await in_worker(services.compute, remeasure.name, work.spec, rows, nonce)
    if found != spec.holdout:
        log.error("job %s: its hold-out is not the one that its spec names", job.hex()[:16])
        return None
    return await in_worker(services.compute, remeasure.publish, work, rows, nonce)
