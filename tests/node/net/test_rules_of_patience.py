"""How long to wait: a peer is judged by its bytes and its past, and by no time that was ours."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node.net.rules.patience import (
    LEAST_PATIENCE,
    MOST_PATIENCE,
    Attention,
    Lateness,
    Silence,
)

SECONDS = st.floats(0, 1000)
PERIOD = 0.5


@given(st.lists(SECONDS, min_size=1), st.floats(0.1, 60))
def test_a_peer_is_given_what_it_took_and_never_less_than_the_least(
    answers: list[float], least: float
) -> None:
    late = Lateness()
    assert late.allowed(least) == least
    for each in answers:
        late.answered(each)
    assert least <= late.allowed(least) <= max(least, MOST_PATIENCE)
    assert late.allowed(least) >= min(min(answers) - 1e-6, MOST_PATIENCE)


@given(st.floats(0.1, 50))
def test_after_an_answer_that_did_not_come_the_next_one_gets_twice_as_long(waited: float) -> None:
    late = Lateness()
    late.missed(waited)
    assert late.allowed(0) >= 2 * waited
    late.missed(late.allowed(0))
    assert late.allowed(0) >= 4 * waited or late.allowed(0) == MOST_PATIENCE


@given(st.floats(1, 20))
def test_a_peer_that_is_steady_again_is_waited_for_less(steady: float) -> None:
    late = Lateness()
    late.missed(MOST_PATIENCE)
    for _ in range(200):
        late.answered(steady)
    assert late.allowed(0) < 2 * steady


@given(st.lists(st.floats(0, 400), max_size=50))
def test_silence_counts_only_while_this_node_looks(gaps: list[float]) -> None:
    """However long this process was stopped, each look adds one period at most."""
    attention, silence, now = Attention(PERIOD), Silence(0.0), 0.0
    silence.looked(0.0, attention.looked(now))
    silence.asked()
    for gap in gaps:
        now += gap
        silence.looked(0.0, attention.looked(now))
    assert silence.owed is not None
    assert silence.owed <= PERIOD * len(gaps)
    assert silence.owed <= now
    if len(gaps) * PERIOD < LEAST_PATIENCE:
        assert not silence.dead(LEAST_PATIENCE)


def test_a_stop_of_ten_minutes_blames_nobody_and_is_seen_as_lag() -> None:
    attention, silence = Attention(PERIOD), Silence(0.0)
    silence.looked(0.0, attention.looked(0.0))
    silence.asked()
    silence.looked(0.0, attention.looked(600.0))
    assert not silence.dead(LEAST_PATIENCE)
    assert attention.lag == 599.5
    now = 600.0
    while attention.lag > 1:
        now += PERIOD
        attention.looked(now)
    assert now < 700


def looked(silence: Silence, seconds: float, heard: float = 0.0) -> None:
    for _ in range(int(seconds / PERIOD)):
        silence.looked(heard, PERIOD)


def test_a_line_is_dead_only_if_it_owes_a_byte_and_none_comes() -> None:
    silence = Silence(0.0)
    looked(silence, 1000)
    assert not silence.dead(LEAST_PATIENCE)  # nothing was asked of it
    silence.asked()
    looked(silence, LEAST_PATIENCE - PERIOD)
    assert not silence.dead(LEAST_PATIENCE)
    silence.looked(1.0, PERIOD)  # one byte, of whatever it was
    assert silence.quiet == 0
    assert silence.owed is None
    silence.asked()
    looked(silence, LEAST_PATIENCE, heard=1.0)
    assert silence.dead(LEAST_PATIENCE)


def test_asking_again_does_not_begin_again() -> None:
    silence = Silence(0.0)
    silence.looked(0.0, 0.0)
    silence.asked()
    looked(silence, 10)
    silence.asked()
    assert silence.owed == 10
