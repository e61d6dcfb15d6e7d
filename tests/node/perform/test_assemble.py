"""Lists that a requester builds of what it keeps: nothing that was verified is verified again."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kits.books import Job, make_job
from kits.inbox import requesting, training

from node.engine.clock import Clock
from node.engine.engine import Machine, Wanted
from node.perform import lists as performing
from node.store.blobs import Blobs
from node.store.records import save_message, stored
from node.store.store import Store
from protocol.books import enrolment
from protocol.books.lists import decode_cohort
from protocol.machines import inputs
from protocol.machines.effects import Assemble, BlobKind
from protocol.wire import identity
from protocol.wire.envelope import Envelope, envelope_digest


async def assembled(
    tmp_path: Path, machine: Machine, said: list[Envelope], effect: Assemble
) -> inputs.AssembledCohort:
    """The outcome of `effect` on a store that holds `said`, and the blob that it names."""
    outcomes: list[inputs.AssembledCohort] = []

    async def feed(job: bytes, outcome: Any, completes: int) -> None:
        outcomes.append(outcome)

    (tmp_path / "blobs").mkdir()
    with Store.open(tmp_path / "assay.db") as store:
        blobs, engine = Blobs(tmp_path / "blobs"), SimpleNamespace(feed=feed)
        services: Any = SimpleNamespace(store=store, blobs=blobs, engine=engine, clock=Clock())
        for each in said:
            await store.run(lambda tx, each=each: save_message(tx, stored(each)))
        await performing.assemble(services, Wanted(1, machine, effect), effect)
    return outcomes[0]


async def test_a_cohort_is_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No signature of a peer is looked at, and each account's only once."""
    posted: Job = make_job(6, later=(5,))
    groups = decode_cohort(posted.cohort_list)
    said = [envelope for group in groups for envelope in group]
    recovered: list[bytes] = []
    recover = enrolment.recover

    def counted(digest: bytes, signature: bytes) -> bytes | None:
        recovered.append(digest)
        return recover(digest, signature)

    def verify(*_: bytes) -> bool:
        raise AssertionError("a stored message was verified again")

    monkeypatch.setattr(enrolment, "recover", counted)
    monkeypatch.setattr(identity, "verify", verify)
    machine = requesting(posted, training(posted))
    machine.context = dataclasses.replace(machine.context, cohort=None)
    digests = tuple(envelope_digest(each) for each in (*said[5::-1], *said[6:]))
    effect = Assemble(BlobKind.COHORT, 0, 0, digests, 0, (6, 5))
    told = await assembled(tmp_path, machine, said, effect)
    assert machine.context.cohort == posted.cohort
    assert (told.root, told.size) == (posted.cohort.root, len(posted.cohort_list))
    assert (tmp_path / "blobs" / told.digest.hex()).read_bytes() == posted.cohort_list
    assert sorted(recovered) == sorted(posted.cohort.digests)
