"""Checks of what a node keeps: the store, transactions, blobs, data sets and their policies."""

from __future__ import annotations

from node.console.amounts import size
from node.doctor.checks.blanks import blank
from node.doctor.checks.home import named
from node.doctor.findings import Finding, count, failure, not_asked, ok, warning
from node.doctor.seen import Blank, DatasetSeen, Seen
from node.store.blobs import DEFAULT_QUOTA_BYTES
from node.store.migrations import MIGRATIONS
from node.store.store import APPLICATION_ID

_COPY = "restore assay.db from a copy of the home, with the daemon stopped"


def store(seen: Seen) -> Finding:
    """The store is whole, and this assay's."""
    found = seen.store
    if isinstance(found, Blank):
        return blank("the store", found, _COPY)
    if found.application != APPLICATION_ID:
        return failure("assay.db is not assay's database", "mv assay.db ELSEWHERE, then assay up")
    newest = len(MIGRATIONS)
    if found.version > newest:
        text = f"the store has version {found.version}, and this assay knows up to {newest}"
        return failure(text, "run the newer assay that has used this home")
    if found.faults:
        return failure(f"the store is damaged: {'; '.join(found.faults)}", _COPY)
    rows = sum((found.counts or {}).values())
    if not found.whole:
        text = (
            f"the store is large: no fault was found in the time that a check has ({rows:,} rows)"
        )
        return warning(text, 'assay down, then: sqlite3 assay.db "PRAGMA quick_check"')
    old = f"; the next `assay up` brings it to {newest}" if found.version < newest else ""
    return ok(f"the store is whole: {rows:,} rows, version {found.version}{old}")


def transactions(seen: Seen) -> Finding:
    """Nothing keeps a transaction from the chain."""
    found = seen.store
    if isinstance(found, Blank):
        return blank("transactions", Blank("the store was not read", asked=False))
    if found.faults or found.counts is None:
        return not_asked("transactions: the store is damaged")
    if found.troubles:
        text = count(found.waiting, "transaction", "waits", "wait")
        return warning(text, "assay jobs says what waits for it", found.troubles[0])
    return ok(f"{count(found.waiting, 'transaction')} under way, none with trouble")


def blobs(seen: Seen) -> Finding:
    """Blobs are what their names say, and have room."""
    found = seen.blobs
    if isinstance(found, Blank):
        return blank("blobs", found)
    if found.damaged:
        text = (
            count(len(found.damaged), "damaged blob") + " (its content is not what its name says): "
        )
        fix = "check the disk; remove them from blobs/: what peers have is fetched again"
        return failure(text + named([name[:16] for name in found.damaged]), fix)
    held = f"{count(found.blobs, 'blob')}, {size(found.bytes)}; {found.compared} compared"
    if found.bytes > DEFAULT_QUOTA_BYTES * 9 // 10:
        text = f"blobs nearly fill their {size(DEFAULT_QUOTA_BYTES)}: {held}"
        return warning(text, "assay jobs: jobs that are over give their blobs back")
    return ok(f"{held}{'; there are more' if found.more else ''}")


def _datasets(seen: Seen) -> tuple[DatasetSeen, ...] | Finding:
    found = seen.store
    if isinstance(found, Blank):
        return not_asked("data sets: the store was not read")
    if found.faults or found.counts is None:
        return not_asked("data sets: the store is damaged")
    return found.datasets


def copies(seen: Seen) -> Finding:
    """This node's copies of data sets are those that were added."""
    found = _datasets(seen)
    if isinstance(found, Finding):
        return found
    gone = [each.name for each in found if each.held is None]
    if gone:
        text = f"the copy of {named(gone)} is gone from datasets/"
        return failure(text, f"restore datasets/, or: assay data replace {gone[0]} FILE")
    other = [each.name for each in found if each.held != each.bytes or each.same is False]
    if other:
        text = f"the copy of {named(other)} is not what was added"
        return failure(text, f"check the disk; then: assay data replace {other[0]} FILE")
    compared = sum(each.same is True for each in found)
    return ok(f"{count(len(found), 'data set')}, {compared} compared byte for byte")


def sources(seen: Seen) -> Finding:
    """Files that data sets came from are as they were."""
    found = _datasets(seen)
    if isinstance(found, Finding):
        return found
    changed = [each.name for each in found if each.source == "changed"]
    if changed:
        text = f"the file of {named(changed)} changed since it was added; jobs use the copy"
        return warning(text, f"assay data replace {changed[0]} FILE, if jobs should use it")
    gone = [each.name for each in found if each.source == "gone"]
    if gone:
        text = f"the file of {named(gone)} is no longer there; jobs use the copy"
        return warning(text, "nothing, if that is meant; backups of the home have the copy")
    return ok(f"no file of {count(len(found), 'data set')} changed")


def policies(seen: Seen) -> Finding:
    """Every data set has a policy, or is a hold-out."""
    found = _datasets(seen)
    if isinstance(found, Finding):
        return found
    open_ = [each.name for each in found if not each.decided and not each.holdout]
    if open_:
        text = f"{named(open_)} has no policy, and takes no job"
        return warning(text, f"assay policy show {open_[0]}, then: assay policy set")
    return ok(f"all of {count(len(found), 'data set')} have a policy, or are hold-outs")
