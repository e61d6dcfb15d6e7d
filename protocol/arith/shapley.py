"""Shapley values of a game: what each player adds to v, averaged over all orders of joining.

phi_i is the mean over the orders of v(those before i, and i) - v(those before i) (Shapley 1953). It
alone is efficient (values add up to v(all) - v(none)), symmetric, linear, and zero for whoever
never changes anything. Here players are blocks and v comes from rows held out (worth.py).

Exact wherever the 2^k coalitions fit the evaluations that are allowed. Beyond that, orders are
sampled (Castro, Gomez and Tejada 2009) in pairs of an order and its reverse (antithetic: Mitchell,
Cooper, Frank and Holmes 2022, section 4.1), and an order is cut short where the rest no longer
matters (truncation: Ghorbani and Zou 2019, algorithm 1). With m pairs an estimate's variance is
s^2 / m, s^2 being that of the mean of a player's two contributions within a pair: at most
(range of v)^2, and a small part of that in practice (docs/spec/worth.md has figures). The cut
biases: whoever comes after it has an equal share of what is left, at most TOLERANCE of the game's
scale for all of them, instead of its own contribution. Both ways are efficient, up to rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, TypeAlias

import numpy as np

from protocol.arith.entropy import checked_seed, uniform_from_seed
from protocol.errors import FatalError

#: v of a coalition: bit i of the argument stands for player i. Pure: it may be asked once or often.
Utility: TypeAlias = Callable[[int], float]

#: Coalitions that are evaluated at most, except that one pair of orders is always walked: 8 players
#: are exact, and a game of k players takes max(EVALUATIONS, 2 k) evaluations.
EVALUATIONS: Final = 256

#: An order is cut where v has stayed this close to v(all), in parts of the game's scale, for
#: PATIENCE players in a row. A single close call says nothing: means cross v(all) by chance.
TOLERANCE: Final = 0.01
PATIENCE: Final = 3


def shapley(
    players: int, utility: Utility, seed: bytes, evaluations: int = EVALUATIONS
) -> tuple[float, ...]:
    """The value of each of `players` players; `seed` (32 bytes) draws the orders, where need be.

    Deterministic, whatever numpy's version. Raises FatalError if a coalition's utility is not
    finite.
    """
    checked_seed(seed)
    if players < 1:
        return ()
    game = _Game(players, utility)
    if 2**players <= max(2, evaluations):
        return _exact(game)
    return _sampled(game, seed, evaluations)


class _Game:
    """v, remembered: each coalition is evaluated once, and evaluations are counted."""

    def __init__(self, players: int, utility: Utility) -> None:
        self.players = players
        self.all = (1 << players) - 1
        self._utility = utility
        self._known: dict[int, float] = {}

    @property
    def evaluated(self) -> int:
        return len(self._known)

    def value(self, coalition: int) -> float:
        found = self._known.get(coalition)
        if found is None:
            found = float(self._utility(coalition))
            if not math.isfinite(found):
                raise FatalError(f"the utility of coalition {coalition:#x} is {found}")
            self._known[coalition] = found
        return found


def _exact(game: _Game) -> tuple[float, ...]:
    """phi_i = sum over S without i of (v(S and i) - v(S)) / (k C(k - 1, |S|))."""
    k = game.players
    weight = [1.0 / (k * math.comb(k - 1, size)) for size in range(k)]
    # fsum is exact before its one rounding: players with the same contributions get the same value
    return tuple(
        math.fsum(
            weight[s.bit_count()] * (game.value(s | bit) - game.value(s))
            for s in range(game.all + 1)
            if not s & bit
        )
        for bit in (1 << i for i in range(k))
    )


def _sampled(game: _Game, seed: bytes, evaluations: int) -> tuple[float, ...]:
    """Means over pairs of orders, while another whole pair still fits the evaluations."""
    k = game.players
    totals = [0.0] * k
    pairs = 0
    game.value(0)
    game.value(game.all)
    # Orders that are cut early cost little, and coalitions met before cost nothing: the number of
    # pairs is bounded, too.
    while not pairs or (pairs < evaluations and game.evaluated + 2 * (k - 1) <= evaluations):
        keys = uniform_from_seed(seed, f"worth/{pairs}", k)
        order = [int(i) for i in np.argsort(keys, kind="stable")]
        for each in (order, order[::-1]):
            for player, marginal in zip(each, _walk(game, each), strict=True):
                totals[player] += marginal
        pairs += 1
    return tuple(total / (2 * pairs) for total in totals)


def _walk(game: _Game, order: list[int]) -> list[float]:
    """What each player adds, in this order; who comes after the cut shares equally what is left."""
    end = game.value(game.all)
    before = game.value(0)
    coalition, scale, close = 0, abs(end - before), 0
    marginals: list[float] = []
    for player in order:
        if close >= PATIENCE:
            break
        coalition |= 1 << player
        after = game.value(coalition)
        marginals.append(after - before)
        before = after
        scale = max(scale, abs(end - after))
        close = close + 1 if abs(end - after) <= TOLERANCE * scale else 0
    cut = len(order) - len(marginals)
    return marginals + [(end - before) / cut] * cut if cut else marginals
