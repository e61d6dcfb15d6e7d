"""The accountant: never below the truth, close above it, and its multiplier keeps its word."""

from __future__ import annotations

import math

import pytest
from dp_accounting import dp_event, pld
from hypothesis import given
from hypothesis import strategies as st
from kits.examples import examples
from mpmath import binomial, log, log1p, mp, mpf
from mpmath import exp as mexp
from scipy import optimize, special

from protocol.arith.noise.accountant import ORDERS, multiplier, spent
from protocol.errors import InputError
from protocol.layout.noise import Charge, multiplier_bound


def exact(charges: list[Charge], delta: float) -> float:
    """The same bound with 60 digits: Mironov, Talwar and Zhang (2019), section 3.3; conversion of
    Canonne, Kamath and Steinke (2020), Proposition 12."""
    best = mpf("inf")
    with mp.workdps(60):
        for order in (2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64):
            rdp = mpf(0)
            for charge in charges:
                q, s = mpf(charge.rate), mpf(charge.multiplier)
                moment = sum(
                    binomial(order, k)
                    * (1 - q) ** (order - k)
                    * q**k
                    * mexp(mpf(k * k - k) / (2 * s * s))
                    for k in range(order + 1)
                )
                rdp += charge.steps * log(moment) / (order - 1)
            value = rdp + log1p(mpf(-1) / order) - log(mpf(delta) * order) / (order - 1)
            best = min(best, value)
        return float(max(best, mpf(0)))


def tight(charges: list[Charge], delta: float) -> float:
    """Privacy loss distributions: near the exact epsilon of the continuous mechanism."""
    accountant = pld.PLDAccountant()
    for charge in charges:
        event = dp_event.PoissonSampledDpEvent(
            charge.rate, dp_event.GaussianDpEvent(charge.multiplier)
        )
        accountant.compose(event, charge.steps)
    return float(accountant.get_epsilon(delta))


def analytic(sigma: float, delta: float) -> float:
    """The exact epsilon of one Gaussian release (Balle and Wang 2018, Theorem 8)."""

    def excess(epsilon: float) -> float:
        a, b = 1 / (2 * sigma), epsilon * sigma
        return float(special.ndtr(a - b) - math.exp(epsilon + special.log_ndtr(-a - b)) - delta)

    return float(optimize.brentq(excess, 0, 500)) if excess(0) > 0 else 0.0


KNOWN = [
    # (charges, delta, what TensorFlow Privacy's MNIST tutorial printed: an older, looser bound)
    ([Charge(250 / 60_000, 1.3, 3_600)], 1e-5, 1.18),
    ([Charge(256 / 60_000, 1.1, 60 * 60_000 // 256)], 1e-5, 3.01),
    ([Charge(256 / 60_000, 0.7, 45 * 60_000 // 256)], 1e-5, 7.1),
]


@pytest.mark.parametrize(("charges", "delta", "published"), KNOWN)
def test_published_examples(charges: list[Charge], delta: float, published: float) -> None:
    value = spent(charges, delta)
    assert tight(charges, delta) <= value <= published * 1.01
    assert value > 0.7 * published


@pytest.mark.parametrize(
    "charges",
    [
        [Charge(1.0, 2.0, 1)],
        [Charge(0.1, 1.0, 40)],
        [Charge(0.32, 0.9, 20), Charge(0.05, 1.4, 100)],
        [Charge(0.01, 0.6, 255)],
    ],
)
def test_it_lies_closely_above_what_is_nearly_exact(charges: list[Charge]) -> None:
    below = tight(charges, 1e-5)
    assert below <= spent(charges, 1e-5) <= 1.35 * below


@given(sigma=st.floats(0.3, 50), delta=st.floats(1e-9, 1e-2))
@examples(0.6)
def test_one_full_release_costs_at_least_its_exact_epsilon(sigma: float, delta: float) -> None:
    assert spent([Charge(1.0, sigma, 1)], delta) >= analytic(sigma, delta)


@given(
    rate=st.floats(1e-7, 0.999),
    sigma=st.floats(0.2, 1e4),
    steps=st.integers(1, 25_500),
    delta=st.sampled_from([1e-9, 1e-5, 1e-2]),
)
@examples(0.4)
def test_float_error_never_takes_off_what_is_owed(
    rate: float, sigma: float, steps: int, delta: float
) -> None:
    """Small rates and much noise cancel nearly all digits of a moment; the slack covers it."""
    charges = [Charge(rate, sigma, steps)]
    value = spent(charges, delta)
    assert set(ORDERS) >= {2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64}
    # Where the total divergence is below delta^2, epsilon is 0: nothing is converted then.
    if value > 1e-5:
        bound = exact(charges, delta)
        assert value <= bound + 2e-6 + 1e-8 * bound
        full = [exact_order(charges[0], order) for order in ORDERS]
        least = min(
            r + math.log1p(-1 / a) - math.log(delta * a) / (a - 1)
            for a, r in zip(ORDERS, full, strict=True)
        )
        assert value >= least - 1e-12


def exact_order(charge: Charge, order: int) -> float:
    """steps x the divergence of one order, from 60 digits; its leading terms where it is long."""
    with mp.workdps(60):
        q, s = mpf(charge.rate), mpf(charge.multiplier)
        term, total = (1 - q) ** order, mpf(0)
        for k in range(order + 1):
            total += term * mexp(mpf(k * k - k) / (2 * s * s))
            term = term * (order - k) / (k + 1) * q / (1 - q)
        return float(charge.steps * log(total) / (order - 1))


def test_charges_compose() -> None:
    a, b = Charge(0.1, 1.0, 20), Charge(0.2, 1.5, 30)
    both = spent([a, b], 1e-5)
    assert max(spent([a], 1e-5), spent([b], 1e-5)) < both
    assert both < spent([a], 1e-5) + spent([b], 1e-5)
    assert spent([Charge(0.1, 1.0, 12), Charge(0.1, 1.0, 8)], 1e-5) == spent([a], 1e-5)
    assert spent([], 1e-5) == 0.0
    assert spent([Charge(0.1, 1.0, 0)], 1e-5) == 0.0
    assert spent([Charge(0.3, 0.1, 0), a], 1e-5) == spent([a], 1e-5)


@pytest.mark.parametrize(
    ("epsilon", "delta", "rate", "rounds"),
    [(8.0, 1e-5, 0.1, 40), (1.0, 1e-5, 1.0, 1), (0.1, 1e-6, 0.5, 255), (1000.0, 1e-5, 1.0, 10)],
)
def test_the_multiplier_is_the_smallest_that_suffices(
    epsilon: float, delta: float, rate: float, rounds: int
) -> None:
    found = multiplier(epsilon, delta, rate, rounds)
    assert found == float(f"{found:.4g}")
    assert spent([Charge(rate, found, rounds)], delta) <= epsilon
    assert spent([Charge(rate, found * (1 - 1.2e-3), rounds)], delta) > epsilon
    assert found <= 2 * multiplier_bound(epsilon, delta, rounds)


def test_what_cannot_be_shown_is_refused() -> None:
    with pytest.raises(InputError, match="raise it") as refused:
        multiplier(1e-3, 1e-5, 1.0, 1)
    assert refused.value.field == "privacy.epsilon"


def test_what_was_asked_lately_is_not_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    charges, delta = [Charge(0.01, 1.5, 7)], 1e-5
    first, noise = spent(charges, delta), multiplier(2.0, delta, 0.01, 7)
    monkeypatch.setattr("dp_accounting.rdp.RdpAccountant", None)
    assert spent(tuple(charges), delta) == first
    assert multiplier(2.0, delta, 0.01, 7) == noise
    with pytest.raises(TypeError):
        spent([Charge(0.01, 1.5, 8)], delta)
