"""Parts of libraries that nothing uses stay out of the daemon, and what is used works without."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from node.bounds.hollow import NotLoaded, without

#: A swarm of two that talk and a chain's codec, in a process of its own, as the daemon has them.
_SCRIPT = """
import json, os, sys
import trio
from node.chain.client import ChainClient
from node.net.swarm import SwarmConfig, open_swarm
from protocol.wire.verdict import Verdict

async def main():
    chain = await ChainClient.open("http://127.0.0.1:1", 1, bytes(20))
    chain.close()
    listen = ("/ip4/127.0.0.1/tcp/0",)
    async with open_swarm(SwarmConfig(listen, seed=os.urandom(32))) as one:
        join = tuple(one.addresses())
        async with open_swarm(SwarmConfig(listen, join, seed=os.urandom(32))) as two:
            inbox = await one.subscribe("/assay/a", lambda data, author: Verdict.ACCEPT)
            await two.subscribe("/assay/a", lambda data, author: Verdict.ACCEPT)
            await two.wait_topic("/assay/a", 1, 20)
            await two.publish("/assay/a", b"hello")
            with trio.fail_after(20):
                assert (await inbox.receive())[0] == b"hello"
            assert await one.probe()
            name = "/dns4/localhost" + join[0].removeprefix("/ip4/127.0.0.1")
            async with open_swarm(SwarmConfig(listen, (name,), seed=os.urandom(32))) as three:
                await three.wait_connected(1, 20)

trio.run(main)
import aiohttp
print(json.dumps({"loaded": sorted(sys.modules), "real": hasattr(aiohttp, "ClientSession")
    and not issubclass(aiohttp.ClientSession, Exception)}))
"""

_ABSENT = {
    *("aioquic", "ens", "httpx", "libp2p.kad_dht", "libp2p.transport.quic.transport"),
    *("numpy", "polars", "prometheus_client", "rich", "websockets", "zeroconf"),
}


def test_a_swarm_and_a_chain_work_without_what_they_never_use() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert not _ABSENT & set(found["loaded"])
    assert found["real"]  # whoever imports one of them afterwards gets it


def test_a_hollow_module_may_be_named_and_inherited_from_but_not_called() -> None:
    with without("assay_nowhere"):
        import assay_nowhere.deep  # type: ignore[import-not-found]
        from assay_nowhere import Thing

    class Child(Thing):  # type: ignore[misc]
        pass

    assert not isinstance(3, Thing)
    with pytest.raises(NotLoaded, match=r"assay_nowhere.Thing is not loaded"):
        Thing()
    with pytest.raises(NotLoaded):
        Child()
    with pytest.raises(NotLoaded, match=r"deep.Other.method"):
        assay_nowhere.deep.Other.method(1)
    with pytest.raises(ModuleNotFoundError), without("assay_elsewhere"):
        importlib.import_module("assay_nowhere.other")


def test_opening_keys_brings_in_nothing_that_the_chain_does_without(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from node.home.config import Config, init_home;"
        "from node.home.home import Home; from node.home.keys import Keys;"
        "from node.chain.library import UNUSED; home = Home(Path(sys.argv[1]));"
        "init_home(home, Config()); made = Keys.create(home, None).account;"
        "assert Keys.open(home, None).account == made;"
        "print([name for name in (*UNUSED, 'py_ecc.bls') if name in sys.modules and"
        " name != 'eth_keyfile'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "home")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
