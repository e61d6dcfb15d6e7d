"""An owner that asks for members that it knows wants them in block, roster and committed list."""

from __future__ import annotations

import dataclasses

import pytest
from kits.books import make_job
from kits.machine import every, kinds, refusals
from kits.owner import OwnerKit, owner_at

from protocol.machines import effects
from protocol.machines.round import Phase
from protocol.wire.messages import RefusalCode


def knowing(phase: Phase, least: int = 2) -> OwnerKit:
    """An owner of a block of five that knows two of the others, the last ones."""
    job = make_job(5)
    accounts = tuple(job.people[m].account for m in (3, 4))
    return owner_at(phase, job, known=accounts, known_least=least)


def test_a_roster_that_leaves_known_members_out_is_refused_before_anything_is_computed() -> None:
    kit = knowing(Phase.FREEZE)
    wanted = kit.roster_examined(members=(0, 1, 2, 4))
    assert refusals(wanted) == [
        (
            RefusalCode.CONFLICT,
            "1 members of its roster are known to its owner, who asks for 2",
        )
    ]
    assert every(wanted, effects.ComputeContribution) == []
    assert len(every(wanted, effects.ForgetSecrets)) == 1
    assert kit.round.phase is Phase.FAILED
    assert kit.state.contributed == ()


def test_a_roster_with_as_many_as_are_asked_for_is_contributed_to() -> None:
    kit = knowing(Phase.FREEZE, least=1)
    wanted = kit.roster_examined(members=(0, 1, 2, 4))
    assert kinds(wanted) == ["ComputeContribution"]


@pytest.mark.parametrize("due", [False, True])
def test_nothing_is_released_for_a_list_that_leaves_known_members_out(due: bool) -> None:
    kit = knowing(Phase.COMMIT)
    kit.committed()
    about = kit.round
    if due:
        kit.open(1)
        assert kit.state.due is not None
        about = kit.state.due
    wanted = kit.list_examined(about, members=(0, 1, 2, 3))
    assert refusals(wanted) == [
        (
            RefusalCode.CONFLICT,
            "1 members of its committed list are known to its owner, who asks for 2",
        )
    ]
    (said,) = every(wanted, effects.Send)
    assert (said.round, said.attempt) == (0, 0)
    kit.on_chain(about)
    assert every(kit.deep(), effects.SendRelease) == []
    found = kit.state.due if due else kit.round
    assert found is not None
    assert found.phase is Phase.FAILED
    # The chain owes the pay all the same.
    assert [(each.round, each.block > 0) for each in kit.state.earned] == [(0, True)]


def test_shares_go_where_the_list_has_enough_of_them() -> None:
    kit = knowing(Phase.COMMIT, least=1)
    kit.committed()
    kit.list_examined(members=(0, 1, 2, 3))
    kit.on_chain()
    assert len(every(kit.deep(), effects.SendRelease)) == 1


def test_an_owner_is_none_of_the_members_that_it_knows() -> None:
    """Its own account among `known` makes it no company for itself."""
    job = make_job(5)
    own = tuple(sorted(job.people[m].account for m in (0, 4)))
    kit = owner_at(Phase.FREEZE, job, known=own, known_least=1)
    kit.state = dataclasses.replace(kit.state, known_least=2)
    (((_, why)),) = refusals(kit.roster_examined())
    assert why == "1 members of its roster are known to its owner, who asks for 2"
