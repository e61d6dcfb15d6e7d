"""While no worker is busy: obfuscators for the contributions that this node's jobs will ask for."""

from __future__ import annotations

import logging
from typing import Final

import trio

from node.engine.engine import Machine
from node.engine.services import Services
from node.work import pool as pool_tasks
from node.work import tasks
from protocol.errors import AssayError
from protocol.machines.job import JobPhase
from protocol.owner.state import OwnerState
from protocol.spec.job import Envelope

log = logging.getLogger("assay.idle")

#: Between two looks at what is to be done, seconds.
_PAUSE: Final = 1.0

#: Made at a time: some 0.1 s at 3072 bits, which is how long a real computation may have to wait.
_STEP: Final = 200

_CONTRIBUTING: Final = (JobPhase.ENROLLED, JobPhase.TRAINING)


async def fill_pools(services: Services) -> None:
    """Runs for as long as the daemon: after each contribution fills its job's pool again."""
    full: dict[bytes, tuple[int, int, bool]] = {}  # by job: where it stood when its pool was full
    while True:
        await trio.sleep(_PAUSE)
        for machine in list(services.engine.machines.values()):
            stands = _stands(machine)
            if stands is None:
                full.pop(machine.key, None)
            elif full.get(machine.key) != stands and await _fill(services, machine):
                full[machine.key] = stands


def _stands(machine: Machine) -> tuple[int, int, bool] | None:
    """Round, attempt, and whether this owner's contribution to it is made; None where no
    contribution to encrypt will follow."""
    state, context = machine.state, machine.context
    if machine.broken or not isinstance(state, OwnerState) or state.phase not in _CONTRIBUTING:
        return None
    if context.spec.encryption.envelope is not Envelope.PAILLIER:
        return None
    last = state.round
    if last is None:
        return 0, 0, False
    return last.number, last.attempt, bool(last.batch_digest)


async def _fill(services: Services, machine: Machine) -> bool:
    """Whether there is nothing left to do; false if other work came up."""
    try:
        work = tasks.Work(services.home.blobs, await services.spec_bytes(machine.context))
        while not _busy(services):
            if await services.compute.run(pool_tasks.fill, work, _STEP):
                return True
    except AssayError as error:
        # Nothing hangs on it: a contribution makes its own obfuscators.
        log.warning("no obfuscators made ahead for %s: %s", machine.key.hex()[:16], error)
        return True
    return False


def _busy(services: Services) -> bool:
    found = services.compute.statistics()
    return bool(found.running or found.waiting)
