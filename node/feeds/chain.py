"""The chain's events become inputs of machines; both are kept, with the cursor, in one transaction.

A machine that begins when its job has run for a while is told the job's past first. So an owner
that enrols late reads the same roots, in the same order, as those who were there from the start.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import trio

from node.chain import events
from node.chain.cursor import load_cursor, save_cursor
from node.chain.events import ChainEvent, ContractEvent
from node.chain.watch import MAX_CHUNK, Batch
from node.engine.engine import Machine
from node.engine.services import Services
from node.store import jobs
from node.store.store import Transaction
from protocol.machines import inputs
from protocol.machines.job import OVER
from protocol.requester.pay import PAID, WINDING_UP, awaits_rest, takes_rest
from protocol.requester.state import RequesterState


class ChainFollower:
    """Applies batches of the watcher. What it raises ends the daemon: nothing may be skipped."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._engine = services.engine
        #: A machine's past ends where the next batch begins: nothing comes between, twice or late.
        self._lock = trio.Lock()
        self._began = trio.Event()
        self.head_time = 0

    async def apply(self, batch: Batch) -> None:
        """Take back, then tell in order, then the head; stored with the cursor."""
        async with self._lock:
            await self._apply(batch)

    async def _apply(self, batch: Batch) -> None:
        at = self._services.clock.ms()
        machines = list(self._engine.machines.values())
        given: list[tuple[bytes, inputs.Input]] = []
        if batch.reorg_to is not None:
            given += [(m.key, inputs.ChainReorg(at, batch.reorg_to)) for m in machines]
        for event in await self._untold(batch):
            if event.job in self._engine.machines:
                rate = self._engine.machines[event.job].context.spec.payment.rate
                told = to_inputs(at, event.block, event.event, rate)
                given += [(event.job, each) for each in told]
        head = inputs.ChainHead(at, batch.head.number, batch.head.timestamp)
        given += [(m.key, head) for m in machines if _follows_chain(m)]
        await self._engine.feed_all(given, also=partial(self._store, batch=batch))
        if batch.reorg_to is not None:
            self._services.intents.wake()
        self.head_time = batch.head.timestamp
        self._began.set()

    async def _untold(self, batch: Batch) -> list[ChainEvent]:
        """The events that machines have not heard. One that a node shows late may have been read
        with a job's past; a claim that counts twice would close a job while pay is owed."""
        above = batch.reorg_to
        new = [e for e in batch.events if above is not None and e.block > above]
        others = [e for e in batch.events if above is None or e.block <= above]
        if not others:
            return new
        kept = partial(jobs.unknown_events, events=others)
        return [*await self._services.store.read(kept), *new]

    def _store(self, tx: Transaction, batch: Batch) -> None:
        """What a batch changes here. A reorganisation takes back ends of transactions as well, as
        deep as the watcher can see: how deep final is matters not."""
        if batch.reorg_to is not None:
            jobs.forget_contract_events(tx, batch.reorg_to)
            self._services.intents.reopen(tx, batch.reorg_to)
        for event in batch.events:
            jobs.save_contract_event(tx, event)
        save_cursor(tx, batch.cursor)

    async def introduce(self, machine: Machine, also: Callable[[Transaction], None]) -> bool:
        """Take in a new machine, told what the contract has said of its job; stored with `also`.

        False, and nothing done, if the job has a machine already. Raises ChainError if the past is
        not stored here and the chain node does not tell it.
        """
        if await self._cursor() == 0:
            await self._began.wait()  # where this home begins to read is decided by its first look
        async with self._lock:
            if machine.key in self._engine.machines:
                return False
            read = await self._past(machine.key)
            stored = await self._services.store.read(partial(jobs.contract_events, job=machine.key))
            past = [(e.block, e.event) for e in read] or [(e.block, e.event) for e in stored]
            at = self._services.clock.ms()
            rate = machine.context.spec.payment.rate
            told = [
                (machine.key, each)
                for block, event in past
                for each in to_inputs(at, block, event, rate)
            ]

            def write(tx: Transaction) -> None:
                also(tx)
                for event in read:
                    jobs.save_contract_event(tx, event)

            self._engine.add(machine)
            # In one transaction: a job that is stored knows its past, whatever crashes in between.
            await self._engine.feed_all([*told, (machine.key, inputs.Tick(at))], also=write)
            return True

    async def _past(self, job: bytes) -> list[ChainEvent]:
        """A job's events up to the cursor, from the chain; none where the store has them all.

        The store has all of them if it has the first, because this home has read everything that
        was mined since. A home that began to read later looks back from its cursor, and no further
        than to the posting.
        """
        stored = await self._services.store.read(partial(jobs.contract_events, job=job))
        if any(isinstance(each.event, events.Posted) for each in stored):
            return []
        last = await self._cursor()
        if await self._services.chain.job(job, at=last) is None:
            return []  # posted in a block that is still to be read
        found: list[ChainEvent] = []
        while last > 0 and not any(isinstance(each.event, events.Posted) for each in found):
            first = max(1, last - MAX_CHUNK + 1)
            found = await self._services.chain.logs_of_job(job, first, last) + found
            last = first - 1
        return found

    async def _cursor(self) -> int:
        """The last block whose events are stored; 0 where none was read."""
        return (await self._services.store.read(partial(load_cursor, root=0))).number


def _follows_chain(machine: Machine) -> bool:
    """A job that is over hears of no more chain blocks; a job that its requester winds up does, or
    whose rest comes back."""
    state = machine.state
    waits = isinstance(state, RequesterState) and (
        state.phase in WINDING_UP
        or (state.phase in PAID and awaits_rest(machine.context, state))
        or takes_rest(machine.context, state)
    )
    return not machine.broken and (waits or state.phase not in OVER)


def to_inputs(at: int, block: int, said: ContractEvent, rate: int) -> list[inputs.Input]:
    """One contract event, mined in `block`, as the machines of its job are told it: `Paid` as what
    each account has of it, by the job's rate."""
    if isinstance(said, events.Paid):
        claims = events.claims_of(said, rate)
        return [inputs.ChainClaimed(at, block, each.account, each.amount) for each in claims]
    return [_to_input(at, block, said)]


def _to_input(at: int, block: int, said: events.Single) -> inputs.Input:
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
            said_digests = said.model_digest, said.evidence_digest
            return inputs.ChainFinished(at, block, *said_digests, said.effective)
        case events.Cancelled():
            return inputs.ChainCancelled(at, block, said.effective)
        case events.Claimed():
            return inputs.ChainClaimed(at, block, said.account, said.amount)
        case events.Withdrawn():
            return inputs.ChainWithdrawn(at, block, said.amount)
