from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.net import guard
from node.net.guard import Bucket, Warden
from protocol import params


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def warden() -> tuple[Warden, Clock, list[str]]:
    clock, banned = Clock(), []
    return Warden(clock, banned.append), clock, banned


def test_points_add_up_fade_and_ban_once() -> None:
    court, clock, banned = warden()
    court.penalise("p", 60, "a")
    assert not court.banned("p")
    clock.now += params.PENALTY_HALF_LIFE_SECONDS
    assert court.record("p").points == pytest.approx(30)
    court.penalise("p", 69.9, "b")
    assert not court.banned("p")
    court.penalise("p", 0.1, "b")
    assert court.banned("p")
    assert banned == ["p"]
    court.penalise("p", 500, "c")
    assert banned == ["p"]
    assert court.record("p").offences == {"a": 1, "b": 2, "c": 1}
    clock.now += params.BAN_SECONDS - 0.1
    assert court.banned("p")
    clock.now += 0.2
    assert not court.banned("p")
    assert not court.banned("stranger")


def test_gossip_above_the_rate_has_to_wait_and_a_pause_pays_the_debt() -> None:
    court, clock, _ = warden()
    burst = int(4 * params.GOSSIP_MESSAGES_PER_SECOND)
    assert court.gossip_delay("p", burst, 0) == 0
    assert court.gossip_delay("p", params.GOSSIP_MESSAGES_PER_SECOND, 0) == pytest.approx(1)
    assert court.gossip_delay("q", 1, 0) == 0
    clock.now += 1
    assert court.gossip_delay("p", 0, 0) == 0
    assert court.gossip_delay("p", 0, 5 * params.GOSSIP_BYTES_PER_SECOND) == pytest.approx(1)


def test_requests_above_the_rate_are_refused_and_cost_no_more() -> None:
    court, clock, _ = warden()
    allowed = sum(court.allows_request("p") for _ in range(10 * params.REQUESTS_PER_SECOND))
    assert allowed == 4 * params.REQUESTS_PER_SECOND
    clock.now += 1
    allowed = sum(court.allows_request("p") for _ in range(10 * params.REQUESTS_PER_SECOND))
    assert allowed == params.REQUESTS_PER_SECOND


def test_streams_are_counted_in_and_out() -> None:
    court, _, _ = warden()
    for _ in range(params.MAX_STREAMS_PER_PEER):
        assert court.open_stream("p")
    assert not court.open_stream("p")
    court.close_stream("p")
    assert court.open_stream("p")
    court.close_stream("unknown")


def test_streams_that_end_at_once_are_counted_too() -> None:
    """A peer that opens and resets them never has many, and each is work here."""
    court, _, _ = warden()
    opened = 0
    for _ in range(10 * params.STREAMS_PER_SECOND):
        if court.open_stream("p"):
            opened += 1
            court.close_stream("p")
    assert opened == 4 * params.STREAMS_PER_SECOND


def test_memory_is_bounded_and_the_guilty_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "MAX_REMEMBERED", 100)
    court, clock, _ = warden()
    court.penalise("banned", params.BAN_POINTS, "x")
    court.penalise("suspect", 50, "x")
    court.open_stream("connected")
    for number in range(1000):
        clock.now += 0.001
        court.record(f"passer-by {number}")
        assert len(court._records) <= 100
    assert court.banned("banned")
    assert court.record("suspect").offences == {"x": 1}
    assert court.record("connected").streams == 1


@given(
    st.lists(st.tuples(st.floats(0, 100), st.floats(0, 50)), max_size=50),
    st.floats(0.5, 1000),
)
def test_a_bucket_never_lets_more_through_than_rate_and_burst(
    steps: list[tuple[float, float]], rate: float
) -> None:
    """Whoever waits as told has taken at most burst + rate * time."""
    now, start, taken = 0.0, 0.0, 0.0
    bucket = Bucket(rate, rate * 4, now)
    for amount, pause in steps:
        wait = bucket.take(amount, now)
        taken += amount
        now += wait + pause
        assert taken <= rate * 4 + rate * (now - start) + 1e-6 * (1 + taken)
