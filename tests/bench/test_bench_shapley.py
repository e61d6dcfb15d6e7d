"""Shapley's axioms, which fix the value: exact games in full, sampled ones as far as they hold."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kits.examples import examples

from protocol.errors import FatalError
from scripts.benchmarks.shapley import EVALUATIONS, shapley

SEED = bytes(range(32))
values = st.floats(-10, 10)


@st.composite
def games(draw: st.DrawFn, low: int = 1, high: int = 7) -> tuple[int, list[float]]:
    """Players, and v of each coalition."""
    players = draw(st.integers(low, high))
    return players, draw(st.lists(values, min_size=2**players, max_size=2**players))


def by_orders(players: int, table: list[float]) -> list[float]:
    """The definition: what each player adds, averaged over all orders."""
    totals = [0.0] * players
    for order in itertools.permutations(range(players)):
        coalition = 0
        for player in order:
            joined = coalition | 1 << player
            totals[player] += table[joined] - table[coalition]
            coalition = joined
    return [total / math.factorial(players) for total in totals]


@given(games(high=5))
def test_the_value_is_the_mean_over_all_orders(game: tuple[int, list[float]]) -> None:
    players, table = game
    found = shapley(players, table.__getitem__, SEED)
    assert found == pytest.approx(by_orders(players, table), abs=1e-9)


@given(games())
def test_values_add_up_to_what_all_add(game: tuple[int, list[float]]) -> None:
    players, table = game
    found = shapley(players, table.__getitem__, SEED)
    assert sum(found) == pytest.approx(table[-1] - table[0], abs=1e-9)


@given(games(low=2), st.data())
def test_players_of_the_same_effect_have_the_same_value(
    game: tuple[int, list[float]], data: st.DataObject
) -> None:
    players, table = game
    a, b = data.draw(st.permutations(range(players)))[:2]

    def utility(coalition: int) -> float:
        """v that cannot tell a and b apart: a alone is read as b alone."""
        if coalition >> a & 1 and not coalition >> b & 1:
            coalition ^= 1 << a | 1 << b
        return table[coalition]

    found = shapley(players, utility, SEED)
    assert found[a] == found[b], "exactly: the sums are rounded once"


@given(games(), st.data())
def test_who_changes_nothing_has_nothing(
    game: tuple[int, list[float]], data: st.DataObject
) -> None:
    players, table = game
    null = data.draw(st.integers(0, players - 1))
    assert shapley(players, lambda c: table[c & ~(1 << null)], SEED)[null] == 0.0


@given(st.integers(9, 40), st.data())
@examples(0.3)
def test_a_sampled_game_that_is_a_sum_is_exact(players: int, data: st.DataObject) -> None:
    worths = data.draw(st.lists(st.floats(1, 10), min_size=players, max_size=players))
    found = shapley(
        players, lambda c: sum(w for i, w in enumerate(worths) if c >> i & 1), SEED, 200
    )
    # nothing is cut before the last of v is within 1 %: then it is shared among those who are left
    assert found == pytest.approx(worths, abs=0.02 * sum(worths))
    assert sum(found) == pytest.approx(sum(worths))


@given(st.integers(9, 60), st.integers(0, 2**32))
@examples(0.3)
def test_sampled_values_add_up_too_and_work_is_bounded(players: int, seed: int) -> None:
    asked: set[int] = set()

    def utility(coalition: int) -> float:
        assert coalition not in asked, "a coalition costs a step and a loss: once"
        asked.add(coalition)
        return float(np.random.default_rng([seed, coalition]).normal())

    found = shapley(players, utility, SEED)
    asked_for = set(asked)
    asked.clear()
    assert sum(found) == pytest.approx(utility((1 << players) - 1) - utility(0))
    assert len(asked_for) <= max(EVALUATIONS, 2 * players)


def test_eight_players_are_exact_and_nine_are_sampled() -> None:
    for players, evaluations in ((8, 256), (9, 256)):
        asked: list[int] = []

        def utility(coalition: int, asked: list[int] = asked) -> float:
            asked.append(coalition)
            return math.sin(coalition)

        shapley(players, utility, SEED)
        assert len(asked) <= evaluations
        assert (len(asked) == 2**players) == (players == 8)


def concave(coalition: int) -> float:
    """Gains that shrink as more join, as steps on means do; player 0 harms."""
    honest = (coalition >> 1).bit_count()
    share = (coalition & 1) / max(1, coalition.bit_count())
    return 1.0 - 0.5**honest - share


def test_sampling_comes_near_the_exact_values() -> None:
    exact = np.array(shapley(12, concave, SEED, evaluations=2**12))
    spread = exact.max() - exact.min()
    errors = np.array([shapley(12, concave, bytes([s]) * 32) for s in range(20)]) - exact
    # orders drawn independently have twice this error, and one in five of a spread at worst
    assert np.sqrt(np.mean(errors**2)) < 0.04 * spread
    assert np.abs(errors).max() < 0.15 * spread
    assert np.abs(errors.mean(axis=0)).max() < 0.02 * spread, "and errs both ways"


def test_each_player_stands_in_each_place() -> None:
    """Only who comes first adds anything: independent orders would give one in ten too much."""
    found = shapley(12, lambda c: float(c > 0), SEED, evaluations=2**11)
    assert found == pytest.approx([1 / 12] * 12, rel=3e-3)


def test_the_seed_decides_the_orders() -> None:
    first = shapley(20, concave, SEED)
    assert shapley(20, concave, SEED) == first
    assert shapley(20, concave, bytes(32)) != first


def test_orders_that_cost_nothing_end() -> None:
    """All is cut at once, so that evaluations are never used up."""
    assert shapley(30, lambda c: 0.0, SEED) == (0.0,) * 30


def test_nobody_and_nonsense() -> None:
    assert shapley(0, concave, SEED) == ()
    with pytest.raises(FatalError, match="utility of coalition 0x1 is nan"):
        shapley(2, lambda c: math.nan if c == 1 else 0.0, SEED)
    with pytest.raises(FatalError, match="32 bytes"):
        shapley(2, concave, b"short")
