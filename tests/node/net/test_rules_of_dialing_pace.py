"""How often peers are asked and dialled."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node.net.rules import pace

DICE = st.floats(0, 1)


def test_a_swarm_in_which_nothing_is_new_is_asked_ever_more_rarely() -> None:
    """However small it is: within an hour a peer is asked a dozen times, not 1,800."""
    now, pause, asked = 0.0, pace.FIRST_PAUSE, 0
    while now < 3600:
        now += pause
        asked += 1
        pause = pace.next_pause(pause, news=False)
    assert asked <= 20
    assert pause == pace.LAST_PAUSE
    assert pace.next_pause(pause, news=True) == pace.FIRST_PAUSE


@given(st.floats(0.01, 1000), DICE)
def test_spread_is_about_the_same(seconds: float, dice: float) -> None:
    assert 0.75 * seconds <= pace.spread(seconds, dice) <= 1.25 * seconds


@given(st.floats(0, 100), st.integers(0, 200))
def test_dials_yield_to_lines_that_stand_and_never_stop(lag: float, standing: int) -> None:
    assert pace.dials_at_once(lag, standing) >= 1
    assert pace.dials_at_once(lag, 0) == pace.dials_at_once(0, standing) > 1
    if lag >= 1 and standing:
        assert pace.dials_at_once(lag, standing) == 1


@given(st.lists(st.tuples(st.booleans(), DICE), min_size=1, max_size=40))
def test_dials_of_one_peer_are_further_and_further_apart(dials: list[tuple[bool, float]]) -> None:
    """A line that breaks at once is no better than a dial that fails."""
    attempts, now, waited = pace.Attempts(), 0.0, 0.0
    for number, (success, dice) in enumerate(dials):
        now = max(now, attempts.at)
        if success:
            attempts.succeeded(now, dice)
        else:
            attempts.failed(now, dice)
        assert not attempts.forgiven(now)
        waited = attempts.at - now
        nominal = min(pace.LAST_BACKOFF, pace.FIRST_BACKOFF * 2**number)
        assert 0.74 * nominal <= waited <= 1.26 * nominal
    success = dials[-1][0]
    assert attempts.forgiven(now + pace.GOOD_SECONDS + 1) is success
