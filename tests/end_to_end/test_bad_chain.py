"""Daemons on a chain that is down, slow, another one, or without the contract."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio
from kits.daemons.chain_proxy import Proxy
from kits.daemons.clouds import spec
from kits.daemons.processes import CHAIN_ID, START_SECONDS, Chain, Daemon, run, until

from node.chain.client import ChainClient
from node.chain.deploy import deploy
from node.home.config import Config, save_config
from node.home.keys import Keys

pytestmark = pytest.mark.waits(120)

#: What each daemon must say of its chain, and whoever asks it to post a job.
WORDS = {
    "down": "is unreachable",
    "slow": "did not answer eth_chainId within",
    "other": f"serves chain id {CHAIN_ID}, expected 1",
    "empty": f"has no contract at 0x{'11' * 20}",
}


@dataclass
class World:
    """One chain and a daemon for each way in which it can be bad."""

    chain: Chain
    daemons: dict[str, Daemon]
    proxies: dict[str, Proxy]
    accounts: dict[str, bytes]

    def destroy(self) -> None:
        for process in (*self.daemons.values(), self.chain):
            process.destroy()
        for proxy in self.proxies.values():
            proxy.close()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("chains")
    daemons = {name: Daemon(folder / name) for name in WORDS}
    keys = {name: daemon.make(Config()) for name, daemon in daemons.items()}
    accounts = {name: each.account for name, each in keys.items()}
    chain = Chain(folder, accounts.values())
    proxies = {mode: Proxy(chain.url, mode) for mode in ("down", "slow")}
    world = World(chain, daemons, proxies, accounts)
    try:
        trio.run(start, world, keys["down"])
        yield world
    finally:
        world.destroy()


async def start(world: World, deployer: Keys) -> None:
    world.chain.launch()
    await until(world.chain.answers, START_SECONDS, "the chain answers")
    client = await ChainClient.open(world.chain.url, CHAIN_ID, None)
    try:
        contract = await deploy(client, deployer, "bounty")
    finally:
        client.close()
    for name, daemon in world.daemons.items():
        url = world.proxies[name].url if name in world.proxies else world.chain.url
        config = Config(
            listen=("/ip4/127.0.0.1/tcp/0",),
            chain_url=url,
            chain_id=1 if name == "other" else CHAIN_ID,
            contract=bytes([0x11]) * 20 if name == "empty" else contract,
            finality=1,
        )
        save_config(daemon.home, config)
        daemon.launch()
    for name, daemon in world.daemons.items():
        await until(daemon.answers, START_SECONDS, f"{name} answers")


@pytest.mark.parametrize("name", WORDS)
async def test_it_runs_says_what_is_wrong_and_posts_nothing(
    world: World, name: str, tmp_path: Path
) -> None:
    daemon = world.daemons[name]
    await until(lambda: WORDS[name] in daemon.call("status")["chain"]["problem"], 40, "it says so")
    status = daemon.call("status")
    assert status["problems"] == [status["chain"]["problem"]]
    assert not status["chain"]["reachable"]
    file = tmp_path / "job.toml"
    file.write_text(spec())
    home = str(daemon.home.path)
    posted = await trio.to_thread.run_sync(
        run, "--home", home, "--json", "job", "post", str(file), "--yes"
    )
    assert posted.returncode == 4, posted
    assert WORDS[name] in json.loads(posted.stderr)["error"]["message"]
    assert daemon.call("jobs") == []
    sent = world.chain.sent_by(world.accounts[name])
    assert len(sent) == (1 if name == "down" else 0)  # the contract's deployment alone


@pytest.mark.parametrize("name", ["down", "slow"])
async def test_it_goes_on_by_itself_once_the_chain_is_back(world: World, name: str) -> None:
    daemon = world.daemons[name]
    world.proxies[name].mend()
    await until(lambda: daemon.call("status")["problems"] == [], 40, "the chain is followed")
    posted = daemon.call("job.post", spec=spec(), holdout=None)
    await until(lambda: daemon.state(posted["job"]) == "enrolling", 30, "the job is posted")


async def test_another_endpoint_carries_it_and_the_first_is_named(
    world: World, tmp_path: Path
) -> None:
    """`chain.urls`, from the file to the status: it posts a job though the first node is gone."""
    daemon, gone = Daemon(tmp_path / "spare"), Proxy(world.chain.url, "down")
    account = daemon.make(Config()).account
    owned = ("0x" + account.hex(), "latest")
    world.chain.rpc("assay_fund", owned[0], hex(10**18))
    await until(lambda: int(world.chain.rpc("eth_getBalance", *owned), 16), 10, "it has ether")
    known = world.daemons["slow"].call("status")["chain"]
    config = Config(
        listen=("/ip4/127.0.0.1/tcp/0",),
        chain_url=gone.url,
        chain_urls=(world.chain.url,),
        chain_id=CHAIN_ID,
        contract=bytes.fromhex(known["contract"][2:]),
        finality=1,
    )
    save_config(daemon.home, config)
    try:
        await daemon.start()
        await until(lambda: daemon.call("status")["chain"]["reachable"], 40, "it is followed")
        posted = daemon.call("job.post", spec=spec(), holdout=None)
        await until(lambda: daemon.state(posted["job"]) == "enrolling", 30, "it is on the chain")
        status = daemon.call("status")
    finally:
        daemon.destroy()
        gone.close()
    assert status["chain"]["url"] == world.chain.url
    assert len(status["problems"]) == 1
    assert f"chain node {gone.url} is unreachable" in status["problems"][0]
