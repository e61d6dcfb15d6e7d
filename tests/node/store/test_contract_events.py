"""Every kind of the contract's events is read back from the store as it was kept."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from node.chain.events import EVENTS, ChainEvent, Claimed, ContractEvent, Paid, claims_of
from node.store.jobs import contract_events, save_contract_event
from node.store.store import Store

JOB = bytes([1]) * 32
LARGE = 2**255 + 1

_VALUES: dict[str, Any] = {
    "bytes": bytes([7]) * 20,
    "int": LARGE,
    "bool": True,
    "tuple[int, ...]": (LARGE, 0, 3),
}


def example(kind: type[ContractEvent]) -> ContractEvent:
    values = {field.name: _VALUES[str(field.type)] for field in dataclasses.fields(kind)}
    return kind(**(values | {"job": JOB}))


async def test_every_event_is_read_back(tmp_path: Path) -> None:
    said = [example(kind) for kind in EVENTS.values()]
    with Store.open(tmp_path / "assay.db") as store:
        for index, event in enumerate(said):
            kept = ChainEvent(3, bytes(32), index, bytes([2]) * 32, event)
            await store.run(lambda tx, kept=kept: save_contract_event(tx, kept))
        found = await store.read(lambda tx: contract_events(tx, JOB))
    assert [each.event for each in found] == said


def test_whole_rounds_are_a_claim_for_each_account_that_was_reached() -> None:
    first, second, third = (bytes([n]) * 20 for n in (1, 2, 3))
    words = [int.from_bytes(account, "big") << 96 for account in (first, second, third)]
    event = Paid(JOB, 4, 2, True, (words[0] | 0b11, 7, words[1] | 0b10, 0, words[2], 0))
    assert claims_of(event, 100) == (
        Claimed(JOB, first, 207, 0b11 << 4, 7),
        Claimed(JOB, second, 100, 0b10 << 4, 0),
    )
    bare = Paid(JOB, 4, 2, False, (words[0] | 0b11, words[1] | 0b10, words[2]))
    assert claims_of(bare, 100) == (
        Claimed(JOB, first, 200, 0b11 << 4, 0),
        Claimed(JOB, second, 100, 0b10 << 4, 0),
    )
    assert claims_of(claims_of(event, 100)[0], 100) == (Claimed(JOB, first, 207, 0b11 << 4, 7),)
    assert claims_of(example(EVENTS["Withdrawn"]), 100) == ()
