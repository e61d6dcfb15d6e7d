"""Where an attempt's secrets are sealed, and the roster that they are shared among."""

from __future__ import annotations

import trio

from node.engine.engine import Machine
from node.engine.services import Services
from node.home.keys import ONCE_PREFIX
from node.work import secagg as secagg_tasks
from protocol.books.lists import RosterEntry, roster_entries
from protocol.machines import effects


def mask_name(job: bytes, round_: int, attempt: int) -> str:
    """Under which name an attempt's mask key and seed are sealed."""
    return f"{ONCE_PREFIX}mask.{job.hex()[:32]}.{round_}.{attempt}"


def sealing_name(job: bytes) -> str:
    """Under which name the job's sealing key is sealed: private, then public, 32 bytes each."""
    return f"{ONCE_PREFIX}seal.{job.hex()[:32]}"


def sealing_key(services: Services, job: bytes) -> tuple[bytes, bytes]:
    """The job's sealing key, made where there is none yet: (private, public)."""
    try:
        stored = services.keys.unseal(sealing_name(job))
    except KeyError:
        private, public = secagg_tasks.new_sealing_key()
        services.keys.seal(sealing_name(job), private + public)
        return private, public
    return stored[:32], stored[32:]


def held_sealing_key(services: Services, job: bytes) -> tuple[bytes, bytes] | None:
    """The job's sealing key, or None where this node has none (any more)."""
    try:
        stored = services.keys.unseal(sealing_name(job))
    except KeyError:
        return None
    return stored[:32], stored[32:]


async def roster(
    services: Services,
    machine: Machine,
    effect: effects.SendRelease | effects.ComputeContribution | effects.ComputeUnmask,
) -> tuple[RosterEntry, ...]:
    """The roster that an effect names, which was examined under its digest before.

    Read and decoded in a thread: the largest has 120 KiB.
    """

    def read() -> tuple[RosterEntry, ...]:
        data = services.blobs.get(services.blob(effect.roster_digest))
        cohort = machine.context.require_cohort()
        return roster_entries(cohort, machine.blocks(effect.round), effect.block, data)

    return await trio.to_thread.run_sync(read)


async def attempt_of(
    services: Services,
    machine: Machine,
    effect: effects.ComputeContribution | effects.ComputeUnmask,
) -> secagg_tasks.Attempt:
    """Where the masks of an effect hold."""
    return secagg_tasks.Attempt(
        services.place(machine.key, effect.round, effect.attempt),
        effect.model_digest,
        effect.roster_digest,
        await roster(services, machine, effect),
    )
