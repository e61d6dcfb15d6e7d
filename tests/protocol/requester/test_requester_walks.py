"""A message costs a requester the same in a large cohort: no step walks through a table but the few
that are about everybody."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from kits.books import digest_of, make_job
from kits.requester import RequesterKit, requester_at

from protocol.machines import inputs
from protocol.machines.job import JobPhase
from protocol.requester import machine as requester
from protocol.requester.state import BlockRecord
from protocol.wire.messages import RefusalCode, Refuse, Release
from protocol.wire.tables import Table

OWNERS = 48


@pytest.fixture
def walked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Tables that were walked through, by their class."""
    found: list[str] = []
    items = Table.items

    def noted(self: Table[Any]) -> Iterator[tuple[int, Any]]:
        found.append(type(self).__name__)
        return items(self)

    monkeypatch.setattr(Table, "items", noted)
    return found


def _release(kit: RequesterKit, block: BlockRecord, member: int) -> inputs.ReceiveMessage:
    """Made beforehand: the kit looks for the member's block, which the machine must not."""
    shares = tuple(digest_of("share", member, of) for of in block.members)
    body = Release(kit.round.root, block.block, shares)
    return kit.message(kit.said(kit.job.people[member], body))


def test_messages_are_looked_up_and_not_looked_for(
    walked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def step(kit: RequesterKit, input_: inputs.Input) -> Any:
        kit.state, wanted = requester.step(kit.context, kit.state, input_)
        return wanted

    job = make_job(OWNERS, rounds=1, block_size=16, min_owners=OWNERS)
    kit = requester_at(JobPhase.ENROLLING, job)
    monkeypatch.setattr(RequesterKit, "step", step)
    walked.clear()

    def told_by_all_but_one(tell: Any, members: Sequence[Any]) -> None:
        for member in members[:-1]:
            tell(member)
        assert walked == []
        tell(members[-1])
        walked.clear()

    everybody = list(range(OWNERS))
    told_by_all_but_one(kit.enrol, everybody)
    kit.listed()
    kit.initial_model()
    kit.rooted()
    kit.seeded()
    walked.clear()
    told_by_all_but_one(kit.ready, everybody)
    kit.rosters_stored()
    going = list(kit.going)
    walked.clear()
    kit.hear(job.people[going[0]], Refuse(RefusalCode.INVALID, "no"), *kit.place)
    assert walked == []

    def contributes(member: int) -> None:
        kit.contribute(member)
        kit.step(inputs.BatchSound(kit.now, *kit.place, member))

    told_by_all_but_one(contributes, going[1:])
    kit.final()
    walked.clear()
    for block in tuple(kit.round.blocks):
        walked.clear()
        releases = [_release(kit, block, member) for member in block.members]
        told_by_all_but_one(kit.step, releases)
