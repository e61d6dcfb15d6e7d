"""A requester that shows an owner another list of owners while a round's shares are still due."""

from __future__ import annotations

import dataclasses
import itertools
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kits.books import Job, Person, enrol, make_job

from node.engine.clock import Clock
from node.engine.engine import Machine, Wanted
from node.perform import lists as performed
from node.store.blobs import Blobs
from protocol.addresses import to_checksum
from protocol.books.enrolment import Cohort, block_members, build_cohort, cohort_order, draw_blocks
from protocol.books.lists import encode_cohort, encode_roster, roster_entries
from protocol.machines import inputs
from protocol.machines.effects import BlobKind, Examine
from protocol.machines.job import JobPhase
from protocol.machines.machine import JobContext
from protocol.machines.round import Role
from protocol.owner.state import EnrolRoot, OwnerState
from protocol.wire.envelope import Envelope
from protocol.wire.messages import Ready


@cache
def job() -> Job:
    """Ten owners in two blocks; five more may come."""
    return make_job(10, later=(5,))


def held() -> Cohort:
    """The list that the owner's rounds were run by: the first group's."""
    return job().cohort.first(1)


def said(people: list[Person]) -> list[Envelope]:
    return cohort_order(job().spec, job().id, [enrol(job().spec, job().id, p) for p in people])


@cache
def others() -> tuple[tuple[Envelope, ...], ...]:
    """A list in which the block of member 0 sits together as before, under other indexes.

    Whoever makes it needs no chain: accounts are free, and the seed is known by now. The second
    group is never put on the chain, so that the whole is not compared yet.
    """
    spec, mates = job().spec.cohort, members_before()
    kept = [job().people[m] for m in mates]
    strangers = [p for p in job().people[:10] if p not in kept]
    seed = job().seeds[:1]
    for number in itertools.count(100):
        crowd = [*kept, *strangers[1:], Person(number)]
        groups = (tuple(said(crowd)), tuple(said([Person(n) for n in range(50, 55)])))
        cohort = build_cohort(job().spec, job().id, groups)
        blocks = draw_blocks(cohort, spec, seed, 0)
        now = [cohort.index_of(p.peer) for p in kept]
        together = {blocks[m] for m in now if m is not None} == {held_blocks()[mates[0]]}
        if together and tuple(now) != mates:
            return groups
    raise AssertionError


def held_blocks() -> tuple[int, ...]:
    return draw_blocks(held(), job().spec.cohort, job().seeds[:1], 0)


def members_before() -> tuple[int, ...]:
    return block_members(held_blocks(), held_blocks()[0])


def owner(**changes: Any) -> Machine:
    """Member 0, who runs rounds by the first group's list, and is shown another one."""
    root = EnrolRoot(0, held().roots[0], 10, 5, True, job().seeds[0])
    state = OwnerState(phase=JobPhase.TRAINING, roots=(root,), held_cohort=bytes(32), held_groups=1)
    me = job().people[0]
    context = JobContext(job().id, job().spec, 1000, job().spec_digest, me.peer, me.account, held())
    return Machine(Role.OWNER, context, dataclasses.replace(state, **changes))


class Node:
    """As much of a node as looks at a list."""

    def __init__(self, home: Path) -> None:
        home.mkdir()
        self.blobs, self.fed = Blobs(home), list[Any]()
        self.services: Any = SimpleNamespace(
            blobs=self.blobs, blob=self.blob, engine=self, keys=self, clock=Clock()
        )

    def blob(self, digest: bytes) -> Any:
        return self.refs[digest]

    def unseal(self, name: str) -> bytes:
        return bytes(32) + job().people[0].sealing_key

    async def feed(self, key: bytes, input_: inputs.Input, completes: int) -> None:
        self.fed.append(input_)

    async def look(self, machine: Machine, data: bytes, *, awaited: bool = True) -> Any:
        ref = self.blobs.put(data)
        self.refs = {ref.digest: ref}
        digest = ref.digest if awaited else bytes(32)
        machine.state = dataclasses.replace(machine.state, cohort_digest=digest)
        effect = Examine(BlobKind.COHORT, 1, 0, ref.digest)
        await performed.examine(self.services, Wanted(1, machine, effect), effect)
        return self.fed.pop()


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path / "blobs")


def test_under_another_list_an_index_means_another_member() -> None:
    """What is at stake: the same roster, the same commitment, other shares."""
    zeros = (bytes(16),) * 5
    body = Ready(*(bytes(32),) * 4, zeros, zeros, (bytes(64),) * 5)
    mates, block = members_before(), held_blocks()[0]
    roster = encode_roster([job().people[m].say(job().place(), body) for m in mates])
    other = build_cohort(job().spec, job().id, others())
    before = roster_entries(held(), held_blocks(), block, roster)
    after = roster_entries(
        other, draw_blocks(other, job().spec.cohort, job().seeds[:1], 0), block, roster
    )
    assert [e.position for e in before] == [e.position for e in after]  # every box still opens
    seeds_before = [e.member in mates for e in before]
    seeds_after = [e.member in mates for e in after]
    assert all(seeds_before)  # a commitment of the whole block: seeds of all
    assert not all(seeds_after)  # and mask keys of listed members, had the index changed


async def test_a_list_that_moves_members_takes_no_effect(node: Node) -> None:
    machine = owner()
    told = await node.look(machine, encode_cohort(others()))
    assert isinstance(told, inputs.RejectedCohort)
    assert machine.context.cohort == held()


async def test_a_list_that_leaves_groups_out_takes_no_effect(node: Node) -> None:
    machine = owner(held_groups=2)
    machine.context = dataclasses.replace(machine.context, cohort=job().cohort)
    first = [e for p in job().people[:10] for e in said([p])]
    told = await node.look(machine, encode_cohort([first]))
    assert isinstance(told, inputs.RejectedCohort)
    assert machine.context.cohort == job().cohort


async def test_a_list_with_another_sealing_key_takes_no_effect(node: Node) -> None:
    """The root on the chain does not cover sealing keys: the list itself must be the same."""
    changed = dataclasses.replace(held().members[3], sealing_key=job().people[4].sealing_key)
    members = (*held().members[:3], changed, *held().members[4:])
    machine = owner()
    machine.context = dataclasses.replace(
        machine.context, cohort=Cohort(members, held().roots, held().counts)
    )
    told = await node.look(machine, job().cohort_list)
    assert isinstance(told, inputs.RejectedCohort)


async def test_a_list_that_goes_on_is_followed(node: Node) -> None:
    machine = owner()
    told = await node.look(machine, job().cohort_list)
    assert isinstance(told, inputs.ExaminedCohort)
    assert told.mine
    assert machine.context.cohort == job().cohort


async def test_a_list_of_an_earlier_opening_comes_too_late(node: Node) -> None:
    machine = owner(held_groups=0, held_cohort=b"")
    await node.look(machine, encode_cohort(others()), awaited=False)
    assert machine.context.cohort == held()


async def test_an_owner_whose_account_another_names_takes_part_and_is_told(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    spec, mine = job().spec, job().people[0]
    squatter = enrol(spec, job().id, Person(60), mine.payout)
    group = cohort_order(spec, job().id, [*said(list(job().people[:9])), squatter])
    told = await node.look(owner(held_groups=0, held_cohort=b""), encode_cohort([group]))
    assert isinstance(told, inputs.ExaminedCohort)
    assert told.mine
    assert f"{to_checksum(mine.payout)} stands for another owner too" in caplog.text
    caplog.clear()
    await node.look(owner(), job().cohort_list)
    assert "stands for another owner" not in caplog.text
