"""Real daemons for tests: each an OS process with a home of its own, and a chain beside them.

Daemons are started as a user would (`assay up`, from this checkout), driven through their control
sockets alone, and killed for good at the end. Waiting is for conditions, bounded by deadlines.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import trio

from kits.daemons import forge
from kits.paths import ROOT
from node.chain.client import ChainClient
from node.chain.deploy import deploy
from node.chain.events import ChainEvent
from node.console.client import Client
from node.console.failure import Failure
from node.home.config import Config, init_home
from node.home.home import Home
from node.home.keys import Keys
from protocol.wire import identity

CHAIN_ID = 1337
ETHER = 10**18

#: Tests may start six daemons at once on two cores, beside other work.
START_SECONDS = 120.0
_POLL_SECONDS = 0.05
_TAIL_BYTES = 6_000


def assay(*arguments: str) -> list[str]:
    """The command line of `assay` from this checkout."""
    return [*forge.PROGRAM, *arguments]


def environment(site: Path | None = None) -> dict[str, str]:
    """This process' environment, without what would name another home or a passphrase.

    `site`: a folder whose sitecustomize.py Python runs before all else.
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith("ASSAY_")}
    folders = [ROOT] if site is None else [site, ROOT]
    return kept | {"PYTHONPATH": ":".join(str(folder) for folder in folders)}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """One command as a user gives it, to its end."""
    return subprocess.run(
        assay(*arguments),
        cwd="/",
        env=environment(),
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
    )


async def until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Poll a condition of other processes, which give no event. Raises AssertionError, late."""
    with trio.move_on_after(seconds):
        while not condition():  # noqa: ASYNC110 (the condition is another process')
            await trio.sleep(_POLL_SECONDS)
        return
    raise AssertionError(f"not within {seconds:g} s: {what}")


#: Below what systems give to outgoing connections, so that a daemon that is down for a moment finds
#: its port free again. Each worker of pytest has ports of its own.
_LOWEST_PORT, _PORTS_A_WORKER, _PORT_WORKERS = 16_000, 1_000, 16


def free_port() -> int:
    """A port that nobody listens on now, and nobody is given unasked."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _PORT_WORKERS
    first = _LOWEST_PORT + worker * _PORTS_A_WORKER
    for port in random.sample(range(first, first + _PORTS_A_WORKER), _PORTS_A_WORKER):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError(f"no port is free from {first} on")


class Process:
    """A child in a process group of its own, with its output in a file."""

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self._command = list(command)
        #: What this process runs first (see environment()), from its next start on.
        self.site: Path | None = None
        self._child: subprocess.Popen[bytes] | forge.Forged | None = None
        self.log = log

    @property
    def pid(self) -> int:
        assert self._child is not None, "it was never started"
        return self._child.pid

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    @property
    def exit_code(self) -> int | None:
        """How it ended; None while it runs."""
        return None if self._child is None else self._child.poll()

    def launch(self) -> None:
        """Start it; its output goes on at the end of the log."""
        assert not self.running, "it runs already"
        count = len(forge.PROGRAM)
        if tuple(self._command[:count]) == forge.PROGRAM and forge.POSSIBLE:
            environ = environment(self.site)
            self._child = forge.launch(self._command[count:], environ, self.log)
            return
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                self._command,
                cwd="/",
                env=environment(self.site),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def send(self, number: signal.Signals) -> None:
        """A signal to this one process, not to its workers."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL to this one process: what it leaves undone stays undone."""
        self.send(signal.SIGKILL)
        assert self._child is not None
        self._child.wait(10)

    def destroy(self) -> None:
        """The end of the whole group, however it is."""
        if self._child is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait(10)

    def tail(self) -> str:
        """The end of the log."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            return file.read().decode(errors="replace")


class Chain(Process):
    """`assay devnet` on a port of its own."""

    def __init__(self, folder: Path, fund: Iterable[bytes], block_time: float = 0.5) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        funded = [f"--fund=0x{account.hex()}=100 ether" for account in fund]
        options = [f"--port={self.port}", f"--chain-id={CHAIN_ID}", f"--block-time={block_time}"]
        command = assay("--home", str(folder / "nobody"), "devnet", *options, *funded)
        super().__init__(command, folder / "chain.log")

    def rpc(self, method: str, *params: Any) -> Any:
        """One question to the chain without assay's client."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        request = urllib.request.Request(  # noqa: S310 (loopback http, built above)
            self.url, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as reply:  # noqa: S310
            told = json.load(reply)
        if "error" in told:
            raise AssertionError(f"{method}: {told['error']}")
        return told["result"]

    def answers(self) -> bool:
        """Whether the chain serves requests."""
        assert self.running, f"the chain ended:\n{self.tail()}"
        with suppress(OSError):
            return bool(self.rpc("eth_chainId"))
        return False

    def sent_by(self, account: bytes) -> list[dict[str, Any]]:
        """Every mined transaction of an account, in the chain's order."""
        head = int(self.rpc("eth_blockNumber"), 16)
        blocks = (self.rpc("eth_getBlockByNumber", hex(n), True) for n in range(head + 1))
        sender = "0x" + account.hex()
        return [t for block in blocks for t in block["transactions"] if t["from"].lower() == sender]

    async def events(self, contract: bytes, job: bytes) -> list[ChainEvent]:
        """Everything that the contract said about a job."""
        client = await ChainClient.open(self.url, CHAIN_ID, contract)
        try:
            head = await client.head()
            return [e for e in await client.logs(0, head.number) if e.job == job]
        finally:
            client.close()


class Daemon(Process):
    """A node. Its home is made here, as `assay init` makes it; it is started by `assay up`."""

    def __init__(self, path: Path) -> None:
        self.home = Home(path)
        self._peer_id = b""
        super().__init__(assay("--home", str(path), "up"), path.parent / f"{path.name}.log")

    def make(self, config: Config) -> Keys:
        """Make the home and its keys."""
        init_home(self.home, config)
        keys = Keys.create(self.home)
        self._peer_id = _peer_id(keys)
        return keys

    @property
    def peer_id(self) -> bytes:
        """Its libp2p identity, as messages name it."""
        assert self._peer_id, "its keys were not made yet"
        return self._peer_id

    @contextmanager
    def client(self) -> Iterator[Client]:
        with Client(self.home.socket_path(), self.home.path) as client:
            yield client

    def call(self, method: str, **params: Any) -> Any:
        """One call of the control socket."""
        with self.client() as client:
            return client.call(method, params)

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """`assay` with this home, to its end."""
        return run("--home", str(self.home.path), *words)

    def answers(self) -> bool:
        """Whether the daemon that runs now serves its socket."""
        assert self.running, f"{self.home.path.name} ended:\n{self.tail()}"
        with suppress(Failure):
            return bool(self.call("status")["pid"] == self.pid)
        return False

    async def start(self) -> None:
        """`assay up`, until it answers."""
        self.launch()
        await until(self.answers, START_SECONDS, f"{self.home.path.name} answers")

    def workers(self) -> list[int]:
        """Process ids of its computing children."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        found = []
        for task in children.parent.parent.iterdir():
            with suppress(OSError):
                found += [int(pid) for pid in (task / "children").read_text().split()]
        return [pid for pid in found if b"spawn_main" in _command_line(pid)]

    def show(self, job: str) -> Any:
        return self.call("job.show", job=job)

    def state(self, job: str) -> str:
        return str(self.show(job)["summary"]["state"])

    def counts(self) -> tuple[int, ...]:
        """How much this node keeps: jobs, blobs, data sets."""
        blobs = sum(1 for path in self.home.blobs.iterdir() if path.is_file())
        return len(self.call("jobs")), blobs, len(self.call("data.list"))


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


class Swarm:
    """A chain with the contract, a requester at a fixed address, and owners that dial it."""

    def __init__(self, folder: Path, owners: int) -> None:
        self.folder = folder
        self.requester = Daemon(folder / "requester")
        self.owners = [Daemon(folder / f"owner{n}") for n in range(owners)]
        self.contract = b""
        #: Whether the channel contract stands beside the other; then its address.
        self.sells = False
        self.channels: bytes | None = None
        self.processes: list[Process] = [self.requester, *self.owners]
        self.accounts: dict[str, bytes] = {}
        #: Owners, by number, that see the chain through something else than its own URL.
        self.chain_urls: dict[int, str] = {}
        port = free_port()
        self._listen = f"/ip4/127.0.0.1/tcp/{port}"
        requester = self.requester.make(Config(listen=(self._listen,)))
        self.peer = identity.peer_id_text(_peer_id(requester))
        self.chain = Chain(folder, [requester.account])
        self.processes.append(self.chain)
        self._keys = requester

    @property
    def account(self) -> bytes:
        """The requester's account."""
        return self._keys.account

    @property
    def address(self) -> str:
        """Where the requester listens, over restarts."""
        return f"{self._listen}/p2p/{self.peer}"

    def config(self, **changes: Any) -> Config:
        """Settings of a node of this swarm; the requester is its first peer."""
        settings: dict[str, Any] = {
            "listen": ("/ip4/127.0.0.1/tcp/0",),
            "bootstrap": (self.address,),
            "chain_url": self.chain.url,
            "chain_id": CHAIN_ID,
            "contract": self.contract,
            "channel_contract": self.channels,
            "finality": 1,
        }
        return Config(**settings | changes)

    async def start(self) -> None:
        """Chain, contract, then every daemon at once."""
        await self.launch(self.requester, *self.owners)
        for owner in self.owners:
            await until(lambda o=owner: o.call("peers") != [], 30, "the owner is connected")

    async def launch(self, *daemons: Daemon) -> None:
        """Chain, contract, then these daemons at once."""
        self.chain.launch()
        await until(self.chain.answers, START_SECONDS, "the chain answers")
        client = await ChainClient.open(self.chain.url, CHAIN_ID, None)
        try:
            self.contract = await deploy(client, self._keys, "bounty")
            if self.sells:
                self.channels = await deploy(client, self._keys, "channel")
        finally:
            client.close()
        self._configure()
        for daemon in daemons:
            daemon.launch()
        for daemon in daemons:
            await until(daemon.answers, START_SECONDS, f"{daemon.home.path.name} answers")

    def _configure(self) -> None:
        from node.home.config import save_config

        requester = self.config(listen=(self._listen,), bootstrap=())
        save_config(self.requester.home, requester)
        for number, owner in enumerate(self.owners):
            url = self.chain_urls.get(number, self.chain.url)
            keys = owner.make(self.config(chain_url=url))
            self.accounts[owner.home.path.name] = keys.account

    def destroy(self) -> None:
        for process in self.processes:
            process.destroy()

    def tails(self) -> list[tuple[str, str]]:
        """The end of every log, for a failed test's report."""
        return [(process.log.name, process.tail()) for process in self.processes]


def _peer_id(keys: Keys) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    public = Ed25519PrivateKey.from_private_bytes(keys.peer_seed).public_key()
    return identity.peer_id(public.public_bytes_raw())
