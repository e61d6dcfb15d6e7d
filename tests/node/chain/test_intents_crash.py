"""A process that dies at any point between wanting and knowing leaves one transaction behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from kits.chain.devnet import CHAIN_ID, Devnet, LocalSigner
from kits.chain.purses import MINT, command, deploy_mock, read
from kits.paths import ROOT, TESTS

from node.chain.client import ChainClient
from node.chain.events import Posted


def run(
    where: str, shared: Devnet, contract: bytes, signer: LocalSigner, store: Path, *more: str
) -> subprocess.CompletedProcess[str]:
    """One process that posts, and dies where it is told to."""
    expiry = str(int(time.time()) // 86_400 * 86_400 + 2 * 86_400)  # the same for both processes
    command = [sys.executable, "-m", "kits.chain.intent_driver", shared.url, contract.hex()]
    return subprocess.run(
        [*command, str(store), expiry, where, str(signer.number), *more],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{TESTS}"},
        capture_output=True,
        text=True,
        timeout=60,  # it ends by itself at a point; its start is slow on a busy machine
    )


async def posted_by(shared: Devnet, contract: bytes, signer: LocalSigner) -> int:
    """How many jobs an account has on the chain."""
    client = await ChainClient.open(shared.url, CHAIN_ID, contract)
    events = await client.logs(0, shared.number)
    posted = [event.event for event in events if isinstance(event.event, Posted)]
    return [event.requester for event in posted].count(signer.account)


@pytest.mark.parametrize("where", ["signed", "stored", "sent", "mined", "final"])
async def test_killed_and_started_again_it_acts_once(
    where: str, shared: Devnet, contract: bytes, signer: LocalSigner, tmp_path: Path
) -> None:
    store = tmp_path / "store.sqlite"
    assert run(where, shared, contract, signer, store).returncode == -9
    again = run("", shared, contract, signer, store)
    assert again.stdout.strip() == "final", again.stderr
    assert shared.nonce(signer.account) == 1
    assert await posted_by(shared, contract, signer) == 1


@pytest.mark.parametrize(
    ("where", "at"),
    [
        ("mined", 1),
        ("stored", 2),
        *(
            pytest.param(where, at, marks=pytest.mark.ci)
            for where, at in (("signed", 1), ("sent", 1), ("signed", 2), ("sent", 2), ("mined", 2))
        ),
    ],
)
async def test_killed_between_approval_and_posting_it_does_each_once(
    where: str, at: int, shared: Devnet, contract: bytes, signer: LocalSigner, tmp_path: Path
) -> None:
    token = deploy_mock(shared, "permit_token_mock")
    command(shared, token, MINT, signer.account, 1_500)
    store, more = tmp_path / "store.sqlite", (token.hex(), str(at))
    assert run(where, shared, contract, signer, store, *more).returncode == -9
    again = run("", shared, contract, signer, store, *more)
    assert again.stdout.strip() == "final", again.stderr
    assert shared.nonce(signer.account) == 2
    assert await posted_by(shared, contract, signer) == 1
    assert read(shared, token, "approvals()") == 1
    assert read(shared, token, "allowance(address,address)", signer.account, contract) == 0
    assert read(shared, token, "balanceOf(address)", signer.account) == 0
