"""Checks of the daemon and of its way to others: socket, problems, ports, peers, reachability."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

from node.doctor.checks.blanks import blank
from node.doctor.findings import Finding, count, failure, not_asked, ok, warning
from node.doctor.seen import Blank, Seen

_HOST: Final = re.compile(r"/(?:ip4|ip6)/([^/]+)/")
_UP: Final = "assay up"


def daemon(seen: Seen) -> Finding:
    """A daemon runs and answers."""
    found = seen.daemon
    if isinstance(found, Blank):
        return blank("the daemon", found, _UP)
    if found.pid is None:
        return warning("no daemon runs on this home", _UP)
    if found.status is None:
        fix = f"wait if it starts or ends; otherwise: kill {found.pid}, then: {_UP}"
        return failure(f"process {found.pid} holds the home and does not answer: {found.why}", fix)
    return ok(f"the daemon answers, process {found.pid}")


def problems(seen: Seen) -> Finding:
    """The daemon knows of nothing that is wrong."""
    found = seen.daemon
    if isinstance(found, Blank) or found.status is None:
        return not_asked("problems: no daemon was asked", _UP)
    told = found.status["problems"]
    if told:
        more = f" ({len(told) - 1} more)" if len(told) > 1 else ""
        return failure(f"the daemon knows of a problem{more}", "assay status", told[0])
    return ok("the daemon knows of no problem")


def ports(seen: Seen) -> Finding:
    """Addresses that are listened on can be had, or answer."""
    found = seen.ports
    if isinstance(found, Blank):
        return blank("ports", found, "edit network.listen in config.toml")
    running = not isinstance(seen.daemon, Blank) and seen.daemon.pid is not None
    wrong = [each for each in found if each.why]
    if wrong:
        verb = "does not answer" if running else "cannot be listened on"
        fix = "assay down, then: assay up" if running else "set network.listen in config.toml"
        return failure(f"{wrong[0].address} {verb}: {wrong[0].why}", fix)
    if not found:
        return not_asked("ports: the daemon did not say where it listens")
    verb = "answers" if running else "is free"
    return ok(f"{found[0].address} {verb}" + (f", {len(found) - 1} more" if found[1:] else ""))


def peers(seen: Seen) -> Finding:
    """Somebody is connected."""
    found = seen.daemon
    if isinstance(found, Blank) or found.status is None:
        return not_asked("peers: no daemon was asked", _UP)
    if not found.peers:
        fix = "assay join LINE, with a line that another's `assay up` printed"
        return warning("no peer is connected", fix)
    dialled = sum(each["direction"] == "in" for each in found.peers)
    return ok(f"{count(len(found.peers), 'peer')} connected, {dialled} of them dialled this node")


def reachability(seen: Seen) -> Finding:
    """Others can dial this node: told by whoever did, since nobody is asked to try."""
    found = seen.daemon
    if isinstance(found, Blank) or found.status is None:
        return not_asked("reachability: no daemon was asked", _UP)
    for each in found.peers:
        if each["direction"] == "in" and any(_outside(address) for address in each["addresses"]):
            return ok(f"a peer from outside dialled this node: {each['peer_id']}")
    fix = f"give this line to somebody else: assay join '{found.status['join_line']}'"
    listens = [match[1] for a in found.status["addresses"] if (match := _HOST.match(a))]
    if listens and all(_loopback(host) for host in listens):
        text = "this node listens on loopback alone: no other machine can dial it"
        return warning(text, "set network.listen in config.toml, if others should")
    return not_asked("reachability: nobody from outside has dialled this node yet", fix)


def _outside(address: str) -> bool:
    match = _HOST.match(address)
    try:
        return match is not None and ipaddress.ip_address(match[1]).is_global
    except ValueError:
        return False


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
