"""A requester that puts more enrolment roots on the chain than any list of owners can have."""

from __future__ import annotations

import dataclasses

from kits.books import digest_of, make_job
from kits.owner import owner_at

from protocol.machines import inputs
from protocol.machines.job import JobPhase
from protocol.machines.round import Phase
from protocol.params import MAX_GROUPS


def test_roots_beyond_the_last_that_a_list_can_have_change_nothing() -> None:
    """The contract takes one for every owner of a cohort; the job goes on, and its pay is seen."""
    kit = owner_at(Phase.COMMIT, make_job(10, later=(5,)))
    first = inputs.ChainEnrolled(kit.now, kit.state.head + 1, 0, bytes(32), 1)
    for index in range(len(kit.state.roots), MAX_GROUPS):
        kit.step(dataclasses.replace(first, index=index, root=digest_of("root", index)))
    assert len(kit.state.roots) == MAX_GROUPS
    one_more = dataclasses.replace(first, index=MAX_GROUPS, root=digest_of("one more"))
    assert f"at most {MAX_GROUPS}" in kit.refused(one_more)
    assert kit.state.phase is JobPhase.TRAINING
