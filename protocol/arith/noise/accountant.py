"""The cost of noise: Google's dp-accounting, held to bounds that also hold for discrete noise.

Renyi accounting at integer orders only: there the bound on the sampled Gaussian is a sum of
positive terms, each of which bounds its discrete counterpart (docs/spec/privacy.md). Both
directions of adding or removing one record are covered. Nothing here is ever below the truth:
float error is outweighed (_SLACK) and results are rounded up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import ROUND_CEILING, Context
from functools import lru_cache
from typing import Final

from protocol.arith.noise import libraries
from protocol.errors import InputError
from protocol.layout.noise import Charge, multiplier_bound

#: Integers alone; beyond 1024 only an epsilon under 0.01 would profit.
ORDERS: Final = (*range(2, 65), *range(72, 129, 8), 160, 192, 256, 384, 512, 768, 1024)

#: rho of zero-concentrated privacy added for each step, that is SLACK x order at every order: above
#: what rounding in the accountant's logarithms can hide (some 1e-15 x order, measured in tests).
_SLACK: Final = 1e-13

#: How far above the closed form of the wire's range a multiplier may lie and still fit into it.
_ROOM: Final = 2.0

#: Answers that are kept: the last ones of each question, some kilobytes.
_KEPT: Final = 64

_UP: Final = Context(prec=4, rounding=ROUND_CEILING)


def spent(charges: Sequence[Charge], delta: float) -> float:
    """An epsilon so that all of `charges` together are (epsilon, delta)-DP, up to 1e-6 too large.

    Infinite where none can be shown. Takes some 10 ms for each distinct (rate, multiplier), and
    nothing where the same was asked lately, as a ledger is about its charges.
    """
    return _spent(tuple(charges), delta)


@lru_cache(_KEPT)
def _spent(charges: tuple[Charge, ...], delta: float) -> float:
    libraries.require()
    from dp_accounting import dp_event, rdp  # late: with scipy, up to a second

    steps = sum(charge.steps for charge in charges)
    if steps == 0:
        return 0.0
    accountant = rdp.RdpAccountant(ORDERS)
    for charge in charges:
        if not charge.steps:
            continue  # dp-accounting composes at least one
        event = dp_event.PoissonSampledDpEvent(
            charge.rate, dp_event.GaussianDpEvent(charge.multiplier)
        )
        accountant.compose(event, charge.steps)
    accountant.compose(dp_event.ZCDpEvent(_SLACK), steps)
    epsilon = float(accountant.get_epsilon(delta))
    return math.ceil(epsilon * 1e6 + 1e-3) / 1e6 if math.isfinite(epsilon) else math.inf


@lru_cache(_KEPT)
def multiplier(epsilon: float, delta: float, rate: float, rounds: int) -> float:
    """The smallest noise multiplier, rounded up to 4 digits, for which `rounds` Poisson-sampled
    steps cost at most (epsilon, delta): `spent` of them says so.

    Raises InputError where epsilon is so small that no multiplier in the wire's range can be shown
    to give it.
    """

    def cost(candidate: float) -> float:
        return spent((Charge(rate, candidate, rounds),), delta)

    high = _ROOM * multiplier_bound(epsilon, delta, rounds)
    if cost(high) > epsilon:
        raise InputError(
            f"is {epsilon:g} at delta {delta:g} over {rounds} rounds: too small to be shown with "
            "the noise that fits a contribution; raise it",
            "privacy.epsilon",
        )
    low = high
    while cost(low) <= epsilon:
        high, low = low, low / 2
    while high > low * (1 + 1e-5):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if cost(middle) <= epsilon else (middle, high)
    rounded = _UP.create_decimal_from_float(high)
    while cost(float(rounded)) > epsilon:
        rounded = rounded.next_plus(_UP)
    return float(rounded)
