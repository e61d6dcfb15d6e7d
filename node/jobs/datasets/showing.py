"""What an owner is shown of a data set: its columns, and how a job's spec fits its rows.

Workers read the copy; what they find goes to the control socket and nowhere else.
"""

from __future__ import annotations

import math

from node.control import data_results as d
from node.data.datasets import columns_in, fit_in
from node.engine.engine import Machine
from node.engine.services import Services
from node.jobs.datasets.keeping import find
from node.store import versions
from node.store.catalogue import Dataset


async def show(services: Services, name: str, machine: Machine | None) -> d.DatasetView:
    """A data set as it is now; against a job, as the version that the job has, if it has one.

    Raises InputError (no such data set), FatalError (its copy is damaged).
    """
    dataset = await find(services, name)
    place = services.home.datasets, dataset.digest, dataset.renames
    columns = await services.compute.run(columns_in, *place)
    return d.DatasetView(
        name=name,
        path=dataset.source,
        rows=dataset.rows,
        bytes=dataset.bytes,
        added_at=dataset.added,
        holdout=dataset.holdout,
        mapped=bool(dataset.renames),
        format=dict(dataset.format),
        columns=tuple(
            d.DatasetColumn(
                name=each.name,
                column=each.column,
                kind=each.kind,
                gaps=each.gaps,
                numbers=each.numbers,
                low=_shown(each.low),
                high=_shown(each.high),
                distinct=each.distinct,
                words=tuple(d.DatasetWord(word, count) for word, count in each.words),
            )
            for each in columns
        ),
        column_count=len(dataset.columns),
        fit=None if machine is None else await _fit(services, dataset, machine),
    )


async def _fit(services: Services, dataset: Dataset, machine: Machine) -> d.DatasetFit:
    used = await services.store.read(lambda tx: versions.use_of(tx, machine.key))
    digest, renames, older = dataset.digest, dataset.renames, False
    if used is not None and used.dataset == dataset.name:
        older = (used.digest, used.renames) != (digest, renames)
        digest, renames = used.digest, used.renames
    spec = machine.context.spec
    found = await services.compute.run(fit_in, services.home.datasets, digest, renames, spec)
    return d.DatasetFit(
        job="0x" + machine.key.hex(),
        rows=found.rows,
        usable=found.usable,
        refused=found.refused,
        older=older,
        unit=found.unit,
        reasons=tuple(
            d.DatasetMisfit(
                each.column, each.empty, each.declared, each.rows, each.lines, each.cells
            )
            for each in found.misfits
        ),
    )


def _shown(value: float) -> float | None:
    """JSON has no NaN."""
    return value if math.isfinite(value) else None
