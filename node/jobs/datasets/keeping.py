"""Removing and replacing data sets, and their column maps. What was told of them stays told.

The catalogue changes in one transaction, and only then do copies go: a crash at any instant leaves
the old data set or the new one, whole, and the next start removes what neither needs.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

from node.data.datasets import (
    SNAPSHOT_SAID,
    Imported,
    check_path,
    drop_copies,
    import_file,
    import_query,
    kinds_under,
)
from node.data.maps.declared import encode_map, parse_map
from node.data.reading import Reading
from node.data.sql.query import Query
from node.engine.engine import Machine
from node.engine.services import Services
from node.privacy import reserving, settling
from node.store import catalogue, jobs, people, versions
from node.store.catalogue import Dataset
from node.store.store import Transaction
from node.workers.compute import run_followed
from protocol.errors import InputError, StateError
from protocol.machines.job import OVER, JobPhase
from protocol.owner.state import OwnerState

#: No more is asked of the data in these, and in `OVER`.
_SETTLING = (JobPhase.FINISHING, JobPhase.PAYING)


async def find(services: Services, name: str) -> Dataset:
    """A data set by name. Raises InputError."""
    found = await services.store.read(lambda tx: catalogue.load_dataset(tx, name))
    if found is None:
        raise _unknown(name)
    return found


async def remove(services: Services, name: str) -> tuple[Dataset, int]:
    """Take a data set, its policy and its copies out; and how many copies went.

    Raises InputError (no such data set), StateError (a job that runs needs it). Its ledger and the
    jobs that it joined stay, and the same name or the same file finds them again.
    """
    ended = _ended(services)
    needed = await _without_note(services, name)

    def write(tx: Transaction) -> Dataset:
        dataset = catalogue.load_dataset(tx, name)
        if dataset is None:
            raise _unknown(name)
        using = {use.job for use in versions.uses(tx) if use.dataset == name} - ended
        if using | needed:
            raise _in_use(name, sorted(using | needed))
        for use in versions.uses(tx):
            if use.dataset == name:
                versions.over(tx, use.job)
        versions.forget_fits(tx, name)
        catalogue.delete_dataset(tx, name)
        return dataset

    sharing = await services.store.read(lambda tx: people.group(tx, name))
    dataset = await services.store.run(write)
    copies = await drop_copies(services.home, services.store, name)
    for each in sharing:
        if each != name:
            # Fewer data sets may share a budget now, so that more of its jobs fit it.
            await reserving.look_again(services, each)
    return dataset, copies


async def replace(
    services: Services,
    name: str,
    path: Path,
    reading: Reading,
    tell: Callable[[str], None] = lambda _: None,
) -> tuple[Dataset, tuple[str, ...], tuple[bytes, ...]]:
    """Import the file at `path` (absolute) as the next version of a data set; words about how it
    was read, and the jobs that go on with the version that they have. `tell` gets lines of how far
    it is.

    Name, policy, column map, budget and joined jobs stay, and a hold-out stays one. Raises
    InputError (no such data set, whatever is wrong with the file, or it cannot be compared with the
    others), StateError (it was changed meanwhile); then nothing changed.
    """
    check_path(path)
    before = await find(services, name)
    given = path, services.home.datasets, reading, before.renames
    imported = await run_followed(
        services.compute, services.home.datasets, tell, import_file, *given
    )
    return await _replace(services, before, str(path), imported)


async def replace_by_query(
    services: Services,
    name: str,
    asked: Query,
    password: str,
    tell: Callable[[str], None] = lambda _: None,
) -> tuple[Dataset, tuple[str, ...], tuple[bytes, ...]]:
    """The same by the rows that `asked` gives now. The password goes to the worker alone."""
    before = await find(services, name)
    given = asked, password, services.home.datasets, before.renames
    imported = await run_followed(
        services.compute, services.home.datasets, tell, import_query, *given
    )
    after, notes, kept = await _replace(services, before, asked.source, imported)
    return after, (*notes, SNAPSHOT_SAID), kept


async def _replace(
    services: Services, before: Dataset, source: str, imported: Imported
) -> tuple[Dataset, tuple[str, ...], tuple[bytes, ...]]:
    after = dataclasses.replace(
        before,
        source=source,
        digest=imported.copy.digest,
        rows=imported.rows,
        bytes=imported.copy.size,
        columns=imported.columns,
        added=time.time(),
        format=imported.written,
    )
    kept = await _change(services, before, after)
    try:
        await settling.settle(services, before.name)
    except InputError as error:
        # No job may use it, and the old version's copy is still there.
        await _change(services, after, before)
        await drop_copies(services.home, services.store, before.name)
        raise InputError(f"{error}; {before.name} is as it was", "data") from error
    await drop_copies(services.home, services.store, before.name)
    return after, imported.notes, kept


async def set_map(services: Services, name: str, text: str) -> tuple[Dataset, tuple[bytes, ...]]:
    """Give a data set the column map that a TOML text declares (empty: none); and the jobs that go
    on with the one that they have. Raises InputError, StateError, as `replace` does."""
    renames = encode_map(parse_map(text)) if text else ""
    before = await find(services, name)
    columns = await services.compute.run(
        kinds_under, services.home.datasets, before.digest, renames
    )
    after = dataclasses.replace(before, renames=renames, columns=columns)
    kept = await _change(services, before, after)
    await drop_copies(services.home, services.store, name)
    return after, kept


async def _change(services: Services, before: Dataset, after: Dataset) -> tuple[bytes, ...]:
    """Put `after` in the place of `before`; the jobs that keep `before`. Its copy stays for now."""
    ended = _ended(services)
    unnoted = await _without_note(services, before.name)

    def write(tx: Transaction) -> tuple[bytes, ...]:
        if catalogue.load_dataset(tx, before.name) != before:
            raise StateError(f"{before.name} was changed meanwhile; look again, then try again")
        versions.keep(tx, unnoted, before)
        using = [use.job for use in versions.uses(tx) if use.dataset == before.name]
        catalogue.change_dataset(tx, after)
        versions.forget_fits(tx, before.name)
        return tuple(job for job in using if job not in ended)

    return await services.store.run(write)


def _ended(services: Services) -> frozenset[bytes]:
    """Jobs that ask nothing more of anybody's data. They never begin again."""
    machines = services.engine.machines.items()
    return frozenset(job for job, m in machines if m.state.phase in (*OVER, *_SETTLING))


async def _without_note(services: Services, name: str) -> frozenset[bytes]:
    """Jobs that run and use a data set, of before their versions were noted."""
    rows = await services.store.read(jobs.jobs)
    holdouts = {row.job for row in rows if row.holdout == name}
    ended = _ended(services)

    def uses(machine: Machine) -> bool:
        state = machine.state
        if isinstance(state, OwnerState):
            return state.dataset == name
        return machine.key in holdouts

    using = [m.key for m in services.engine.machines.values() if uses(m)]
    return frozenset(using) - ended


def _in_use(name: str, using: list[bytes]) -> StateError:
    shown = ", ".join(f"0x{job.hex()[:8]}" for job in using[:5])
    more = f" and {len(using) - 5} more" if len(using) > 5 else ""
    one = "a job uses" if len(using) == 1 else f"{len(using)} jobs use"
    error = StateError(f"{one} {name} until it is over: {shown}{more}; nothing was removed")
    error.add_note(f"assay job show {using[0].hex()[:8]}")
    return error


def _unknown(name: str) -> InputError:
    error = InputError(f"there is no data set {name!r}", "dataset")
    error.add_note("assay data list")
    return error
