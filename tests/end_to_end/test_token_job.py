"""A job in a six-decimal token, from `job check` to `assay send`, by commands alone."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
import trio
from kits.anvil import AnvilSwarm
from kits.chain.devnet import ETHER, SIGNERS
from kits.chain.purses import MINT, command, deploy_mock, read
from kits.daemons import clouds
from kits.daemons.jobs import TAKES_ALL, add_data
from kits.daemons.processes import Daemon, Swarm, run, until

from protocol.addresses import parse_address, to_checksum

pytestmark = pytest.mark.long

OWNERS, ROUNDS = 5, 2
RATE, MERIT = 250_000, 3_000_000
ESCROW = OWNERS * ROUNDS * RATE + MERIT
#: Keys of these lie elsewhere: a payout account, and whom an owner pays in the end.
VAULT, FRIEND = (to_checksum(bytes.fromhex(mark * 20)) for mark in ("a1", "b2"))


@pytest.fixture(params=["devnet", "anvil"])
async def swarm(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Swarm]:
    kind = Swarm if request.param == "devnet" else AnvilSwarm
    swarm = kind(tmp_path, OWNERS)
    try:
        await swarm.start()
        add_data(swarm)
        yield swarm
    finally:
        swarm.destroy()


def forge(file: Path) -> None:
    """Make one receipt say a unit more."""
    file.write_text(file.read_text().replace(f'"{RATE}"', f'"{RATE + 1}"', 1))


async def typed(daemon: Daemon, *words: str, code: int = 0) -> str:
    """One command on a node's home, to its end; what it printed."""
    ended = await trio.to_thread.run_sync(partial(run, "--home", str(daemon.home.path), *words))
    assert ended.returncode == code, (words, ended.stdout, ended.stderr)
    return ended.stdout


async def test_a_token_job_from_its_check_to_what_its_owner_sends(
    swarm: Swarm, tmp_path: Path
) -> None:
    chain, requester, owners = swarm.chain, swarm.requester, swarm.owners
    gives = "anvil_setBalance" if isinstance(swarm, AnvilSwarm) else "assay_fund"
    chain.rpc(gives, "0x" + SIGNERS[8].account.hex(), hex(ETHER))
    chain.rpc("evm_mine")
    token = await trio.to_thread.run_sync(deploy_mock, chain, "permit_token_mock")
    here = to_checksum(token)
    command(chain, token, MINT, swarm.account, ESCROW + 1_000_000)

    # Everybody calls the token by the name that it says.
    for daemon in (requester, owners[0], owners[1]):
        assert "TUSD is" in await typed(daemon, "token", "add", here, "--yes")
    asks = ("token=TUSD", "price_floor=0.2 TUSD")
    await typed(owners[0], "policy", "set", "clouds", *asks)
    await typed(owners[1], "policy", "set", "clouds", *asks, f"payout={VAULT}")
    for owner in owners[2:]:
        owner.call("policy.set", dataset="clouds", changes={**TAKES_ALL, "token": here})
    assert "0.2 TUSD" in await typed(owners[0], "policy", "show", "clouds")

    spec = tmp_path / "job.toml"
    ether = clouds.spec(rounds=ROUNDS, owners=OWNERS)
    pay = '[payment]\ntoken = "TUSD"\nrate = "0.25 TUSD"\nmerit = "3 TUSD"\n'
    pay += 'merit_by = "equal"\n\n[timing]'
    spec.write_text(re.sub(r"\[payment\].*\[timing\]", pay, ether, flags=re.DOTALL))
    checked = await typed(requester, "job", "check", str(spec))
    assert "5.5 TUSD" in checked
    assert "6.5 TUSD" in checked  # what the account holds
    assert "gas costs" in checked
    refused = await trio.to_thread.run_sync(
        partial(run, "--home", str(requester.home.path), "job", "post", str(spec))
    )
    assert (refused.returncode, "locks up 5.5 TUSD" in refused.stderr) == (6, True)
    posted = await typed(requester, "job", "post", str(spec), "--holdout", "holdout", "--yes")
    assert "escrowed 5.5 TUSD" in posted
    job = re.findall(r"posted (0x[0-9a-f]{64})", posted)[0]
    await typed(requester, "job", "watch", job)

    shown = await typed(requester, "job", "show", job)
    assert "5.5 TUSD" in shown
    assert re.search(r"gas +[0-9,]+, which cost about 0\.0", shown)
    assert "no fault found" in await typed(requester, "audit", job)
    for owner in owners:
        await until(lambda o=owner: o.state(job) == "finished", 60, "the owner saw its pay")
    account = json.loads(await typed(requester, "--json", "account"))
    [dollars] = [c for c in account["currencies"] if c["token"] == here]
    assert (int(dollars["balance"]), int(dollars["allowance"])) == (1_000_000, 0)
    spent = [t for t in chain.sent_by(swarm.account) if t["to"] == "0x" + token.hex()]
    assert spent == [], "a permit went along with the posting"

    # Pay of every round and an equal or measured share of merit; the second owner's lies elsewhere.
    earned = json.loads(await typed(owners[0], "--json", "earnings"))
    assert [(e["round"], e["due"], e["paid"]) for e in earned[:ROUNDS]] == [
        (n, str(RATE), str(RATE)) for n in range(ROUNDS)
    ]
    assert all(e["batch"] and e["transaction"] for e in earned[:ROUNDS])
    own = sum(int(e["paid"]) for e in earned)
    assert own == sum(int(e["due"]) for e in earned)
    assert read(chain, token, "balanceOf(address)", swarm.accounts["owner0"]) == own
    assert read(chain, token, "balanceOf(address)", parse_address(VAULT)) >= ROUNDS * RATE
    assert read(chain, token, "balanceOf(address)", swarm.accounts["owner1"]) == 0
    assert f"{VAULT}" in await typed(owners[1], "earnings", "--json")
    assert "0.25" in await typed(owners[0], "earnings", "--csv")
    file = str(tmp_path / "receipts.jsonl")
    await typed(owners[0], "receipts", "--out", file)
    holds = await typed(owners[0], "receipts", "--verify", file)
    assert to_checksum(swarm.accounts["owner0"]) in holds
    forge(Path(file))
    assert "FAULT" in await typed(owners[0], "receipts", "--verify", file, code=7)

    # What was earned is sent on, once its owner has ether for gas.
    to = to_checksum(swarm.accounts["owner0"])
    await typed(requester, "send", to, "0.05 ether", "--yes")
    sent = ("send", FRIEND, "0.4 TUSD", "--yes", "--id", "rent")
    for _ in range(2):
        assert f"sent 0.4 TUSD to {FRIEND}" in await typed(owners[0], *sent)
    assert read(chain, token, "balanceOf(address)", parse_address(FRIEND)) == 400_000
    left = await typed(owners[0], "account")
    assert f"{(own - 400_000) / 10**6:.6f}".rstrip("0") + " TUSD" in left
