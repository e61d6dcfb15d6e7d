"""Who comes late: shares after their time, owners after the first root, peers that were away."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio
from kits.books import REQUESTER, Job, Person, make_job
from kits.inbox import (
    DIGEST,
    JOB,
    READ,
    ROSTER,
    SPEC,
    TRUE,
    Desk,
    known,
    open_desk,
    requesting,
    training,
)
from trio.testing import wait_all_tasks_blocked

from node.chain import events
from node.chain.cursor import Cursor
from node.chain.events import ChainEvent, ChainHead
from node.chain.watch import Batch
from node.store.jobs import contract_events, save_contract_event
from node.store.records import messages_of, save_message, stored
from protocol.owner.state import OwnerState
from protocol.requester.state import Owed, OwedRelease, RequesterState
from protocol.wire.blobs import blob_digest
from protocol.wire.codec import decode
from protocol.wire.envelope import Frame, open_envelope
from protocol.wire.messages import Ask, Committed, Release, Told


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as found:
        yield found


# --- shares that come late


def owing(posted: Job, number: int = 0) -> tuple[int, RequesterState]:
    """A member, and the requester whom it owes the shares of a round that is long over."""
    members = tuple(posted.members_of([0]))
    model, root = blob_digest(b"model"), blob_digest(b"root")
    owed = OwedRelease(members[0], number, 0, model, root, 0, ROSTER, members)
    return members[0], training(posted, owed=Owed.of([owed]))


async def test_shares_that_come_late_are_kept_for_whoever_looks_at_them(desk: Desk) -> None:
    """They change nothing before they were looked at: the look must find them all the same."""
    posted = make_job(11)
    member, state = owing(posted)
    desk.engine.add(requesting(posted, state))
    body = Release(blob_digest(b"root"), 0, (bytes(32),) * 5)
    assert await desk.told(posted.people[member], body, posted.id, 0, 0) is None
    stranger = posted.people[posted.members_of([1])[0]]
    assert await desk.told(stranger, body, posted.id, 0, 0) is None
    kept = await desk.store.read(lambda tx: messages_of(tx, posted.id))
    assert [(each.kind, each.sender) for each in kept] == [("Release", posted.people[member].peer)]


async def test_who_owes_shares_is_told_of_what_it_owes_them_for(desk: Desk) -> None:
    """An owner that was away for rounds would otherwise never hear of its own commitment again."""
    posted = make_job(11)
    member, state = owing(posted, 1)
    desk.engine.add(requesting(posted, state))
    for number in range(3):
        root = blob_digest(f"root {number}".encode())
        body = Committed(root, 5, DIGEST, 99, bytes(65), blob_digest(root), 10)
        said = stored(REQUESTER.say(posted.place(number), body))
        await desk.store.run(lambda tx, said=said: save_message(tx, said))

    async def rounds(person: Person) -> list[int]:
        reply = await desk.told(person, Ask(), posted.id)
        assert isinstance(reply, Told)
        opened = [open_envelope(decode(Frame, f, 10_000).envelope) for f in reply.frames]
        return [each.context.round for each in opened if isinstance(each.body, Committed)]

    assert await rounds(posted.people[member]) == [1, 2]
    assert await rounds(posted.people[posted.members_of([1])[0]]) == [2]


# --- an owner that comes when its job runs already


ROOTS = (blob_digest(b"first root"), blob_digest(b"second root"))


def history() -> list[ChainEvent]:
    """What the contract said of the job before this node heard of it."""
    zero, rate = bytes(20), SPEC.payment.rate
    said = (
        (100, events.Posted(JOB, REQUESTER.account, DIGEST, zero, 3, 32, rate, 1000, 1)),
        (200, events.Enrolled(JOB, 0, ROOTS[0], 10)),
        (300, events.Committed(JOB, 0, b"r" * 32, 10, b"m" * 32, REQUESTER.account)),
        (8_000, events.Enrolled(JOB, 1, ROOTS[1], 5)),
        (8_500, events.Committed(JOB, 1, b"s" * 32, 15, b"n" * 32, REQUESTER.account)),
    )
    return [ChainEvent(block, bytes(32), 0, bytes(32), event) for block, event in said]


def roots(desk: Desk) -> list[tuple[int, bytes, int]]:
    state = desk.engine.machines[JOB].state
    assert isinstance(state, OwnerState)
    return [(root.index, root.root, root.block) for root in state.roots]


@pytest.mark.parametrize("seen", [True, False], ids=["watched", "from the chain's logs"])
async def test_a_late_owner_knows_what_its_job_has_seen(desk: Desk, seen: bool) -> None:
    past = history()
    desk.logs += past
    if seen:
        for event in past:
            await desk.store.run(lambda tx, event=event: save_contract_event(tx, event))
    await desk.hear(REQUESTER, TRUE)
    await known(desk)
    await desk.engine.drain()
    assert roots(desk) == [(0, ROOTS[0], 200), (1, ROOTS[1], 8_000)]
    state = desk.engine.machines[JOB].state
    assert isinstance(state, OwnerState)
    assert [(c.round, c.block) for c in state.commitments] == [(0, 300), (1, 8_500)]
    # Back from the cursor to the posting and no further, or not at all.
    assert desk.asked == ([] if seen else [(4_905, 9_000), (809, 4_904), (1, 808)])
    stored_events = await desk.store.read(lambda tx: contract_events(tx, JOB))
    assert [each.block for each in stored_events] == [event.block for event in past]


async def test_what_is_mined_meanwhile_comes_after_the_past(desk: Desk) -> None:
    """The next batch waits for a machine that is being told its past."""
    past = history()
    desk.logs += past[:3]
    gate, reached = trio.Event(), trio.Event()
    services: Any = desk.follower._services
    read = services.chain.logs_of_job

    async def slow(*given: Any) -> list[ChainEvent]:
        reached.set()
        await gate.wait()
        return list(await read(*given))

    services.chain.logs_of_job = slow
    await desk.hear(REQUESTER, TRUE)
    head = ChainHead(READ + 1, b"h" * 32, 5)
    late = dataclasses.replace(past[3], block=READ + 1)
    batch = Batch(None, (late,), head, Cursor(0, ((READ + 1, b"h" * 32),)))
    with trio.fail_after(10):
        await reached.wait()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(desk.follower.apply, batch)
            await wait_all_tasks_blocked()
            gate.set()
    assert roots(desk) == [(0, ROOTS[0], 200), (1, ROOTS[1], READ + 1)]


async def test_a_job_that_is_posted_in_a_block_to_come_has_no_past(desk: Desk) -> None:
    desk.logs += [dataclasses.replace(event, block=event.block + READ) for event in history()]
    await desk.hear(REQUESTER, TRUE)
    await known(desk)
    assert desk.asked == []
    assert roots(desk) == []
