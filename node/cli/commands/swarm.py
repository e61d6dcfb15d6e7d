"""peers and join: who else is there."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

from cyclopts import Parameter

from node.cli import views
from node.cli.options import Here
from node.console.client import NoDaemon
from node.console.failure import Failure
from node.console.session import Session
from node.control import joinline
from node.control.codes import Exit


def peers(*, session: Here) -> int:
    """Connected peers."""
    found = session.call("peers")
    session.emit(found, views.peers(found))
    return Exit.OK


def join(
    line: Annotated[str, Parameter(help="The line that another node's `assay up` printed.")],
    *,
    session: Here,
) -> int:
    """Join a swarm by the line that one of its nodes printed; remembered over restarts.

    A line for another chain or contract than this home's is refused. Without a running daemon the
    line is stored, and used by the next `assay up`.
    """
    try:
        parsed = joinline.parse(line)
    except ValueError as error:
        raise Failure(Exit.USAGE, str(error), field="line") from None
    try:
        client = session.connect()
    except NoDaemon:
        return _store(session, parsed)
    with client:
        chain = client.call("status")["chain"]
        _refuse_other(parsed, chain["chain_id"], chain["contract"])
        given = {"address": parsed.address}
        if parsed.channels is not None:
            given["channels"] = parsed.channels
        joined = client.call("join", given)
    text = f"joined {joined['peer_id']}; {joined['peers']} peers connected"
    later = "the line's channel contract is stored; to buy and sell: assay down, then assay up"
    session.emit({**joined, "connected": True}, [text, later][: 1 + joined["restart"]])
    return Exit.OK


def _refuse_other(
    line: joinline.JoinLine, chain_id: int, contract: str, channels: str | None = None
) -> None:
    if why := joinline.differs(line, chain_id, contract, channels):
        raise Failure(
            Exit.REFUSED,
            f"{why}; one home serves one contract on one chain",
            next_="assay --home OTHER init LINE",
            field="line",
        )


def _store(session: Session, line: joinline.JoinLine) -> int:
    from node.home.config import load_config, parse_contract, save_config

    home = session.home
    config = load_config(home)
    changes: dict[str, Any] = {}
    if line.chain_id is not None and line.contract is not None:
        have = "" if config.contract is None else "0x" + config.contract.hex()
        sells = config.channel_contract
        channels = None if sells is None else "0x" + sells.hex()
        _refuse_other(line, config.chain_id or line.chain_id, have or line.contract, channels)
        changes = {"chain_id": line.chain_id, "contract": parse_contract(line.contract, "line")}
        if line.channels is not None:
            changes["channel_contract"] = parse_contract(line.channels, "line")
    if line.address not in config.bootstrap:
        changes["bootstrap"] = (*config.bootstrap, line.address)
    with home.lock():  # a daemon that starts right now reads the old file or the new one
        save_config(home, dataclasses.replace(config, **changes))
    result = {"peer_id": line.peer_id, "address": line.address, "connected": False}
    session.emit(result, ["stored: no daemon runs here; the next `assay up` joins"])
    return Exit.OK
