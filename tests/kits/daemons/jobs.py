"""Posting the small job to a swarm, following it, and what must hold once it is over."""

from __future__ import annotations

import sqlite3
from collections import Counter
from typing import Any

import trio

from kits.daemons import clouds
from kits.daemons.processes import Daemon, Swarm, until
from node.chain import events
from node.home.home import Home
from node.home.keys import ONCE_PREFIX, Keys
from node.store.blobs import BlobRef, Blobs
from node.work.tasks import model_of
from protocol.arith import kernels
from protocol.layout.packing import model_bytes
from protocol.owner.state import OwnerState
from protocol.requester.state import RequesterState
from protocol.spec.job import decode_spec
from protocol.wire.codec import decode
from protocol.wire.envelope import open_envelope
from protocol.wire.messages import Release
from protocol.wire.parts import Part, join

#: What an owner's policy says that takes any job, and stays with it while attempts fail.
TAKES_ALL = {
    "accept": "auto",
    "no_noise": True,
    "no_noise_jobs": 1000,
    "published_sums": True,
    "epsilon": 1000.0,
    "delta": 1e-5,
    "max_unpaid": 100,
}

_MAX_STATE = 1 << 20
_OVER = ("finished", "failed", "cancelled", "expired", "declined")


def add_data(swarm: Swarm, owners: list[Daemon] | None = None) -> None:
    """Give every owner its part, and a policy that takes any job."""
    for number, owner in enumerate(swarm.owners if owners is None else owners):
        path = clouds.write_csv(swarm.folder / f"{owner.home.path.name}.csv", seed=100 + number)
        owner.call("data.add", name="clouds", path=str(path))
        owner.call("policy.set", dataset="clouds", changes=TAKES_ALL)
    swarm.requester.call(
        "data.add",
        name="holdout",
        path=str(clouds.write_csv(swarm.folder / "holdout.csv", seed=99, rows=200)),
    )


def post(swarm: Swarm, **terms: Any) -> str:
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


def requester_state(swarm: Swarm, job: str) -> RequesterState:
    """What the requester's machine has stored: head and parts, by one statement, as they stand."""
    query = (
        "SELECT '', 0, state FROM machines WHERE kind = 'requester' AND key = ?1 UNION ALL"
        " SELECT field, place, body FROM machine_parts WHERE kind = 'requester' AND key = ?1"
    )
    (_, _, head), *rows = stored(swarm.requester, query, bytes.fromhex(job[2:]))
    return join(RequesterState, head, [Part(*row) for row in rows], _MAX_STATE)


def owner_state(owner: Daemon, job: str) -> OwnerState:
    """What an owner's machine has stored."""
    query = "SELECT state FROM machines WHERE kind = 'owner' AND key = ?"
    rows = stored(owner, query, bytes.fromhex(job[2:]))
    return decode(OwnerState, rows[0][0], _MAX_STATE)


def happened(daemon: Daemon, job: str, kind: str) -> list[tuple[int, int, str]]:
    """Round, attempt and text of a node's events of one kind, in their order."""
    rows = stored(
        daemon,
        "SELECT json_extract(json, '$.round'), json_extract(json, '$.attempt'),"
        " json_extract(json, '$.text') FROM events WHERE job = ? AND kind = ? ORDER BY id",
        bytes.fromhex(job[2:]),
        kind,
    )
    return [(int(r), int(a), str(text)) for r, a, text in rows]


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
    return happened(daemon, job, "phase")


async def reaches(daemon: Daemon, job: str, round_: int, phase: str, seconds: float = 60) -> None:
    """Wait until a node's machine has come into a phase of a round."""

    def there() -> bool:
        return any((r, p) == (round_, phase) for r, _, p in phases(daemon, job))

    await until(there, seconds, f"{daemon.home.path.name} reaches {phase} of round {round_}")


async def waits_because(owner: Daemon, job: str, words: str, seconds: float = 60) -> str:
    """Wait until a job waits for consent, for a reason with these words; the whole reason. A job
    waits before that too, for its owner's policies are still being asked."""
    seen: dict[str, Any] = {}

    def waits() -> bool:
        listed = [each for each in owner.call("jobs") if each["job"] == job]
        seen.update(listed[0] if listed else {"state": "unknown", "reason": ""})
        return seen["state"] == "waiting" and words in seen["reason"]

    name = owner.home.path.name
    await until(waits, seconds, f"{name} waits, because {words!r}")
    return str(seen["reason"])


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
    assert [r["contributors"] for r in shown["rounds"]] == [len(swarm.owners)] * rounds
    assert shown["rounds"][-1]["accuracy"] > 0.9
    # The books follow the chain a look behind the job's own state.
    await until(lambda: _balanced(swarm.requester.show(job)), 30, "the books have what was paid")
    paid_in_full(swarm, job)
    await once_on_chain(swarm, job, rounds)
    for owner in swarm.owners:
        await until(lambda o=owner: o.state(job) == "finished", 30, "the owner saw its pay")
        assert set(released_once(owner, job)) <= set(range(rounds))
        await until(lambda o=owner: not secrets_of(o, job), 20, "its secrets are destroyed")


def _balanced(shown: Any) -> bool:
    money = {
        name: int(shown["money"][name]) for name in ("escrowed", "paid", "returned", "awaited")
    }
    return money["escrowed"] == money["paid"] + money["returned"] + money["awaited"]


def paid_in_full(swarm: Swarm, job: str) -> None:
    """Money in is money out, what was earned is paid, and the audit finds no fault."""
    shown = swarm.requester.show(job)
    names = ("escrowed", "earned", "paid", "returned", "awaited")
    money = {name: int(shown["money"][name]) for name in names}
    assert money["escrowed"] == money["paid"] + money["returned"] + money["awaited"], money
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
            events.Paid: 1,
        }
    )
    rounds_said = [e.event.round for e in said if isinstance(e.event, events.Committed)]
    assert rounds_said == list(range(rounds))
    posted = next(e.event for e in said if isinstance(e.event, events.Posted))
    paid = {claim.account for e in said for claim in events.claims_of(e.event, posted.rate)}
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


def stayed(swarm: Swarm, job: str, round_: int) -> None:
    """A round moved nothing: the next model has the same weights, under its own turn."""
    records = requester_state(swarm, job).records
    query = "SELECT body FROM specs WHERE digest = ?"
    digest = bytes.fromhex(swarm.requester.show(job)["spec_digest"][2:])
    spec = decode_spec(stored(swarm.requester, query, digest)[0][0])
    size = model_bytes(spec.parameter_count)
    record = next(each for each in records if each.number == round_)
    before, after = (
        Blobs(swarm.requester.home.blobs).get(BlobRef(digest, size))
        for digest in (record.model_digest, record.next_model)
    )
    assert record.model_digest != record.next_model
    assert after == kernels.keep(model_of(spec), before, round_ + 1)


def released_once(owner: Daemon, job: str) -> dict[int, int]:
    """What an owner has released: one message a round at most, recorded as it was sent.

    The attempt by round.
    """
    key, me = bytes.fromhex(job[2:]), owner.peer_id
    told: dict[int, int] = {}
    query = "SELECT body FROM messages WHERE job = ? AND kind = 'Release'"
    for (body,) in stored(owner, query, key):
        envelope = open_envelope(body)
        assert envelope.sender == me
        assert isinstance(envelope.body, Release)
        place = envelope.context
        assert place.round not in told, "two releases of one round"
        told[place.round] = place.attempt
        kinds = stored(
            owner,
            "SELECT attempt, kind FROM releases WHERE job = ? AND round = ?",
            key,
            place.round,
        )
        assert len(kinds) == len(envelope.body.shares)
        assert {attempt for attempt, _ in kinds} == {place.attempt}
    rounds = stored(owner, "SELECT DISTINCT round FROM releases WHERE job = ?", key)
    assert {round_ for (round_,) in rounds} == set(told), "recorded and never said"
    return told


def secrets_of(owner: Daemon, job: str) -> set[str]:
    """Names of what an owner's vault holds for attempts of a job; `seal` is the job's own."""
    mark = f".{job[2:34]}"
    names = Keys.open(Home(owner.home.path)).sealed()
    ours = [name for name in names if name.startswith(ONCE_PREFIX) and mark in name]
    return {name.removeprefix(ONCE_PREFIX).replace(mark, "") for name in ours}


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
