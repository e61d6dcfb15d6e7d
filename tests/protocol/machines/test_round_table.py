"""The tables are total, end where they should, and are the diagrams in the specification."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from itertools import product

import pytest
from kits.machine import INPUTS
from kits.owner import owner_at
from kits.paths import ROOT
from kits.round_ways import Way, listed_ways, read_ways

from protocol.errors import FatalError, StateError
from protocol.machines import inputs, job
from protocol.machines import round as rounds
from protocol.machines.job import OVER, JobEvent, JobPhase
from protocol.machines.round import Phase, Role
from protocol.owner import attempt
from protocol.owner import machine as owner
from protocol.owner.turn import OwnerTurn
from protocol.requester import machine as requester


@pytest.mark.parametrize(("role", "phase", "event"), list(product(Role, JobPhase, JobEvent)))
def test_every_event_advances_a_job_or_is_refused(
    role: Role, phase: JobPhase, event: JobEvent
) -> None:
    if (role, phase, event) in job.TABLE:
        assert job.advance(role, phase, event) is job.TABLE[role, phase, event]
    else:
        with pytest.raises(StateError, match="knows no"):
            job.advance(role, phase, event)


def leads(role: Role, at: Phase | None) -> set[Phase | None]:
    """The phases that may follow one."""
    rows = (row for (who, where, _), row in rounds.TABLE.items() if (who, where) == (role, at))
    return {to for row in rows for to in row.follows}


@pytest.mark.parametrize("role", Role)
def test_every_phase_of_a_role_can_be_reached_and_can_end(role: Role) -> None:
    listed = {at for who, at, _ in rounds.TABLE if who is role}
    reached: set[Phase | None] = {None}
    while new := {to for at in reached for to in leads(role, at)} - reached:
        reached |= new
    assert reached == listed
    for phase in reached:
        met = {phase}
        while new := {to for at in met for to in leads(role, at)} - met:
            met |= new
        assert Phase.DONE in met or phase is Phase.DONE


def test_a_requester_never_gives_up_a_round_that_may_be_committed() -> None:
    for phase in (Phase.COMMIT, Phase.UNMASK, Phase.APPLY, Phase.DONE):
        assert Phase.FAILED not in leads(Role.REQUESTER, phase)


def test_every_handler_is_there_and_every_row_names_one() -> None:
    for (role, _, _), row in rounds.TABLE.items():
        room = {Role.OWNER: owner, Role.REQUESTER: requester}[role]
        module, name = row.handler.split(".")
        assert callable(getattr(room._ROOMS[module], name))


@pytest.mark.parametrize("role", Role)
def test_what_a_phase_does_not_list_is_refused_unless_it_is_news(role: Role) -> None:
    kinds = [kind for who, _, kind in rounds.TABLE if who is role]
    assert set(kinds) >= rounds.NEWS[role]
    for phase, kind in product((None, *Phase), {k for k in INPUTS if k in kinds}):
        input_ = object.__new__(kind)  # what it says does not matter
        for field in ("round", "attempt"):
            if hasattr(kind, field):
                object.__setattr__(input_, field, 0)
        listed = (role, phase, kind) in rounds.TABLE
        if listed or kind in rounds.NEWS[role]:
            found = rounds.find(role, phase, input_)
            assert found is rounds.TABLE.get((role, phase, kind))
        else:
            with pytest.raises(StateError, match=f"{kind.__name__}.* is not awaited"):
                rounds.find(role, phase, input_)


# --- what machines do, and what the table says


@pytest.fixture(scope="module")
def ways(tmp_path_factory: pytest.TempPathFactory) -> set[Way]:
    """Every way that an attempt took in the tests of both machines."""
    found = tmp_path_factory.mktemp("ways") / "ways.json"
    tests = ROOT / "tests"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "kits.round_ways"]
    folders = [tests / "protocol" / name for name in ("owner", "requester")]
    path = os.pathsep.join(filter(None, (str(tests), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", f"--ways={found}", *folders],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stdout[-4000:]
    return read_ways(found)


def test_no_test_takes_a_way_that_has_no_row(ways: set[Way]) -> None:
    assert ways - set(listed_ways()) == set()


def test_every_way_of_every_row_is_taken_by_a_test(ways: set[Way]) -> None:
    untaken = sorted(set(listed_ways()) - ways)
    assert not untaken, "\n".join(" ".join(each) for each in untaken)


def test_a_phase_that_is_set_past_the_table_ends_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a handler nor anything around it moves an attempt but by a row."""
    kit = owner_at(Phase.READY)

    def moved(turn: OwnerTurn, *_: object) -> None:
        turn.change(round=dataclasses.replace(kit.round, phase=Phase.APPLY))

    with monkeypatch.context() as patch:
        patch.setattr(attempt, "freeze", moved)
        with pytest.raises(FatalError, match=r"attempt.freeze leads to apply, which its row lacks"):
            kit.freeze()
    with monkeypatch.context() as patch:
        patch.setitem(owner._HANDLERS, inputs.ChainHead, moved)
        with pytest.raises(FatalError, match="an attempt of the owner's was moved past the table"):
            kit.step(inputs.ChainHead(kit.now, 9, 0))
    assert kit.round.phase is Phase.READY


@pytest.mark.parametrize("role", Role)
def test_what_is_over_stays_over(role: Role) -> None:
    """A round that is over is followed by another attempt's first phase alone."""
    first = {Role.OWNER: Phase.OPEN, Role.REQUESTER: Phase.READY}[role]
    assert leads(role, Phase.DONE) <= {Phase.DONE, first}
    assert leads(role, Phase.FAILED) == {Phase.FAILED, first}
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
