"""Data sets through the daemon's own answers: from databases, as hold-outs, and added whole or not
at all."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio
from kits.budgets import job, noisy_spec
from kits.daemons.processes import environment

from node.api import Api
from node.control.events import EventBus
from node.data.datasets import clear_copies
from node.home.home import Home
from node.jobs.datasets import keeping
from node.perform import compute, considering
from node.privacy import ledger, reserving, settling
from node.store import catalogue, jobs, people, records, versions
from node.store.migrations import MIGRATIONS
from node.store.store import Store
from node.workers.compute import WorkerDied
from protocol.errors import InputError
from protocol.machines.job import JobPhase
from protocol.owner.state import OwnerState
from protocol.policy.policy import Policy
from protocol.policy.terms import with_changes
from protocol.requester.state import RequesterState
from protocol.tokens import NO_TOKENS

HEAD = "age,sex,sick"
FIRST, SECOND = ["30,M,0", "60,F,1", "45,F,1"], ["10,M,1", "20,F,0", "50,M,1"]
MAP = '[columns]\nage = "years"\nsex = { name = "gender", words = { M = "male", F = "female" } }\n'


class Here:
    """Computes in this process; `fails` is raised in the place of what it names."""

    def __init__(self) -> None:
        self.fails: dict[str, Exception] = {}

    async def run(self, function: Callable[..., Any], *args: Any) -> Any:
        await trio.lowlevel.checkpoint()
        if function.__name__ in self.fails:
            raise self.fails[function.__name__]
        return function(*args)

    run_aside = run


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.create()
    for name, people_ in (
        ("first", "30,M,0\n60,F,1\n45,F,1"),
        ("second", "10,M,1\n20,F,0\n50,M,1"),
    ):
        (tmp_path / f"{name}.csv").write_text(f"age,sex,sick\n{people_}\n")
    return made


@pytest.fixture
def services(home: Home) -> Iterator[Any]:
    with Store.open(home.database) as store:
        yield SimpleNamespace(
            home=home,
            store=store,
            engine=SimpleNamespace(machines={}),
            compute=Here(),
            keys=SimpleNamespace(account=b"\x22" * 20, derive=lambda _: bytes(32)),
            config=SimpleNamespace(overlap=0.1),
            domain=None,
            tokens=lambda: NO_TOKENS,
            tokens_shown=lambda: NO_TOKENS,
        )


@pytest.fixture
def api(services: Any) -> Any:
    nothing: Any = None
    return Api(services, nothing, nothing, EventBus(), nothing, nothing, nothing)


@pytest.fixture
def database(tmp_path: Path) -> str:
    """An SQLite file with a table of the first people and one of the second; its URL."""
    path = tmp_path / "ward.db"
    with sqlite3.connect(path) as opened:
        opened.execute("CREATE TABLE first (age, sex, sick)")
        opened.executemany(
            "INSERT INTO first VALUES (?, ?, ?)", [(30, "M", 0), (60, "F", 1), (45, "F", 1)]
        )
        opened.execute("CREATE TABLE second (age, sex, sick)")
        opened.executemany("INSERT INTO second VALUES (?, ?, ?)", [(10, "M", 1), (None, "F", 0)])
    opened.close()
    return f"sqlite://{path}"


def held(home: Home) -> set[str]:
    return {path.name for path in home.datasets.iterdir() if path.is_file()}


def plain(path: Path, name: str) -> tuple[Any, ...]:
    """A file by `data.add`, its marks as the file shows them."""
    return name, str(path), None, None, None


# From a database


async def test_a_statement_with_a_map_gives_the_data_set_that_a_file_gives(
    api: Any, services: Any, database: str, tmp_path: Path
) -> None:
    sql = "select age, sex, sick from first"
    added = await api.data_add_sql("ward", sql, database, None, (), MAP, False)
    assert (added.rows, added.columns) == (3, ("years", "gender", "sick"))
    assert any("as they are now" in note for note in added.notes)
    view = await api.data_show("ward", None)
    assert view.mapped
    assert [word.word for word in view.columns[1].words] == ["female", "male"]
    # The same people from a file share its budget, and no name by which they are added is free.
    other = await api.data_add(*plain(tmp_path / "first.csv", "lab"), (), MAP)
    assert other.same == ("ward",)
    with pytest.raises(InputError, match="'ward' is taken"):
        await api.data_add_sql("ward", sql, database, None, (), None, False)
    with pytest.raises(InputError, match="there is no column 'sex'"):
        await api.data_add_sql("x", "select age from first", database, None, (), MAP, False)
    assert {each.name for each in await api.data_list()} == {"lab", "ward"}


async def test_a_hold_out_from_a_statement_is_offered_to_no_job(
    api: Any, services: Any, database: str
) -> None:
    added = await api.data_add_sql("measure", "select * from first", database, None, (), MAP, True)
    assert added.holdout
    assert await services.store.read(considering._agreed) == []
    with pytest.raises(InputError, match="measure is a hold-out"):
        await api.policy_set("measure", {"accept": "auto"})


async def test_a_statement_replaces_rows_and_keeps_map_policy_and_budget(
    api: Any, services: Any, database: str, home: Home
) -> None:
    await api.data_add_sql("ward", "select * from first", database, None, (), MAP, False)
    await api.policy_set("ward", {"accept": "ask", "epsilon": 3.0})
    before = await keeping.find(services, "ward")
    changed = await api.data_replace_sql("ward", "select * from second", database, None)
    assert (changed.rows, changed.columns) == (2, ("years", "gender", "sick"))
    assert any("as they are now" in note for note in changed.notes)
    after = await keeping.find(services, "ward")
    assert (after.renames, after.holdout) == (before.renames, False)
    assert after.source.endswith("select * from second")
    assert held(home) == {after.digest.hex()}
    (policy,) = (await services.store.read(catalogue.policies)).values()
    assert policy.epsilon == 3.0
    # The rows before stand in its budget's ledger of prints too.
    known = await services.store.read(people.versions)
    assert [each.digest for each in known] == [before.digest, after.digest]
    for sql, says in (
        ("select age from second", "there is no column 'sex'"),
        ("select * from nosuch", "no such table"),
        ("delete from first", "is no statement that reads"),
    ):
        with pytest.raises(InputError, match=says):
            await api.data_replace_sql("ward", sql, database, None)
        assert await keeping.find(services, "ward") == after
    with pytest.raises(InputError, match="there is no data set 'nowhere'"):
        await api.data_replace_sql("nowhere", "select * from first", database, None)


async def test_a_version_that_shares_rows_with_others_says_so_once(
    api: Any, tmp_path: Path
) -> None:
    for name in ("first", "second"):
        assert (await api.data_add(*plain(tmp_path / f"{name}.csv", name))).same == ()
    (tmp_path / "both.csv").write_text("\n".join([HEAD, *FIRST, *SECOND]) + "\n")
    said = "it has rows of second: they share one privacy budget now (assay privacy)"
    assert said in (await api.data_replace(*plain(tmp_path / "both.csv", "first"))).notes
    assert said not in (await api.data_replace(*plain(tmp_path / "both.csv", "first"))).notes


# Hold-outs


@pytest.mark.parametrize("way", ["file", "statement"])
async def test_a_hold_out_that_is_replaced_stays_one(
    api: Any, services: Any, database: str, tmp_path: Path, way: str
) -> None:
    await api.data_add(*plain(tmp_path / "first.csv", "measure"), holdout=True)
    if way == "file":
        await api.data_replace(*plain(tmp_path / "second.csv", "measure"))
    else:
        await api.data_replace_sql("measure", "select * from second", database, None)
    await api.data_map("measure", '[columns]\nage = "years"\n')
    (shown,) = await api.data_list()
    assert (shown.holdout, shown.columns[0]) == (True, "years")
    assert await services.store.read(considering._agreed) == []
    with pytest.raises(InputError, match="measure is a hold-out"):
        await api.policy_set("measure", {"accept": "auto"})
    # It holds no two data sets together, whatever rows it has.
    assert await services.store.read(people.versions) == ()


def test_a_store_from_before_hold_outs_says_which_of_its_data_sets_are_some(
    home: Home, tmp_path: Path
) -> None:
    """Those that measure this node's own jobs. One with a policy was offered by its owner's word,
    and one that was never used to measure is none."""
    step = next(n for n, sql in enumerate(MIGRATIONS) if "ADD COLUMN holdout" in sql)
    with Store.open(home.database, MIGRATIONS[:step]) as store, store.transaction() as tx:
        for name in ("measure", "offered", "ward"):
            tx.execute(
                "INSERT INTO datasets (name, source, digest, rows, bytes, columns, added)"
                " VALUES (?, '', x'00', 1, 1, '[]', 0)",
                (name,),
            )
        records.save_spec(tx, b"s" * 32, b"spec")
        for number, name in enumerate(("measure", "offered"), start=1):
            jobs.save_job(tx, job(number), "requester", b"s" * 32, name)
        # The budget's later terms are appended to what stands here; this row is not read below.
        tx.execute("INSERT INTO policies VALUES ('offered', x'dc0000', 0)")
    with Store.open(home.database) as store, store.snapshot() as tx:
        found = {each.name: each.holdout for each in catalogue.datasets(tx)}
    assert found == {"measure": True, "offered": False, "ward": False}


async def test_a_hold_out_stays_one_when_its_store_is_opened_again(
    api: Any, services: Any, home: Home, tmp_path: Path
) -> None:
    await api.data_add(*plain(tmp_path / "first.csv", "measure"), holdout=True)
    services.store.close()
    more = (*MIGRATIONS, "CREATE TABLE a_later_step (x INTEGER) STRICT;")
    with Store.open(home.database, more) as store:
        assert await store.read(considering._agreed) == []
        (found,) = await store.read(catalogue.datasets)
    assert found.holdout


async def test_a_job_measures_on_the_version_of_the_hold_out_that_it_was_posted_with(
    api: Any, services: Any, tmp_path: Path
) -> None:
    await api.data_add(*plain(tmp_path / "first.csv", "measure"), holdout=True)
    before = await keeping.find(services, "measure")
    mine = SimpleNamespace(
        key=job(1), state=RequesterState(phase=JobPhase.TRAINING), broken="", context=None
    )
    services.engine.machines[mine.key] = mine

    def post(tx: Any) -> None:
        records.save_spec(tx, b"s" * 32, b"spec")
        jobs.save_job(tx, mine.key, "requester", b"s" * 32, "measure")
        assert versions.use(tx, mine.key, before)

    await services.store.run(post)
    changed = await api.data_replace(*plain(tmp_path / "second.csv", "measure"))
    assert changed.kept == ("0x" + mine.key.hex(),)
    rows = await compute.holdout_rows(services, mine.key)
    assert rows is not None
    assert rows.digest == before.digest


# Added whole, or not at all


@pytest.mark.parametrize("fails", ["sketch_copy", "compare"])
async def test_what_cannot_be_compared_is_not_added(
    api: Any, services: Any, home: Home, tmp_path: Path, fails: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.workers.compute._TRIES", 1)
    await api.data_add(*plain(tmp_path / "first.csv", "ward"))
    before = held(home)
    services.compute.fails[fails] = WorkerDied("the worker was killed")
    with pytest.raises(InputError, match=r"cannot be compared .* was killed; nothing was added"):
        await api.data_add(*plain(tmp_path / "second.csv", "lab"))
    assert [each.name for each in await api.data_list()] == ["ward"]
    assert held(home) == before
    services.compute.fails.clear()
    added = await api.data_add(*plain(tmp_path / "second.csv", "lab"))
    assert (added.rows, added.same) == (3, ())


async def test_what_a_budget_cannot_be_told_of_is_not_added(
    api: Any, services: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any) -> None:
        raise WorkerDied("the worker was killed")

    with monkeypatch.context() as patched:
        patched.setattr("node.privacy.budgets.spent", fail)
        with pytest.raises(InputError, match="was killed; nothing was added"):
            await api.data_add(*plain(tmp_path / "first.csv", "ward"))
    assert await api.data_list() == ()
    assert await services.store.read(people.versions) == ()
    assert (await api.data_add(*plain(tmp_path / "first.csv", "ward"))).rows == 3


async def test_a_version_that_cannot_be_compared_leaves_the_old_one(
    api: Any, services: Any, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.workers.compute._TRIES", 1)
    await api.data_add(*plain(tmp_path / "first.csv", "ward"))
    await api.policy_set("ward", {"accept": "auto"})
    before = await keeping.find(services, "ward")
    services.compute.fails["sketch_copy"] = WorkerDied("the worker was killed")
    with pytest.raises(InputError, match="was killed; ward is as it was"):
        await api.data_replace(*plain(tmp_path / "second.csv", "ward"))
    assert await keeping.find(services, "ward") == before
    assert held(home) == {before.digest.hex()}
    assert await services.store.read(lambda tx: people.is_compared(tx, "ward"))


async def test_a_bridge_that_is_removed_lets_jobs_run_again(
    api: Any, services: Any, tmp_path: Path
) -> None:
    """A data set that no job used held two others together: their budgets are their own again."""
    lines = [
        (tmp_path / f"{name}.csv").read_text().split("\n")[1:4] for name in ("first", "second")
    ]
    (tmp_path / "both.csv").write_text("\n".join(["age,sex,sick", *lines[0], *lines[1]]) + "\n")
    for number, name in enumerate(("first", "second"), start=1):
        await api.data_add(*plain(tmp_path / f"{name}.csv", name))
        await api.policy_set(name, {"accept": "auto", "epsilon": 8.0})
        assert not await reserving.reserve_job(services, name, job(number), noisy_spec(7.0), 320)
    assert (await api.data_add(*plain(tmp_path / "both.csv", "both"))).same == ("first", "second")

    def charge(tx: Any) -> None:
        ledger.charge(tx, "second", job(2), 0, bytes(32))

    with pytest.raises(InputError, match="does not run"):
        await services.store.run(charge)
    await api.data_remove("both")
    await services.store.run(charge)


_CHILD = """
import os, signal, sys
from pathlib import Path
from types import SimpleNamespace
import trio
from node.api import Api
from node.control.events import EventBus
from node.home.home import Home
from node.privacy import settling
from node.store import people
from node.store.store import Store

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

class Here:
    async def run(self, function, *args):
        return function(*args)

    run_aside = run

home, file, moment = Home(Path(sys.argv[1])), sys.argv[2], sys.argv[3]
if moment == "not compared":
    settling.sketch_copy = die
elif moment == "in the transaction":
    people.save_link = die  # the sketch is in the transaction already
else:
    EventBus.publish = lambda self, kind, *_, **__: die() if kind == "data.added" else None
with Store.open(home.database) as store:
    services = SimpleNamespace(
        home=home,
        store=store,
        compute=Here(),
        engine=SimpleNamespace(machines={}),
        keys=SimpleNamespace(account=bytes(20), derive=lambda _: bytes(32)),
        config=SimpleNamespace(overlap=0.1),
    )
    api = Api(services, None, None, EventBus(), None, None, None)
    trio.run(api.data_add, "near", file, None, None, None)
"""


@pytest.mark.parametrize("moment", ["not compared", "in the transaction", "compared"])
async def test_a_crash_while_a_data_set_is_compared(
    api: Any, services: Any, home: Home, tmp_path: Path, moment: str
) -> None:
    """SIGKILL behind the copy: the data set is there, takes no job, and the next start compares
    it."""
    await api.data_add(*plain(tmp_path / "first.csv", "ward"))
    await api.policy_set("ward", {"accept": "auto"})
    services.store.close()
    near = tmp_path / "near.csv"
    near.write_text((tmp_path / "first.csv").read_text() + "99,F,0\n")
    command = [sys.executable, "-c", _CHILD, str(home.path), str(near), moment]
    ended = await trio.to_thread.run_sync(
        lambda: subprocess.run(
            command, env=environment(), capture_output=True, text=True, timeout=120
        )
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    with Store.open(home.database) as store:
        services.store = store
        # As the daemon starts: what nothing needs goes, and what was not compared is.
        await clear_copies(home, store)
        found = await keeping.find(services, "near")
        assert found.digest.hex() in held(home)
        await store.run(lambda tx: catalogue.save_policy(tx, "near", _open()))
        compared = await store.read(lambda tx: people.is_compared(tx, "near"))
        assert compared is (moment == "compared")
        waiting: Any = SimpleNamespace(
            key=job(1),
            state=OwnerState(phase=JobPhase.WAITING),
            context=SimpleNamespace(spec=noisy_spec(4.0)),
        )
        if not compared:
            why = await reserving.reserve_job(services, "near", job(1), noisy_spec(4.0), 320)
            assert "is not compared" in why
        await settling.settle_all(services)
        group = await store.read(lambda tx: people.group(tx, "near"))
        assert group == ("near", "ward")
        assert await considering.set_aside(services, waiting, found) == ""


def _open() -> Policy:
    return with_changes(Policy.closed(), {"accept": "auto", "epsilon": 8.0})
