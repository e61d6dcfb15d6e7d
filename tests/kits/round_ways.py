"""A pytest plugin that notes every way that attempts take: `-p kits.round_ways --ways=FILE`.

A way is what a row of protocol/machines/round.py allows: role, phase, type of input, next phase. It
is read off the states before and after a step, not off the table: so that a phase which is set past
the table is a way that no row has.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from protocol.machines.round import TABLE, Phase, Role, type_of
from protocol.owner import machine as owner
from protocol.owner import turn as owner_turn
from protocol.requester import machine as requester
from protocol.requester import turn as requester_turn

#: Role, phase, type of input, next phase; empty: no attempt that is followed.
Way = tuple[str, str, str, str]


def way(role: Role, at: Phase | None, kind: type[Any], to: Phase | None) -> Way:
    return role.value, at.value if at else "", kind.__name__, to.value if to else ""


def listed_ways() -> Iterator[Way]:
    """Every way that the table allows."""
    for (role, at, kind), row in TABLE.items():
        for to in row.follows:
            yield way(role, at, kind, to)


def read_ways(path: Path) -> set[Way]:
    return {(a, b, c, d) for a, b, c, d in json.loads(path.read_text())}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--ways", type=Path, required=True)


def pytest_configure(config: pytest.Config) -> None:
    taken: set[Way] = set()
    config.stash[_TAKEN] = taken
    for machine, turn in ((owner, owner_turn.OwnerTurn), (requester, requester_turn.RequesterTurn)):
        machine.step = noting(machine, turn, taken)  # type: ignore[attr-defined]


_TAKEN = pytest.StashKey[set[Way]]()


def pytest_unconfigure(config: pytest.Config) -> None:
    config.getoption("--ways").write_text(json.dumps(sorted(config.stash[_TAKEN])))


def noting(machine: Any, turn: type[Any], taken: set[Way]) -> Callable[..., Any]:
    """The machine's step, which notes how it moved the attempts that its state holds."""
    step = machine.step

    def noted(context: Any, state: Any, input_: Any) -> Any:
        told = step(context, state, input_)
        before, after = turn(context, state), turn(context, told[0])
        role, kind = turn.role, type_of(input_)
        kinds = {of for who, _, of in TABLE if who is role}
        if kind not in kinds:
            if before.phases() != after.phases():
                taken.update(
                    way(role, at, kind, to)
                    for at, to in zip(before.phases(), after.phases(), strict=True)
                    if at is not to
                )
            return told
        for attempt in machine.concerned(before, input_):
            taken.update(ways_of(role, before, after, attempt, input_, kind))
        return told

    return noted


def ways_of(
    role: Role, before: Any, after: Any, attempt: Any, input_: Any, kind: type[Any]
) -> Iterator[Way]:
    """What became of one attempt that an input was about."""
    at = None if attempt is None else attempt.phase
    if at is not None:
        slot = "round" if before.state.round is attempt else "due"
        to = getattr(after.state, slot).phase
    else:
        # Where none is followed, the first opening begins one.
        to = after.phases()[0] if before.state.round is None else None
    if (role, at, kind) in TABLE or to is not at:
        yield way(role, at, kind, to)
    due = getattr(after.state, "due", None)
    if due is not None and due.phase is Phase.DUE and _number(before) != due.number:
        yield way(role, at, kind, due.phase)


def _number(turn: Any) -> int | None:
    """The round that is due."""
    return None if turn.state.due is None else int(turn.state.due.number)
