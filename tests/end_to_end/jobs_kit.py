"""Posting the small job to a swarm, following it, and what must hold once it is over."""

from __future__ import annotations

import sqlite3
from collections import Counter
from typing import Any

import clouds
import trio
from processes import Daemon, Swarm, until

from node.chain import events

_OVER = ("finished", "failed", "cancelled", "expired", "declined")


def add_data(swarm: Swarm, owners: list[Daemon] | None = None) -> None:
    """Give every owner its part, and a policy that takes any job."""
    for number, owner in enumerate(swarm.owners if owners is None else owners):
        path = clouds.write_csv(swarm.folder / f"{owner.home.path.name}.csv", seed=100 + number)
        owner.call("data.add", name="clouds", path=str(path))
        changes = {"accept": "auto", "no_noise": True}
        owner.call("policy.set", dataset="clouds", changes=changes)
    swarm.requester.call(
        "data.add",
        name="holdout",
        path=str(clouds.write_csv(swarm.folder / "holdout.csv", seed=99, rows=200)),
    )


def post(swarm: Swarm, **terms: int) -> str:
    """Post the job; its id."""
    return str(
        swarm.requester.call("job.post", spec=clouds.spec(**terms), holdout="holdout")["job"]
    )


def stored(daemon: Daemon, query: str, *values: Any) -> list[Any]:
    """Rows of a node's store, read beside the running daemon."""
    path = daemon.home.database
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)
    try:
        return connection.execute(query, values).fetchall()
    finally:
        connection.close()


def intents(swarm: Swarm, job: str, function: str) -> list[str]:
    """The states of a job's intents of one kind at its requester; of all jobs for '0x'."""
    rows = stored(
        swarm.requester,
        "SELECT state FROM intents WHERE id LIKE ? ORDER BY seq",
        f"{job[2:]}%/{function}/%",
    )
    return [state for (state,) in rows]


def phases(daemon: Daemon, job: str) -> list[tuple[int, int, str]]:
    """Round, attempt and phase of everything that a node's machine of a job has been through."""
    rows = stored(
        daemon,
        "SELECT json_extract(json, '$.round'), json_extract(json, '$.attempt'),"
        " json_extract(json, '$.text') FROM events WHERE job = ? AND kind = 'phase' ORDER BY id",
        bytes.fromhex(job[2:]),
    )
    return [(int(r), int(a), str(p)) for r, a, p in rows]


async def reaches(daemon: Daemon, job: str, round_: int, phase: str, seconds: float = 60) -> None:
    """Wait until a node's machine has come into a phase of a round."""

    def there() -> bool:
        return any((r, p) == (round_, phase) for r, _, p in phases(daemon, job))

    await until(there, seconds, f"{daemon.home.path.name} reaches {phase} of round {round_}")


async def ends(swarm: Swarm, job: str, seconds: float) -> Any:
    """Wait until the job is over for its requester; what it then shows."""
    await until(
        lambda: swarm.requester.state(job) in _OVER,
        seconds,
        "the job ends",
    )
    return swarm.requester.show(job)


async def holds(swarm: Swarm, job: str, rounds: int) -> None:
    """Everything that must be true of a job that ended well: work, money, chain, audit."""
    shown = swarm.requester.show(job)
    assert shown["summary"]["state"] == "finished", shown["summary"]
    assert shown["summary"]["round"] == rounds
    assert [r["contributors"] for r in shown["rounds"]] == [5] * rounds
    assert shown["rounds"][-1]["accuracy"] > 0.9
    paid_in_full(swarm, job)
    await once_on_chain(swarm, job, rounds)
    for owner in swarm.owners:
        await until(lambda o=owner: o.state(job) == "finished", 30, "the owner saw its pay")


def paid_in_full(swarm: Swarm, job: str) -> None:
    """Money in is money out, what was earned is paid, and the audit finds no fault."""
    shown = swarm.requester.show(job)
    money = {name: int(value) for name, value in shown["money"].items()}
    assert money["escrowed"] == money["paid"] + money["returned"]
    assert money["earned"] == money["paid"]
    audit = swarm.requester.call("audit", job=job)
    assert audit["ok"], audit


async def once_on_chain(swarm: Swarm, job: str, rounds: int) -> None:
    """Every intent is on the chain exactly once, and nothing else was ever sent."""
    said = await swarm.chain.events(swarm.contract, bytes.fromhex(job[2:]))
    kinds = Counter(type(each.event) for each in said)
    assert kinds == Counter(
        {
            events.Posted: 1,
            events.Enrolled: 1,
            events.Committed: rounds,
            events.Finished: 1,
            events.Claimed: 5,
        }
    )
    rounds_said = [e.event.round for e in said if isinstance(e.event, events.Committed)]
    assert rounds_said == list(range(rounds))
    paid = {e.event.account for e in said if isinstance(e.event, events.Claimed)}
    assert paid == set(swarm.accounts.values())
    sent = swarm.chain.sent_by(swarm.account)
    assert [int(t["nonce"], 16) for t in sent] == list(range(len(sent)))
    hashes = {e.tx_hash for e in said}
    assert len(hashes) == len(said), "two events of one transaction"
    settled = stored(
        swarm.requester,
        "SELECT id, state, tx_hash FROM intents WHERE id LIKE ?",
        f"{job[2:]}/%",
    )
    assert {state for _, state, _ in settled} == {"final"}, settled
    assert {tx for _, _, tx in settled} == hashes
    # The deployment aside, each transaction of the account is the one of an intent.
    every = {tx for (tx,) in stored(swarm.requester, "SELECT tx_hash FROM intents") if tx}
    assert {bytes.fromhex(t["hash"][2:]) for t in sent[1:]} == every
    assert len(sent) - 1 == len(every)


def start(swarm: Swarm) -> Swarm:
    """Start a swarm and give its owners data, for a module's tests."""
    try:
        trio.run(swarm.start)
        add_data(swarm)
    except BaseException:
        report = "\n".join(f"--- {name}\n{tail}" for name, tail in swarm.tails())
        swarm.destroy()
        print(report)
        raise
    return swarm
