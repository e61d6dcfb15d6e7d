"""The demo's world: a chain, its contracts, and eight daemons that know each other, or nine.

Everything by commands, as eight people on eight machines would give them: `init`, `devnet`,
`deploy`, `up`, and `join` with the one line that the bystander's `up` printed.
"""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from node.console.failure import Failure
from node.control.codes import Exit
from node.demo.recipes.job import ETHER, OWNERS
from node.demo.screen import Screen
from node.demo.swarm.ledger import Ledger
from node.demo.swarm.processes import Child, Children, assay
from node.demo.swarm.user import User

CHAIN_ID: Final = 1337

#: What the requester starts with, and whoever buys predictions; nobody else has any ether.
FUND: Final = 10 * ETHER

#: Eight daemons that import their libraries at once keep two cores busy for half a minute.
_START_SECONDS: Final = 180.0
_PEERS_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.25

#: Short commands at once: as many as the cores that the demo is made for.
_PARALLEL: Final = 2


@dataclass
class World:
    """Who is there. `memory` is the most that each daemon was seen to hold, in bytes."""

    requester: User
    owners: list[User]
    bystander: User
    ledger: Ledger
    contract: str = ""
    channels: str = ""
    #: Who buys predictions, where somebody does.
    buyer: User | None = None
    join_line: str = ""
    daemons: dict[str, Child] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)

    @property
    def users(self) -> list[User]:
        others = () if self.buyer is None else (self.buyer,)
        return [self.requester, *self.owners, self.bystander, *others]

    def look(self) -> dict[str, int]:
        """Ask every daemon for its status: its peers, by name. Keeps the most memory seen."""
        peers = {}
        for user in self.users:
            status = user.ask("status")
            peers[user.name] = int(status["peers"])
            held = int(status["resident_bytes"])
            self.memory[user.name] = max(held, self.memory.get(user.name, 0))
        return peers


def build(folder: Path, children: Children, screen: Screen, *, sale: bool = False) -> World:
    """Start everything, and return once every daemon has a peer; with `sale`, somebody who will buy
    predictions too. Raises Failure."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    world = World(
        User("requester", folder),
        [User(f"owner-{number}", folder) for number in range(1, OWNERS + 1)],
        User("bystander", folder),
        Ledger(url),
        buyer=User("buyer", folder) if sale else None,
    )
    known = ("--chain-url", url, "--chain-id", str(CHAIN_ID), "--finality", "1")
    options = (*known, "--listen", "/ip4/127.0.0.1/tcp/0")

    screen.stage("a chain, and the contracts on it")
    requester = world.requester
    rich = [requester] if world.buyer is None else [requester, world.buyer]
    for user in rich:
        user.init(*options)
    funds = [part for user in rich for part in ("--fund", f"{user.account}={FUND} wei")]
    command = assay("devnet", "--port", str(port), *funds, "--json")
    chain = children.start("chain", command, folder / "chain.log")
    with ThreadPoolExecutor(_PARALLEL) as pool:
        homes = [pool.submit(owner.init, *options) for owner in world.owners]
        chain.line(_START_SECONDS)
        deployed = requester.command("deploy", "--yes")
        world.contract, world.channels = deployed["contract"], deployed["channel_contract"]
        for home in homes:
            home.result()
    screen.note(f"chain {CHAIN_ID} at {url}, a block a second; contract {world.contract}")

    beside = "" if world.buyer is None else ", a buyer"
    many = "eight" if world.buyer is None else "nine"
    screen.stage(f"{many} daemons: a requester, six owners, a bystander that only relays{beside}")
    bystander = world.bystander
    contracts = ("--contract", world.contract, "--channel-contract", world.channels)
    bystander.init(*options, *contracts)
    _up(world, bystander, children)
    world.join_line = str(world.daemons[bystander.name].line(_START_SECONDS)["join"])
    screen.note(f"assay join '{world.join_line}'")
    users = [user for user in world.users if user is not bystander]
    for user in users:
        # Stored, since no daemon runs on the home yet: it joins when it comes up.
        user.command("join", world.join_line)
        _up(world, user, children)
    for user in users:
        world.daemons[user.name].line(_START_SECONDS)
    _wait_for_peers(world)
    return world


def _up(world: World, user: User, children: Children) -> None:
    command = assay("up", "--home", str(user.home.path), "--json")
    world.daemons[user.name] = children.start(user.name, command, user.home.log)


def _wait_for_peers(world: World) -> None:
    deadline = time.monotonic() + _PEERS_SECONDS
    while alone := [name for name, peers in world.look().items() if not peers]:
        if time.monotonic() > deadline:
            text = f"{', '.join(alone)} found no peer within {_PEERS_SECONDS:g} s"
            raise Failure(Exit.PEER, text)
        time.sleep(_POLL_SECONDS)


def free_port() -> int:
    """A port that nobody uses now. The homes are told the chain's address before it runs."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
