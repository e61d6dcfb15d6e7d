"""The tables are total, end where they should, and are the diagrams in the specification."""

from __future__ import annotations

import subprocess
import sys
from itertools import product

import pytest
from kits.paths import ROOT

from protocol.errors import StateError
from protocol.machines import job
from protocol.machines import round as rounds
from protocol.machines.job import OVER, JobEvent, JobPhase
from protocol.machines.round import Event, Phase, Role


@pytest.mark.parametrize(("role", "phase", "event"), list(product(Role, Phase, Event)))
def test_every_event_advances_a_round_or_is_refused(role: Role, phase: Phase, event: Event) -> None:
    if (role, phase, event) in rounds.TABLE:
        assert rounds.advance(role, phase, event) is rounds.TABLE[role, phase, event]
    else:
        with pytest.raises(StateError, match=f"phase {phase.value} knows no"):
            rounds.advance(role, phase, event)


@pytest.mark.parametrize(("role", "phase", "event"), list(product(Role, JobPhase, JobEvent)))
def test_every_event_advances_a_job_or_is_refused(
    role: Role, phase: JobPhase, event: JobEvent
) -> None:
    if (role, phase, event) in job.TABLE:
        assert job.advance(role, phase, event) is job.TABLE[role, phase, event]
    else:
        with pytest.raises(StateError, match="knows no"):
            job.advance(role, phase, event)


@pytest.mark.parametrize("role", Role)
def test_a_round_goes_through_section_fives_phases_in_order(role: Role) -> None:
    phase, path = Phase.OPEN, [Phase.OPEN]
    for event in Event:
        if event is not Event.ABANDONED:
            phase = rounds.advance(role, phase, event)
            path.append(phase)
    assert path == [p for p in Phase if p is not Phase.FAILED]


def test_a_requester_never_gives_up_a_round_that_may_be_committed() -> None:
    bound = (Phase.COMMIT, Phase.UNMASK, Phase.APPLY, Phase.DONE)
    for phase in bound:
        with pytest.raises(StateError):
            rounds.advance(Role.REQUESTER, phase, Event.ABANDONED)


@pytest.mark.parametrize("role", Role)
def test_what_is_over_stays_over(role: Role) -> None:
    assert not [at for who, at, _ in rounds.TABLE if at in (Phase.DONE, Phase.FAILED)]
    assert not [at for who, at, _ in job.TABLE if who is role and at in OVER]


@pytest.mark.parametrize("role", Role)
def test_every_live_phase_of_a_job_can_end(role: Role) -> None:
    live = {at for who, at, _ in job.TABLE if who is role}
    for phase in live:
        assert _ends(role, phase), f"{role.value}: no end from {phase.value}"


def _ends(role: Role, phase: JobPhase) -> bool:
    reached, new = {phase}, [phase]
    while new:
        at = new.pop()
        for (who, where, _), to in job.TABLE.items():
            if who is role and where is at and to not in reached:
                reached.add(to)
                new.append(to)
    return JobPhase.CLOSED in reached


def test_the_specification_shows_these_tables() -> None:
    script = ROOT / "scripts" / "round-diagram"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    text = (ROOT / "docs" / "spec" / "round.md").read_text()
    for role in Role:
        assert rounds.diagram(role) in text
        assert job.diagram(role) in text
