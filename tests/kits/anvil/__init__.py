"""anvil, the chain of Foundry, beside real daemons: another program's pool, fees and blocks.

It comes from npm by the lock that stands here: its version, and the SHA-512 of each file.
"""

from __future__ import annotations

import functools
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from kits.daemons.processes import CHAIN_ID, ETHER, Chain, Swarm

_LOCK = Path(__file__).parent
_INSTALL_SECONDS = 300.0


@functools.cache
def program() -> Path:
    """Where anvil is; skips the test on a machine without npm."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("anvil comes from npm, which is not here")
    place = Path(tempfile.mkdtemp(prefix="assay-anvil-"))
    for name in ("package.json", "package-lock.json"):
        shutil.copy(_LOCK / name, place)
    # No scripts of packages run: the program is one file of the package for this system.
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    subprocess.run(command, cwd=place, check=True, capture_output=True, timeout=_INSTALL_SECONDS)
    (found,) = place.glob("node_modules/@foundry-rs/anvil-*/bin/anvil*")
    return found


class Anvil(Chain):
    """anvil on a port of its own, a block every `interval` seconds."""

    def __init__(self, folder: Path, fund: Iterable[bytes], interval: int = 1) -> None:
        super().__init__(folder, ())
        self._command = [
            str(program()),
            "--silent",
            f"--port={self.port}",
            f"--chain-id={CHAIN_ID}",
            f"--block-time={interval}",
        ]
        self._funds = list(fund)

    def answers(self) -> bool:
        if not super().answers():
            return False
        for account in self._funds:
            self.rpc("anvil_setBalance", "0x" + account.hex(), hex(100 * ETHER))
        self._funds = []
        return True

    @property
    def height(self) -> int:
        return int(self.rpc("eth_blockNumber"), 16)

    def reorganise(self, depth: int) -> None:
        """Other blocks in the place of the last ones, without what stood in them."""
        self.rpc("anvil_reorg", depth, [])

    def base_fee(self, gwei: int) -> None:
        """Of the next block; it falls by an eighth with each empty one."""
        self.rpc("anvil_setNextBlockBaseFeePerGas", hex(gwei * 10**9))

    def block_every(self, seconds: int) -> None:
        self.rpc("evm_setIntervalMining", seconds)


class AnvilSwarm(Swarm):
    """A swarm on anvil."""

    chain: Anvil

    def __init__(self, folder: Path, owners: int, **terms: Any) -> None:
        super().__init__(folder, owners)
        self.processes.remove(self.chain)
        self.chain = Anvil(folder, [self.account], **terms)
        self.processes.append(self.chain)
