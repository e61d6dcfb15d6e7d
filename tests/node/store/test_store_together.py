"""Writing calls that wait share a commit, and each is as if alone."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing

from node.store import records
from node.store import store as store_module
from node.store.store import Store, StoreDamaged, StoreFull, StoreLocked, Transaction

NAMES = [f"{number:02}".encode() for number in range(6)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "assay.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with Store.open(path) as found:
        yield found


def save(tx: Transaction, name: bytes) -> bytes:
    records.save_spec(tx, name, b"spec")
    return name


def stored(path: Path) -> list[bytes]:
    """What another program reads: committed, and nothing else."""
    with closing(sqlite3.connect(path)) as other:
        return [name for (name,) in other.execute("SELECT digest FROM specs ORDER BY digest")]


@asynccontextmanager
async def held(
    store: Store, last: Callable[[Transaction], object] = lambda _: None
) -> AsyncIterator[None]:
    """A store whose writer is busy until the block ends: what is called within waits."""
    begun, go_on = threading.Event(), threading.Event()

    def slow(tx: Transaction) -> None:
        begun.set()
        assert go_on.wait(30)
        last(tx)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(store.run, slow)
        await trio.to_thread.run_sync(begun.wait, 30)
        try:
            yield
        finally:
            go_on.set()


async def in_line(nursery: trio.Nursery, *calls: Callable[[], object]) -> None:
    """Start tasks, each once the one before it stands in the store's line."""
    for call in calls:
        nursery.start_soon(call)  # type: ignore[arg-type]
        await trio.testing.wait_all_tasks_blocked()


class Statements:
    """What SQLite carries out, in order."""

    def __init__(self, store: Store) -> None:
        self.seen: list[str] = []
        store._writer.set_trace_callback(self.seen.append)

    def count(self, word: str) -> int:
        return sum(text.startswith(word) for text in self.seen)


async def test_calls_that_wait_share_one_commit_and_end_in_order(store: Store, path: Path) -> None:
    told: list[bytes] = []

    async def call(name: bytes) -> None:
        assert await store.run(partial(save, name=name)) == name
        assert name in stored(path)
        told.append(name)

    async with trio.open_nursery() as nursery, held(store):
        seen = Statements(store)
        await in_line(nursery, *(partial(call, name) for name in NAMES))
        assert told == stored(path) == []
    assert told == stored(path) == NAMES
    assert seen.count("COMMIT") == 2  # of whoever held it, and of the six


async def test_a_group_has_a_largest_size(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "_TOGETHER", 4)
    async with trio.open_nursery() as nursery, held(store):
        seen = Statements(store)
        await in_line(nursery, *(partial(store.run, partial(save, name=n)) for n in NAMES))
    assert stored(path) == NAMES
    assert seen.count("COMMIT") == 3


async def test_one_that_raises_is_undone_alone(store: Store, path: Path) -> None:
    told: dict[bytes, object] = {}

    def fails(tx: Transaction, error: Exception) -> None:
        save(tx, b"undone")
        raise error

    async def call(name: bytes, function: Callable[[Transaction], object]) -> None:
        try:
            told[name] = await store.run(function)
        except (ValueError, sqlite3.IntegrityError) as error:
            told[name] = error

    wrong = ValueError("its own")
    calls: list[tuple[bytes, Callable[[Transaction], object]]] = [
        (b"a", partial(save, name=b"a")),
        (b"b", partial(fails, error=wrong)),
        (b"c", lambda tx: records.save_spec(tx, b"c", "text")),  # type: ignore[arg-type]
        (b"d", partial(save, name=b"d")),
    ]
    async with trio.open_nursery() as nursery, held(store):
        seen = Statements(store)
        await in_line(nursery, *(partial(call, *each) for each in calls))
    assert stored(path) == [b"a", b"d"]
    assert told[b"a"] == b"a"
    assert told[b"d"] == b"d"
    assert told[b"b"] is wrong
    assert isinstance(told[b"c"], sqlite3.IntegrityError)
    assert seen.count("COMMIT") == 2
    # The first of a group is no other case than those behind it.
    with pytest.raises(ValueError, match="its own"):
        await store.run(partial(fails, error=wrong))
    assert stored(path) == [b"a", b"d"]


@pytest.mark.parametrize("which", [0, 2, 5])
async def test_a_caller_that_is_cancelled_leaves_the_line(
    store: Store, path: Path, which: int
) -> None:
    scopes = [trio.CancelScope() for _ in NAMES]

    async def call(number: int) -> None:
        with scopes[number]:
            await store.run(partial(save, name=NAMES[number]))

    async with trio.open_nursery() as nursery, held(store):
        await in_line(nursery, *(partial(call, number) for number in range(len(NAMES))))
        scopes[which].cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert scopes[which].cancelled_caught  # at once, while the store is busy
    assert stored(path) == [name for number, name in enumerate(NAMES) if number != which]
    assert await store.run(partial(save, name=b"after")) == b"after"


async def test_one_cancelled_as_it_is_to_lead_hands_on(store: Store, path: Path) -> None:
    """The line's head is woken in the very moment in which it is cut off."""
    scope = trio.CancelScope()

    async def first() -> None:
        with scope:
            await store.run(partial(save, name=NAMES[0]))

    hand_on = store._hand_on

    def hand_on_and_cut() -> None:
        hand_on()
        scope.cancel()

    store._hand_on = hand_on_and_cut  # type: ignore[method-assign]
    async with trio.open_nursery() as nursery, held(store):
        rest = [partial(store.run, partial(save, name=name)) for name in NAMES[1:]]
        await in_line(nursery, first, *rest)
    assert scope.cancelled_caught
    assert stored(path) == NAMES[1:]


async def test_one_that_has_begun_in_anothers_group_is_committed(store: Store, path: Path) -> None:
    begun, go_on = threading.Event(), threading.Event()
    scope, told = trio.CancelScope(), []

    def slow(tx: Transaction) -> bytes:
        begun.set()
        assert go_on.wait(30)
        return save(tx, b"leads")

    async def follows() -> None:
        with scope:
            told.append(await store.run(partial(save, name=b"follows")))

    async with trio.open_nursery() as nursery:
        async with held(store):
            await in_line(nursery, partial(store.run, slow), follows)
        await trio.to_thread.run_sync(begun.wait, 30)
        scope.cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert told == []
        go_on.set()
    assert told == [b"follows"]
    assert stored(path) == [b"follows", b"leads"]


async def test_a_commit_that_fails_is_told_to_every_caller(store: Store, path: Path) -> None:
    errors: list[StoreFull] = []

    async def call(name: bytes, size: int) -> None:
        with pytest.raises(StoreFull, match="disk is full") as caught:
            await store.run(lambda tx: records.save_spec(tx, name, bytes(size)))
        errors.append(caught.value)

    async with trio.open_nursery() as nursery, held(store):
        # SQLite's own limit raises the very error of a full disk.
        calls = [partial(call, name, 1_000_000 * (name == NAMES[3])) for name in NAMES]
        await in_line(nursery, *calls)
        write = store._write

        def full(group: list[object]) -> None:
            store._writer.execute("PRAGMA max_page_count = 1")
            write(group)  # type: ignore[arg-type]

        store._write = full  # type: ignore[method-assign,assignment]
    assert len(errors) == len({id(error) for error in errors}) == len(NAMES)
    assert stored(path) == []


async def test_a_damaged_file_is_told_to_every_caller(store: Store, path: Path) -> None:
    told: list[bytes] = []

    def damaged(_: Transaction) -> None:
        error = sqlite3.DatabaseError("database disk image is malformed")
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error

    async def call(function: Callable[[Transaction], object], name: bytes) -> None:
        with pytest.raises(StoreDamaged, match="cannot be used"):
            await store.run(function)
        told.append(name)

    async with trio.open_nursery() as nursery, held(store):
        calls = [partial(call, partial(save, name=name), name) for name in NAMES]
        calls[2] = partial(call, damaged, NAMES[2])
        await in_line(nursery, *calls)
    assert told == NAMES
    assert stored(path) == []


async def test_a_patient_store_keeps_a_group_in_order_and_lets_go_of_whoever_gives_up(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "_BUSY_SECONDS", 0.01)
    monkeypatch.setattr(store_module, "_ROOM_SECONDS", 0.01)
    store._writer.execute("PRAGMA busy_timeout = 10")
    store.patient = True
    scopes, told = [trio.CancelScope() for _ in NAMES], []

    async def call(number: int) -> None:
        with scopes[number]:
            told.append(await store.run(partial(save, name=NAMES[number])))

    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        async with trio.open_nursery() as nursery:
            other.execute("BEGIN IMMEDIATE")
            nursery.start_soon(call, 0)
            while not store.waits:  # noqa: ASYNC110 - it has no event
                await trio.sleep(0.01)
            for number in range(1, len(NAMES)):
                nursery.start_soon(call, number)
                for _ in range(2):  # the first may wake this task before that one
                    await trio.lowlevel.checkpoint()
            for given_up in (0, 3):  # one leads, one follows
                scopes[given_up].cancel()
            with trio.fail_after(30):
                while not all(scopes[each].cancelled_caught for each in (0, 3)):  # noqa: ASYNC110
                    await trio.sleep(0.01)
            assert told == []
            other.execute("COMMIT")
    assert told == stored(path) == [NAMES[1], NAMES[2], NAMES[4], NAMES[5]]
    assert store.waits == ""


async def test_an_impatient_store_tells_every_caller_that_it_is_held(
    store: Store, path: Path
) -> None:
    errors: list[StoreLocked] = []

    async def call(name: bytes) -> None:
        with pytest.raises(StoreLocked) as caught:
            await store.run(partial(save, name=name))
        errors.append(caught.value)

    at_once = lambda tx: tx.execute("PRAGMA busy_timeout = 0")  # noqa: E731
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    with closing(other):
        async with trio.open_nursery() as nursery, held(store, at_once):
            write = store._write

            def taken(group: list[object]) -> None:
                other.execute("BEGIN IMMEDIATE")
                write(group)  # type: ignore[arg-type]

            await in_line(nursery, *(partial(call, name) for name in NAMES))
            store._write = taken  # type: ignore[method-assign,assignment]
        other.execute("ROLLBACK")
    assert len(errors) == len(NAMES)
    assert stored(path) == []


_DIES = """
import os, signal, sys, threading
from functools import partial
from pathlib import Path
import trio, trio.testing
from node.store import records
from node.store.store import Store

when = sys.argv[2]

def save(tx, number):
    records.save_spec(tx, b"%02d" % number, b"spec")
    if number == 4 and when == "inside":
        os.kill(os.getpid(), signal.SIGKILL)

async def call(store, number):
    await store.run(partial(save, number=number))
    print(number, flush=True)
    if when == "told":
        os.kill(os.getpid(), signal.SIGKILL)

async def main():
    begun, go_on = threading.Event(), threading.Event()
    def slow(tx):
        begun.set()
        go_on.wait()
    with Store.open(Path(sys.argv[1])) as store:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(store.run, slow)
            await trio.to_thread.run_sync(begun.wait)
            for number in range(6):
                nursery.start_soon(call, store, number)
                await trio.testing.wait_all_tasks_blocked()
            go_on.set()

trio.run(main)
"""


@pytest.mark.parametrize(("when", "said", "kept"), [("inside", [], []), ("told", [b"0"], NAMES)])
def test_a_crash_before_the_commit_leaves_none_that_was_told(
    path: Path, when: str, said: list[bytes], kept: list[bytes]
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _DIES, str(path), when],
        stdout=subprocess.PIPE,
        check=False,
        timeout=60,
    )
    assert done.returncode == -signal.SIGKILL
    assert done.stdout.split() == said
    Store.open(path).close()
    assert stored(path) == kept
