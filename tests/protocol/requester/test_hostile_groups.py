"""Late owners in a number that would make a block too large for the job's lanes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kits.books import Person, enrol, make_job, make_spec
from kits.machine import only
from kits.requester import requester_at

from node.work.tasks import envelope_of
from protocol.books.enrolment import build_cohort, cohort_order
from protocol.errors import Malformed
from protocol.machines import effects
from protocol.machines.round import Phase
from protocol.params import MAX_BLOCK
from protocol.spec.parts import CohortSpec, Faulty


@given(st.integers(5, 64), st.integers(0, 200), st.integers(5, MAX_BLOCK), st.integers(0, 400))
def test_no_group_has_a_block_above_the_jobs_largest(
    least: int, more: int, block: int, waiting: int
) -> None:
    try:
        spec = CohortSpec(least, least + more, block, (), False)
    except Faulty:
        return
    taken = spec.group_of(waiting)
    assert (taken == 0) == (waiting < block)
    assert taken <= waiting
    if taken:
        assert spec.blocks(taken)[0] <= spec.largest_block <= MAX_BLOCK
    for first in range(least, min(least + more, least + 3 * block) + 1):
        assert spec.group_of(first) == first  # a first group always fits whole


def test_lanes_have_no_room_for_what_nine_late_owners_would_make() -> None:
    """What is at stake: the sum of a block of nine ends a job whose lanes hold six."""
    spec = make_spec(29, min_owners=20)
    assert spec.cohort.blocks(9) == (9,)
    assert envelope_of(spec).lanes.headroom < 9


def test_nine_late_owners_are_rooted_as_many_as_fit_a_block() -> None:
    kit = requester_at(Phase.READY, make_job(20, later=(6, 5), rounds=9, min_owners=20))
    for member in range(20, 29):
        kit.enrol(member)
    assemble = only(kit.tick(kit.now + 1), effects.Assemble)
    assert assemble.groups == (20, 6)
    assert len(assemble.messages) == 26


def test_a_list_with_a_block_that_lanes_do_not_hold_is_refused() -> None:
    job = make_job(20, min_owners=20, later=(5, 5))
    late = [enrol(job.spec, job.id, Person(number)) for number in range(200, 209)]
    first = [enrol(job.spec, job.id, person) for person in job.people[:20]]
    groups = [cohort_order(job.spec, job.id, each) for each in (first, late)]
    with pytest.raises(Malformed, match="a block of 9"):
        build_cohort(job.spec, job.id, groups)
