"""A machine in parts: what whole ones become, and what a step writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgpack
import pytest
from kits import paths
from kits.books import make_job
from kits.requester import RequesterKit, requester_at

from node.store import records
from node.store.migrations import MIGRATIONS
from node.store.store import Store, Transaction
from protocol.machines.job import JobPhase
from protocol.owner.state import OwnerState
from protocol.requester.state import RequesterState
from protocol.wire.codec import encode
from protocol.wire.parts import changes, head, join

#: Rows that the last version without parts wrote: every moment of both machines' jobs.
WHOLE = json.loads((paths.VECTORS / "store" / "whole_machines.json").read_text())
CLASSES: dict[str, type[Any]] = {"owner": OwnerState, "requester": RequesterState}
LIMIT = 1 << 20


def loaded(tx: Transaction, kind: str, key: bytes) -> tuple[int, Any]:
    machine = records.load_machine(tx, kind, key)
    assert machine is not None
    parts = records.load_parts(tx, kind, key)
    return machine.seq, join(CLASSES[kind], machine.state, parts, LIMIT)


def by_place(state: list[Any]) -> list[Any]:
    """A whole state with what was in the order of its arrival in the order of members."""
    found = list(state)
    found[19] = sorted(found[19])  # owed
    if found[17] is not None:
        found[17] = list(found[17])
        for index in (6, 7):  # ready, refused
            found[17][index] = sorted(found[17][index])
    return found


def test_machines_that_were_stored_whole_are_brought_over(tmp_path: Path) -> None:
    path = tmp_path / "assay.db"
    with Store.open(path, MIGRATIONS[: WHOLE["version"]]) as store, store.transaction() as tx:
        for row in WHOLE["machines"]:
            values = row["kind"], bytes.fromhex(row["key"]), row["seq"], bytes.fromhex(row["state"])
            tx.execute("INSERT INTO machines VALUES (?, ?, ?, ?, 0)", values)
    with Store.open(path) as store, store.snapshot() as tx:
        for row in WHOLE["machines"]:
            seq, state = loaded(tx, row["kind"], bytes.fromhex(row["key"]))
            assert seq == row["seq"]
            was = msgpack.unpackb(bytes.fromhex(row["state"]))
            if row["kind"] == "requester":
                was = by_place(was)
                for owed in was[19]:
                    owed.append(None)
            # What proofs brought: nothing so far.
            was += [[]] if row["kind"] == "owner" else [None, []]
            assert msgpack.unpackb(encode(state)) == was, row["moment"]
        crowded = next(row for row in WHOLE["machines"] if row["moment"] == "crowded")
        fields = {part.field for part in records.load_parts(tx, "requester", _key(crowded))}
    assert {"enrolments", "owed", "liars", "records", "unpaid", "declined"} <= fields
    assert {"round.ready", "round.refused"} <= fields


def _key(row: dict[str, Any]) -> bytes:
    return bytes.fromhex(row["key"])


def test_a_damaged_machine_does_not_keep_a_store_from_being_brought_over(tmp_path: Path) -> None:
    path, damaged = tmp_path / "assay.db", b"\xdc\x00\x20 no state"
    with Store.open(path, MIGRATIONS[: WHOLE["version"]]) as store, store.transaction() as tx:
        tx.execute("INSERT INTO machines VALUES ('requester', x'00', 1, ?, 0)", (damaged,))
    with Store.open(path) as store, store.snapshot() as tx:
        machine = records.load_machine(tx, "requester", b"\0")
    assert machine is not None
    assert machine.state == damaged


def test_parts_that_are_gone_are_deleted(tmp_path: Path) -> None:
    kit = requester_at(JobPhase.TRAINING)
    with Store.open(tmp_path / "assay.db") as store:
        keep(store, None, kit.state)
        before = kit.state
        kit.ready(0)
        keep(store, before, kit.state)
        with store.snapshot() as tx:
            assert "round.ready" in {part.field for part in records.load_parts(tx, "r", b"k")}
        before = kit.state
        kit.tick(kit.round.opening.ready_until)
        kit.tick(kit.round.retry_at)  # another attempt, in which nobody is ready yet
        keep(store, before, kit.state)
        with store.snapshot() as tx:
            parts = records.load_parts(tx, "r", b"k")
            machine = records.load_machine(tx, "r", b"k")
    assert machine is not None
    assert "round.ready" not in {part.field for part in parts}
    assert join(RequesterState, machine.state, parts, LIMIT) == kit.state


def keep(store: Store, before: RequesterState | None, after: RequesterState) -> None:
    with store.transaction() as tx:
        machine = records.Machine("r", b"k", 0, head(after))
        records.save_machine(tx, machine, changes(before, after))


@pytest.mark.parametrize("owners", [16, 160])
def test_what_a_step_stores_does_not_grow_with_the_owners(owners: int) -> None:
    """Bytes, counted: a head and the entries that changed. Steps that are about a whole block or
    the whole cohort (freezing, committing, the next opening) are few; all others are held to it."""
    kit = requester_at(
        JobPhase.ENROLLING, make_job(owners, rounds=1, block_size=16, min_owners=owners)
    )
    written = [0]

    def counted(do: Any, member: int) -> None:
        before = kit.state
        do(kit, member)
        parts = changes(before, kit.state)
        written[0] = max(written[0], len(head(kit.state)) + sum(len(p.body) for p in parts))
        assert len(parts) <= 2

    for member in range(owners):
        counted(RequesterKit.enrol, member)
    kit.listed()
    kit.initial_model()
    kit.rooted()
    kit.seeded()
    for member in range(owners - 1):
        counted(RequesterKit.ready, member)
    kit.ready(owners - 1)
    kit.rosters_stored()
    going = kit.going
    for member in going[:-1]:
        counted(RequesterKit.contribute, member)
        counted(lambda kit, member: kit.arrive(kit.batch(member)), member)
        counted(RequesterKit.sound, member)
    kit.contributed(going[-1])
    kit.final()
    for block in kit.round.blocks:
        for member in block.members[:-1]:
            counted(RequesterKit.release, member)
    assert 0 < written[0] < 2000
