"""Answers of the control socket about this home's data sets: added, listed, changed, removed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from node.control import data_results as d
from node.control import results as r
from node.control.events import EventBus
from node.data.datasets import add_dataset, add_query
from node.data.maps.declared import encode_map, parse_map
from node.data.reading import declared
from node.data.sql.query import query
from node.engine.engine import Machine
from node.engine.services import Services
from node.jobs.datasets import keeping, showing
from node.privacy import budgets, settling
from node.store import catalogue, people, versions
from node.store.catalogue import Dataset
from node.store.store import Transaction
from protocol.errors import AssayError, InputError
from protocol.owner.state import OwnerState

#: Columns that one answer names.
_SHOWN = 256


class Datasets:
    """Data sets of this node. `changed` is awaited after each change: counts, jobs that wait."""

    def __init__(
        self, services: Services, bus: EventBus, changed: Callable[[], Awaitable[None]]
    ) -> None:
        self._services = services
        self._bus = bus
        self._changed = changed

    async def add(
        self,
        name: str,
        path: str,
        separator: str | None,
        decimal: str | None,
        encoding: str | None,
        other_people: tuple[str, ...],
        columns: str | None,
        holdout: bool,
        header: bool | None,
        names: tuple[str, ...],
        images: tuple[str, ...] = (),
    ) -> r.Dataset:
        """`NodeApi.data_add`."""
        reading = declared(separator, decimal, encoding, header, names, images)
        services, renames = self._services, _renames(columns)
        await settling.check_names(services, other_people)
        dataset, notes = await add_dataset(
            services.home,
            services.store,
            services.compute,
            name,
            Path(path),
            reading,
            renames=renames,
            holdout=holdout,
            tell=self._reading(name),
        )
        return await self.added(dataset, notes, other_people)

    async def add_sql(
        self,
        name: str,
        sql: str,
        url: str,
        password: str | None,
        other_people: tuple[str, ...],
        columns: str | None,
        holdout: bool,
    ) -> r.Dataset:
        """`NodeApi.data_add_sql`."""
        services, asked, renames = self._services, query(sql, url), _renames(columns)
        await settling.check_names(services, other_people)
        dataset, notes = await add_query(
            services.home,
            services.store,
            services.compute,
            name,
            asked,
            password or "",
            renames=renames,
            holdout=holdout,
            tell=self._reading(name),
        )
        return await self.added(dataset, notes, other_people)

    def _reading(self, name: str) -> Callable[[str], None]:
        """Events of how far `data add` or `data replace` is."""

        def tell(line: str) -> None:
            self._bus.publish("data.reading", f"{name}: {line}", facts={"dataset": name})

        return tell

    async def added(
        self, dataset: Dataset, notes: tuple[str, ...], other_people: tuple[str, ...] = ()
    ) -> r.Dataset:
        """A new data set as it is shown, compared with the others and held against jobs. One that
        cannot be compared is taken out again: a command that fails leaves nothing."""
        services, name = self._services, dataset.name
        self._reading(name)("comparing its rows with those of other data sets")
        try:
            await settling.settle(services, name, other_people)
            # A name that is used again keeps what it has told.
            spent = await budgets.spent(services, name)
        except AssayError as error:
            await keeping.remove(services, name)
            raise InputError(f"{error}; nothing was added", "data") from error
        self._bus.publish("data.added", f"{name}: {dataset.rows} rows")
        await self._changed()
        return self._shown(dataset, False, spent, await self._same(name), notes)

    async def _same(self, name: str) -> tuple[str, ...]:
        """Other names that share a data set's budget."""
        group = await self._services.store.read(lambda tx: people.group(tx, name))
        return tuple(each for each in group if each != name)

    async def list(self) -> tuple[r.Dataset, ...]:
        """`NodeApi.data_list`."""

        def load(tx: Transaction) -> list[tuple[Dataset, bool]]:
            policies = catalogue.policies(tx)
            return [(each, each.name in policies) for each in catalogue.datasets(tx)]

        found = await self._services.store.read(load)
        shown = []
        for each, decided in found:
            spent = await budgets.spent(self._services, each.name)
            shown.append(self._shown(each, decided, spent, await self._same(each.name)))
        return tuple(shown)

    async def show(self, name: str, machine: Machine | None) -> d.DatasetView:
        """`NodeApi.data_show`."""
        return await showing.show(self._services, name, machine)

    async def replace(
        self,
        name: str,
        path: str,
        separator: str | None,
        decimal: str | None,
        encoding: str | None,
        header: bool | None,
        names: tuple[str, ...],
        images: tuple[str, ...] = (),
    ) -> d.DatasetChanged:
        """`NodeApi.data_replace`."""
        given = Path(path), declared(separator, decimal, encoding, header, names, images)
        before = await self._same(name)
        done = await keeping.replace(self._services, name, *given, self._reading(name))
        return await self._replaced(name, before, done)

    async def replace_sql(
        self, name: str, sql: str, url: str, password: str | None
    ) -> d.DatasetChanged:
        """`NodeApi.data_replace_sql`."""
        given = query(sql, url), password or ""
        before = await self._same(name)
        done = await keeping.replace_by_query(self._services, name, *given, self._reading(name))
        return await self._replaced(name, before, done)

    async def _replaced(
        self,
        name: str,
        before: tuple[str, ...],
        done: tuple[Dataset, tuple[str, ...], tuple[bytes, ...]],
    ) -> d.DatasetChanged:
        """A new version as it is shown; names that share its budget only now are said."""
        dataset, notes, kept = done
        if fresh := [each for each in await self._same(name) if each not in before]:
            said = f"it has rows of {', '.join(fresh)}: they share one privacy budget now"
            notes = (*notes, f"{said} (assay privacy)")
        self._bus.publish("data.replaced", f"{name}: {dataset.rows} rows")
        await self._changed()
        return _changed(dataset, kept, notes)

    async def map(self, name: str, columns: str | None) -> d.DatasetChanged:
        """`NodeApi.data_map`."""
        dataset, kept = await keeping.set_map(self._services, name, columns or "")
        self._bus.publish("data.mapped", name)
        await self._changed()
        return _changed(dataset, kept, ())

    async def remove(self, name: str) -> d.DatasetRemoved:
        """`NodeApi.data_remove`."""
        _, copies = await keeping.remove(self._services, name)
        told = await self._services.store.read(lambda tx: versions.has_told(tx, name))
        self._bus.publish("data.removed", name)
        await self._changed()
        return d.DatasetRemoved(name, copies, told)

    def _shown(
        self,
        dataset: Dataset,
        decided: bool,
        spent: float | None,
        same: tuple[str, ...],
        notes: tuple[str, ...] = (),
    ) -> r.Dataset:
        names = tuple(name for name, _ in dataset.columns)
        machines = self._services.engine.machines.values()
        used = sum(
            isinstance(m.state, OwnerState) and m.state.dataset == dataset.name for m in machines
        )
        return r.Dataset(
            name=dataset.name,
            path=dataset.source,
            rows=dataset.rows,
            columns=names[:_SHOWN],
            column_count=len(names),
            bytes=dataset.bytes,
            digest=dataset.digest,
            added_at=dataset.added,
            decided=decided,
            jobs=used,
            epsilon_spent=spent,
            same=same,
            notes=notes,
            holdout=dataset.holdout,
        )


def offered(dataset: Dataset) -> None:
    """Raise `InputError` for a hold-out, which is offered to no job and has no policy."""
    if dataset.holdout:
        error = InputError(
            f"{dataset.name} is a hold-out: it measures your own jobs and is offered to none",
            "dataset",
        )
        error.add_note("assay data list")
        raise error


def _renames(columns: str | None) -> str:
    return "" if columns is None else encode_map(parse_map(columns))


def _changed(dataset: Dataset, kept: tuple[bytes, ...], notes: tuple[str, ...]) -> d.DatasetChanged:
    names = tuple(name for name, _ in dataset.columns)
    ids = tuple("0x" + job.hex() for job in kept)
    return d.DatasetChanged(dataset.name, dataset.rows, names[:_SHOWN], len(names), ids, notes)
