"""Checks of the daemon and of its way to others: socket, problems, ports, peers, reachability."""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from typing import Final

from node.control.shapes import Reach, Status
from node.doctor.checks.blanks import blank
from node.doctor.findings import Finding, State, count, failure, not_asked, ok, warning
from node.doctor.seen import Blank, Seen

_HOST: Final = re.compile(r"/(?:ip4|ip6)/([^/]+)/")
#: The beginning of an address or a join line: where it leads.
_PLACE: Final = re.compile(r"/(?:ip4|ip6)/[^/]+/tcp/[0-9]+(?=/p2p/)")
_UP: Final = "assay up"
#: Characters of what peers say, each of whom may say a page.
_MAX_TOLD: Final = 500


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
    """Others can dial this node: told by dials that arrived, and else by whoever was asked to."""
    found, reach = seen.daemon, seen.reach
    if isinstance(found, Blank) or found.status is None:
        return not_asked("reachability: no daemon was asked", _UP)
    if not isinstance(reach, Blank) and reach["verdict"] == "outside":
        text = f"reachable from outside at {_dialled(reach)}: {_through(reach)} dialled back"
        return Finding(State.OK, text, _line_of(found.status, reach))
    for each in found.peers:
        if each["direction"] == "in" and any(_outside(address) for address in each["addresses"]):
            return ok(f"a peer from outside dialled this node: {each['peer_id']}")
    listens = [match[1] for a in found.status["addresses"] if (match := _HOST.match(a))]
    if listens and all(_loopback(host) for host in listens):
        text = "this node listens on loopback alone: no other machine can dial it"
        return warning(text, "set network.listen in config.toml, if others should")
    if isinstance(reach, Blank):
        return not_asked(f"reachability: {reach.why}", _line(found.status))
    return _unproven(seen, found.status, reach)


def _unproven(seen: Seen, status: Status, reach: Reach) -> Finding:
    """Nobody from outside got through: what whoever was asked says."""
    if reach["verdict"] == "near":
        text = f"reachability: {_through(reach)} dialled back, from this network alone; nobody"
        return not_asked(f"{text} from outside was there to try", _line(status))
    if reach["verdict"] == "unreached":
        port = next(each["port"] for each in reach["asked"] if each["outcome"] == "no-answer")
        fix = f"forward port {port} of the router to this machine and let it through the firewall"
        listen = () if isinstance(seen.config, Blank) else seen.config.listen
        if any(each.endswith("/tcp/0") for each in listen):
            fix += ", with a fixed port in network.listen"
        return warning(
            f"no answer at {_dialled(reach)}: {_through(reach)} got through; this node takes part "
            "by connections that it opens, which is enough for an owner and not for a requester",
            f"{fix} (docs/guides/operations.md, Behind a router)",
        )
    if not reach["asked"]:
        return not_asked("reachability: no peer is connected that could be asked", _line(status))
    whys = list(dict.fromkeys(each["why"] for each in reach["asked"]))
    asked = count(len(reach["asked"]), "peer", "was asked", "were asked")
    text = f"reachability: {asked}, which tells nothing yet"
    told = "; ".join(whys)[:_MAX_TOLD]
    return Finding(State.NOT_ASKED, text, "assay doctor, in half a minute", told)


def _line_of(status: Status, reach: Reach) -> str:
    """The line to give to others, where peers dialled another address than this node says it has:
    behind a router its records name none that leads here."""
    host, port = _place(reach)
    own = [match[1] for a in status["addresses"] if (match := _HOST.match(a))]
    line = status["join_line"]
    if not host or host in own or not _PLACE.match(line):
        return ""
    kind = "ip6" if ":" in host else "ip4"
    place = f"/{kind}/{host}/tcp/{port}"
    return f'set network.announce to ["{place}"], or give others this line: ' + (
        f"assay join '{_PLACE.sub(place, line)}'"
    )


def _line(status: Status) -> str:
    return f"give this line to somebody outside: assay join '{status['join_line']}'"


def _dialled(reach: Reach) -> str:
    """Where peers dialled, in words."""
    host, port = _place(reach)
    return f"{host}, port {port}" if host else "its own address"


def _place(reach: Reach) -> tuple[str, int]:
    """Where peers dialled, by the word of most: those who got through, or else those who tried."""
    best = (
        "dialled" if any(each["outcome"] == "dialled" for each in reach["asked"]) else "no-answer"
    )
    told = Counter(
        (each["told"], each["port"] or 0)
        for each in reach["asked"]
        if each["outcome"] == best and each["told"]
    )
    return told.most_common(1)[0][0] if told else ("", 0)


def _through(reach: Reach) -> str:
    """How many got through of those who tried, or say so."""
    outcomes = [each["outcome"] for each in reach["asked"]]
    tried = sum(each in ("dialled", "no-answer", "claimed") for each in outcomes)
    return f"{outcomes.count('dialled')} of {count(tried, 'peer')}"


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
