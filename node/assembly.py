"""A node put together, in the order in which its parts need each other.

    store, blobs -> engine, intents -> what comes in -> the chain's watcher -> the answers to people

Network, chain and workers come in ready: node.daemon opens the real ones, and tests' simulator
gives this same node others, on virtual time.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import trio

from node.api import Api
from node.chain.client import ChainClient
from node.chain.cursor import load_cursor
from node.chain.intents.intents import IntentOutcome, Intents
from node.chain.intents.sequencer import IntentPolicy
from node.chain.replies import Head
from node.chain.watch import Watcher
from node.control.events import EventBus
from node.data.datasets import clear_copies
from node.engine.clock import Clock, load_ahead, save_ahead
from node.engine.engine import Engine, Machine
from node.engine.services import Services
from node.feeds.chain import ChainFollower
from node.feeds.inbox import Inbox
from node.home.config import Config
from node.home.home import Home
from node.home.keys import Keys
from node.jobs import telling
from node.net.swarm import Swarm
from node.perform import chain as chain_effects
from node.perform import messages
from node.perform.dispatch import perform
from node.perform.idle import fill_pools
from node.perform.recovering import Missing, recover
from node.privacy import settling
from node.sale.channels import ChainChannels
from node.sale.sale import Sale
from node.store import jobs, outbox, records
from node.store.blobs import BlobLost, Blobs
from node.store.store import Store
from node.workers.compute import Compute
from protocol.books.lists import examine_cohort
from protocol.errors import AssayError, FatalError, Malformed
from protocol.machines import inputs
from protocol.machines.job import OVER
from protocol.machines.machine import JobContext, one_line
from protocol.machines.round import Role
from protocol.owner.state import OwnerState
from protocol.requester.pay import takes_rest
from protocol.requester.state import RequesterState
from protocol.spec.job import decode_spec
from protocol.wire import identity

log = logging.getLogger("assay.daemon")

#: How often machines are told the time, seconds. Deadlines are seconds, too.
_TICK_SECONDS: Final = 0.5

#: How long the first tick waits until the machine's clock was compared with the chain's.
_SETTLE_SECONDS: Final = 30.0

#: A new home reads the chain from so many blocks back. A job that was posted before is over, or
#: will be looked up by its id when it is announced.
_HISTORY_BLOCKS: Final = 4096

#: Effects that were carried out are kept so long, for people who look into what happened.
_KEEP_EFFECTS_SECONDS: Final = 7 * 86_400


@dataclass(frozen=True)
class Node:
    """A node that was put together; `start` has it run."""

    services: Services
    api: Api
    bus: EventBus
    inbox: Inbox
    watcher: Watcher
    missing: Missing
    sale: Sale
    #: Machines whose cohort's list is lost: it is fetched before anything is carried out.
    lost: tuple[tuple[Machine, BlobLost], ...]

    def start(self, nursery: trio.Nursery) -> None:
        """Begin all that runs for as long as the node does."""
        services = self.services
        nursery.start_soon(settling.settle_all, services)
        nursery.start_soon(self._run_engine)
        nursery.start_soon(services.intents.run)
        nursery.start_soon(self.watcher.run)
        nursery.start_soon(self.inbox.run)
        nursery.start_soon(self.missing.run)
        nursery.start_soon(self.api.announce_cards)
        nursery.start_soon(self.api.follow_hours)
        nursery.start_soon(self.sale.run)
        nursery.start_soon(services.swarm.relay, self.inbox.relay_judge)
        nursery.start_soon(fill_pools, services)
        nursery.start_soon(_tick, services)

    async def _run_engine(self) -> None:
        """Lists that are lost come first: what a job does, it does among the members in its list.
        Until then its machine stands, and what it is told waits; so do all others, and lists are
        fetched at once, in the time of one."""
        async with trio.open_nursery() as nursery:
            for machine, lost in self.lost:
                nursery.start_soon(self._find_list, machine, lost)
        self.inbox.machines_changed()
        await self.services.engine.run()

    async def _find_list(self, machine: Machine, lost: BlobLost) -> None:
        """A list that is not found, or that the disk does not take, stops its job alone."""
        try:
            if await recover(self.services, machine, lost):
                machine.broken = ""
                await trio.to_thread.run_sync(_restore_cohort, self.services, machine)
        except (AssayError, OSError) as error:
            _stop(machine, error)


async def assemble(
    home: Home,
    config: Config,
    keys: Keys,
    store: Store,
    swarm: Swarm,
    chain: ChainClient,
    compute: Compute,
    stop: trio.Event,
) -> Node:
    """The node of a home, as its store has it. `stop` is set when somebody asks it to end.

    Raises FatalError where the store lacks what a job needs.
    """
    blobs = Blobs(home.blobs)
    blobs.clear_unfinished()
    await clear_copies(home, store)
    await store.run(partial(outbox.prune, older_than=time.time() - _KEEP_EFFECTS_SECONDS))
    bus = EventBus()
    engine = Engine(store, lambda wanted: perform(services, wanted), observe=_ignore)

    async def outcome(told: IntentOutcome) -> None:
        await chain_effects.settled(services, told)
        watcher.hurry()  # its event is on the chain, too

    intents = Intents(
        chain,
        keys,
        store,
        IntentPolicy(depth=config.finality, max_fee=config.max_fee),
        outcome,
    )
    clock = Clock(await store.read(load_ahead))
    services = Services(
        home, config, keys, store, blobs, swarm, chain, intents, compute, engine, clock
    )
    follower = ChainFollower(services)
    inbox = Inbox(services, follower.introduce)
    services.take = inbox.take
    await engine.restore(await _contexts(services))
    restored = await store.read(jobs.restored)
    _stop_restored(engine, restored)
    lost = await trio.to_thread.run_sync(_restore_cohorts, services, frozenset(restored))
    cursor = await store.read(partial(load_cursor, root=0))
    watcher = Watcher(
        chain,
        cursor,
        follower.apply,
        history=_HISTORY_BLOCKS,
        busy=lambda: any(_live(engine)) or any(_closed(engine)) or not clock.settled.is_set(),
        on_head=partial(_look_at_clock, services),
    )
    engine.observe = partial(_observe, services, bus, inbox, watcher)

    swarm.cherish(lambda: _partners(engine))
    swarm.serve(messages.PROTOCOL, inbox.answer)
    missing = Missing(services)
    swarm.serve_blobs(blobs, missing.note)
    sale = Sale(services, ChainChannels(services))
    api = Api(services, watcher, follower, bus, stop, inbox.shelf, sale)
    await api.refresh()
    return Node(services, api, bus, inbox, watcher, missing, sale, lost)


def _ignore(machine: Machine, events: Sequence[records.Event]) -> None:
    """Until the inbox is there, nothing can have happened."""


def _observe(
    services: Services,
    bus: EventBus,
    inbox: Inbox,
    watcher: Watcher,
    machine: Machine,
    events: Sequence[records.Event],
) -> None:
    """Follow a step's changes: topics, the chain's pace, and news for subscribers."""
    inbox.machines_changed()
    watcher.hurry()
    events = [_with_names(services, event) for event in events]
    telling.tell(machine, events)
    for event in events:
        text = str(event.facts.get("text", ""))
        facts = {k: v for k, v in event.facts.items() if k != "text"}
        bus.publish(event.kind, text, job="0x" + machine.key.hex(), facts=facts)


def _with_names(services: Services, event: records.Event) -> records.Event:
    """Amounts in tokens by the names that this home has for them. The store keeps addresses."""
    text = str(event.facts.get("text", ""))
    if " units of " not in text:  # the list of names is a file, and not read for every event
        return event
    named = services.tokens_shown().renamed(text)
    return dataclasses.replace(event, facts={**event.facts, "text": named})


async def _contexts(services: Services) -> list[tuple[Role, JobContext]]:
    """Every job known here, as its machine reads it. The cohort comes back from its stored list."""
    rows = await services.store.read(jobs.jobs)
    found = []
    for row in rows:
        content = await services.store.read(partial(records.load_spec, digest=row.spec))
        if content is None:
            raise FatalError(f"the spec of job {row.job.hex()} is gone from the store")
        context = JobContext(
            row.job,
            decode_spec(content),
            len(content),
            row.spec,
            services.swarm.peer_id_bytes,
            services.keys.account,
        )
        found.append((Role(row.role), context))
    return found


def _stop_restored(engine: Engine, restored: Mapping[bytes, str]) -> None:
    """A requester's job does not go on out of a backup: its models are not in one, and what it said
    since is not known here, so that it would contradict itself."""
    for key, why in restored.items():
        machine = engine.machines.get(key)
        if machine is None or machine.role is not Role.REQUESTER:
            continue
        if machine.state.phase not in OVER:
            machine.broken = one_line(why)


def _restore_cohorts(
    services: Services, restored: frozenset[bytes]
) -> tuple[tuple[Machine, BlobLost], ...]:
    """Verified lists are no part of a machine's state: read them again from their blobs.

    A list that does not hold stops its job alone. Returns those that are lost.
    """
    lost = []
    for machine in services.engine.machines.values():
        if machine.key in restored and (machine.broken or machine.state.phase in OVER):
            continue  # its list is not in a backup, and nothing is done with it any more
        try:
            _restore_cohort(services, machine)
        except BlobLost as error:
            lost.append((machine, error))
            _stop(machine, error)
        except OSError as error:
            _stop(machine, error)
    return tuple(lost)


def _stop(machine: Machine, error: Exception) -> None:
    log.error("job %s stops: %s", machine.key.hex()[:16], error)
    machine.broken = one_line(str(error))


def _restore_cohort(services: Services, machine: Machine) -> None:
    """Read a machine's list again. Raises BlobLost."""
    state, context = machine.state, machine.context
    if isinstance(state, OwnerState):
        # It is examined once its roots are stored, maybe before the chain has them.
        digest = state.cohort_digest if state.cohort_roots else state.held_cohort
    else:
        # A group that is being rooted is in the later list already, behind all others.
        digest = state.next_cohort_digest or state.cohort_digest
    if not digest:
        return
    data = services.blobs.get(services.blob(digest))
    try:
        cohort = examine_cohort(context.spec, context.job, data)
    except (FatalError, Malformed) as error:
        _stop(machine, error)
    else:
        machine.context = dataclasses.replace(context, cohort=cohort)


def _partners(engine: Engine) -> Iterator[str]:
    """Peers of jobs that are not over: requesters, and members of cohorts."""
    for machine in _live(engine):
        yield identity.peer_id_text(machine.context.requester)
        cohort = machine.context.cohort
        if cohort is not None:
            yield from (identity.peer_id_text(member.peer) for member in cohort.members)


def _live(engine: Engine) -> Iterator[Machine]:
    """Machines that still wait for something."""
    return (
        machine
        for machine in engine.machines.values()
        if not machine.broken and machine.state.phase not in OVER
    )


async def _look_at_clock(services: Services, head: Head) -> None:
    """Every new block says what the chain's time is."""
    if services.clock.saw(head.number, head.timestamp):
        await services.store.run(partial(save_ahead, ahead=services.clock.ahead))


def _closed(engine: Engine) -> Iterator[Machine]:
    """Jobs that are over and still hang on the chain, for their rest."""
    return (
        machine
        for machine in engine.machines.values()
        if isinstance(machine.state, RequesterState)
        and not machine.broken
        and takes_rest(machine.context, machine.state)
    )


async def _tick(services: Services) -> None:
    """Tell the time to every machine that still waits for something."""
    clock, engine = services.clock, services.engine
    # A clock that is fast would end a round, or a job, at its first tick. A chain that stands still
    # cannot tell, and nothing that waits for it is late.
    with trio.move_on_after(_SETTLE_SECONDS):
        await clock.settled.wait()
    while True:
        # Whoever sets this machine's clock changes nothing for a round that runs.
        if clock.look():
            await services.store.run(partial(save_ahead, ahead=clock.ahead))
        at = clock.ms()
        ticks = [(machine.key, inputs.Tick(at)) for machine in _live(engine)]
        if ticks:
            await engine.feed_all(ticks)
        await trio.sleep(_TICK_SECONDS)
