"""The daemon: every part of a node in one nursery, in the order in which they need each other.

    home's lock -> store, blobs, keys -> workers -> swarm -> chain -> engine -> control socket

A job's failure ends that job alone (node.engine.engine); a peer's garbage ends nothing
(node.net.guard, node.feeds.inbox); a chain that is down is waited for. Only a failure of the store,
the disk or the network's own machinery ends the daemon. It then says why, and starts again where it
was.
"""

from __future__ import annotations

import dataclasses
import logging
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import trio

from node.api import Api
from node.chain.client import ChainClient
from node.chain.cursor import load_cursor
from node.chain.intents.intents import Intents
from node.chain.intents.sequencer import IntentPolicy
from node.chain.watch import Watcher
from node.control.events import EventBus
from node.control.joinline import JoinLine
from node.control.server import ControlServer
from node.data.datasets import clear_copies
from node.engine.engine import Engine, Machine, unix_ms
from node.engine.services import Services
from node.feeds.chain import ChainFollower
from node.feeds.inbox import Inbox
from node.home.config import Config
from node.home.home import Home
from node.home.keys import Keys
from node.home.systemd import Notifier
from node.home.vault import read_passphrase
from node.jobs import telling
from node.net.swarm import SwarmConfig, open_swarm
from node.perform import chain as chain_effects
from node.perform import messages
from node.perform.dispatch import perform
from node.perform.idle import fill_pools
from node.privacy import settling
from node.store import jobs, outbox, records
from node.store.blobs import Blobs
from node.store.store import Store
from node.workers.compute import open_compute
from node.workers.memory import keep_private
from protocol.addresses import to_checksum
from protocol.books.lists import examine_cohort
from protocol.errors import AssayError, FatalError, InputError, Malformed
from protocol.machines import inputs
from protocol.machines.job import OVER
from protocol.machines.machine import JobContext, one_line
from protocol.machines.round import Role
from protocol.owner.state import OwnerState
from protocol.spec.job import decode_spec
from protocol.wire import identity

log = logging.getLogger("assay.daemon")

#: How often machines are told the time, seconds. Deadlines are seconds, too.
_TICK_SECONDS = 0.5

#: A new home reads the chain from so many blocks back. A job that was posted before is over, or
#: will be looked up by its id when it is announced.
_HISTORY_BLOCKS = 4096

#: Effects that were carried out are kept so long, for people who look into what happened.
_KEEP_EFFECTS_SECONDS = 7 * 86_400

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def run_daemon(home: Home, config: Config, ready: Callable[[str], None]) -> int:
    """Run until it is told to end (SIGTERM, SIGINT, `assay down`). Returns an exit code.

    `ready` is called once with the join line. Raises InputError for what the user can mend (home in
    use, port in use, no chain configured), FatalError if the node itself fails.
    """
    keep_private()
    logging.basicConfig(level=config.log_level.upper(), format=_FORMAT, stream=sys.stderr)
    # The library logs every stream at info; our guard logs what matters of it.
    logging.getLogger("libp2p").setLevel(logging.WARNING)
    with home.lock():
        keys = Keys.open(home, read_passphrase())
        with Store.open(home.database) as store:
            trio.run(partial(_main, home, config, keys, store, ready))
    return 0


async def _main(
    home: Home, config: Config, keys: Keys, store: Store, ready: Callable[[str], None]
) -> None:
    try:
        await _serve(home, config, keys, store, ready)
    except BaseExceptionGroup as group:
        alone = _first(group)
        if alone is not None:
            raise alone from group
        raise


def _first(group: BaseExceptionGroup[BaseException]) -> AssayError | None:
    """The error of a group that a person should read: the first of ours in it."""
    for error in group.exceptions:
        if isinstance(error, AssayError):
            return error
        found = _first(error) if isinstance(error, BaseExceptionGroup) else None
        if found is not None:
            return found
    return None


def _no_chain(home: Home, config: Config) -> InputError:
    """Name the settings that a home lacks to know its chain, and the command that gives a new
    network a contract."""
    parts = {"url": config.chain_url, "id": config.chain_id, "contract": config.contract}
    missing = [name for name, value in parts.items() if value is None]
    error = InputError(f"not set in {home.config}: {', '.join(missing)}", "chain")
    if missing == ["contract"]:
        error.add_note("assay deploy, once for a network; or assay join LINE, to take another's")
    return error


async def _serve(
    home: Home, config: Config, keys: Keys, store: Store, ready: Callable[[str], None]
) -> None:
    if config.chain_url is None or config.chain_id is None or config.contract is None:
        raise _no_chain(home, config)
    blobs = Blobs(home.blobs)
    blobs.clear_unfinished()
    await clear_copies(home, store)
    await store.run(partial(outbox.prune, older_than=time.time() - _KEEP_EFFECTS_SECONDS))
    chain = await ChainClient.open(
        (config.chain_url, *config.chain_urls),
        config.chain_id,
        config.contract,
        agree=config.agree,
    )
    async with (
        open_compute(config.workers) as compute,
        open_swarm(SwarmConfig(config.listen, config.bootstrap, keys.peer_seed)) as swarm,
        trio.open_nursery() as nursery,
    ):
        bus = EventBus()
        engine = Engine(store, lambda wanted: perform(services, wanted), observe=_ignore)
        intents = Intents(
            chain,
            keys,
            store,
            IntentPolicy(depth=config.finality, max_fee=config.max_fee_gwei * 10**9),
            lambda outcome: chain_effects.settled(services, outcome),
        )
        services = Services(
            home, config, keys, store, blobs, swarm, chain, intents, compute, engine
        )
        follower = ChainFollower(services)
        inbox = Inbox(services, follower.introduce)
        services.take = inbox.take
        await engine.restore(await _contexts(services))
        await trio.to_thread.run_sync(_restore_cohorts, services)
        cursor = await store.read(partial(load_cursor, root=0))
        watcher = Watcher(
            chain,
            cursor,
            follower.apply,
            history=_HISTORY_BLOCKS,
            busy=lambda: any(_live(engine)),
        )
        engine.observe = partial(_observe, bus, inbox, watcher)

        swarm.cherish(lambda: _partners(engine))
        swarm.serve(messages.PROTOCOL, inbox.answer)
        swarm.serve_blobs(blobs)
        stop = trio.Event()
        api = Api(services, watcher, follower, bus, stop, inbox.shelf)
        join = JoinLine(
            api.reachable_address(), swarm.peer_id, config.chain_id, to_checksum(config.contract)
        )
        api.join_line = str(join)
        await api.refresh()
        notifier = Notifier()
        nursery.start_soon(_until_signalled, stop)
        nursery.start_soon(settling.settle_all, services)
        nursery.start_soon(engine.run)
        nursery.start_soon(intents.run)
        nursery.start_soon(watcher.run)
        nursery.start_soon(inbox.run)
        nursery.start_soon(api.announce_cards)
        nursery.start_soon(swarm.relay, inbox.relay_judge)
        nursery.start_soon(fill_pools, services)
        nursery.start_soon(_tick, engine)
        nursery.start_soon(_watchdog, notifier, swarm.probe)
        server = ControlServer(api, bus)
        await nursery.start(partial(server.serve, home.bind_path()))
        # From now on a full disk is waited out; before, and while ending, it is an error.
        store.patient = True
        ready(str(join))
        notifier.ready()
        log.info("running: %s", join)
        await stop.wait()
        notifier.stopping()
        log.info("ending: jobs go on at the next start")
        store.patient = False
        await engine.drain()
        nursery.cancel_scope.cancel()
    chain.close()


def _ignore(machine: Machine, events: Sequence[records.Event]) -> None:
    """Until the inbox is there, nothing can have happened."""


def _observe(
    bus: EventBus,
    inbox: Inbox,
    watcher: Watcher,
    machine: Machine,
    events: Sequence[records.Event],
) -> None:
    """Follow a step's changes: topics, the chain's pace, and news for subscribers."""
    inbox.machines_changed()
    watcher.hurry()
    telling.tell(machine, events)
    for event in events:
        text = str(event.facts.get("text", ""))
        facts = {k: v for k, v in event.facts.items() if k != "text"}
        bus.publish(event.kind, text, job="0x" + machine.key.hex(), facts=facts)


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


def _restore_cohorts(services: Services) -> None:
    """Verified lists are no part of a machine's state: read them again from their blobs.

    A list that is gone stops its job alone.
    """
    for machine in services.engine.machines.values():
        state, context = machine.state, machine.context
        if isinstance(state, OwnerState):
            # It is examined once its roots are stored, maybe before the chain has them.
            digest = state.cohort_digest if state.cohort_roots else state.held_cohort
        else:
            # A group that is being rooted is in the later list already, behind all others.
            digest = state.next_cohort_digest or state.cohort_digest
        if not digest:
            continue
        try:
            data = services.blobs.get(services.blob(digest))
            cohort = examine_cohort(context.spec, context.job, data)
        except (FatalError, Malformed) as error:
            log.error("job %s stops: %s", machine.key.hex()[:16], error)
            machine.broken = one_line(str(error))
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


async def _tick(engine: Engine) -> None:
    """Tell the time to every machine that still waits for something."""
    while True:
        at = unix_ms()
        ticks = [(machine.key, inputs.Tick(at)) for machine in _live(engine)]
        if ticks:
            await engine.feed_all(ticks)
        await trio.sleep(_TICK_SECONDS)


async def _until_signalled(stop: trio.Event) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            log.info("signal %s", signal.Signals(number).name)
            stop.set()


async def _watchdog(notifier: Notifier, alive: Callable[[], object]) -> None:
    """Tell the service manager that the node is alive only when it is: by a real connection."""
    interval = notifier.watchdog_interval
    if interval is None:
        return
    while True:
        if await alive():  # type: ignore[misc]
            notifier.alive()
        else:
            log.error("the node does not answer itself; the service manager will restart it")
        await trio.sleep(interval)
