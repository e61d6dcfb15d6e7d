"""From what the chain said to what machines are told; kept, with the cursor, in one transaction."""

from __future__ import annotations

from functools import partial

from node import jobs
from node.chain import events
from node.chain.cursor import save_cursor
from node.chain.events import ChainEvent
from node.chain.watch import Batch
from node.engine import Machine, unix_ms
from node.perform.services import Services
from node.store import Transaction
from protocol import inputs
from protocol.job import OVER
from protocol.requester_pay import WINDING_UP
from protocol.round import Role


class ChainFollower:
    """Applies batches of the watcher. What it raises ends the daemon: nothing may be skipped."""

    def __init__(self, services: Services) -> None:
        self._engine = services.engine
        self.head_time = 0

    async def apply(self, batch: Batch) -> None:
        """Take back, then tell in order, then the head; stored with the cursor."""
        at = unix_ms()
        machines = list(self._engine.machines.values())
        given: list[tuple[bytes, inputs.Input]] = []
        if batch.reorg_to is not None:
            given += [(m.key, inputs.ChainReorg(at, batch.reorg_to)) for m in machines]
        for event in batch.events:
            if event.job in self._engine.machines:
                given.append((event.job, to_input(at, event)))
        head = inputs.ChainHead(at, batch.head.number, batch.head.timestamp)
        given += [(m.key, head) for m in machines if _follows_chain(m)]
        await self._engine.feed_all(given, also=partial(_store, batch=batch))
        self.head_time = batch.head.timestamp


def _follows_chain(machine: Machine) -> bool:
    """A job that is over hears of no more blocks; one that its requester winds up does."""
    winding_up = machine.role is Role.REQUESTER and machine.state.phase in WINDING_UP
    return not machine.broken and (winding_up or machine.state.phase not in OVER)


def _store(tx: Transaction, batch: Batch) -> None:
    if batch.reorg_to is not None:
        jobs.forget_contract_events(tx, batch.reorg_to)
    for event in batch.events:
        jobs.save_contract_event(tx, event)
    save_cursor(tx, batch.cursor)


def to_input(at: int, event: ChainEvent) -> inputs.Input:
    """One contract event as the machines of its job are told it."""
    block, said = event.block, event.event
    match said:
        case events.Posted():
            return inputs.ChainPosted(at, block)
        case events.Enrolled():
            return inputs.ChainEnrolled(at, block, said.index, said.root, said.count)
        case events.Committed():
            return inputs.ChainCommitted(
                at, block, said.round, said.root, said.count, said.model_digest
            )
        case events.Finished():
            return inputs.ChainFinished(at, block, said.model_digest, said.evidence_digest)
        case events.Cancelled():
            return inputs.ChainCancelled(at, block, said.effective)
        case events.Claimed():
            return inputs.ChainClaimed(at, block, said.account, said.amount)
        case events.Withdrawn():
            return inputs.ChainWithdrawn(at, block, said.amount)
