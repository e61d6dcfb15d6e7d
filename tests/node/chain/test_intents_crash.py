"""A process that dies at any point between wanting and knowing leaves one transaction behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from kits.chain.devnet import CHAIN_ID, Devnet, LocalSigner
from kits.paths import ROOT, TESTS

from node.chain.client import ChainClient
from node.chain.events import Posted


@pytest.mark.parametrize("where", ["signed", "stored", "sent", "mined", "final"])
async def test_killed_and_started_again_it_acts_once(
    where: str, shared: Devnet, contract: bytes, signer: LocalSigner, tmp_path: Path
) -> None:
    expiry = str(int(time.time()) + 3600)

    def run(point: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "kits.chain.intent_driver", shared.url, contract.hex()]
        return subprocess.run(
            [*command, str(tmp_path / "store.sqlite"), expiry, point, str(signer.number)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": f"{ROOT}:{TESTS}"},
            capture_output=True,
            text=True,
            timeout=60,  # it ends by itself at a point; its start is slow on a busy machine
        )

    assert run(where).returncode == -9
    again = run("")
    assert again.stdout.strip() == "final", again.stderr
    assert shared.nonce(signer.account) == 1
    client = await ChainClient.open(shared.url, CHAIN_ID, contract)
    events = await client.logs(0, shared.number)
    posted = [event.event for event in events if isinstance(event.event, Posted)]
    assert [event.requester for event in posted].count(signer.account) == 1
