"""Shapley values of a game: what each player adds to v, averaged over all orders of joining.

phi_i is the mean over the orders of v(those before i, and i) - v(those before i) (Shapley 1953). It
alone is efficient (values add up to v(all) - v(none)), symmetric, linear, and zero for a player
that never changes anything. Here players are blocks and v comes from rows held out (worth.py).

Exact wherever the 2^k coalitions fit the evaluations that are allowed. Beyond that, orders are
sampled (Castro, Gomez and Tejada 2009), so that each player comes first, second, ... about equally
often, which is where most of the variance is: rotations of one random order, each walked forwards
and backwards (antithetic: Mitchell, Cooper, Frank and Holmes 2022, section 4.1); after k rotations,
of another. Every order walked is uniform by itself, so the mean is unbiased, apart from the cut: an
order is left where the rest no longer matters (truncation: Ghorbani and Zou 2019, algorithm 1).
Players after the cut share the rest equally, at most TOLERANCE of the game's scale for all of them
together. With m orders the variance is at most s^2 / m for orders drawn independently, s^2 that of
a player's contribution to one order, up to (range of v)^2; rotation and reversal measured 3 to 9
times less (docs/spec/worth.md). Both ways are efficient, up to rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, TypeAlias

import numpy as np

from protocol.arith.numbers.entropy import checked_seed, uniform_from_seed
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
    stride = _stride(k)
    totals = [0.0] * k
    base: list[int] = []
    pairs = 0
    game.value(0)
    game.value(game.all)
    # Orders that are cut early cost little, and coalitions met before cost nothing: the number of
    # pairs is bounded, too.
    while not pairs or (pairs < evaluations and game.evaluated + 2 * (k - 1) <= evaluations):
        if pairs % k == 0:
            keys = uniform_from_seed(seed, f"worth/{pairs // k}", k)
            base = [int(i) for i in np.argsort(keys, kind="stable")]
        first = pairs * stride % k
        order = base[first:] + base[:first]
        for each in (order, order[::-1]):
            for player, marginal in zip(each, _walk(game, each), strict=True):
                totals[player] += marginal
        pairs += 1
    return tuple(total / (2 * pairs) for total in totals)


def _stride(k: int) -> int:
    """A step near k / 1.618 that meets all of k places, any first few of them spread evenly."""
    stride = round(k * 0.6180339887498949)
    while math.gcd(stride, k) != 1:
        stride += 1
    return stride


def _walk(game: _Game, order: list[int]) -> list[float]:
    """What each player adds, in this order; players after the cut share equally what is left."""
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
