"""Events: order, filter, replay, and what happens to a subscriber that lags."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from node.control.events import EventBus, Subscription
from node.control.results import Event

JOB_A, JOB_B = "0x" + "aa" * 32, "0x" + "bb" * 32


def drain(subscription: Subscription) -> list[Event]:
    seen = []
    while True:
        try:
            seen.append(subscription.events.receive_nowait())
        except (trio.WouldBlock, trio.EndOfChannel):
            return seen


async def test_events_are_numbered_filtered_and_replayed() -> None:
    bus = EventBus(clock=lambda: 7.0)
    bus.publish("job.state", "posted", job=JOB_A)
    every, one = bus.subscribe(), bus.subscribe(JOB_A, since=0)
    bus.publish("job.state", "posted", job=JOB_B)
    last = bus.publish("round.commit", "round 0", job=JOB_A, facts={"round": 0})
    assert last == Event(3, 7.0, "round.commit", JOB_A, "round 0", {"round": 0})
    assert [e.seq for e in drain(every)] == [2, 3]
    assert [e.seq for e in drain(one)] == [1, 3]
    assert [e.seq for e in drain(bus.subscribe(since=2))] == [3]
    assert bus.seq == 3


@given(st.integers(1, 6), st.integers(0, 30))
def test_only_the_newest_are_kept(backlog: int, count: int) -> None:
    async def scenario() -> None:
        bus = EventBus(backlog)
        for number in range(count):
            bus.publish("tick", str(number))
        assert [e.seq for e in drain(bus.subscribe(since=0))] == list(range(1, count + 1))[
            -backlog:
        ]

    trio.run(scenario)


async def test_a_subscriber_may_lag_up_to_the_backlog_and_no_further() -> None:
    bus = EventBus(backlog=4)
    slow, quick = bus.subscribe(), bus.subscribe()
    for number in range(4):
        bus.publish("tick", str(number))
    assert bus.statistics() == {"events": 4, "subscriptions": 2, "dropped": 0}
    drain(quick)
    bus.publish("tick", "one too many")
    assert bus.statistics() == {"events": 5, "subscriptions": 1, "dropped": 1}
    assert [e.seq for e in drain(slow)] == [1, 2, 3, 4]  # what it had is still its own
    with pytest.raises(trio.EndOfChannel):
        await slow.events.receive()
    assert "lagged 4 events behind" in slow.reason
    assert [e.seq for e in drain(quick)] == [5]


async def test_closing_ends_it_and_publishing_goes_on() -> None:
    bus = EventBus()
    subscription = bus.subscribe()
    subscription.close("the connection ended")
    subscription.close("again")
    bus.publish("tick", "nobody listens")
    assert drain(subscription) == []
    assert subscription.reason == "the connection ended"
    assert bus.statistics()["subscriptions"] == 0
