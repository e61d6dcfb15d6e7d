"""The daemon: a node (node.assembly) on the real network, with workers and its control socket.

    home's lock -> store, keys -> chain -> workers -> swarm -> the node -> control socket

A job's failure ends that job alone (node.engine.engine); a peer's garbage ends nothing
(node.net.guard, node.feeds.inbox); a chain that is down is waited for. Only a failure of the store,
the disk or the network's own machinery ends the daemon. It then says why, and starts again where it
was.
"""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import trio

from node.assembly import assemble
from node.chain.client import ChainClient
from node.control.joinline import JoinLine
from node.control.server import ControlServer
from node.home import known_peers
from node.home.config import Config, no_chain
from node.home.home import Home
from node.home.keys import Keys
from node.home.logs import formatter
from node.home.systemd import Notifier
from node.home.vault import read_passphrase
from node.net.swarm import Swarm, SwarmConfig, open_swarm
from node.store.store import Store
from node.workers.compute import open_compute
from node.workers.memory import keep_private
from protocol.addresses import to_checksum
from protocol.errors import AssayError, InputError

log = logging.getLogger("assay.daemon")

#: How often it is noted whom this node knows, seconds. The file is written only when that changed.
_NOTE_SECONDS: Final = 10.0


def run_daemon(home: Home, config: Config, ready: Callable[[str], None]) -> int:
    """Run until it is told to end (SIGTERM, SIGINT, `assay down`). Returns an exit code.

    `ready` is called once with the join line. Raises InputError for what the user can mend (home in
    use, port in use, no chain configured), FatalError if the node itself fails.
    """
    keep_private()
    written = logging.StreamHandler(sys.stderr)
    written.setFormatter(formatter(config.log_format))
    logging.basicConfig(level=config.log_level.upper(), handlers=[written])
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


async def _serve(
    home: Home, config: Config, keys: Keys, store: Store, ready: Callable[[str], None]
) -> None:
    if config.chain_url is None or config.chain_id is None or config.contract is None:
        raise no_chain(home, config)
    chain = await ChainClient.open(
        (config.chain_url, *config.chain_urls),
        config.chain_id,
        config.contract,
        agree=config.agree,
    )
    async with (
        open_compute(config.workers, config.share) as compute,
        open_swarm(
            SwarmConfig(config.listen, config.bootstrap, keys.peer_seed, config.announce)
        ) as swarm,
        trio.open_nursery() as nursery,
    ):
        stop = trio.Event()
        node = await assemble(home, config, keys, store, swarm, chain, compute, stop)
        api = node.api
        join = JoinLine(
            api.reachable_address(),
            swarm.peer_id,
            config.chain_id,
            to_checksum(config.contract),
            None if config.channel_contract is None else to_checksum(config.channel_contract),
        )
        api.join_line = str(join)
        notifier = Notifier()
        nursery.start_soon(_until_signalled, stop)
        nursery.start_soon(_beside_no_copy, home, swarm)
        nursery.start_soon(_remember_peers, home.known_peers, swarm)
        node.start(nursery)
        nursery.start_soon(_watchdog, notifier, swarm.probe)
        server = ControlServer(api, node.bus)
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
        await node.services.engine.drain()
        nursery.cancel_scope.cancel()
    chain.close()


async def _remember_peers(path: Path, swarm: Swarm) -> None:
    """Know again whom the last life knew, and note for the next one whom this one knows.

    While nobody is connected the note stays: a node that is alone for a while still has it.
    """
    kept = await trio.to_thread.run_sync(known_peers.load, path)
    swarm.learn(kept)
    while True:
        await trio.sleep(_NOTE_SECONDS)
        found = swarm.records()[: known_peers.MAX_KNOWN]
        if not found or set(found) == set(kept):
            continue
        try:
            await trio.to_thread.run_sync(known_peers.save, path, found)
        except OSError as error:
            log.info("known peers are not noted: %s", error)
        else:
            kept = found


async def _beside_no_copy(home: Home, swarm: Swarm) -> None:
    """End at once where a copy of this home runs. Raises InputError: a restart mends nothing."""
    where = await swarm.meet_copy()
    raise InputError(
        f"another node runs with the keys of {home.path}, at {where}: two of them would use the "
        "same nonces, and draw noise that the other's budgets do not hold. Both end. Start the one "
        "whose assay.db is the newer, and remove the home of the other"
    )


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
