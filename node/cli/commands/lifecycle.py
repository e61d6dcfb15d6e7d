"""init, up, down, status: the daemon's life."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter

from node.cli import views
from node.cli.options import Here
from node.console.failure import Failure
from node.console.show import Pairs
from node.control import joinline
from node.control.codes import Exit

if TYPE_CHECKING:
    from node.home.config import Config
    from node.home.home import Home

#: How often a starting or draining daemon is looked at, seconds.
_POLL_SECONDS: Final = 0.05


def init(
    line: Annotated[str, Parameter(help="A line that another node's `assay up` printed.")] = "",
    *,
    session: Here,
    chain_url: Annotated[str | None, Parameter(help="Ethereum JSON-RPC endpoint.")] = None,
    chain_id: Annotated[int | None, Parameter(help="The chain's id.")] = None,
    contract: Annotated[str | None, Parameter(help="The bounty contract's address.")] = None,
    channel_contract: Annotated[
        str | None, Parameter(help="The address of the contract that pays for predictions.")
    ] = None,
    listen: Annotated[
        tuple[str, ...], Parameter(help="Where to listen: /ip4/0.0.0.0/tcp/PORT; 0: any free port.")
    ] = (),
    finality: Annotated[
        int | None, Parameter(help="Blocks on top of an event before the node acts on it.")
    ] = None,
) -> int:
    """Make a home: its directory, config.toml and keys.

    With a join line, the new home gets its chain id, contract and first peer from it.
    Set ASSAY_PASSPHRASE_FILE to a file with a passphrase, and the keys are sealed by it; without
    one, the daemon starts unattended, and the keys are as safe as the directory.
    """
    from node.home.config import Config, init_home, parse_contract
    from node.home.keys import Keys
    from node.home.vault import read_passphrase
    from protocol.addresses import to_checksum

    parsed = _parse_line(line) if line else None
    if parsed and parsed.chain_id is not None and parsed.contract is not None:
        chain_id = parsed.chain_id if chain_id is None else chain_id
        contract = parsed.contract if contract is None else contract
        channel_contract = channel_contract or parsed.channels
        if why := joinline.differs(parsed, chain_id, contract, channel_contract):
            raise Failure(Exit.USAGE, f"{why} (by the options given)", field="line")
    config = Config(
        bootstrap=(parsed.address,) if parsed else (),
        chain_url=chain_url,
        chain_id=chain_id,
        contract=None if contract is None else parse_contract(contract, "contract"),
        channel_contract=(
            None
            if channel_contract is None
            else parse_contract(channel_contract, "channel_contract")
        ),
    )
    if listen:
        config = dataclasses.replace(config, listen=listen)
    if finality is not None:
        config = dataclasses.replace(config, finality=finality)
    passphrase = read_passphrase()
    home = session.home
    init_home(home, config)
    keys = Keys.create(home, passphrase)
    account = to_checksum(keys.account)
    result = {
        "home": str(home.path),
        "account": account,
        "config": str(home.config),
        "sealed": passphrase is not None,
    }
    rows = [
        ("home", str(home.path)),
        ("account", account),
        ("keys", "sealed by your passphrase" if passphrase else "open to whoever reads the home"),
        ("next", _next_step(config, home)),
    ]
    session.emit(result, [Pairs(rows)])
    return Exit.OK


def _next_step(config: Config, home: Home) -> str:
    joining = "assay join, with the line that another node prints"
    if config.chain_url is None:
        then = "" if config.contract else f"{joining}; then: "
        return f"set chain.url in {home.config}; then: {then}assay up"
    if config.contract is None:
        return f"{joining}, or assay deploy for a network of your own; then: assay up"
    return "assay up"


def _parse_line(text: str) -> joinline.JoinLine:
    try:
        return joinline.parse(text)
    except ValueError as error:
        raise Failure(Exit.USAGE, str(error), field="line") from None


def up(
    *,
    session: Here,
    background: Annotated[bool, Parameter(help="Return once the daemon answers.")] = False,
    wait: Annotated[float, Parameter(help="With --background: seconds to wait for it.")] = 60.0,
) -> int:
    """Run the daemon of this home, here or in the background.

    Prints the line that others paste into `assay join`. Ctrl-C or `assay down` drains and ends it.
    """
    from node.cli import starting

    if background:
        home = session.home
        starting.check_free(home)
        found = starting.run_detached(home, session.debug, wait)
        session.emit(
            {"pid": found["pid"], "join": found["join_line"], "log": str(home.log)},
            [
                f"running, process {found['pid']}; log: {home.log}",
                *starting.join_parts(found["join_line"]),
            ],
        )
        return Exit.OK
    return starting.run_here(session)


def down(
    *,
    session: Here,
    wait: Annotated[float, Parameter(help="Seconds to wait for the end.")] = 60.0,
) -> int:
    """Drain and end the daemon. Jobs go on when it starts again."""
    from node.home.home import running_process

    home = session.home
    stopping = session.call("stop")
    deadline = time.monotonic() + wait
    while running_process(home) == stopping["pid"]:
        if time.monotonic() > deadline:
            text = f"process {stopping['pid']} still drains after {wait:g} s"
            raise Failure(Exit.NO_DAEMON, text, next_=f"kill {stopping['pid']}")
        time.sleep(_POLL_SECONDS)
    jobs = stopping["jobs_running"]
    tail = f"; {jobs} running jobs go on at the next `assay up`" if jobs else ""
    session.emit(stopping, [f"process {stopping['pid']} ended{tail}"])
    return Exit.OK


def pause(*, session: Here) -> int:
    """Take no job and begin no attempt until `assay resume`.

    An attempt that has begun is finished, shares that are owed are released, and pay comes as ever.
    The pause holds over restarts. Jobs that run go on without this node, if they can.
    """
    found = session.call("pause")
    tail = f"; {found['jobs_running']} running jobs go on without it" * bool(found["jobs_running"])
    session.emit(found, [f"paused{tail}", "go on: assay resume"])
    return Exit.OK


def resume(*, session: Here) -> int:
    """Take jobs and begin attempts again, after `assay pause`."""
    found = session.call("resume")
    session.emit(found, ["resumed" + (f", but {found['closed']}" if found["closed"] else "")])
    return Exit.OK


def status(*, session: Here) -> int:
    """The daemon at a glance: addresses, chain, jobs, what is wrong. Never waits for its work."""
    found = session.call("status", timeout=10.0)
    session.emit(found, views.status(found))
    return Exit.OK
