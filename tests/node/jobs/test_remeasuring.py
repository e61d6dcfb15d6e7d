"""What an auditor fetches to measure worth again, and what it does not take from a hostile one."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio
from kits.books import HOLDOUT, Books, make_books, make_job

from node.engine.engine import Machine
from node.jobs import remeasuring
from node.net.errors import FetchFailed
from node.store.blobs import BlobRef, Blobs
from node.work import remeasure
from node.workers.compute import WorkerDied
from protocol.books.evidence import encode_evidence
from protocol.books.remeasured import NOT_MEASURED, Remeasured
from protocol.errors import Malformed
from protocol.machines.job import JobPhase
from protocol.machines.machine import JobContext
from protocol.machines.round import Role
from protocol.owner.state import OwnerState
from protocol.params import MAX_RECORD_BYTES
from protocol.spec.job import MeritBy, encode_spec
from protocol.spec.merit import sums_bytes

RECORD = b"\x08" * 32
SUMS = BlobRef(b"\x09" * 32, 100)


class Swarm:
    """Peers that hold blobs by digest; what was asked for."""

    peer_id_bytes = b"me"

    def __init__(self, blobs: Blobs, held: dict[bytes, int]) -> None:
        self._blobs, self._held = blobs, held
        self.asked: list[tuple[bytes, int]] = []

    async def fetch(self, digest: bytes, size: int, peers: list[str], sink: Any) -> None:
        self.asked.append((digest, size))
        if self._held.get(digest) != size:
            raise FetchFailed(digest, {})
        self._blobs.path(digest).write_bytes(bytes(size))


def services_of(tmp_path: Path, books: Books, held: dict[bytes, int], sums: Any) -> Any:
    tmp_path.mkdir(exist_ok=True)
    blobs = Blobs(tmp_path)
    blobs.put(encode_evidence(books.evidence))
    for data, _ in books.lists.values():
        blobs.put(data)

    def blob(digest: bytes) -> BlobRef:
        size = blobs.size(digest)
        assert size is not None
        return BlobRef(digest, size)

    async def run(function: Any, *args: Any) -> Any:
        if function is remeasure.sums_of:
            if isinstance(sums, Exception):
                raise sums
            return sums
        assert function is remeasure.remeasure
        _, record, holdout, steps, members = args
        assert (holdout.digest, members) == (HOLDOUT, 15)
        assert [step.number for step in steps] == [0, 1]
        assert all(len(step.blocks) == 3 for step in steps)
        return Remeasured((1,) * 15, "" if record else "no record")

    async def spec_bytes(context: JobContext) -> bytes:
        return encode_spec(context.spec)

    return SimpleNamespace(
        blobs=blobs,
        blob=blob,
        home=SimpleNamespace(blobs=tmp_path),
        swarm=Swarm(blobs, held),
        compute=SimpleNamespace(run_aside=run),
        spec_bytes=spec_bytes,
    )


def books_of(by: MeritBy = MeritBy.WORTH, **named: Any) -> Books:
    made = make_books(make_job(15, min_owners=15, merit_by=by), [(0, 1, 2)] * 2)
    told = {"holdout_digest": HOLDOUT, "holdout_size": 70, "record_digest": RECORD}
    return made.with_evidence(**{**told, "record_size": 60, **named})


async def measured(
    tmp_path: Path, books: Books, held: dict[bytes, int], sums: Any = (SUMS,)
) -> tuple[Remeasured, list[tuple[bytes, int]]]:
    services = services_of(tmp_path, books, held, sums)
    job = books.job
    me = job.people[0]
    context = JobContext(job.id, job.spec, 1000, job.spec_digest, me.peer, me.account, job.cohort)
    state = OwnerState(phase=JobPhase.CLOSED, evidence_digest=books.evidence_digest)
    found = await remeasuring.remeasured(services, Machine(Role.OWNER, context, state))
    return found, services.swarm.asked


ALL = {HOLDOUT: 70, RECORD: 60, SUMS.digest: SUMS.size}


async def test_everything_is_fetched_once_and_measured(tmp_path: Path) -> None:
    found, asked = await measured(tmp_path, books_of(), ALL)
    assert found == Remeasured((1,) * 15)
    assert asked == [(HOLDOUT, 70), (RECORD, 60), (SUMS.digest, SUMS.size)]


@pytest.mark.parametrize("missing", [HOLDOUT, RECORD, SUMS.digest])
async def test_what_nobody_has_is_said(tmp_path: Path, missing: bytes) -> None:
    held = {digest: size for digest, size in ALL.items() if digest != missing}
    found, _ = await measured(tmp_path, books_of(), held)
    assert found == NOT_MEASURED


async def test_a_job_without_a_record_is_measured_by_its_models_alone(tmp_path: Path) -> None:
    books = books_of(record_digest=b"", record_size=0)
    found, asked = await measured(tmp_path, books, ALL)
    assert (found.fault, asked) == ("no record", [(HOLDOUT, 70)])


@pytest.mark.parametrize("by", [MeritBy.DISCRETION, MeritBy.EQUAL])
async def test_nothing_is_fetched_where_nothing_is_published(tmp_path: Path, by: MeritBy) -> None:
    assert await measured(tmp_path, books_of(by), ALL) == (NOT_MEASURED, [])


async def test_sizes_that_no_job_has_are_not_fetched(tmp_path: Path) -> None:
    long = books_of(record_size=MAX_RECORD_BYTES + 1)
    found, asked = await measured(tmp_path, long, ALL)
    assert f"has {MAX_RECORD_BYTES + 1} bytes" in found.fault
    assert asked == []
    most = sums_bytes(long.job.spec)
    for size, fits in ((most, True), (most + 1, False)):
        each = BlobRef(bytes([7, fits]) * 16, size)
        held = {**ALL, each.digest: size}
        found, asked = await measured(tmp_path / str(fits), books_of(), held, (each,))
        assert ((each.digest, size) in asked) == fits
        assert (found.fault == "") == fits


async def test_a_record_that_is_none_is_a_finding(tmp_path: Path) -> None:
    found, _ = await measured(tmp_path, books_of(), ALL, Malformed("too short"))
    assert found.fault == "the record of worth: too short"


async def test_a_list_that_is_none_has_no_blocks(tmp_path: Path) -> None:
    books = books_of()
    blobs = Blobs(tmp_path)
    false = dataclasses.replace(books.evidence.rounds[0], list_digest=blobs.put(b"none").digest)
    other = books.with_evidence(rounds=(false, books.evidence.rounds[1]))
    blobs.put(other.lists[1][0])
    here = SimpleNamespace(
        blobs=blobs, blob=lambda digest: BlobRef(digest, blobs.size(digest) or 0)
    )
    told: Any = here
    steps = remeasuring._steps(told, other.job.cohort, other.evidence)
    assert [len(step.blocks) for step in steps] == [0, 3]


async def test_what_takes_for_ever_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its requester chose how much there is to compute; no round of another job waits for it."""
    books = books_of()
    services = services_of(tmp_path, books, ALL, (SUMS,))

    async def never(*_: Any) -> None:
        await trio.sleep_forever()

    services.compute.run_aside = never
    assert remeasuring.MOST_SECONDS > 60
    most = remeasuring.MOST_SECONDS
    monkeypatch.setattr(remeasuring, "MOST_SECONDS", 0.5)
    job = books.job
    me = job.people[0]
    context = JobContext(job.id, job.spec, 1000, job.spec_digest, me.peer, me.account, job.cohort)
    state = OwnerState(phase=JobPhase.CLOSED, evidence_digest=books.evidence_digest)
    found = await remeasuring.remeasured(services, Machine(Role.OWNER, context, state))
    assert found == Remeasured((), "measuring it again takes more than 0 minutes")
    monkeypatch.setattr(remeasuring, "MOST_SECONDS", most)

    async def dies(*_: Any) -> None:
        raise WorkerDied("the worker was killed")

    services.compute.run_aside = dies
    found = await remeasuring.remeasured(services, Machine(Role.OWNER, context, state))
    assert found == Remeasured((), "the worker was killed")
