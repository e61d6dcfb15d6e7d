"""Numbers that protect little are called weak, at their limits and not before."""

from __future__ import annotations

import dataclasses
import math

import pytest
from kits.specs import SPEC

from protocol import params
from protocol.cost.weakness import weak
from protocol.spec.job import JobSpec


def job(epsilon: float | None, delta: float, batch_rows: int = 32) -> JobSpec:
    return dataclasses.replace(
        SPEC,
        encryption=dataclasses.replace(SPEC.encryption, value_bits=32),
        privacy=dataclasses.replace(SPEC.privacy, epsilon=epsilon, delta=delta),
        training=dataclasses.replace(SPEC.training, local_steps=1, batch_rows=batch_rows),
    )


@pytest.mark.parametrize(
    ("epsilon", "delta", "batch_rows", "fields"),
    [
        (None, 0.0, 32, []),
        (8.0, 1e-5, 32, []),
        (params.WEAK_EPSILON, params.WEAK_DELTA, 32, []),
        (math.nextafter(params.WEAK_EPSILON, 11), 1e-5, 32, ["privacy.epsilon"]),
        (8.0, math.nextafter(params.WEAK_DELTA, 1), 32, ["privacy.delta"]),
        (8.0, 1 / 4000, 4000, ["privacy.delta"]),
        (8.0, 1 / 4001, 4000, []),
        (1000.0, 0.1, 32, ["privacy.epsilon", "privacy.delta"]),
        (1000.0, 0.1, 65536, ["privacy.epsilon", "privacy.delta"]),
    ],
)
def test_what_is_weak(
    epsilon: float | None, delta: float, batch_rows: int, fields: list[str]
) -> None:
    said = list(weak(job(epsilon, delta, batch_rows)))
    assert [text.split()[0] for text in said] == fields
    assert all("which is weak" in text for text in said)


def test_the_odds_are_those_of_the_limit() -> None:
    assert 22_000 < math.exp(params.WEAK_EPSILON) < 22_100
    assert round(1 / params.WEAK_DELTA) == 1000
