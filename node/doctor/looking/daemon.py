"""Looks at the daemon through its control socket, and at the ports that it listens on."""

from __future__ import annotations

import errno
import os
import re
import socket
from collections.abc import Iterable
from typing import Final

from node.console.client import Client
from node.console.failure import Failure
from node.control.shapes import Reach
from node.doctor.looking.bounded import cut, words
from node.doctor.seen import DaemonSeen, PortSeen
from node.home.config import Config
from node.home.home import Home, running_process

#: Seconds for one call of the socket, and for one connection to a port.
CALL_SECONDS: Final = 8.0
PORT_SECONDS: Final = 3.0
#: For peers to dial back: the daemon gives them 20.
REACH_SECONDS: Final = 30.0
MAX_PORTS: Final = 16

_ADDRESS: Final = re.compile(r"/(ip4|ip6|dns|dns4|dns6)/([^/\s]+)/tcp/([0-9]{1,5})(?:/.*)?")
_ANY: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 -- read here, not bound


def look_daemon(home: Home) -> DaemonSeen:
    """Who holds the home, and what it says of itself. Raises OSError."""
    pid = running_process(home)
    if pid is None:
        return DaemonSeen(None)
    try:
        with Client(home.socket_path(), home.path, timeout=CALL_SECONDS) as client:
            return DaemonSeen(pid, client.call("status"), tuple(client.call("peers")))
    except Failure as failure:
        return DaemonSeen(pid, why=cut(str(failure)))


def look_reach(home: Home) -> Reach:
    """What the daemon's peers see of it: they dial it at its asking. Raises Failure."""
    with Client(home.socket_path(), home.path, timeout=REACH_SECONDS) as client:
        found: Reach = client.call("reach")
        return found


def look_ports(config: Config, daemon: DaemonSeen) -> tuple[PortSeen, ...]:
    """Each address: without a daemon whether it can be had, with one whether it answers."""
    if daemon.pid is None:
        return tuple(_free(address) for address in config.listen[:MAX_PORTS])
    if daemon.status is None:
        return ()
    told = daemon.status["addresses"]
    if config.announce:  # what others are told may lead here from outside alone
        told = [each for each in config.listen if not each.endswith("/tcp/0")]
    return tuple(_answers(address) for address in told[:MAX_PORTS])


def _free(address: str) -> PortSeen:
    for family, place in _resolved(address):
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            # As the daemon binds it: connections of before that linger are no hindrance.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(place)
                # Two may bind one port; one alone may listen.
                probe.listen(1)
            except OSError as error:
                taken = error.errno == errno.EADDRINUSE
                why = "another program listens there" if taken else _reason(error)
                return PortSeen(address, why)
            return PortSeen(address)
    return PortSeen(address, "its name leads to no address")


def _answers(address: str) -> PortSeen:
    for family, place in _resolved(address):
        host = _ANY.get(str(place[0]), str(place[0]))
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.settimeout(PORT_SECONDS)
            try:
                probe.connect((host, *place[1:]))
            except OSError as error:
                return PortSeen(address, _reason(error))
            return PortSeen(address)
    return PortSeen(address, "its name leads to no address")


def _reason(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else words(error)


def _resolved(address: str) -> Iterable[tuple[socket.AddressFamily, tuple[str | int | bytes, ...]]]:
    match = _ADDRESS.fullmatch(address)
    if match is None:
        return
    families = {"ip4": socket.AF_INET, "ip6": socket.AF_INET6}
    family = families.get(match[1], socket.AF_UNSPEC)
    try:
        found = socket.getaddrinfo(match[2], int(match[3]), family, socket.SOCK_STREAM)
    except (OSError, OverflowError, UnicodeError):
        return
    for kind, _, _, _, place in found[:1]:
        yield kind, tuple(place)
