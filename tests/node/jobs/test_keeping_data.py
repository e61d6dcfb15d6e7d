"""Data sets are removed and replaced whole or not at all, and what was told of them stays told."""

from __future__ import annotations

import dataclasses
import signal
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

from node.data.datasets import add_dataset, clear_copies, load_matrix
from node.data.reading import Reading
from node.engine.engine import Wanted
from node.home.home import Home
from node.jobs.datasets import keeping, showing
from node.perform import compute, considering
from node.privacy import joins, ledger, settling
from node.store import catalogue, jobs, people, records, versions
from node.store.catalogue import Dataset
from node.store.store import Store
from protocol.errors import InputError, StateError
from protocol.machines.job import JobPhase
from protocol.owner.state import OwnerState
from protocol.policy.policy import Policy
from protocol.requester.state import RequesterState

FIRST, SECOND = "age,sick\n30,0\n60,1\n", "age,sick\n10,1\n20,0\n50,1\n"
MAP = '[columns]\nage = "years"\n'


class Here:
    """Computes in this process."""

    async def run(self, function: Callable[..., Any], *args: Any) -> Any:
        await trio.lowlevel.checkpoint()
        return function(*args)

    run_aside = run


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.create()
    (tmp_path / "first.csv").write_text(FIRST)
    (tmp_path / "second.csv").write_text(SECOND)
    return made


@pytest.fixture
def services(home: Home) -> Iterator[Any]:
    with Store.open(home.database) as store:
        engine = SimpleNamespace(machines={})
        keys = SimpleNamespace(account=b"\x22" * 20, derive=lambda _: bytes(32))
        config = SimpleNamespace(overlap=0.1)
        yield SimpleNamespace(
            home=home, store=store, engine=engine, compute=Here(), keys=keys, config=config
        )


async def add(services: Any, tmp_path: Path, name: str = "ward", **more: Any) -> Dataset:
    file = tmp_path / more.pop("file", "first.csv")
    dataset, _ = await add_dataset(
        services.home, services.store, services.compute, name, file, **more
    )
    return dataset


def machine(services: Any, number: int, state: Any) -> Any:
    spec = noisy_spec(4.0)
    made = SimpleNamespace(
        key=job(number), state=state, broken="", context=SimpleNamespace(spec=spec)
    )
    services.engine.machines[made.key] = made
    return made


async def joined(services: Any, dataset: Dataset, number: int = 1) -> Any:
    """A job that trains on a data set."""
    made = machine(services, number, OwnerState(phase=JobPhase.TRAINING, dataset=dataset.name))
    assert await services.store.run(lambda tx: versions.use(tx, made.key, dataset))
    return made


async def charged(services: Any, name: str, number: int = 1) -> None:
    wanted = ledger.Reserve(name, job(number), b"\x11" * 20, ledger.NoisePlan(0.1, 3.0), 5)

    def write(tx: Any) -> None:
        assert ledger.reserve(tx, wanted, ledger.Limit.of(catalogue.policy_of(tx, name)), ())
        ledger.charge(tx, name, job(number), 0, bytes(32))
        ledger.release(tx, job(number))

    await services.store.run(write)


async def added(services: Any, dataset: Dataset) -> Dataset:
    """As `data add` leaves it: compared with the others."""
    await settling.settle(services, dataset.name)
    return dataset


def held(home: Home) -> set[str]:
    return {path.name for path in home.datasets.iterdir() if path.is_file()}


# Removing


async def test_a_data_set_goes_with_its_policy_and_its_copy(services: Any, tmp_path: Path) -> None:
    await add(services, tmp_path)
    await services.store.run(lambda tx: catalogue.save_policy(tx, "ward", Policy.closed()))
    gone, copies = await keeping.remove(services, "ward")
    assert (gone.name, copies, held(services.home)) == ("ward", 1, set())
    assert await services.store.read(catalogue.datasets) == []
    assert await services.store.read(catalogue.policies) == {}
    with pytest.raises(InputError, match="there is no data set 'ward'"):
        await keeping.remove(services, "ward")


async def test_what_a_job_uses_is_not_removed_until_the_job_is_over(
    services: Any, tmp_path: Path
) -> None:
    made = await joined(services, await add(services, tmp_path))
    with pytest.raises(StateError, match="a job uses ward until it is over: 0x0101") as caught:
        await keeping.remove(services, "ward")
    assert caught.value.__notes__ == ["assay job show 01010101"]
    assert len(held(services.home)) == 1
    made.state = OwnerState(phase=JobPhase.CLOSED, dataset="ward")
    await keeping.remove(services, "ward")
    assert held(services.home) == set()


async def test_what_a_job_used_before_versions_were_noted_is_kept_too(
    services: Any, tmp_path: Path
) -> None:
    await add(services, tmp_path)
    await add(services, tmp_path, "measure", holdout=True)
    machine(services, 1, OwnerState(phase=JobPhase.TRAINING, dataset="ward"))
    mine = machine(services, 2, RequesterState(phase=JobPhase.TRAINING))

    def write(tx: Any) -> None:
        records.save_spec(tx, b"s" * 32, b"spec")
        jobs.save_job(tx, mine.key, "requester", b"s" * 32, "measure")

    await services.store.run(write)
    for name in ("ward", "measure"):
        with pytest.raises(StateError, match=f"a job uses {name}"):
            await keeping.remove(services, name)


async def test_a_copy_that_another_name_has_stays(services: Any, tmp_path: Path) -> None:
    await add(services, tmp_path)
    other = await add(services, tmp_path, "other")
    _, copies = await keeping.remove(services, "ward")
    assert (copies, held(services.home)) == (0, {other.digest.hex()})


async def test_the_same_file_finds_its_budget_again_under_any_name(
    services: Any, tmp_path: Path
) -> None:
    await added(services, await add(services, tmp_path))
    await charged(services, "ward")
    await keeping.remove(services, "ward")
    for name in ("ward", "fresh"):
        again = await added(services, await add(services, tmp_path, name))
        (entry,) = await services.store.read(lambda tx, of=again.name: ledger.entries(tx, of))
        assert (entry.dataset, entry.charged) == ("ward", 1)


async def test_an_older_version_finds_its_budget_too(services: Any, tmp_path: Path) -> None:
    await added(services, await add(services, tmp_path))
    await charged(services, "ward")
    await keeping.replace(services, "ward", tmp_path / "second.csv", Reading())
    assert await services.store.read(lambda tx: people.is_compared(tx, "ward"))
    await added(services, await add(services, tmp_path, "fresh"))
    (entry,) = await services.store.read(lambda tx: ledger.entries(tx, "fresh"))
    assert (entry.dataset, entry.charged) == ("ward", 1)


# Replacing


async def test_a_new_version_keeps_name_policy_map_and_ledger(
    services: Any, tmp_path: Path
) -> None:
    renames = keeping.encode_map(keeping.parse_map(MAP))
    old = await added(services, await add(services, tmp_path, renames=renames))
    open_ = dataclasses.replace(Policy.closed(), decided=True)
    await services.store.run(lambda tx: catalogue.save_policy(tx, "ward", open_))
    await charged(services, "ward")
    assert not await joins.join(services, old, job(2), b"\x11" * 20)
    new, _, kept = await keeping.replace(services, "ward", tmp_path / "second.csv", Reading())
    assert (new.rows, new.renames, kept) == (3, old.renames, ())
    assert [name for name, _ in new.columns] == ["years", "sick"]
    assert held(services.home) == {new.digest.hex()}
    assert await services.store.read(lambda tx: catalogue.load_dataset(tx, "ward")) == new
    assert await services.store.read(lambda tx: catalogue.policy_of(tx, "ward")) == open_
    (entry,) = await services.store.read(lambda tx: ledger.entries(tx, "ward"))
    assert entry.charged == 1
    assert await joins.others(services, new, b"") == {job(2)}


async def test_a_running_job_keeps_the_version_that_it_joined_with(
    services: Any, tmp_path: Path
) -> None:
    old = await add(services, tmp_path)
    made = await joined(services, old)
    before_notes = machine(services, 2, OwnerState(phase=JobPhase.TRAINING, dataset="ward"))
    new, _, kept = await keeping.replace(services, "ward", tmp_path / "second.csv", Reading())
    assert set(kept) == {made.key, before_notes.key}
    assert held(services.home) == {old.digest.hex(), new.digest.hex()}
    for each in (made, before_notes):
        rows = await compute._own_rows(services, Wanted(1, each, None))  # type: ignore[arg-type]
        assert (rows.directory, rows.digest) == (services.home.datasets, old.digest)
        assert (rows.name, rows.renames) == ("ward", "")
    later, _ = await keeping.set_map(services, "ward", MAP)
    rows = await compute.dataset_rows(services, "ward")
    assert (rows.digest, rows.renames) == (new.digest, later.renames)
    assert (await compute._own_rows(services, Wanted(1, made, None))).renames == ""  # type: ignore[arg-type]
    # A restart keeps both; once the jobs are over, the old version may go.
    assert await clear_copies(services.home, services.store) == 0
    for each in (made, before_notes):
        await services.store.run(lambda tx, key=each.key: versions.over(tx, key))
    assert await clear_copies(services.home, services.store) == 1
    assert held(services.home) == {new.digest.hex()}


async def test_a_file_that_does_not_do_changes_nothing(services: Any, tmp_path: Path) -> None:
    old = await add(services, tmp_path, renames=keeping.encode_map(keeping.parse_map(MAP)))
    (tmp_path / "other.csv").write_text("weight,sick\n1,0\n")
    for path, says in (("other.csv", "no column 'age'"), ("nowhere.csv", "cannot be read")):
        with pytest.raises(InputError, match=says):
            await keeping.replace(services, "ward", tmp_path / path, Reading())
    with pytest.raises(InputError, match="absolute"):
        await keeping.replace(services, "ward", Path("other.csv"), Reading())
    with pytest.raises(InputError, match="there is no data set 'lab'"):
        await keeping.replace(services, "lab", tmp_path / "first.csv", Reading())
    with pytest.raises(InputError, match="there is no column 'z'"):
        await keeping.set_map(services, "ward", '[columns]\nz = "y"\n')
    assert await services.store.read(catalogue.datasets) == [old]


async def test_a_job_does_not_join_with_a_version_that_is_gone(
    services: Any, tmp_path: Path
) -> None:
    old = await add(services, tmp_path)
    await services.store.run(lambda tx: catalogue.save_policy(tx, "ward", Policy.closed()))
    waiting = machine(services, 1, OwnerState(phase=JobPhase.WAITING))
    waiting.context.spec = noisy_spec(None)
    await keeping.replace(services, "ward", tmp_path / "second.csv", Reading())
    told = await considering.set_aside(services, waiting, old)
    assert told == "ward was changed or removed at this moment"


# Hold-outs


async def test_a_hold_out_is_offered_to_no_job(services: Any, tmp_path: Path) -> None:
    await add(services, tmp_path, "measure", holdout=True)
    await add(services, tmp_path)
    offered = await services.store.read(considering._agreed)
    assert [dataset.name for dataset, _ in offered] == ["ward"]
    from node.jobs.datasets.answers import offered as check

    with pytest.raises(InputError, match="measure is a hold-out"):
        check(await keeping.find(services, "measure"))


# Showing


async def test_a_job_is_shown_against_the_version_that_it_has(
    services: Any, tmp_path: Path
) -> None:
    made = await joined(services, await add(services, tmp_path))
    assert (await showing.show(services, "ward", None)).fit is None
    await keeping.replace(services, "ward", tmp_path / "second.csv", Reading())
    shown = await showing.show(services, "ward", made)
    assert (shown.rows, [each.high for each in shown.columns]) == (3, [50.0, 1.0])
    assert shown.fit is not None
    assert (shown.fit.rows, shown.fit.older) == (2, True)
    assert "has no column" in shown.fit.refused


# Crashes

_CHILD = """
import os, signal, sys
from pathlib import Path
from types import SimpleNamespace
import trio
from node.data import datasets
from node.data.reading import Reading
from node.home.home import Home
from node.jobs.datasets import keeping
from node.store.blobs import Blobs
from node.store.store import Store

home, file, what, moment = Home(Path(sys.argv[1])), Path(sys.argv[2]), sys.argv[3], sys.argv[4]

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

class Here:
    async def run(self, function, *args):
        return function(*args)

    run_aside = run

if moment == "imported":
    keeping._change = die
elif moment == "in the transaction":
    keeping.versions.forget_fits = die
elif moment == "stored":
    keeping.drop_copies = die
elif moment == "half of the copies gone":
    delete = Blobs.delete
    Blobs.delete = lambda self, digest: (delete(self, digest), die())
with Store.open(home.database) as store:
    services = SimpleNamespace(
        home=home,
        store=store,
        compute=Here(),
        engine=SimpleNamespace(machines={}),
        keys=SimpleNamespace(derive=lambda _: bytes(32)),
        config=SimpleNamespace(overlap=0.1),
    )
    if what == "replace":
        trio.run(keeping.replace, services, "ward", file, Reading())
    else:
        trio.run(keeping.remove, services, "ward")
"""


@pytest.mark.parametrize(
    ("what", "moment", "after"),
    [
        ("replace", "imported", "first"),
        ("replace", "in the transaction", "first"),
        ("replace", "stored", "second"),
        ("replace", "half of the copies gone", "second"),
        ("remove", "in the transaction", "first"),
        ("remove", "stored", "none"),
        ("remove", "half of the copies gone", "none"),
    ],
)
async def test_a_crash_leaves_the_old_data_set_or_the_new_one_whole(
    home: Home, tmp_path: Path, what: str, moment: str, after: str
) -> None:
    with Store.open(home.database) as store:
        services: Any = SimpleNamespace(home=home, store=store, compute=Here())
        old = await add(services, tmp_path)
        await store.run(lambda tx: catalogue.save_policy(tx, "ward", Policy.closed()))
    command = [sys.executable, "-c", _CHILD, str(home.path), str(tmp_path / "second.csv")]
    ended = await trio.to_thread.run_sync(
        lambda: subprocess.run(
            [*command, what, moment], env=environment(), capture_output=True, text=True, timeout=120
        )
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    with Store.open(home.database) as store:
        await clear_copies(home, store)
        found = await store.read(lambda tx: catalogue.load_dataset(tx, "ward"))
        policies = await store.read(catalogue.policies)
    if after == "none":
        assert (found, policies, held(home)) == (None, {}, set())
        return
    assert found is not None
    assert set(policies) == {"ward"}
    assert held(home) == {found.digest.hex()}
    assert (found.digest == old.digest) == (after == "first")
    terms: Any = SimpleNamespace(
        features=(keeping_feature(),), target=keeping_target(), beyond="refuse"
    )
    x, _ = load_matrix(home.datasets, found.digest, "ward", terms)
    assert len(x) == found.rows == {"first": 2, "second": 3}[after]


def keeping_feature() -> Any:
    from protocol.spec.parts import NumberFeature

    return NumberFeature("age", 0.0, 100.0)


def keeping_target() -> Any:
    from protocol.spec.parts import ClassTarget

    return ClassTarget("sick", ("0", "1"))
