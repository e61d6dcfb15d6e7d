"""limits.hours: outside of them nothing begins, and a node looks again when they begin."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import trio
import trio.testing

from node.control.events import EventBus
from node.engine import holding
from node.jobs.held import calls
from node.jobs.held.calls import HoldingCalls

NIGHT = SimpleNamespace(config=SimpleNamespace(hours=("22:00-06:00",)))


def at(monkeypatch: pytest.MonkeyPatch, hour: int) -> None:
    monkeypatch.setattr(holding, "minute_of_day", lambda: 60 * hour)


def test_nothing_begins_outside_of_the_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    services: Any = NIGHT
    at(monkeypatch, 23)
    assert holding.closed_now(services, None) == ""
    assert "paused" in holding.closed_now(services, 1.0)
    at(monkeypatch, 12)
    assert "22:00-06:00" in holding.closed_now(services, None)


async def test_waiting_jobs_are_looked_at_when_the_hours_begin_or_end(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    services: Any = NIGHT
    nothing: Any = None
    bus, looked = EventBus(), []

    async def again() -> None:
        looked.append(trio.current_time())

    held = HoldingCalls(services, bus, nothing, nothing, again)
    at(monkeypatch, 12)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(held.follow_hours)
        await trio.sleep(3 * calls._LOOK_SECONDS)
        assert looked == []
        at(monkeypatch, 23)
        await trio.sleep(2 * calls._LOOK_SECONDS)
        assert len(looked) == 1
        # A pause that ends is told by whoever ended it, and changes no hours.
        held._paused = 1.0
        await trio.sleep(2 * calls._LOOK_SECONDS)
        held._paused = None
        await trio.sleep(2 * calls._LOOK_SECONDS)
        assert len(looked) == 1
        at(monkeypatch, 12)
        await trio.sleep(2 * calls._LOOK_SECONDS)
        assert len(looked) == 2
        nursery.cancel_scope.cancel()
