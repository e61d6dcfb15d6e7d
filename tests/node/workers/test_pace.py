"""The pace of a machine: what is run, and by what its time is divided."""

from __future__ import annotations

import dataclasses

import pytest

from node.workers import pace
from protocol.arith.sealed import matvec
from protocol.cost.sealed import ENTRY_BITS


def test_every_operation_is_run_and_takes_time() -> None:
    found = pace.measure_pace(2048, 16)
    for name, seconds in dataclasses.asdict(found).items():
        assert 0 < seconds < 1, name


def test_the_time_of_many_is_divided_by_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that goes on by a second whenever it is looked at, all runs take one."""
    seconds = iter(range(1000))
    monkeypatch.setattr(pace.time, "thread_time", lambda: float(next(seconds)))
    found = pace.measure_pace(2048, 16)
    assert found.step == 1.0 / matvec.cost(24, 24, ENTRY_BITS)
    assert (found.blinder, found.table, found.encrypt) == (1.0, 1.0, 1.0)
    assert found.decrypt == 2.0  # one power modulo each factor's square
    assert (found.read, found.mask) == (1 / 16, 1 / 16)


def test_the_fastest_run_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each operation three runs of 3, 1 and 2 seconds."""
    times, now = [], 0.0
    for _ in range(20):
        for length in (3.0, 1.0, 2.0):
            times += [now, now + length]
            now += length
    clock = iter(times)
    monkeypatch.setattr(pace.time, "thread_time", lambda: next(clock))
    found = pace.measure_pace(2048, 16)
    assert found.blinder == 1.0
