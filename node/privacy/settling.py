"""One budget for the same people: each data set is compared with all that this node has or had.

Before a job may use a version of a data set, a keyed sketch of its rows is stored, with links to
the data sets that share more than a part of their rows with it (`privacy.overlap` in config.toml).
Linked data sets are one group, along any chain of links: the ledger and the count of jobs without
noise take them for one. A group that grows holds more than before, so its running jobs are looked
at again in the transaction that stores the link.

A data set's version that has no sketch yet is compared when it is first asked for: one that an
earlier assay added, or one that a crash cut off. Nothing of a sketch is ever sent to anybody.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from node.engine.services import Services
from node.privacy import ledger, reserving
from node.privacy.ledger import Entry, Limit
from node.privacy.sketching import SketchKeys, compare, sketch_copy
from node.store import catalogue, people
from node.store.people import Link, Version
from node.store.store import Transaction
from node.workers.compute import WorkerDied, in_worker
from protocol.errors import AssayError, InputError

log = logging.getLogger("assay.privacy")


@dataclass(frozen=True, slots=True)
class _Look:
    """What a comparison was made on: if it has changed since, it is made again."""

    versions: tuple[Version, ...]
    names: tuple[str, ...]
    limit: Limit
    entries: tuple[Entry, ...]


async def settle(services: Services, dataset: str, apart: Collection[str] = ()) -> None:
    """Compare a data set, as it is now, with all others, durably; nothing if that was done.

    `apart` are names whose data sets hold other people, by the owner's own word. Raises InputError
    where the copy cannot be read; then no job may use it.
    """
    found, missing = await services.store.read(lambda tx: _version(tx, dataset))
    if found is None:
        return
    if not missing:
        if apart:
            await services.store.run(lambda tx: _take_apart(tx, found, apart))
            for name in (dataset, *apart):
                await reserving.look_again(services, name)
        return
    try:
        await _compare(services, found, apart)
    except AssayError as error:
        raise InputError(
            f"{dataset} cannot be compared with this node's other data sets: {error}", "data"
        ) from error


async def _compare(services: Services, found: Version, apart: Collection[str]) -> None:
    keys = sketch_keys(services)
    # Of a large data set it takes minutes, which no round must wait for.
    copy = services.home.datasets, found.digest
    sketch = await in_worker(services.compute, sketch_copy, *copy, keys, aside=True)
    parts: dict[Version, float] = {}
    while True:
        known = await services.store.read(people.versions)
        for each in known:
            if each not in parts:
                parts[each] = await _part(services, sketch, each, keys)
        links = [
            # The same bytes are the same people, whatever is said of them.
            Link(found, each, parts[each], each.dataset in apart and each.digest != found.digest)
            for each in known
            if parts[each] > services.config.overlap and each.dataset != found.dataset
        ]
        if await _enter(services, found, sketch, links, apart, known):
            return


async def settle_all(services: Services) -> None:
    """Compare every data set that was not yet: those of an earlier assay. One that cannot be read
    takes no job, and stops no other."""
    for each in await services.store.read(catalogue.datasets):
        try:
            await settle(services, each.name)
        except (InputError, WorkerDied) as error:
            log.warning("%s", error)


def sketch_keys(services: Services) -> SketchKeys:
    """The node's own, from its identity: the same for its life."""
    return SketchKeys(services.keys.derive("prints of rows"), services.keys.derive("sketches"))


async def check_names(services: Services, names: Collection[str]) -> None:
    """Raise InputError unless data sets of all `names` are or were here."""
    known = {each.dataset for each in await services.store.read(people.versions)}
    known |= {each.name for each in await services.store.read(catalogue.datasets)}
    missing = sorted(set(names) - known)
    if missing:
        error = InputError(f"there is no data set {missing[0]!r}", "other_people")
        error.add_note("assay data list")
        raise error


async def _enter(
    services: Services,
    version: Version,
    sketch: bytes,
    links: Sequence[Link],
    apart: Collection[str],
    known: tuple[Version, ...],
) -> bool:
    """Store sketch and links, and which running jobs still fit; False if the ledger has changed
    since it was looked at."""
    linked = sorted({each.other.dataset for each in links if not each.apart})
    names = (version.dataset, *linked)

    def look(tx: Transaction) -> _Look:
        limit, entries = ledger.limit_of(tx, *names), ledger.entries(tx, *names)
        return _Look(people.versions(tx), people.group(tx, *names), limit, entries)

    seen = await services.store.read(look)
    if seen.versions != known:
        return False
    fitting = await reserving.fitting(services, seen.entries, seen.limit) if linked else None

    def write(tx: Transaction) -> bool:
        if look(tx) != seen:
            return False
        people.save_sketch(tx, version, sketch)
        for each in links:
            people.save_link(tx, each)
        _take_apart(tx, version, apart)
        if fitting is not None:
            ledger.renew(tx, version.dataset, fitting, seen.limit)
        return True

    return await services.store.run(write)


async def _part(services: Services, sketch: bytes, other: Version, keys: SketchKeys) -> float:
    held = await services.store.read(lambda tx: people.load_sketch(tx, other))
    if held is None:
        return 0.0  # removed just now, and never used
    return await in_worker(services.compute, compare, sketch, held, keys, aside=True)


def _take_apart(tx: Transaction, version: Version, apart: Collection[str]) -> None:
    """The owner's word holds for the same bytes under every name."""
    for name in apart:
        people.part(tx, version.digest, name)


def _version(tx: Transaction, dataset: str) -> tuple[Version | None, bool]:
    """A data set's version, and whether it is still to be compared."""
    found = catalogue.load_dataset(tx, dataset)
    if found is None or found.holdout:
        return None, False  # a hold-out set takes no job, and must not hold two others together
    return Version(dataset, found.digest), not people.is_compared(tx, dataset)
