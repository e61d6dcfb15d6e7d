from __future__ import annotations

import dataclasses
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
import trio
import trio.testing

from node.store import catalogue, outbox, records
from node.store import store as store_module
from node.store.catalogue import Dataset
from node.store.migrations import MIGRATIONS
from node.store.records import Machine, StoredMessage
from node.store.store import (
    APPLICATION_ID,
    Store,
    StoreDamaged,
    StoreFull,
    StoreLocked,
    Transaction,
)
from protocol.errors import InputError
from protocol.owner.state import OwnerState
from protocol.policy.policy import Policy
from protocol.policy.terms import with_changes
from protocol.requester.state import RequesterState
from protocol.wire.codec import Wire, decode, encode

JOB = b"j" * 32


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "assay.db"


# Opening


def test_a_new_store_is_private_durable_and_current(path: Path) -> None:
    with Store.open(path) as store:
        with store.transaction() as tx:
            assert tx.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
            assert tx.execute("PRAGMA synchronous").fetchone()[0] == 2  # FULL
            assert tx.execute("PRAGMA foreign_keys").fetchone()[0] == 1
            assert tx.execute("PRAGMA user_version").fetchone()[0] == len(MIGRATIONS)
            assert tx.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
            records.save_spec(tx, b"d" * 32, b"spec")
        for file in path.parent.iterdir():
            assert file.stat().st_mode & 0o777 == 0o600, file
    with Store.open(path) as store, store.snapshot() as tx:
        assert records.load_spec(tx, b"d" * 32) == b"spec"


def test_a_newer_store_is_refused_by_its_numbers_and_left_alone(path: Path) -> None:
    newer = (*MIGRATIONS, "CREATE TABLE future (x INTEGER) STRICT")
    Store.open(path, newer).close()
    before = path.read_bytes()
    with pytest.raises(
        InputError, match=f"version {len(newer)}, this assay knows up to {len(MIGRATIONS)}"
    ):
        Store.open(path)
    assert path.read_bytes() == before


def test_an_older_store_is_brought_up_step_by_step(path: Path) -> None:
    Store.open(path, MIGRATIONS[:1]).close()
    more = (*MIGRATIONS, "CREATE TABLE added (x INTEGER) STRICT; INSERT INTO added VALUES (7);")
    with Store.open(path, more) as store, store.snapshot() as tx:
        assert tx.execute("SELECT x FROM added").fetchall() == [(7,)]
    with Store.open(path, more) as store, store.snapshot() as tx:
        assert tx.execute("SELECT x FROM added").fetchall() == [(7,)]


def test_states_and_policies_from_before_a_term_are_read_with_it(path: Path) -> None:
    """explain_refusals, and what machines remember of it, stand at the end of msgpack arrays; after
    it, payout, of two bytes, and published_sums, of one; and what machines remember of proofs."""
    step = next(n for n, sql in enumerate(MIGRATIONS) if "explain_refusals" in sql)
    owner, requester = OwnerState(dataset="ward"), RequesterState(posted_block=7)
    policy = dataclasses.replace(Policy.closed(), max_rounds=9)

    def before(value: Wire) -> bytes:
        """Without its last fields."""
        body = encode(value)
        assert body[:1] == b"\xdc"
        fields, left = {Policy: (3, 4), OwnerState: (2, 2), RequesterState: (3, 3)}[type(value)]
        count = int.from_bytes(body[1:3], "big") - fields
        return body[:1] + count.to_bytes(2, "big") + body[3:-left]

    with Store.open(path, MIGRATIONS[:step]) as store, store.transaction() as tx:
        for kind, state in (("owner", owner), ("requester", requester)):
            records.save_machine(tx, records.Machine(kind, b"k" * 32, 1, before(state)))
        tx.execute(
            "INSERT INTO datasets (name, source, digest, rows, bytes, columns, added)"
            " VALUES ('ward', '', x'00', 1, 1, '[]', 0)"
        )
        tx.execute("INSERT INTO policies VALUES ('ward', ?, 0)", (before(policy),))
    with Store.open(path) as store, store.snapshot() as tx:
        read = {kind: records.load_machine(tx, kind, b"k" * 32) for kind in ("owner", "requester")}
        (body,) = tx.execute("SELECT body FROM policies").fetchone()
    for kind, state in (("owner", owner), ("requester", requester)):
        found = read[kind]
        assert found is not None
        assert decode(type(state), found.state, 1 << 20) == state
    assert decode(Policy, body, 1 << 20) == policy


def test_a_step_that_fails_leaves_nothing_of_itself(path: Path) -> None:
    Store.open(path).close()
    broken = (*MIGRATIONS, "CREATE TABLE half (x INTEGER) STRICT; INSERT INTO nowhere VALUES (1)")
    with pytest.raises(sqlite3.OperationalError, match="nowhere"):
        Store.open(path, broken)
    with Store.open(path) as store, store.snapshot() as tx:
        assert tx.execute("SELECT name FROM sqlite_schema WHERE name = 'half'").fetchall() == []


def test_another_programs_database_is_left_alone(path: Path) -> None:
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE contacts (name TEXT)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(InputError, match="another program's"):
        Store.open(path)
    assert path.read_bytes() == before


def test_a_damaged_file_is_named(path: Path) -> None:
    path.write_bytes(b"no database at all, but quite long enough to look at" * 100)
    with pytest.raises(StoreDamaged, match=r"assay\.db cannot be used.*not a database"):
        Store.open(path)


def test_a_damaged_page_is_named(path: Path) -> None:
    with Store.open(path) as store, store.transaction() as tx:
        for number in range(200):
            records.save_spec(tx, number.to_bytes(32, "big"), bytes(1000))
    content = bytearray(path.read_bytes())
    page = int.from_bytes(content[16:18], "big")
    for at in range(len(content) // page // 2, len(content) // page):
        content[at * page : at * page + 64] = b"\xa5" * 64
    path.write_bytes(content)
    with pytest.raises(StoreDamaged, match=r"damaged|cannot be used"):
        Store.open(path)


# Transactions


def test_what_raises_is_undone(path: Path) -> None:
    with Store.open(path) as store:
        with pytest.raises(RuntimeError), store.transaction() as tx:  # noqa: PT012
            records.save_spec(tx, JOB, b"spec")
            raise RuntimeError
        with store.snapshot() as tx:
            assert records.load_spec(tx, JOB) is None
        with store.transaction() as tx:
            records.save_spec(tx, JOB, b"spec")


def test_a_snapshot_cannot_write_and_does_not_see_the_open_transaction(path: Path) -> None:
    with Store.open(path) as store:
        with store.transaction() as tx:
            records.save_spec(tx, JOB, b"spec")
            with store.snapshot() as view:
                assert records.load_spec(view, JOB) is None
                with pytest.raises(sqlite3.OperationalError, match="readonly"):
                    records.save_spec(view, JOB, b"other")
        with store.snapshot() as view:
            assert records.load_spec(view, JOB) == b"spec"


def test_a_full_disk_is_said_and_the_store_goes_on(path: Path) -> None:
    with Store.open(path) as store:
        with store.transaction() as tx:
            pages = tx.execute("PRAGMA page_count").fetchone()[0]
        with store.transaction() as tx:
            records.save_spec(tx, b"small", b"spec")
        # SQLite's own limit raises the very error of a full disk.
        store._writer.execute(f"PRAGMA max_page_count = {pages + 8}")
        with pytest.raises(StoreFull, match="disk is full"), store.transaction() as tx:
            records.save_spec(tx, b"large", bytes(1_000_000))
        with store.transaction() as tx:
            assert records.load_spec(tx, b"large") is None
            assert records.load_spec(tx, b"small") == b"spec"


async def test_run_and_read_stay_off_the_loop_and_keep_their_order(path: Path) -> None:
    order: list[int] = []
    loop = threading.get_ident()

    def append(tx: Transaction, number: int) -> int:
        assert threading.get_ident() != loop
        records.add_event(tx, JOB, "test", {"number": number})
        order.append(number)
        return number

    with Store.open(path) as store:
        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(store.run, lambda tx, n=number: append(tx, n))
                await trio.testing.wait_all_tasks_blocked()
        found = await store.read(lambda tx: [e.facts["number"] for e in records.events(tx)])
    assert found == order == list(range(20))


async def test_a_cancelled_run_that_began_is_committed(path: Path) -> None:
    with Store.open(path) as store:
        begun, go_on = threading.Event(), threading.Event()

        def slow(tx: Transaction) -> None:
            begun.set()
            assert go_on.wait(10)
            records.save_spec(tx, JOB, b"spec")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(store.run, slow)
            await trio.to_thread.run_sync(begun.wait, 10)
            nursery.cancel_scope.cancel()
            go_on.set()
        assert await store.read(lambda tx: records.load_spec(tx, JOB)) == b"spec"


_WRITER = """
import sys
from pathlib import Path
from node.store import outbox, records
from node.store.store import Store
with Store.open(Path(sys.argv[1])) as store:
    number = int(sys.argv[2])
    while True:
        number += 1
        with store.transaction() as tx:
            machine = records.Machine("test", b"key", number * 3, number.to_bytes(8, "big") * 500)
            records.save_machine(tx, machine)
            outbox.put(tx, "test", b"key", number * 3 + 1, [bytes([i]) * 700 for i in range(3)])
        print(number, flush=True)
"""


def test_what_was_said_to_be_stored_survives_sigkill(path: Path) -> None:
    told = 0
    for kill_after in (1, 2, 5, 13, 40):
        with subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(path), str(told)], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            for _ in range(kill_after):
                told = int(process.stdout.readline())
            process.send_signal(signal.SIGKILL)
            # What it told between our reading and its death counts as well.
            for line in process.stdout.read().splitlines():
                told = int(line)
        with Store.open(path) as store, store.snapshot() as tx:
            machine = records.load_machine(tx, "test", b"key")
            assert machine is not None
            number = int.from_bytes(machine.state[:8], "big")
            assert number >= told
            assert machine == Machine("test", b"key", number * 3, number.to_bytes(8, "big") * 500)
            seqs = [effect.seq for effect in outbox.pending(tx, limit=10_000)]
            # Whole with its three effects, or not there at all.
            assert seqs == list(range(4, number * 3 + 4))
        told = number


# Outbox


def test_outbox_gives_effects_in_order_until_they_are_done(path: Path) -> None:
    with Store.open(path) as store, store.transaction() as tx:
        stored = outbox.put(tx, "job", JOB, 1, [b"a", b"b"]) + outbox.put(
            tx, "job", b"k", 1, [b"c"]
        )
        assert [effect.effect for effect in outbox.pending(tx)] == [b"a", b"b", b"c"]
        assert outbox.pending(tx, after=stored[0].id, limit=1) == [stored[1]]
        assert outbox.complete(tx, stored[1].id)
        assert not outbox.complete(tx, stored[1].id)
        assert outbox.pending(tx) == [stored[0], stored[2]]
        with pytest.raises(KeyError):
            outbox.complete(tx, 99)
        with pytest.raises(sqlite3.IntegrityError):
            outbox.put(tx, "job", JOB, 2, [b"again"])
        assert outbox.prune(tx, older_than=0.0) == 0
        assert outbox.prune(tx, older_than=1e12) == 1
        assert outbox.pending(tx) == [stored[0], stored[2]]


# Records


def test_machines(path: Path) -> None:
    with Store.open(path) as store, store.transaction() as tx:
        assert records.load_machine(tx, "owner", JOB) is None
        records.save_machine(tx, Machine("owner", JOB, 1, b"one"))
        records.save_machine(tx, Machine("owner", JOB, 4, b"two"))
        records.save_machine(tx, Machine("requester", JOB, 0, b"other"))
        assert records.load_machine(tx, "owner", JOB) == Machine("owner", JOB, 4, b"two")


def test_the_first_result_stands(path: Path) -> None:
    with Store.open(path) as store, store.transaction() as tx:
        assert records.load_result(tx, b"id") is None
        assert records.save_result(tx, b"id", "encrypt", b"first") == b"first"
        assert records.save_result(tx, b"id", "encrypt", b"second") == b"first"
        assert records.load_result(tx, b"id") == b"first"


def test_messages(path: Path) -> None:
    messages = [
        StoredMessage(bytes([n]) * 32, JOB, "ready" if n % 2 else "open", b"peer", bytes([n]))
        for n in (3, 2, 1, 0)
    ]
    with Store.open(path) as store, store.transaction() as tx:
        assert [records.save_message(tx, message) for message in messages] == [True] * 4
        assert not records.save_message(tx, messages[0])
        assert records.messages_of(tx, JOB) == messages
        assert records.messages_of(tx, JOB, "ready") == [messages[0], messages[2]]
        assert records.messages_of(tx, JOB, limit=1) == messages[:1]
        assert records.messages_of(tx, b"other") == []
        assert records.load_message(tx, messages[1].digest) == messages[1]
        assert records.load_message(tx, b"none") is None


def test_specs(path: Path) -> None:
    with Store.open(path) as store, store.transaction() as tx:
        records.save_spec(tx, b"1", b"one")
        records.save_spec(tx, b"2", b"two")
        records.save_spec(tx, b"1", b"changed")
        assert [records.load_spec(tx, each) for each in (b"1", b"2")] == [b"one", b"two"]


def test_events_keep_their_numbers(path: Path) -> None:
    with Store.open(path) as store, store.transaction() as tx:
        first = records.add_event(tx, JOB, "round", {"round": 1})
        records.add_event(tx, b"", "node", {})
        third = records.add_event(tx, JOB, "round", {"round": 2})
        assert records.events(tx, job=JOB) == [first, third]
        assert records.events(tx, after=first.id, job=JOB) == [third]
        assert len(records.events(tx, limit=2)) == 2
        tx.execute("DELETE FROM events")
        assert records.add_event(tx, JOB, "round", {}).id == third.id + 1
        with pytest.raises(ValueError, match="JSON"):
            records.add_event(tx, JOB, "round", {"loss": float("nan")})


def test_traffic_adds_up(path: Path) -> None:
    with Store.open(path) as store, store.transaction() as tx:
        records.count_bytes(tx, JOB, "out", "batch", 10)
        records.count_bytes(tx, JOB, "out", "batch", 5)
        records.count_bytes(tx, JOB, "in", "model", 7)
        assert records.traffic(tx, JOB) == {("in", "model"): 7, ("out", "batch"): 15}
        assert records.traffic(tx, b"other") == {}
        with pytest.raises(ValueError, match="-1 bytes"):
            records.count_bytes(tx, JOB, "in", "model", -1)


def test_a_new_dataset_has_no_policy_and_takes_it_along_when_it_goes(path: Path) -> None:
    dataset = Dataset("ward", "/data/ward.csv", b"d" * 32, 10, 99, (("age", "number"),), 5.0)
    with Store.open(path) as store, store.transaction() as tx:
        with pytest.raises(KeyError, match="ward"):
            catalogue.save_policy(tx, "ward", Policy.closed())
        assert catalogue.save_dataset(tx, dataset)
        assert not catalogue.save_dataset(tx, dataset)
        assert catalogue.policy_of(tx, "ward") == Policy.closed()
        catalogue.save_policy(tx, "ward", Policy.closed())
        decided = with_changes(Policy.closed(), {"accept": "auto"})
        catalogue.save_policy(tx, "ward", decided)
        assert catalogue.policies(tx) == {"ward": decided}
        assert catalogue.policy_of(tx, "ward") == decided
        assert catalogue.load_dataset(tx, "ward") == dataset
        assert catalogue.datasets(tx) == [dataset]
        assert catalogue.delete_dataset(tx, "ward")
        assert not catalogue.delete_dataset(tx, "ward")
        assert catalogue.policies(tx) == {}


def test_tables_refuse_wrong_types(path: Path) -> None:
    with Store.open(path) as store, store.transaction() as tx:
        with pytest.raises(sqlite3.IntegrityError, match="cannot store TEXT"):
            records.save_spec(tx, b"1", "text")  # type: ignore[arg-type]
        with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
            records.count_bytes(tx, JOB, "sideways", "model", 1)  # type: ignore[arg-type]


async def test_a_patient_store_waits_for_whoever_holds_the_file(
    path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user's own tool may hold it for longer than SQLite waits; nothing ends and is lost."""
    monkeypatch.setattr(store_module, "_BUSY_SECONDS", 0.01)
    monkeypatch.setattr(store_module, "_ROOM_SECONDS", 0.01)
    with Store.open(path) as store, closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreLocked, match="held by another program"):
            await store.run(lambda tx: records.save_spec(tx, b"impatient", b"spec"))
        store.patient = True
        async with trio.open_nursery() as nursery:
            nursery.start_soon(store.run, lambda tx: records.save_spec(tx, b"name", b"spec"))
            while not store.waits:  # noqa: ASYNC110 - it has no event
                await trio.sleep(0.01)
            assert await store.read(lambda tx: records.load_spec(tx, b"name")) is None
            other.execute("COMMIT")
        assert store.waits == ""
        assert await store.read(lambda tx: records.load_spec(tx, b"name")) == b"spec"
        assert await store.read(lambda tx: records.load_spec(tx, b"impatient")) is None
    told = [record.getMessage() for record in caplog.records]
    assert [text.partition(";")[0] for text in told] == [
        f"{path} is held by another program, a backup or an open sqlite3",
        f"{path} can be written again",
    ]


async def test_a_patient_store_waits_for_room_and_does_each_thing_once(
    path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "_ROOM_SECONDS", 0.01)
    done: list[str] = []

    async def save(name: bytes, size: int) -> None:
        await store.run(lambda tx: records.save_spec(tx, name, bytes(size)))
        done.append(name.decode())

    with Store.open(path) as store:
        await save(b"before", 10)
        with store.transaction() as tx:
            pages = tx.execute("PRAGMA page_count").fetchone()[0]
        # SQLite's own limit raises the very error of a full disk.
        store._writer.execute(f"PRAGMA max_page_count = {pages + 8}")
        with pytest.raises(StoreFull):
            await save(b"impatient", 1_000_000)
        store.patient = True
        async with trio.open_nursery() as nursery:
            nursery.start_soon(save, b"large", 1_000_000)
            while not store.waits:  # noqa: ASYNC110 - it has no event
                await trio.sleep(0.01)
            nursery.start_soon(save, b"small", 1)
            await trio.sleep(0.1)
            # Nothing passes by what waits, and reading goes on.
            assert done == ["before"]
            assert await store.read(lambda tx: records.load_spec(tx, b"before")) == bytes(10)
            with store._write_turn:
                store._writer.execute("PRAGMA max_page_count = 1000000")
        assert done == ["before", "large", "small"]
        assert store.waits == ""
        assert await store.read(lambda tx: records.load_spec(tx, b"large")) == bytes(1_000_000)
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2
    assert f"{path}: the disk is full" in told[0]
    assert "free some space" in told[0]
    assert "written again" in told[1]
