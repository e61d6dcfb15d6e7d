"""The examination: every look, then every check, in the order in which they are shown."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

from node.control.shapes import Reach
from node.doctor.checks import chain, home, kept, machine, network
from node.doctor.findings import Finding, State, failure
from node.doctor.looking.bounded import Look, words
from node.doctor.looking.daemon import look_daemon, look_ports, look_reach
from node.doctor.looking.database import look_store
from node.doctor.looking.files import look_blobs, look_config, look_home, look_keys, look_log
from node.doctor.looking.machine import (
    look_encoders,
    look_machine,
    look_versions,
    look_workers,
)
from node.doctor.looking.nodes import look_chain
from node.doctor.seen import Blank, ChainSeen, DaemonSeen, PortSeen, Seen
from node.home.config import Config
from node.home.home import Home
from node.home.keys import public_account

T = TypeVar("T")

#: Every check, by its name. Names are for programs, and stay.
CHECKS: Final[dict[str, Callable[[Seen], Finding]]] = {
    "home": home.home,
    "permissions": home.permissions,
    "config": home.config,
    "keys": home.keys,
    "store": kept.store,
    "blobs": kept.blobs,
    "data-copies": kept.copies,
    "data-files": kept.sources,
    "policies": kept.policies,
    "clock": machine.clock,
    "disk": machine.disk,
    "memory": machine.memory,
    "limits": machine.limits,
    "versions": machine.versions,
    "workers": machine.workers,
    "encoders": machine.encoders,
    "chain": chain.reached,
    "chain-id": chain.chain_id,
    "contract": chain.contract,
    "head": chain.head,
    "finality": chain.finality,
    "lag": chain.lag,
    "events": chain.events,
    "fees": chain.fees,
    "balance": chain.balance,
    "daemon": network.daemon,
    "problems": network.problems,
    "transactions": kept.transactions,
    "ports": network.ports,
    "peers": network.peers,
    "reachability": network.reachability,
    "log": home.log,
}

#: Seconds that a look may take, with room for a slow machine. All run side by side.
_FILES: Final = 20.0
_DAEMON: Final = 25.0
_PORTS: Final = 60.0
_REACH: Final = 35.0
_STORE: Final = 45.0
_CHAIN: Final = 45.0
_WORKERS: Final = 60.0


def examine(place: Home) -> Seen:
    """Look at everything. Nothing is changed, no lock is taken; it ends within two minutes."""
    if not os.path.exists(place.path):
        return _nothing(f"{place.path} does not exist")
    home_ = Look(_FILES, "the home", partial(look_home, place))
    config_ = Look(_FILES, "config.toml", partial(look_config, place))
    daemon_ = Look(_DAEMON, "the daemon", partial(look_daemon, place))
    keys_ = Look(_FILES, "the keys", partial(look_keys, place))
    blobs_ = Look(_FILES, "blobs/", partial(look_blobs, place.blobs))
    versions_ = Look(_FILES, "versions", look_versions)
    workers_ = Look(_WORKERS, "a worker", look_workers)
    encoders_ = Look(_FILES, "encoders", look_encoders)
    config, daemon = config_.found(), daemon_.found()
    pid = None if isinstance(daemon, Blank) else daemon.pid
    machine_ = Look(_FILES, "the machine", partial(look_machine, place.path, pid))
    store_ = (
        Look(
            _STORE, "the store", partial(look_store, place, isinstance(daemon, Blank) or bool(pid))
        )
        if os.path.exists(place.database)
        else None
    )
    log_ = (
        Look(_FILES, "the log", partial(look_log, place.log)) if os.path.exists(place.log) else None
    )
    chain_ = _chain(place, config)
    ports_ = _ports(config, daemon)
    reach_ = _reach(place, daemon)
    return Seen(
        home=home_.found(),
        config=config,
        keys=keys_.found(),
        daemon=daemon,
        store=_or(store_, "it is made by the first `assay up`"),
        blobs=blobs_.found(),
        machine=machine_.found(),
        versions=versions_.found(),
        workers=workers_.found(),
        encoders=encoders_.found(),
        ports=_or(ports_, "the settings or the daemon were not read"),
        reach=_or(reach_, "no daemon was asked"),
        chain=_or(chain_, "the settings name no chain node"),
        log=_or(log_, "the home has none; under systemd: journalctl --user -u assay"),
    )


def _chain(place: Home, config: Config | Blank) -> Look[ChainSeen] | None:
    if isinstance(config, Blank) or config.chain_url is None:
        return None
    try:
        account = public_account(place)
    except Exception:  # noqa: BLE001 -- the check of the keys tells; the chain is asked without it
        account = None
    return Look(_CHAIN, "the chain", partial(look_chain, config, account))


def _ports(config: Config | Blank, daemon: DaemonSeen | Blank) -> Look[tuple[PortSeen, ...]] | None:
    if isinstance(config, Blank) or isinstance(daemon, Blank):
        return None
    return Look(_PORTS, "a port", partial(look_ports, config, daemon))


def _reach(place: Home, daemon: DaemonSeen | Blank) -> Look[Reach] | None:
    if isinstance(daemon, Blank) or daemon.status is None:
        return None
    return Look(_REACH, "whoever was asked to dial back", partial(look_reach, place))


def _or(look: Look[T] | None, why: str) -> T | Blank:
    if look is None:
        return Blank(why, asked=False)
    return look.found()


def _nothing(why: str) -> Seen:
    """Without a home, what there is to see: the machine's programs."""
    none = Blank("there is no home", asked=False)
    versions_ = Look(_FILES, "versions", look_versions)
    workers_ = Look(_WORKERS, "a worker", look_workers)
    encoders_ = Look(_FILES, "encoders", look_encoders)
    found = versions_.found(), workers_.found(), encoders_.found()
    return Seen(Blank(why), none, none, none, none, none, none, *found, none, none, none, none)


def judge(seen: Seen) -> dict[str, Finding]:
    """Every check of what was seen, by name. A defect of one is its failure, and no other's."""
    found = {}
    for name, check in CHECKS.items():
        try:
            found[name] = check(seen)
        except Exception as error:  # noqa: BLE001 -- the other checks still count
            text = f"a defect in this check, please report it: {words(error)}"
            found[name] = failure(text, "assay doctor --bundle FILE")
    return found


def healthy(found: dict[str, Finding]) -> bool:
    """Whether no check failed."""
    return all(each.state is not State.FAILURE for each in found.values())
